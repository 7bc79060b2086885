//! [`Cubic`]: RFC 9438, with HyStart++ (RFC 9406) for leaving slow start.

use std::time::Duration;

use crate::congestion::{
    CongestionEvent, HystartPlusPlus, Prr, SendAlgorithm, WindowUsage, initial_window,
    minimum_window, resized_window,
};
use crate::time::Time;

/// RFC 9438 §4.1.2, in datagrams per second cubed.
const C: f64 = 0.4;
/// RFC 9438 §4.6: what remains of the window after a loss.
const BETA: f64 = 0.7;
/// RFC 9438 §4.3: growth that is fair to Reno with this BETA, in datagrams per window.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// CUBIC: after a loss the window follows a cubic function of time, so that it does not depend on
/// the RTT, with a floor that is fair to Reno.
#[derive(Clone, Debug)]
pub struct Cubic {
    max_datagram_size: u16,
    /// In bytes, with a fraction: at a small window an ACK adds less than a byte.
    window: f64,
    slow_start_threshold: f64,
    /// The window before the latest reduction, after fast convergence (W_max), in bytes.
    max_window: f64,
    /// The window before the latest reduction (cwnd_prior), in bytes.
    prior_window: f64,
    recovery_start: Option<Time>,
    epoch: Option<Epoch>,
    last_event: Time,
    hystart: HystartPlusPlus,
    usage: WindowUsage,
    prr: Option<Prr>,
    undo: Option<Box<Undo>>,
}

/// A stretch of congestion avoidance between two reductions.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Time,
    /// Where the curve has its plateau, in bytes.
    origin: f64,
    /// K, in seconds.
    time_to_origin: f64,
    /// W_est, in bytes.
    reno_window: f64,
}

/// What was true before the latest reduction.
#[derive(Clone, Copy, Debug)]
struct Undo {
    window: f64,
    slow_start_threshold: f64,
    max_window: f64,
    prior_window: f64,
    recovery_start: Option<Time>,
    epoch: Option<Epoch>,
}

impl Cubic {
    /// A controller in slow start for datagrams of this size.
    pub fn new(max_datagram_size: u16) -> Self {
        Self {
            max_datagram_size,
            window: initial_window(max_datagram_size) as f64,
            slow_start_threshold: f64::INFINITY,
            max_window: 0.0,
            prior_window: 0.0,
            recovery_start: None,
            epoch: None,
            last_event: Time::ZERO,
            hystart: HystartPlusPlus::default(),
            usage: WindowUsage::default(),
            prr: None,
            undo: None,
        }
    }

    fn minimum(&self) -> f64 {
        minimum_window(self.max_datagram_size) as f64
    }

