//! What becomes of each datagram on one direction of a bad network.
//!
//! A pure machine: the time comes in, due times come out. The fate of the k-th datagram
//! of a direction depends on the seed, the direction and k alone, so that a seed
//! reproduces a run as far as the endpoints send the same.

use std::time::Duration;

/// The badness of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// Share of datagrams dropped, 0 to 1.
    pub loss: f64,
    /// Share of datagrams sent twice, 0 to 1.
    pub duplicate: f64,
    /// Share of datagrams held back for [`Self::reorder_delay`], so that later ones overtake.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_delay: Duration,
    /// One-way delay of every datagram.
    pub delay: Duration,
    /// Up to this much more delay, evenly spread; it reorders too.
    pub jitter: Duration,
    /// Bytes a second the link carries; unlimited if absent.
    pub rate: Option<u64>,
    /// Time a datagram may wait for a link with a rate; one that would wait longer is dropped.
    pub queue: Duration,
}

/// When copies of a datagram leave; none of them if it was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// The datagram itself.
    pub first: Option<Duration>,
    /// Its duplicate.
    pub second: Option<Duration>,
}

/// What a link did so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// That came.
    pub received: u64,
    /// Dropped for [`Conditions::loss`].
    pub lost: u64,
    /// Dropped because the queue of the rate was full.
    pub overflowed: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
}

/// One direction of the network.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    random: SplitMix,
    /// When the link has sent all it accepted, for a link with a rate.
    free_at: Duration,
    tally: Tally,
}

impl Link {
    /// A link whose fates follow from `seed`; give the two directions different ones.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: SplitMix(seed),
            free_at: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// Decides the fate of a datagram of `bytes` that came at `now`.
    pub fn pass(&mut self, now: Duration, bytes: usize) -> Departures {
        self.tally.received += 1;
        // All draws are made for every datagram: one fate must not shift the others.
        let [loss, duplicate, reorder, jitter, jitter_of_copy] =
            std::array::from_fn(|_| self.random.unit());
        let conditions = self.conditions;
        if loss < conditions.loss {
            self.tally.lost += 1;
            return Departures::default();
        }
        let Some(sent) = self.transmit(now, bytes) else {
            self.tally.overflowed += 1;
            return Departures::default();
        };
        let mut first = sent + conditions.delay + conditions.jitter.mul_f64(jitter);
        if reorder < conditions.reorder {
            self.tally.reordered += 1;
            first += conditions.reorder_delay;
        }
        let second = (duplicate < conditions.duplicate).then(|| {
            self.tally.duplicated += 1;
            sent + conditions.delay + conditions.jitter.mul_f64(jitter_of_copy)
        });
        Departures { first: Some(first), second }
    }

    /// What the link did so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When the link has put the datagram on the wire; `None` if its queue is full.
    fn transmit(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.conditions.rate else {
            return Some(now);
        };
        let start = self.free_at.max(now);
        if start.saturating_sub(now) > self.conditions.queue {
            return None;
        }
        self.free_at = start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        Some(self.free_at)
    }
}

/// Steele, Lea and Flood's SplitMix64: small, seeded, good enough to lose packets.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 to 1, 1 excluded.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    fn bad() -> Conditions {
        Conditions {
            loss: 0.05,
            duplicate: 0.02,
            reorder: 0.03,
            reorder_delay: Duration::from_millis(8),
            delay: Duration::from_millis(20),
            ..Conditions::default()
        }
    }

    #[test]
    fn good_link_passes_everything_at_once() {
        let mut link = Link::new(Conditions::default(), 1);
        for _ in 0..1000 {
            assert_eq!(link.pass(NOW, 1200), Departures { first: Some(NOW), second: None });
        }
    }

    #[test]
    fn shares_come_out_as_asked() {
        let mut link = Link::new(bad(), 7);
        for _ in 0..100_000 {
            link.pass(NOW, 1200);
        }
        let tally = link.tally();
        assert!((4_700..5_300).contains(&tally.lost), "{tally:?}");
        assert!((1_700..2_100).contains(&tally.duplicated), "{tally:?}");
        assert!((2_650..3_050).contains(&tally.reordered), "{tally:?}");
    }

    #[test]
    fn every_departure_is_late_by_the_delay() {
        let mut link = Link::new(bad(), 3);
        for _ in 0..1000 {
            let departures = link.pass(NOW, 1200);
            for due in departures.first.into_iter().chain(departures.second) {
                let delay = due.saturating_sub(NOW);
                assert!(delay == Duration::from_millis(20) || delay == Duration::from_millis(28));
            }
        }
    }

    #[test]
    fn same_seed_gives_same_fates_and_another_gives_others() {
        let fates = |seed| {
            let mut link = Link::new(bad(), seed);
            (0..500).map(|_| link.pass(NOW, 1200)).collect::<Vec<_>>()
        };
        assert_eq!(fates(11), fates(11));
        assert_ne!(fates(11), fates(12));
    }

    #[test]
    fn rate_spaces_datagrams_and_drops_beyond_its_queue() {
        let conditions = Conditions {
            rate: Some(1_000_000),
            queue: Duration::from_millis(3),
            ..Conditions::default()
        };
        let mut link = Link::new(conditions, 1);
        let due: Vec<_> = (0..6).map(|_| link.pass(NOW, 1000).first).collect();
        let at = |milliseconds| Some(NOW + Duration::from_millis(milliseconds));
        assert_eq!(due, [at(1), at(2), at(3), at(4), None, None]);
        assert_eq!(link.tally().overflowed, 2);
    }
}
