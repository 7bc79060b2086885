//! [`Link`]: one direction of a line. A pure machine: datagrams and times go in, arrivals and times
//! come out. In the order of a real line: MTU, queue, serialisation, delay, and what goes wrong on
//! the way. This file must not know who is at its ends.

use std::time::Duration;

use protoquic::{Ecn, Time};

use super::datagram::Datagram;
use super::dice::Dice;
use super::loss::{Loss, LossState};
use super::queue::{Queue, QueueConfig};

/// What a line does to datagrams, in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// Bits of IP packets (and [`framing`](Self::framing)) in a second; `None`: no limit.
    pub bandwidth: Option<u64>,
    /// What the line adds to each IP packet, in bytes.
    pub framing: usize,
    /// The time on the way.
    pub delay: Duration,
    /// Up to this much more, evenly; the order stays.
    pub jitter: Duration,
    /// What is lost; each model is asked.
    pub loss: Vec<Loss>,
    /// The share held back by up to [`reorder_delay`](Self::reorder_delay), so that later ones
    /// overtake; 0 to 1.
    pub reorder: f64,
    /// How long the held back ones are held back, at most.
    pub reorder_delay: Duration,
    /// The share that arrives twice, 0 to 1.
    pub duplicate: f64,
    /// What is corrupted.
    pub corruption: Corruption,
    /// What becomes of ECN marks.
    pub ecn: EcnTreatment,
    /// What waits.
    pub queue: QueueConfig,
    /// Larger IP packets vanish; in bytes. (They could not be fragmented: QUIC forbids it.)
    pub mtu: usize,
}

/// How a line corrupts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corruption {
    /// The share of datagrams, 0 to 1.
    pub rate: f64,
    /// How many in a row at most.
    pub burst: u32,
    /// How many bytes at the front may be hit.
    pub reach: usize,
    /// Whether Version Negotiation packets are spared.
    pub spares_version_negotiation: bool,
}

/// What a line does to ECN marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnTreatment {
    /// Carries them.
    #[default]
    Carry,
    /// Clears them.
    Bleach,
    /// Marks all that can be marked as CE.
    MarkAll,
    /// Drops what is marked.
    Drop,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            bandwidth: None,
            framing: 0,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: Vec::new(),
            reorder: 0.0,
            reorder_delay: Duration::from_millis(5),
            duplicate: 0.0,
            corruption: Corruption::default(),
            ecn: EcnTreatment::default(),
            queue: QueueConfig::default(),
            mtu: 1500,
        }
    }
}

impl Default for Corruption {
    fn default() -> Self {
        Self { rate: 0.0, burst: u32::MAX, reach: usize::MAX, spares_version_negotiation: false }
    }
}

impl LinkConfig {
    /// A line of this bandwidth (bits a second) and delay, with a queue of one bandwidth-delay
    /// product of the round trip and at least 20 packets.
    pub fn with_rate(bandwidth: u64, delay: Duration) -> Self {
        let product = (bandwidth as f64 / 8.0 * 2.0 * delay.as_secs_f64()) as usize;
        Self {
            bandwidth: Some(bandwidth),
            delay,
            queue: QueueConfig::bytes(product.max(30_000)),
            ..Self::default()
        }
    }

    /// The same with random loss.
    #[must_use]
    pub fn losing(mut self, rate: f64) -> Self {
        self.loss.push(Loss::Random(rate));
        self
    }
}

/// Why a line did not deliver a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// It is larger than the MTU.
    TooBig,
    /// The queue was full.
    QueueFull,
    /// The queue's management dropped it.
    Managed,
    /// A [`Loss`] took it, or its mark displeased.
    Lost,
}

/// What a line did so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTally {
    /// That came.
    pub offered: u64,
    /// That arrived at the other end, duplicates not counted.
    pub delivered: u64,
    /// Larger than the MTU.
    pub too_big: u64,
    /// That found the queue full.
    pub queue_full: u64,
    /// Dropped by the queue's management.
    pub managed: u64,
    /// Marked CE by the queue's management.
    pub marked: u64,
    /// Lost.
    pub lost: u64,
    /// Corrupted.
    pub corrupted: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// The longest queue, in bytes.
    pub longest_queue: usize,
}

/// One direction of a line at work.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    born: Time,
    dice: Dice,
    queue: Queue,
    losses: Vec<LossState>,
    corruption: LossState,
    on_the_line: Option<Box<Datagram>>,
    last_arrival: Time,
    tally: LinkTally,
}

/// What a line says to whoever runs it.
#[derive(Debug, Default)]
pub struct LinkOutput {
    /// What arrives at the other end, and when.
    pub arrivals: Vec<(Time, Box<Datagram>)>,
    /// What does not.
    pub drops: Vec<(Dropped, Box<Datagram>)>,
    /// When to call [`Link::on_line_free`].
    pub line_free: Option<Time>,
}

