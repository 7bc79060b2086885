//! [`Bbr`]: BBRv3 (draft-ietf-ccwg-bbr). It models the path from delivery rates and round-trip
//! times, sends at the rate the path delivers, and keeps about one bandwidth-delay product in
//! flight. Losses and marks bound the model; by themselves they do not halve anything.
//!
//! `filters` remembers, `model` estimates, `state` decides; this file turns both into a pacing rate
//! and a window.
//!
//! Departures from the draft, each for a reason that was measured:
//! - The short-term bounds are lowered by a round that lost more than LossThresh, not by any loss:
//!   at 1 % random loss every round has one, and what each takes adds up to a fifth of the link.
//! - Startup and probes are cut short only by two losses apart from each other, and by more than
//!   chance adds to LossThresh: one packet is always more than 2 % of a small flight, and at 1 %
//!   random loss a flight of 300 packets often loses 2 %.
//! - An RTT sample about equal to the shortest renews it, so that an empty queue needs no ProbeRTT;
//!   and one is put off for up to 3 s while a probe's queue is being emptied, which shows the same.
//! - Down lasts until the queue is empty, for 3 s more than the wait for the next probe if need be:
//!   over a long path the wait is shorter than that takes.
//! - CE marks, for which the draft has no rule yet, bound the volume in flight by their share.

mod filters;
mod model;
mod state;

use model::{Model, UNBOUNDED};
use state::{Cycle, State};

use crate::congestion::{
    Bandwidth, CongestionEvent, SendAlgorithm, WindowUsage, initial_window, minimum_window,
};
use crate::time::Time;

/// MinPipeCwnd: datagrams that keep ACKs coming.
const MIN_PIPE_DATAGRAMS: u64 = 4;
/// PacingMarginPercent: sending a little slower than the path delivers keeps queues short.
const PACING_MARGIN: f64 = 0.99;
/// In Startup the excess of ACKs is remembered for a round, later for ten.
const STARTUP_EXTRA_ROUNDS: usize = 1;
const EXTRA_ROUNDS: usize = 10;
/// The longest burst that pacing makes, in time of the pacing rate, and in bytes.
const MAX_QUANTUM: u64 = 64 << 10;

/// BBRv3.
#[derive(Clone, Debug)]
pub struct Bbr {
    max_datagram_size: u16,
    model: Model,
    cycle: Cycle,
    window: u64,
    /// `None` before the first RTT sample.
    pacing_rate: Option<Bandwidth>,
    /// The window before a recovery or a ProbeRTT.
    prior_window: u64,
    recovery_start: Option<Time>,
    /// Whether a packet sent before the latest loss is still to be acknowledged.
    in_recovery: bool,
    usage: WindowUsage,
    app_limited: bool,
    idle_restart: bool,
    total_delivered: u64,
    /// While the lost packets of an event are gone through: bytes lost up to and with this one.
    lost_so_far: u64,
    undo: Undo,
    random: u64,
}

/// What was true before the losses of this round.
#[derive(Clone, Copy, Debug)]
struct Undo {
    state: UndoState,
    short_term_rate: Option<Bandwidth>,
    short_term: u64,
    long_term: u64,
}

/// The state that the losses ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UndoState {
    None,
    Startup,
    Up,
}

impl Bbr {
    /// A controller that knows nothing of the path yet.
    pub fn new(now: Time, max_datagram_size: u16) -> Self {
        Self {
            max_datagram_size,
            model: Model::new(now),
            cycle: Cycle::new(),
            window: initial_window(max_datagram_size),
            pacing_rate: None,
            prior_window: 0,
            recovery_start: None,
            in_recovery: false,
            usage: WindowUsage::default(),
            app_limited: false,
            idle_restart: false,
            total_delivered: 0,
            lost_so_far: 0,
            undo: Undo {
                state: UndoState::None,
                short_term_rate: None,
                short_term: UNBOUNDED,
                long_term: UNBOUNDED,
            },
            random: now.as_nanos(),
        }
    }

    fn datagram(&self) -> u64 {
        u64::from(self.max_datagram_size)
    }

    fn minimum(&self) -> u64 {
        MIN_PIPE_DATAGRAMS * self.datagram()
    }

    /// C.is_cwnd_limited.
    fn is_window_limited(&self) -> bool {
        self.usage.is_window_limited(self.window, false, self.max_datagram_size)
    }

    /// TargetInflight: what should be in flight, unless congestion cut the window.
    fn target_inflight(&self) -> u64 {
        self.model.bdp(1.0).unwrap_or(self.window).min(self.window)
    }

