//! [`ConnectionHelper`]: what a connection borrows from its surroundings besides packets — a clock
//! and randomness (Chromium: QuicConnectionHelperInterface). The core calls only these; an event
//! loop brings real ones, a test brings its own.

use std::time::SystemTime;

use crate::time::Time;

/// Tells the time. Called by event loops and dispatchers, never by a connection, which is handed
/// the time instead.
pub trait Clock {
    /// The time now, on this clock's own scale. Must not run backwards.
    fn now(&self) -> Time;

    /// The time of day, for the expiry of tokens and certificates.
    fn wall_now(&self) -> SystemTime;
}

/// A source of random bytes.
///
/// Called when a connection is made (connection IDs, keys for tokens), when it issues a connection
/// ID or a path challenge, and when it skips packet numbers. The real one must be unpredictable; a
/// test's is seeded, so that a run can be repeated.
pub trait RandomGenerator {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);

    /// A random number, uniform over all 64 bits.
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// What a connection's surroundings give it.
pub trait ConnectionHelper {
    /// The clock by which every time handed to the connection was read.
    fn clock(&self) -> &dyn Clock;

    /// A generator for one connection, or one dispatcher, to keep.
    fn random_generator(&self) -> Box<dyn RandomGenerator>;
}

/// The operating system's randomness, by way of ring.
#[derive(Debug, Default)]
pub struct SystemRandom;

impl RandomGenerator for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        use ring::rand::SecureRandom;
        ring::rand::SystemRandom::new()
            .fill(bytes)
            .expect("the operating system's random source does not fail once a process runs");
    }
}

/// A seeded generator for tests and simulations: the same seed gives the same bytes. Not secure.
#[derive(Clone, Debug)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// A generator whose whole future is given by `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl RandomGenerator for SeededRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn next_u64(&mut self) -> u64 {
        // A Weyl sequence through a strong mixer: every seed, zero included, starts well.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }
}