impl Link {
    /// A line that begins to exist now.
    pub fn new(config: LinkConfig, now: Time, dice: Dice) -> Self {
        Self {
            born: now,
            dice,
            queue: Queue::new(config.queue),
            losses: config.loss.iter().cloned().map(LossState::new).collect(),
            corruption: corruption_state(&config),
            on_the_line: None,
            last_arrival: now,
            tally: LinkTally::default(),
            config,
        }
    }

    /// What it is.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes its nature; what is under way or waits stays. Loss models begin anew.
    pub fn set_config(&mut self, now: Time, config: LinkConfig) {
        self.queue.set_config(config.queue);
        self.losses = config.loss.iter().cloned().map(LossState::new).collect();
        self.corruption = corruption_state(&config);
        self.born = now;
        self.config = config;
    }

    /// What it did so far.
    pub fn tally(&self) -> LinkTally {
        self.tally
    }

    /// Takes a datagram.
    pub fn offer(&mut self, now: Time, datagram: Box<Datagram>, out: &mut LinkOutput) {
        self.tally.offered += 1;
        if datagram.ip_size() > self.config.mtu {
            self.tally.too_big += 1;
            out.drops.push((Dropped::TooBig, datagram));
        } else if self.config.bandwidth.is_none() && self.on_the_line.is_none() {
            self.depart(now, datagram, out);
        } else if self.on_the_line.is_none() {
            self.begin(now, datagram, out);
        } else if let Err(datagram) = self.queue.push(now, datagram) {
            self.tally.queue_full += 1;
            out.drops.push((Dropped::QueueFull, datagram));
        } else {
            self.tally.longest_queue = self.tally.longest_queue.max(self.queue.len_bytes());
        }
    }

    /// The line has sent what was on it.
    pub fn on_line_free(&mut self, now: Time, out: &mut LinkOutput) {
        if let Some(datagram) = self.on_the_line.take() {
            self.depart(now, datagram, out);
        }
        let dequeued = self.queue.pop(now);
        self.tally.managed += dequeued.dropped.len() as u64;
        self.tally.marked += u64::from(dequeued.marked);
        out.drops.extend(dequeued.dropped.into_iter().map(|datagram| (Dropped::Managed, datagram)));
        if let Some(datagram) = dequeued.next {
            self.begin(now, datagram, out);
        }
    }

    /// Puts a datagram on the line.
    fn begin(&mut self, now: Time, datagram: Box<Datagram>, out: &mut LinkOutput) {
        let bits = 8 * (datagram.ip_size() + self.config.framing) as u128;
        let rate = u128::from(self.config.bandwidth.unwrap_or(u64::MAX).max(1));
        let nanos = (bits * 1_000_000_000).div_ceil(rate) as u64;
        self.on_the_line = Some(datagram);
        out.line_free = Some(now + Duration::from_nanos(nanos));
    }

