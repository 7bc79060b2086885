//! [`Arrivals`]: small datagrams that wait until it is their session's turn. A session's memory is cold
//! when hundreds of others have had theirs, so what there is to do for it is done at once: datagrams,
//! alarm, callbacks, writing. Large datagrams do not wait, since theirs is the memory that would get
//! cold. This file must not know sessions.

use protoquic_core::ReceivedPacket;

/// The datagrams that wait, in the order of arrival, each linked to the next of its session.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    packets: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    packet: Option<ReceivedPacket>,
    /// The next one of the same session; the last one's is the first.
    next: u16,
}

/// Those of one session. It is to be emptied before the end of the turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    last: u16,
}

impl Default for Queue {
    fn default() -> Self {
        Self { last: NONE }
    }
}

impl Arrivals {
    /// Whether a datagram may wait.
    pub(crate) fn takes(&self, packet: &ReceivedPacket) -> bool {
        packet.data.len() <= MAX_SIZE && self.packets.len() < MAX_WAITING
    }

    /// Adds a datagram that it [takes](Self::takes).
    pub(crate) fn push(&mut self, queue: &mut Queue, packet: ReceivedPacket) {
        let at = self.packets.len() as u16; // below MAX_WAITING
        let last = self.packets.get_mut(usize::from(queue.last));
        let next = last.map_or(at, |last| std::mem::replace(&mut last.next, at));
        self.packets.push(Waiting { packet: Some(packet), next });
        queue.last = at;
    }

    /// The session's first datagram.
    pub(crate) fn pop(&mut self, queue: &mut Queue) -> Option<ReceivedPacket> {
        let first = self.packets.get(usize::from(queue.last))?.next;
        let waiting = self.packets.get_mut(usize::from(first))?;
        let (packet, next) = (waiting.packet.take(), waiting.next);
        if first == queue.last {
            queue.last = NONE;
        } else {
            self.packets[usize::from(queue.last)].next = next; // it was there above
        }
        packet
    }

    /// The turn is over. What still waits was for sessions that have ended.
    pub(crate) fn end(&mut self) {
        self.packets.clear();
    }
}

/// The largest datagram that waits, in bytes: one that holds hardly more than an acknowledgement.
const MAX_SIZE: usize = 200;
/// So many datagrams may wait: as many as a turn reads.
const MAX_WAITING: usize = 1024;
/// No datagram has this place.
const NONE: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protoquic_core::{Ecn, PathAddress, Time};

    use super::*;

    fn packet(data: &[u8]) -> ReceivedPacket {
        let path = PathAddress::new(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
        let data = BytesMut::from(data);
        ReceivedPacket { path, ecn: Ecn::NotEct, received: Time::ZERO, data }
    }

    #[test]
    fn each_session_gets_its_own_in_order() {
        let mut arrivals = Arrivals::default();
        let mut queues = [Queue::default(); 3];
        for turn in 0..3 {
            for number in 0..100_u8 {
                let queue = usize::from(number % 7 % 2);
                arrivals.push(&mut queues[queue], packet(&[number]));
            }
            for (at, queue) in queues.iter_mut().enumerate() {
                let expected = (0..100).filter(|number| usize::from(number % 7 % 2) == at);
                let got = std::iter::from_fn(|| arrivals.pop(queue)).map(|packet| packet.data[0]);
                assert!(got.eq(expected), "turn {turn}");
                assert!(arrivals.pop(queue).is_none());
            }
            arrivals.end();
        }
    }

    #[test]
    fn few_and_small_ones_wait() {
        let mut arrivals = Arrivals::default();
        assert!(!arrivals.takes(&packet(&[0; MAX_SIZE + 1])));
        let mut queue = Queue::default();
        while arrivals.takes(&packet(&[0; MAX_SIZE])) {
            arrivals.push(&mut queue, packet(b""));
        }
        assert_eq!(std::iter::from_fn(|| arrivals.pop(&mut queue)).count(), MAX_WAITING);
    }
}
