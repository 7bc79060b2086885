//! [`Sequencer`]: puts the bytes of one stream in order (RFC 9000 §2.2; Chromium:
//! QuicStreamSequencer). It knows nothing of flow control or FIN.
//!
//! Data that arrives in order is queued as it is, a slice of the datagram, without a copy. Data that
//! arrives early is copied into fixed blocks, so that its memory is bounded by the bytes of flow
//! control it uses, whatever the fragments are like; only the gaps between them cost memory and work
//! of their own, and their number is limited. At the end of a turn, unread slices are copied out so
//! that a few bytes do not pin a batch of datagrams.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes};

use super::range_set::RangeSet;
use super::spares::MAX_SPARE_QUEUE;
use crate::rare::{Blank, Rare};

/// The unread bytes of one stream. They are read in this order: `settled`, `tail`, `fresh`; then
/// comes the first gap.
#[derive(Debug)]
pub(super) struct Sequencer {
    kept: Rare<Kept>,
    /// Slices that may still point into a batch.
    fresh: VecDeque<Bytes>,
    /// One past the last byte without a gap before it.
    contiguous: u64,
    unread: u64,
    /// How many slices have come in this turn.
    arrived: u32,
    /// What lies beyond the first gap.
    early: Option<Box<Early>>,
}

/// What was not read in the turn in which it came.
#[derive(Debug, Default)]
struct Kept {
    /// Buffers of our own.
    settled: VecDeque<Bytes>,
    /// The last buffer of our own, while it grows.
    tail: Vec<u8>,
}

impl Blank for Kept {
    const BLANK: &'static Self = &Self { settled: VecDeque::new(), tail: Vec::new() };
}

impl Sequencer {
    /// Nothing received yet.
    pub(super) const EMPTY: Self = Self {
        kept: Rare::NONE,
        fresh: VecDeque::new(),
        contiguous: 0,
        unread: 0,
        arrived: 0,
        early: None,
    };

    /// One past the last byte that was, or can be, read.
    pub(super) const fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// How many bytes can be read.
    pub(super) const fn unread(&self) -> u64 {
        self.unread
    }

    /// One past the last byte that was read.
    pub(super) const fn read_offset(&self) -> u64 {
        self.contiguous - self.unread
    }

    /// How many gaps there are.
    pub(super) fn gaps(&self) -> usize {
        self.early.as_ref().map_or(0, |early| early.ranges.len())
    }

    /// Takes in `data` at `offset`; their sum does not overflow. Returns what it was good for.
    pub(super) fn insert(&mut self, offset: u64, mut data: Bytes) -> Inserted {
        let end = offset + data.len() as u64;
        if end <= self.contiguous || data.is_empty() {
            return Inserted::Nothing;
        }
        if offset > self.contiguous {
            return self.early.get_or_insert_default().insert(offset, &data);
        }
        if offset < self.contiguous {
            data.advance((self.contiguous - offset) as usize);
        }
        self.append(data);
        if self.early.is_some() {
            self.join();
        }
        Inserted::Readable
    }

    /// The next unread bytes, at most `max` of them.
    pub(super) fn read(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 || self.unread == 0 {
            return None;
        }
        if self.kept.settled.is_empty() && !self.kept.tail.is_empty() {
            self.settle();
        }
        let queue =
            if self.kept.settled.is_empty() { &mut self.fresh } else { &mut self.kept.settled };
        let front = queue.front_mut()?;
        let data = if front.len() > max { front.split_to(max) } else { queue.pop_front()? };
        self.unread -= data.len() as u64;
        Some(data)
    }

    /// Copies what may point into a batch into buffers of our own.
    pub(super) fn compact(&mut self) {
        let mut left: usize = self.fresh.iter().map(Bytes::len).sum();
        while let Some(mut data) = self.fresh.pop_front() {
            while !data.is_empty() {
                let len = data.len().min(BUFFER - self.kept.tail.len());
                self.reserve(left.min(BUFFER - self.kept.tail.len()));
                self.kept.tail.extend_from_slice(&data[..len]);
                data.advance(len);
                left -= len;
                if self.kept.tail.len() == BUFFER {
                    self.settle();
                }
            }
        }
        // A queue that is as long as every turn needs is kept; one that tiny frames made long is not.
        let (arrived, capacity) = (self.arrived as usize, self.fresh.capacity());
        if capacity > MOST_KEPT || (capacity > KEPT && arrived < capacity / 8) {
            self.fresh = VecDeque::new();
        }
        self.arrived = 0;
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self { contiguous: self.contiguous, ..Self::EMPTY };
    }

