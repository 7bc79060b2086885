//! Writing frames (RFC 9000 §19, RFC 9221 §4): whole ones, and for the hot path only the headers of
//! those whose data is pulled into the packet by someone else. A frame's length and its bytes come
//! from the same code, so they cannot disagree.

use super::ack::ecn_fields;
use super::cursor::Writer;
use super::frame::{Frame, frame_type as ty, stream_type};
use super::varint::varint_len;
use crate::types::StreamId;

impl Frame<'_> {
    /// Writes the frame, in [`Frame::encoded_len`] bytes of room that the caller has checked.
    pub fn write(&self, w: &mut Writer<'_>) {
        self.emit(w);
    }

    /// How many bytes [`Frame::write`] writes.
    pub fn encoded_len(&self) -> usize {
        let mut count = Count(0);
        self.emit(&mut count);
        count.0
    }

    fn emit(&self, to: &mut impl Sink) {
        match *self {
            Self::Padding(run) => return to.zeros(run),
            Self::Stream { id, offset, fin, data } => {
                emit_stream_header(to, id, offset, Some(data.len()), fin);
                return to.bytes(data);
            }
            _ => to.varint(self.frame_type()),
        }
        match *self {
            Self::Padding(_)
            | Self::Stream { .. }
            | Self::Ping
            | Self::HandshakeDone
            | Self::ImmediateAck => {}
            Self::Ack(ack) => {
                let (fields, ranges) = ack.raw_parts();
                to.varints(&fields);
                to.bytes(ranges);
                if let Some(ecn) = ack.ecn {
                    to.varints(&ecn_fields(ecn));
                }
            }
            Self::ResetStream { id, error, final_size } => {
                to.varints(&[id.as_u64(), error, final_size]);
            }
            Self::ResetStreamAt { id, error, final_size, reliable_size } => {
                to.varints(&[id.as_u64(), error, final_size, reliable_size]);
            }
            Self::StopSending { id, error: value }
            | Self::MaxStreamData { id, max: value }
            | Self::StreamDataBlocked { id, limit: value } => to.varints(&[id.as_u64(), value]),
            Self::Crypto { offset, data } => {
                to.varint(offset);
                to.prefixed(data);
            }
            Self::NewToken { token: data } | Self::Datagram { data, has_length: true } => {
                to.prefixed(data);
            }
            Self::Datagram { data, .. } => to.bytes(data),
            Self::MaxData(value)
            | Self::DataBlocked(value)
            | Self::MaxStreams { max: value, .. }
            | Self::StreamsBlocked { limit: value, .. }
            | Self::RetireConnectionId { sequence: value } => to.varint(value),
            Self::NewConnectionId { sequence, retire_prior_to, id, reset_token } => {
                to.varints(&[sequence, retire_prior_to]);
                to.bytes(&[id.len() as u8]);
                to.bytes(id.as_bytes());
                to.bytes(&reset_token.0);
            }
            Self::AckFrequency(ask) => {
                to.varints(&[ask.sequence, ask.threshold, ask.max_ack_delay, ask.reordering]);
            }
            Self::PathChallenge(data) | Self::PathResponse(data) => to.bytes(&data),
            Self::ConnectionClose(close) => {
                to.varint(close.code);
                if !close.application {
                    to.varint(close.frame_type);
                }
                to.prefixed(close.reason);
            }
        }
    }
}

/// Writes the header of a STREAM frame; the caller appends the data. Without `len` the data runs to
/// the end of the packet (no LEN bit), and nothing may follow it.
#[inline]
pub fn write_stream_header(
    w: &mut Writer<'_>,
    id: StreamId,
    offset: u64,
    len: Option<usize>,
    fin: bool,
) {
    emit_stream_header(w, id, offset, len, fin);
}

/// How many bytes [`write_stream_header`] writes.
#[inline]
pub fn stream_header_len(id: StreamId, offset: u64, len: Option<usize>) -> usize {
    let mut count = Count(0);
    emit_stream_header(&mut count, id, offset, len, false);
    count.0
}

/// Writes the header of a CRYPTO frame; the caller appends `len` bytes of data.
#[inline]
pub fn write_crypto_header(w: &mut Writer<'_>, offset: u64, len: usize) {
    w.u8(ty::CRYPTO as u8);
    w.varint(offset);
    w.varint(len as u64);
}

/// How many bytes [`write_crypto_header`] writes.
#[inline]
pub const fn crypto_header_len(offset: u64, len: usize) -> usize {
    1 + varint_len(offset) + varint_len(len as u64)
}

