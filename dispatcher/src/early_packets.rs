//! [`EarlyPackets`]: 0-RTT packets that overtook the Initial packet of their connection (RFC 9000
//! §5.2.2, RFC 9001 §5.7). Nobody has proven anything by them, so few are kept, and not for long.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use protoquic_core::{ConnectionId, ReceivedPacket, Time};

use crate::buffered_packets::own;

#[derive(Debug, Default)]
pub(crate) struct EarlyPackets {
    waiting: HashMap<ConnectionId, Vec<ReceivedPacket>>,
    /// The IDs, in the order of their first packets.
    order: VecDeque<(Time, ConnectionId)>,
    bytes: usize,
}

impl EarlyPackets {
    /// Keeps a packet, if there is room. Returns whether there was.
    pub(crate) fn push(&mut self, id: &ConnectionId, packet: &ReceivedPacket) -> bool {
        let now = packet.received;
        self.expire(now);
        let size = packet.data.len();
        if self.bytes + size > MAX_BYTES {
            return false;
        }
        match self.waiting.get(id) {
            Some(packets) if packets.len() >= MAX_PACKETS => return false,
            None if self.waiting.len() >= MAX_CONNECTIONS => return false,
            None => self.order.push_back((now, *id)),
            Some(_) => {}
        }
        self.bytes += size;
        self.waiting.entry(*id).or_default().push(own(packet));
        true
    }

    /// What came before this connection's Initial.
    pub(crate) fn take(&mut self, now: Time, id: &ConnectionId) -> Vec<ReceivedPacket> {
        self.expire(now);
        if !self.waiting.contains_key(id) {
            return Vec::new();
        }
        self.order.retain(|(_, known)| known != id);
        self.remove(id)
    }

    fn expire(&mut self, now: Time) {
        while let Some((since, id)) = self.order.front().copied()
            && now - since >= LIFETIME
        {
            self.order.pop_front();
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &ConnectionId) -> Vec<ReceivedPacket> {
        let packets = self.waiting.remove(id).unwrap_or_default();
        self.bytes -= packets.iter().map(|packet| packet.data.len()).sum::<usize>();
        packets
    }
}

/// How many connections may wait for their Initial, with how many packets each, how many bytes
/// together, and how long.
const MAX_CONNECTIONS: usize = 128;
const MAX_PACKETS: usize = 16;
const MAX_BYTES: usize = 4 << 20;
const LIFETIME: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protoquic_core::{Ecn, PathAddress};

    use super::*;

    fn packet(at: u64, size: usize) -> ReceivedPacket {
        let address = ([192, 0, 2, 1], 4000).into();
        let path = PathAddress::new(address, address);
        let data = BytesMut::from(&vec![0x90; size][..]);
        ReceivedPacket { path, ecn: Ecn::NotEct, received: Time::from_millis(at), data }
    }

    fn id(n: u64) -> ConnectionId {
        ConnectionId::new(&n.to_be_bytes()).expect("eight bytes")
    }

    #[test]
    fn what_came_early_is_handed_over_once() {
        let mut early = EarlyPackets::default();
        assert!(early.push(&id(1), &packet(0, 100)) && early.push(&id(1), &packet(1, 200)));
        assert_eq!(early.take(Time::from_millis(2), &id(2)).len(), 0);
        assert_eq!(early.take(Time::from_millis(2), &id(1)).len(), 2);
        assert_eq!(early.take(Time::from_millis(2), &id(1)).len(), 0);
        assert_eq!((early.bytes, early.order.len()), (0, 0));
    }

    #[test]
    fn it_is_bounded_in_connections_packets_bytes_and_time() {
        let mut early = EarlyPackets::default();
        let kept = (0..100_000).filter(|n| early.push(&id(*n), &packet(0, 50))).count();
        assert_eq!(kept, MAX_CONNECTIONS);
        let more = (0..100).filter(|_| early.push(&id(0), &packet(1, 50))).count();
        assert_eq!(more, MAX_PACKETS - 1);
        assert_eq!(early.take(Time::from_millis(250), &id(0)).len(), 0, "too old");
        let large = (0..1000).filter(|n| early.push(&id(n % 100), &packet(300, 60_000))).count();
        assert_eq!(large, MAX_BYTES / 60_000);
    }
}
