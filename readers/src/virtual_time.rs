//! Time that a test moves: [`VirtualTime`], and the clock and helper that read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use protoquic_core::{Clock, ConnectionHelper, RandomGenerator, SeededRandom, Time};

/// A time that stands until it is moved. Clones are the same time.
///
/// ```
/// use std::time::Duration;
/// use protoquic_core::Clock;
/// use protoquic_readers::{VirtualClock, VirtualTime};
///
/// let time = VirtualTime::default();
/// let clock = VirtualClock::new(time.clone());
/// let before = clock.now();
/// time.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - before, Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct VirtualTime(Arc<AtomicU64>);

impl Default for VirtualTime {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(Time::from_millis(1000).as_nanos())))
    }
}

impl VirtualTime {
    /// The time now.
    pub fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Moves time on.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Moves time to a point.
    pub fn set(&self, to: Time) {
        self.0.store(to.as_nanos(), Ordering::Relaxed);
    }
}

/// A clock that shows a [`VirtualTime`].
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(VirtualTime);

impl VirtualClock {
    /// A clock that shows this time.
    pub fn new(time: VirtualTime) -> Self {
        Self(time)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        self.0.now()
    }

    fn wall_now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + WALL_EPOCH + Duration::from_nanos(self.0.now().as_nanos())
    }
}

/// Virtual time, and randomness from a seed: every generator that it makes differs from the others,
/// and is the same in every run.
#[derive(Debug)]
pub struct VirtualHelper {
    clock: VirtualClock,
    seed: AtomicU64,
}

impl VirtualHelper {
    /// A helper at this time with this seed.
    pub fn new(time: VirtualTime, seed: u64) -> Self {
        Self { clock: VirtualClock::new(time), seed: AtomicU64::new(seed) }
    }
}

impl ConnectionHelper for VirtualHelper {
    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn random_generator(&self) -> Box<dyn RandomGenerator> {
        let seed = self.seed.fetch_add(0x1_0000_0001, Ordering::Relaxed);
        Box::new(SeededRandom::new(seed))
    }
}

/// A day in 2027, in seconds since the Unix epoch.
const WALL_EPOCH: Duration = Duration::from_hours(500_000);
