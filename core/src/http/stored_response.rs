//! [`StoredResponse`]: a response kept whole beside whatever its handler makes of it; on a client
//! that was asked to, the latest one, and each for a [`ResponseListener`] (Chromium: store_response
//! and QuicClientBase::ResponseListener). This file must not know streams or the session's other
//! state.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};

use super::body::Body;
use super::client::{Http3ClientSession, RequestId};
use super::error::ExchangeError;
use super::exchange::ClientExchange;
use super::response_handler::ResponseHandler;
use crate::session::SessionContext;
use crate::types::StreamId;

/// A response that came whole.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    stream: StreamId,
    head: Response<()>,
    body: Vec<u8>,
    body_len: u64,
    trailers: Option<HeaderMap>,
}

impl StoredResponse {
    /// The stream that carried it.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Its status (Chromium: latest_response_code).
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Its header fields (Chromium: latest_response_header_block).
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Its body, or the first [`MAX_STORED_BODY`] bytes of it (Chromium: latest_response_body).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many bytes its body had.
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Whether [`body`](Self::body) is all of it.
    pub fn is_body_whole(&self) -> bool {
        self.body.len() as u64 == self.body_len
    }

    /// Its trailers; `None` if it had none (Chromium: latest_response_trailers).
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// A piece of the body was read.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.body_len += piece.len() as u64;
        let room = MAX_STORED_BODY.saturating_sub(self.body.len());
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

/// Hears of every response of a session that came whole.
pub trait ResponseListener {
    /// A response is complete. Its handler has been told before.
    fn on_complete_response(&mut self, response: &StoredResponse);
}

/// What a session keeps of responses.
#[derive(Default)]
pub(super) struct ResponseStore {
    keeps_latest: bool,
    latest: Option<StoredResponse>,
    listener: Option<Box<dyn ResponseListener>>,
}

impl std::fmt::Debug for ResponseStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseStore").field("latest", &self.latest).finish_non_exhaustive()
    }
}

impl ResponseStore {
    /// A final response has begun. `None` if nobody wants it kept.
    pub(super) fn begin(
        &self,
        stream: StreamId,
        head: &Response<()>,
    ) -> Option<Box<StoredResponse>> {
        let (body, body_len, trailers) = (Vec::new(), 0, None);
        let wanted = self.keeps_latest || self.listener.is_some();
        wanted.then(|| {
            Box::new(StoredResponse { stream, head: head.clone(), body, body_len, trailers })
        })
    }

    /// It is complete.
    pub(super) fn complete(&mut self, stored: StoredResponse, trailers: Option<HeaderMap>) {
        let stored = StoredResponse { trailers, ..stored };
        if let Some(listener) = &mut self.listener {
            listener.on_complete_response(&stored);
        }
        if self.keeps_latest {
            self.latest = Some(stored);
        }
    }
}

/// Asks for nothing but that the response is stored.
struct Unattended;

impl ResponseHandler for Unattended {
    fn on_response(&mut self, _response: Response<()>, _exchange: &mut ClientExchange<'_>) {}
}

/// Responses kept by the session.
///
/// ```
/// use http::Request;
/// use protoquic_core::SessionContext;
/// use protoquic_core::http::{ExchangeError, Http3ClientSession};
///
/// /// Asks; once [`active_requests`](Http3ClientSession::active_requests) is 0 again, the session's
/// /// `latest_response` is the answer.
/// fn ask(
///     session: &mut Http3ClientSession,
///     cx: &mut SessionContext<'_, Http3ClientSession>,
/// ) -> Result<(), ExchangeError> {
///     session.set_store_response(true);
///     let request = Request::get("https://localhost/").body(());
///     session.send_unattended(cx, request.expect("the request is well formed"))?;
///     Ok(())
/// }
/// ```
impl Http3ClientSession {
    /// Whether the latest response is kept from now on. Off at first: it costs a copy of each body.
    pub fn set_store_response(&mut self, keep: bool) {
        let store = self.responses();
        store.keeps_latest = keep;
        if !keep {
            store.latest = None;
        }
    }

    /// From now on this hears of every response that comes whole.
    pub fn set_response_listener(&mut self, listener: impl ResponseListener + 'static) {
        self.responses().listener = Some(Box::new(listener));
    }

    /// The last response that came whole, if responses are
    /// [stored](Http3ClientSession::set_store_response).
    pub fn latest_response(&self) -> Option<&StoredResponse> {
        self.stored_responses().and_then(|store| store.latest.as_ref())
    }

    /// Sends a request whose response nobody handles: it is only stored, or heard of by the listener.
    /// Otherwise as [`send_request`](Http3ClientSession::send_request).
    pub fn send_unattended(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        request: Request<impl Into<Body>>,
    ) -> Result<RequestId, ExchangeError> {
        self.send_request(cx, request, Box::new(Unattended))
    }
}

/// Notes a piece of body, if the response is kept.
pub(super) fn note(record: &mut Option<Box<StoredResponse>>, piece: &Bytes) {
    if let Some(record) = record {
        record.push(piece);
    }
}

/// So many bytes of a body are stored at most.
pub const MAX_STORED_BODY: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_stored_up_to_its_limit_and_counted_beyond() {
        let store = ResponseStore { keeps_latest: true, ..ResponseStore::default() };
        let head = Response::new(());
        let mut record = store.begin(StreamId::from_raw(0), &head);
        let piece = Bytes::from(vec![7; MAX_STORED_BODY / 2 + 1]);
        note(&mut record, &piece);
        let stored = record.as_ref().expect("it is kept");
        assert!(stored.is_body_whole() && stored.body().len() == piece.len());
        note(&mut record, &piece);
        let stored = record.expect("it is kept");
        assert_eq!((stored.body().len(), stored.is_body_whole()), (MAX_STORED_BODY, false));
        assert_eq!(stored.body_len(), 2 * piece.len() as u64);
    }
}
