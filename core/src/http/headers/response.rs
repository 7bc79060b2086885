//! Responses from their field sections (RFC 9114 §4.3.2).

use http::{Method, Response, StatusCode, Version};

use super::section::{Kind, Section, malformed};
use crate::http::error::Fault;
use crate::qpack::Field;

/// A response's head, and how long its body must be, where that is known.
#[derive(Debug)]
pub(in crate::http) struct ResponseHead {
    pub(in crate::http) response: Response<()>,
    pub(in crate::http) body_length: Option<u64>,
}

/// Validates the header section of a response to a request of this method.
pub(in crate::http) fn parse_response(
    method: &Method,
    fields: Vec<Field>,
) -> Result<ResponseHead, Fault> {
    let section = Section::parse(Kind::Response, fields)?;
    let status = section.status.ok_or_else(|| Fault::message("no :status"))?;
    let status =
        StatusCode::from_bytes(&status).map_err(|_| malformed("an invalid :status", &status))?;
    // RFC 9114 §4.5: there is no switching of protocols.
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::message(":status is 101"));
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_3;
    *response.headers_mut() = section.headers;
    // RFC 9114 §4.1.2: these have no content whatever content-length says.
    let body_length = if has_body(method, status) { section.content_length } else { Some(0) };
    Ok(ResponseHead { response, body_length })
}

/// Whether a response of this status makes the stream a tunnel (RFC 9110 §9.3.6).
pub(in crate::http) fn is_tunnel(method: &Method, status: StatusCode) -> bool {
    *method == Method::CONNECT && status.is_success()
}

/// Whether a response may have content (RFC 9110 §6.4.1).
pub(in crate::http) fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD
        && !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}
