//! [`Prague`]: the response that L4S asks for (RFC 9331 §4, after draft-briscoe-iccrg-prague):
//! packets are sent as ECT(1), marks come early and often, and the window gives way by half of the
//! share of packets that were marked. It must not know how marks are counted.

use std::time::Duration;

use crate::congestion::{
    Bandwidth, CongestionEvent, Prr, SendAlgorithm, WindowUsage, initial_window, minimum_window,
    resized_window,
};
use crate::time::Time;
use crate::types::Ecn;

/// The weight of the latest round in the mean share of marks.
const GAIN: f64 = 1.0 / 16.0;
/// Rounds are at least this long, and growth is that of a flow with this RTT: short paths must not
/// starve long ones (RFC 9331 §4.3).
const REFERENCE_RTT: Duration = Duration::from_millis(25);
/// How much faster than the window per RTT packets are paced. Little: a burst is marked.
const PACING_PERCENT: u64 = 105;
const SLOW_START_PACING_PERCENT: u64 = 200;

/// A scalable congestion controller for paths whose queues mark by RFC 9332 (DualQ), such as data
/// centres and L4S access networks.
///
/// Where marks are rare because a queue marks the classic way (RFC 3168), Prague takes more than
/// its share: it does not detect such queues. Hence it is a choice, never a default.
#[derive(Clone, Debug)]
pub struct Prague {
    max_datagram_size: u16,
    window: f64,
    slow_start_threshold: f64,
    /// The mean share of marked packets; `None` before the first mark.
    alpha: Option<f64>,
    round: Round,
    /// When the window last gave way to marks.
    reduced: Option<Time>,
    recovery_start: Option<Time>,
    rtt: Option<Duration>,
    usage: WindowUsage,
    prr: Option<Prr>,
    undo: Option<(f64, f64)>,
}

/// What the marks of a round trip add up to.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    start: Time,
    marked: u64,
    all: u64,
}

impl Prague {
    /// A controller in slow start for datagrams of this size.
    pub fn new(max_datagram_size: u16) -> Self {
        Self {
            max_datagram_size,
            window: initial_window(max_datagram_size) as f64,
            slow_start_threshold: f64::INFINITY,
            alpha: None,
            round: Round::default(),
            reduced: None,
            recovery_start: None,
            rtt: None,
            usage: WindowUsage::default(),
            prr: None,
            undo: None,
        }
    }

    fn minimum(&self) -> f64 {
        minimum_window(self.max_datagram_size) as f64
    }

    fn shrink_to(&mut self, window: f64) {
        self.window = window.max(self.minimum());
        self.slow_start_threshold = self.window;
    }

    /// Losses are what they are to Reno (RFC 9331 §4.3), once in a round trip.
    fn on_losses(&mut self, event: &CongestionEvent<'_>) {
        let new = event.newest_lost_sent.is_some_and(|sent| !self.in_recovery(sent));
        if new {
            self.undo = Some((self.window, self.slow_start_threshold));
            self.recovery_start = Some(event.now);
            self.shrink_to(self.window / 2.0);
            self.prr = Some(Prr::new(self.window as u64, event, self.max_datagram_size));
        } else if event.newest_acked_sent.is_some_and(|sent| !self.in_recovery(sent)) {
            self.prr = None;
        } else if let Some(prr) = &mut self.prr {
            prr.on_congestion_event(event, self.max_datagram_size);
        }
    }

    /// Marks: the mean share moves once in a round, and the window gives way once in a round.
    fn on_marks(&mut self, event: &CongestionEvent<'_>) {
        let Some(sent) = event.newest_acked_sent else { return };
        self.round.marked = self.round.marked.saturating_add(event.ce_count);
        let all = event.ce_count.saturating_add(event.ect_count);
        self.round.all = self.round.all.saturating_add(all);
        if event.ce_count > 0 {
            // The first mark ends slow start, which overshoots: take it for a full round of them.
            self.alpha.get_or_insert(1.0);
        }
        let length = event.rtt.smoothed().max(REFERENCE_RTT);
        if sent >= self.round.start && event.now >= self.round.start + length {
            self.end_round(event.now);
        }
        let given_way = self.reduced.is_some_and(|reduced| {
            sent <= reduced || event.now < reduced + length // one reaction in a round
        });
        if let (true, false, Some(alpha)) = (event.ce_count > 0, given_way, self.alpha)
            && !self.in_recovery(sent)
        {
            self.reduced = Some(event.now);
            self.shrink_to(self.window * (1.0 - alpha / 2.0));
        }
    }

    fn end_round(&mut self, now: Time) {
        if let (Some(alpha), true) = (&mut self.alpha, self.round.all > 0) {
            let share = self.round.marked as f64 / self.round.all as f64;
            *alpha += GAIN * (share - *alpha);
        }
        self.round = Round { start: now, ..Round::default() };
    }

    /// A datagram for each window of unmarked ones, less on a path shorter than the reference.
    fn grow(&mut self, event: &CongestionEvent<'_>) {
        let slow_start = self.in_slow_start();
        let window = self.window as u64;
        if !self.usage.is_window_limited(window, slow_start, self.max_datagram_size) {
            return; // RFC 9002 §7.8
        }
        let all = event.ce_count.saturating_add(event.ect_count).max(1);
        let unmarked = 1.0 - (event.ce_count as f64 / all as f64).min(1.0);
        let acked = event.acked_bytes_for_growth as f64 * unmarked;
        if slow_start {
            self.window += acked;
            return;
        }
        let shortness = event.rtt.smoothed().as_secs_f64() / REFERENCE_RTT.as_secs_f64();
        let scale = shortness.min(1.0).powi(2);
        self.window += scale * f64::from(self.max_datagram_size) * acked / self.window;
    }
}

