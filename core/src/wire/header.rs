//! What a packet shows without keys: connection IDs, version, type, token and length (RFC 8999;
//! RFC 9000 §17). Everything here is unauthenticated. A packet that does not parse is dropped, it
//! is never a connection error; so [`HeaderError`] is not a `TransportError`.

use std::fmt;

use super::cursor::Reader;
use super::frame::PacketType;
use super::retry::{RETRY_TAG_LEN, split_tag};
use super::version::{LongType, Version};
use super::version_negotiation::VersionNegotiation;
use crate::types::ConnectionId;

/// Set in the first byte of every long header (RFC 8999 §5.1).
pub const LONG_FORM_BIT: u8 = 0x80;
/// Set in the first byte of every version 1 packet except Version Negotiation.
pub const FIXED_BIT: u8 = 0x40;
/// The latency spin bit of a short header (RFC 9000 §17.4).
pub const SPIN_BIT: u8 = 0x20;
/// The key phase bit of a short header; protected.
pub const KEY_PHASE_BIT: u8 = 0x04;
/// The two reserved bits of a long header; protected. Once unprotected they must be zero, or it is
/// a PROTOCOL_VIOLATION (RFC 9000 §17.2).
pub const LONG_RESERVED_BITS: u8 = 0x0c;
/// The two reserved bits of a short header; likewise (RFC 9000 §17.3.1).
pub const SHORT_RESERVED_BITS: u8 = 0x18;
/// One less than the length of the packet number; protected.
pub const PACKET_NUMBER_LENGTH_BITS: u8 = 0x03;

/// The first packet of a datagram, as far as it can be read without keys.
#[derive(Clone, Debug)]
pub enum PacketHeader<'a> {
    /// A packet of a supported version with a long header.
    Long(LongHeader<'a>),
    /// A packet with a short header. It runs to the end of the datagram.
    Short(ShortHeader),
    /// A Version Negotiation packet. It runs to the end of the datagram.
    VersionNegotiation(VersionNegotiation<'a>),
    /// A long header of a version that we do not speak. How long the packet is cannot be known.
    UnknownVersion(Invariant<'a>),
}

/// A long header of a supported version (RFC 9000 §17.2).
#[derive(Clone, Debug)]
pub struct LongHeader<'a> {
    /// The first byte, its low four bits still protected.
    pub first_byte: u8,
    /// Which packet this is.
    pub ty: LongType,
    /// The version, which is a supported one.
    pub version: Version,
    /// Where it is going.
    pub destination: ConnectionId,
    /// How the sender wants to be called.
    pub source: ConnectionId,
    /// The token of an Initial packet; empty in all others, and in an Initial without one.
    pub token: &'a [u8],
    /// What a Retry packet, and no other, carries.
    pub retry: Option<RetryFields<'a>>,
    /// Where the protected packet number begins. For a Retry packet, the packet's length.
    pub pn_offset: usize,
    /// Where this packet ends and the next of the datagram begins. Never past the datagram.
    pub packet_len: usize,
}

impl LongHeader<'_> {
    /// Which packet this is, for the rules about frames; `None` for Retry, which has no frames.
    pub const fn packet_type(&self) -> Option<PacketType> {
        match self.ty {
            LongType::Initial => Some(PacketType::Initial),
            LongType::ZeroRtt => Some(PacketType::ZeroRtt),
            LongType::Handshake => Some(PacketType::Handshake),
            LongType::Retry => None,
        }
    }
}

/// The payload of a Retry packet (RFC 9000 §17.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryFields<'a> {
    /// The token to send back. A client discards a Retry in which it is empty.
    pub token: &'a [u8],
    /// The packet up to the tag: what the tag protects, after the original destination
    /// connection ID (RFC 9001 §5.8).
    pub without_tag: &'a [u8],
    /// The integrity tag, not yet verified.
    pub tag: [u8; RETRY_TAG_LEN],
}

/// A short header (RFC 9000 §17.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortHeader {
    /// The first byte, its low five bits still protected.
    pub first_byte: u8,
    /// Where it is going.
    pub destination: ConnectionId,
    /// Where the protected packet number begins.
    pub pn_offset: usize,
}

/// What a long header shows in every version of QUIC (RFC 8999 §5.1): here connection IDs have up
/// to 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invariant<'a> {
    /// The first byte. Only its highest bit means the same in every version.
    pub first_byte: u8,
    /// The version.
    pub version: Version,
    /// Where it is going.
    pub destination: &'a [u8],
    /// How the sender wants to be called.
    pub source: &'a [u8],
    /// Where the version-specific part begins.
    pub end: usize,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is no packet: nothing is left of the datagram.
    Empty,
    /// The first byte is zero: padding after the last coalesced packet. The caller stops here.
    Padding,
    /// The fixed bit is zero (RFC 9000 §17.2, §17.3.1).
    FixedBitZero,
    /// The header, or the length it declares, runs past the datagram.
    Truncated,
    /// A connection ID of a version 1 packet is longer than 20 bytes (RFC 9000 §17.2).
    ConnectionIdTooLong,
    /// A Version Negotiation packet lists no version, or half of one (RFC 8999 §6).
    BadVersionList,
    /// A Retry packet without a token (RFC 9000 §17.2.5.2).
    EmptyRetryToken,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no packet",
            Self::Padding => "padding after the last packet",
            Self::FixedBitZero => "the fixed bit is zero",
            Self::Truncated => "the packet is cut off",
            Self::ConnectionIdTooLong => "a connection ID is longer than 20 bytes",
            Self::BadVersionList => "a Version Negotiation packet with an empty or ragged list",
            Self::EmptyRetryToken => "a Retry packet without a token",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Parses the header of the first packet in `datagram`. A short header says nothing about its
