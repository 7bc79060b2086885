//! Writing packet headers (RFC 9000 §17.2, §17.3). The header of a long packet is written before
//! its payload, with room for the Length, which [`patch_length`] fills in. Protecting the header
//! is crypto's work.

use super::cursor::Writer;
use super::header::{FIXED_BIT, KEY_PHASE_BIT, LONG_FORM_BIT, SPIN_BIT};
use super::packet_number;
use super::varint::{self, varint_len};
use super::version::{LongType, Version};
use crate::types::ConnectionId;

/// The largest value of the two-byte Length field: no long packet may have more bytes than this
/// after it, its packet number and tag included.
pub const MAX_LENGTH_FIELD: usize = (1 << 14) - 1;

/// Where the parts of a long header are, counted from the start of the buffer it was written to
/// (not of the packet: a datagram may hold several).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongOffsets {
    /// The first byte of the packet.
    pub start: usize,
    /// The two-byte Length, to be patched.
    pub length_offset: usize,
    /// The packet number.
    pub pn_offset: usize,
    /// Its length, 1 to 4 bytes. The payload follows.
    pub pn_len: usize,
}

impl LongOffsets {
    /// Where the payload begins.
    pub const fn payload_offset(&self) -> usize {
        self.pn_offset + self.pn_len
    }
}

/// How many bytes [`write_long_header`] will write.
pub fn long_header_len(
    ty: LongType,
    destination: &ConnectionId,
    source: &ConnectionId,
    token: &[u8],
    pn_len: usize,
) -> usize {
    let token_len = match ty {
        LongType::Initial => varint_len(token.len() as u64) + token.len(),
        _ => 0,
    };
    1 + 4 + 1 + destination.len() + 1 + source.len() + token_len + 2 + pn_len
}

/// Writes the header of an Initial, 0-RTT or Handshake packet, unprotected, with a zero Length.
///
/// The caller has checked the room, see [`long_header_len`]. `token` is written in Initial packets
/// only. A Retry packet has another layout, see [`super::write_retry`].
#[expect(
    clippy::too_many_arguments,
    reason = "one for each field in the figures of RFC 9000 §17.2, and all are needed"
)]
pub fn write_long_header(
    w: &mut Writer<'_>,
    ty: LongType,
    version: Version,
    destination: &ConnectionId,
    source: &ConnectionId,
    token: &[u8],
    pn: u64,
    pn_len: usize,
) -> LongOffsets {
    debug_assert!(ty != LongType::Retry, "a Retry packet has no packet number");
    let start = w.position();
    w.u8(LONG_FORM_BIT | FIXED_BIT | version.long_type_bits(ty) | pn_len_bits(pn_len));
    w.u32(version.0);
    for id in [destination, source] {
        w.u8(id.len() as u8);
        w.bytes(id.as_bytes());
    }
    if ty == LongType::Initial {
        w.varint(token.len() as u64);
        w.bytes(token);
    }
    let length_offset = w.position();
    w.varint_with_len(0, 2);
    let pn_offset = w.position();
    packet_number::write(w, pn, pn_len);
    LongOffsets { start, length_offset, pn_offset, pn_len }
}

/// Writes the Length of the packet at `offsets` in `buf`, the buffer its header was written to.
/// `packet_end` is where the packet ends in it, AEAD tag included.
pub fn patch_length(buf: &mut [u8], offsets: &LongOffsets, packet_end: usize) {
    let length = packet_end.saturating_sub(offsets.pn_offset);
    debug_assert!(length <= MAX_LENGTH_FIELD, "a Length of {length} does not fit");
    let length = length.min(MAX_LENGTH_FIELD) as u64;
    let field = buf.get_mut(offsets.length_offset..offsets.length_offset + 2);
    debug_assert!(field.is_some(), "the offsets are not of this buffer");
    if let Some(field) = field {
        varint::encode(length, 2, |bytes| field.copy_from_slice(bytes));
    }
}

/// How many bytes [`write_short_header`] will write.
pub const fn short_header_len(destination: &ConnectionId, pn_len: usize) -> usize {
    1 + destination.len() + pn_len
}

/// Writes a short header, unprotected, and returns the offset of its packet number in the writer's
/// buffer. The caller has checked the room, see [`short_header_len`].
#[inline]
pub fn write_short_header(
    w: &mut Writer<'_>,
    destination: &ConnectionId,
    spin: bool,
    key_phase: bool,
    pn: u64,
    pn_len: usize,
) -> usize {
    let spin = if spin { SPIN_BIT } else { 0 };
    let key_phase = if key_phase { KEY_PHASE_BIT } else { 0 };
    w.u8(FIXED_BIT | spin | key_phase | pn_len_bits(pn_len));
    w.bytes(destination.as_bytes());
    let pn_offset = w.position();
    packet_number::write(w, pn, pn_len);
    pn_offset
}

fn pn_len_bits(pn_len: usize) -> u8 {
    (pn_len.clamp(1, packet_number::MAX_LEN) - 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PacketHeader, parse_header};

    fn id(bytes: &[u8]) -> ConnectionId {
        ConnectionId::new(bytes).unwrap()
    }

    #[test]
    fn long_headers_round_trip_when_coalesced() {
        let (to, from) = (id(b"destination"), id(b"src"));
        let mut buf = [0; 200];
        let mut w = Writer::new(&mut buf);
        let mut parts = Vec::new();
        for (ty, token) in [
            (LongType::Initial, &b"a token"[..]),
            (LongType::ZeroRtt, b""),
            (LongType::Handshake, b""),
        ] {
            let at = write_long_header(&mut w, ty, Version::V1, &to, &from, token, 0x1234, 2);
            let len = long_header_len(ty, &to, &from, token, 2);
            assert_eq!(at.payload_offset() - at.start, len);
            w.bytes(&[0xaa; 20]);
            let end = w.position();
            patch_length(w.written_mut(), &at, end);
            parts.push((ty, token, at));
        }
        let mut rest = w.written();
        for (ty, token, at) in parts {
            let Ok(PacketHeader::Long(header)) = parse_header(rest, 0) else {
                panic!("a long header");
            };
            assert_eq!((header.ty, header.token), (ty, token));
            assert_eq!((header.destination, header.source), (to, from));
            assert_eq!(header.pn_offset, at.pn_offset - at.start);
            assert_eq!(header.first_byte & 0x0f, 1, "two bytes of packet number");
            assert_eq!(rest[header.pn_offset..][..2], [0x12, 0x34]);
            rest = &rest[header.packet_len..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn short_headers_round_trip() {
        let to = id(&[5; 8]);
        let mut buf = [0; 40];
        let mut w = Writer::new(&mut buf);
        let pn_offset = write_short_header(&mut w, &to, true, false, 0xab_cdef, 3);
        assert_eq!(w.len(), short_header_len(&to, 3));
        let Ok(PacketHeader::Short(header)) = parse_header(w.written(), 8) else {
            panic!("a short header");
        };
        assert_eq!((header.destination, header.pn_offset), (to, pn_offset));
        assert_eq!(header.first_byte, FIXED_BIT | SPIN_BIT | 2);
    }
}
