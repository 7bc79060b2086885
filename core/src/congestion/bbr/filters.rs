//! The small memories BBR is made of: maxima and minima over rounds, cycles and seconds. Each knows
//! only the numbers it is fed.

use std::time::Duration;

use crate::congestion::Bandwidth;
use crate::time::Time;

/// MaxBwFilter: the highest delivery rate of this probing cycle and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    previous: Bandwidth,
    present: Bandwidth,
}

impl MaxBandwidth {
    pub(super) fn update(&mut self, rate: Bandwidth) {
        self.present = self.present.max(rate);
    }

    /// A probing cycle is over. One without a sample does not count.
    pub(super) fn advance(&mut self) {
        if self.present > Bandwidth::default() {
            self.previous = std::mem::take(&mut self.present);
        }
    }

    pub(super) fn get(&self) -> Bandwidth {
        self.previous.max(self.present)
    }
}

/// The most that was acknowledged beyond what the bandwidth explains, over ten rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtraAcked {
    interval_start: Time,
    delivered: u64,
    rounds: [u64; Self::ROUNDS],
    round: u64,
}

impl ExtraAcked {
    const ROUNDS: usize = 10;

    pub(super) const fn new(now: Time) -> Self {
        Self { interval_start: now, delivered: 0, rounds: [0; Self::ROUNDS], round: 0 }
    }

    /// Sending begins after a pause, in which nothing could be acknowledged.
    pub(super) fn restart_interval(&mut self, now: Time) {
        self.interval_start = now;
    }

    /// `acked` bytes were acknowledged in this round by a path of this bandwidth.
    pub(super) fn update(
        &mut self,
        now: Time,
        acked: u64,
        bandwidth: Bandwidth,
        window: u64,
        round: u64,
    ) {
        let mut expected = bandwidth.bytes_in(now - self.interval_start);
        if self.delivered <= expected {
            (self.delivered, self.interval_start, expected) = (0, now, 0);
        }
        self.delivered = self.delivered.saturating_add(acked);
        let extra = self.delivered.saturating_sub(expected).min(window);
        if round != self.round {
            // Rounds that passed without an ACK do not exist: each round is one slot.
            self.round = round;
            self.rounds.rotate_right(1);
            self.rounds[0] = 0;
        }
        self.rounds[0] = self.rounds[0].max(extra);
    }

    /// The most of the last `rounds` rounds.
    pub(super) fn over(&self, rounds: usize) -> u64 {
        self.rounds.iter().take(rounds).copied().max().unwrap_or(0)
    }
}

/// Packet-timed round trips: one ends when a packet is acknowledged that was sent after it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    next_delivered: u64,
    pub(super) count: u64,
    /// Whether the ACK at hand begins a round.
    pub(super) started: bool,
}

impl Rounds {
    pub(super) fn on_ack(&mut self, prior_delivered: u64, total_delivered: u64) {
        self.started = prior_delivered >= self.next_delivered;
        if self.started {
            self.begin(total_delivered);
            self.count += 1;
        }
    }

    /// A round begins here, whatever the one before.
    pub(super) fn begin(&mut self, total_delivered: u64) {
        self.next_delivered = total_delivered;
    }
}

/// Whether the pipe is full: three rounds in which the delivery rate grew by less than a quarter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    baseline: Bandwidth,
    rounds: u8,
    /// Since the latest reset.
    pub(super) now: bool,
    /// Ever since Startup.
    pub(super) reached: bool,
}

impl FullPipe {
    const ROUNDS: u8 = 3;

    /// Growth is measured from `baseline` on.
    pub(super) fn reset(&mut self, baseline: Bandwidth) {
        *self = Self { baseline, reached: self.reached, ..Self::default() };
    }

    /// The rate at the beginning of a round, not limited by the application.
    pub(super) fn on_round(&mut self, rate: Bandwidth) {
        if self.now {
            return;
        }
        let quarter_more = self.baseline.as_bytes_per_second().saturating_mul(5) / 4;
        if rate.as_bytes_per_second() >= quarter_more {
            self.reset(rate);
            return;
        }
        self.rounds += 1;
        self.now = self.rounds >= Self::ROUNDS;
        self.reached |= self.now;
    }
}

/// The shortest RTT, over ten seconds, and over the five that call for a ProbeRTT.
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    min: Option<Duration>,
    stamp: Time,
    probe_min: Duration,
    pub(super) probe_stamp: Time,
    /// No shorter RTT was seen for so long that it should be looked for.
    pub(super) probe_expired: bool,
}

impl MinRtt {
    const FILTER: Duration = Duration::from_secs(10);
    const PROBE_INTERVAL: Duration = Duration::from_secs(5);
    /// Less than what is left until `FILTER`.
    const PATIENCE: Duration = Duration::from_secs(3);
    /// How much longer than the shortest RTT one may be that renews it.
    const TOLERANCE_DIVISOR: u32 = 32;

