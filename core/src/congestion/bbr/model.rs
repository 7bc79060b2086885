//! BBR's model of the path (draft-ietf-ccwg-bbr §5.5): how fast it delivers, how long it takes, how
//! much may be in flight. Long-term bounds come from probing, short-term ones from congestion
//! since. The model must not know the state machine, only whether it is probing.

use super::filters::{ExtraAcked, FullPipe, MaxBandwidth, MinRtt, Rounds};
use crate::congestion::{Bandwidth, CongestionEvent, LostPacket, RateSample};
use crate::time::Time;

/// LossThresh: the share of lost bytes that a probe may cost, as a divisor (2 %).
const LOSS_DIVISOR: u64 = 50;
/// Losses apart from each other that a round must have before it proves anything: one lost packet
/// in a small flight is more than two percent of it and says nothing.
const MIN_LOSS_EVENTS: u32 = 2;
/// How many deviations above the threshold losses are that no chance explains.
const CHANCE_DEVIATIONS: f64 = 2.0;
/// StartupFullLossCnt: those that end Startup.
pub(super) const STARTUP_LOSS_EVENTS: u32 = 6;
/// Beta: what a bound is multiplied by in a round with losses.
const BETA: f64 = 0.7;
/// Headroom: the share of the long-term bound that is left to others.
const HEADROOM: f64 = 0.15;
/// The share of CE marks in a round that is too high for a probe.
const ECN_THRESHOLD: f64 = 0.5;
/// How many rounds above it in a row end Startup.
const ECN_ROUNDS: u8 = 2;
/// How much of the marked share the short-term bound gives way by.
const ECN_FACTOR: f64 = 1.0 / 3.0;
/// The weight of the latest round in the mean share of marks.
const ECN_GAIN: f64 = 1.0 / 16.0;

/// No bound.
pub(super) const UNBOUNDED: u64 = u64::MAX;

/// What is known of the path.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) rounds: Rounds,
    pub(super) max_bandwidth: MaxBandwidth,
    pub(super) full_pipe: FullPipe,
    pub(super) min_rtt: MinRtt,
    pub(super) extra_acked: ExtraAcked,
    pub(super) bounds: Bounds,
    losses: LossRound,
    marks: Marks,
    rate_latest: Bandwidth,
    inflight_latest: u64,
}

/// The bounds on rate and volume, [`UNBOUNDED`] if there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// bw_shortterm (bw_lo).
    pub(super) short_term_rate: Option<Bandwidth>,
    /// inflight_shortterm (inflight_lo).
    pub(super) short_term: u64,
    /// inflight_longterm (inflight_hi).
    pub(super) long_term: u64,
}

/// What was lost in this round trip.
#[derive(Clone, Copy, Debug, Default)]
struct LossRound {
    delivered: u64,
    /// Whether the ACK at hand begins a round.
    started: bool,
    lossy: bool,
    /// Losses with something not lost between them.
    events: u32,
    lost: u64,
    acked: u64,
    /// The largest of the lost packets.
    largest: u64,
    last_lost: Option<u64>,
}

/// The share of CE marks.
#[derive(Clone, Copy, Debug)]
struct Marks {
    ce: u64,
    all: u64,
    /// Of the latest whole round.
    share: f64,
    mean: f64,
    rounds_above: u8,
    /// Whether this round has marks.
    marked: bool,
}

impl Model {
    pub(super) fn new(now: Time) -> Self {
        Self {
            rounds: Rounds::default(),
            max_bandwidth: MaxBandwidth::default(),
            full_pipe: FullPipe::default(),
            min_rtt: MinRtt::new(now),
            extra_acked: ExtraAcked::new(now),
            bounds: Bounds { short_term_rate: None, short_term: UNBOUNDED, long_term: UNBOUNDED },
            losses: LossRound::default(),
            // The first marks weigh much, until it is known that they are few.
            marks: Marks { ce: 0, all: 0, share: 0.0, mean: 1.0, rounds_above: 0, marked: false },
            rate_latest: Bandwidth::default(),
            inflight_latest: 0,
        }
    }

