//! [`Section`]: the one validator of received field sections, of requests, responses and trailers
//! (RFC 9114 §4.2, §4.3, §10.3). What is malformed is a stream error H3_MESSAGE_ERROR.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::is_connection_specific;
use crate::http::error::Fault;
use crate::qpack::Field;

/// What a section belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Trailers,
}

/// A validated section: pseudo-header fields apart, the rest as a map.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) method: Option<Bytes>,
    pub(super) scheme: Option<Bytes>,
    pub(super) authority: Option<Bytes>,
    pub(super) path: Option<Bytes>,
    pub(super) protocol: Option<Bytes>,
    pub(super) status: Option<Bytes>,
    pub(super) headers: HeaderMap,
    pub(super) content_length: Option<u64>,
}

impl Section {
    pub(super) fn parse(kind: Kind, fields: Vec<Field>) -> Result<Self, Fault> {
        let mut section = Self::default();
        let mut cookies: Option<BytesMut> = None;
        let mut pseudo_over = false;
        for field in fields {
            if field.name.first() == Some(&b':') {
                if pseudo_over {
                    // RFC 9114 §4.3: all pseudo-header fields come before the others.
                    return Err(malformed("a pseudo-header field after", &field.name));
                }
                section.pseudo(kind, field)?;
                continue;
            }
            pseudo_over = true;
            let name = check_name(&field.name)?;
            let value = check_value(field)?;
            check_allowed(kind, &name, &value)?;
            match name {
                // RFC 9114 §4.2.1: one field for whoever is not HTTP/2 or HTTP/3.
                header::COOKIE => join_cookie(&mut cookies, &value),
                name => section.regular(kind, name, value)?,
            }
        }
        if let Some(cookies) = cookies {
            let value = HeaderValue::from_maybe_shared(cookies.freeze())
                .map_err(|_| malformed("an invalid value of", b"cookie"))?;
            section.insert(header::COOKIE, value)?;
        }
        Ok(section)
    }

    /// RFC 9114 §4.3: only those that are defined for this kind of message, each once.
    fn pseudo(&mut self, kind: Kind, field: Field) -> Result<(), Fault> {
        let slot = match (kind, &*field.name) {
            (Kind::Request, b":method") => &mut self.method,
            (Kind::Request, b":scheme") => &mut self.scheme,
            (Kind::Request, b":authority") => &mut self.authority,
            (Kind::Request, b":path") => &mut self.path,
            (Kind::Request, b":protocol") => &mut self.protocol,
            (Kind::Response, b":status") => &mut self.status,
            _ => return Err(malformed("an undefined pseudo-header field:", &field.name)),
        };
        match slot.replace(field.value) {
            None => Ok(()),
            Some(_) => Err(malformed("a second", &field.name)),
        }
    }

    fn regular(&mut self, kind: Kind, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
        match name {
            header::CONTENT_LENGTH if kind != Kind::Trailers => {
                let length = parse_length(value.as_bytes())
                    .ok_or_else(|| malformed("not a number:", b"content-length"))?;
                if self.content_length.replace(length).is_some() {
                    return Err(malformed("a second", b"content-length"));
                }
            }
            header::HOST if self.headers.contains_key(header::HOST) => {
                return Err(malformed("a second", b"host"));
            }
            _ => {}
        }
        self.insert(name, value)
    }

    fn insert(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Fault> {
        match self.headers.try_append(name, value) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::message("too many header fields")),
        }
    }
}

/// Trailers (RFC 9114 §4.1, §4.3: without pseudo-header fields).
pub(in crate::http) fn parse_trailers(fields: Vec<Field>) -> Result<HeaderMap, Fault> {
    Section::parse(Kind::Trailers, fields).map(|section| section.headers)
}

/// RFC 9114 §4.2: names are tokens in lowercase.
fn check_name(name: &[u8]) -> Result<HeaderName, Fault> {
    if !name.iter().all(|byte| is_lowercase_token(*byte)) {
        return Err(malformed("an invalid field name:", name));
    }
    HeaderName::from_lowercase(name).map_err(|_| malformed("an invalid field name:", name))
}

/// RFC 9114 §10.3, RFC 9110 §5.5: no control characters, no white space at the ends.
fn check_value(field: Field) -> Result<HeaderValue, Fault> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_space(field.value.first()) || is_space(field.value.last()) {
        return Err(malformed("white space around the value of", &field.name));
    }
    let mut value = HeaderValue::from_maybe_shared(field.value)
        .map_err(|_| malformed("an invalid value of", &field.name))?;
    value.set_sensitive(field.sensitive);
    Ok(value)
}

/// RFC 9114 §4.2: nothing that concerns a connection; TE in requests, to say "trailers" only.
fn check_allowed(kind: Kind, name: &HeaderName, value: &HeaderValue) -> Result<(), Fault> {
    let name = name.as_str().as_bytes();
    let te = name == b"te" && (kind != Kind::Request || value != "trailers");
    if te || is_connection_specific(name) {
        return Err(malformed("a field of connections:", name));
    }
    Ok(())
}

fn join_cookie(cookies: &mut Option<BytesMut>, value: &HeaderValue) {
    match cookies {
        None => *cookies = Some(BytesMut::from(value.as_bytes())),
        Some(cookies) => {
            cookies.put_slice(b"; ");
            cookies.put_slice(value.as_bytes());
        }
    }
}

/// RFC 9110 §8.6: digits and nothing else.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// RFC 9110 §5.6.2, without uppercase.
fn is_lowercase_token(byte: u8) -> bool {
    LOWERCASE_TOKEN[usize::from(byte)]
}

static LOWERCASE_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-'
            | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// A malformed message: what is wrong, and the name of the field that is.
pub(super) fn malformed(what: &str, name: &[u8]) -> Fault {
    let shown = &name[..name.len().min(40)];
    Fault::message(format!("{what} {}", shown.escape_ascii()))
}
