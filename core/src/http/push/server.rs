//! A server's pushes: [`PushInfo`] is what a backend gives (Chromium: PushInfo), [`ServerPushes`]
//! hands out IDs within the client's limit and knows what is under way. Must not know streams'
//! contents: `push_stream` sends them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use http::{HeaderMap, Request, Response, Uri, header};

use super::{PushId, rules};
use crate::http::body::Body;
use crate::http::connection::Http3Connection;
use crate::http::error::{ExchangeError, Http3Code, Http3Error};
use crate::http::exchange::{ServerExchange, add_content_length, parse_length};
use crate::http::frame::{emit, frame_type};
use crate::http::headers::{request_fields, response_fields};
use crate::http::priority;
use crate::http::transport::Transport;
use crate::rare::Blank;
use crate::streams::Priority;
use crate::types::StreamId;

/// A response that the client did not ask for yet, and the request that it answers.
#[derive(Debug)]
pub struct PushInfo {
    /// The request: a GET or HEAD without content, of an absolute URI of an origin that this
    /// server's certificate covers. Its headers matter where the response varies by them.
    pub request: Request<()>,
    /// The response. Its body is not [`Written`](Body::Written): a push has no handler.
    pub response: Response<Body>,
    /// How urgent it is; by default as the request's `priority` header says, or as any response
    /// (RFC 9218). The client may change it.
    pub priority: Option<Priority>,
}

impl PushInfo {
    /// This response to a GET of this URI.
    pub fn get(uri: Uri, response: Response<impl Into<Body>>) -> Self {
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        Self { request, response: response.map(Into::into), priority: None }
    }
}

/// Why something cannot be pushed. No reason to fail the request that it belongs to: the client will
/// ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The client takes no pushes: it has sent no MAX_PUSH_ID.
    NotAllowed,
    /// The client takes no more for now: so many were promised.
    LimitReached(u64),
    /// The client, or this server, is going away.
    GoingAway,
    /// So many promised responses wait for the client to allow streams for them.
    TooManyWaiting(usize),
    /// The request is none that can be promised, for this reason (RFC 9114 §4.6).
    Unfit(&'static str),
    /// The promise cannot be sent on this exchange, or the response not at all.
    Exchange(ExchangeError),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("the client takes no pushes"),
            Self::LimitReached(limit) => {
                write!(f, "the client allowed no more than {limit} pushes")
            }
            Self::GoingAway => f.write_str("no new pushes: the connection is shutting down"),
            Self::TooManyWaiting(count) => write!(f, "{count} pushes wait for a stream already"),
            Self::Unfit(reason) => f.write_str(reason),
            Self::Exchange(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PushError {}

impl From<ExchangeError> for PushError {
    fn from(error: ExchangeError) -> Self {
        Self::Exchange(error)
    }
}

/// A promised response that has no stream yet.
#[derive(Debug)]
pub(super) struct WaitingPush {
    pub(super) id: u64,
    pub(super) method: http::Method,
    pub(super) head: Response<()>,
    pub(super) body: Body,
    pub(super) priority: Priority,
}

/// The pushes of a server's connection.
#[derive(Debug, Default)]
pub(in crate::http) struct ServerPushes {
    /// MAX_PUSH_ID.
    max_id: Option<u64>,
    /// The ID of the next promise.
    next: u64,
    waiting: VecDeque<WaitingPush>,
    open: BTreeMap<u64, StreamId>,
    /// The client has sent GOAWAY.
    is_refused: bool,
}

impl Blank for ServerPushes {
    const BLANK: &'static Self = &Self {
        max_id: None,
        next: 0,
        waiting: VecDeque::new(),
        open: BTreeMap::new(),
        is_refused: false,
    };
}

impl ServerPushes {
    /// Whether nothing is under way.
    pub(in crate::http) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// Whether something waits for a stream.
    pub(in crate::http) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The client allows IDs up to this one.
    pub(in crate::http) fn on_max_push_id(&mut self, id: u64) -> Result<(), Http3Error> {
        // RFC 9114 §7.2.7: it must not shrink.
        if self.max_id.is_some_and(|max| id < max) {
            return Err(id_error(format!("MAX_PUSH_ID falls to {id}")));
        }
        self.max_id = Some(id);
        Ok(())
    }

    /// The next push gets this stream.
    pub(super) fn start_next(&mut self, stream: StreamId) -> Option<WaitingPush> {
        let push = self.waiting.pop_front()?;
        self.open.insert(push.id, stream);
        Some(push)
    }

    /// A push is over in either way.
    pub(super) fn on_over(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Whether one more may be promised.
    fn check(&self) -> Result<(), PushError> {
        // RFC 9114 §5.2: no new pushes after a GOAWAY of the client.
        if self.is_refused {
            return Err(PushError::GoingAway);
        }
        // RFC 9114 §4.6, §7.2.5: none without MAX_PUSH_ID, none above it.
        match self.max_id {
            None => return Err(PushError::NotAllowed),
            Some(max) if self.next > max => return Err(PushError::LimitReached(self.next)),
            Some(_) => {}
        }
        match self.waiting.len() {
            MAX_WAITING => Err(PushError::TooManyWaiting(MAX_WAITING)),
            _ => Ok(()),
        }
    }

    /// Forgets a push; its stream if it has one.
    fn remove(&mut self, id: u64) -> Option<StreamId> {
        self.waiting.retain(|push| push.id != id);
        self.open.remove(&id)
    }
}

impl ServerExchange<'_> {
    /// Promises the client the response to a request that it has not made, and sends it on a stream
    /// of its own (RFC 9114 §4.6). To be called before what refers to it is sent, so usually before
    /// [`respond`](Self::respond): not within a body of known length. Clients that do not take
    /// pushes, which are most, cost nothing but the error.
    ///
    /// ```
    /// use http::{Request, Response, Uri};
    /// use protoquic_core::http::{Backend, PushInfo, RequestHandler, ServerExchange};
    ///
    /// /// A page, and the style sheet that every page needs.
    /// struct Site;
    ///
    /// impl Backend for Site {
    ///     fn on_request(
    ///         &self,
    ///         request: Request<()>,
    ///         exchange: &mut ServerExchange<'_>,
    ///     ) -> Option<Box<dyn RequestHandler>> {
    ///         let style = Uri::from_static("https://example.org/style.css");
    ///         // An error: the client will ask for it.
    ///         let _ = exchange.push(PushInfo::get(style, Response::new("body { margin: 0 }")));
    ///         exchange.respond(Response::new("<link rel=stylesheet href=style.css>"));
    ///         None
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`PushError`].
    pub fn push(&mut self, push: PushInfo) -> Result<PushId, PushError> {
        let PushInfo { request, response, priority } = push;
        self.http.pushes.check()?;
        if self.http.shutdown.refuses() {
            return Err(PushError::GoingAway);
        }
        if let Some(reason) = rules::unfit(&request) {
            return Err(PushError::Unfit(reason));
        }
        let (parts, body) = response.into_parts();
        if matches!(body, Body::Written) {
            return Err(ExchangeError::Invalid("nobody writes the body of a push").into());
        }
        let mut head = Response::from_parts(parts, ());
        check_response(&head)?;
        add_content_length(request.method(), &mut head, body.content_length());
        let id = self.http.pushes.next;
        self.state.writer.promise(id, &request_fields(&request)?, self.http, self.io)?;
        self.http.pushes.next += 1;
        let priority = priority.or_else(|| priority::of(request.headers()));
        self.http.pushes.waiting.push_back(WaitingPush {
            id,
            method: request.method().clone(),
            head,
            body,
            priority: priority.unwrap_or(priority::DEFAULT),
        });
        Ok(PushId(id))
    }

    /// Takes a push back, whether it was begun or not. Does nothing if it is over.
    pub fn cancel_push(&mut self, push: PushId) {
        self.http.take_push_back(push.0, self.io);
    }
}

