//! [`AckRanges`]: the packet numbers received, as a bounded list of ranges (RFC 9000 §13.2.3). When
//! there are too many, the oldest are forgotten, and what lies below is never accepted again.

use std::ops::RangeInclusive;

use smallvec::SmallVec;

/// A bounded set of packet numbers.
#[derive(Clone, Debug, Default)]
pub struct AckRanges {
    /// Disjoint, not adjacent, rising: the newest is the last.
    ranges: SmallVec<[(u64, u64); 4]>,
    /// Every number below counts as received.
    floor: u64,
}

impl AckRanges {
    /// The most ranges that are kept.
    pub const MAX: usize = 64;

    /// None received.
    pub const EMPTY: Self = Self { ranges: SmallVec::new_const(), floor: 0 };

    /// Enters a packet number, which is below 2^62 (RFC 9000 §12.3). Whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        if let Some((_, end)) = self.ranges.last_mut()
            && *end + 1 == number
        {
            *end = number; // the usual case: in order
            return true;
        }
        if self.contains(number) {
            return false;
        }
        self.insert_out_of_order(number);
        if self.ranges.len() > Self::MAX {
            let (_, end) = self.ranges.remove(0);
            self.floor = end + 1;
        }
        true
    }

    /// Enters so many numbers above the largest, of which there is one.
    pub fn extend_newest(&mut self, numbers: u64) {
        debug_assert!(!self.ranges.is_empty(), "there is a largest number");
        if let Some((_, end)) = self.ranges.last_mut() {
            *end += numbers;
        }
    }

    /// Whether a number was entered, or is too old to tell.
    pub fn contains(&self, number: u64) -> bool {
        number < self.floor
            || (self.ranges.iter().rev())
                .find(|&&(start, _)| start <= number)
                .is_some_and(|&(_, end)| number <= end)
    }

    /// Forgets everything up to `number`, except the largest number of all, and refuses it from
    /// then on.
    pub fn remove_through(&mut self, number: u64) {
        let Some(largest) = self.largest() else {
            return;
        };
        let floor = number.saturating_add(1).min(largest);
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        let gone = self.ranges.partition_point(|&(_, end)| end < floor);
        self.ranges.drain(..gone);
        if let Some((start, _)) = self.ranges.first_mut() {
            *start = floor.max(*start);
        }
    }

    /// The largest number.
    pub fn largest(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, end)| end)
    }

    /// The start of the range that holds the largest number.
    pub fn start_of_newest(&self) -> Option<u64> {
        self.ranges.last().map(|&(start, _)| start)
    }

    /// The ranges, newest first, as an ACK frame carries them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + Clone + '_ {
        self.ranges.iter().rev().map(|&(start, end)| start..=end)
    }

    /// The smallest number above `number` that is missing, if there is one below the largest.
    pub fn first_missing_above(&self, number: Option<u64>) -> Option<u64> {
        let from = number.map_or(0, |number| number + 1).max(self.floor);
        let mut next_start = None;
        for range in self.iter() {
            if *range.start() <= from {
                // The newest range that begins here or below: what follows it is missing.
                return next_start.map(|_| (*range.end() + 1).max(from));
            }
            next_start = Some(*range.start());
        }
        next_start.map(|_| from)
    }

    /// How many ranges there are, at most [`Self::MAX`].
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether no number is held.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// `number` is in no range. It may touch the range before it, the one after it, or both.
    fn insert_out_of_order(&mut self, number: u64) {
        let newer = self.ranges.iter().rev();
        let newer = newer.take_while(|&&(start, _)| start > number).count();
        let at = self.ranges.len() - newer;
        let joins_before = at > 0 && self.ranges[at - 1].1 + 1 == number;
        let joins_after = newer > 0 && self.ranges[at].0 == number + 1;
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = number,
            (false, true) => self.ranges[at].0 = number,
            (false, false) => self.ranges.insert(at, (number, number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    fn ranges(numbers: impl IntoIterator<Item = u64>) -> AckRanges {
        let mut ranges = AckRanges::default();
        for number in numbers {
            ranges.insert(number);
        }
        ranges
    }

    #[test]
    fn neighbours_join_and_duplicates_are_told() {
        let mut ranges = ranges([5, 6, 9, 7, 1, 8]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [5..=9, 1..=1]);
        assert!(!ranges.insert(7) && ranges.contains(1) && !ranges.contains(0));
    }

    #[test]
    fn the_oldest_of_too_many_ranges_are_forgotten_and_refused() {
        // RFC 9000 §13.2.3
        let ranges = ranges((0..1000).map(|i| i * 2));
        assert_eq!(ranges.len(), AckRanges::MAX);
        assert_eq!(ranges.iter().next(), Some(1998..=1998));
        assert!(ranges.contains(1) && !ranges.contains(1999) && !ranges.contains(1997));
    }

    #[test]
    fn removal_keeps_the_largest_number() {
        let mut ranges = ranges([0, 1, 2, 5, 6]);
        ranges.remove_through(5);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [6..=6]);
        ranges.remove_through(u64::MAX);
        assert_eq!(ranges.largest(), Some(6));
        assert!(ranges.contains(3) && !ranges.contains(7));
    }

    #[test]
    fn a_random_history_matches_a_plain_set() {
        for seed in 0..100 {
            let mut random = SeededRandom::new(seed);
            let (mut ranges, mut set) = (AckRanges::default(), BTreeSet::new());
            for _ in 0..100 {
                let number = random.next_u64() % 128; // too few numbers for 65 ranges
                assert_eq!(ranges.contains(number), set.contains(&number), "seed {seed}");
                assert_eq!(ranges.insert(number), set.insert(number), "seed {seed}");
            }
            let mut held: Vec<u64> = ranges.iter().flatten().collect();
            held.sort_unstable();
            assert!(held.into_iter().eq(set), "seed {seed}");
        }
    }
}
