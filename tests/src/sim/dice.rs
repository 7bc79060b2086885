//! [`Dice`]: chance from a seed. Every link, NAT and actor throws dice of its own, so that a change
//! in one does not shift the fates in another.

use std::time::Duration;

use protoquic::{RandomGenerator, SeededRandom};

/// Seeded chance.
#[derive(Clone, Debug)]
pub struct Dice(SeededRandom);

impl Dice {
    /// Dice whose whole future is given by the seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// Dice of its own for somebody else.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.next_u64())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Evenly from 0 to `end`, `end` excluded; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// Evenly from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Evenly from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability, 0 to 1. Throws nothing if it is 0.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Evenly from zero to `most`. Throws nothing if that is zero.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() { Duration::ZERO } else { most.mul_f64(self.unit()) }
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
