//! BBR's state machine (draft-ietf-ccwg-bbr §5.3): when to speed up, hold back, cruise, and look
//! for the shortest RTT. It reads and bounds the model; pacing and the window follow from both.

use std::time::Duration;

use super::model::UNBOUNDED;
use super::{Bbr, UndoState};
use crate::congestion::{CongestionEvent, LostPacket, RateSample};
use crate::time::Time;

/// ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// Between two probes for bandwidth pass so many seconds, and up to one more at random.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// A probe comes no later than a Reno flow on this path would have grown by a packet per round,
/// and after so many rounds at the latest.
const MAX_RENO_ROUNDS: u64 = 63;
/// Drain ends after so many rounds, drained or not.
const DRAIN_ROUNDS: u64 = 3;
/// The most the growth of the long-term bound is doubled.
const MAX_PROBE_UP_ROUNDS: u32 = 30;

/// How much longer than the wait for the next probe the queue of this one may take to be emptied.
const DOWN_PATIENCE: Duration = Duration::from_secs(3);

/// What the sender is up to.
///
/// ```text
/// Startup -> Drain -> Down -> Cruise -> Refill -> Up -> Down ...   any -> ProbeRtt -> Cruise
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Doubles the rate each round until the pipe is full.
    Startup,
    /// Empties the queue that Startup built.
    Drain,
    /// ProbeBW_DOWN: empties the queue that Up built.
    Down,
    /// ProbeBW_CRUISE: sends at the estimated bandwidth, with headroom.
    Cruise,
    /// ProbeBW_REFILL: fills the pipe, without a queue, for one round.
    Refill,
    /// ProbeBW_UP: sends faster to find more bandwidth.
    Up,
    /// Sends little, so that the queue empties and the shortest RTT shows.
    ProbeRtt,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Drain => "drain",
            Self::Down => "probe_bw_down",
            Self::Cruise => "probe_bw_cruise",
            Self::Refill => "probe_bw_refill",
            Self::Up => "probe_bw_up",
            Self::ProbeRtt => "probe_rtt",
        }
    }

    /// Draft §5.6, table 1.
    pub(super) const fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => 2.77,
            Self::Drain => 0.5,
            Self::Down => 0.9,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 1.0,
            Self::Up => 1.25,
        }
    }

    pub(super) const fn window_gain(self) -> f64 {
        match self {
            Self::Up => 2.25,
            Self::ProbeRtt => 0.5,
            _ => 2.0,
        }
    }

    pub(super) const fn is_probe_bandwidth(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Whether losses are the price of finding bandwidth, and not a reason to lower it.
    pub(super) const fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// Which ACKs answer a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// The cycle of probes.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    pub(super) state: State,
    ack_phase: AckPhase,
    stamp: Time,
    wait: Duration,
    drain_start_round: u64,
    rounds_since_probe: u64,
    /// Whether losses now tell of a probe, and no probe was answered with one yet.
    is_probe_sample: bool,
    previous_too_high: bool,
    previous_precautionary: bool,
    up_rounds: u32,
    up_acked: u64,
    up_acked_per_increase: u64,
    probe_rtt_done: Option<Time>,
    probe_rtt_round_done: bool,
    /// Packets sent with what was delivered in this range are of a ProbeRTT: their rates are low
    /// on purpose.
    probe_rtt_samples: Option<(u64, u64)>,
}

impl Cycle {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Startup,
            ack_phase: AckPhase::Init,
            stamp: Time::ZERO,
            wait: Duration::ZERO,
            drain_start_round: 0,
            rounds_since_probe: 0,
            is_probe_sample: false,
            previous_too_high: false,
            previous_precautionary: false,
            up_rounds: 0,
            up_acked: 0,
            up_acked_per_increase: UNBOUNDED,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            probe_rtt_samples: None,
        }
    }

    /// Whether a packet sent when so much was delivered says less than the path could do.
    pub(super) fn is_held_back(&self, delivered: u64) -> bool {
        self.probe_rtt_samples.is_some_and(|(from, to)| (from..=to).contains(&delivered))
    }
}

impl Bbr {
    /// CheckStartupDone, CheckDrainDone, UpdateProbeBWCyclePhase, CheckProbeRTT: the middle of an
    /// ACK.
    pub(super) fn update_state(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) {
        self.cycle.rounds_since_probe += u64::from(self.model.rounds.started);
        self.check_startup(sample);
        self.check_drain(event);
        self.update_cycle(event, sample);
        let rtt = event.rtt_updated.then(|| event.rtt.latest());
        let is_emptying = matches!(self.cycle.state, State::Drain | State::Down | State::Up);
        self.model.min_rtt.update(event.now, rtt, is_emptying);
        self.check_probe_rtt(event, sample);
    }

