//! [`SystemClock`] and [`SystemHelper`]: real time and real randomness. The only place in protoquic
//! that reads the host's clocks.

use std::time::{Instant, SystemTime};

use protoquic_core::{Clock, ConnectionHelper, RandomGenerator, Time};

use crate::random::BufferedRandom;

/// The host's monotonic clock, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        // One second ahead, so that times before the start can be told.
        Time::from_millis(1000) + self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn wall_now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Real time and the operating system's randomness.
///
/// ```
/// use protoquic_core::ConnectionHelper;
/// use protoquic_readers::{SystemClock, SystemHelper};
///
/// let helper = SystemHelper::new(SystemClock::new());
/// let earlier = helper.clock().now();
/// assert!(helper.clock().now() >= earlier);
/// assert_ne!(helper.random_generator().next_u64(), helper.random_generator().next_u64());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemHelper {
    clock: SystemClock,
}

impl SystemHelper {
    /// A helper on this clock: the event loop's.
    pub fn new(clock: SystemClock) -> Self {
        Self { clock }
    }
}

impl ConnectionHelper for SystemHelper {
    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn random_generator(&self) -> Box<dyn RandomGenerator> {
        Box::new(BufferedRandom)
    }
}
