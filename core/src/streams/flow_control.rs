//! [`SendWindow`] and [`RecvWindow`]: the two ends of one flow control limit (RFC 9000 §4.1), for a
//! stream or for the whole connection. They count bytes; which frames carry the limits, and when, is
//! decided elsewhere.

use std::time::Duration;

use crate::time::Time;

/// How much we may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    max: u64,
    used: u64,
    blocked_at: Option<u64>,
}

impl SendWindow {
    /// A window of `max` bytes, none of them used.
    pub(super) const fn new(max: u64) -> Self {
        Self { max, used: 0, blocked_at: None }
    }

    /// The limit that the peer set.
    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// How many bytes may still be sent.
    pub(super) const fn available(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// Counts `len` new bytes.
    pub(super) fn spend(&mut self, len: u64) {
        self.used += len;
    }

    /// Takes a limit from the peer. Returns whether it is new.
    pub(super) fn raise(&mut self, max: u64) -> bool {
        // RFC 9000 §4.1: a limit that does not increase is ignored.
        let raised = max > self.max;
        self.max = self.max.max(max);
        raised
    }

    /// Notes that the limit holds data back. Returns true once for every limit.
    pub(super) fn block(&mut self) -> bool {
        self.blocked_at.replace(self.max) != Some(self.max)
    }

    /// Whether a frame about the limit is still true.
    pub(super) fn is_blocked(&self) -> bool {
        self.available() == 0 && self.blocked_at == Some(self.max)
    }
}

/// How much the peer may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvWindow {
    received: u64,
    consumed: u64,
    advertised: u64,
    size: u64,
    largest: u64,
    updated: Time,
}

impl RecvWindow {
    /// A window of `size` bytes that may grow to `largest`, first advertised at `now`.
    pub(super) fn new(size: u64, largest: u64, now: Time) -> Self {
        Self {
            received: 0,
            consumed: 0,
            advertised: size,
            size,
            largest: largest.max(size),
            updated: now,
        }
    }

    /// The limit that the peer knows.
    pub(super) const fn advertised(&self) -> u64 {
        self.advertised
    }

    /// The bytes the peer has used: on a stream, one past the highest offset.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Bytes used by the peer and not yet given back.
    pub(super) const fn held(&self) -> u64 {
        self.received - self.consumed
    }

    /// The window's size in bytes.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Counts `len` more bytes. Returns false, and counts nothing, if the peer was not allowed them.
    #[must_use]
    pub(super) fn receive(&mut self, len: u64) -> bool {
        let allowed = self.advertised - self.received >= len;
        if allowed {
            self.received += len;
        }
        allowed
    }

    /// Gives `len` received bytes back, because they were read or dropped. Returns whether half of
    /// the window is used up, so that the peer should hear of a new limit.
    pub(super) fn consume(&mut self, len: u64) -> bool {
        self.consumed += len;
        debug_assert!(self.consumed <= self.received, "credit is given once");
        self.is_due()
    }

    /// Grows the window to at least `size` bytes, as far as its bound allows.
    pub(super) fn ensure(&mut self, size: u64) {
        self.size = self.size.max(size.min(self.largest));
    }

    /// The window as it is after advertising a new limit now. If it is used up at the rate of half
    /// in less than two round trips, then the window, not the sender, sets the pace: it doubles.
    pub(super) fn advanced(mut self, now: Time, rtt: Duration) -> Self {
        if self.is_due() {
            // Behind a gap much comes at once, after the round trips that the gap took to fill.
            let used = self.size.saturating_sub(self.advertised - self.consumed);
            let halves = 2.0 * used as f64 / self.size.max(1) as f64;
            if now.saturating_since(self.updated) < rtt.mul_f64(2.0 * halves) {
                self.size = (self.size * 2).min(self.largest);
            }
            self.updated = now;
        }
        let max = self.consumed.saturating_add(self.size).min(LARGEST);
        self.advertised = self.advertised.max(max);
        self
    }

    const fn is_due(&self) -> bool {
        self.advertised - self.consumed <= self.size / 2
    }
}

/// The largest limit that a frame can carry.
const LARGEST: u64 = (1 << 62) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn used_up(window: &mut RecvWindow) {
        assert!(window.receive(window.size()));
        assert!(window.consume(window.size()));
    }

    #[test]
    fn a_send_window_reports_blocking_once_for_each_limit() {
        let mut window = SendWindow::new(5);
        window.spend(5);
        assert!(window.block() && !window.block());
        assert!(!window.raise(5) && window.is_blocked());
        assert!(window.raise(6) && !window.is_blocked());
        assert!(window.block());
    }

    #[test]
    fn a_receive_window_is_exact_to_the_byte() {
        let mut window = RecvWindow::new(10, 10, Time::ZERO);
        assert!(!window.receive(11) && window.receive(10) && !window.receive(1));
    }

    #[test]
    fn a_new_limit_is_due_when_half_is_consumed() {
        let mut window = RecvWindow::new(10, 10, Time::ZERO);
        assert!(window.receive(10));
        assert!(!window.consume(4) && window.consume(1));
        assert_eq!(window.advanced(Time::ZERO, RTT).advertised(), 15);
    }

    #[test]
    fn a_fast_reader_doubles_the_window_up_to_its_bound() {
        let mut window = RecvWindow::new(10, 30, Time::ZERO);
        for expected in [20, 30, 30] {
            used_up(&mut window);
            window = window.advanced(Time::from_millis(1), RTT);
            assert_eq!(window.size(), expected);
        }
    }

    #[test]
    fn a_slow_reader_keeps_its_window() {
        let mut window = RecvWindow::new(10, 30, Time::ZERO);
        used_up(&mut window);
        assert_eq!(window.advanced(Time::from_millis(200), RTT).size(), 10);
    }

    #[test]
    fn what_comes_at_once_after_a_gap_counts_for_the_time_that_the_gap_took() {
        // Half in two round trips is too slow, and all of it is not.
        let mut window = RecvWindow::new(10, 30, Time::ZERO);
        assert!(window.receive(5) && window.consume(5));
        assert_eq!(window.advanced(Time::from_millis(100), RTT).size(), 10);
        assert!(window.receive(5) && window.consume(5));
        assert_eq!(window.advanced(Time::from_millis(100), RTT).size(), 20);
    }
}
