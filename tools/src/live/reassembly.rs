//! [`Reassembly`]: frames from datagrams that come in any order, some of them not at all. What it
//! keeps is bounded, whatever comes. This file must not know the clock: who uses it says which
//! frames are no longer wanted.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::fragments::{Fragment, shard_len};
use super::wire::FrameHeader;

/// Frames that are not whole.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    frames: BTreeMap<u64, Partial>,
    bytes: usize,
    /// Frames before this one are no longer wanted.
    floor: u64,
    tally: ReassemblyTally,
}

/// What came, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyTally {
    /// Frames that were whole only with the help of parity.
    pub repaired: u64,
    /// Frames of which something was kept, given up for want of room.
    pub evicted: u64,
}

/// A frame of which something has come.
#[derive(Debug)]
struct Partial {
    fragment: Fragment,
    /// The frame's own pieces, each at its place.
    buffer: BytesMut,
    has: Vec<bool>,
    parity: Vec<(usize, Bytes)>,
    /// How many pieces are there.
    count: u64,
    /// It was whole: what else comes of it is of no use.
    is_done: bool,
}

impl Reassembly {
    /// Takes a datagram. Returns the frame if it is whole now. The error, of a datagram that no
    /// server sends, is a line for a person.
    pub(super) fn on_datagram(
        &mut self,
        datagram: &[u8],
    ) -> Result<Option<(FrameHeader, Bytes)>, String> {
        let (fragment, shard) = Fragment::read(datagram)?;
        let sequence = fragment.header.sequence;
        if sequence < self.floor {
            return Ok(None);
        }
        if !self.frames.contains_key(&sequence) && !self.make_room(&fragment) {
            return Ok(None);
        }
        let partial = self.frames.entry(sequence).or_insert_with(|| Partial::new(fragment));
        if partial.fragment != (Fragment { index: 0, ..fragment }) {
            return Err(format!("two pieces of frame {sequence} that do not fit together"));
        }
        let cost = partial.cost();
        let whole = partial.add(fragment.index as usize, shard);
        self.bytes = self.bytes + partial.cost() - cost;
        self.tally.repaired += u64::from(whole.as_ref().is_some_and(|(_, repaired)| *repaired));
        Ok(whole.map(|(bytes, _)| (fragment.header, bytes)))
    }

    /// Frames before this one are no longer wanted.
    pub(super) fn forget_before(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
        while let Some(first) = self.frames.first_entry().filter(|first| *first.key() < self.floor)
        {
            self.bytes -= first.remove().cost();
        }
    }

    /// What came.
    pub(super) fn tally(&self) -> ReassemblyTally {
        self.tally
    }

    /// Gives up the oldest frames until there is room for another. Returns whether there is.
    fn make_room(&mut self, fragment: &Fragment) -> bool {
        let wanted = Partial::buffer_len(fragment);
        while self.frames.len() >= MAX_PARTIAL_FRAMES
            || (self.bytes + wanted > MAX_PARTIAL_BYTES && !self.frames.is_empty())
        {
            let Some(first) = self.frames.first_entry() else { break };
            if *first.key() > fragment.header.sequence {
                return false; // it is the oldest itself
            }
            let first = first.remove();
            self.bytes -= first.cost();
            self.tally.evicted += u64::from(!first.is_done);
        }
        self.bytes += wanted;
        true
    }
}

impl Partial {
    fn buffer_len(fragment: &Fragment) -> usize {
        let (len, data) = (fragment.header.len as usize, fragment.data as usize);
        shard_len(len, data) * data
    }

    fn new(fragment: Fragment) -> Self {
        Self {
            fragment: Fragment { index: 0, ..fragment },
            buffer: BytesMut::zeroed(Self::buffer_len(&fragment)),
            has: vec![false; fragment.data as usize],
            parity: Vec::new(),
            count: 0,
            is_done: false,
        }
    }

    /// How many bytes it keeps.
    fn cost(&self) -> usize {
        self.buffer.len() + self.parity.iter().map(|(_, shard)| shard.len()).sum::<usize>()
    }

    /// Adds a piece. Returns the frame if it is whole now, and whether parity was needed.
    fn add(&mut self, index: usize, shard: &[u8]) -> Option<(Bytes, bool)> {
        if self.is_done {
            return None;
        }
        match self.has.get_mut(index) {
            Some(true) => return None, // a packet that came twice
            Some(has) => {
                *has = true;
                let place = index * shard.len();
                self.buffer[place..place + shard.len()].copy_from_slice(shard);
            }
            None => {
                let index = index - self.has.len();
                if self.parity.iter().any(|(known, _)| *known == index) {
                    return None;
                }
                self.parity.push((index, Bytes::copy_from_slice(shard)));
            }
        }
        self.count += 1;
        if self.count < self.fragment.data {
            return None;
        }
        let needs_parity = self.has.contains(&false);
        if needs_parity {
            self.repair(shard.len())?;
        }
        self.is_done = true;
        self.parity = Vec::new();
        let mut whole = std::mem::take(&mut self.buffer);
        whole.truncate(self.fragment.header.len as usize);
        Some((whole.freeze(), needs_parity))
    }

