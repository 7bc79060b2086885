//! [`CryptoStream`]: the ordered bytes of one encryption level's handshake (RFC 9000 §7.5). Puts
//! received CRYPTO frames in order, within a bound, and lends out what is to be sent. This file
//! must not know TLS.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::chaos::Scatter;
use crate::error::TransportError;
use crate::helper::RandomGenerator;
use crate::rare::{Blank, Rare};

/// One direction-pair of handshake bytes.
#[derive(Debug, Default)]
pub(super) struct CryptoStream {
    /// How far the received bytes have been consumed.
    received: u64,
    acked: u64,
    /// The first offset that was never sent.
    next: u64,
    under_way: Rare<UnderWay>,
}

/// What has come or was written, and is not done with.
#[derive(Debug, Default)]
struct UnderWay {
    /// Bytes beyond `received`, by offset; never overlapping.
    waiting: BTreeMap<u64, Vec<u8>>,
    /// What was written and is not yet acknowledged; starts at offset `acked`.
    sending: VecDeque<u8>,
    /// Ranges to send again, in order.
    lost: Vec<Range<u64>>,
    /// What is to be sent for the first time in another order.
    scatter: Scatter,
    /// Acknowledged ranges beyond `acked`, in order.
    acked_ahead: Vec<Range<u64>>,
}

impl Blank for UnderWay {
    const BLANK: &'static Self = &Self {
        waiting: BTreeMap::new(),
        sending: VecDeque::new(),
        lost: Vec::new(),
        scatter: Scatter::EMPTY,
        acked_ahead: Vec::new(),
    };
}

impl UnderWay {
    fn is_over(&self) -> bool {
        self.waiting.is_empty()
            && self.sending.is_empty()
            && self.lost.is_empty()
            && self.scatter.is_empty()
            && self.acked_ahead.is_empty()
    }
}

impl CryptoStream {
    /// Nothing has come, and nothing is to be sent.
    pub(super) const EMPTY: Self = Self { received: 0, acked: 0, next: 0, under_way: Rare::NONE };

    /// Gives back what took room and is over.
    pub(super) fn release_memory(&mut self) {
        self.under_way.release_if(UnderWay::is_over);
    }

    /// Takes a CRYPTO frame's bytes. What is in order now comes out of [`Self::read`].
    pub(super) fn on_frame(&mut self, offset: u64, data: &[u8]) -> Result<(), TransportError> {
        let end = offset + data.len() as u64; // the frame parser bounds both by 2^62
        // RFC 9000 §7.5
        if end > self.received + MAX_AHEAD {
            return Err(TransportError::crypto_buffer_exceeded(format!(
                "CRYPTO data up to {end} while {} is awaited; {MAX_AHEAD} bytes ahead are kept",
                self.received
            )));
        }
        let mut at = offset.max(self.received);
        while at < end {
            // The next piece that we have already, if it begins before this frame ends.
            let before = self.under_way.waiting.range(..=at).next_back();
            let covered = before.map_or(0, |(start, bytes)| start + bytes.len() as u64);
            if covered > at {
                at = covered;
                continue;
            }
            let next =
                self.under_way.waiting.range(at..end).next().map_or(end, |(start, _)| *start);
            if self.under_way.waiting.len() >= MAX_FRAGMENTS {
                return Err(TransportError::crypto_buffer_exceeded(format!(
                    "CRYPTO data in more than {MAX_FRAGMENTS} separate pieces"
                )));
            }
            let piece = &data[(at - offset) as usize..(next - offset) as usize];
            self.under_way.waiting.insert(at, piece.to_vec());
            at = next;
        }
        Ok(())
    }

