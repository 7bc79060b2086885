//! [`Queue`]: what waits for a line, and who is dropped or marked because of it: limits in packets
//! and bytes, CoDel (RFC 8289), and the step marking of DCTCP and L4S (RFC 8257, RFC 9332). This
//! file must not know lines or delays.

use std::collections::VecDeque;
use std::time::Duration;

use protoquic::{Ecn, Time};

use super::datagram::Datagram;

/// What a queue holds, and how it tells its senders that they are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Datagrams that wait, at most; one more is on the line.
    pub packets: usize,
    /// Bytes of IP packets that wait, at most.
    pub bytes: usize,
    /// What happens before the queue is full.
    pub aqm: Aqm,
}

/// Active queue management.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aqm {
    /// None: the tail is dropped when the queue is full.
    #[default]
    DropTail,
    /// RFC 8289: when the least wait of an `interval` was above `target`, drop, or mark what can be
    /// marked, ever more often until it is not.
    CoDel {
        /// The wait that is acceptable. RFC 8289 §4.3: 5 ms.
        target: Duration,
        /// Of the order of a round trip. RFC 8289 §4.3: 100 ms.
        interval: Duration,
    },
    /// Everything ECN-capable that waited longer than this is marked.
    Step {
        /// The longest wait without a mark.
        threshold: Duration,
    },
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { packets: usize::MAX, bytes: usize::MAX, aqm: Aqm::DropTail }
    }
}

impl QueueConfig {
    /// A tail-drop queue of so many datagrams.
    pub fn packets(packets: usize) -> Self {
        Self { packets, ..Self::default() }
    }

    /// A tail-drop queue of so many bytes of IP packets.
    pub fn bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// A queue at work.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
    waiting: VecDeque<(Time, Box<Datagram>)>,
    bytes: usize,
    codel: CoDel,
}

/// What came out of a queue.
#[derive(Debug, Default)]
pub struct Dequeued {
    /// The datagram to send next.
    pub next: Option<Box<Datagram>>,
    /// Datagrams that the queue's management dropped instead.
    pub dropped: Vec<Box<Datagram>>,
    /// Whether `next` was marked CE here.
    pub marked: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        Self { config, waiting: VecDeque::new(), bytes: 0, codel: CoDel::default() }
    }

    /// Other limits from now on; what waits stays.
    pub fn set_config(&mut self, config: QueueConfig) {
        self.config = config;
    }

    /// Bytes that wait.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a datagram, or gives it back if there is no room.
    pub fn push(&mut self, now: Time, datagram: Box<Datagram>) -> Result<(), Box<Datagram>> {
        let size = datagram.ip_size();
        let fits = self.waiting.len() < self.config.packets
            && self.bytes.saturating_add(size) <= self.config.bytes;
        if !fits {
            return Err(datagram);
        }
        self.bytes += size;
        self.waiting.push_back((now, datagram));
        Ok(())
    }

    /// The next datagram for the line.
    pub fn pop(&mut self, now: Time) -> Dequeued {
        let mut out = Dequeued::default();
        while let Some((since, mut datagram)) = self.take() {
            let wait = now.saturating_since(since);
            let signal = match self.config.aqm {
                Aqm::DropTail => false,
                Aqm::Step { threshold } => wait > threshold && datagram.ecn != Ecn::NotEct,
                Aqm::CoDel { target, interval } => {
                    let idle = self.bytes < MAX_CODEL_IDLE_BYTES;
                    self.codel.signals(now, wait, idle, target, interval)
                }
            };
            if signal && datagram.ecn == Ecn::NotEct {
                out.dropped.push(datagram);
                continue;
            }
            if signal {
                datagram.ecn = Ecn::Ce;
                out.marked = true;
            }
            out.next = Some(datagram);
            break;
        }
        out
    }

    fn take(&mut self) -> Option<(Time, Box<Datagram>)> {
        let (since, datagram) = self.waiting.pop_front()?;
        self.bytes -= datagram.ip_size();
        Some((since, datagram))
    }
}

/// The control law of RFC 8289 §5.
#[derive(Debug, Default)]
struct CoDel {
    /// When the wait will have been too long for an interval.
    first_above: Option<Time>,
    dropping: bool,
    next: Time,
    count: u32,
    last_count: u32,
}