    /// HandleLostPacket.
    pub(super) fn on_packet_lost(&mut self, event: &CongestionEvent<'_>, packet: &LostPacket) {
        if self.model.on_lost(packet, event.total_delivered) {
            self.save_for_undo();
        }
        if !self.cycle.is_probe_sample {
            return;
        }
        let tx_in_flight = packet.delivery.tx_in_flight;
        let lost = self.lost_so_far - packet.delivery.lost;
        if self.model.is_inflight_too_high(lost, tx_in_flight) {
            let size = u64::from(packet.bytes);
            let at_loss = super::Model::inflight_at_loss(tx_in_flight, lost, size);
            let limited = packet.delivery.is_app_limited
                || self.cycle.is_held_back(packet.delivery.delivered);
            self.on_inflight_too_high(event.now, at_loss, limited);
        }
    }

    fn on_inflight_too_high(&mut self, now: Time, in_flight: u64, app_limited: bool) {
        self.cycle.previous_too_high = true;
        self.cycle.is_probe_sample = false; // react once for each probe
        if !app_limited {
            let floor = super::Model::beta(self.target_inflight());
            self.model.bounds.long_term = in_flight.max(floor);
        }
        if self.cycle.state == State::Up {
            self.undo.state = UndoState::Up;
            self.start_down(now);
        }
    }

    fn check_startup(&mut self, sample: &RateSample) {
        if self.cycle.state != State::Startup {
            return;
        }
        if self.model.is_startup_over(sample) {
            self.undo.state = UndoState::Startup;
            self.model.full_pipe.reached = true;
            let bdp = self.model.bdp(1.0).unwrap_or(0);
            self.model.bounds.long_term = bdp.max(self.model.inflight_latest());
        }
        if self.model.full_pipe.reached {
            self.cycle.state = State::Drain;
            self.cycle.drain_start_round = self.model.rounds.count;
        }
    }

    fn check_drain(&mut self, event: &CongestionEvent<'_>) {
        let drained = event.bytes_in_flight <= self.inflight(1.0)
            || self.model.rounds.count > self.cycle.drain_start_round + DRAIN_ROUNDS;
        if self.cycle.state == State::Drain && drained {
            self.start_down(event.now);
        }
    }

    fn update_cycle(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) {
        if !self.model.full_pipe.reached || self.adapt_long_term(event, sample) {
            return;
        }
        match self.cycle.state {
            State::Down => self.leave_down(event),
            State::Cruise => {
                self.check_time_to_probe(event.now);
            }
            State::Refill if self.model.rounds.started => {
                self.cycle.is_probe_sample = true;
                self.start_up(sample);
            }
            State::Up => self.leave_up(event, sample),
            _ => {}
        }
    }

    fn leave_down(&mut self, event: &CongestionEvent<'_>) {
        let overdue = event.now > self.cycle.stamp + self.cycle.wait + DOWN_PATIENCE;
        if self.is_time_to_cruise(event) {
            self.cycle.state = State::Cruise;
            self.check_time_to_probe(event.now);
        } else if overdue {
            self.start_refill(self.total_delivered);
        }
    }

    fn leave_up(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) {
        if self.is_time_to_go_down(event, sample) {
            self.cycle.previous_too_high = false;
            self.start_down(event.now);
        }
    }

