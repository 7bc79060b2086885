//! A bottleneck in virtual time: senders, each a [`Recovery`], share one link with a rate, a delay,
//! a queue, random loss and CE marks, and get the acknowledgements that our own receiver would send.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::congestion::SendAlgorithm;
use crate::helper::{RandomGenerator, SeededRandom};
use crate::recovery::{
    AckRanges, AckSummary, FrameSink, HandshakeState, Recovery, RecoveryConfig, SentPacket,
};
use crate::time::Time;
use crate::types::{Ecn, EcnCounts, Role, Space};

const APP: Space = Space::Application;
const SIZE: u16 = 1200;
const ACK_EVERY: u32 = 10;
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// The link all flows share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) mbit: u64,
    pub(super) rtt: Duration,
    /// In bandwidth-delay products, but at least 20 packets.
    pub(super) queue_bdp: f64,
    /// Lost at random, of ten thousand.
    pub(super) loss: u64,
    /// Packets that wait longer are marked CE, if they may be.
    pub(super) mark_above: Option<Duration>,
    /// Every so many packets one is overtaken by so many others.
    pub(super) reorder: Option<(u64, u32)>,
}

impl Link {
    pub(super) const fn new(mbit: u64, rtt_ms: u64) -> Self {
        Self {
            mbit,
            rtt: Duration::from_millis(rtt_ms),
            queue_bdp: 1.0,
            loss: 0,
            mark_above: None,
            reorder: None,
        }
    }

    fn bytes_per_second(&self) -> f64 {
        self.mbit as f64 * 125_000.0
    }

    fn time_for(&self, bytes: f64) -> Duration {
        Duration::from_secs_f64(bytes / self.bytes_per_second())
    }

    fn max_wait(&self) -> Duration {
        self.rtt.mul_f64(self.queue_bdp).max(self.time_for(20.0 * f64::from(SIZE)))
    }
}

/// What one flow sends, and what its receiver has.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) recovery: Recovery<()>,
    /// Bytes the application still has; `None`: without end.
    pub(super) backlog: Option<u64>,
    pub(super) delivered: u64,
    pub(super) sent: u64,
    /// The most that left at one instant.
    pub(super) largest_burst: u64,
    arrivals: VecDeque<(Time, u64, Ecn)>,
    acks: VecDeque<(Time, Vec<RangeInclusive<u64>>, Duration, EcnCounts)>,
    received: AckRanges,
    newest_received: Time,
    counts: EcnCounts,
    unacked: u32,
    ack_at: Option<Time>,
}

/// A link and its flows.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) link: Link,
    pub(super) flows: Vec<Flow>,
    busy_until: Time,
    packets: u64,
    random: SeededRandom,
    /// The longest a packet has waited in the queue.
    pub(super) longest_wait: Duration,
}

struct Ignore;

impl FrameSink<()> for Ignore {
    fn on_packets_acked(&mut self, _: Space, _: Range<u64>, _: &SentPacket<()>) {}

    fn on_packet_lost(&mut self, _: Space, _: u64, _: &SentPacket<()>) {}
}

impl World {
    pub(super) const START: Time = Time::from_millis(1000);

    pub(super) fn new(link: Link) -> Self {
        Self {
            now: Self::START,
            link,
            flows: Vec::new(),
            busy_until: Time::ZERO,
            packets: 0,
            random: SeededRandom::new(link.mbit ^ link.rtt.as_millis() as u64),
            longest_wait: Duration::ZERO,
        }
    }

