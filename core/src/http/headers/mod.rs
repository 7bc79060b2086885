//! Messages and their field sections (RFC 9114 §4.2, §4.3): `http` types on one side, lists of
//! fields on the other. `section` is the one validator of all that comes in; `request` and
//! `response` add what is theirs; `emit` turns our messages into fields. This room must not know
//! streams or compression.

mod emit;
mod request;
mod response;
mod section;
#[cfg(test)]
mod tests;

pub(super) use emit::{request_fields, response_fields, trailer_fields};
pub(super) use request::{RequestHead, parse_request};
pub(super) use response::{has_body, is_tunnel, parse_response};
pub(super) use section::parse_trailers;

/// Fields that belong to a connection and have no place in HTTP/3 (RFC 9114 §4.2).
fn is_connection_specific(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade"
    )
}