    /// A datagram leaves the line for the wide world.
    fn depart(&mut self, now: Time, mut datagram: Box<Datagram>, out: &mut LinkOutput) {
        if self.loses(now) || !self.treat_mark(&mut datagram) {
            self.tally.lost += 1;
            out.drops.push((Dropped::Lost, datagram));
            return;
        }
        self.corrupt(now, &mut datagram);
        let mut arrival = now + self.config.delay + self.dice.up_to(self.config.jitter);
        if self.dice.chance(self.config.reorder) {
            self.tally.reordered += 1;
            arrival += self.dice.up_to(self.config.reorder_delay);
        } else {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        if self.dice.chance(self.config.duplicate) {
            self.tally.duplicated += 1;
            let later = arrival + self.dice.up_to(self.config.reorder_delay);
            out.arrivals.push((later, datagram.clone()));
        }
        self.tally.delivered += 1;
        out.arrivals.push((arrival, datagram));
    }

    fn loses(&mut self, now: Time) -> bool {
        let age = now.saturating_since(self.born);
        let dice = &mut self.dice;
        self.losses.iter_mut().fold(false, |lost, model| model.loses(age, dice) | lost)
    }

    /// What becomes of its ECN mark; false if the datagram is dropped for it.
    fn treat_mark(&self, datagram: &mut Datagram) -> bool {
        let is_marked = datagram.ecn != Ecn::NotEct;
        match self.config.ecn {
            EcnTreatment::Bleach => datagram.ecn = Ecn::NotEct,
            EcnTreatment::MarkAll if is_marked => datagram.ecn = Ecn::Ce,
            EcnTreatment::Carry | EcnTreatment::MarkAll => {}
            EcnTreatment::Drop => return !is_marked,
        }
        true
    }

    /// Replaces a byte by another.
    fn corrupt(&mut self, now: Time, datagram: &mut Datagram) {
        let Corruption { rate, reach, spares_version_negotiation, .. } = self.config.corruption;
        let reach = reach.min(datagram.data.len());
        let spared = spares_version_negotiation && is_version_negotiation(&datagram.data);
        if rate <= 0.0 || reach == 0 || spared {
            return;
        }
        if self.corruption.loses(now.saturating_since(self.born), &mut self.dice) {
            self.tally.corrupted += 1;
            let at = self.dice.below(reach as u64) as usize;
            datagram.data[at] ^= self.dice.between(1, 255) as u8;
        }
    }
}

fn corruption_state(config: &LinkConfig) -> LossState {
    let Corruption { rate, burst, .. } = config.corruption;
    LossState::new(Loss::Limited { rate, burst })
}

/// A long header with version 0 (RFC 8999 §6).
fn is_version_negotiation(data: &[u8]) -> bool {
    data.len() > 4 && data[0] & 0x80 != 0 && data[1..5] == [0; 4]
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn datagram(size: usize) -> Datagram {
        let (address, data) = (([10, 0, 0, 1], 1).into(), BytesMut::zeroed(size - 28));
        Datagram {
            from: address,
            to: address,
            ecn: Ecn::Ect0,
            origin: (address, address),
            sent: Time::ZERO,
            data,
        }
    }

    /// Offers so many datagrams at once and runs the line until it is free.
    fn run(config: LinkConfig, packets: usize, size: usize) -> (LinkOutput, LinkTally) {
        let mut link = Link::new(config, Time::ZERO, Dice::new(1));
        let mut out = LinkOutput::default();
        (0..packets).for_each(|_| link.offer(Time::ZERO, Box::new(datagram(size)), &mut out));
        while let Some(free) = out.line_free.take() {
            link.on_line_free(free, &mut out);
        }
        (out, link.tally())
    }

    fn arrivals(out: &LinkOutput) -> Vec<u64> {
        out.arrivals.iter().map(|(at, _)| at.as_nanos() / 1000).collect()
    }

    #[test]
    fn a_rate_spaces_datagrams_and_its_queue_drops_the_tail() {
        let queue = QueueConfig::packets(2);
        let delay = Duration::from_millis(10);
        let config = LinkConfig { queue, ..LinkConfig::with_rate(8_000_000, delay) };
        let (out, tally) = run(config, 5, 1000);
        assert_eq!(arrivals(&out), [11_000, 12_000, 13_000]);
        assert_eq!((tally.queue_full, tally.delivered), (2, 3));
    }

    #[test]
    fn what_is_larger_than_the_mtu_vanishes() {
        let (out, tally) = run(LinkConfig::default(), 1, 1501);
        assert!(out.arrivals.is_empty() && tally.too_big == 1);
        assert_eq!(run(LinkConfig::default(), 1, 1500).1.too_big, 0);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Duration::from_millis(5);
        let (out, _) = run(LinkConfig { jitter, ..LinkConfig::default() }, 500, 100);
        assert!(arrivals(&out).is_sorted());
        let (out, tally) = run(LinkConfig { reorder: 0.1, ..LinkConfig::default() }, 500, 100);
        assert!(!arrivals(&out).is_sorted() && (30..70).contains(&tally.reordered));
    }

    #[test]
    fn a_corrupted_byte_differs_and_lies_within_reach() {
        let corruption = Corruption { rate: 1.0, reach: 51, ..Corruption::default() };
        let (out, _) = run(LinkConfig { corruption, ..LinkConfig::default() }, 200, 1000);
        for (_, datagram) in &out.arrivals {
            let hit = datagram.data.iter().position(|byte| *byte != 0);
            assert!(hit.is_some_and(|at| at < 51));
        }
    }

    #[test]
    fn duplicates_arrive_after_all() {
        let (out, tally) = run(LinkConfig { duplicate: 1.0, ..LinkConfig::default() }, 10, 100);
        assert_eq!((out.arrivals.len(), tally.delivered, tally.duplicated), (20, 10, 10));
    }

    #[test]
    fn marks_are_carried_cleared_raised_or_hated() {
        let marks = |ecn| {
            let (out, _) = run(LinkConfig { ecn, ..LinkConfig::default() }, 1, 100);
            out.arrivals.first().map(|(_, datagram)| datagram.ecn)
        };
        assert_eq!(marks(EcnTreatment::Carry), Some(Ecn::Ect0));
        assert_eq!(marks(EcnTreatment::Bleach), Some(Ecn::NotEct));
        assert_eq!(marks(EcnTreatment::MarkAll), Some(Ecn::Ce));
        assert_eq!(marks(EcnTreatment::Drop), None);
    }
}
