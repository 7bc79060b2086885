//! [`Scheduler`]: which stream sends new data next (RFC 9218 §4, §10). Eight levels of urgency, the
//! most urgent first. Within a level, streams that do not share are sent one after the other in the
//! order of their IDs, those that share take turns of equal length in bytes; if there are both kinds,
//! the two take turns. Picking is O(1). It knows nothing of packets or of why a stream may send.

use slab::Slab;

use super::list::{Lane, List};
use super::stream::Stream;

/// How a stream's data is ranked against that of others (RFC 9218 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0, the most urgent, to 7. Larger values mean 7.
    pub urgency: u8,
    /// Whether it shares with others of its urgency. If not, it waits for those of lower ID that do
    /// not either.
    pub incremental: bool,
}

impl Priority {
    /// The middle urgency, sharing: where every stream starts.
    pub const MIDDLE: Self = Self { urgency: 3, incremental: true };

    /// Where a stream of this priority is queued.
    pub(super) const fn place(self) -> Place {
        if self.incremental { Place::Shared(self.urgency) } else { Place::Ordered(self.urgency) }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::MIDDLE
    }
}

/// The queues of streams that have new data.
#[derive(Debug)]
pub(super) struct Scheduler {
    /// Made when a stream is first queued there: few connections use more than one or two.
    levels: [Option<Box<Level>>; LEVELS],
    /// Bit n: level n is not empty.
    occupied: u8,
    /// Streams that only connection flow control holds back.
    held: List,
    /// The bytes of a turn that begins now.
    turn: i64,
}

/// Streams of one urgency.
#[derive(Debug)]
struct Level {
    /// Those that take turns.
    shared: List,
    /// Those that are sent to the end, by ID.
    ordered: List,
    /// Bytes that `ordered` is ahead of `shared`, while there are both.
    lead: i64,
}

/// Where a stream is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It may send, in turns with others of this level.
    Shared(u8),
    /// It may send, before those of this level with higher IDs.
    Ordered(u8),
    /// It is held back by connection flow control.
    Held,
}

impl Level {
    const EMPTY: Self =
        Self { shared: List::new(Lane::Data), ordered: List::new(Lane::Data), lead: 0 };

    const fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.ordered.is_empty()
    }

    fn front(&self) -> Option<usize> {
        if self.lead < TURN {
            self.ordered.front().or_else(|| self.shared.front())
        } else {
            self.shared.front().or_else(|| self.ordered.front())
        }
    }

    /// Counts what one kind has sent while the other waited: those in order may be a turn ahead.
    fn on_sent(&mut self, ordered: bool, len: i64) {
        if self.shared.is_empty() || self.ordered.is_empty() {
            self.lead = 0;
        } else if ordered {
            self.lead += len;
        } else {
            self.lead = (self.lead - len).max(0);
        }
    }
}

impl Scheduler {
    pub(super) const fn new() -> Self {
        let levels = [const { None }; LEVELS];
        Self { levels, occupied: 0, held: List::new(Lane::Data), turn: TURN }
    }

    /// Turns that begin from now on have so many bytes, within [`TURN`] and [`MAX_TURN`].
    pub(super) fn set_turn(&mut self, bytes: u64) {
        self.turn = bytes.min(MAX_TURN.cast_unsigned()).cast_signed().max(TURN);
    }

    /// Whether no stream may send.
    pub(super) const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// The stream whose turn it is.
    pub(super) fn front(&self) -> Option<usize> {
        let level = self.levels.get(self.occupied.trailing_zeros() as usize)?;
        level.as_ref()?.front()
    }

    /// How many bytes a stream whose turn it is may send before another is asked; what is begun may
    /// be ended.
    pub(super) fn turn(&self, stream: &Stream) -> u64 {
        let level = match stream.place {
            Some(Place::Shared(level) | Place::Ordered(level)) => &self.levels[usize::from(level)],
            _ => return 0,
        };
        match (level, stream.place) {
            (Some(level), Some(Place::Shared(_))) if level.ordered.is_empty() => {
                if level.shared.is_single() { u64::MAX } else { stream.turn.max(0) as u64 }
            }
            (Some(level), Some(Place::Ordered(_))) if level.shared.is_empty() => u64::MAX,
            _ => 0,
        }
    }

