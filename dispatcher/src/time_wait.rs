//! [`TimeWaitList`]: connection IDs of closed connections, so that late packets are answered with
//! the stored close or ignored, not taken for new (RFC 9000 §10.2, Chromium's
//! QuicTimeWaitListManager). Bounded in number; each entry answers ever more rarely.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ConnectionId, Time};

/// A connection that is closed.
#[derive(Debug)]
struct Closed {
    end: Time,
    /// How many IDs it had: the first of those that are left in `order`.
    ids: usize,
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
    /// The number of the connection that each ID belonged to.
    ids: HashMap<ConnectionId, u64>,
    /// In the order in which they closed and end, numbered from `first`.
    closed: VecDeque<Closed>,
    first: u64,
    /// The IDs of all of them. There may be very many, and nothing of a connection is to be left
    /// between what others are made of.
    order: VecDeque<ConnectionId>,
}

impl TimeWaitList {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self {
            lifetime,
            max,
            ids: HashMap::new(),
            closed: VecDeque::new(),
            first: 0,
            order: VecDeque::new(),
        }
    }

    /// Remembers a closed connection's IDs.
    pub(crate) fn add(&mut self, now: Time, ids: &[ConnectionId], farewell: Option<Bytes>) {
        self.expire(now);
        if self.closed.len() >= self.max {
            self.remove_oldest();
        }
        let number = self.first + self.closed.len() as u64;
        self.order.extend(ids);
        self.ids.extend(ids.iter().map(|id| (*id, number)));
        let (end, ids) = (now + self.lifetime, ids.len());
        self.closed.push_back(Closed { end, ids, farewell, heard: 0, answer_at: 1 });
    }

    /// What to answer a packet for this ID.
    pub(crate) fn on_packet(&mut self, now: Time, id: &ConnectionId) -> Answer {
        self.expire(now);
        let at = self.ids.get(id).map(|number| (number - self.first) as usize);
        let Some(entry) = at.and_then(|at| self.closed.get_mut(at)) else { return Answer::Unknown };
        entry.heard = entry.heard.saturating_add(1);
        if entry.heard < entry.answer_at {
            return Answer::Silence;
        }
        // RFC 9000 §10.2.1: ever more packets for one answer.
        entry.answer_at = entry.answer_at.saturating_mul(2);
        entry.farewell.clone().map_or(Answer::Silence, Answer::Farewell)
    }

    pub(crate) fn len(&self) -> usize {
        self.closed.len()
    }

    fn expire(&mut self, now: Time) {
        while self.closed.front().is_some_and(|closed| closed.end <= now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some(closed) = self.closed.pop_front() else { return };
        for id in self.order.drain(..closed.ids) {
            // Unless a later connection had it too.
            if self.ids.get(&id) == Some(&self.first) {
                self.ids.remove(&id);
            }
        }
        self.first += 1;
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
        list.add(Time::ZERO, &[id(1)], Some(Bytes::from_static(b"bye")));
        let farewell = Answer::Farewell(Bytes::from_static(b"bye"));
        let answers = (0..1000).filter(|_| list.on_packet(Time::ZERO, &id(1)) == farewell);
        assert_eq!(answers.count(), 10);
        assert_eq!(list.on_packet(Time::ZERO, &id(2)), Answer::Unknown);
    }

    #[test]
    fn it_is_bounded_in_number_and_in_time() {
        let mut list = TimeWaitList::new(Duration::from_secs(200), 3);
        (0..10).for_each(|n| list.add(Time::ZERO, &[id(n)], None));
        assert_eq!((list.len(), list.ids.len(), list.order.len()), (3, 3, 3));
        assert_eq!(list.on_packet(Time::from_millis(200_000), &id(9)), Answer::Unknown);
        assert_eq!((list.len(), list.ids.len(), list.order.len()), (0, 0, 0));
    }

    #[test]
    fn an_id_that_two_connections_had_is_known_as_long_as_the_later() {
        let mut list = TimeWaitList::new(Duration::from_secs(200), 3);
        let farewell = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        for number in 0..5 {
            list.add(Time::from_millis(number), &[id(1), id(2)], farewell("bye"));
        }
        assert_eq!((list.len(), list.ids.len()), (3, 2));
        let last = Time::from_millis(200_003);
        assert_ne!(list.on_packet(last, &id(2)), Answer::Unknown);
        assert_eq!(list.on_packet(Time::from_millis(200_004), &id(2)), Answer::Unknown);
        assert!(list.ids.is_empty());
    }
}