/// Writes the header of a DATAGRAM frame; the caller appends the data. Without `len` it runs to the
/// end of the packet.
#[inline]
pub fn write_datagram_header(w: &mut Writer<'_>, len: Option<usize>) {
    match len {
        Some(len) => {
            w.u8(ty::DATAGRAM_LEN as u8);
            w.varint(len as u64);
        }
        None => w.u8(ty::DATAGRAM as u8),
    }
}

/// How many bytes [`write_datagram_header`] writes.
#[inline]
pub const fn datagram_header_len(len: Option<usize>) -> usize {
    match len {
        Some(len) => 1 + varint_len(len as u64),
        None => 1,
    }
}

/// The most data that fits in `room` bytes together with its own length prefix. For a STREAM frame
/// in `room` bytes, with `stream_header_len(id, offset, None)` taken off first; 0 also if there is
/// no room for the prefix.
#[inline]
pub fn length_prefixed_room(room: usize) -> usize {
    // With each length of the prefix, the data ends with the room or with what the prefix can say.
    [(1, 63), (2, 16_383), (4, (1 << 30) - 1)]
        .into_iter()
        .map(|(prefix, limit)| room.saturating_sub(prefix).min(limit))
        .fold(room.saturating_sub(8), usize::max)
}

#[inline]
fn emit_stream_header(
    to: &mut impl Sink,
    id: StreamId,
    offset: u64,
    len: Option<usize>,
    fin: bool,
) {
    to.varint(stream_type(offset, len.is_some(), fin));
    to.varint(id.as_u64());
    if offset > 0 {
        to.varint(offset);
    }
    if let Some(len) = len {
        to.varint(len as u64);
    }
}

/// Where a frame goes: into a buffer, or only into a count of bytes.
trait Sink {
    fn bytes(&mut self, bytes: &[u8]);
    fn varint(&mut self, v: u64);
    fn zeros(&mut self, n: usize);

    fn varints(&mut self, values: &[u64]) {
        for &v in values {
            self.varint(v);
        }
    }

    fn prefixed(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes(bytes);
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        Writer::bytes(self, bytes);
    }

    #[inline]
    fn varint(&mut self, v: u64) {
        Writer::varint(self, v);
    }

    fn zeros(&mut self, n: usize) {
        Writer::zeros(self, n);
    }
}

/// Counts what would be written.
struct Count(usize);

impl Sink for Count {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    #[inline]
    fn varint(&mut self, v: u64) {
        self.0 += varint_len(v);
    }

    fn zeros(&mut self, n: usize) {
        self.0 += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FrameIter;

    #[test]
    fn a_stream_header_without_length_leaves_the_rest_of_the_packet_to_data() {
        let id = StreamId::from_raw(68);
        for (offset, fin) in [(0, false), (0, true), (70_000, true)] {
            for len in [None, Some(5)] {
                let mut buf = [0; 32];
                let mut w = Writer::new(&mut buf);
                write_stream_header(&mut w, id, offset, len, fin);
                assert_eq!(w.len(), stream_header_len(id, offset, len));
                w.bytes(b"hello");
                let expected = Frame::Stream { id, offset, fin, data: b"hello" };
                assert!(FrameIter::new(w.written()).eq([Ok(expected)]));
            }
        }
    }

    #[test]
    fn crypto_and_datagram_headers_precede_their_data() {
        let mut buf = [0; 64];
        let mut w = Writer::new(&mut buf);
        write_crypto_header(&mut w, 1000, 3);
        assert_eq!(w.len(), crypto_header_len(1000, 3));
        w.bytes(b"abc");
        write_datagram_header(&mut w, Some(2));
        w.bytes(b"de");
        write_datagram_header(&mut w, None);
        w.bytes(b"fgh");
        let expected = [
            Frame::Crypto { offset: 1000, data: b"abc" },
            Frame::Datagram { data: b"de", has_length: true },
            Frame::Datagram { data: b"fgh", has_length: false },
        ];
        assert!(FrameIter::new(w.written()).eq(expected.map(Ok)));
        assert_eq!((datagram_header_len(Some(2)), datagram_header_len(None)), (2, 1));
    }

    #[test]
    fn the_prefixed_room_is_the_largest_that_fits() {
        for room in (1..200).chain(16_370..16_420) {
            let data = length_prefixed_room(room);
            assert!(varint_len(data as u64) + data <= room, "room {room}");
            assert!(varint_len(data as u64 + 1) + data + 1 > room, "room {room}");
        }
        assert_eq!(length_prefixed_room(0), 0);
    }
}