    /// A stream held back by connection flow control.
    pub(super) fn first_held(&self) -> Option<usize> {
        self.held.front()
    }

    /// The first stream of a queue.
    pub(super) fn first_of(&mut self, place: Place) -> Option<usize> {
        self.list(place).front()
    }

    /// The stream behind `key`, which is in this queue.
    pub(super) fn after(
        &mut self,
        slab: &mut Slab<Stream>,
        place: Place,
        key: usize,
    ) -> Option<usize> {
        self.list(place).after(slab, key)
    }

    /// Queues a stream where it belongs now; it keeps its turn if it is there already.
    pub(super) fn place(&mut self, slab: &mut Slab<Stream>, key: usize, place: Option<Place>) {
        if slab[key].place == place {
            return;
        }
        self.take_out(slab, key);
        slab[key].place = place;
        if let Some(place) = place {
            match place {
                Place::Ordered(level) => {
                    let list = &mut self.level(level).ordered;
                    list.insert_sorted(slab, key, |stream| stream.id.as_u64());
                }
                _ => self.list(place).push_back(slab, key),
            }
            self.note(place);
        }
    }

    /// Counts what a stream has sent, and ends its turn if that was its share.
    pub(super) fn on_sent(&mut self, slab: &mut Slab<Stream>, key: usize, len: u64) {
        let len = len.cast_signed();
        let stream = &mut slab[key];
        let Some(place) = stream.place else { return };
        if let Place::Shared(level) | Place::Ordered(level) = place {
            let ordered = matches!(place, Place::Ordered(_));
            self.level(level).on_sent(ordered, len);
        }
        stream.turn -= len;
        if stream.turn > 0 || !matches!(place, Place::Shared(_)) {
            return;
        }
        // What was sent beyond the share is taken from the next one. Who was alone had many.
        stream.turn += self.turn * (1 - stream.turn / self.turn);
        let list = self.list(place);
        list.remove(slab, key);
        list.push_back(slab, key);
    }

    fn take_out(&mut self, slab: &mut Slab<Stream>, key: usize) {
        if let Some(place) = slab[key].place.take() {
            self.list(place).remove(slab, key);
            self.note(place);
        }
    }

    /// Gives back the levels at which nothing is queued.
    pub(super) fn shrink(&mut self) {
        for level in &mut self.levels {
            level.take_if(|level| level.is_empty());
        }
    }

    fn level(&mut self, level: u8) -> &mut Level {
        self.levels[usize::from(level)].get_or_insert_with(|| Box::new(Level::EMPTY))
    }

    fn list(&mut self, place: Place) -> &mut List {
        match place {
            Place::Shared(level) => &mut self.level(level).shared,
            Place::Ordered(level) => &mut self.level(level).ordered,
            Place::Held => &mut self.held,
        }
    }

    fn note(&mut self, place: Place) {
        if let Place::Shared(level) | Place::Ordered(level) = place {
            let empty = self.level(level).is_empty();
            self.occupied = self.occupied & !(1 << level) | u8::from(!empty) << level;
        }
    }
}

