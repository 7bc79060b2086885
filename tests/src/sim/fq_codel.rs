//! [`FqCodel`]: a queue for each flow, which take turns, each with CoDel (RFC 8290). This file must
//! not know lines.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use protoquic::Time;

use super::codel::CoDel;
use super::datagram::Datagram;
use super::fifo::Fifo;
use super::queue::Dequeued;

/// Whose datagrams share a queue. The RFC hashes it into some number of queues; here there are as
/// many as flows.
type FlowKey = (SocketAddr, SocketAddr);

#[derive(Debug)]
pub(super) struct FqCodel {
    target: Duration,
    interval: Duration,
    flows: BTreeMap<FlowKey, Flow>,
    /// Flows that have just begun to wait: they go first (RFC 8290 §4.2).
    new: VecDeque<FlowKey>,
    old: VecDeque<FlowKey>,
    packets: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Flow {
    fifo: Fifo,
    codel: CoDel,
    /// Bytes that it may still send in this turn.
    credit: i64,
    /// It is in one of the lists.
    is_listed: bool,
}

impl FqCodel {
    pub(super) fn new(target: Duration, interval: Duration) -> Self {
        Self {
            target,
            interval,
            flows: BTreeMap::new(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            packets: 0,
            bytes: 0,
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.packets, self.bytes)
    }

    pub(super) fn push(&mut self, now: Time, datagram: Box<Datagram>) {
        self.packets += 1;
        self.bytes += datagram.ip_size();
        let key = (datagram.from, datagram.to);
        let flow = self.flows.entry(key).or_default();
        if !flow.is_listed {
            flow.is_listed = true;
            flow.credit = QUANTUM;
            self.new.push_back(key);
        }
        flow.fifo.push(now, datagram);
    }

    /// RFC 8290 §4.1.3: who takes most of a full queue makes room.
    pub(super) fn drop_from_longest(&mut self) -> Option<Box<Datagram>> {
        let longest = self.flows.values_mut().max_by_key(|flow| flow.fifo.bytes())?;
        let (_, datagram) = longest.fifo.pop()?;
        self.packets -= 1;
        self.bytes -= datagram.ip_size();
        Some(datagram)
    }

    /// RFC 8290 §4.2: deficit round robin, new flows first.
    pub(super) fn pop(&mut self, now: Time, out: &mut Dequeued) {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let Some(key) = list.front().copied() else { return };
            let Some(flow) = self.flows.get_mut(&key) else {
                list.pop_front();
                continue;
            };
            if flow.credit <= 0 {
                flow.credit += QUANTUM;
                list.pop_front();
                self.old.push_back(key);
                continue;
            }
            if self.send_from(key, now, out) {
                return;
            }
            // It is empty: a new flow waits among the old ones for a turn, so that nobody wins by
            // sending in pieces; an old one is forgotten.
            let list = if is_new { &mut self.new } else { &mut self.old };
            list.pop_front();
            if is_new {
                self.old.push_back(key);
            } else {
                self.flows.remove(&key);
            }
        }
    }

    fn send_from(&mut self, key: FlowKey, now: Time, out: &mut Dequeued) -> bool {
        let Some(flow) = self.flows.get_mut(&key) else { return false };
        while let Some((since, datagram)) = flow.fifo.pop() {
            let size = datagram.ip_size();
            self.packets -= 1;
            self.bytes -= size;
            let (wait, idle) = (now.saturating_since(since), flow.fifo.is_idle());
            let signal = flow.codel.signals(now, wait, idle, self.target, self.interval);
            if out.leave(datagram, signal) {
                flow.credit -= (size as u64).cast_signed();
                return true;
            }
        }
        false
    }

    pub(super) fn drain(&mut self) -> Vec<(Time, Box<Datagram>)> {
        (self.packets, self.bytes) = (0, 0);
        self.new.clear();
        self.old.clear();
        let flows = std::mem::take(&mut self.flows);
        flows.into_values().flat_map(|mut flow| flow.fifo.drain().collect::<Vec<_>>()).collect()
    }
}

/// Bytes in a turn: a packet of Ethernet (RFC 8290 §5.2.3).
const QUANTUM: i64 = 1514;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protoquic::Ecn;

    use super::*;

    fn datagram(port: u16, size: usize) -> Box<Datagram> {
        let (from, to) = (([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 443).into());
        let (data, ecn) = (BytesMut::zeroed(size), Ecn::NotEct);
        Box::new(Datagram { from, to, ecn, origin: (from, to), sent: Time::ZERO, data })
    }

    fn queue() -> FqCodel {
        FqCodel::new(Duration::from_millis(5), Duration::from_millis(100))
    }

    fn ports(queue: &mut FqCodel, packets: usize) -> Vec<u16> {
        let next = |_| {
            let mut out = Dequeued::default();
            queue.pop(Time::ZERO, &mut out);
            out.next.map(|datagram| datagram.from.port())
        };
        (0..packets).filter_map(next).collect()
    }

    #[test]
    fn flows_take_turns_and_a_new_one_goes_first() {
        let mut queue = queue();
        (0..4).for_each(|_| queue.push(Time::ZERO, datagram(1, 1486)));
        (0..4).for_each(|_| queue.push(Time::ZERO, datagram(2, 1486)));
        assert_eq!(ports(&mut queue, 4), [1, 2, 1, 2]);
        queue.push(Time::ZERO, datagram(3, 50));
        assert_eq!(ports(&mut queue, 9), [3, 1, 2, 1, 2]);
        assert!(queue.flows.is_empty() && queue.size() == (0, 0));
    }

    #[test]
    fn turns_are_of_bytes() {
        let mut queue = queue();
        (0..30).for_each(|_| queue.push(Time::ZERO, datagram(1, 200)));
        (0..10).for_each(|_| queue.push(Time::ZERO, datagram(2, 1472)));
        let first = ports(&mut queue, 18);
        let small = first.iter().filter(|port| **port == 1).count();
        assert!((13..=15).contains(&small), "{first:?}");
    }

    #[test]
    fn the_longest_queue_makes_room() {
        let mut queue = queue();
        queue.push(Time::ZERO, datagram(1, 1000));
        (0..3).for_each(|_| queue.push(Time::ZERO, datagram(2, 1000)));
        assert_eq!(queue.drop_from_longest().unwrap().from.port(), 2);
        assert_eq!(queue.size().0, 3);
    }
}
