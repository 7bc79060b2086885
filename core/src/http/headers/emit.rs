//! Our messages as lists of fields, pseudo-header fields first, and the refusal of what cannot be
//! said in HTTP/3 (RFC 9114 §4.2, §4.3).

use http::{HeaderMap, Method, Request, StatusCode, header};
use smallvec::SmallVec;

use super::is_connection_specific;
use crate::http::connect::Protocol;
use crate::http::error::ExchangeError;
use crate::qpack::FieldRef;

/// The fields of a section, borrowed from the message.
pub(in crate::http) type FieldList<'a> = SmallVec<[FieldRef<'a>; 16]>;

/// A request's header section. Its URI must be absolute; that of a CONNECT without
/// [`Protocol`] `host:port`.
pub(in crate::http) fn request_fields<T>(
    request: &Request<T>,
) -> Result<FieldList<'_>, ExchangeError> {
    let uri = request.uri();
    let protocol = request.extensions().get::<Protocol>();
    match (*request.method() == Method::CONNECT, protocol) {
        (true, None) => return connect_fields(request),
        (false, Some(_)) => return Err(ExchangeError::Invalid("only CONNECT has a protocol")),
        _ => {}
    }
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(ExchangeError::Invalid("the URI is not absolute"));
    };
    // RFC 9114 §4.3.1
    if authority.as_str().contains('@') {
        return Err(ExchangeError::Invalid("the URI has user information"));
    }
    let host = request.headers().get(header::HOST);
    if host.is_some_and(|host| host != authority.as_str()) {
        return Err(ExchangeError::Invalid("host is not the URI's authority"));
    }
    let path = uri.path_and_query().map_or("/", |path| match path.as_str() {
        "" => "/",
        path => path,
    });
    let mut fields = FieldList::new();
    fields.push(pseudo(":method", request.method().as_str()));
    fields.push(pseudo(":scheme", scheme));
    fields.push(pseudo(":authority", authority.as_str()));
    fields.push(pseudo(":path", path));
    // :authority says it (RFC 9114 §4.3.1).
    if let Some(protocol) = protocol {
        fields.push(pseudo(":protocol", protocol.as_str()));
    }
    push_headers(&mut fields, request.headers(), Some(&header::HOST))?;
    Ok(fields)
}

/// A response's header section.
pub(in crate::http) fn response_fields<'a>(
    status: &'a StatusCode,
    headers: &'a HeaderMap,
) -> Result<FieldList<'a>, ExchangeError> {
    let mut fields = FieldList::new();
    fields.push(pseudo(":status", status.as_str()));
    push_headers(&mut fields, headers, None)?;
    Ok(fields)
}

/// RFC 9114 §4.4: the method and the authority, with a port, and nothing else in front.
fn connect_fields<T>(request: &Request<T>) -> Result<FieldList<'_>, ExchangeError> {
    let uri = request.uri();
    let authority = uri.authority().filter(|authority| authority.port().is_some());
    let (Some(authority), None, None) = (authority, uri.scheme(), uri.path_and_query()) else {
        return Err(ExchangeError::Invalid("the URI of a CONNECT is host:port"));
    };
    let mut fields = FieldList::new();
    fields.push(pseudo(":method", request.method().as_str()));
    fields.push(pseudo(":authority", authority.as_str()));
    push_headers(&mut fields, request.headers(), Some(&header::HOST))?;
    Ok(fields)
}

/// A trailer section.
pub(in crate::http) fn trailer_fields(
    trailers: &HeaderMap,
) -> Result<FieldList<'_>, ExchangeError> {
    let mut fields = FieldList::new();
    push_headers(&mut fields, trailers, None)?;
    Ok(fields)
}

fn push_headers<'a>(
    fields: &mut FieldList<'a>,
    headers: &'a HeaderMap,
    except: Option<&header::HeaderName>,
) -> Result<(), ExchangeError> {
    for (name, value) in headers {
        if except == Some(name) {
            continue;
        }
        check_header(name, value)?;
        fields.push(FieldRef {
            name: name.as_str().as_bytes(),
            // RFC 9110 §5.5: white space around a value is not part of it.
            value: value.as_bytes().trim_ascii(),
            sensitive: value.is_sensitive(),
        });
    }
    Ok(())
}

/// RFC 9114 §4.2
fn check_header(
    name: &header::HeaderName,
    value: &header::HeaderValue,
) -> Result<(), ExchangeError> {
    let name = name.as_str().as_bytes();
    if is_connection_specific(name) || (name == b"te" && value != "trailers") {
        return Err(ExchangeError::Invalid("a header field of connections"));
    }
    Ok(())
}

fn pseudo<'a>(name: &'a str, value: &'a str) -> FieldRef<'a> {
    FieldRef { name: name.as_bytes(), value: value.as_bytes(), sensitive: false }
}