/// connection ID's length: it is `short_id_len`, at most 20.
///
/// For a datagram of several packets, call it again with the bytes from
/// [`LongHeader::packet_len`] on. An error means that the rest of the datagram is dropped.
#[inline]
pub fn parse_header(datagram: &[u8], short_id_len: usize) -> Result<PacketHeader<'_>, HeaderError> {
    let first_byte = *datagram.first().ok_or(HeaderError::Empty)?;
    if first_byte == 0 {
        return Err(HeaderError::Padding);
    }
    // RFC 9000 §17.2, §17.3.1: "Packets containing a zero value for this bit [...] MUST be
    // discarded." Version Negotiation and unknown versions have no such bit.
    let fixed = first_byte & FIXED_BIT != 0;
    match parse_greased_header(datagram, short_id_len)? {
        PacketHeader::Long(_) | PacketHeader::Short(_) if !fixed => Err(HeaderError::FixedBitZero),
        header => Ok(header),
    }
}

/// As [`parse_header`], whatever the fixed bit says: for who has told the peer that it does not mind
/// (RFC 9287 §3). Padding cannot be told from a short header then, but by its connection ID.
#[inline]
pub fn parse_greased_header(
    datagram: &[u8],
    short_id_len: usize,
) -> Result<PacketHeader<'_>, HeaderError> {
    let first_byte = *datagram.first().ok_or(HeaderError::Empty)?;
    if first_byte & LONG_FORM_BIT != 0 {
        return parse_long(datagram);
    }
    let end = short_id_len.checked_add(1).ok_or(HeaderError::Truncated)?;
    let id = datagram.get(1..end).ok_or(HeaderError::Truncated)?;
    Ok(PacketHeader::Short(ShortHeader {
        first_byte,
        destination: ConnectionId::new(id).ok_or(HeaderError::ConnectionIdTooLong)?,
        pn_offset: end,
    }))
}

/// Parses what every version of QUIC agrees on. `None` if this is not a long header, or it is cut
/// off.
#[inline]
pub fn parse_invariant(datagram: &[u8]) -> Option<Invariant<'_>> {
    let mut reader = Reader::new(datagram);
    let first_byte = reader.u8()?;
    if first_byte & LONG_FORM_BIT == 0 {
        return None;
    }
    let version = Version(reader.u32()?);
    let len = usize::from(reader.u8()?);
    let destination = reader.bytes(len)?;
    let len = usize::from(reader.u8()?);
    let source = reader.bytes(len)?;
    Some(Invariant { first_byte, version, destination, source, end: reader.position() })
}

/// The destination connection ID of the first packet in `datagram`, whatever its version: what a
/// datagram is routed by. `None` if it is cut off.
#[inline]
pub fn destination_bytes(datagram: &[u8], short_id_len: usize) -> Option<&[u8]> {
    let (len, rest) = if datagram.first()? & LONG_FORM_BIT == 0 {
        (short_id_len, &datagram[1..])
    } else {
        (usize::from(*datagram.get(5)?), &datagram[6..])
    };
    rest.get(..len)
}

fn parse_long(datagram: &[u8]) -> Result<PacketHeader<'_>, HeaderError> {
    let invariant = parse_invariant(datagram).ok_or(HeaderError::Truncated)?;
    let Invariant { first_byte, version, end, .. } = invariant;
    if version == Version::NEGOTIATION {
        return VersionNegotiation::from_invariant(&invariant, &datagram[end..])
            .map(PacketHeader::VersionNegotiation)
            .ok_or(HeaderError::BadVersionList);
    }
    if !version.is_supported() {
        return Ok(PacketHeader::UnknownVersion(invariant));
    }
    // RFC 9000 §17.2: endpoints that receive a longer one MUST drop the packet.
    let id = |bytes| ConnectionId::new(bytes).ok_or(HeaderError::ConnectionIdTooLong);
    let mut header = LongHeader {
        first_byte,
        ty: version.long_type(first_byte),
        version,
        destination: id(invariant.destination)?,
        source: id(invariant.source)?,
        token: &[],
        retry: None,
        pn_offset: datagram.len(),
        packet_len: datagram.len(),
    };
    if header.ty == LongType::Retry {
        header.retry = Some(parse_retry(datagram, end)?);
    } else {
        parse_length(&mut header, datagram, end)?;
    }
    Ok(PacketHeader::Long(header))
}