    /// Makes it as new, but for a little memory.
    pub(super) fn retire(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        fresh.shrink_to(MAX_SPARE_QUEUE);
        *self = Self { fresh, ..Self::EMPTY };
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.kept.release_if(|kept| kept.settled.is_empty() && kept.tail.is_empty());
        if let Some(kept) = self.kept.get_mut() {
            kept.settled.shrink_to_fit();
        }
        self.fresh.shrink_to_fit();
    }

    fn append(&mut self, data: Bytes) {
        self.contiguous += data.len() as u64;
        self.unread += data.len() as u64;
        self.arrived = self.arrived.saturating_add(1);
        self.fresh.push_back(data);
    }

    /// Moves early data that is not early any more.
    fn join(&mut self) {
        let Some(mut early) = self.early.take() else {
            return;
        };
        early.discard_below(self.contiguous);
        while let Some(data) = early.take(self.contiguous) {
            self.append(data);
        }
        if !early.ranges.is_empty() {
            self.early = Some(early);
        }
    }

    fn settle(&mut self) {
        let tail = std::mem::take(&mut self.kept.tail);
        self.kept.settled.push_back(Bytes::from(tail));
    }

    /// Makes room for `more` bytes at least; never more than double what is used.
    fn reserve(&mut self, more: usize) {
        let needed = self.kept.tail.len() + more;
        if needed > self.kept.tail.capacity() {
            let capacity = needed.max(self.kept.tail.len() * 2).min(BUFFER);
            let tail = &mut self.kept.tail;
            tail.reserve_exact(capacity - tail.len());
        }
    }
}

/// What a piece of data was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// All of it was here before.
    Nothing,
    /// It came early and is kept.
    Kept,
    /// There is more to read.
    Readable,
}

/// Data beyond a gap.
#[derive(Debug, Default)]
struct Early {
    ranges: RangeSet,
    /// Block n holds the bytes from n * BLOCK on.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Early {
    fn insert(&mut self, offset: u64, data: &[u8]) -> Inserted {
        let end = offset + data.len() as u64;
        if self.ranges.contains(offset, end) {
            return Inserted::Nothing;
        }
        self.ranges.insert(offset, end);
        let mut at = offset;
        while at < end {
            let block = self.blocks.entry(at / BLOCK).or_insert_with(new_block);
            let stop = end.min((at / BLOCK + 1) * BLOCK);
            let from = &data[(at - offset) as usize..(stop - offset) as usize];
            let place = (at % BLOCK) as usize;
            block[place..place + from.len()].copy_from_slice(from);
            at = stop;
        }
        Inserted::Kept
    }

    /// Forgets what is below `contiguous`: it came again, in order.
    fn discard_below(&mut self, contiguous: u64) {
        self.ranges.remove_below(contiguous);
        while let Some(block) = self.blocks.first_entry()
            && (block.key() + 1) * BLOCK <= contiguous
        {
            block.remove();
        }
    }

    /// The bytes at `offset`, to the end of their range or of their block. Each byte is taken once;
    /// a block is handed on as it is when its last byte goes, otherwise the bytes are copied.
    fn take(&mut self, offset: u64) -> Option<Bytes> {
        let range = self.ranges.first()?;
        if range.start > offset {
            return None;
        }
        let index = offset / BLOCK;
        let stop = range.end.min((index + 1) * BLOCK);
        let (from, to) = ((offset % BLOCK) as usize, (offset % BLOCK + stop - offset) as usize);
        self.ranges.remove_below(stop);
        if to == BLOCK as usize {
            return Some(Bytes::from(self.blocks.remove(&index)?).slice(from..));
        }
        Some(Bytes::copy_from_slice(&self.blocks.get(&index)?[from..to]))
    }
}

fn new_block() -> Vec<u8> {
    vec![0; BLOCK as usize]
}