    pub(super) const fn new(now: Time) -> Self {
        Self {
            min: None,
            stamp: now,
            probe_min: Duration::MAX,
            probe_stamp: now,
            probe_expired: false,
        }
    }

    /// An RTT sample. While the sender is about to empty the queue anyway, no ProbeRTT is called for
    /// so soon.
    pub(super) fn update(&mut self, now: Time, sample: Option<Duration>, is_emptying: bool) {
        let Some(sample) = sample else { return };
        // A sample hardly longer proves as well that the queue is empty.
        let renews = |min: Duration| sample <= min.saturating_add(min / Self::TOLERANCE_DIVISOR);
        let patience = if is_emptying { Self::PATIENCE } else { Duration::ZERO };
        self.probe_expired = now > self.probe_stamp + Self::PROBE_INTERVAL + patience;
        if sample <= self.probe_min || self.probe_expired {
            (self.probe_min, self.probe_stamp) = (sample, now);
        } else if renews(self.probe_min) {
            self.probe_stamp = now;
        }
        let expired = now > self.stamp + Self::FILTER;
        if expired || self.min.is_none_or(|min| self.probe_min <= min) {
            (self.min, self.stamp) = (Some(self.probe_min), self.probe_stamp);
        } else if self.min.is_some_and(renews) {
            self.stamp = now;
        }
    }

    pub(super) const fn get(&self) -> Option<Duration> {
        self.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rate(bytes: u64) -> Bandwidth {
        Bandwidth::from_bytes_per_second(bytes)
    }

    #[test]
    fn the_highest_rate_is_forgotten_after_two_cycles() {
        let mut filter = MaxBandwidth::default();
        filter.update(rate(100));
        filter.advance();
        filter.update(rate(50));
        assert_eq!(filter.get(), rate(100));
        filter.advance();
        assert_eq!(filter.get(), rate(50));
        filter.advance();
        assert_eq!(filter.get(), rate(50), "a cycle without samples is none");
    }

    #[test]
    fn a_burst_of_acks_is_remembered_for_ten_rounds() {
        let mut extra = ExtraAcked::new(Time::ZERO);
        let at = Time::from_millis;
        extra.update(at(100), 100_000, rate(1_000_000), u64::MAX, 1);
        extra.update(at(101), 50_000, rate(1_000_000), u64::MAX, 1);
        assert_eq!(extra.over(10), 149_000);
        for round in 2..11 {
            extra.update(at(round * 1000), 1000, rate(1_000_000), u64::MAX, round);
        }
        assert_eq!((extra.over(10), extra.over(1)), (149_000, 1000));
        extra.update(at(11_000), 1000, rate(1_000_000), u64::MAX, 11);
        assert_eq!(extra.over(10), 1000);
    }

    #[test]
    fn three_rounds_without_growth_fill_the_pipe() {
        let mut pipe = FullPipe::default();
        for bytes in [100, 125, 157, 170, 180, 190] {
            assert!(!pipe.reached);
            pipe.on_round(rate(bytes));
        }
        assert!(pipe.now && pipe.reached);
        pipe.reset(rate(100));
        assert!(!pipe.now && pipe.reached);
    }

    #[test]
    fn an_rtt_that_is_hardly_longer_renews_the_shortest() {
        let ms = Duration::from_millis;
        let mut rtt = MinRtt::new(Time::ZERO);
        for second in 0..30 {
            let sample = ms(if second == 0 { 64 } else { 66 });
            rtt.update(Time::from_millis(second * 1000), Some(sample), false);
            assert!(!rtt.probe_expired && rtt.get() == Some(ms(64)));
        }
        rtt.update(Time::from_millis(35_000), Some(ms(67)), true);
        assert!(!rtt.probe_expired, "the queue is being emptied");
        rtt.update(Time::from_millis(35_000), Some(ms(67)), false);
        assert!(rtt.probe_expired);
    }

    #[test]
    fn the_shortest_rtt_expires_after_ten_seconds_and_a_probe_is_due_after_five() {
        let mut rtt = MinRtt::new(Time::ZERO);
        let ms = Duration::from_millis;
        rtt.update(Time::from_millis(1), Some(ms(50)), false);
        rtt.update(Time::from_millis(5001), Some(ms(80)), false);
        assert!(!rtt.probe_expired);
        rtt.update(Time::from_millis(5002), Some(ms(80)), false);
        assert!(rtt.probe_expired);
        assert_eq!(rtt.get(), Some(ms(50)));
        rtt.update(Time::from_millis(10_002), Some(ms(70)), false);
        assert_eq!(rtt.get(), Some(ms(70)));
    }
}