    /// Computes the pieces that are missing.
    fn repair(&mut self, len: usize) -> Option<()> {
        let there = self.has.iter().zip(self.buffer.chunks(len)).enumerate();
        let there = there.filter_map(|(index, (has, shard))| has.then_some((index, shard)));
        let parity = self.parity.iter().map(|(index, shard)| (*index, shard));
        let (data, count) = (self.fragment.data as usize, self.fragment.parity as usize);
        let restored = reed_solomon_simd::decode(data, count, there, parity).ok()?;
        for (index, has) in self.has.iter().enumerate().filter(|(_, has)| !**has) {
            debug_assert!(!has, "pieces that are there stay");
            self.buffer[index * len..][..len].copy_from_slice(restored.get(&index)?);
        }
        Some(())
    }
}

/// How many frames may be in pieces at a time.
const MAX_PARTIAL_FRAMES: usize = 128;
/// How many bytes they may have together.
const MAX_PARTIAL_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::super::fragments::{Cut, MAX_SHARDS, Shards};
    use super::super::nal::FrameKind;
    use super::*;

    fn frame(sequence: u64, len: usize) -> (FrameHeader, Bytes) {
        let bytes: Bytes = (0..len).map(|at| (at as u64 * 31 + sequence) as u8).collect();
        let kind = FrameKind::Reference;
        (FrameHeader { sequence, number: sequence, due: 5, kind, len: len as u64 }, bytes)
    }

    fn datagrams(sequence: u64, len: usize, parity: u64) -> Vec<Bytes> {
        let (header, bytes) = frame(sequence, len);
        Shards::cut(&bytes, Cut { room: 1201, parity }).unwrap().datagrams(header).collect()
    }

    #[test]
    fn any_pieces_are_enough_if_there_are_as_many_as_the_frame_has() {
        for len in [1, 2, 1199, 1200, 1201, 2401, 50_000] {
            let whole = datagrams(3, len, 34);
            let data = len.div_ceil(1200);
            let parity = whole.len() - data;
            assert_eq!(parity, (data * 34).div_ceil(100), "{len}");
            for seed in 0..20_usize {
                let mut reassembly = Reassembly::default();
                // Lost: as many as there is parity, scattered; the rest comes in another order.
                let mut order: Vec<_> = (0..whole.len()).collect();
                order.sort_by_key(|index| (index * 7919 + seed * 104_729) % 1009);
                let mut got = None;
                for (nth, index) in order[parity..].iter().enumerate() {
                    let frame = reassembly.on_datagram(&whole[*index]).unwrap();
                    assert_eq!(frame.is_some(), nth + 1 == data, "{len} {seed}");
                    got = got.or(frame);
                }
                assert_eq!(got, Some(frame(3, len)), "{len} {seed}");
                assert_eq!(reassembly.on_datagram(&whole[order[0]]), Ok(None), "again");
            }
        }
    }

    #[test]
    fn without_enough_pieces_there_is_no_frame() {
        let whole = datagrams(3, 20_000, 20);
        let mut reassembly = Reassembly::default();
        for datagram in &whole[whole.len() - 16..] {
            assert_eq!(reassembly.on_datagram(datagram), Ok(None));
            assert_eq!(reassembly.on_datagram(datagram), Ok(None), "a piece counts once");
        }
        assert!(reassembly.on_datagram(&whole[0]).unwrap().is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut reassembly = Reassembly::default();
        for sequence in 0..100_000 {
            let first = &datagrams(sequence, 2 + (sequence as usize % 7) * 300, 0)[0];
            reassembly.on_datagram(first).unwrap();
            assert!(reassembly.frames.len() <= MAX_PARTIAL_FRAMES);
        }
        let mut huge = BytesMut::new();
        for sequence in 0..64 {
            let (header, _) = frame(sequence, 0);
            let header = FrameHeader { len: 14 << 20, ..header };
            let data = MAX_SHARDS as u64;
            huge.clear();
            Fragment { header, data, parity: 0, index: 0 }.write(&mut huge);
            huge.resize(huge.len() + 448, 0);
            reassembly.on_datagram(&huge).unwrap();
            let kept: usize = reassembly.frames.values().map(Partial::cost).sum();
            assert_eq!(kept, reassembly.bytes);
            assert!(kept <= MAX_PARTIAL_BYTES, "{kept}");
        }
        reassembly.forget_before(u64::MAX);
        assert_eq!((reassembly.frames.len(), reassembly.bytes), (0, 0));
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        let (header, _) = frame(0, 2000);
        let datagram = |header, data, parity, index, len| {
            let mut out = BytesMut::new();
            Fragment { header, data, parity, index }.write(&mut out);
            out.resize(out.len() + len, 0);
            out
        };
        let refuse = |datagram: &[u8]| {
            assert!(Reassembly::default().on_datagram(datagram).is_err(), "{datagram:?}");
        };
        refuse(&[]);
        refuse(&datagram(header, 0, 0, 0, 0));
        refuse(&datagram(header, 2, 0, 2, 1000));
        refuse(&datagram(header, 2, 0, 1, 999));
        refuse(&datagram(header, 1 << 16, 0, 1, 2));
        refuse(&datagram(FrameHeader { len: 1 << 40, ..header }, 1, 0, 0, 9));
        let mut reassembly = Reassembly::default();
        reassembly.on_datagram(&datagram(header, 2, 0, 0, 1000)).unwrap();
        assert!(reassembly.on_datagram(&datagram(header, 2, 1, 0, 1000)).is_err());
    }
}
