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
const MIN_BURST: u16 = 10;
/// The share of the window that may leave at once, if that is not more than the configured burst.
const WINDOW_SHARE: u64 = 8;
/// A wait is for so many datagrams at least.
const MIN_WAIT_DATAGRAMS: u64 = 2;

/// A token bucket.
#[derive(Clone, Debug)]
pub struct Pacer {
    max_burst: u16,
    max_datagram_size: u16,
    /// What may leave at once when a sender comes late, however late that is.
    late_capacity: u32,
    /// `None`: no pacing.
    rate: Option<Bandwidth>,
    /// Bytes that may leave now; negative after packets that were not asked about (probes).
    tokens: f64,
    capacity: f64,
    updated: Time,
    /// When a sender that is held back is to try again; [`Time::MAX`] if none is.
    due: Time,
    /// How far ahead of its time a packet may be planned.
    horizon: Duration,
}

impl Pacer {
    /// A pacer that does not pace until it is given a rate. `max_burst` in datagrams.
    pub fn new(max_burst: u16, max_datagram_size: u16) -> Self {
        Self {
            max_burst: max_burst.max(MIN_BURST),
            max_datagram_size,
            late_capacity: 0,
            rate: None,
            tokens: 0.0,
            capacity: 0.0,
            updated: Time::ZERO,
            due: Time::MAX,
            horizon: Duration::ZERO,
        }
    }

    /// Packets may be planned so far ahead: [`Self::allowance`] then counts what may leave until
    /// then, and [`Self::release_time`] says when.
    pub fn set_horizon(&mut self, horizon: Duration) {
        self.horizon = horizon;
    }

    /// The rate to send at from now on, with this congestion window; `None` does away with pacing.
    pub fn set_rate(&mut self, now: Time, rate: Option<Bandwidth>, window: u64) {
        self.refill(now);
        let was_pacing = self.rate.is_some();
        self.rate = rate;
        let Some(rate) = rate else { return };
        let is_late = self.tokens > self.capacity;
        let size = u32::from(self.max_datagram_size);
        let most = u32::from(self.max_burst) * size;
        let burst = u64::from(most).min(window / WINDOW_SHARE);
        let burst = burst.max((u32::from(MIN_BURST) * size).into()).max(rate.bytes_in(BURST_TIME));
        self.capacity = burst as f64;
        self.late_capacity = u64::from(most).min(window) as u32;
        let capacity = if is_late { self.largest() } else { self.capacity };
        self.tokens = if was_pacing { self.tokens.min(capacity) } else { self.capacity };
    }

    /// Whether there is a rate.
    pub const fn is_pacing(&self) -> bool {
        self.rate.is_some()
    }

    /// Datagrams may now be `size` bytes long.
    pub fn set_max_datagram_size(&mut self, size: u16) {
        self.max_datagram_size = size;
    }

    /// How many bytes may leave at `now`, or be planned then; [`u64::MAX`] without pacing.
    pub fn allowance(&mut self, now: Time) -> u64 {
        if self.rate.is_none() {
            return u64::MAX;
        }
        self.refill(now);
        self.due = Time::MAX; // until this is found to be too little
        (self.tokens + self.ahead()).max(0.0) as u64
    }

    /// When a full datagram that is sent after [`Self::allowance`] should leave; `None`: now.
    pub fn release_time(&self) -> Option<Time> {
        let missing = f64::from(self.max_datagram_size) - self.tokens;
        let rate = self.rate.filter(|_| missing > 0.0 && !self.horizon.is_zero())?;
        Some(self.updated + rate.time_for(missing.ceil() as u64))
    }

    /// Packets of `bytes` together left, or were planned.
    pub fn on_bytes_sent(&mut self, bytes: u64) {
        if self.rate.is_some() {
            let least = -self.capacity.max(self.ahead());
            self.tokens = (self.tokens - bytes as f64).max(least);
        }
    }