    /// The new bytes of a CRYPTO frame that comes in order while nothing else waits: they are
    /// consumed, without being kept. `None` is for [`Self::on_frame`].
    pub(super) fn take_next<'a>(&mut self, offset: u64, data: &'a [u8]) -> Option<&'a [u8]> {
        let known = self.received.checked_sub(offset)?;
        let fresh = data.get(usize::try_from(known).ok()?..)?;
        let alone = self.under_way.waiting.is_empty();
        if !alone || fresh.is_empty() || fresh.len() as u64 > MAX_AHEAD {
            return None;
        }
        self.received += fresh.len() as u64;
        Some(fresh)
    }

    /// Bytes that are kept and not consumed.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.under_way.waiting.values().map(Vec::len).sum()
    }

    /// Whether bytes up to here have been consumed already.
    pub(super) fn has_consumed(&self, end: u64) -> bool {
        end <= self.received
    }

    /// The next bytes in order.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let entry = self.under_way.get_mut()?.waiting.first_entry()?;
        if *entry.key() != self.received {
            return None;
        }
        let bytes = entry.remove();
        self.received += bytes.len() as u64;
        Some(bytes)
    }

    pub(super) fn write(&mut self, data: &[u8]) {
        self.under_way.sending.extend(data);
    }

    /// What waits to be sent goes out in pieces: all of it, before anything was sent.
    pub(super) fn scatter(&mut self, random: &mut dyn RandomGenerator) {
        if self.next == 0 && !self.under_way.sending.is_empty() {
            self.next = self.under_way.sending.len() as u64;
            self.under_way.scatter = Scatter::new(self.next, random);
        }
    }

    pub(super) fn scatter_mut(&mut self) -> &mut Scatter {
        &mut self.under_way.scatter
    }

    pub(super) fn is_scattered(&self) -> bool {
        !self.under_way.scatter.is_empty()
    }

    pub(super) fn wants_to_send(&self) -> bool {
        !self.under_way.scatter.is_empty()
            || !self.under_way.lost.is_empty()
            || self.next < self.acked + self.under_way.sending.len() as u64
    }

    /// How many bytes wait to be sent, or to be sent again.
    pub(super) fn unsent(&self) -> u64 {
        let lost: u64 = self.under_way.lost.iter().map(|range| range.end - range.start).sum();
        lost + self.acked + self.under_way.sending.len() as u64 - self.next
    }

    /// The next range to send, at most `max` bytes; lost ranges first. It counts as sent.
    pub(super) fn next_range(&mut self, max: usize) -> Option<Range<u64>> {
        if max == 0 {
            return None;
        }
        let lost = &mut self.under_way.get_mut()?.lost;
        if let Some(range) = lost.first_mut() {
            let end = range.end.min(range.start + max as u64);
            let sent = range.start..end;
            if end == range.end {
                lost.remove(0);
            } else {
                range.start = end;
            }
            return Some(sent);
        }
        let end = self.acked + self.under_way.sending.len() as u64;
        let sent = self.next..end.min(self.next + max as u64);
        self.next = sent.end;
        (!sent.is_empty()).then_some(sent)
    }

    /// What [`Self::next_range`] would send next begins here.
    pub(super) fn next_offset(&self) -> u64 {
        self.under_way.lost.first().map_or(self.next, |range| range.start)
    }

    /// Copies a range that is not yet acknowledged into `out`, which is as long.
    pub(super) fn copy(&self, range: &Range<u64>, out: &mut [u8]) {
        let start = (range.start - self.acked) as usize;
        let (front, back) = self.under_way.sending.as_slices();
        let in_front = front.get(start..).unwrap_or_default();
        let len = in_front.len().min(out.len());
        let (first, rest) = out.split_at_mut(len);
        first.copy_from_slice(&in_front[..len]);
        let start = (start + len).saturating_sub(front.len());
        rest.copy_from_slice(&back[start..start + rest.len()]);
    }

    pub(super) fn on_acked(&mut self, range: Range<u64>) {
        subtract(&mut self.under_way.lost, &range);
        // What was sent twice is acknowledged twice: only what is new counts.
        add(
            &mut self.under_way.acked_ahead,
            range.start.max(self.acked)..range.end.max(self.acked),
        );
        if let Some(first) = self.under_way.acked_ahead.first()
            && first.start <= self.acked
        {
            let len = (first.end - self.acked) as usize;
            self.acked = first.end;
            self.under_way.acked_ahead.remove(0);
            self.under_way.sending.drain(..len);
        }
    }

    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        let mut again = Vec::new();
        add(&mut again, range.start.max(self.acked)..range.end.max(self.acked));
        for acked in &self.under_way.acked_ahead {
            subtract(&mut again, acked);
        }
        for range in again {
            add(&mut self.under_way.lost, range);
        }
    }
}

/// Adds a range to an ordered list of disjoint ranges, joining what touches.
fn add(ranges: &mut Vec<Range<u64>>, mut new: Range<u64>) {
    if new.is_empty() {
        return;
    }
    let from = ranges.partition_point(|range| range.end < new.start);
    let to = ranges.partition_point(|range| range.start <= new.end);
    if from < to {
        new = new.start.min(ranges[from].start)..new.end.max(ranges[to - 1].end);
    }
    ranges.splice(from..to, [new]);
}

/// Removes a range from an ordered list of disjoint ranges.
fn subtract(ranges: &mut Vec<Range<u64>>, gone: &Range<u64>) {
    if gone.is_empty() {
        return;
    }
    let from = ranges.partition_point(|range| range.end <= gone.start);
    let to = ranges.partition_point(|range| range.start < gone.end);
    if from < to {
        let left = ranges[from].start..gone.start;
        let right = gone.end..ranges[to - 1].end;
        let rest = [left, right].into_iter().filter(|range| !range.is_empty());
        ranges.splice(from..to, rest);
    }
}