    /// bw: the rate to plan with.
    pub(super) fn bandwidth(&self) -> Bandwidth {
        let max = self.max_bandwidth.get();
        self.bounds.short_term_rate.map_or(max, |bound| bound.min(max))
    }

    /// The bandwidth-delay product times `gain`; `None` before an RTT is known.
    pub(super) fn bdp(&self, gain: f64) -> Option<u64> {
        let rtt = self.min_rtt.get()?;
        Some((self.bandwidth().bytes_in(rtt) as f64 * gain) as u64)
    }

    /// InflightWithHeadroom.
    pub(super) fn inflight_with_headroom(&self, datagram: u64) -> u64 {
        match self.bounds.long_term {
            UNBOUNDED => UNBOUNDED,
            bound => {
                let headroom = ((bound as f64 * HEADROOM) as u64).max(datagram);
                bound.saturating_sub(headroom)
            }
        }
    }

    /// The first half of an ACK: the latest signals, rounds, the filters. Whether the state
    /// machine is `probing` for bandwidth decides if congestion lowers the short-term bounds.
    pub(super) fn on_ack(
        &mut self,
        event: &CongestionEvent<'_>,
        sample: &RateSample,
        probing: bool,
        window: u64,
    ) {
        let rate = sample.rate.unwrap_or_default();
        self.rate_latest = self.rate_latest.max(rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.losses.started = sample.prior_delivered >= self.losses.delivered;
        self.losses.acked += event.acked_bytes;
        if self.losses.started {
            self.losses.delivered = event.total_delivered;
        }
        self.rounds.on_ack(sample.prior_delivered, event.total_delivered);
        self.marks.count(event);
        if rate >= self.max_bandwidth.get() || !sample.is_app_limited {
            self.max_bandwidth.update(rate);
        }
        if self.losses.started {
            self.marks.end_round();
            if !probing {
                self.lower_short_term_bounds(window);
            }
        }
        let (bandwidth, round) = (self.bandwidth(), self.rounds.count);
        self.extra_acked.update(event.now, event.acked_bytes, bandwidth, window, round);
        if self.rounds.started && !sample.is_app_limited {
            self.full_pipe.on_round(rate);
        }
    }

    /// AdvanceLatestDeliverySignals, and the end of the round's counts: the last thing of an ACK.
    pub(super) fn end_ack(&mut self, sample: &RateSample) {
        if self.losses.started {
            self.rate_latest = sample.rate.unwrap_or_default();
            self.inflight_latest = sample.delivered;
            self.losses.reset();
        }
    }

    /// A packet was lost. Returns whether it is the first of this round.
    pub(super) fn on_lost(&mut self, packet: &LostPacket, total_delivered: u64) -> bool {
        let first = !self.losses.lossy;
        if first {
            self.losses.delivered = total_delivered;
        }
        self.losses.lossy = true;
        self.losses.count(packet);
        first
    }

    /// ResetCongestionSignals.
    pub(super) fn reset_signals(&mut self) {
        self.losses.reset();
        self.rate_latest = Bandwidth::default();
        self.inflight_latest = 0;
    }

    /// ResetShortTermModel.
    pub(super) fn reset_short_term(&mut self) {
        self.bounds.short_term_rate = None;
        self.bounds.short_term = UNBOUNDED;
    }

    /// IsInflightTooHigh: so many bytes lost of those in flight, or a path whose queue marks.
    pub(super) fn is_inflight_too_high(&self, lost: u64, tx_in_flight: u64) -> bool {
        let lossy = self.losses.events >= MIN_LOSS_EVENTS;
        lossy && self.losses.is_too_much(lost, tx_in_flight) || self.marks.share > ECN_THRESHOLD
    }

    /// CheckStartupHighLoss, at the end of a round trip: lost too much, or marked too often.
    pub(super) fn is_startup_over(&self, sample: &RateSample) -> bool {
        let lossy = self.losses.events >= STARTUP_LOSS_EVENTS
            && self.losses.is_too_much(sample.lost, sample.tx_in_flight);
        self.losses.started && (lossy || self.marks.rounds_above >= ECN_ROUNDS)
    }

    /// InflightAtLoss: where in the flight the losses became too many.
    pub(super) fn inflight_at_loss(tx_in_flight: u64, lost: u64, size: u64) -> u64 {
        let before = tx_in_flight.saturating_sub(size);
        let lost_before = lost.saturating_sub(size);
        let share = 1.0 / LOSS_DIVISOR as f64;
        let prefix = (share * before as f64 - lost_before as f64) / (1.0 - share);
        before + prefix.max(0.0) as u64
    }

    /// What a bound is lowered to by one round of losses.
    pub(super) fn beta(bytes: u64) -> u64 {
        (bytes as f64 * BETA) as u64
    }

    /// The most that was delivered in this round trip of losses.
    pub(super) const fn inflight_latest(&self) -> u64 {
        self.inflight_latest
    }

    /// AdaptLowerBoundsFromCongestion: once per round trip.
    fn lower_short_term_bounds(&mut self, window: u64) {
        let (marked, lossy) = (self.marks.marked, self.losses.are_many());
        if !lossy && !marked {
            return;
        }
        let bounds = &mut self.bounds;
        let mut volume = if bounds.short_term == UNBOUNDED { window } else { bounds.short_term };
        if marked {
            volume = (volume as f64 * (1.0 - self.marks.mean * ECN_FACTOR)) as u64;
        }
        if lossy {
            let rate = bounds.short_term_rate.unwrap_or(self.max_bandwidth.get());
            let lower = Bandwidth::from_bytes_per_second(Self::beta(rate.as_bytes_per_second()));
            bounds.short_term_rate = Some(lower.max(self.rate_latest));
            volume = volume.min(Self::beta(volume).max(self.inflight_latest));
        }
        bounds.short_term = volume;
    }
}

impl LossRound {
    fn count(&mut self, packet: &LostPacket) {
        let adjacent = self.last_lost.is_some_and(|last| packet.packet_number == last + 1);
        self.events += u32::from(!adjacent || self.events == 0);
        self.last_lost = Some(packet.packet_number);
        self.lost += u64::from(packet.bytes);
        self.largest = self.largest.max(u64::from(packet.bytes));
    }

