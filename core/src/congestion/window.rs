//! What window-based algorithms share: the window's limits (RFC 9002 §7.2) and whether the window
//! is in use at all (§7.8).

use crate::time::Time;

/// The initial window for datagrams of this size (RFC 9002 §7.2).
pub fn initial_window(max_datagram_size: u16) -> u64 {
    let size = u64::from(max_datagram_size);
    (10 * size).min((2 * size).max(14_720))
}

/// The window's floor for datagrams of this size (RFC 9002 §7.2).
pub fn minimum_window(max_datagram_size: u16) -> u64 {
    2 * u64::from(max_datagram_size)
}

/// A window of `window` bytes once datagrams have another size (RFC 9002 §7.2): one that is still the
/// initial one, and never was reduced, is computed anew, and none is below the floor.
pub(super) fn resized_window(window: f64, reduced: bool, old_size: u16, new_size: u16) -> f64 {
    let is_initial = !reduced && window as u64 == initial_window(old_size);
    let window = if is_initial { initial_window(new_size) as f64 } else { window };
    window.max(minimum_window(new_size) as f64)
}

/// Keeps the most that was in flight during this round trip and the one before, to tell whether
/// the window was what held the sender back.
///
/// A mark over a round trip, unlike a look at the moment of an ACK, is not fooled by pacing, by
/// ACKs that cover many packets, or by a window so small that every ACK empties the flight.
#[derive(Clone, Debug, Default)]
pub struct WindowUsage {
    round_start: Time,
    this_round: u64,
    last_round: u64,
}

impl WindowUsage {
    /// How many datagrams short of the window still count as having filled it.
    const SLACK_DATAGRAMS: u64 = 3;

    /// A packet was sent, with so much in flight now.
    pub fn on_packet_sent(&mut self, bytes_in_flight: u64) {
        self.this_round = self.this_round.max(bytes_in_flight);
    }

    /// A packet sent at `sent` was acknowledged; `bytes_in_flight` remain.
    pub fn on_acked(&mut self, now: Time, sent: Time, bytes_in_flight: u64) {
        if sent >= self.round_start {
            self.last_round = self.this_round;
            self.this_round = bytes_in_flight;
            self.round_start = now;
        }
    }

    /// Whether the window held the sender back, so that it may grow (RFC 9002 §7.8). In slow start
    /// half a window is enough: it could not have been filled by a sender that is being paced.
    pub fn is_window_limited(&self, window: u64, slow_start: bool, max_datagram_size: u16) -> bool {
        let most = self.this_round.max(self.last_round);
        if slow_start && most.saturating_mul(2) > window {
            return true;
        }
        most.saturating_add(Self::SLACK_DATAGRAMS * u64::from(max_datagram_size)) >= window
            && most > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_window_is_ten_datagrams_within_the_rfc_limit() {
        // RFC 9002 §7.2
        assert_eq!(initial_window(1200), 12_000);
        assert_eq!(initial_window(1472), 14_720);
        assert_eq!(initial_window(1500), 14_720);
        assert_eq!(initial_window(9000), 18_000);
        assert_eq!(minimum_window(1200), 2400);
    }

    #[test]
    fn a_window_filled_in_the_last_round_trip_counts_as_used() {
        let mut usage = WindowUsage::default();
        usage.on_packet_sent(100_000);
        usage.on_acked(Time::from_millis(10), Time::from_millis(1), 0);
        assert!(usage.is_window_limited(100_000, false, 1200));
        usage.on_acked(Time::from_millis(20), Time::from_millis(11), 0);
        assert!(!usage.is_window_limited(100_000, false, 1200));
    }

    #[test]
    fn the_smallest_window_can_be_seen_as_used() {
        let mut usage = WindowUsage::default();
        usage.on_packet_sent(1200);
        assert!(usage.is_window_limited(2400, false, 1200));
    }
}
