//! Frames in datagrams: [`Shards`] cuts a frame into equal pieces and adds parity (Reed-Solomon over
//! the whole frame: any so many pieces as the frame has are enough); [`Fragment`] is what is before
//! each piece on the wire. This file must not know when pieces are sent or what became of them.

use bytes::{BufMut as _, Bytes, BytesMut};
use protoquic::wire::Reader;

use super::wire::{FrameHeader, MAX_HEADER, put_varint};

/// The pieces of a frame, all of one length; the last of the data's is filled up with zeros.
#[derive(Debug)]
pub(super) struct Shards {
    /// The frame's own.
    pub(super) data: Vec<Bytes>,
    /// What was made from them.
    pub(super) parity: Vec<Bytes>,
    cut: Cut,
}

/// How a frame is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The most bytes that a piece may have.
    pub(super) room: usize,
    /// Pieces of parity for each hundred of data, rounded up.
    pub(super) parity: u64,
}

impl Shards {
    /// Cuts a frame. `None` if it cannot be: pieces would be too small, or too many.
    pub(super) fn cut(frame: &Bytes, cut: Cut) -> Option<Self> {
        let room = cut.room & !1; // the code works on pairs of bytes
        if room < MIN_SHARD || frame.is_empty() {
            return None;
        }
        let count = frame.len().div_ceil(room);
        let parity_count = count.checked_mul(usize::try_from(cut.parity).ok()?)?.div_ceil(100);
        if count + parity_count > MAX_SHARDS {
            return None;
        }
        let len = shard_len(frame.len(), count);
        let mut data: Vec<_> = frame.chunks(len).map(|chunk| frame.slice_ref(chunk)).collect();
        if let Some(last) = data.last_mut().filter(|last| last.len() < len) {
            let mut filled = BytesMut::zeroed(len);
            filled[..last.len()].copy_from_slice(last);
            *last = filled.freeze();
        }
        let parity = match parity_count {
            0 => Vec::new(),
            _ => reed_solomon_simd::encode(count, parity_count, &data)
                .ok()?
                .into_iter()
                .map(Bytes::from)
                .collect(),
        };
        Some(Self { data, parity, cut })
    }

    /// Whether they were cut so.
    pub(super) fn is_cut(&self, cut: Cut) -> bool {
        self.cut == cut
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.data.iter().chain(&self.parity).map(Bytes::len).sum()
    }

    /// The datagrams, the frame's own first.
    pub(super) fn datagrams(&self, header: FrameHeader) -> impl Iterator<Item = Bytes> {
        let (data, parity) = (self.data.len() as u64, self.parity.len() as u64);
        (0..).zip(self.data.iter().chain(&self.parity)).map(move |(index, shard)| {
            let mut out = BytesMut::with_capacity(MAX_FRAGMENT_HEADER + shard.len());
            Fragment { header, data, parity, index }.write(&mut out);
            out.put_slice(shard);
            out.freeze()
        })
    }
}

/// What is before a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) header: FrameHeader,
    /// How many pieces the frame has.
    pub(super) data: u64,
    /// How many there are of parity.
    pub(super) parity: u64,
    /// Which this is; parity comes after the data.
    pub(super) index: u64,
}

impl Fragment {
    pub(super) fn write(&self, out: &mut BytesMut) {
        self.header.write(out);
        for value in [self.data, self.parity, self.index] {
            put_varint(out, value);
        }
    }

    /// Reads a datagram: what is before the piece, and the piece. The error is a line for a person.
    pub(super) fn read(datagram: &[u8]) -> Result<(Self, &[u8]), String> {
        let mut reader = Reader::new(datagram);
        let short = || "a datagram that ends within its header".to_owned();
        let header = FrameHeader::read(&mut reader)?.ok_or_else(short)?;
        let mut next = || reader.varint().ok_or_else(short);
        let (data, parity, index) = (next()?, next()?, next()?);
        let shard = reader.rest();
        // What a frame may be cut into: checked before anything is kept of it.
        let most = MAX_SHARDS as u64;
        if data == 0 || data > most || parity > most - data || index >= data + parity {
            return Err(format!("piece {index} of {data} and {parity}, which cannot be"));
        }
        if header.len < data || shard.len() != shard_len(header.len as usize, data as usize) {
            let (len, whole) = (shard.len(), header.len);
            return Err(format!("a piece of {len} bytes, one of {data} of a frame of {whole}"));
        }
        Ok((Self { header, data, parity, index }, shard))
    }
}

/// How long each of `count` pieces is of a frame of `len` bytes: even, as the code wants it.
pub(super) fn shard_len(len: usize, count: usize) -> usize {
    len.div_ceil(count.max(1)).next_multiple_of(2)
}

/// Parity that is asked for beyond this is not made: percent.
pub const MAX_PARITY: u64 = 100;
/// How many pieces a frame may have, parity included; a frame of [`MAX_FRAME`](super::wire::MAX_FRAME)
/// in small packets has fewer.
pub(super) const MAX_SHARDS: usize = 1 << 15;
/// Pieces are no smaller than this, in bytes: packets never are.
const MIN_SHARD: usize = 600;
/// The longest front of a datagram, in bytes.
pub(super) const MAX_FRAGMENT_HEADER: usize = MAX_HEADER + 3 * 4;