impl CoDel {
    /// Whether this datagram is to be dropped or marked.
    fn signals(
        &mut self,
        now: Time,
        wait: Duration,
        idle: bool,
        target: Duration,
        interval: Duration,
    ) -> bool {
        let over = self.is_over(now, wait < target || idle, interval);
        if self.dropping {
            self.dropping = over;
            if over && now >= self.next {
                self.count += 1;
                self.next += law(interval, self.count);
                return true;
            }
            return false;
        }
        if over {
            self.dropping = true;
            let since = self.count.saturating_sub(self.last_count);
            let recent = now.saturating_since(self.next) < 16 * interval;
            self.count = if since > 1 && recent { since } else { 1 };
            self.last_count = self.count;
            self.next = now + law(interval, self.count);
        }
        over
    }

    fn is_over(&mut self, now: Time, fine: bool, interval: Duration) -> bool {
        if fine {
            self.first_above = None;
            return false;
        }
        let first = *self.first_above.get_or_insert(now + interval);
        now >= first
    }
}

/// The time to the next signal shrinks with the square root of their number.
fn law(interval: Duration, count: u32) -> Duration {
    interval.div_f64(f64::from(count).sqrt())
}

/// With less than a packet behind it, a line is not congested (RFC 8289 §5.4).
const MAX_CODEL_IDLE_BYTES: usize = 1500;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn datagram(ecn: Ecn) -> Datagram {
        let address = ([10, 0, 0, 1], 1).into();
        let data = BytesMut::zeroed(1472);
        Datagram {
            from: address,
            to: address,
            ecn,
            origin: (address, address),
            sent: Time::ZERO,
            data,
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn limits_count_packets_and_bytes() {
        let mut queue = Queue::new(QueueConfig { bytes: 4000, ..QueueConfig::packets(3) });
        assert!(queue.push(at(0), Box::new(datagram(Ecn::NotEct))).is_ok());
        assert!(queue.push(at(0), Box::new(datagram(Ecn::NotEct))).is_ok());
        assert!(queue.push(at(0), Box::new(datagram(Ecn::NotEct))).is_err(), "4500 bytes");
        queue.set_config(QueueConfig::packets(2));
        assert!(queue.push(at(0), Box::new(datagram(Ecn::NotEct))).is_err(), "three packets");
    }

    #[test]
    fn a_step_marks_what_waited_too_long_and_can_be_marked() {
        let aqm = Aqm::Step { threshold: Duration::from_millis(1) };
        let mut queue = Queue::new(QueueConfig { aqm, ..QueueConfig::default() });
        for ecn in [Ecn::Ect1, Ecn::Ect1, Ecn::NotEct] {
            queue.push(at(0), Box::new(datagram(ecn))).unwrap();
        }
        let out = |queue: &mut Queue, when| queue.pop(at(when)).next.map(|next| next.ecn);
        assert_eq!(out(&mut queue, 1), Some(Ecn::Ect1));
        assert_eq!(out(&mut queue, 2), Some(Ecn::Ce));
        assert_eq!(out(&mut queue, 3), Some(Ecn::NotEct));
    }

    /// One datagram in and one out each 2 ms for a second, behind a standing queue of ten.
    fn codel_signals(ecn: Ecn, standing: usize) -> (usize, usize) {
        let aqm =
            Aqm::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
        let mut queue = Queue::new(QueueConfig { aqm, ..QueueConfig::default() });
        (0..standing).for_each(|_| queue.push(at(0), Box::new(datagram(ecn))).unwrap());
        let (mut dropped, mut marked) = (0, 0);
        for step in 0..500 {
            queue.push(at(2 * step), Box::new(datagram(ecn))).unwrap();
            let out = queue.pop(at(2 * step));
            dropped += out.dropped.len();
            marked += usize::from(out.marked);
        }
        (dropped, marked)
    }

    #[test]
    fn codel_acts_on_a_standing_queue_only() {
        assert_eq!(codel_signals(Ecn::NotEct, 1), (0, 0));
        let (dropped, marked) = codel_signals(Ecn::NotEct, 10);
        assert!((5..=10).contains(&dropped) && marked == 0, "{dropped}");
        // Marks do not shorten this queue, so they come ever more often.
        let (dropped, marked) = codel_signals(Ecn::Ect0, 10);
        assert!(dropped == 0 && marked > 15, "{marked}");
    }
}
