//! Sealing and opening packets in place (RFC 9001 §5): AEAD over the payload, header protection
//! over the first byte and the packet number. No allocation, no copy. This file must not know
//! which keys are right.

use rustls::quic::{DirectionalKeys, HeaderProtectionKey, PacketKey};

/// The AEAD tag of every QUIC cipher suite, in bytes (RFC 9001 §5.3).
pub const TAG_LEN: usize = 16;
/// Header protection samples this many bytes (RFC 9001 §5.4.2).
const SAMPLE_LEN: usize = 16;
/// The sample begins so many bytes after the packet number (RFC 9001 §5.4.2).
const SAMPLE_OFFSET: usize = 4;

/// Encrypts a packet whose last [`TAG_LEN`] bytes are room for the tag, and protects its header.
pub fn seal_packet(
    keys: &DirectionalKeys,
    packet: &mut [u8],
    number_offset: usize,
    number_len: usize,
    number: u64,
) {
    seal_packet_with(&*keys.packet, &*keys.header, packet, number_offset, number_len, number);
}

/// As [`seal_packet`], with keys of different ages: a key update leaves header protection alone.
pub(super) fn seal_packet_with(
    key: &dyn PacketKey,
    header_key: &dyn HeaderProtectionKey,
    packet: &mut [u8],
    number_offset: usize,
    number_len: usize,
    number: u64,
) {
    let payload_offset = number_offset + number_len;
    let (header, rest) = packet.split_at_mut(payload_offset);
    let (payload, tag_room) = rest.split_at_mut(rest.len() - TAG_LEN);
    let tag = key
        .encrypt_in_place(number, header, payload)
        .expect("an AEAD seals any packet that fits a datagram");
    match (tag_room.first_chunk_mut::<TAG_LEN>(), tag.as_ref().first_chunk()) {
        (Some(room), Some(tag)) => *room = *tag, // no call for 16 bytes
        _ => tag_room.copy_from_slice(tag.as_ref()),
    }
    let (before, sampled) = packet.split_at_mut(number_offset + SAMPLE_OFFSET);
    let (first, rest) = before.split_at_mut(1);
    let number = &mut rest[number_offset - 1..number_offset - 1 + number_len];
    header_key
        .encrypt_in_place(&sampled[..SAMPLE_LEN], &mut first[0], number)
        .expect("a built packet has room for the sample");
}

/// Removes header protection in place. The first byte, and the packet number with its length;
/// `None` if the packet is too short to be sampled.
pub fn unprotect_header(
    key: &dyn HeaderProtectionKey,
    packet: &mut [u8],
    number_offset: usize,
) -> Option<(u8, u64, usize)> {
    if packet.len() < number_offset + SAMPLE_OFFSET + SAMPLE_LEN {
        return None;
    }
    let (before, sampled) = packet.split_at_mut(number_offset + SAMPLE_OFFSET);
    let (first, rest) = before.split_at_mut(1);
    let number = &mut rest[number_offset - 1..];
    key.decrypt_in_place(&sampled[..SAMPLE_LEN], &mut first[0], number).ok()?;
    let len = usize::from(first[0] & 0x03) + 1;
    let truncated = number[..len].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((first[0], truncated, len))
}

/// Decrypts a packet's payload in place. Its length without the tag, or `None` if it is not
/// authentic.
pub fn open_payload(
    key: &dyn PacketKey,
    packet: &mut [u8],
    payload_offset: usize,
    number: u64,
) -> Option<usize> {
    if packet.len() < payload_offset + TAG_LEN {
        return None;
    }
    let (header, payload) = packet.split_at_mut(payload_offset);
    key.decrypt_in_place(number, header, payload).ok().map(<[u8]>::len)
}
