//! The layout of a Retry packet (RFC 9000 §17.2.5). Its integrity tag is computed and verified by
//! crypto, and its token is sealed there; here both are bytes.

use super::header::{FIXED_BIT, LONG_FORM_BIT};
use super::version::{LongType, Version};
use crate::helper::RandomGenerator;
use crate::types::ConnectionId;

/// The length of the Retry integrity tag in bytes (RFC 9001 §5.8).
pub const RETRY_TAG_LEN: usize = 16;

/// Appends a Retry packet without its tag to `out`, and returns its length so far. The caller
/// appends the [`RETRY_TAG_LEN`] bytes of the tag over the original destination connection ID and
/// what was written here.
///
/// `destination` is the source connection ID of the client's Initial; `source` is the one the
/// client has to use next, and must differ from the Initial's destination (RFC 9000 §17.2.5.1).
/// `token` must not be empty.
pub fn write_retry(
    out: &mut Vec<u8>,
    version: Version,
    destination: &ConnectionId,
    source: &ConnectionId,
    token: &[u8],
    random: &mut dyn RandomGenerator,
) -> usize {
    debug_assert!(!token.is_empty(), "clients discard a Retry without a token");
    let start = out.len();
    // The low four bits are unused; the server sets them to an arbitrary value (RFC 9000 §17.2.5).
    let unused = random.next_u64() as u8 & 0x0f;
    out.push(LONG_FORM_BIT | FIXED_BIT | version.long_type_bits(LongType::Retry) | unused);
    out.extend_from_slice(&version.0.to_be_bytes());
    for id in [destination, source] {
        out.push(id.len() as u8);
        out.extend_from_slice(id.as_bytes());
    }
    out.extend_from_slice(token);
    out.len() - start
}

/// A Retry packet's bytes before the tag, and the tag; `None` if it is too short for one.
pub(super) fn split_tag(packet: &[u8]) -> Option<(&[u8], [u8; RETRY_TAG_LEN])> {
    packet.split_last_chunk().map(|(rest, tag)| (rest, *tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;
    use crate::wire::{PacketHeader, RetryFields, parse_header};

    #[test]
    fn retry_round_trips() {
        let id = |bytes: &[u8]| ConnectionId::new(bytes).unwrap();
        let (to, from) = (id(b"client"), id(b"a new one"));
        let mut out = Vec::new();
        let mut random = SeededRandom::new(3);
        let len = write_retry(&mut out, Version::V1, &to, &from, b"token", &mut random);
        let without_tag = out.clone();
        assert_eq!(len, without_tag.len());
        out.extend_from_slice(&[9; RETRY_TAG_LEN]);
        let Ok(PacketHeader::Long(header)) = parse_header(&out, 0) else {
            panic!("a Retry packet");
        };
        assert_eq!((header.ty, header.packet_type()), (LongType::Retry, None));
        assert_eq!((header.destination, header.source), (to, from));
        assert_eq!(header.packet_len, out.len());
        let expected =
            RetryFields { token: b"token", without_tag: &without_tag, tag: [9; RETRY_TAG_LEN] };
        assert_eq!(header.retry, Some(expected));
    }

    #[test]
    fn the_example_of_rfc_9001_parses() {
        // RFC 9001 Appendix A.4
        let packet = b"\xff\x00\x00\x00\x01\x00\x08\xf0\x67\xa5\x50\x2a\x42\x62\xb5token\
            \x04\xa2\x65\xba\x2e\xff\x4d\x82\x90\x58\xfb\x3f\x0f\x24\x96\xba";
        let Ok(PacketHeader::Long(header)) = parse_header(packet, 0) else {
            panic!("a Retry packet");
        };
        let retry = header.retry.expect("it is a Retry");
        assert_eq!((retry.token, retry.tag[0]), (&b"token"[..], 0x04));
    }
}