    /// RFC 9438 §4.6, §4.7.
    fn on_congestion(&mut self, now: Time, sent: Time) {
        if self.in_recovery(sent) {
            return;
        }
        self.save_for_undo();
        self.recovery_start = Some(now);
        // Fast convergence: a flow that lost below its former plateau makes room for others.
        self.max_window = if self.window < self.max_window {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.prior_window = self.window;
        self.window = (self.window * BETA).max(self.minimum());
        self.slow_start_threshold = self.window;
        self.epoch = None;
    }

    /// RFC 9002 §7.3.2 allows PRR; a recovery period ends with an ACK of a packet sent in it.
    fn pace_reduction(&mut self, event: &CongestionEvent<'_>, begins: bool) {
        if begins {
            self.prr = Some(Prr::new(self.window as u64, event, self.max_datagram_size));
        } else if event.newest_acked_sent.is_some_and(|sent| !self.in_recovery(sent)) {
            self.prr = None;
        } else if let Some(prr) = &mut self.prr {
            prr.on_congestion_event(event, self.max_datagram_size);
        }
    }

    fn save_for_undo(&mut self) {
        let undo = Undo {
            window: self.window,
            slow_start_threshold: self.slow_start_threshold,
            max_window: self.max_window,
            prior_window: self.prior_window,
            recovery_start: self.recovery_start,
            epoch: self.epoch,
        };
        match &mut self.undo {
            Some(saved) => **saved = undo,
            None => self.undo = Some(Box::new(undo)),
        }
    }

    fn on_acked(&mut self, event: &CongestionEvent<'_>, acked: u64) {
        let slow_start = self.in_slow_start();
        let window = self.window as u64;
        if !self.usage.is_window_limited(window, slow_start, self.max_datagram_size) {
            self.pause_epoch(event.now);
        } else if slow_start {
            self.slow_start(event, acked);
        } else {
            self.avoid_congestion(event.now, event.rtt.smoothed(), acked as f64);
        }
    }

    /// RFC 9438 §4.2, §5.8: time in which the application did not use the window does not count
    /// for its growth. Only the curve's clock is moved; the recovery period never is, or a sender
    /// whose every ACK empties the flight would stay in recovery, at the minimum, for good.
    fn pause_epoch(&mut self, now: Time) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start += now - self.last_event.max(epoch.start);
        }
    }

    fn slow_start(&mut self, event: &CongestionEvent<'_>, acked: u64) {
        if self.slow_start_threshold.is_finite() {
            // RFC 9406 §4.2: HyStart++ is for the first slow start, when nothing is known.
            self.window += acked as f64;
            return;
        }
        let sent = event.newest_acked_sent.unwrap_or(Time::ZERO);
        let sample = event.rtt_updated.then(|| event.rtt.latest());
        let over = self.hystart.on_ack(event.now, sent, sample);
        self.window += self.hystart.growth(acked) as f64;
        if over {
            self.slow_start_threshold = self.window;
        }
    }

    /// RFC 9438 §4.2 to §4.5.
    fn avoid_congestion(&mut self, now: Time, rtt: Duration, acked: f64) {
        let size = f64::from(self.max_datagram_size);
        let mut epoch = self.epoch.unwrap_or_else(|| self.new_epoch(now));
        let elapsed = (now - epoch.start).as_secs_f64();
        // §4.3: once the window before the reduction is regained, grow as Reno does.
        let alpha = if epoch.reno_window < self.prior_window { ALPHA } else { 1.0 };
        epoch.reno_window += alpha * size * acked / self.window;
        if epoch.at(elapsed, size) < epoch.reno_window {
            self.window = self.window.max(epoch.reno_window);
        } else {
            let target = epoch.at(elapsed + rtt.as_secs_f64(), size);
            let target = target.clamp(self.window, self.window * 1.5);
            let growth = (target - self.window) * acked / self.window;
            self.window = (self.window + growth).min(target);
        }
        self.epoch = Some(epoch);
    }

    fn new_epoch(&self, now: Time) -> Epoch {
        let origin = self.max_window.max(self.window);
        let missing = (origin - self.window) / f64::from(self.max_datagram_size);
        Epoch { start: now, origin, time_to_origin: (missing / C).cbrt(), reno_window: self.window }
    }
}

impl Epoch {
    /// W_cubic after `elapsed` seconds, in bytes (RFC 9438 §4.2, figure 1).
    fn at(&self, elapsed: f64, max_datagram_size: f64) -> f64 {
        C * (elapsed - self.time_to_origin).powi(3) * max_datagram_size + self.origin
    }
}

