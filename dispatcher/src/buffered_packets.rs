//! [`BufferedPackets`]: the first packets of connections that have no session yet, because their
//! ClientHello is not whole or because enough sessions were made this turn (Chromium:
//! QuicBufferedPacketStore). Bounded in connections, packets and time; half of the places are kept
//! for clients that have sent a whole ClientHello.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use protoquic_core::connection::FirstFlight;
use protoquic_core::crypto::ClientHello;
use protoquic_core::{ConnectionId, ReceivedPacket, Time};

use crate::first_packet::Admission;

/// A connection that waits for its session.
pub(crate) struct Waiting {
    pub(crate) admission: Admission,
    pub(crate) flight: FirstFlight,
    pub(crate) hello: Option<ClientHello>,
    pub(crate) packets: Vec<ReceivedPacket>,
    since: Time,
}

pub(crate) struct BufferedPackets {
    max_connections: usize,
    max_packets: usize,
    lifetime: Duration,
    waiting: HashMap<ConnectionId, Waiting>,
    /// Every waiting ID in the order of arrival; IDs that are gone are skipped.
    order: VecDeque<(Time, ConnectionId)>,
    /// IDs with a whole ClientHello, in the order in which it became whole.
    ready: VecDeque<ConnectionId>,
    incomplete: usize,
}

impl BufferedPackets {
    pub(crate) fn new(max_connections: usize, max_packets: usize, lifetime: Duration) -> Self {
        Self {
            max_connections,
            max_packets,
            lifetime,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            ready: VecDeque::new(),
            incomplete: 0,
        }
    }

    pub(crate) fn contains(&self, id: &ConnectionId) -> bool {
        self.waiting.contains_key(id)
    }

    pub(crate) fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut Waiting> {
        self.waiting.get_mut(id)
    }

    /// Whether one more connection may wait.
    pub(crate) fn has_room(&mut self, now: Time, complete: bool) -> bool {
        self.expire(now);
        let room = self.waiting.len() < self.max_connections;
        room && (complete || self.incomplete < self.max_connections / 2)
    }

    /// Keeps a new connection's first packet. The caller has asked for room.
    pub(crate) fn insert(
        &mut self,
        now: Time,
        admission: Admission,
        flight: FirstFlight,
        hello: Option<ClientHello>,
        packet: ReceivedPacket,
    ) {
        let id = admission.destination;
        if hello.is_some() {
            self.ready.push_back(id);
        } else {
            self.incomplete += 1;
        }
        self.order.push_back((now, id));
        let packets = vec![own(packet)];
        self.waiting.insert(id, Waiting { admission, flight, hello, packets, since: now });
    }

    /// Keeps a further packet of a waiting connection, if it has room for it.
    pub(crate) fn push(&mut self, id: &ConnectionId, packet: ReceivedPacket) {
        if let Some(waiting) = self.waiting.get_mut(id)
            && waiting.packets.len() < self.max_packets
        {
            waiting.packets.push(own(packet));
        }
    }

    /// The ClientHello of a waiting connection became whole.
    pub(crate) fn complete(&mut self, id: &ConnectionId, hello: ClientHello) {
        if let Some(waiting) = self.waiting.get_mut(id)
            && waiting.hello.replace(hello).is_none()
        {
            self.incomplete -= 1;
            self.ready.push_back(*id);
        }
    }

    /// The next connection whose session can be made.
    pub(crate) fn pop_ready(&mut self) -> Option<Waiting> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(waiting) = self.waiting.remove(&id) {
                return Some(waiting);
            }
        }
        None
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn remove(&mut self, id: &ConnectionId) {
        if let Some(waiting) = self.waiting.remove(id) {
            self.incomplete -= usize::from(waiting.hello.is_none());
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some((since, id)) = self.order.front().copied()
            && now - since >= self.lifetime
        {
            self.order.pop_front();
            // The same ID may have come back since: only what is as old as the order says goes.
            if self.waiting.get(&id).is_some_and(|waiting| waiting.since == since) {
                self.remove(&id);
            }
        }
    }
}

/// A copy that does not hold the receive buffer.
fn own(packet: ReceivedPacket) -> ReceivedPacket {
    ReceivedPacket { data: (&packet.data[..]).into(), ..packet }
}
