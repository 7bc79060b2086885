//! [`Scatter`]: chaos protection of a client's first flight (Chromium: QuicChaosProtector). The
//! ClientHello is cut at random into pieces, which go out in random order over two datagrams, with
//! PING and PADDING between them. Nothing of it is new to a server: RFC 9000 §19.6 lets CRYPTO
//! frames come in any order. This file must not know what a ClientHello is.

use std::ops::Range;

use super::Connection;
use super::packet_builder::PacketBuilder;
use super::sent::SentFrame;
use crate::helper::RandomGenerator;
use crate::types::Space;
use crate::wire::{Frame, crypto_header_len, write_crypto_header};

/// Pieces that have never been sent, in the order in which they are to be.
#[derive(Debug, Default)]
pub(super) struct Scatter {
    /// The next one is the last.
    pieces: Vec<Range<u64>>,
    datagrams: usize,
}

impl Scatter {
    /// None.
    pub(super) const EMPTY: Self = Self { pieces: Vec::new(), datagrams: 0 };

    /// Cuts so many bytes into pieces.
    pub(super) fn new(len: u64, random: &mut dyn RandomGenerator) -> Self {
        let below = |random: &mut dyn RandomGenerator, limit: u64| random.next_u64() % limit;
        let mut cuts = vec![0, len];
        if len > 1 {
            let wanted = MIN_CUTS + below(random, MAX_CUTS - MIN_CUTS + 1);
            cuts.extend((0..wanted).map(|_| 1 + below(random, len - 1)));
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces: Vec<_> = cuts.windows(2).map(|ends| ends[0]..ends[1]).collect();
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, below(random, last as u64 + 1) as usize);
        }
        Self { pieces, datagrams: DATAGRAMS }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many pieces the next datagram has, if there is room.
    fn share(&mut self) -> usize {
        let share = self.pieces.len().div_ceil(self.datagrams.max(1));
        self.datagrams = self.datagrams.saturating_sub(1);
        share
    }

    /// The next piece, or what of it fits: at most so many bytes.
    fn take(&mut self, max: usize) -> Option<Range<u64>> {
        let piece = self.pieces.last_mut()?;
        let end = piece.end.min(piece.start + max as u64);
        let taken = piece.start..end;
        piece.start = end;
        if piece.is_empty() {
            self.pieces.pop();
        }
        (!taken.is_empty()).then_some(taken)
    }

    fn next_start(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.start)
    }
}

impl Connection {
    /// From now on the ClientHello that waits to be sent is in pieces.
    pub(super) fn scatter_client_hello(&mut self) {
        if self.config.chaos_protection {
            self.spaces[Space::Initial as usize].crypto.scatter(&mut *self.random);
        }
    }

    /// Writes this datagram's share of the pieces.
    pub(super) fn write_scattered(&mut self, builder: &mut PacketBuilder<'_>) {
        let crypto = &mut self.spaces[Space::Initial as usize].crypto;
        let share = crypto.scatter_mut().share();
        // What may go into PADDING: at least half of the room stays for the pieces.
        let mut spare = builder.remaining() as u64 / 2;
        for _ in 0..share {
            let chance = self.random.next_u64();
            if chance & 1 == 1 {
                builder.frame(&Frame::Ping, None);
            }
            let gap = (chance >> 1) % (spare / 2 + 1);
            spare -= gap;
            if gap > 0 {
                builder.frame(&Frame::Padding(gap as usize), None);
            }
            let header = crypto_header_len(crypto.scatter_mut().next_start(), builder.remaining());
            let room = builder.remaining().saturating_sub(header);
            let Some(range) = crypto.scatter_mut().take(room) else { return };
            let len = (range.end - range.start) as usize;
            let writer = builder.writer();
            write_crypto_header(writer, range.start, len);
            crypto.copy(&range, &mut writer.unfilled()[..len]);
            writer.advance(len);
            builder.record(SentFrame::Crypto { start: range.start, end: range.end }, true);
        }
    }
}

/// Over how many datagrams the pieces go, if they fit.
const DATAGRAMS: usize = 2;
/// In how many places a ClientHello is cut.
const MIN_CUTS: u64 = 3;
const MAX_CUTS: u64 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;

    #[test]
    fn pieces_cover_everything_once_in_no_order() {
        let mut sorted = 0;
        for seed in 0..200 {
            let mut random = SeededRandom::new(seed);
            let len = 1 + seed * 9;
            let mut scatter = Scatter::new(len, &mut random);
            let mut taken: Vec<_> = std::iter::from_fn(|| scatter.take(300)).collect();
            sorted += usize::from(taken.is_sorted_by_key(|range| range.start));
            taken.sort_by_key(|range| range.start);
            assert_eq!((taken[0].start, taken[taken.len() - 1].end), (0, len), "seed {seed}");
            assert!(taken.windows(2).all(|pair| pair[0].end == pair[1].start), "seed {seed}");
            assert!(scatter.is_empty());
        }
        assert!(sorted < 60, "{sorted} of 200");
    }
}