    /// Inflight(gain).
    fn inflight(&self, gain: f64) -> u64 {
        let bdp = self.model.bdp(gain);
        self.quantized(bdp.unwrap_or_else(|| initial_window(self.max_datagram_size)))
    }

    /// QuantizationBudget: room for the bursts that batched writes make.
    fn quantized(&self, inflight: u64) -> u64 {
        let up = if self.cycle.state == State::Up { 2 * self.datagram() } else { 0 };
        inflight.max(self.offload_budget()).max(self.minimum()).saturating_add(up)
    }

    fn offload_budget(&self) -> u64 {
        let rate = self.pacing_rate.map_or(0, Bandwidth::as_bytes_per_second);
        3 * (rate / 1000).min(MAX_QUANTUM).max(2 * self.datagram())
    }

    fn probe_rtt_window(&self) -> u64 {
        let bdp = self.model.bdp(State::ProbeRtt.window_gain());
        bdp.unwrap_or_else(|| initial_window(self.max_datagram_size)).max(self.minimum())
    }

    /// A number without pattern. Flows differ in what they delivered and when.
    fn random(&mut self) -> u64 {
        let seed = self.random.wrapping_add(self.total_delivered).wrapping_add(1);
        // The finalizer of SplitMix64.
        let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.random = mixed ^ (mixed >> 27);
        self.random >> 8
    }

    fn on_losses(&mut self, event: &CongestionEvent<'_>) {
        if let Some(sent) = event.newest_lost_sent
            && self.recovery_start.is_none_or(|start| sent > start)
        {
            self.save_window();
            self.recovery_start = Some(event.now);
            self.in_recovery = true;
        }
        self.lost_so_far = event.total_lost - event.lost_bytes;
        for packet in event.lost {
            self.lost_so_far += u64::from(packet.bytes);
            self.on_packet_lost(event, packet);
        }
    }

    /// SaveStateUponLoss.
    fn save_for_undo(&mut self) {
        self.save_window();
        self.undo = Undo {
            state: UndoState::None,
            short_term_rate: self.model.bounds.short_term_rate,
            short_term: self.model.bounds.short_term,
            long_term: self.model.bounds.long_term,
        };
    }

    fn save_window(&mut self) {
        let fresh = !self.in_recovery && self.cycle.state != State::ProbeRtt;
        self.prior_window = if fresh { self.window } else { self.prior_window.max(self.window) };
    }

    fn restore_window(&mut self) {
        self.window = self.window.max(self.prior_window);
    }

    /// SetPacingRate: in Startup the rate only rises.
    fn set_pacing_rate(&mut self, gain: f64) {
        let bandwidth = self.model.bandwidth().as_bytes_per_second();
        let rate = gain * PACING_MARGIN * bandwidth as f64;
        let rate = Bandwidth::from_bytes_per_second(rate as u64);
        if bandwidth > 0
            && (self.model.full_pipe.reached || self.pacing_rate.is_none_or(|old| rate > old))
        {
            self.pacing_rate = Some(rate);
        }
    }

    /// InitPacingRate, once an RTT is known.
    fn init_pacing_rate(&mut self, event: &CongestionEvent<'_>) {
        if self.pacing_rate.is_none() && event.rtt_updated {
            let nominal = Bandwidth::from_bytes_and_time(self.window, event.rtt.smoothed());
            let rate = nominal.as_bytes_per_second() as f64 * State::Startup.pacing_gain();
            self.pacing_rate = Some(Bandwidth::from_bytes_per_second(rate as u64));
        }
    }

    /// SetCwnd.
    fn set_window(&mut self, acked: u64) {
        let rounds = if self.model.full_pipe.reached { EXTRA_ROUNDS } else { STARTUP_EXTRA_ROUNDS };
        let bdp = self.model.bdp(self.cycle.state.window_gain());
        let most = bdp.unwrap_or_else(|| initial_window(self.max_datagram_size));
        let most = self.quantized(most.saturating_add(self.model.extra_acked.over(rounds)));
        let grown = self.window.saturating_add(acked);
        if self.model.full_pipe.reached {
            self.window = grown.min(most);
        } else if self.window < most
            || self.total_delivered < initial_window(self.max_datagram_size)
        {
            self.window = grown;
        }
        self.window = self.window.max(self.minimum());
        if self.cycle.state == State::ProbeRtt {
            self.window = self.window.min(self.probe_rtt_window());
        }
        self.bound_window();
    }