impl SendAlgorithm for Prague {
    fn name(&self) -> &'static str {
        "prague"
    }

    fn ecn_codepoint(&self) -> Ecn {
        Ecn::Ect1 // RFC 9331 §4.1
    }

    fn on_packet_sent(&mut self, _now: Time, bytes_in_flight: u64, bytes: u16) {
        self.usage.on_packet_sent(bytes_in_flight);
        if let Some(prr) = &mut self.prr {
            prr.on_packet_sent(bytes);
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        if event.rtt_updated {
            self.rtt = Some(event.rtt.smoothed());
        }
        let start = self.recovery_start;
        self.on_losses(event);
        self.on_marks(event);
        if event.acked_bytes_for_growth > 0 && self.recovery_start == start {
            self.grow(event);
        }
        if let Some(sent) = event.newest_acked_sent {
            self.usage.on_acked(event.now, sent, event.bytes_in_flight);
        }
    }

    fn on_persistent_congestion(&mut self, _now: Time) {
        // RFC 9002 §7.6.2
        self.window = self.minimum();
        self.recovery_start = None;
        self.prr = None;
        self.undo = None;
    }

    fn on_spurious_loss(&mut self, _now: Time) {
        if let Some((window, threshold)) = self.undo.take() {
            self.window = self.window.max(window);
            self.slow_start_threshold = threshold;
            self.recovery_start = None;
            self.prr = None;
        }
    }

    fn on_connection_migration(&mut self, _now: Time) {
        *self = Self::new(self.max_datagram_size);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        let reduced = self.recovery_start.is_some();
        self.window = resized_window(self.window, reduced, self.max_datagram_size, size);
        self.max_datagram_size = size;
    }

    fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        self.window = (window as f64).max(self.minimum());
        self.slow_start_threshold =
            slow_start_threshold.map_or(f64::INFINITY, |bytes| bytes as f64);
        self.prr = None;
    }

    fn congestion_window(&self) -> u64 {
        let window = self.prr.map_or(self.window as u64, |prr| prr.window());
        window.max(self.minimum() as u64)
    }

    fn pacing_rate(&self) -> Option<Bandwidth> {
        let percent = if self.in_slow_start() { SLOW_START_PACING_PERCENT } else { PACING_PERCENT };
        let bytes = (self.window as u64).saturating_mul(percent) / 100;
        self.rtt.map(|rtt| Bandwidth::from_bytes_and_time(bytes, rtt))
    }

    fn in_slow_start(&self) -> bool {
        self.window < self.slow_start_threshold
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        self.slow_start_threshold.is_finite().then_some(self.slow_start_threshold as u64)
    }

    fn recovery_start(&self) -> Option<Time> {
        self.recovery_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::send_algorithm::test_support::Path;

    /// Sends a window, of whose packets this share of a hundred is marked.
    fn round(path: &mut Path<Prague>, percent: u64) {
        let (sent, window) = (path.now, path.window());
        path.algorithm.on_packet_sent(sent, window, 1200);
        path.advance_rtt();
        path.ack_marked(window, sent, percent, 100 - percent);
        path.now += Duration::from_micros(1);
    }

    #[test]
    fn packets_are_sent_as_ect1() {
        // RFC 9331 §4.1
        assert_eq!(Prague::new(1200).ecn_codepoint(), Ecn::Ect1);
    }

    #[test]
    fn the_first_mark_ends_slow_start_and_halves() {
        let mut path = Path::new(Prague::new(1200));
        round(&mut path, 0);
        assert_eq!(path.window(), 24_000);
        round(&mut path, 1);
        assert!(!path.algorithm.in_slow_start());
        assert!((12_000..16_000).contains(&path.window()), "{}", path.window());
    }

    #[test]
    fn the_mean_follows_the_share_of_marks_by_a_sixteenth_in_a_round() {
        let mut path = Path::new(Prague::new(1200));
        round(&mut path, 10);
        let before = path.algorithm.alpha.unwrap();
        round(&mut path, 10);
        let after = path.algorithm.alpha.unwrap();
        assert!((after - (before + (0.1 - before) / 16.0)).abs() < 1e-9, "{before} {after}");
        (0..200).for_each(|_| round(&mut path, 10));
        assert!((path.algorithm.alpha.unwrap() - 0.1).abs() < 0.001);
    }

    #[test]
    fn the_window_gives_way_by_half_of_the_mean_share() {
        let mut path = Path::new(Prague::new(1200));
        (0..200).for_each(|_| round(&mut path, 10));
        path.algorithm.window = 1_000_000.0;
        path.algorithm.slow_start_threshold = 1_000_000.0;
        round(&mut path, 10);
        let window = path.window() as f64;
        assert!((window - 950_000.0).abs() < 2000.0, "{window}");
    }

    #[test]
    fn a_loss_halves_as_it_does_for_reno() {
        // RFC 9331 §4.3
        let mut path = Path::new(Prague::new(1200));
        path.lose(1200, path.now);
        assert_eq!(path.window(), 6000);
    }

    #[test]
    fn a_short_path_grows_no_faster_than_a_long_one() {
        // RFC 9331 §4.3: 5 ms are a fifth of the reference: a 25th in a round trip
        let growth = |rtt_ms: u64| {
            let mut path = Path::new(Prague::new(1200));
            path.lose(1200, path.now);
            path.rtt = crate::recovery::RttEstimator::new(Duration::from_millis(rtt_ms));
            let before = path.algorithm.window;
            path.advance_rtt();
            path.fill_and_ack();
            path.algorithm.window - before
        };
        assert!((growth(50) - 1200.0).abs() < 1.0);
        assert!((growth(5) - 1200.0 / 25.0).abs() < 1.0);
    }
}