impl Http3Connection {
    /// A push of ours will not come: the client is told (RFC 9114 §7.2.3).
    pub(super) fn take_push_back(&mut self, push: u64, io: &mut dyn Transport) {
        let was_waiting = self.pushes.waiting.iter().any(|waiting| waiting.id == push);
        let stream = self.pushes.remove(push);
        if was_waiting || stream.is_some() {
            self.send_control(io, |out| emit::one_varint(out, frame_type::CANCEL_PUSH, push));
        }
        if let Some(stream) = stream {
            io.reset(stream, Http3Code::REQUEST_CANCELLED);
        }
    }

    /// The client does not want a push.
    pub(in crate::http) fn on_push_refused(
        &mut self,
        push: u64,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        // RFC 9114 §7.2.3
        if push >= self.pushes.next {
            return Err(id_error(format!("CANCEL_PUSH of {push}, which was not promised")));
        }
        // RFC 9114 §7.2.3: no stream is opened for it, or the open one is reset.
        if let Some(stream) = self.pushes.remove(push) {
            io.reset(stream, Http3Code::REQUEST_CANCELLED);
        }
        Ok(())
    }

    /// The client takes no pushes from this one on, and no new promises at all.
    pub(in crate::http) fn on_pushes_refused(&mut self, from: u64, io: &mut dyn Transport) {
        // RFC 9114 §5.2
        self.pushes.is_refused = true;
        self.pushes.waiting.retain(|push| push.id < from);
        for stream in self.pushes.open.split_off(&from).into_values() {
            io.reset(stream, Http3Code::REQUEST_CANCELLED);
        }
    }

    /// The client wants a push earlier or later (RFC 9218 §7.2).
    pub(in crate::http) fn on_push_priority(
        &mut self,
        push: u64,
        priority: Option<Priority>,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        // RFC 9218 §7.2
        if push >= self.pushes.next {
            return Err(id_error(format!(
                "PRIORITY_UPDATE of push {push}, which was not promised"
            )));
        }
        let Some(priority) = priority else { return Ok(()) };
        if let Some(waiting) = self.pushes.waiting.iter_mut().find(|waiting| waiting.id == push) {
            waiting.priority = priority;
        } else if let Some(stream) = self.pushes.open.get(&push) {
            // An error: all of it is sent.
            let _ = io.set_priority(*stream, priority);
        }
        Ok(())
    }
}

/// Whether the response can be sent at all: after the promise it is too late.
fn check_response(head: &Response<()>) -> Result<(), ExchangeError> {
    if head.status().is_informational() {
        return Err(ExchangeError::Invalid("not a final status"));
    }
    declared_length(head.headers())?;
    response_fields(&head.status(), head.headers()).map(drop)
}

/// What a response says about its body's length.
pub(super) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, ExchangeError> {
    headers.get(header::CONTENT_LENGTH).map(parse_length).transpose()
}

fn id_error(reason: String) -> Http3Error {
    Http3Error::new(Http3Code::ID_ERROR, reason)
}

/// How many promised responses wait for a stream of a client that allows few.
const MAX_WAITING: usize = 100;
