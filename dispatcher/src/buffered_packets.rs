//! [`BufferedPackets`]: the first packets of connections that have no session yet, because their
//! ClientHello is not whole or because enough sessions were made this turn (Chromium:
//! QuicBufferedPacketStore). Bounded in connections, packets and time; half of the places are kept
//! for clients that have sent a whole ClientHello.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use protoquic_core::connection::FirstFlight;
use protoquic_core::crypto::ClientHello;
use protoquic_core::{ConnectionId, PathAddress, ReceivedPacket, Time};

use crate::first_packet::Admission;

/// A connection that waits for its session.
pub(crate) struct Waiting {
    pub(crate) admission: Admission,
    pub(crate) flight: FirstFlight,
    pub(crate) hello: Option<ClientHello>,
    pub(crate) packets: Vec<ReceivedPacket>,
    /// The ID that its client knows us by, once a part of its ClientHello was acknowledged.
    pub(crate) local_id: Option<ConnectionId>,
    /// It is on the list of those to acknowledge.
    listed: bool,
    since: Time,
}

pub(crate) struct BufferedPackets {
    max_connections: usize,
    max_packets: usize,
    lifetime: Duration,
    waiting: HashMap<ConnectionId, Waiting>,
    /// What clients send to after an acknowledgement, and what they sent to before.
    named: HashMap<ConnectionId, ConnectionId>,
    /// Whose latest packets are to be acknowledged at the end of the turn.
    to_acknowledge: Vec<ConnectionId>,
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
            named: HashMap::new(),
            to_acknowledge: Vec::new(),
            order: VecDeque::new(),
            ready: VecDeque::new(),
            incomplete: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn contains(&self, id: &ConnectionId) -> bool {
        self.waiting.contains_key(id) || self.named.contains_key(id)
    }

    pub(crate) fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut Waiting> {
        self.waiting.get_mut(&self.first_name(id))
    }

    /// What the client of this ID sent to first.
    fn first_name(&self, id: &ConnectionId) -> ConnectionId {
        self.named.get(id).copied().unwrap_or(*id)
    }

    /// Connections whose ClientHello is not whole and that sent something in this turn.
    pub(crate) fn take_unacknowledged(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.to_acknowledge)
    }

    /// It was taken off that list. `None` if its ClientHello became whole meanwhile.
    pub(crate) fn unlist(&mut self, id: &ConnectionId) -> Option<&mut Waiting> {
        let waiting = self.waiting.get_mut(id)?;
        waiting.listed = false;
        waiting.hello.is_none().then_some(waiting)
    }

    /// The client will send to this ID too.
    pub(crate) fn name(&mut self, id: &ConnectionId, local_id: ConnectionId) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.local_id = Some(local_id);
            self.named.insert(local_id, *id);
        }
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
        packet: &ReceivedPacket,
    ) {
        let id = admission.destination;
        let listed = hello.is_none();
        if hello.is_some() {
            self.ready.push_back(id);
        } else {
            self.incomplete += 1;
            self.to_acknowledge.push(id);
        }
        self.order.push_back((now, id));
        let packets = vec![own(packet)];
        let waiting =
            Waiting { admission, flight, hello, packets, local_id: None, listed, since: now };
        self.waiting.insert(id, waiting);
    }

    /// Whether [`push`](Self::push) has room for a further packet of a waiting connection.
    pub(crate) fn keeps_more_of(&self, id: &ConnectionId) -> bool {
        let waiting = self.waiting.get(&self.first_name(id));
        waiting.is_some_and(|waiting| waiting.packets.len() < self.max_packets)
    }

    /// Keeps a further packet of a waiting connection, if it has room for it.
    pub(crate) fn push(&mut self, id: &ConnectionId, packet: &ReceivedPacket) {
        let id = self.first_name(id);
        if self.keeps_more_of(&id)
            && let Some(waiting) = self.waiting.get_mut(&id)
        {
            waiting.packets.push(own(packet));
            if waiting.hello.is_none() && !std::mem::replace(&mut waiting.listed, true) {
                self.to_acknowledge.push(id);
            }
        }
    }

    /// The ClientHello of a waiting connection became whole.
    pub(crate) fn complete(&mut self, id: &ConnectionId, hello: ClientHello) {
        let id = self.first_name(id);
        if let Some(waiting) = self.waiting.get_mut(&id)
            && waiting.hello.replace(hello).is_none()
        {
            self.incomplete -= 1;
            self.ready.push_back(id);
        }
    }

    /// The next connection whose session can be made.
    pub(crate) fn pop_ready(&mut self) -> Option<Waiting> {
        while let Some(id) = self.ready.pop_front() {
            // The same ID may have come back since, and be incomplete.
            if self.waiting.get(&id).is_some_and(|waiting| waiting.hello.is_some()) {
                return self.take(&id);
            }
        }
        None
    }

    /// Where the next one is, if it is ready.
    pub(crate) fn next_ready(&self) -> Option<&PathAddress> {
        let next = self.waiting.get(self.ready.front()?)?;
        Some(&next.admission.path)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn remove(&mut self, id: &ConnectionId) {
        if let Some(waiting) = self.take(&self.first_name(id)) {
            self.incomplete -= usize::from(waiting.hello.is_none());
        }
    }

    fn take(&mut self, id: &ConnectionId) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        if let Some(local_id) = waiting.local_id {
            self.named.remove(&local_id);
        }
        Some(waiting)
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
pub(crate) fn own(packet: &ReceivedPacket) -> ReceivedPacket {
    let &ReceivedPacket { path, ecn, received, ref data } = packet;
    ReceivedPacket { path, ecn, received, data: (&data[..]).into() }
}
