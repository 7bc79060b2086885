//! [`Bandwidth`]: bytes in a time, in a type of its own so that bits and bytes do not mix.

use std::fmt;
use std::time::Duration;

/// A rate, in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth(u64);

impl Bandwidth {
    /// `bytes` per second.
    pub const fn from_bytes_per_second(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `bytes` in `time`; saturates, also where `time` is zero.
    pub fn from_bytes_and_time(bytes: u64, time: Duration) -> Self {
        let nanos = time.as_nanos().max(1);
        let rate = u128::from(bytes) * 1_000_000_000 / nanos;
        Self(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// Bytes per second.
    pub const fn as_bytes_per_second(self) -> u64 {
        self.0
    }

    /// How many bytes leave at this rate in `time`; saturates.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long `bytes` take at this rate; saturates.
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.0.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} Mbit/s", self.0 as f64 * 8.0 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_convert_both_ways_and_saturate() {
        let rate = Bandwidth::from_bytes_and_time(1250, Duration::from_millis(1));
        assert_eq!(rate.as_bytes_per_second(), 1_250_000);
        assert_eq!(rate.bytes_in(Duration::from_millis(2)), 2500);
        assert_eq!(rate.time_for(1250), Duration::from_millis(1));
        let most = Bandwidth::from_bytes_and_time(u64::MAX, Duration::ZERO);
        assert_eq!(most.bytes_in(Duration::MAX), u64::MAX);
        let none = Bandwidth::default();
        assert_eq!(none.time_for(u64::MAX), Duration::from_nanos(u64::MAX));
    }
}
