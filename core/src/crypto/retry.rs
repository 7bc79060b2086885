//! The integrity tag of Retry packets (RFC 9001 §5.8): not a secret, but proof that the sender saw
//! the client's Initial.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::types::ConnectionId;
use crate::wire::Version;

/// The tag for a Retry packet that answers an Initial to `original`.
pub fn retry_integrity_tag(version: Version, original: &ConnectionId, retry: &[u8]) -> [u8; 16] {
    let (key, nonce) = match version {
        Version::V2 => (KEY_V2, NONCE_V2),
        _ => (KEY_V1, NONCE_V1),
    };
    let key = UnboundKey::new(&AES_128_GCM, &key).expect("the key has AES-128's length");
    let mut pseudo = Vec::with_capacity(1 + original.len() + retry.len());
    pseudo.push(original.len() as u8);
    pseudo.extend_from_slice(original.as_bytes());
    pseudo.extend_from_slice(retry);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = LessSafeKey::new(key)
        .seal_in_place_separate_tag(nonce, Aad::from(&pseudo[..]), &mut [])
        .expect("an AEAD seals an empty text");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Whether a received Retry packet's tag is right.
pub fn retry_tag_is_valid(
    version: Version,
    original: &ConnectionId,
    retry: &[u8],
    tag: &[u8; 16],
) -> bool {
    retry_integrity_tag(version, original, retry) == *tag
}

/// RFC 9001 §5.8
const KEY_V1: [u8; 16] = [
    0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
];
const NONCE_V1: [u8; 12] = [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
/// RFC 9369 §3.3.3
const KEY_V2: [u8; 16] = [
    0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92,
];
const NONCE_V2: [u8; 12] = [0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a];
