//! [`NewReno`]: the congestion controller of RFC 9002 §7 and Appendix B.

use crate::congestion::{
    CongestionEvent, Prr, SendAlgorithm, WindowUsage, initial_window, minimum_window,
    resized_window,
};
use crate::time::Time;

/// NewReno: slow start, then one datagram for each window acknowledged, and half the window for
/// each recovery period.
#[derive(Clone, Debug)]
pub struct NewReno {
    max_datagram_size: u16,
    window: u64,
    slow_start_threshold: u64,
    recovery_start: Option<Time>,
    /// Bytes acknowledged in congestion avoidance towards the next growth of the window.
    acked_towards_growth: u64,
    usage: WindowUsage,
    prr: Option<Prr>,
    undo: Option<Undo>,
}

/// What the window was before the latest reduction.
#[derive(Clone, Copy, Debug)]
struct Undo {
    window: u64,
    slow_start_threshold: u64,
    recovery_start: Option<Time>,
}

impl NewReno {
    /// A controller in slow start for datagrams of this size.
    pub fn new(max_datagram_size: u16) -> Self {
        Self {
            max_datagram_size,
            window: initial_window(max_datagram_size),
            slow_start_threshold: u64::MAX,
            recovery_start: None,
            acked_towards_growth: 0,
            usage: WindowUsage::default(),
            prr: None,
            undo: None,
        }
    }

    /// RFC 9002 §B.6.
    fn on_congestion(&mut self, now: Time, sent: Time) {
        if self.in_recovery(sent) {
            return;
        }
        self.undo = Some(Undo {
            window: self.window,
            slow_start_threshold: self.slow_start_threshold,
            recovery_start: self.recovery_start,
        });
        self.recovery_start = Some(now);
        let half = self.window / 2;
        self.window = half.max(minimum_window(self.max_datagram_size));
        self.slow_start_threshold = self.window;
        self.acked_towards_growth = 0;
    }

    /// RFC 9002 §7.3.2 allows PRR; a recovery period ends with an ACK of a packet sent in it.
    fn pace_reduction(&mut self, event: &CongestionEvent<'_>, begins: bool) {
        if begins {
            self.prr = Some(Prr::new(self.window, event, self.max_datagram_size));
        } else if event.newest_acked_sent.is_some_and(|sent| !self.in_recovery(sent)) {
            self.prr = None;
        } else if let Some(prr) = &mut self.prr {
            prr.on_congestion_event(event, self.max_datagram_size);
        }
    }

    /// RFC 9002 §B.5.
    fn grow(&mut self, acked: u64) {
        let slow_start = self.in_slow_start();
        if !self.usage.is_window_limited(self.window, slow_start, self.max_datagram_size) {
            return; // RFC 9002 §7.8
        }
        if slow_start {
            self.window = self.window.saturating_add(acked);
            return;
        }
        self.acked_towards_growth += acked;
        if self.acked_towards_growth >= self.window {
            self.acked_towards_growth -= self.window;
            self.window += u64::from(self.max_datagram_size);
        }
    }
}

impl SendAlgorithm for NewReno {
    fn name(&self) -> &'static str {
        "new_reno"
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
            self.grow(event.acked_bytes_for_growth);
        }
        if let Some(sent) = event.newest_acked_sent {
            self.usage.on_acked(event.now, sent, event.bytes_in_flight);
        }
    }

    fn on_persistent_congestion(&mut self, _now: Time) {
        // RFC 9002 §7.6.2
        self.window = minimum_window(self.max_datagram_size);
        self.recovery_start = None;
        self.acked_towards_growth = 0;
        self.undo = None;
        self.prr = None;
    }

    fn on_spurious_loss(&mut self, _now: Time) {
        if let Some(undo) = self.undo.take() {
            self.prr = None;
            self.window = self.window.max(undo.window);
            self.slow_start_threshold = undo.slow_start_threshold;
            self.recovery_start = undo.recovery_start;
        }
    }

    fn on_connection_migration(&mut self, _now: Time) {
        *self = Self::new(self.max_datagram_size);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        let reduced = self.recovery_start.is_some();
        let window = resized_window(self.window as f64, reduced, self.max_datagram_size, size);
        self.window = window as u64;
        self.max_datagram_size = size;
    }

    fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        self.window = window.max(minimum_window(self.max_datagram_size));
        self.slow_start_threshold = slow_start_threshold.unwrap_or(u64::MAX);
        self.prr = None;
    }

    fn congestion_window(&self) -> u64 {
        let window = self.prr.map_or(self.window, |prr| prr.window());
        window.max(minimum_window(self.max_datagram_size))
    }

    fn in_slow_start(&self) -> bool {
        self.window < self.slow_start_threshold
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        (self.slow_start_threshold != u64::MAX).then_some(self.slow_start_threshold)
    }

    fn recovery_start(&self) -> Option<Time> {
        self.recovery_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::send_algorithm::test_support::Path;

    #[test]
    fn slow_start_doubles_in_a_round_trip() {
        let mut path = Path::new(NewReno::new(1200));
        path.fill_and_ack();
        assert_eq!(path.window(), 24_000);
        assert!(path.algorithm.in_slow_start());
    }

    #[test]
    fn the_window_is_halved_once_in_a_recovery_period() {
        // RFC 9002 §7.3.2
        let mut path = Path::new(NewReno::new(1200));
        let sent = path.now;
        path.advance_rtt();
        path.lose(1200, sent);
        assert_eq!(path.window(), 6000);
        path.lose(1200, sent);
        assert_eq!(path.window(), 6000);
        path.advance_rtt();
        path.lose(1200, path.now);
        assert_eq!(path.window(), 3000);
    }

    #[test]
    fn a_ce_mark_halves_the_window_as_a_loss_does() {
        let mut path = Path::new(NewReno::new(1200));
        path.ce_mark(1200);
        assert_eq!(path.window(), 6000);
    }

    #[test]
    fn avoidance_adds_one_datagram_for_each_window() {
        let mut path = Path::new(NewReno::new(1200));
        path.lose(1200, path.now);
        for _ in 0..5 {
            let before = path.window();
            path.advance_rtt();
            path.fill_and_ack();
            assert!(path.window() - before <= 1200);
        }
        assert!((10_800..=12_000).contains(&path.window()));
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        // RFC 9002 §7.8
        let mut path = Path::new(NewReno::new(1200));
        for _ in 0..20 {
            path.advance_rtt();
            path.send_and_ack(1200);
        }
        assert_eq!(path.window(), 12_000);
    }

    #[test]
    fn persistent_congestion_leaves_the_minimum_and_slow_start_resumes() {
        let mut path = Path::new(NewReno::new(1200));
        path.lose(1200, path.now);
        path.algorithm.on_persistent_congestion(path.now);
        assert_eq!(path.window(), 2400);
        path.advance_rtt();
        path.fill_and_ack();
        assert_eq!(path.window(), 4800);
    }

    #[test]
    fn a_spurious_loss_is_undone() {
        let mut path = Path::new(NewReno::new(1200));
        path.lose(1200, path.now);
        path.algorithm.on_spurious_loss(path.now);
        assert_eq!(path.window(), 12_000);
        assert!(path.algorithm.in_slow_start());
    }
}
