//! [`Reader`] and [`Writer`]: cursors over a borrowed buffer. A reader never panics and never moves
//! when a read fails; a writer never writes past its buffer. They know integers and bytes, not
//! packets.

use super::varint::{self, parse, varint_len};
use crate::types::ConnectionId;

/// Reads from the front of a byte slice. Every method returns `None`, and leaves the position where
/// it was, if the slice ends too early.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// How many bytes have been read.
    #[inline]
    pub const fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    /// How many bytes are left.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left, without reading them.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A big-endian 16-bit integer.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian 32-bit integer.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable-length integer, of any of its encodings (RFC 9000 §16).
    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        let (value, len) = parse(self.rest)?;
        self.rest = self.rest.get(len..)?;
        Some(value)
    }

    /// The next `n` bytes.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The next `N` bytes, copied.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    /// All bytes that are left.
    #[inline]
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// A varint and as many bytes as it says.
    #[inline]
    pub fn varint_bytes(&mut self) -> Option<&'a [u8]> {
        let (len, prefix) = parse(self.rest)?;
        let end = usize::try_from(len).ok()?.checked_add(prefix)?;
        let (whole, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(&whole[prefix..])
    }

    /// A connection ID of `len` bytes; `None` also if that is more than
    /// [`ConnectionId::MAX_LEN`].
    #[inline]
    pub fn connection_id(&mut self, len: usize) -> Option<ConnectionId> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        let id = ConnectionId::new(bytes)?;
        self.rest = rest;
        Some(id)
    }
}

/// Writes to the front of a byte slice.
///
/// The caller asks [`Writer::remaining`] before writing: running over the end is a bug of ours,
/// which a debug build reports with a panic. A release build drops that write and all later ones
/// and says so in [`Writer::has_overflowed`]; it never panics.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    position: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `buf`.
    #[inline]
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, position: 0, overflowed: false }
    }

    /// How many bytes have been written; also the offset of the next one.
    #[inline]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How many bytes have been written.
    #[inline]
    pub const fn len(&self) -> usize {
        self.position
    }

    /// Whether nothing has been written.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// How many bytes can still be written.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.buf.len() - self.position
    }

    /// Whether a write was dropped for want of room: what was written must not be sent.
    #[inline]
    pub const fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// What has been written.
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.buf[..self.position]
    }

    /// What has been written, to be changed in place.
    #[inline]
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.buf[..self.position]
    }

    /// Writes one byte.
    #[inline]
    pub fn u8(&mut self, v: u8) {
        self.bytes(&[v]);
    }

    /// Writes a big-endian 16-bit integer.
    #[inline]
    pub fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    /// Writes a big-endian 32-bit integer.
    #[inline]
    pub fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    /// Writes the shortest varint of `v`, at most [`super::VARINT_MAX`].
    #[inline]
    pub fn varint(&mut self, v: u64) {
        self.varint_with_len(v, varint_len(v));
    }

    /// Writes `v` as a varint of exactly `len` (1, 2, 4 or 8) bytes, in which it must fit.
    #[inline]
    pub fn varint_with_len(&mut self, v: u64, len: usize) {
        debug_assert!(matches!(len, 1 | 2 | 4 | 8), "no varint has {len} bytes");
        if let Some(room) = self.claim(len) {
            varint::encode(v, len, |bytes| room.copy_from_slice(bytes));
        }
    }

    /// Writes `bytes`.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.claim(bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Writes `n` zero bytes.
    #[inline]
    pub fn zeros(&mut self, n: usize) {
        if let Some(room) = self.claim(n) {
            room.fill(0);
        }
    }

    /// Leaves `n` bytes (zero) to be patched later, and returns their offset.
    #[inline]
    pub fn reserve(&mut self, n: usize) -> usize {
        let at = self.position;
        self.zeros(n);
        at
    }

    /// Replaces the `len` bytes at offset `at`, written or reserved before, with a varint of `v`.
    #[inline]
    pub fn patch_varint(&mut self, at: usize, v: u64, len: usize) {
        debug_assert!(matches!(len, 1 | 2 | 4 | 8), "no varint has {len} bytes");
        let patched = at.checked_add(len).and_then(|end| self.written_mut().get_mut(at..end));
        debug_assert!(patched.is_some(), "the patch at {at} is not in the written part");
        match patched {
            Some(place) => varint::encode(v, len, |bytes| place.copy_from_slice(bytes)),
            None => self.overflowed = true,
        }
    }

    /// The room that is left, to be filled in place and then claimed with [`Writer::advance`].
    #[inline]
    pub fn unfilled(&mut self) -> &mut [u8] {
        &mut self.buf[self.position..]
    }

    /// Counts `n` bytes as written that were put into [`Writer::unfilled`].
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.claim(n);
    }

    /// Moves past the next `n` bytes and lends them; `None`, for good, if there are not so many.
    #[inline]
    fn claim(&mut self, n: usize) -> Option<&mut [u8]> {
        debug_assert!(n <= self.remaining(), "{n} bytes do not fit in {}", self.remaining());
        if self.overflowed || n > self.remaining() {
            self.overflowed = true;
            return None;
        }
        let start = self.position;
        self.position += n;
        Some(&mut self.buf[start..start + n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_does_not_move_the_reader() {
        let mut reader = Reader::new(&[0x05, 1, 2]);
        assert_eq!(reader.varint_bytes(), None);
        assert_eq!(reader.bytes(4), None);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.connection_id(4), None);
        assert_eq!(reader.position(), 0);
        assert_eq!(reader.u16(), Some(0x0501));
        assert_eq!((reader.position(), reader.remaining()), (2, 1));
    }

    #[test]
    fn a_length_of_almost_everything_is_refused() {
        let mut bytes = [0xff; 12];
        assert_eq!(Reader::new(&bytes).varint_bytes(), None);
        bytes[..4].copy_from_slice(&[0xbf, 0xff, 0xff, 0xff]);
        assert_eq!(Reader::new(&bytes).varint_bytes(), None);
    }

    #[test]
    fn connection_ids_over_twenty_bytes_are_refused() {
        assert!(Reader::new(&[1; 30]).connection_id(20).is_some());
        assert!(Reader::new(&[1; 30]).connection_id(21).is_none());
    }

    #[test]
    fn reserved_room_is_patched_later() {
        let mut buf = [0xee; 16];
        let mut writer = Writer::new(&mut buf);
        writer.u8(7);
        let at = writer.reserve(2);
        writer.unfilled()[..3].copy_from_slice(b"abc");
        writer.advance(3);
        writer.patch_varint(at, 3, 2);
        assert_eq!(writer.written(), b"\x07\x40\x03abc");
        assert_eq!(writer.remaining(), 10);
    }

    #[test]
    #[cfg(not(debug_assertions))]
    fn an_overrun_is_dropped_and_remembered() {
        let mut buf = [0; 2];
        let mut writer = Writer::new(&mut buf);
        writer.u32(1);
        writer.u8(1);
        assert!(writer.has_overflowed() && writer.is_empty());
    }
}