/// How far ahead of the awaited byte CRYPTO data is kept; RFC 9000 §7.5 asks for at least 4096.
pub(super) const MAX_AHEAD: u64 = 64 * 1024;
/// In how many pieces.
const MAX_FRAGMENTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;

    fn read_all(stream: &mut CryptoStream) -> Vec<u8> {
        std::iter::from_fn(|| stream.read()).flatten().collect()
    }

    #[test]
    fn what_comes_in_order_need_not_be_kept() {
        let mut stream = CryptoStream::default();
        assert_eq!(stream.take_next(0, b"hello"), Some(&b"hello"[..]));
        assert_eq!(stream.take_next(2, b"llo, "), Some(&b", "[..]));
        assert_eq!(stream.take_next(2, b"llo, "), None, "nothing new");
        assert_eq!(stream.take_next(8, b"orld"), None, "a gap");
        stream.on_frame(8, b"orld").unwrap();
        assert_eq!(stream.take_next(7, b"wor"), None, "others wait");
        stream.on_frame(7, b"wor").unwrap();
        let rest: Vec<u8> = std::iter::from_fn(|| stream.read()).flatten().collect();
        assert_eq!(rest, b"world");
    }

    #[test]
    fn a_late_acknowledgement_of_what_was_sent_again_changes_nothing() {
        let mut stream = CryptoStream::default();
        stream.write(&[7; 1000]);
        let first = stream.next_range(600).unwrap();
        stream.on_lost(first.clone());
        let (again, rest) = (stream.next_range(600).unwrap(), stream.next_range(600).unwrap());
        stream.on_acked(again);
        stream.on_acked(rest);
        stream.on_acked(first);
        assert!(!stream.wants_to_send());
        stream.write(&[8; 10]);
        assert_eq!(stream.next_range(100), Some(1000..1010));
    }

    #[test]
    fn shuffled_overlapping_pieces_come_out_in_order() {
        let data: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
        for seed in 0..50 {
            let mut random = SeededRandom::new(seed);
            let mut stream = CryptoStream::default();
            let mut out = Vec::new();
            for _ in 0..400 {
                let start = random.next_u64() as usize % data.len();
                let end = (start + random.next_u64() as usize % 100).min(data.len());
                stream.on_frame(start as u64, &data[start..end]).unwrap();
                out.extend(read_all(&mut stream));
            }
            stream.on_frame(0, &data).unwrap();
            out.extend(read_all(&mut stream));
            assert_eq!(out, data, "seed {seed}");
            assert!(stream.under_way.waiting.is_empty());
        }
    }

    #[test]
    fn data_too_far_ahead_exceeds_the_buffer() {
        // RFC 9000 §7.5
        let mut stream = CryptoStream::default();
        stream.on_frame(MAX_AHEAD - 1, b"x").unwrap();
        let error = stream.on_frame(MAX_AHEAD, b"x").unwrap_err();
        assert_eq!(error.code(), crate::TransportErrorCode::CRYPTO_BUFFER_EXCEEDED);
    }

    #[test]
    fn too_many_pieces_exceed_the_buffer() {
        let mut stream = CryptoStream::default();
        let error = (0..MAX_AHEAD / 2).find_map(|n| stream.on_frame(n * 2 + 1, b"x").err());
        assert!(error.unwrap().reason().contains("256"));
    }

    #[test]
    fn every_byte_arrives_over_a_lossy_path() {
        for seed in 0..50 {
            let mut random = SeededRandom::new(seed);
            let data: Vec<u8> = (0..5000_u32).map(|n| (n * 7) as u8).collect();
            let (mut from, mut to) = (CryptoStream::default(), CryptoStream::default());
            // Bit by bit, so that the buffer's beginning and end move through its memory.
            let (mut pieces, mut out) = (data.chunks(500), Vec::new());
            while {
                pieces.next().into_iter().for_each(|piece| from.write(piece));
                from.wants_to_send()
            } {
                let range = from.next_range(1 + random.next_u64() as usize % 700).unwrap();
                let mut bytes = vec![0; (range.end - range.start) as usize];
                from.copy(&range, &mut bytes);
                match random.next_u64() % 3 {
                    0 => from.on_lost(range),
                    1 => {
                        to.on_frame(range.start, &bytes).unwrap();
                        from.on_lost(range.clone());
                        from.on_acked(range);
                    }
                    _ => {
                        to.on_frame(range.start, &bytes).unwrap();
                        from.on_acked(range);
                    }
                }
                out.extend(read_all(&mut to));
            }
            assert_eq!(out, data, "seed {seed}");
            assert!(from.under_way.sending.is_empty());
        }
    }
}
