//! The capsules on a session's CONNECT stream: CLOSE_WEBTRANSPORT_SESSION and
//! DRAIN_WEBTRANSPORT_SESSION (draft-ietf-webtrans-http3-07 §4.6, §5). Only formats.

use bytes::{BufMut, Bytes, BytesMut};

use crate::http::capsule::{Capsule, CapsuleReader};

/// CLOSE_WEBTRANSPORT_SESSION.
pub(super) const CLOSE: u64 = 0x2843;

/// DRAIN_WEBTRANSPORT_SESSION.
pub(super) const DRAIN: u64 = 0x78ae;

/// The longest reason of a close, in bytes (§5).
pub(super) const MAX_REASON: usize = 1024;

/// Finds them.
pub(super) fn reader() -> CapsuleReader {
    CapsuleReader::new(&[CLOSE, DRAIN], 4 + MAX_REASON as u64)
}

/// Says that the session ends. The reason is at most [`MAX_REASON`] bytes.
pub(super) fn close(code: u32, reason: &str) -> Bytes {
    let mut value = BytesMut::with_capacity(4 + reason.len());
    value.put_u32(code);
    value.put_slice(reason.as_bytes());
    Capsule { kind: CLOSE, value: value.freeze() }.encode()
}

/// Says that the session should end soon.
pub(super) fn drain() -> Bytes {
    Capsule { kind: DRAIN, value: Bytes::new() }.encode()
}

/// The code and the reason of a close; `None` if there is no room for a code.
pub(super) fn parse_close(value: &[u8]) -> Option<(u32, String)> {
    let (code, reason) = value.split_first_chunk()?;
    Some((u32::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned()))
}
