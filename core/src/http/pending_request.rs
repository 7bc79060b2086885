//! [`PendingRequest`]: a client's request before it has a stream.

use http::{Method, Request, header};

use super::body::Body;
use super::error::ExchangeError;
use super::exchange::parse_length;
use super::headers::request_fields;
use super::response_handler::ResponseHandler;

/// A request that has no stream yet.
pub(super) struct PendingRequest {
    pub(super) head: Request<()>,
    pub(super) body: Body,
    pub(super) handler: Box<dyn ResponseHandler>,
    /// The server would not serve it in early data.
    pub(super) was_too_early: bool,
}

impl PendingRequest {
    /// Checks a request and adds what it lacks.
    pub(super) fn prepare(
        request: Request<impl Into<Body>>,
        handler: Box<dyn ResponseHandler>,
    ) -> Result<Self, ExchangeError> {
        let (parts, body) = request.into_parts();
        let mut head = Request::from_parts(parts, ());
        let body = body.into();
        let length = body.content_length().filter(|_| *head.method() != Method::CONNECT);
        if let Some(length) = length.filter(|len| *len > 0 || expects_body(head.method())) {
            let headers = head.headers_mut();
            headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        if let Some(value) = head.headers().get(header::CONTENT_LENGTH) {
            parse_length(value)?;
        }
        request_fields(&head)?;
        Ok(Self { head, body, handler, was_too_early: false })
    }
}

/// Whether a request of this method says content-length even if it has no body (RFC 9110 §8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}