    /// BoundCwndForModel.
    fn bound_window(&mut self) {
        let cap = match self.cycle.state {
            State::Down | State::Refill | State::Up => self.model.bounds.long_term,
            State::Cruise | State::ProbeRtt => self.model.inflight_with_headroom(self.datagram()),
            State::Startup | State::Drain => UNBOUNDED,
        };
        let cap = cap.min(self.model.bounds.short_term).max(self.minimum());
        self.window = self.window.min(cap);
    }
}

impl SendAlgorithm for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn on_packet_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16) {
        // HandleRestartFromIdle
        if bytes_in_flight == u64::from(bytes) && self.app_limited {
            self.idle_restart = true;
            self.model.extra_acked.restart_interval(now);
            if self.cycle.state.is_probe_bandwidth() {
                self.set_pacing_rate(1.0);
            } else if self.cycle.state == State::ProbeRtt {
                self.check_probe_rtt_done(now);
            }
        }
        self.app_limited = false;
        self.usage.on_packet_sent(bytes_in_flight);
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        self.total_delivered = event.total_delivered;
        self.on_losses(event);
        self.init_pacing_rate(event);
        if let Some(mut sample) = event.rate_sample {
            sample.is_app_limited |= self.cycle.is_held_back(sample.prior_delivered);
            let newest = event.newest_acked_sent;
            if newest.is_some_and(|sent| self.recovery_start.is_none_or(|start| sent > start)) {
                self.in_recovery = false;
            }
            let probing = self.cycle.state.is_probing();
            self.model.on_ack(event, &sample, probing, self.window);
            self.update_state(event, &sample);
            self.model.end_ack(&sample);
        }
        self.set_pacing_rate(self.cycle.state.pacing_gain());
        self.set_window(event.acked_bytes);
        if let Some(sent) = event.newest_acked_sent {
            self.usage.on_acked(event.now, sent, event.bytes_in_flight);
        }
    }

    fn on_persistent_congestion(&mut self, _now: Time) {
        // RFC 9002 §7.6.2. The model stays: the window returns to it as ACKs arrive (OnEnterRTO).
        self.save_for_undo();
        self.window = minimum_window(self.max_datagram_size);
    }

    fn on_spurious_loss(&mut self, _now: Time) {
        // HandleSpuriousLossDetection
        self.in_recovery = false;
        self.restore_window();
        self.model.reset_signals();
        self.model.full_pipe.reset(Bandwidth::default());
        let (undo, bounds) = (self.undo, &mut self.model.bounds);
        bounds.short_term_rate = match (bounds.short_term_rate, undo.short_term_rate) {
            (Some(present), Some(before)) => Some(present.max(before)),
            _ => None,
        };
        bounds.short_term = bounds.short_term.max(undo.short_term);
        bounds.long_term = bounds.long_term.max(undo.long_term);
        self.undo.state = UndoState::None;
        let state = self.cycle.state;
        match undo.state {
            UndoState::Startup if state != State::Startup => {
                self.model.full_pipe.reached = false;
                if state != State::ProbeRtt {
                    self.cycle.state = State::Startup;
                }
            }
            UndoState::Up if state != State::Up && state != State::ProbeRtt => {
                self.start_refill(self.total_delivered);
            }
            _ => {}
        }
    }

    fn on_connection_migration(&mut self, now: Time) {
        *self = Self::new(now, self.max_datagram_size);
    }

    fn on_application_limited(&mut self, _bytes_in_flight: u64) {
        self.app_limited = true;
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        // RFC 9002 §7.2: a window that is still the initial one is computed anew.
        if self.window == initial_window(self.max_datagram_size) && self.total_delivered == 0 {
            self.window = initial_window(size);
        }
        self.max_datagram_size = size;
        self.window = self.window.max(minimum_window(size));
    }

    fn adopt_window(&mut self, window: u64, _slow_start_threshold: Option<u64>) {
        // The rates seen meanwhile are in the model already.
        self.window = window.max(self.minimum());
    }

    fn congestion_window(&self) -> u64 {
        self.window
    }

    fn pacing_rate(&self) -> Option<Bandwidth> {
        self.pacing_rate
    }

    fn bandwidth_estimate(&self) -> Option<Bandwidth> {
        Some(self.model.bandwidth()).filter(|rate| *rate > Bandwidth::default())
    }

    fn in_slow_start(&self) -> bool {
        self.cycle.state == State::Startup
    }

    fn phase(&self) -> &'static str {
        self.cycle.state.name()
    }

    fn recovery_start(&self) -> Option<Time> {
        self.recovery_start
    }
}
