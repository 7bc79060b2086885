//! Error codes of WebTransport streams: an application's 32-bit code on the wire of HTTP/3 and back
//! (draft-ietf-webtrans-http3-07 §4.3). This file knows only numbers.

use crate::http::error::Http3Code;

/// The HTTP/3 code that carries an application's code. The reserved codes of HTTP/3
/// (RFC 9114 §8.1), every 31st, are left out.
///
/// ```
/// use protoquic_core::http::webtransport::{from_http3_code, to_http3_code};
///
/// assert_eq!(to_http3_code(0).0, 0x52e4_a40f_a8db);
/// assert_eq!(from_http3_code(to_http3_code(u32::MAX)), Some(u32::MAX));
/// ```
pub const fn to_http3_code(code: u32) -> Http3Code {
    let code = code as u64;
    Http3Code(FIRST + code + code / 0x1e)
}

/// The application's code in an HTTP/3 code; `None` if there is none in it, as in
/// WEBTRANSPORT_SESSION_GONE.
pub const fn from_http3_code(code: Http3Code) -> Option<u32> {
    let is_reserved = code.0 >= 0x21 && (code.0 - 0x21).is_multiple_of(0x1f);
    if code.0 < FIRST || code.0 > LAST || is_reserved {
        return None;
    }
    let shifted = code.0 - FIRST;
    let code = shifted - shifted / 0x1f;
    // Within 32 bits, for `LAST` is what u32::MAX becomes.
    #[expect(clippy::cast_possible_truncation, reason = "LAST is what u32::MAX becomes")]
    Some(code as u32)
}

/// The first and the last code of WEBTRANSPORT_APPLICATION_ERROR.
const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_codes_survive_the_wire_and_avoid_reserved_codes() {
        let some = (0..5000).chain(u32::MAX - 5000..=u32::MAX);
        for code in some.chain([0x7fff_ffff, 12_345_678]) {
            let wire = to_http3_code(code);
            assert_ne!((wire.0 - 0x21) % 0x1f, 0, "{code} is reserved on the wire");
            assert_eq!(from_http3_code(wire), Some(code));
        }
        assert_eq!(to_http3_code(u32::MAX).0, LAST);
    }

    #[test]
    fn other_codes_are_none_of_the_applications() {
        // FIRST - 1, LAST + 1, a reserved one between them, WEBTRANSPORT_SESSION_GONE, H3_NO_ERROR
        for other in [FIRST - 1, LAST + 1, 0x52e4_a40f_a8f9, 0x170d_7b68, 0x100] {
            assert_eq!(from_http3_code(Http3Code(other)), None, "{other:#x}");
        }
    }
}
