//! [`Scheduler`]: which stream sends new data next. Eight levels of urgency (RFC 9218 §4.1), the
//! most urgent first; within a level, streams take turns of equal length in bytes. Every operation
//! is O(1). It knows nothing of packets or of why a stream may send.

use slab::Slab;

use super::list::{Lane, List};
use super::stream::Stream;

/// How a stream's data is ranked against that of others (RFC 9218 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0, the most urgent, to 7. Larger values mean 7.
    pub urgency: u8,
    /// Whether it shares with others of its urgency; if not, it is sent to the end once begun.
    pub incremental: bool,
}

impl Priority {
    /// The middle urgency, sharing: where every stream starts.
    pub const MIDDLE: Self = Self { urgency: 3, incremental: true };
}

impl Default for Priority {
    fn default() -> Self {
        Self::MIDDLE
    }
}

/// The queues of streams that have new data.
#[derive(Debug)]
pub(super) struct Scheduler {
    levels: [List; LEVELS],
    /// Bit n: level n is not empty.
    occupied: u8,
    /// Streams that only connection flow control holds back.
    held: List,
}

/// Where a stream is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It may send.
    Level(u8),
    /// It is held back by connection flow control.
    Held,
}

impl Scheduler {
    pub(super) const fn new() -> Self {
        Self {
            levels: [const { List::new(Lane::Data) }; LEVELS],
            occupied: 0,
            held: List::new(Lane::Data),
        }
    }

    /// Whether no stream may send.
    pub(super) const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// The stream whose turn it is.
    pub(super) fn front(&self) -> Option<usize> {
        let level = self.levels.get(self.occupied.trailing_zeros() as usize)?;
        level.front()
    }

    /// A stream held back by connection flow control.
    pub(super) fn first_held(&self) -> Option<usize> {
        self.held.front()
    }

    /// The first stream of a level.
    pub(super) fn first_of(&self, level: usize) -> Option<usize> {
        self.levels[level].front()
    }

    /// The stream behind `key`, which is of this level.
    pub(super) fn after(&self, slab: &mut Slab<Stream>, level: usize, key: usize) -> Option<usize> {
        self.levels[level].after(slab, key)
    }

    /// Queues a stream where it belongs now, at the end; it keeps its turn if it is there already.
    pub(super) fn place(&mut self, slab: &mut Slab<Stream>, key: usize, place: Option<Place>) {
        if slab[key].place == place {
            return;
        }
        self.take_out(slab, key);
        slab[key].place = place;
        if let Some(place) = place {
            self.list(place).push_back(slab, key);
            self.note(place);
        }
    }

    /// Counts what a stream has sent, and ends its turn if that was its share.
    pub(super) fn on_sent(&mut self, slab: &mut Slab<Stream>, key: usize, len: u32) {
        let stream = &mut slab[key];
        stream.turn -= i64::from(len);
        if stream.turn > 0 || !stream.priority.incremental {
            return;
        }
        // What was sent beyond the share is taken from the next one.
        stream.turn += TURN;
        if let Some(place) = stream.place {
            let list = self.list(place);
            list.remove(slab, key);
            list.push_back(slab, key);
        }
    }

    fn take_out(&mut self, slab: &mut Slab<Stream>, key: usize) {
        if let Some(place) = slab[key].place.take() {
            self.list(place).remove(slab, key);
            self.note(place);
        }
    }

    fn list(&mut self, place: Place) -> &mut List {
        match place {
            Place::Level(level) => &mut self.levels[usize::from(level)],
            Place::Held => &mut self.held,
        }
    }

    fn note(&mut self, place: Place) {
        if let Place::Level(level) = place {
            let empty = self.levels[usize::from(level)].is_empty();
            self.occupied = self.occupied & !(1 << level) | u8::from(!empty) << level;
        }
    }
}

/// Levels of urgency.
pub(super) const LEVELS: usize = 8;
/// The bytes of a stream's turn: some dozen packets, so that the peer's reads are long as well.
pub(super) const TURN: i64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::StreamId;

    fn streams(places: &[Place]) -> (Slab<Stream>, Scheduler) {
        let (mut slab, mut scheduler) = (Slab::new(), Scheduler::new());
        for (n, &place) in places.iter().enumerate() {
            let key = slab.insert(Stream::new(StreamId::from_raw(n as u64 * 4)));
            scheduler.place(&mut slab, key, Some(place));
        }
        (slab, scheduler)
    }

    #[test]
    fn streams_of_one_urgency_take_turns() {
        let (mut slab, mut scheduler) = streams(&[Place::Level(3); 3]);
        let mut sent = [0; 3];
        for _ in 0..3000 {
            let key = scheduler.front().unwrap();
            sent[key] += 1200;
            scheduler.on_sent(&mut slab, key, 1200);
        }
        let spread = sent.iter().max().unwrap() - sent.iter().min().unwrap();
        assert!(spread <= TURN + 1200, "{sent:?}");
    }

    #[test]
    fn the_most_urgent_goes_first() {
        let (mut slab, mut scheduler) = streams(&[Place::Level(7), Place::Held, Place::Level(0)]);
        assert_eq!(scheduler.front(), Some(2));
        scheduler.place(&mut slab, 2, None);
        assert_eq!(scheduler.front(), Some(0));
        scheduler.place(&mut slab, 0, Some(Place::Held));
        assert!(scheduler.is_empty() && scheduler.front().is_none());
        assert_eq!(scheduler.first_held(), Some(1));
    }

    #[test]
    fn a_stream_that_does_not_share_is_sent_to_its_end() {
        let (mut slab, mut scheduler) = streams(&[Place::Level(3); 2]);
        slab[0].priority.incremental = false;
        (0..100).for_each(|_| scheduler.on_sent(&mut slab, 0, 1200));
        assert_eq!(scheduler.front(), Some(0));
    }
}
