//! [`RttEstimator`]: how long the path takes (RFC 9002 §5). It must not know packets.

use std::time::Duration;

use crate::recovery::loss::GRANULARITY;
use crate::time::Time;

/// Samples below and above these are taken as these: a clock that jumps must not break timers.
const MIN_SAMPLE: Duration = Duration::from_micros(1);
const MAX_SAMPLE: Duration = Duration::from_mins(1);

/// A path's round-trip time: latest, smoothed, varying, shortest.
#[derive(Clone, Debug)]
pub struct RttEstimator {
    latest: Duration,
    smoothed: Duration,
    variance: Duration,
    min: Duration,
    first_sample: Option<Time>,
}

impl RttEstimator {
    /// An estimator without samples, that assumes `initial` (RFC 9002 §5.3, §6.2.2).
    pub fn new(initial: Duration) -> Self {
        let initial = initial.clamp(MIN_SAMPLE, MAX_SAMPLE);
        Self {
            latest: Duration::ZERO,
            smoothed: initial,
            variance: initial / 2,
            min: Duration::ZERO,
            first_sample: None,
        }
    }

    /// A packet's acknowledgement arrived at `now`, `latest` after the packet was sent.
    ///
    /// `ack_delay` is what the peer says it held the acknowledgement back, already limited to its
    /// max_ack_delay where RFC 9002 §5.3 says so.
    pub fn on_sample(&mut self, now: Time, latest: Duration, ack_delay: Duration) {
        self.latest = latest.clamp(MIN_SAMPLE, MAX_SAMPLE);
        if self.first_sample.is_none() {
            self.first_sample = Some(now);
            self.min = self.latest;
            self.smoothed = self.latest;
            self.variance = self.latest / 2;
            return;
        }
        self.min = self.min.min(self.latest); // RFC 9002 §5.2: before the delay is subtracted
        let adjusted = self.latest.saturating_sub(ack_delay);
        // RFC 9002 §5.3: never below min_rtt
        let adjusted = if adjusted >= self.min { adjusted } else { self.latest };
        let deviation = self.smoothed.abs_diff(adjusted);
        self.variance = (self.variance * 3 + deviation) / 4;
        self.smoothed = (self.smoothed * 7 + adjusted) / 8;
    }

    /// Persistent congestion was established: the path may be another one, so the shortest RTT
    /// begins anew with the latest (RFC 9002 §5.2).
    pub fn on_persistent_congestion(&mut self) {
        if self.first_sample.is_some() {
            self.min = self.latest;
        }
    }

    /// The latest sample; zero without one.
    pub const fn latest(&self) -> Duration {
        self.latest
    }

    /// The smoothed RTT; the initial one without a sample.
    pub const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The mean variation of samples.
    pub const fn variance(&self) -> Duration {
        self.variance
    }

    /// The shortest sample; zero without one.
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// When the first sample was taken.
    pub const fn first_sample(&self) -> Option<Time> {
        self.first_sample
    }

    /// The probe timeout without the peer's ack delay and without backoff (RFC 9002 §6.2.1).
    pub fn pto_base(&self) -> Duration {
        self.smoothed + (self.variance * 4).max(GRANULARITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn estimator(samples: &[(u64, u64)]) -> RttEstimator {
        let mut rtt = RttEstimator::new(ms(333));
        for &(latest, delay) in samples {
            rtt.on_sample(Time::from_millis(1), ms(latest), ms(delay));
        }
        rtt
    }

    #[test]
    fn before_a_sample_the_initial_rtt_holds() {
        // RFC 9002 §6.2.2: 333 ms, so a first PTO of 999 ms
        let rtt = estimator(&[]);
        assert_eq!(rtt.smoothed(), ms(333));
        assert_eq!(rtt.pto_base(), ms(999));
    }

    #[test]
    fn the_first_sample_replaces_everything_and_ignores_the_delay() {
        let rtt = estimator(&[(100, 30)]);
        assert_eq!((rtt.smoothed(), rtt.variance(), rtt.min()), (ms(100), ms(50), ms(100)));
    }

    #[test]
    fn later_samples_are_weighted_as_the_rfc_says() {
        // RFC 9002 §5.3
        let rtt = estimator(&[(100, 0), (200, 20)]);
        assert_eq!(rtt.smoothed(), (ms(100) * 7 + ms(180)) / 8);
        assert_eq!(rtt.variance(), (ms(50) * 3 + ms(80)) / 4);
    }

    #[test]
    fn a_delay_that_leads_below_the_minimum_is_not_subtracted() {
        let rtt = estimator(&[(100, 0), (110, 20)]);
        assert_eq!(rtt.smoothed(), (ms(100) * 7 + ms(110)) / 8);
    }

    #[test]
    fn absurd_samples_are_clamped() {
        let mut rtt = estimator(&[(0, 0)]);
        assert_eq!(rtt.latest(), Duration::from_micros(1));
        for _ in 0..100 {
            rtt.on_sample(Time::MAX, Duration::MAX, Duration::MAX);
        }
        assert!(rtt.smoothed() <= Duration::from_mins(1));
        assert!(rtt.pto_base() <= Duration::from_secs(301));
    }

    #[test]
    fn the_minimum_follows_every_lower_sample_whatever_the_delay() {
        // RFC 9002 §5.2
        let rtt = estimator(&[(100, 0), (90, 50), (120, 60)]);
        assert_eq!(rtt.min(), ms(90));
    }

    #[test]
    fn persistent_congestion_renews_the_minimum() {
        let mut rtt = estimator(&[(10, 0), (500, 0)]);
        rtt.on_persistent_congestion();
        assert_eq!(rtt.min(), ms(500));
    }
}
