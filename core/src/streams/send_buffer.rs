//! [`SendBuffer`]: what the application wrote and the peer has not acknowledged, by offset
//! (RFC 9000 §2.2). Large writes are kept as the application lent them; small ones are gathered by
//! copying. Data is copied once more, into the packet, and then by offset: nothing else needs to
//! remember it. Reading on from where the last read ended is O(1). It knows nothing of flow control,
//! FIN or frames.

use std::collections::VecDeque;

use bytes::Bytes;

use super::range_set::{RangeSet, Span};
use super::spares::MAX_SPARE_QUEUE;

/// The unacknowledged bytes of one stream.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    pieces: VecDeque<Piece>,
    /// All below are acknowledged and gone.
    released: u64,
    /// All from here on were never sent.
    sent: u64,
    end: u64,
    /// Acknowledged ranges above `released`. Bounded by the packets in flight.
    acked: RangeSet,
    /// Ranges to send again: below `sent`, not acknowledged. Bounded likewise.
    lost: RangeSet,
    /// The piece that was read last.
    cursor: usize,
}

impl SendBuffer {
    /// One past the last byte written.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// One past the last byte ever sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes never sent.
    pub(super) const fn unsent(&self) -> u64 {
        self.end - self.sent
    }

    /// Whether all that was written is acknowledged.
    pub(super) const fn is_acked(&self) -> bool {
        self.released == self.end
    }

    /// The lowest range to send again.
    pub(super) fn first_lost(&self) -> Option<Span> {
        self.lost.first()
    }

    /// Appends `data`.
    pub(super) fn push(&mut self, data: Bytes) {
        let len = data.len() as u64;
        if len == 0 {
            return;
        }
        if !self.gather(&data) {
            let start = self.end;
            self.pieces.push_back(Piece { start, data: Data::new(data) });
        }
        self.end += len;
    }

    /// Appends the last there is, none of it copied.
    pub(super) fn push_message(&mut self, head: Bytes, body: Bytes) {
        for data in [head, body] {
            let (start, len) = (self.end, data.len() as u64);
            if len > 0 {
                self.pieces.push_back(Piece { start, data: Data::Lent(data) });
                self.end += len;
            }
        }
    }

    /// Copies the bytes from `offset` on into `out`; they must be in the buffer.
    pub(super) fn copy(&mut self, offset: u64, out: &mut [u8]) {
        // In bulk the piece that was read last holds all of it.
        if let Some(piece) = self.pieces.get(self.cursor)
            && let Some(from) = offset.checked_sub(piece.start)
            && let Some(data) = piece.data.as_slice().get(from as usize..)
            && let Some(data) = data.get(..out.len())
        {
            out.copy_from_slice(data);
        } else {
            self.copy_pieces(offset, out);
        }
    }

    fn copy_pieces(&mut self, mut offset: u64, mut out: &mut [u8]) {
        let mut at = self.position(offset);
        while !out.is_empty() {
            let piece = &self.pieces[at];
            let from = &piece.data.as_slice()[(offset - piece.start) as usize..];
            let len = from.len().min(out.len());
            out[..len].copy_from_slice(&from[..len]);
            out = &mut out[len..];
            offset += len as u64;
            self.cursor = at;
            at += 1;
        }
    }

    /// Notes that the next `len` new bytes were sent.
    pub(super) fn on_sent(&mut self, len: u64) {
        self.sent += len;
        debug_assert!(self.sent <= self.end, "only what was written is sent");
    }

    /// Notes that the first `len` lost bytes, all of one range, were sent again.
    pub(super) fn on_resent(&mut self, len: u64) {
        if let Some(first) = self.lost.first() {
            self.lost.remove_below(first.start + len);
        }
    }

    /// Notes that the peer has `len` bytes from `offset` on, and lets go of what is not needed.
    pub(super) fn on_acked(&mut self, offset: u64, len: u64) {
        let end = offset + len;
        if !self.lost.is_empty() {
            self.lost.remove(offset, end);
        }
        if offset > self.released {
            self.acked.insert(offset, end);
            return;
        }
        self.released = self.released.max(end);
        // What is now below, and then what follows without a gap.
        self.acked.remove_below(self.released);
        if let Some(next) = self.acked.first()
            && next.start == self.released
        {
            self.released = next.end;
            self.acked.remove_below(self.released);
        }
        self.release();
    }

    /// Marks `len` bytes from `offset` on to be sent again, save those that were acknowledged.
    pub(super) fn on_lost(&mut self, offset: u64, len: u64) {
        let (start, end) = (offset.max(self.released), offset + len);
        if start >= end {
            return;
        }
        self.lost.insert(start, end);
        for acked in self.acked.within(start, end) {
            self.lost.remove(acked.start, acked.end);
        }
    }

    /// Marks all that was sent as never sent. Nothing of it may have been acknowledged.
    pub(super) fn rewind(&mut self) {
        debug_assert_eq!(self.released, 0, "rejected data is never acknowledged");
        self.sent = self.released;
        self.lost.clear();
        self.cursor = 0;
    }

