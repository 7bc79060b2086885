//! [`Loss`]: which datagrams a link loses. Several models can act on one link; each is asked about
//! every datagram, so that one does not shift the other's dice. This file must not know datagrams.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dice::Dice;

/// A model of loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Each datagram by itself, with this probability, 0 to 1.
    Random(f64),
    /// As [`Random`](Self::Random), but no more than `burst` in a row (the interop simulator's
    /// drop-rate).
    Limited {
        /// The probability, 0 to 1.
        rate: f64,
        /// How many in a row at most.
        burst: u32,
    },
    /// Good times and bad times (Gilbert and Elliott).
    GilbertElliott(GilbertElliott),
    /// Just these, counted from 1 (the interop simulator's droplist).
    List(BTreeSet<u64>),
    /// Nothing passes for a while, again and again.
    Blackhole(Blackhole),
}

/// Bursty loss: a chain of two states, each with a loss rate of its own. It moves before each
/// datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// The probability to turn bad.
    pub turn_bad: f64,
    /// The probability to turn good again.
    pub turn_good: f64,
    /// The loss rate in good times.
    pub loss_good: f64,
    /// The loss rate in bad times.
    pub loss_bad: f64,
}

/// Times at which nothing passes, from the link's beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackhole {
    /// How long everything passes first.
    pub on: Duration,
    /// How long nothing passes then.
    pub off: Duration,
    /// How often that happens; after it, everything passes.
    pub repeat: u32,
}

/// A model at work.
#[derive(Clone, Debug)]
pub struct LossState {
    model: Loss,
    seen: u64,
    in_a_row: u32,
    bad: bool,
}

impl LossState {
    /// A model that has seen nothing yet.
    pub fn new(model: Loss) -> Self {
        Self { model, seen: 0, in_a_row: 0, bad: false }
    }

    /// Whether the next datagram is lost, `age` after the link began to exist.
    pub fn loses(&mut self, age: Duration, dice: &mut Dice) -> bool {
        self.seen += 1;
        let lost = match &self.model {
            Loss::Random(rate) => dice.chance(*rate),
            Loss::Limited { rate, burst } => dice.chance(*rate) && self.in_a_row < *burst,
            Loss::GilbertElliott(chain) => {
                let turns = if self.bad { chain.turn_good } else { chain.turn_bad };
                self.bad ^= dice.chance(turns);
                dice.chance(if self.bad { chain.loss_bad } else { chain.loss_good })
            }
            Loss::List(list) => list.contains(&self.seen),
            Loss::Blackhole(hole) => hole.swallows(age),
        };
        self.in_a_row = if lost { self.in_a_row + 1 } else { 0 };
        lost
    }
}

impl GilbertElliott {
    /// Bursts of so many lost datagrams on average, and this share lost over all, below 1.
    pub fn bursts(share: f64, mean_burst: f64) -> Self {
        let turn_good = 1.0 / mean_burst.max(1.0);
        let turn_bad = turn_good * share / (1.0 - share).max(f64::EPSILON);
        Self { turn_bad, turn_good, loss_good: 0.0, loss_bad: 1.0 }
    }
}

impl Blackhole {
    fn swallows(&self, age: Duration) -> bool {
        let period = (self.on + self.off).as_nanos().max(1);
        let (round, into) = (age.as_nanos() / period, age.as_nanos() % period);
        round < self.repeat.into() && into >= self.on.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(model: Loss, of: usize) -> Vec<bool> {
        let (mut state, mut dice) = (LossState::new(model), Dice::new(5));
        (0..of).map(|_| state.loses(Duration::ZERO, &mut dice)).collect()
    }

    fn share(lost: &[bool]) -> f64 {
        lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64
    }

    fn longest_run(lost: &[bool]) -> usize {
        lost.split(|lost| !lost).map(<[bool]>::len).max().unwrap_or(0)
    }

    #[test]
    fn random_loss_comes_out_as_asked() {
        let share = share(&lost(Loss::Random(0.05), 100_000));
        assert!((0.047..0.053).contains(&share), "{share}");
    }

    #[test]
    fn limited_bursts_lower_the_rate_as_the_interop_simulator_says() {
        // 30 % with at most 3 in a row is 29.4 % in effect.
        let lost = lost(Loss::Limited { rate: 0.3, burst: 3 }, 200_000);
        assert_eq!(longest_run(&lost), 3);
        assert!((0.290..0.298).contains(&share(&lost)), "{}", share(&lost));
    }

    #[test]
    fn gilbert_elliott_loses_in_bursts_of_the_mean_length() {
        let lost = lost(Loss::GilbertElliott(GilbertElliott::bursts(0.02, 5.0)), 200_000);
        assert!((0.016..0.024).contains(&share(&lost)), "{}", share(&lost));
        let bursts = lost.split(|lost| !lost).filter(|run| !run.is_empty()).count();
        let mean = lost.iter().filter(|lost| **lost).count() as f64 / bursts as f64;
        assert!((4.5..5.5).contains(&mean), "{mean}");
    }

    #[test]
    fn a_list_loses_just_what_it_names() {
        let lost = lost(Loss::List([1, 3].into()), 4);
        assert_eq!(lost, [true, false, true, false]);
    }

    #[test]
    fn a_black_hole_opens_and_closes_so_many_times() {
        let second = Duration::from_secs;
        let hole = Blackhole { on: second(5), off: second(2), repeat: 2 };
        let mut state = LossState::new(Loss::Blackhole(hole));
        let open: Vec<u64> =
            (0..20).filter(|at| state.loses(second(*at), &mut Dice::new(0))).collect();
        assert_eq!(open, [5, 6, 12, 13]);
    }
}