    /// Whether so many bytes lost of so many are more than a path may lose that is not congested:
    /// LossThresh and what chance adds to it, twice the deviation of independent losses.
    fn is_too_much(&self, lost: u64, of: u64) -> bool {
        let may = (of / LOSS_DIVISOR) as f64;
        lost as f64 > may + CHANCE_DEVIATIONS * (may * self.largest as f64).sqrt()
    }

    /// Whether this round lost too much.
    fn are_many(&self) -> bool {
        self.events >= MIN_LOSS_EVENTS && self.is_too_much(self.lost, self.lost + self.acked)
    }

    fn reset(&mut self) {
        self.lossy = false;
        (self.events, self.lost, self.acked, self.largest) = (0, 0, 0, 0);
    }
}

impl Marks {
    fn count(&mut self, event: &CongestionEvent<'_>) {
        self.ce = self.ce.saturating_add(event.ce_count);
        self.all = self.all.saturating_add(event.ce_count).saturating_add(event.ect_count);
    }

    fn end_round(&mut self) {
        self.marked = self.ce > 0;
        self.share = if self.all > 0 { self.ce as f64 / self.all as f64 } else { 0.0 };
        if self.all > 0 {
            self.mean += ECN_GAIN * (self.share - self.mean);
        }
        let above = self.share > ECN_THRESHOLD;
        self.rounds_above = if above { self.rounds_above.saturating_add(1) } else { 0 };
        (self.ce, self.all) = (0, 0);
    }
}
