//! [`Pacer`]: spreads packets over the RTT (RFC 9002 §7.7). A bucket of bytes that fills at a rate;
//! it must not know windows' reasons or packets' contents.

use std::time::Duration;

use crate::congestion::Bandwidth;
use crate::time::Time;

/// A timer is never asked to fire sooner than this.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// How much of the rate may leave at once, so that late timers cost no throughput.
const BURST_TIME: Duration = Duration::from_millis(2);
/// Datagrams that may always leave at once (RFC 9002 §7.7: the initial window).
const MIN_BURST: u64 = 10;
/// The share of the window that may leave at once, if that is not more than the configured burst.
const WINDOW_SHARE: u64 = 8;
/// A wait is for so many datagrams at least.
const MIN_WAIT_DATAGRAMS: u64 = 2;

/// A token bucket.
#[derive(Clone, Debug)]
pub struct Pacer {
    max_burst: u64,
    max_datagram_size: u64,
    /// `None`: no pacing.
    rate: Option<Bandwidth>,
    /// Bytes that may leave now; negative after packets that were not asked about (probes).
    tokens: f64,
    capacity: f64,
    updated: Time,
}

impl Pacer {
    /// A pacer that does not pace until it is given a rate. `max_burst` in datagrams.
    pub fn new(max_burst: u16, max_datagram_size: u16) -> Self {
        Self {
            max_burst: u64::from(max_burst).max(MIN_BURST),
            max_datagram_size: u64::from(max_datagram_size),
            rate: None,
            tokens: 0.0,
            capacity: 0.0,
            updated: Time::ZERO,
        }
    }

    /// The rate to send at from now on, with this congestion window; `None` does away with pacing.
    pub fn set_rate(&mut self, now: Time, rate: Option<Bandwidth>, window: u64) {
        self.refill(now);
        let was_pacing = self.rate.is_some();
        self.rate = rate;
        let Some(rate) = rate else { return };
        let size = self.max_datagram_size;
        let burst = (self.max_burst * size).min(window / WINDOW_SHARE);
        let burst = burst.max(MIN_BURST * size).max(rate.bytes_in(BURST_TIME));
        self.capacity = burst as f64;
        self.tokens = if was_pacing { self.tokens.min(self.capacity) } else { self.capacity };
    }

    /// Datagrams may now be `size` bytes long.
    pub fn set_max_datagram_size(&mut self, size: u16) {
        self.max_datagram_size = u64::from(size);
    }

    /// How many bytes may leave at `now`; [`u64::MAX`] without pacing.
    pub fn allowance(&mut self, now: Time) -> u64 {
        if self.rate.is_none() {
            return u64::MAX;
        }
        self.refill(now);
        self.tokens.max(0.0) as u64
    }

    /// A packet of `bytes` left.
    pub fn on_packet_sent(&mut self, bytes: u16) {
        if self.rate.is_some() {
            self.tokens = (self.tokens - f64::from(bytes)).max(-self.capacity);
        }
    }

    /// When a sender that is held back by [`Self::allowance`] should try again: at least 1 ms and
    /// two datagrams later. `None` if a full datagram may leave now.
    pub fn next_release(&self) -> Option<Time> {
        let rate = self.rate?;
        let full = self.max_datagram_size as f64;
        if self.tokens >= full {
            return None;
        }
        let wanted = full * MIN_WAIT_DATAGRAMS as f64 - self.tokens;
        let wait = rate.time_for(wanted.ceil() as u64 + 1);
        Some(self.updated + wait.max(MIN_WAIT))
    }

    fn refill(&mut self, now: Time) {
        if let Some(rate) = self.rate {
            let elapsed = (now - self.updated).as_secs_f64();
            let gained = elapsed * rate.as_bytes_per_second() as f64;
            self.tokens = (self.tokens + gained).min(self.capacity);
        }
        self.updated = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_millis(1000);

    fn pacer(bytes_per_second: u64, window: u64) -> Pacer {
        let mut pacer = Pacer::new(64, 1200);
        let rate = Bandwidth::from_bytes_per_second(bytes_per_second);
        pacer.set_rate(START, Some(rate), window);
        pacer
    }

    fn drain(pacer: &mut Pacer, now: Time) -> u64 {
        let mut sent = 0;
        while pacer.allowance(now) >= 1200 {
            pacer.on_packet_sent(1200);
            sent += 1200;
        }
        sent
    }

    #[test]
    fn the_burst_is_ten_datagrams_for_a_small_window_and_64_for_a_large_one() {
        assert_eq!(drain(&mut pacer(1_000_000, 30_000), START), 12_000);
        assert_eq!(drain(&mut pacer(1_000_000, 10_000_000), START), 64 * 1200);
    }

    #[test]
    fn a_fast_path_may_burst_two_milliseconds() {
        let sent = drain(&mut pacer(1_000_000_000, 30_000), START);
        assert!((1_998_000..=2_000_000).contains(&sent), "{sent}");
    }

    #[test]
    fn pacing_never_starves_and_never_wakes_for_little() {
        for rate in [1, 1000, 150_000, 12_500_000, 125_000_000, 10_000_000_000] {
            let mut pacer = pacer(rate, 100_000);
            let (mut now, mut sent) = (START, drain(&mut pacer, START));
            let burst = sent;
            for _ in 0..200 {
                let at = pacer.next_release().expect("held back");
                assert!(at >= now + MIN_WAIT);
                now = at;
                let released = drain(&mut pacer, now);
                assert!(released >= 2400, "rate {rate}: only {released} at {now:?}");
                sent += released;
            }
            let ideal = (now - START).as_secs_f64() * rate as f64;
            let ratio = (sent - burst) as f64 / ideal;
            assert!((0.95..=1.05).contains(&ratio), "rate {rate}: {ratio}");
        }
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let mut pacer = Pacer::new(64, 1200);
        pacer.on_packet_sent(1200);
        assert_eq!(pacer.allowance(START), u64::MAX);
        assert_eq!(pacer.next_release(), None);
    }

    #[test]
    fn a_clock_that_jumps_gives_no_more_than_a_burst() {
        let mut pacer = pacer(1_000_000, 30_000);
        drain(&mut pacer, START);
        assert_eq!(pacer.allowance(Time::MAX), 12_000);
        assert_eq!(pacer.allowance(Time::ZERO), 12_000);
    }
}
