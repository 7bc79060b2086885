//! [`CarefulResume`]: a connection to a known path need not find its capacity again from ten
//! packets (draft-ietf-tsvwg-careful-resume). Wraps any [`SendAlgorithm`]: half of the remembered
//! window is tried, paced over an RTT, and taken back at the first sign that the path is not what
//! it was. It must not know where the parameters were kept.

use std::sync::Arc;
use std::time::Duration;

use crate::congestion::{
    AlgorithmParams, Bandwidth, CongestionEvent, SendAlgorithm, SendAlgorithmFactory,
    initial_window, minimum_window,
};
use crate::forward_send_algorithm;
use crate::time::Time;

/// The share of the saved window that is jumped to, as a divisor (draft §3.2).
const JUMP_DIVISOR: u64 = 2;
/// A path whose RTT is below this share of the saved one is another path (draft §3.1).
const MIN_RTT_DIVISOR: u32 = 2;
/// Likewise one whose RTT is so many times the saved one.
const MAX_RTT_FACTOR: u32 = 10;
/// What is left of the validated volume after a safe retreat, as a divisor (draft §3.4).
const RETREAT_DIVISOR: u64 = 2;

/// What an earlier connection knew of the path; to be kept with the peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedParameters {
    /// Its congestion window at the end, in bytes: `ConnectionStats::congestion_window`.
    pub window: u64,
    /// Its shortest RTT: [`RttEstimator::min`](crate::recovery::RttEstimator::min).
    pub rtt: Duration,
}

/// Wraps the algorithms of another factory in [`CarefulResume`].
#[derive(Clone, Debug)]
pub struct CarefulResumeFactory {
    /// Makes the algorithms.
    pub inner: Arc<dyn SendAlgorithmFactory>,
    /// What is known of the path. Only for as long as the path is likely to be the same: the
    /// draft's §4 speaks of hours at most.
    pub saved: SavedParameters,
}

impl SendAlgorithmFactory for CarefulResumeFactory {
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        let inner = self.inner.create(params);
        Box::new(CarefulResume::new(inner, self.saved, params.max_datagram_size))
    }
}

/// A [`SendAlgorithm`] that begins with what is known of the path.
#[derive(Debug)]
pub struct CarefulResume {
    inner: Box<dyn SendAlgorithm>,
    saved: SavedParameters,
    max_datagram_size: u16,
    phase: Phase,
    /// PipeSize: how much the path is known to hold.
    pipe: u64,
    /// The window while it is not the inner one's.
    window: u64,
    rtt: Duration,
    latest_sent: Time,
}

/// Draft §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first flight tells whether the path looks like the saved one.
    Reconnaissance,
    /// Half of the saved window is being sent.
    Unvalidated {
        /// When that began.
        since: Time,
    },
    /// It is being acknowledged.
    Validating {
        /// When the last of it was sent.
        last_sent: Time,
    },
    /// It was too much; what it cost is being found out.
    SafeRetreat {
        /// When the last of it was sent.
        last_sent: Time,
    },
    /// The inner algorithm is on its own.
    Normal,
}

impl CarefulResume {
    /// Wraps an algorithm that has sent nothing yet.
    pub fn new(
        inner: Box<dyn SendAlgorithm>,
        saved: SavedParameters,
        max_datagram_size: u16,
    ) -> Self {
        Self {
            inner,
            saved,
            max_datagram_size,
            phase: Phase::Reconnaissance,
            pipe: 0,
            window: 0,
            rtt: Duration::ZERO,
            latest_sent: Time::ZERO,
        }
    }

    const fn jump_window(&self) -> u64 {
        self.saved.window / JUMP_DIVISOR
    }

    /// The inner algorithm's window does not count.
    const fn is_in_charge(&self) -> bool {
        !matches!(self.phase, Phase::Reconnaissance | Phase::Normal)
    }

    /// Draft §3.1: the first window arrived whole, and the RTT is about the saved one.
    fn reconnoitre(&mut self, event: &CongestionEvent<'_>) {
        let rtt = event.rtt.min();
        let alike = rtt >= self.saved.rtt / MIN_RTT_DIVISOR
            && rtt <= self.saved.rtt.saturating_mul(MAX_RTT_FACTOR);
        let window = self.inner.congestion_window();
        if is_congested(event) || (event.rtt_updated && !alike) || self.jump_window() <= window {
            self.phase = Phase::Normal;
            return;
        }
        let whole = event.total_delivered >= initial_window(self.max_datagram_size);
        let in_use = event.prior_in_flight.saturating_mul(2) >= window;
        if whole && in_use {
            self.phase = Phase::Unvalidated { since: event.now };
            self.pipe = event.bytes_in_flight + event.acked_bytes;
            self.window = self.jump_window();
        }
    }

