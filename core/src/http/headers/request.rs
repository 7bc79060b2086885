//! Requests from their field sections (RFC 9114 §4.3.1).

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version, header, uri};

use super::section::{Kind, Section, malformed};
use crate::http::connect::Protocol;
use crate::http::error::Fault;
use crate::qpack::Field;

/// A request's head, and what it says about its body.
#[derive(Debug)]
pub(in crate::http) struct RequestHead {
    /// The request. Its URI is absolute, but for CONNECT.
    pub(in crate::http) request: Request<()>,
    pub(in crate::http) content_length: Option<u64>,
}

/// Validates a request's header section.
pub(in crate::http) fn parse_request(fields: Vec<Field>) -> Result<RequestHead, Fault> {
    let mut section = Section::parse(Kind::Request, fields)?;
    let method = section.method.take().ok_or_else(|| Fault::message("no :method"))?;
    let method =
        Method::from_bytes(&method).map_err(|_| malformed("an invalid :method", &method))?;
    let protocol = match section.protocol.take() {
        Some(name) => {
            let name = std::str::from_utf8(&name).ok().and_then(Protocol::new);
            Some(name.ok_or_else(|| Fault::message("an invalid :protocol"))?)
        }
        None => None,
    };
    let uri = match (method == Method::CONNECT, &protocol) {
        (true, None) => connect_uri(&mut section)?,
        // RFC 8441 §4: an extended CONNECT has all that other requests have.
        (true, Some(_)) | (false, None) => absolute_uri(&method, &mut section)?,
        (false, Some(_)) => return Err(Fault::message(":protocol without CONNECT")),
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_3;
    *request.headers_mut() = section.headers;
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(protocol);
    }
    Ok(RequestHead { request, content_length: section.content_length })
}

/// RFC 9114 §4.4: CONNECT has an authority and neither scheme nor path.
fn connect_uri(section: &mut Section) -> Result<Uri, Fault> {
    if section.scheme.is_some() || section.path.is_some() {
        return Err(Fault::message("CONNECT with :scheme or :path"));
    }
    let authority =
        section.authority.take().ok_or_else(|| Fault::message("CONNECT without :authority"))?;
    let mut parts = uri::Parts::default();
    parts.authority = Some(parse_authority(&authority)?);
    Uri::from_parts(parts).map_err(|_| Fault::message("an invalid target of CONNECT"))
}

fn absolute_uri(method: &Method, section: &mut Section) -> Result<Uri, Fault> {
    let scheme = section.scheme.take().ok_or_else(|| Fault::message("no :scheme"))?;
    // RFC 3986 §3.1
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(malformed("an invalid :scheme", &scheme));
    }
    let scheme =
        Scheme::try_from(&*scheme).map_err(|_| malformed("an invalid :scheme", &scheme))?;
    let path = section.path.take().ok_or_else(|| Fault::message("no :path"))?;
    let mut parts = uri::Parts::default();
    parts.authority = Some(authority_or_host(section)?);
    parts.scheme = Some(scheme);
    parts.path_and_query = Some(parse_path(method, &path)?);
    Uri::from_parts(parts).map_err(|_| Fault::message("an invalid target"))
}

/// RFC 9114 §4.3.1: one of :authority and host; if both, equal; neither empty.
fn authority_or_host(section: &mut Section) -> Result<Authority, Fault> {
    let host = section.headers.get(header::HOST);
    let authority = match (section.authority.take(), host) {
        (Some(authority), Some(host)) if authority != host.as_bytes() => {
            return Err(malformed("a host that is not the :authority:", host.as_bytes()));
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => Bytes::copy_from_slice(host.as_bytes()),
        (None, None) => return Err(Fault::message("neither :authority nor host")),
    };
    parse_authority(&authority)
}

fn parse_authority(authority: &Bytes) -> Result<Authority, Fault> {
    // RFC 9114 §4.3.1: no user information. Authority::from_maybe_shared refuses an empty one.
    if authority.contains(&b'@') {
        return Err(malformed("user information in :authority", authority));
    }
    Authority::from_maybe_shared(authority.clone())
        .map_err(|_| malformed("an invalid :authority", authority))
}

/// RFC 9114 §4.3.1: a path with its query, not empty; `*` for OPTIONS; never a fragment.
fn parse_path(method: &Method, path: &Bytes) -> Result<PathAndQuery, Fault> {
    let asterisk = *method == Method::OPTIONS && **path == b"*"[..];
    if (!path.starts_with(b"/") && !asterisk) || path.contains(&b'#') {
        return Err(malformed("an invalid :path", path));
    }
    PathAndQuery::from_maybe_shared(path.clone()).map_err(|_| malformed("an invalid :path", path))
}
