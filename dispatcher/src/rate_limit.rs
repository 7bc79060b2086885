//! [`RateLimit`]: so many per second, whatever is asked for.

use std::time::Duration;

use protoquic_core::Time;

#[derive(Debug)]
pub(crate) struct RateLimit {
    per_second: u32,
    window_start: Time,
    used: u32,
}

impl RateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, window_start: Time::ZERO, used: 0 }
    }

    /// Whether one more is allowed now; it counts as done.
    pub(crate) fn allow(&mut self, now: Time) -> bool {
        if now - self.window_start >= Duration::from_secs(1) {
            self.window_start = now;
            self.used = 0;
        }
        let allowed = self.used < self.per_second;
        self.used += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_per_second_and_no_more() {
        let mut limit = RateLimit::new(3);
        let now = Time::from_millis(5000);
        assert_eq!((0..10).filter(|_| limit.allow(now)).count(), 3);
        assert!(limit.allow(now + Duration::from_secs(1)));
    }
}