    /// Draft §3.2: until the first of it is acknowledged.
    fn on_ack_unvalidated(&mut self, event: &CongestionEvent<'_>, since: Time) {
        self.pipe += event.acked_bytes;
        let acked = event.newest_acked_sent.is_some_and(|sent| sent >= since);
        if !acked {
            return;
        }
        if event.prior_in_flight <= self.pipe {
            self.finish(self.pipe, self.inner.slow_start_threshold()); // it was not made use of
        } else {
            self.window = event.prior_in_flight;
            self.phase = Phase::Validating { last_sent: self.latest_sent };
        }
    }

    /// Draft §3.3: until the last of it is acknowledged.
    fn on_ack_validating(&mut self, event: &CongestionEvent<'_>, last_sent: Time) {
        self.pipe += event.acked_bytes;
        if event.newest_acked_sent.is_some_and(|sent| sent >= last_sent) {
            self.finish(self.window, self.inner.slow_start_threshold());
        }
    }

    /// Draft §3.4: back to half of what is known to fit.
    fn retreat(&mut self, last_sent: Time) {
        let minimum = minimum_window(self.max_datagram_size);
        self.window = (self.pipe / RETREAT_DIVISOR).max(minimum);
        self.phase = Phase::SafeRetreat { last_sent };
    }

    fn on_ack_in_retreat(&mut self, event: &CongestionEvent<'_>, last_sent: Time) {
        self.pipe += event.acked_bytes;
        if event.newest_acked_sent.is_some_and(|sent| sent >= last_sent) {
            // What was delivered of the jump is known to fit.
            self.finish(self.window, Some((self.pipe / RETREAT_DIVISOR).max(self.window)));
        }
    }

    fn finish(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        self.phase = Phase::Normal;
        self.inner.adopt_window(window, slow_start_threshold);
    }

    fn follow(&mut self, event: &CongestionEvent<'_>) {
        let congested = is_congested(event);
        match self.phase {
            Phase::Reconnaissance => self.reconnoitre(event),
            Phase::Unvalidated { .. } if congested => self.retreat(self.latest_sent),
            Phase::Validating { last_sent } if congested => self.retreat(last_sent),
            Phase::Unvalidated { since } => self.on_ack_unvalidated(event, since),
            Phase::Validating { last_sent } => self.on_ack_validating(event, last_sent),
            Phase::SafeRetreat { last_sent } => self.on_ack_in_retreat(event, last_sent),
            Phase::Normal => {}
        }
    }
}

fn is_congested(event: &CongestionEvent<'_>) -> bool {
    event.lost_bytes > 0 || event.ce_count > 0
}

impl SendAlgorithm for CarefulResume {
    fn on_packet_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16) {
        self.latest_sent = now;
        self.inner.on_packet_sent(now, bytes_in_flight, bytes);
    }

    fn on_train_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16, count: u32) {
        self.latest_sent = now;
        self.inner.on_train_sent(now, bytes_in_flight, bytes, count);
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        self.rtt = event.rtt.smoothed();
        self.inner.on_congestion_event(event);
        self.follow(event);
    }

    fn on_persistent_congestion(&mut self, now: Time) {
        self.phase = Phase::Normal;
        self.inner.on_persistent_congestion(now);
    }

    fn on_connection_migration(&mut self, now: Time) {
        // Another path, of which nothing was saved; but after a Retry the path is the same.
        if self.latest_sent > Time::ZERO && self.phase != Phase::Reconnaissance {
            self.phase = Phase::Normal;
        }
        self.inner.on_connection_migration(now);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        self.max_datagram_size = size;
        self.inner.on_max_datagram_size_changed(size);
    }

    fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        self.finish(window, slow_start_threshold);
    }

    fn congestion_window(&self) -> u64 {
        if self.is_in_charge() { self.window } else { self.inner.congestion_window() }
    }

    fn can_send(&self, bytes_in_flight: u64) -> bool {
        if self.is_in_charge() {
            bytes_in_flight < self.window
        } else {
            self.inner.can_send(bytes_in_flight)
        }
    }

    fn pacing_rate(&self) -> Option<Bandwidth> {
        if self.is_in_charge() {
            // Draft §3.2: over a whole RTT, not faster.
            return Some(Bandwidth::from_bytes_and_time(self.window, self.rtt));
        }
        self.inner.pacing_rate()
    }

    fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Reconnaissance => "careful_resume_reconnaissance",
            Phase::Unvalidated { .. } => "careful_resume_unvalidated",
            Phase::Validating { .. } => "careful_resume_validating",
            Phase::SafeRetreat { .. } => "careful_resume_safe_retreat",
            Phase::Normal => self.inner.phase(),
        }
    }

    forward_send_algorithm!(inner: name, ecn_codepoint, on_spurious_loss,
        on_retransmission_timeout, on_application_limited, bandwidth_estimate, in_slow_start,
        slow_start_threshold, recovery_start, in_recovery, wants_packets);
}