    /// When a sender that is held back by [`Self::allowance`] should try again: at least 1 ms and
    /// two datagrams later. `None` if a full datagram may leave now. Who tries later than this, because
    /// others had their turns first, may then send what would have left meanwhile.
    pub fn next_release(&mut self) -> Option<Time> {
        let rate = self.rate?;
        let full = f64::from(self.max_datagram_size);
        let tokens = self.tokens + self.ahead();
        if tokens >= full {
            return None;
        }
        let wanted = full * MIN_WAIT_DATAGRAMS as f64 - tokens;
        let wait = rate.time_for(wanted.ceil() as u64 + 1);
        // Who plans ahead need not come back before half of the plan is done.
        self.due = self.updated + wait.max(MIN_WAIT).max(self.horizon / 2);
        Some(self.due)
    }

    /// What flows in until the horizon.
    fn ahead(&self) -> f64 {
        self.rate.map_or(0.0, |rate| rate.bytes_in(self.horizon) as f64)
    }

    fn refill(&mut self, now: Time) {
        if let Some(rate) = self.rate.filter(|_| now > self.updated) {
            let elapsed = (now - self.updated).as_secs_f64();
            let gained = elapsed * rate.as_bytes_per_second() as f64;
            // Nothing is gained by having nothing to send, but a sender that waited for its time and
            // is called after it loses nothing.
            let late = if self.due <= now { rate.bytes_in(now - self.due) } else { 0 };
            let capacity = (self.capacity + late as f64).min(self.largest());
            self.tokens = (self.tokens + gained).min(capacity);
        }
        if self.due <= now {
            self.due = Time::MAX;
        }
        self.updated = now;
    }

    /// The most that may ever leave at once.
    fn largest(&self) -> f64 {
        self.capacity.max(self.late_capacity.into())
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
            pacer.on_bytes_sent(1200);
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
    fn who_is_called_late_sends_what_would_have_left_meanwhile() {
        // However late: 64 datagrams, and no more than the window.
        let cases = [
            (0, 80_000, 2),
            (30, 80_000, 27),
            (3000, 80_000, 64),
            (3000, 30_000, 25),
            (90, 9000, 10),
        ];
        for (late, window, datagrams) in cases {
            for acked in [false, true] {
                let mut pacer = pacer(1_000_000, window);
                drain(&mut pacer, START);
                let due = pacer.next_release().expect("held back");
                let now = due + Duration::from_millis(late);
                if acked {
                    pacer.set_rate(now, pacer.rate, window); // the ACK waited as long
                }
                assert_eq!(drain(&mut pacer, now), datagrams * 1200, "{late} ms late");
            }
        }
    }

    #[test]
    fn who_is_called_in_time_or_had_nothing_to_send_gets_a_burst() {
        let mut pacer = pacer(1_000_000, 80_000);
        drain(&mut pacer, START);
        let due = pacer.next_release().expect("held back");
        assert_eq!(pacer.allowance(due), 2401, "what was waited for is not sent");
        let later = due + Duration::from_secs(1);
        assert_eq!(pacer.allowance(later), 12_000);
        // What came of being late is not kept.
        drain(&mut pacer, later);
        let late = pacer.next_release().expect("held back") + Duration::from_millis(50);
        assert!(pacer.allowance(late) > 50_000);
        assert_eq!(pacer.allowance(late + Duration::from_millis(1)), 12_000);
    }

    #[test]
    fn what_is_planned_ahead_leaves_at_the_same_rate() {
        let mut pacer = pacer(1_000_000, 30_000);
        pacer.set_horizon(Duration::from_millis(5));
        let (mut now, mut times) = (START, Vec::new());
        while times.len() < 1000 {
            while pacer.allowance(now) >= 1200 {
                times.push(pacer.release_time().unwrap_or(now));
                pacer.on_bytes_sent(1200);
            }
            let next = pacer.next_release().expect("held back");
            assert!(next >= now + Duration::from_micros(2500), "few wake-ups");
            now = next;
        }
        assert!(times.is_sorted());
        assert!(times.iter().filter(|at| **at == START).count() <= 10, "the first burst");
        for pair in times[10..].windows(2) {
            let gap = (pair[1] - pair[0]).as_micros();
            assert!((1199..=1201).contains(&gap), "{gap} us between two packets");
        }
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let mut pacer = Pacer::new(64, 1200);
        pacer.on_bytes_sent(1200);
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