    /// Adds a flow without end that begins now.
    pub(super) fn add(&mut self, algorithm: Box<dyn SendAlgorithm>) -> usize {
        let config = RecoveryConfig::default();
        let mut recovery = Recovery::new(Role::Server, &config, algorithm);
        let confirmed = HandshakeState { confirmed: true, ..recovery.handshake_state() };
        recovery.set_handshake_state(self.now, confirmed);
        self.flows.push(Flow {
            recovery,
            backlog: None,
            delivered: 0,
            sent: 0,
            largest_burst: 0,
            arrivals: VecDeque::new(),
            acks: VecDeque::new(),
            received: AckRanges::default(),
            newest_received: Time::ZERO,
            counts: EcnCounts::default(),
            unacked: 0,
            ack_at: None,
        });
        self.flows.len() - 1
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        (0..self.flows.len()).for_each(|flow| self.send(flow));
        while let Some((at, flow)) = self.next_event().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.step(flow);
        }
        self.now = end;
    }

    /// The share of the link that a flow used since `since`, when it had delivered `before`.
    pub(super) fn share(&self, flow: usize, since: Time, before: u64) -> f64 {
        let time = (self.now - since).as_secs_f64();
        (self.flows[flow].delivered - before) as f64 / (time * self.link.bytes_per_second())
    }

    fn next_event(&mut self) -> Option<(Time, usize)> {
        let events = self.flows.iter_mut().enumerate().flat_map(|(index, flow)| {
            let pacing = if flow.wants_to_send() { flow.recovery.pacing_deadline() } else { None };
            let times = [
                flow.arrivals.front().map(|(at, ..)| *at),
                flow.acks.front().map(|(at, ..)| *at),
                flow.ack_at,
                flow.recovery.deadline(),
                pacing,
            ];
            times.into_iter().flatten().map(move |at| (at, index))
        });
        events.min()
    }

    fn step(&mut self, flow: usize) {
        let (now, rtt) = (self.now, self.link.rtt);
        let this = &mut self.flows[flow];
        while let Some((_, number, ecn)) = this.arrivals.pop_front_if(|(at, ..)| *at <= now) {
            this.receive(now, number, ecn);
        }
        if this.ack_at.is_some_and(|at| at <= now) {
            this.acknowledge(now, now + rtt / 2);
        }
        while let Some((_, ranges, delay, counts)) = this.acks.pop_front_if(|(at, ..)| *at <= now) {
            this.on_ack(now, ranges, delay, counts);
        }
        if this.recovery.deadline().is_some_and(|at| at <= now) {
            this.recovery.on_deadline(now, &mut Ignore);
            if this.recovery.pto_count() > 0 {
                self.transmit(flow); // the probe
            }
        }
        self.send(flow);
    }

    /// All that window and pacing allow.
    pub(super) fn send(&mut self, flow: usize) {
        let mut burst = 0;
        while self.flows[flow].wants_to_send()
            && self.flows[flow].recovery.send_allowance(self.now) >= u64::from(SIZE)
        {
            self.transmit(flow);
            burst += u64::from(SIZE);
        }
        let this = &mut self.flows[flow];
        this.largest_burst = this.largest_burst.max(burst);
        if !this.wants_to_send() {
            this.recovery.on_application_limited();
        }
    }

    fn transmit(&mut self, flow: usize) {
        let this = &mut self.flows[flow];
        let number = this.recovery.next_packet_number(APP);
        let mut ecn = this.recovery.ecn_codepoint();
        let packet = SentPacket::ack_eliciting(SIZE, ecn, ());
        this.recovery.on_packet_sent(self.now, APP, number, packet);
        this.sent += u64::from(SIZE);
        if let Some(backlog) = &mut this.backlog {
            *backlog = backlog.saturating_sub(u64::from(SIZE));
        }
        let wait = self.busy_until - self.now;
        self.packets += 1;
        if wait > self.link.max_wait() || self.random.next_u64() % 10_000 < self.link.loss {
            return;
        }
        self.longest_wait = self.longest_wait.max(wait);
        if ecn != Ecn::NotEct && self.link.mark_above.is_some_and(|above| wait > above) {
            ecn = Ecn::Ce;
        }
        let transmission = self.link.time_for(f64::from(SIZE));
        self.busy_until = self.busy_until.max(self.now) + transmission;
        let mut arrival = self.busy_until + self.link.rtt / 2;
        if let Some((every, by)) = self.link.reorder
            && self.packets.is_multiple_of(every)
        {
            arrival += transmission * by;
        }
        let arrivals = &mut self.flows[flow].arrivals;
        let at = arrivals.partition_point(|(at, ..)| *at <= arrival);
        arrivals.insert(at, (arrival, number, ecn));
    }
}

impl Flow {
    fn wants_to_send(&self) -> bool {
        self.backlog.is_none_or(|backlog| backlog > 0)
    }

    fn receive(&mut self, now: Time, number: u64, ecn: Ecn) {
        self.delivered += u64::from(self.received.insert(number)) * u64::from(SIZE);
        self.newest_received = now;
        let new_mark = ecn == Ecn::Ce;
        match ecn {
            Ecn::Ect0 => self.counts.ect0 += 1,
            Ecn::Ect1 => self.counts.ect1 += 1,
            Ecn::Ce => self.counts.ce += 1,
            Ecn::NotEct => {}
        }
        self.unacked += 1;
        let gap = self.received.start_of_newest().is_some_and(|start| start == number);
        if self.unacked >= ACK_EVERY || gap || new_mark {
            self.ack_at = Some(now);
        } else {
            self.ack_at.get_or_insert(now + MAX_ACK_DELAY);
        }
    }

    fn acknowledge(&mut self, now: Time, arrives: Time) {
        let ranges = self.received.iter().take(32).collect();
        self.acks.push_back((arrives, ranges, now - self.newest_received, self.counts));
        self.unacked = 0;
        self.ack_at = None;
    }

    fn on_ack(
        &mut self,
        now: Time,
        ranges: Vec<RangeInclusive<u64>>,
        delay: Duration,
        counts: EcnCounts,
    ) -> AckSummary {
        let counts = (counts != EcnCounts::default()).then_some(counts);
        self.recovery
            .on_ack_received(now, APP, ranges, delay, counts, &mut Ignore)
            .expect("the receiver is honest")
    }
}
