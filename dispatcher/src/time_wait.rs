//! [`TimeWaitList`]: connection IDs of closed connections, so that late packets are answered with
//! the stored close or ignored, not taken for new (RFC 9000 §10.2, Chromium's
//! QuicTimeWaitListManager). Bounded in number; each entry answers ever more rarely.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ConnectionId, Time};

#[derive(Debug)]
struct Closed {
    farewell: Option<Bytes>,
    heard: u32,
    answer_at: u32,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its ID is not in the list.
    Unknown,
    /// Its connection is closed, and nothing is to be said.
    Silence,
    /// Its connection is closed, as this datagram tells.
    Farewell(Bytes),
}

#[derive(Debug)]
pub(crate) struct TimeWaitList {
    lifetime: Duration,
    max: usize,
    closed: HashMap<ConnectionId, u64>,
    entries: HashMap<u64, Closed>,
    /// In the order of their ends.
    order: VecDeque<(Time, u64, Vec<ConnectionId>)>,
    next: u64,
}

impl TimeWaitList {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self {
            lifetime,
            max,
            closed: HashMap::new(),
            entries: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    /// Remembers a closed connection's IDs.
    pub(crate) fn add(&mut self, now: Time, ids: Vec<ConnectionId>, farewell: Option<Bytes>) {
        self.expire(now);
        if self.order.len() >= self.max {
            self.remove_oldest();
        }
        let entry = self.next;
        self.next += 1;
        for id in &ids {
            self.closed.insert(*id, entry);
        }
        self.entries.insert(entry, Closed { farewell, heard: 0, answer_at: 1 });
        self.order.push_back((now + self.lifetime, entry, ids));
    }

    /// What to answer a packet for this ID.
    pub(crate) fn on_packet(&mut self, now: Time, id: &ConnectionId) -> Answer {
        self.expire(now);
        let entry = self.closed.get(id).and_then(|entry| self.entries.get_mut(entry));
        let Some(entry) = entry else { return Answer::Unknown };
        entry.heard = entry.heard.saturating_add(1);
        if entry.heard < entry.answer_at {
            return Answer::Silence;
        }
        // RFC 9000 §10.2.1: ever more packets for one answer.
        entry.answer_at = entry.answer_at.saturating_mul(2);
        entry.farewell.clone().map_or(Answer::Silence, Answer::Farewell)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(end, ..)| *end <= now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, entry, ids)) = self.order.pop_front() {
            self.entries.remove(&entry);
            for id in ids {
                if self.closed.get(&id) == Some(&entry) {
                    self.closed.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ConnectionId {
        ConnectionId::new(&[n; 8]).expect("eight bytes")
    }

    #[test]
    fn the_stored_close_is_repeated_ever_more_rarely() {
        let mut list = TimeWaitList::new(Duration::from_secs(200), 10);
        list.add(Time::ZERO, vec![id(1)], Some(Bytes::from_static(b"bye")));
        let farewell = Answer::Farewell(Bytes::from_static(b"bye"));
        let answers = (0..1000).filter(|_| list.on_packet(Time::ZERO, &id(1)) == farewell);
        assert_eq!(answers.count(), 10);
        assert_eq!(list.on_packet(Time::ZERO, &id(2)), Answer::Unknown);
    }

    #[test]
    fn it_is_bounded_in_number_and_in_time() {
        let mut list = TimeWaitList::new(Duration::from_secs(200), 3);
        (0..10).for_each(|n| list.add(Time::ZERO, vec![id(n)], None));
        assert_eq!((list.len(), list.closed.len(), list.entries.len()), (3, 3, 3));
        assert_eq!(list.on_packet(Time::from_millis(200_000), &id(9)), Answer::Unknown);
        assert_eq!((list.len(), list.closed.len(), list.entries.len()), (0, 0, 0));
    }
}