    /// AdaptLongTermModel. Whether it decided the next state.
    fn adapt_long_term(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) -> bool {
        let round_started = self.model.rounds.started;
        if self.cycle.ack_phase == AckPhase::ProbeStarting && round_started {
            self.cycle.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.cycle.ack_phase == AckPhase::ProbeStopping && round_started {
            self.cycle.is_probe_sample = false;
            self.cycle.ack_phase = AckPhase::Init;
            let probing = self.cycle.state.is_probe_bandwidth();
            if probing && !sample.is_app_limited {
                self.model.max_bandwidth.advance();
            }
            if probing && self.cycle.previous_precautionary && !self.cycle.previous_too_high {
                self.start_refill(event.total_delivered);
                return true;
            }
        }
        if self.model.is_inflight_too_high(sample.lost, sample.tx_in_flight) {
            // Losses were dealt with one by one: this is for marks.
            if self.cycle.is_probe_sample {
                self.on_inflight_too_high(event.now, sample.tx_in_flight, sample.is_app_limited);
                return true;
            }
            return false;
        }
        let long_term = self.model.bounds.long_term;
        if long_term != UNBOUNDED {
            self.model.bounds.long_term = long_term.max(sample.tx_in_flight);
            if self.cycle.state == State::Up {
                self.probe_upward(event.acked_bytes);
            }
        }
        false
    }

    /// ProbeInflightLongtermUpward: first by a packet in the round, then by twice as many in each.
    fn probe_upward(&mut self, acked: u64) {
        if !self.is_window_limited() || self.window < self.model.bounds.long_term {
            return;
        }
        self.cycle.up_acked = self.cycle.up_acked.saturating_add(acked);
        let steps = self.cycle.up_acked / self.cycle.up_acked_per_increase;
        self.cycle.up_acked -= steps * self.cycle.up_acked_per_increase;
        let growth = steps.saturating_mul(self.datagram());
        self.model.bounds.long_term = self.model.bounds.long_term.saturating_add(growth);
        if self.model.rounds.started {
            self.raise_slope();
        }
    }

    fn raise_slope(&mut self) {
        let share = self.window >> self.cycle.up_rounds;
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(MAX_PROBE_UP_ROUNDS);
        self.cycle.up_acked_per_increase = share.max(self.datagram());
    }

    fn check_time_to_probe(&mut self, now: Time) -> bool {
        let reno_rounds = self.target_inflight() / self.datagram();
        let due = now > self.cycle.stamp + self.cycle.wait
            || self.cycle.rounds_since_probe >= reno_rounds.min(MAX_RENO_ROUNDS);
        if due {
            self.start_refill(self.total_delivered);
        }
        due
    }

    fn is_time_to_cruise(&self, event: &CongestionEvent<'_>) -> bool {
        let headroom = self.model.inflight_with_headroom(self.datagram()).max(self.minimum());
        event.bytes_in_flight <= headroom && event.bytes_in_flight <= self.inflight(1.0)
    }

    fn is_time_to_go_down(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) -> bool {
        let long_term = self.model.bounds.long_term;
        if self.cycle.previous_too_high && event.bytes_in_flight >= long_term {
            self.cycle.previous_precautionary = true;
            return true;
        }
        if self.is_window_limited() && self.window >= long_term {
            // The bound and not the path is what limits the rate: go on raising it.
            self.model.full_pipe.reset(sample.rate.unwrap_or_default());
            return false;
        }
        self.model.full_pipe.now
    }

    pub(super) fn start_down(&mut self, now: Time) {
        self.model.reset_signals();
        self.cycle.up_acked_per_increase = UNBOUNDED;
        self.pick_probe_wait(now);
        self.cycle.ack_phase = AckPhase::ProbeStopping;
        self.model.rounds.begin(self.total_delivered);
        self.cycle.state = State::Down;
    }

    pub(super) fn start_refill(&mut self, total_delivered: u64) {
        self.model.reset_short_term();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.cycle.previous_precautionary = false;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.model.rounds.begin(total_delivered);
        self.cycle.state = State::Refill;
    }

    fn start_up(&mut self, sample: &RateSample) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.model.rounds.begin(self.total_delivered);
        self.model.full_pipe.reset(sample.rate.unwrap_or_default());
        self.cycle.state = State::Up;
        self.raise_slope();
    }

    /// PickProbeWait: flows that began together must not probe together.
    fn pick_probe_wait(&mut self, now: Time) {
        let random = self.random();
        self.cycle.rounds_since_probe = random & 1;
        self.cycle.wait = PROBE_WAIT + Duration::from_millis((random >> 1) % 1000);
        self.cycle.stamp = now;
    }

    fn check_probe_rtt(&mut self, event: &CongestionEvent<'_>, sample: &RateSample) {
        let rtt = &self.model.min_rtt;
        if self.cycle.state != State::ProbeRtt && rtt.probe_expired && !self.idle_restart {
            self.save_window();
            self.cycle.state = State::ProbeRtt;
            self.cycle.probe_rtt_done = None;
            self.cycle.ack_phase = AckPhase::ProbeStopping;
            self.model.rounds.begin(event.total_delivered);
            self.cycle.probe_rtt_samples = Some((event.total_delivered, event.total_delivered));
        }
        if self.cycle.state == State::ProbeRtt {
            self.on_ack_in_probe_rtt(event);
        }
        if sample.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// HandleProbeRTT.
    fn on_ack_in_probe_rtt(&mut self, event: &CongestionEvent<'_>) {
        if let Some((_, to)) = &mut self.cycle.probe_rtt_samples {
            *to = event.total_delivered + event.bytes_in_flight;
        }
        if self.cycle.probe_rtt_done.is_none() {
            if event.bytes_in_flight <= self.probe_rtt_window() {
                self.cycle.probe_rtt_done = Some(event.now + PROBE_RTT_DURATION);
                self.cycle.probe_rtt_round_done = false;
                self.model.rounds.begin(event.total_delivered);
            }
            return;
        }
        self.cycle.probe_rtt_round_done |= self.model.rounds.started;
        if self.cycle.probe_rtt_round_done {
            self.check_probe_rtt_done(event.now);
        }
    }

    pub(super) fn check_probe_rtt_done(&mut self, now: Time) {
        if self.cycle.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.model.min_rtt.probe_stamp = now;
        self.model.min_rtt.probe_expired = false;
        self.restore_window();
        self.model.reset_short_term();
        if self.model.full_pipe.reached {
            self.start_down(now);
            self.cycle.state = State::Cruise;
        } else {
            self.cycle.state = State::Startup;
        }
    }
}
