//! [`RangeSet`]: sorted, disjoint, non-adjacent ranges of offsets. It answers which bytes were
//! acknowledged, lost or received out of order, and which stream indexes were opened by implication.
//! It knows nothing of streams. Its capacity is kept, so a steady state does not allocate; growth at
//! either end is O(1), a change in the middle moves the shorter side.

use std::collections::VecDeque;

/// The offsets from `start` up to, not including, `end`. Never empty inside a [`RangeSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first offset.
    pub(super) start: u64,
    /// The first offset that is not part of it.
    pub(super) end: u64,
}

impl Span {
    /// How many offsets it holds.
    pub(super) const fn len(self) -> u64 {
        self.end - self.start
    }
}

/// A set of `u64`, kept as ranges. The number of ranges is bounded by its owner.
#[derive(Debug, Default)]
pub(super) struct RangeSet {
    ranges: VecDeque<Span>,
}

impl RangeSet {
    /// How many separate ranges there are.
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<Span> {
        self.ranges.front().copied()
    }

    /// Whether all of `start..end` is in the set.
    pub(super) fn contains(&self, start: u64, end: u64) -> bool {
        let at = self.position(|range| range.end <= start);
        self.ranges.get(at).is_some_and(|range| range.start <= start && end <= range.end)
    }

    /// Adds `start..end`, merging what it touches.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        match self.ranges.back_mut() {
            Some(last) if start <= last.end => {
                if start >= last.start {
                    last.end = last.end.max(end);
                    return;
                }
            }
            _ => {
                self.ranges.push_back(Span { start, end });
                return;
            }
        }
        self.insert_within(start, end);
    }

    /// Takes `start..end` out, splitting a range that surrounds it.
    pub(super) fn remove(&mut self, start: u64, end: u64) {
        let from = self.position(|range| range.end <= start);
        let to = self.position(|range| range.start < end);
        if start >= end || from >= to {
            return;
        }
        let left = self.ranges[from].start;
        let right = self.ranges[to - 1].end;
        let kept = [Span { start: left, end: start }, Span { start: end, end: right }];
        self.replace(from, to, kept.into_iter().filter(|span| span.start < span.end));
    }

    /// Takes out everything below `end`. O(1) for each range that goes.
    pub(super) fn remove_below(&mut self, end: u64) {
        while let Some(first) = self.ranges.front_mut() {
            if first.end > end {
                first.start = first.start.max(end);
                return;
            }
            self.ranges.pop_front();
        }
    }

    /// The parts of the set inside `start..end`.
    pub(super) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Span> + '_ {
        let from = self.position(|range| range.end <= start);
        self.ranges
            .range(from..)
            .take_while(move |range| range.start < end)
            .map(move |range| Span { start: range.start.max(start), end: range.end.min(end) })
    }

    /// Empties the set and gives its memory back.
    pub(super) fn clear(&mut self) {
        self.ranges = VecDeque::new();
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.ranges.shrink_to_fit();
    }

    fn insert_within(&mut self, start: u64, end: u64) {
        let from = self.position(|range| range.end < start);
        let to = self.position(|range| range.start <= end);
        if from == to {
            self.insert_at(from, Span { start, end });
            return;
        }
        let merged = Span {
            start: self.ranges[from].start.min(start),
            end: self.ranges[to - 1].end.max(end),
        };
        self.replace(from, to, std::iter::once(merged));
    }

    /// Puts at most two spans in the place of those at `from..to`.
    fn replace(&mut self, from: usize, to: usize, spans: impl Iterator<Item = Span>) {
        let mut at = from;
        for span in spans {
            if at < to {
                self.ranges[at] = span;
            } else {
                self.insert_at(at, span);
            }
            at += 1;
        }
        if at < to {
            count(at.min(self.ranges.len() - to));
            self.ranges.drain(at..to);
        }
    }

    fn insert_at(&mut self, at: usize, span: Span) {
        count(at.min(self.ranges.len() - at));
        self.ranges.insert(at, span);
    }

    /// The index of the first range that is not `before`.
    fn position(&self, before: impl Fn(&Span) -> bool) -> usize {
        self.ranges.partition_point(|range| {
            count(1);
            before(range)
        })
    }
}

/// So many ranges were looked at or moved: only tests want to know.
#[cfg(not(test))]
const fn count(_ranges: usize) {}
#[cfg(test)]
use super::tests::work::count;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::default();
        for &(start, end) in ranges {
            set.insert(start, end);
        }
        set
    }

    #[test]
    fn adjacent_ranges_become_one() {
        assert_eq!(set(&[(0, 5), (10, 15), (5, 10)]).len(), 1);
        assert_eq!(set(&[(0, 5), (10, 15), (6, 9)]).len(), 3);
    }

    #[test]
    fn removal_splits_a_range() {
        let mut set = set(&[(0, 10)]);
        set.remove(3, 4);
        assert!(set.contains(0, 3) && set.contains(4, 10) && !set.contains(3, 4));
    }

    #[test]
    fn any_sequence_of_changes_agrees_with_a_plain_set() {
        for seed in 0..20 {
            let mut random = SeededRandom::new(seed);
            let mut set = RangeSet::default();
            let mut model = [false; 200];
            for _ in 0..400 {
                let start = random.next_u64() % 200;
                let end = (start + random.next_u64() % 20).min(200);
                let add = random.next_u64().is_multiple_of(2);
                if add {
                    set.insert(start, end);
                } else {
                    set.remove(start, end);
                }
                model[start as usize..end as usize].fill(add);
                agrees(&set, &model, seed);
            }
        }
    }

    fn agrees(set: &RangeSet, model: &[bool; 200], seed: u64) {
        for (at, &held) in model.iter().enumerate() {
            let at = at as u64;
            assert_eq!(set.contains(at, at + 1), held, "seed {seed}, offset {at}");
        }
        let runs = model.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert_eq!(set.len(), runs + usize::from(model[0]), "seed {seed}");
    }
}
