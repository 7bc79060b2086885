//! [`Queue`]: what waits for a line, and who is dropped or marked because of it: limits in packets
//! and bytes, CoDel (RFC 8289), FQ-CoDel (RFC 8290), DualPI2 (RFC 9332), and the step marking of
//! DCTCP (RFC 8257). This file must not know lines or delays.

use std::time::Duration;

use protoquic::{Ecn, Time};

use super::codel::CoDel;
use super::datagram::Datagram;
use super::dual_pi2::DualPi2;
use super::fifo::Fifo;
use super::fq_codel::FqCodel;

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
    /// RFC 8290: a queue with [CoDel](Self::CoDel) for each flow (addresses and ports), which take
    /// turns by bytes; flows that send little go first. When there is no room the longest queue
    /// loses its first datagram.
    FqCoDel {
        /// As with CoDel.
        target: Duration,
        /// As with CoDel.
        interval: Duration,
    },
    /// RFC 9332: a short queue for L4S traffic, that is ECT(1) and CE, and one for all other. The
    /// other's congestion is felt in both: twice as hard by L4S traffic, whose response to a mark is
    /// that much weaker.
    DualPi2 {
        /// The wait that the classic queue is led to. RFC 9332 §A.1: 15 ms.
        target: Duration,
        /// The wait from which on all L4S traffic is marked. RFC 9332 §A.1: 1 ms or so.
        step: Duration,
    },
    /// Everything ECN-capable that waited longer than this is marked.
    Step {
        /// The longest wait without a mark.
        threshold: Duration,
    },
}

impl Aqm {
    /// CoDel with the values of RFC 8289 §4.3.
    pub const CODEL: Self =
        Self::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    /// FQ-CoDel with the values of RFC 8290 §5.2.
    pub const FQ_CODEL: Self =
        Self::FqCoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    /// DualPI2 with the values of RFC 9332 §A.1.
    pub const DUAL_PI2: Self =
        Self::DualPi2 { target: Duration::from_millis(15), step: Duration::from_millis(1) };

    /// By its name, with its usual values: `droptail`, `codel`, `fq-codel`, `dualpi2`, `step` (which
    /// marks above 1 ms).
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "droptail" => Self::DropTail,
            "codel" => Self::CODEL,
            "fq-codel" => Self::FQ_CODEL,
            "dualpi2" => Self::DUAL_PI2,
            "step" => Self::Step { threshold: Duration::from_millis(1) },
            _ => return None,
        })
    }
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
    discipline: Discipline,
}

/// What waits, in the order that its management needs.
#[derive(Debug)]
enum Discipline {
    Fifo(Fifo, CoDel),
    Fair(FqCodel),
    Dual(Box<DualPi2>),
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

impl Dequeued {
    /// A datagram leaves the queue: marked or, where it cannot be, dropped if that is to `signal`
    /// congestion. Returns whether it goes on.
    pub(super) fn leave(&mut self, mut datagram: Box<Datagram>, signal: bool) -> bool {
        if signal && datagram.ecn == Ecn::NotEct {
            self.dropped.push(datagram);
            return false;
        }
        if signal {
            datagram.ecn = Ecn::Ce;
            self.marked = true;
        }
        self.next = Some(datagram);
        true
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        Self { config, discipline: Discipline::new(config.aqm) }
    }

    /// Other limits and management from now on; what waits stays.
    pub fn set_config(&mut self, config: QueueConfig) {
        if config.aqm != self.config.aqm {
            let waiting = self.discipline.drain();
            self.discipline = Discipline::new(config.aqm);
            for (since, datagram) in waiting {
                self.discipline.push(since, datagram);
            }
        }
        self.config = config;
    }

    /// Bytes that wait.
    pub fn len_bytes(&self) -> usize {
        self.discipline.size().1
    }

    /// Takes a datagram, or gives one back for which there is no room: this one or, where each flow
    /// has a queue, the first of the longest (RFC 8290 §4.1.3).
    pub fn push(&mut self, now: Time, datagram: Box<Datagram>) -> Result<(), Box<Datagram>> {
        let (packets, bytes) = self.discipline.size();
        let fits = packets < self.config.packets
            && bytes.saturating_add(datagram.ip_size()) <= self.config.bytes;
        if fits {
            self.discipline.push(now, datagram);
            return Ok(());
        }
        let Discipline::Fair(fair) = &mut self.discipline else { return Err(datagram) };
        fair.push(now, datagram);
        fair.drop_from_longest().map_or(Ok(()), Err)
    }

    /// The next datagram for the line.
    pub fn pop(&mut self, now: Time) -> Dequeued {
        let mut out = Dequeued::default();
        match &mut self.discipline {
            Discipline::Fifo(fifo, codel) => pop_fifo(self.config.aqm, fifo, codel, now, &mut out),
            Discipline::Fair(fair) => fair.pop(now, &mut out),
            Discipline::Dual(dual) => dual.pop(now, &mut out),
        }
        out
    }
}

impl Discipline {
    fn new(aqm: Aqm) -> Self {
        match aqm {
            Aqm::FqCoDel { target, interval } => Self::Fair(FqCodel::new(target, interval)),
            Aqm::DualPi2 { target, step } => Self::Dual(Box::new(DualPi2::new(target, step))),
            Aqm::DropTail | Aqm::CoDel { .. } | Aqm::Step { .. } => {
                Self::Fifo(Fifo::default(), CoDel::default())
            }
        }
    }

    fn push(&mut self, now: Time, datagram: Box<Datagram>) {
        match self {
            Self::Fifo(fifo, _) => fifo.push(now, datagram),
            Self::Fair(fair) => fair.push(now, datagram),
            Self::Dual(dual) => dual.push(now, datagram),
        }
    }

    /// Datagrams and bytes.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Fifo(fifo, _) => (fifo.len(), fifo.bytes()),
            Self::Fair(fair) => fair.size(),
            Self::Dual(dual) => dual.size(),
        }
    }

    /// Everything that waits, oldest first.
    fn drain(&mut self) -> Vec<(Time, Box<Datagram>)> {
        let mut all: Vec<_> = match self {
            Self::Fifo(fifo, _) => fifo.drain().collect(),
            Self::Fair(fair) => fair.drain(),
            Self::Dual(dual) => dual.drain(),
        };
        all.sort_by_key(|(since, _)| *since);
        all
    }
}

fn pop_fifo(aqm: Aqm, fifo: &mut Fifo, codel: &mut CoDel, now: Time, out: &mut Dequeued) {
    while let Some((since, datagram)) = fifo.pop() {
        let wait = now.saturating_since(since);
        let signal = match aqm {
            Aqm::Step { threshold } => wait > threshold && datagram.ecn != Ecn::NotEct,
            Aqm::CoDel { target, interval } => {
                codel.signals(now, wait, fifo.is_idle(), target, interval)
            }
            Aqm::DropTail | Aqm::FqCoDel { .. } | Aqm::DualPi2 { .. } => false,
        };
        if out.leave(datagram, signal) {
            return;
        }
    }
}

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