/// The token of an Initial packet, and the Length of all but Retry (RFC 9000 §17.2.2).
fn parse_length<'a>(
    header: &mut LongHeader<'a>,
    datagram: &'a [u8],
    start: usize,
) -> Result<(), HeaderError> {
    let mut reader = Reader::new(&datagram[start..]);
    if header.ty == LongType::Initial {
        header.token = reader.varint_bytes().ok_or(HeaderError::Truncated)?;
    }
    let length = reader.varint().ok_or(HeaderError::Truncated)?;
    // Compared as u64, so that a length of 2^62 - 1 cannot wrap on any platform.
    if length > reader.remaining() as u64 {
        return Err(HeaderError::Truncated);
    }
    header.pn_offset = start + reader.position();
    header.packet_len = header.pn_offset + length as usize;
    Ok(())
}

fn parse_retry(datagram: &[u8], start: usize) -> Result<RetryFields<'_>, HeaderError> {
    let (without_tag, tag) = split_tag(datagram).ok_or(HeaderError::Truncated)?;
    let token = without_tag.get(start..).ok_or(HeaderError::Truncated)?;
    // RFC 9000 §17.2.5.2: "A client MUST discard a Retry packet with a zero-length Retry Token".
    if token.is_empty() {
        return Err(HeaderError::EmptyRetryToken);
    }
    Ok(RetryFields { token, without_tag, tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 1 Initial: 4-byte IDs, token "tok", Length 5, five bytes.
    const INITIAL: &[u8] = b"\xc0\x00\x00\x00\x01\x04DDDD\x04SSSS\x03tok\x05\x01\x02\x03\x04\x05";

    fn error(datagram: &[u8]) -> HeaderError {
        parse_header(datagram, 8).expect_err("it is malformed")
    }

    #[test]
    fn an_initial_shows_ids_token_and_length() {
        let mut datagram = INITIAL.to_vec();
        datagram.extend_from_slice(&[0; 7]);
        let Ok(PacketHeader::Long(header)) = parse_header(&datagram, 8) else {
            panic!("an Initial");
        };
        assert_eq!(header.ty, LongType::Initial);
        assert_eq!(header.destination.as_bytes(), b"DDDD");
        assert_eq!(header.source.as_bytes(), b"SSSS");
        assert_eq!(header.token, b"tok");
        assert_eq!(header.packet_len, INITIAL.len());
        assert_eq!(header.pn_offset, INITIAL.len() - 5);
        assert_eq!(error(&datagram[header.packet_len..]), HeaderError::Padding);
        assert_eq!(destination_bytes(&datagram, 0), Some(&b"DDDD"[..]));
    }

    #[test]
    fn a_packet_cut_off_anywhere_is_truncated() {
        for len in 1..INITIAL.len() {
            assert_eq!(error(&INITIAL[..len]), HeaderError::Truncated, "{len} bytes");
        }
        assert_eq!(error(&[]), HeaderError::Empty);
        assert_eq!(error(&[0x40; 8]), HeaderError::Truncated);
    }

    #[test]
    fn a_length_past_the_datagram_is_truncated() {
        let at = INITIAL.len() - 6;
        let mut datagram = INITIAL[..at].to_vec();
        datagram.extend_from_slice(&[0xff; 8]);
        assert_eq!(error(&datagram), HeaderError::Truncated);
    }

    #[test]
    fn packets_without_the_fixed_bit_are_dropped() {
        let mut datagram = INITIAL.to_vec();
        datagram[0] &= !FIXED_BIT;
        assert_eq!(error(&datagram), HeaderError::FixedBitZero);
        assert_eq!(error(&[0x3f; 20]), HeaderError::FixedBitZero);
    }

    #[test]
    fn long_ids_are_dropped_in_version_1_and_shown_in_others() {
        let mut datagram = vec![0xc0, 0, 0, 0, 1, 21];
        datagram.extend_from_slice(&[9; 21]);
        datagram.extend_from_slice(&[0; 30]);
        assert_eq!(error(&datagram), HeaderError::ConnectionIdTooLong);
        datagram[4] = 2;
        let Ok(PacketHeader::UnknownVersion(invariant)) = parse_header(&datagram, 8) else {
            panic!("an unknown version");
        };
        assert_eq!(invariant.destination, &[9; 21]);
        assert_eq!(invariant.source, &[]);
    }

    #[test]
    fn a_short_header_has_the_id_length_we_issued() {
        let Ok(PacketHeader::Short(header)) = parse_header(b"\x41abcdefgh\x00rest", 8) else {
            panic!("a short header");
        };
        assert_eq!(header.destination.as_bytes(), b"abcdefgh");
        assert_eq!(header.pn_offset, 9);
        assert_eq!(parse_header(&[0x40; 40], 21).err(), Some(HeaderError::ConnectionIdTooLong));
    }

    #[test]
    fn a_retry_needs_a_token() {
        let mut datagram = b"\xf0\x00\x00\x00\x01\x00\x01S".to_vec();
        datagram.extend_from_slice(&[7; 16]);
        assert_eq!(error(&datagram), HeaderError::EmptyRetryToken);
        assert_eq!(error(&datagram[..20]), HeaderError::Truncated);
    }
}