impl SendAlgorithm for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn on_packet_sent(&mut self, _now: Time, bytes_in_flight: u64, bytes: u16) {
        self.usage.on_packet_sent(bytes_in_flight);
        if let Some(prr) = &mut self.prr {
            prr.on_packet_sent(bytes);
        }
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        let start = self.recovery_start;
        if let Some(sent) = event.newest_congestion_signal() {
            self.on_congestion(event.now, sent);
        }
        self.pace_reduction(event, self.recovery_start != start);
        // What this ACK acknowledges was sent before a recovery period that begins with it.
        if event.acked_bytes_for_growth > 0 && self.recovery_start == start {
            self.on_acked(event, event.acked_bytes_for_growth);
        }
        if let Some(sent) = event.newest_acked_sent {
            self.usage.on_acked(event.now, sent, event.bytes_in_flight);
        }
        self.last_event = event.now;
    }

    fn on_persistent_congestion(&mut self, _now: Time) {
        // RFC 9002 §7.6.2. RFC 9438 §4.8: after that the curve begins with K = 0 where slow start
        // ends, and what the window was before does not matter.
        self.max_window = 0.0;
        self.window = self.minimum();
        self.recovery_start = None;
        self.epoch = None;
        self.undo = None;
        self.prr = None;
    }

    fn on_spurious_loss(&mut self, _now: Time) {
        // RFC 9438 §4.9
        if let Some(undo) = self.undo.take() {
            self.prr = None;
            self.window = self.window.max(undo.window);
            self.slow_start_threshold = undo.slow_start_threshold;
            self.max_window = undo.max_window;
            self.prior_window = undo.prior_window;
            self.recovery_start = undo.recovery_start;
            self.epoch = undo.epoch;
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
        self.epoch = None;
        self.prr = None;
    }

    fn congestion_window(&self) -> u64 {
        let window = self.prr.map_or(self.window as u64, |prr| prr.window());
        window.max(self.minimum() as u64)
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

    /// A path whose window was 1000 datagrams of 1000 bytes when it lost one.
    fn after_a_loss() -> Path<Cubic> {
        let mut cubic = Cubic::new(1000);
        cubic.window = 1_000_000.0;
        let mut path = Path::new(cubic);
        path.lose(1000, path.now);
        path.advance_rtt();
        path
    }

    #[test]
    fn a_loss_leaves_seven_tenths() {
        assert_eq!(after_a_loss().window(), 700_000);
    }

    #[test]
    fn the_window_follows_the_cubic_curve() {
        // RFC 9438 §4.2: K = cbrt((1000 - 700) / 0.4) = 9.086 s
        let mut path = after_a_loss();
        path.fill_and_ack();
        let start = path.now;
        while path.now - start < Duration::from_secs(14) {
            path.fill_and_ack();
            let t = (path.now - start).as_secs_f64();
            let expected = 0.4 * (t - 9.0856_f64).powi(3) + 1000.0;
            let actual = path.window() as f64 / 1000.0;
            assert!((actual - expected).abs() < 10.0, "{t} s: {actual}, expected {expected}");
        }
    }

    #[test]
    fn fast_convergence_lowers_the_plateau() {
        let mut path = after_a_loss();
        path.lose(1000, path.now);
        assert!((path.algorithm.max_window - 595_000.0).abs() < 1.0);
    }

    #[test]
    fn a_small_window_grows_at_least_as_reno_would() {
        // RFC 9438 §4.3: the cubic curve is far below at a short RTT and a small window
        let mut path = Path::new(Cubic::new(1200));
        path.lose(1200, path.now);
        path.advance_rtt();
        let before = path.window();
        for _ in 0..10 {
            path.fill_and_ack();
        }
        assert!(path.window() >= before + 5 * 1200, "{}", path.window());
    }

    #[test]
    fn the_minimum_window_is_left_even_when_every_ack_empties_the_flight() {
        let mut path = Path::new(Cubic::new(1200));
        path.lose(1200, path.now);
        path.algorithm.on_persistent_congestion(path.now);
        path.advance_rtt();
        path.lose(1200, path.now);
        assert_eq!(path.window(), 2400);
        for _ in 0..100 {
            path.advance_rtt();
            path.fill_and_ack();
        }
        assert!(path.window() > 24_000, "{}", path.window());
    }

    #[test]
    fn idle_time_does_not_count_for_growth() {
        let mut path = after_a_loss();
        path.fill_and_ack();
        let before = path.window();
        for _ in 0..2000 {
            path.send_and_ack(1000); // 100 s of a window not used
        }
        path.fill_and_ack();
        path.fill_and_ack();
        assert!(path.window() < before + 20_000, "{} {before}", path.window());
    }

    #[test]
    fn growth_in_one_step_is_at_most_half_a_window() {
        let mut path = after_a_loss();
        path.fill_and_ack();
        path.algorithm.usage.on_packet_sent(u64::MAX);
        path.now += Duration::from_secs(1_000_000);
        let before = path.window();
        path.ack(before, path.now);
        assert!(path.window() <= before + before / 2 + 1);
    }

    #[test]
    fn a_spurious_loss_is_undone() {
        let mut path = after_a_loss();
        path.algorithm.on_spurious_loss(path.now);
        assert_eq!(path.window(), 1_000_000);
        assert!(path.algorithm.in_slow_start());
        assert_eq!(path.algorithm.recovery_start(), None);
    }

    #[test]
    fn once_the_old_window_is_regained_growth_is_as_fast_as_renos() {
        // RFC 9438 §4.3: alpha is 1 from cwnd_prior on. A small window: the Reno-friendly region.
        let mut path = Path::new(Cubic::new(1200));
        path.lose(1200, path.now);
        path.advance_rtt();
        let growth = |path: &mut Path<Cubic>| {
            let before = path.window();
            path.fill_and_ack();
            path.window() - before
        };
        let early = growth(&mut path);
        while path.window() < 12_000 {
            path.fill_and_ack();
        }
        path.fill_and_ack();
        let late = growth(&mut path);
        assert!((500..=750).contains(&early), "alpha is 0.53: {early}");
        assert!((1150..=1300).contains(&late), "{late}");
    }

    #[test]
    fn after_persistent_congestion_the_old_plateau_is_forgotten() {
        // RFC 9438 §4.8
        let mut path = after_a_loss();
        path.algorithm.on_persistent_congestion(path.now);
        path.algorithm.slow_start_threshold = 4000.0;
        path.advance_rtt();
        path.fill_and_ack();
        path.fill_and_ack();
        let before = path.window();
        assert!(before < 10_000);
        path.fill_and_ack();
        let epoch = path.algorithm.epoch.unwrap();
        assert!(epoch.time_to_origin < 0.001 && epoch.origin < 10_000.0, "{epoch:?}");
    }

    #[test]
    fn only_the_first_slow_start_watches_the_rtt() {
        // RFC 9406 §4.2
        let mut path = Path::new(Cubic::new(1200));
        path.lose(1200, path.now);
        path.algorithm.on_persistent_congestion(path.now);
        path.algorithm.slow_start_threshold = 1e9;
        for round in 0..8 {
            path.rtt = crate::recovery::RttEstimator::new(Duration::from_millis(50 + 20 * round));
            path.advance_rtt();
            path.fill_and_ack();
        }
        assert_eq!(path.window(), 2400 << 8);
    }

    #[test]
    fn slow_start_ends_when_the_rtt_rises() {
        let mut path = Path::new(Cubic::new(1200));
        for (round, rtt) in [50, 50, 90, 90, 90, 90, 90, 90, 90].into_iter().enumerate() {
            let sent = path.now + Duration::from_micros(1);
            let window = path.window();
            path.algorithm.on_packet_sent(sent, window, 1200);
            path.now += Duration::from_millis(rtt);
            path.rtt = crate::recovery::RttEstimator::new(Duration::from_millis(rtt));
            path.rtt.on_sample(path.now, Duration::from_millis(rtt), Duration::ZERO);
            for i in 0..10_u64 {
                let sent = if i == 9 { sent } else { Time::ZERO };
                path.ack(window / 10, sent);
            }
            assert_eq!(path.algorithm.in_slow_start(), round < 6, "round {round}");
        }
    }
}
