//! [`PacketBatch`]: datagrams that came together, as a reader gets them by GRO: by the same way, and
//! of the same size but for the last. What they have in common is asked once for all of them. This
//! file must not know connections.

use bytes::BytesMut;

use crate::packet_reader::ReceivedPacket;
use crate::time::Time;
use crate::types::{Ecn, PathAddress};
use crate::wire::destination_bytes;

/// Datagrams that came together. As an iterator it takes them apart, in the order of arrival.
///
/// ```
/// use bytes::BytesMut;
/// use protoquic_core::{Ecn, PacketBatch, PathAddress, Time};
///
/// let path = PathAddress::new(([10, 0, 0, 1], 4433).into(), ([10, 0, 0, 2], 1234).into());
/// let data = BytesMut::from(&b"onetwothreefour"[..3 + 3 + 2]);
/// let batch = PacketBatch::new(path, Ecn::NotEct, Time::ZERO, data, 3);
/// let lengths: Vec<_> = batch.map(|packet| packet.data.len()).collect();
/// assert_eq!(lengths, [3, 3, 2]);
/// ```
#[derive(Debug)]
pub struct PacketBatch {
    /// Where they were sent to and from.
    pub path: PathAddress,
    /// The ECN codepoint they arrived with.
    pub ecn: Ecn,
    /// When they were read.
    pub received: Time,
    data: BytesMut,
    size: usize,
}

impl PacketBatch {
    /// The datagrams that lie one behind the other in `data`, of `size` bytes each but for the last,
    /// which may be shorter. A size of 0 is taken as 1. Without data there are none: hand an empty
    /// datagram on by itself.
    pub fn new(path: PathAddress, ecn: Ecn, received: Time, data: BytesMut, size: usize) -> Self {
        Self { path, ecn, received, data, size: size.max(1) }
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether exactly one is left.
    pub fn is_single(&self) -> bool {
        (1..=self.size).contains(&self.data.len())
    }

    /// The first datagram; empty if none is left.
    pub fn first(&self) -> &[u8] {
        &self.data[..self.size.min(self.data.len())]
    }

    /// Takes the first datagram and those right behind it that are for the same connection ID, where
    /// IDs in short headers have `id_length` bytes: a server, and who has several connections on one
    /// socket, gets datagrams of several in one batch.
    #[must_use]
    pub fn take_same_destination(&mut self, id_length: usize) -> Self {
        let destination = destination_bytes(self.first(), id_length);
        let mut datagrams = self.data.chunks(self.size);
        let same = datagrams
            .by_ref()
            .take_while(|data| destination_bytes(data, id_length) == destination)
            .count();
        let end = (same.max(1) * self.size).min(self.data.len());
        let data = if end == self.data.len() {
            std::mem::take(&mut self.data) // no further holder of the buffer
        } else {
            self.data.split_to(end)
        };
        Self { data, ..*self }
    }

    /// The datagram that begins at `start`, and where it ends. `None` if nothing does.
    pub(crate) fn datagram_mut(&mut self, start: usize) -> Option<(&mut [u8], usize)> {
        let end = (start + self.size).min(self.data.len());
        (start < end).then(|| (&mut self.data[start..end], end))
    }

    /// Moves bytes to the front, to `place`.
    pub(crate) fn move_bytes(&mut self, from: std::ops::Range<usize>, place: usize) {
        self.data.copy_within(from, place);
    }

    /// Takes the first `len` bytes: some datagrams, whole.
    pub(crate) fn take(&mut self, len: usize) -> BytesMut {
        if len >= self.data.len() {
            std::mem::take(&mut self.data)
        } else {
            self.data.split_to(len)
        }
    }
}

impl Iterator for PacketBatch {
    type Item = ReceivedPacket;

    fn next(&mut self) -> Option<ReceivedPacket> {
        if self.data.is_empty() {
            return None;
        }
        let Self { path, ecn, received, size, .. } = *self;
        Some(ReceivedPacket { path, ecn, received, data: self.take(size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(data: &[u8], size: usize) -> PacketBatch {
        let path = PathAddress::new(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
        PacketBatch::new(path, Ecn::Ect0, Time::from_millis(3), BytesMut::from(data), size)
    }

    fn datagrams(batch: PacketBatch) -> Vec<Vec<u8>> {
        batch.map(|packet| packet.data.to_vec()).collect()
    }

    #[test]
    fn the_last_datagram_may_be_shorter() {
        assert_eq!(datagrams(batch(b"aabbc", 2)), [&b"aa"[..], b"bb", b"c"]);
        assert_eq!(datagrams(batch(b"aabb", 2)), [b"aa", b"bb"]);
        assert!(datagrams(batch(b"", 2)).is_empty() && batch(b"", 2).first().is_empty());
        assert_eq!(datagrams(batch(b"ab", 0)), [b"a", b"b"]);
    }

    #[test]
    fn those_for_one_connection_are_taken_together() {
        // Short headers with one-byte IDs: 7, 7, 8 and, cut off, none.
        let mut all = batch(&[0x40, 7, 1, 0x41, 7, 2, 0x40, 8, 3, 0x40], 3);
        assert_eq!(all.take_same_destination(1).count(), 2);
        assert!(!all.is_single());
        let middle = all.take_same_destination(1);
        assert!(middle.is_single() && all.is_single());
        assert_eq!(datagrams(middle), [[0x40, 8, 3]]);
        assert_eq!(datagrams(all.take_same_destination(1)), [[0x40]]);
        assert!(all.is_empty() && !all.is_single());
    }
}