/// A window so many times as large as this allows as many gaps. Slow start can overflow a queue by
/// half a window, and then every second or third packet is lost.
pub const BYTES_PER_GAP: u64 = 8192;
/// The most gaps on one stream, of whatever window. An honest peer at 1 Gbit/s, 200 ms and 5 % loss
/// makes some 1500.
pub const MAX_GAPS_PER_STREAM: usize = 4096;
/// Likewise on all streams of a connection.
pub const MAX_GAPS_PER_CONNECTION: usize = 8192;
/// The bytes of a block of early data: the most that one early byte costs.
const BLOCK: u64 = 2048;
/// Slices that a queue keeps room for between turns: those of a batch of datagrams.
const KEPT: usize = 128;
/// The same for a stream that has many of them in every turn: what a turn of an event loop reads.
const MOST_KEPT: usize = 2048;
/// The bytes of a buffer of unread data.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    fn content(offset: u64, len: u64) -> Bytes {
        (offset..offset + len).map(|at| (at * 31 % 251) as u8).collect()
    }

    fn read_all(sequencer: &mut Sequencer) -> Vec<u8> {
        let chunks = std::iter::from_fn(|| sequencer.read(usize::MAX));
        chunks.flatten().collect()
    }

    fn retained(sequencer: &Sequencer) -> usize {
        let early = sequencer.early.as_ref();
        let blocks = early.map_or(0, |early| early.blocks.len() * BLOCK as usize);
        let queues = sequencer.kept.settled.capacity() + sequencer.fresh.capacity();
        let owned: usize = sequencer.kept.settled.iter().map(Bytes::len).sum();
        blocks + owned + sequencer.kept.tail.capacity() + queues * size_of::<Bytes>()
    }

    #[test]
    fn in_order_data_is_not_copied() {
        let mut sequencer = Sequencer::EMPTY;
        let data = content(0, 1200);
        assert_eq!(sequencer.insert(0, data.clone()), Inserted::Readable);
        assert_eq!(sequencer.read(usize::MAX).unwrap().as_ptr(), data.as_ptr());
    }

    #[test]
    fn a_retransmission_that_overlaps_adds_only_what_is_new() {
        let mut sequencer = Sequencer::EMPTY;
        sequencer.insert(0, content(0, 10));
        assert_eq!(sequencer.insert(2, content(2, 8)), Inserted::Nothing);
        assert_eq!(sequencer.insert(5, content(5, 10)), Inserted::Readable);
        assert_eq!(read_all(&mut sequencer), content(0, 15));
    }

    #[test]
    fn any_order_of_overlapping_fragments_gives_the_same_bytes() {
        for seed in 0..40 {
            let mut random = SeededRandom::new(seed);
            let mut sequencer = Sequencer::EMPTY;
            let mut read = Vec::new();
            let total = 1 + random.next_u64() % 20_000;
            while sequencer.contiguous() < total {
                let near = sequencer.contiguous().saturating_sub(50);
                let offset = (near + random.next_u64() % 6000).min(total - 1);
                let len = (random.next_u64() % 700).min(total - offset);
                sequencer.insert(offset, content(offset, len));
                if random.next_u64().is_multiple_of(3) {
                    sequencer.compact();
                }
                read.extend(sequencer.read((random.next_u64() % 900) as usize).unwrap_or_default());
            }
            read.extend(read_all(&mut sequencer));
            assert!(read == content(0, total), "seed {seed}");
            assert_eq!(sequencer.gaps(), 0, "seed {seed}");
        }
    }

    #[test]
    fn unread_slices_let_go_of_their_batch_at_the_end_of_a_turn() {
        // hostile peers, row 39
        let mut sequencer = Sequencer::EMPTY;
        for offset in 0..1000 {
            let batch = Bytes::from(vec![7; 64 * 1024]);
            sequencer.insert(offset, batch.slice(..1));
            sequencer.compact();
        }
        assert!(retained(&sequencer) <= 2 * 1000 + 64 * 4, "{}", retained(&sequencer));
        assert_eq!(read_all(&mut sequencer), [7; 1000]);
    }

    #[test]
    fn one_byte_fragments_cost_no_more_than_the_window_they_use() {
        // hostile peers, rows 38 and 40: backwards, so that all of them are early
        let mut sequencer = Sequencer::EMPTY;
        for offset in (1..65_536).rev() {
            sequencer.insert(offset, content(offset, 1));
            assert_eq!(sequencer.gaps(), 1);
        }
        assert!(retained(&sequencer) <= 65_536 + BLOCK as usize);
        sequencer.insert(0, content(0, 1));
        assert_eq!(read_all(&mut sequencer), content(0, 65_536));
    }

    #[test]
    fn one_byte_at_the_top_of_a_window_costs_one_block() {
        // hostile peers, row 41
        let mut sequencer = Sequencer::EMPTY;
        sequencer.insert((1 << 24) - 1, content(0, 1));
        assert!(retained(&sequencer) <= BLOCK as usize);
    }
}