    /// Drops all data: nothing of it will be sent again. Offsets stay.
    pub(super) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.acked.clear();
        self.lost.clear();
        self.cursor = 0;
        self.end = self.sent;
    }

    /// Drops what lies beyond `size`, which is not above the end: it is not sent if it was not, and
    /// not sent again if it was.
    pub(super) fn truncate(&mut self, size: u64) {
        let end = size.max(self.sent);
        while let Some(last) = self.pieces.back_mut()
            && last.end() > end
        {
            if last.start >= end {
                self.pieces.pop_back();
            } else {
                last.data.truncate((end - last.start) as usize);
            }
        }
        self.end = end;
        if size < end {
            self.on_acked(size, end - size);
        }
        self.cursor = 0;
    }

    /// Makes it as new, but for a little memory.
    pub(super) fn retire(&mut self) {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.clear();
        pieces.shrink_to(MAX_SPARE_QUEUE);
        *self = Self { pieces, ..Self::default() };
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.pieces.shrink_to_fit();
        self.acked.shrink();
        self.lost.shrink();
    }

    /// Adds a small write to the last piece, if that has room.
    fn gather(&mut self, data: &Bytes) -> bool {
        match self.pieces.back_mut() {
            Some(Piece { data: Data::Gathered(gathered), .. })
                if data.len() <= SMALL && gathered.len() + data.len() <= GATHERED =>
            {
                gathered.extend_from_slice(data);
                true
            }
            _ => false,
        }
    }

    /// The index of the piece that holds `offset`: the last one read, its successor, or by search.
    fn position(&self, offset: u64) -> usize {
        let holds = |at: usize| {
            let piece = self.pieces.get(at);
            piece.is_some_and(|piece| piece.start <= offset && offset < piece.end())
        };
        if holds(self.cursor) {
            self.cursor
        } else if holds(self.cursor + 1) {
            self.cursor + 1
        } else {
            self.pieces.partition_point(|piece| piece.end() <= offset)
        }
    }

    /// Drops the pieces that are acknowledged as a whole.
    fn release(&mut self) {
        while let Some(front) = self.pieces.front()
            && front.end() <= self.released
        {
            self.pieces.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }
}

/// Bytes at an offset of the stream.
#[derive(Debug)]
struct Piece {
    start: u64,
    data: Data,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.data.as_slice().len() as u64
    }
}

/// Bytes lent by the application, or small writes gathered.
#[derive(Debug)]
enum Data {
    Lent(Bytes),
    Gathered(Vec<u8>),
}

impl Data {
    fn new(data: Bytes) -> Self {
        if data.len() <= SMALL { Self::Gathered(data.to_vec()) } else { Self::Lent(data) }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Lent(data) => data.truncate(len),
            Self::Gathered(data) => data.truncate(len),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Lent(data) => data,
            Self::Gathered(data) => data,
        }
    }
}

/// Writes up to this many bytes are copied, so that a thousand of them do not cost a thousand
/// pieces.
const SMALL: usize = 512;
/// Gathered pieces grow up to this many bytes.
const GATHERED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(writes: &[&'static [u8]]) -> SendBuffer {
        let mut buffer = SendBuffer::default();
        for write in writes {
            buffer.push(Bytes::from_static(write));
        }
        buffer.on_sent(buffer.unsent());
        buffer
    }

    fn read(buffer: &mut SendBuffer, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        buffer.copy(offset, &mut out);
        out
    }

    #[test]
    fn reads_cross_pieces() {
        let mut buffer = buffer(&[&[1; 600], &[2; 3], &[3; 600]]);
        assert_eq!(buffer.pieces.len(), 3);
        assert_eq!(read(&mut buffer, 599, 5), [1, 2, 2, 2, 3]);
        assert_eq!(read(&mut buffer, 0, 1), [1]);
    }

    #[test]
    fn small_writes_are_gathered() {
        let mut buffer = SendBuffer::default();
        (0..10_000).for_each(|_| buffer.push(Bytes::from_static(b"x")));
        assert_eq!(buffer.pieces.len(), 10_000usize.div_ceil(GATHERED));
    }

    #[test]
    fn an_acknowledgement_may_cover_a_range_and_reach_into_the_next() {
        let mut buffer = buffer(&[&[1; 600], &[2; 600], &[3; 600]]);
        buffer.on_acked(100, 200);
        buffer.on_acked(600, 1200);
        buffer.on_acked(0, 700);
        assert!(buffer.pieces.is_empty() && buffer.is_acked());
    }

    #[test]
    fn acknowledged_pieces_are_let_go_in_whatever_order() {
        let mut buffer = buffer(&[&[1; 600], &[2; 600], &[3; 600]]);
        buffer.on_acked(1200, 600);
        buffer.on_acked(600, 600);
        assert_eq!(buffer.pieces.len(), 3);
        buffer.on_acked(0, 600);
        assert!(buffer.pieces.is_empty() && buffer.is_acked());
    }

    #[test]
    fn only_unacknowledged_bytes_are_lost() {
        let mut buffer = buffer(&[&[1; 1000]]);
        buffer.on_acked(200, 100);
        buffer.on_lost(0, 400);
        assert_eq!(buffer.first_lost(), Some(Span { start: 0, end: 200 }));
        buffer.on_resent(200);
        assert_eq!(buffer.first_lost(), Some(Span { start: 300, end: 400 }));
        buffer.on_acked(300, 100);
        assert_eq!(buffer.first_lost(), None);
    }
}