/// Levels of urgency.
pub(super) const LEVELS: usize = 8;
/// The least bytes of a stream's turn: some dozen packets, so that the peer's reads are long as well.
pub(super) const TURN: i64 = 16 * 1024;
/// The most: what leaves the host, and reaches the peer, as one batch.
const MAX_TURN: i64 = 64 * 1024;

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
        let (mut slab, mut scheduler) = streams(&[Place::Shared(3); 3]);
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
    fn turns_are_long_where_the_path_is_fast_and_never_too_long() {
        for (asked, turn) in [(0, TURN), (40_000, 40_000), (u64::MAX, MAX_TURN)] {
            let (mut slab, mut scheduler) = streams(&[Place::Shared(3); 2]);
            scheduler.set_turn(asked);
            assert_eq!(scheduler.turn(&slab[0]), TURN as u64, "a turn that has begun");
            for key in [0, 1] {
                scheduler.on_sent(&mut slab, key, TURN as u64);
            }
            assert_eq!(scheduler.front(), Some(0));
            assert_eq!(scheduler.turn(&slab[0]), turn as u64);
            scheduler.on_sent(&mut slab, 0, turn as u64 - 1);
            assert_eq!((scheduler.front(), scheduler.turn(&slab[0])), (Some(0), 1));
            scheduler.on_sent(&mut slab, 0, 1000);
            assert_eq!(scheduler.front(), Some(1), "its turn is over");
            assert_eq!(scheduler.turn(&slab[0]), turn as u64 - 999, "what was too much is owed");
        }
    }

    #[test]
    fn who_has_sent_alone_for_long_owes_the_others_nothing() {
        let (mut slab, mut scheduler) = streams(&[Place::Shared(3)]);
        assert_eq!(scheduler.turn(&slab[0]), u64::MAX);
        scheduler.on_sent(&mut slab, 0, 50 * TURN as u64 + 1200);
        let other = slab.insert(Stream::new(StreamId::from_raw(4)));
        scheduler.place(&mut slab, other, Some(Place::Shared(3)));
        assert_eq!(scheduler.turn(&slab[0]), TURN as u64 - 1200);
        scheduler.on_sent(&mut slab, 0, TURN as u64);
        assert_eq!(scheduler.front(), Some(other), "its turn is over");
        assert_eq!(scheduler.turn(&slab[other]), TURN as u64);
    }

    #[test]
    fn the_most_urgent_goes_first() {
        let (mut slab, mut scheduler) = streams(&[Place::Shared(7), Place::Held, Place::Shared(0)]);
        assert_eq!(scheduler.front(), Some(2));
        scheduler.place(&mut slab, 2, None);
        assert_eq!(scheduler.front(), Some(0));
        scheduler.place(&mut slab, 0, Some(Place::Held));
        assert!(scheduler.is_empty() && scheduler.front().is_none());
        assert_eq!(scheduler.first_held(), Some(1));
    }

    #[test]
    fn streams_that_do_not_share_are_sent_one_after_the_other_by_id() {
        // RFC 9218 §10
        let (mut slab, mut scheduler) = (Slab::new(), Scheduler::new());
        let ids = [8, 0, 12, 4];
        for id in ids {
            let key = slab.insert(Stream::new(StreamId::from_raw(id)));
            scheduler.place(&mut slab, key, Some(Place::Ordered(3)));
        }
        let mut order = Vec::new();
        while let Some(key) = scheduler.front() {
            (0..100).for_each(|_| scheduler.on_sent(&mut slab, key, 1200));
            assert_eq!(scheduler.front(), Some(key), "to its end");
            order.push(ids[key]);
            scheduler.place(&mut slab, key, None);
        }
        assert_eq!(order, [0, 4, 8, 12]);
    }

    #[test]
    fn neither_kind_of_a_level_starves_the_other() {
        // RFC 9218 §10
        let places = [Place::Ordered(3), Place::Shared(3), Place::Ordered(3), Place::Shared(3)];
        let (mut slab, mut scheduler) = streams(&places);
        let mut sent = [0_i64; 4];
        for _ in 0..4000 {
            let key = scheduler.front().unwrap();
            sent[key] += 1200;
            scheduler.on_sent(&mut slab, key, 1200);
        }
        let (ordered, shared) = (sent[0] + sent[2], sent[1] + sent[3]);
        assert_eq!(sent[2], 0, "{sent:?}");
        assert!((ordered - shared).abs() <= 2 * TURN, "{sent:?}");
        assert!((sent[1] - sent[3]).abs() <= 2 * TURN, "{sent:?}");
    }
}
