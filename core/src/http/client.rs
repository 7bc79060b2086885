//! [`Http3ClientSession`]: HTTP/3 for clients as a [`Session`]. Requests wait here for a stream; the
//! exchanges themselves are in `response_stream`.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::body::Body;
use super::config::Http3Config;
use super::connect;
use super::connection::Http3Connection;
use super::error::{ExchangeError, Http3Code, Http3Error, RequestFailure};
use super::pending_request::PendingRequest;
use super::plumbing::{self, Http3Session};
use super::push::{self, PromiseIndex, PushHandler, PushedStream};
use super::response_handler::ResponseHandler;
use super::response_stream::ResponseStream;
use super::settings::Settings;
use super::stored_response::ResponseStore;
use super::transport::Transport;
use super::uni_stream::{IncomingUni, UniKind, UniStream};
use super::webtransport::WebTransportStream;
use crate::error::{ApplicationError, CloseReason};
use crate::session::{Refuse, Session, SessionContext, Stream, StreamContext};
use crate::streams::IdHasher;
use crate::types::{Direction, Role, StreamId};

/// Names a request of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A client's HTTP/3 session.
///
/// Requests may be sent at any time, before the handshake is complete too; they go out as soon as
/// the server allows streams. From outside of callbacks:
/// `host.enter(now, |session, cx| session.send_request(cx, request, handler))`.
pub struct Http3ClientSession {
    pub(super) http: Http3Connection,
    pub(super) promises: Box<PromiseIndex>,
    pub(super) push_handler: Option<Box<dyn PushHandler>>,
    pub(super) queue: VecDeque<(RequestId, PendingRequest)>,
    /// Some of the queue can only be sent when the server's settings are known.
    pub(super) waits_for_settings: bool,
    /// The streams of requests that are under way.
    pub(super) streams: HashMap<RequestId, StreamId, BuildHasherDefault<IdHasher>>,
    cancelled: Vec<StreamId>,
    next_id: u64,
    is_closed: bool,
}

impl std::fmt::Debug for Http3ClientSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http3ClientSession")
            .field("active", &self.http.active())
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Http3ClientSession {
    /// A session.
    pub fn new(config: impl Into<Arc<Http3Config>>) -> Self {
        let config = config.into();
        Self {
            promises: Box::new(PromiseIndex::new(config.push_limit(), config.push_timeout)),
            push_handler: None,
            http: Http3Connection::new(Role::Client, config),
            queue: VecDeque::new(),
            waits_for_settings: false,
            streams: HashMap::default(),
            cancelled: Vec::new(),
            next_id: 0,
            is_closed: false,
        }
    }

    /// Sends a request, or has it wait for a stream. The URI must be absolute. Adds content-length
    /// where the body's length is known. What the server has promised to push is not asked for: the
    /// push answers it, and the request is sent only if that comes to nothing.
    ///
    /// # Errors
    ///
    /// [`GoingAway`](ExchangeError::GoingAway), [`QueueFull`](ExchangeError::QueueFull),
    /// [`TooLarge`](ExchangeError::TooLarge) for the server's settings, or
    /// [`Invalid`](ExchangeError::Invalid) for a message that HTTP/3 cannot express. The handler is
    /// then not called.
    pub fn send_request(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        request: Request<impl Into<Body>>,
        handler: Box<dyn ResponseHandler>,
    ) -> Result<RequestId, ExchangeError> {
        if self.is_going_away() {
            return Err(ExchangeError::GoingAway);
        }
        if self.queue.len() >= self.http.config().max_queued_requests {
            return Err(ExchangeError::QueueFull);
        }
        let pending = PendingRequest::prepare(request, handler)?;
        connect::check(&pending.head, self.http.peer_settings())?;
        self.waits_for_settings |= connect::is_extended(&pending.head);
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.promises.trust(pending.head.uri());
        if let Some(push) = self.promises.find(&pending) {
            if let Some(stream) = self.promises.claim(push, id, pending) {
                self.streams.insert(id, stream);
                cx.wake_stream(stream);
            }
        } else {
            self.queue.push_back((id, pending));
            self.start_requests(cx);
        }
        plumbing::settle(self, cx);
        Ok(id)
    }

    /// Gives up a request: its stream is reset with H3_REQUEST_CANCELLED, its handler is dropped
    /// and not called again. Does nothing if the request is over.
    pub fn cancel_request(&mut self, cx: &mut SessionContext<'_, Self>, id: RequestId) {
        self.queue.retain(|(queued, _)| *queued != id);
        if let Some(push) = self.promises.unclaim(id) {
            self.drop_push(cx, push, None);
            plumbing::settle(self, cx);
        } else if let Some(stream) = self.streams.get(&id) {
            self.cancelled.push(*stream);
            cx.wake_stream(*stream);
        }
    }

    /// The stream of a request that is under way.
    pub fn stream_of(&self, id: RequestId) -> Option<StreamId> {
        self.streams.get(&id).copied()
    }

    /// How many requests have a stream and are not over.
    pub fn active_requests(&self) -> usize {
        self.http.active()
    }

    /// How many requests wait for a stream.
    pub fn queued_requests(&self) -> usize {
        self.queue.len()
    }

    /// Whether new requests are refused: the server is going away, or we are, or the connection is
    /// closed.
    pub fn is_going_away(&self) -> bool {
        self.is_closed || self.http.peer_goaway().is_some() || self.http.shutdown.has_begun()
    }

    /// The server's settings, once they have come.
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.http.peer_settings()
    }

    /// Where responses are kept.
    pub(super) fn responses(&mut self) -> &mut ResponseStore {
        self.http.responses.get_or_insert_default()
    }

    /// The same, if it is there.
    pub(super) fn stored_responses(&self) -> Option<&ResponseStore> {
        self.http.responses.as_deref()
    }

    pub(super) fn start_requests(&mut self, cx: &mut SessionContext<'_, Self>) {
        while !self.queue.is_empty() {
            let Some(at) = self.next_request(cx.connection().is_established()) else { break };
            let queue = &mut self.queue;
            let mut started = None;
            let opened = cx.open_stream(Direction::Bidirectional, |id| {
                let (request, pending) = queue.remove(at).expect("it was found there");
                started = Some(request);
                let stream = ResponseStream::new(id, pending);
                Http3ClientStream(Kind::Request(started, Box::new(stream)))
            });
            match (opened, started) {
                (Ok(id), Some(request)) => {
                    self.http.on_request_opened(id);
                    self.streams.insert(request, id);
                }
                // on_can_create_outgoing_stream tells when to go on.
                _ => break,
            }
        }
    }

    /// The place of the next request that may be sent. Early data can be replayed: only what may be
    /// executed twice goes into it (RFC 8470 §2).
    fn next_request(&self, is_established: bool) -> Option<usize> {
        let early = self.http.config().early_requests;
        let may_go = |pending: &PendingRequest| {
            let is_safe = early.allow(pending.head.method()) && matches!(pending.body, Body::Empty);
            let is_taken = connect::may_go(&pending.head, self.http.peer_settings());
            is_taken && (is_established || (is_safe && !pending.was_too_early))
        };
        self.queue.iter().position(|(_, pending)| may_go(pending))
    }

    /// Whether the application gives up this stream's request. True once.
    pub(super) fn take_cancelled(&mut self, id: StreamId) -> bool {
        let before = self.cancelled.len();
        self.cancelled.retain(|wish| *wish != id);
        self.cancelled.len() < before
    }

    /// RFC 8470 §5.2: what was too early is asked again, after the handshake.
    fn ask_again(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        id: RequestId,
        pending: PendingRequest,
    ) {
        self.send_after_all(cx, id, pending);
        plumbing::settle(self, cx);
    }

    /// Sends a request that had been sent in vain, or not at all because of a push.
    pub(super) fn send_after_all(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        id: RequestId,
        mut pending: PendingRequest,
    ) {
        self.streams.remove(&id);
        if self.is_going_away() {
            return pending.handler.on_failed(&RequestFailure::NotProcessed);
        }
        self.queue.push_front((id, pending));
        self.start_requests(cx);
    }

    fn fail_queue(&mut self, failure: &RequestFailure) {
        for (_, mut pending) in std::mem::take(&mut self.queue) {
            pending.handler.on_failed(failure);
        }
    }
}

impl Session for Http3ClientSession {
    type Stream = Http3ClientStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<Http3ClientStream, Refuse> {
        if id.direction() == Direction::Unidirectional {
            let stream = UniStream::Incoming(IncomingUni::new());
            return Ok(Http3ClientStream(Kind::Uni(stream)));
        }
        if self.http.offers_webtransport() {
            return Ok(Self::webtransport_stream(WebTransportStream::incoming(id)));
        }
        // RFC 9114 §6.1
        self.http.fail(Http3Error::new(
            Http3Code::STREAM_CREATION_ERROR,
            format!("{id}: a bidirectional stream from the server"),
        ));
        plumbing::settle(self, cx);
        Err(Refuse(Http3Code::STREAM_CREATION_ERROR.into()))
    }

    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        if let Some(settings) = cx.connection().application_state(super::ALPN) {
            self.http.early.recall(&settings);
        }
        plumbing::begin(self, cx);
        plumbing::open_streams(self, cx);
        self.start_requests(cx);
        plumbing::settle(self, cx);
    }

    fn on_early_data_settled(&mut self, accepted: bool, _cx: &mut SessionContext<'_, Self>) {
        if !accepted {
            self.http.early.forget();
        }
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        plumbing::begin(self, cx);
        plumbing::open_streams(self, cx);
        self.start_requests(cx);
        plumbing::settle(self, cx);
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        plumbing::begin(self, cx);
        match direction {
            Direction::Unidirectional => plumbing::open_streams(self, cx),
            Direction::Bidirectional => self.start_requests(cx),
        }
        self.http.on_webtransport_can_open(direction);
        plumbing::settle(self, cx);
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        plumbing::on_datagram(self, data, cx);
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        plumbing::on_alarm(self, cx);
    }

    fn on_idle(&mut self, _cx: &mut SessionContext<'_, Self>) {
        self.http.release_memory();
        self.streams.shrink_to_fit();
        self.queue.shrink_to_fit();
    }

    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.fail_queue(&RequestFailure::NotProcessed);
        self.fail_claims(&RequestFailure::NotProcessed);
        plumbing::shut_down(self, cx);
    }

    fn on_connection_closed(&mut self, _why: &CloseReason) {
        self.is_closed = true;
        self.fail_queue(&RequestFailure::ConnectionClosed);
        self.fail_claims(&RequestFailure::ConnectionClosed);
    }
}

impl Http3Session for Http3ClientSession {
    fn http(&mut self) -> &mut Http3Connection {
        &mut self.http
    }

    fn outgoing_stream(kind: UniKind) -> Http3ClientStream {
        Http3ClientStream(Kind::Uni(UniStream::Outgoing(kind)))
    }

    fn webtransport_stream(stream: WebTransportStream) -> Http3ClientStream {
        Http3ClientStream(Kind::WebTransport(stream))
    }

    fn on_settle(&mut self, cx: &mut SessionContext<'_, Self>) {
        push::settle(self, cx);
        self.release_connects(cx);
    }

    fn on_goaway(&mut self, id: u64, cx: &mut SessionContext<'_, Self>) {
        // RFC 9114 §5.2: what is at or above it was not and will not be processed.
        self.fail_queue(&RequestFailure::NotProcessed);
        let is_gone = |stream: &&StreamId| {
            stream.direction() == Direction::Bidirectional && stream.as_u64() >= id
        };
        let mut gone: Vec<_> = self.streams.values().filter(is_gone).collect();
        gone.sort_unstable();
        for stream in gone {
            cx.wake_stream(*stream);
        }
    }
}

/// A stream of a client's session.
#[derive(Debug)]
pub struct Http3ClientStream(Kind);

#[derive(Debug)]
enum Kind {
    Request(Option<RequestId>, Box<ResponseStream>),
    Push(Box<PushedStream>),
    Uni(UniStream),
    WebTransport(WebTransportStream),
}

/// Lends a request stream what it needs.
fn with_parts(
    cx: &mut StreamContext<'_, Http3ClientSession>,
    f: impl FnOnce(&mut Http3Connection, &mut dyn Transport),
) {
    let (session, scx) = cx.split();
    plumbing::begin(session, scx);
    f(&mut session.http, scx.connection());
    plumbing::settle(session, scx);
}

impl Stream<Http3ClientSession> for Http3ClientStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Http3ClientSession>) {
        match &mut self.0 {
            Kind::Uni(stream) => {
                stream.on_data_available(cx);
                if let Some((push, start)) = stream.take_push() {
                    let id = cx.id();
                    let (session, scx) = cx.split();
                    let mut pushed = session.on_push_stream(scx, push, id, &start);
                    pushed.on_readable(cx);
                    self.0 = Kind::Push(Box::new(pushed));
                } else if stream.is_webtransport() {
                    let mut stream = WebTransportStream::after_type(cx.id());
                    stream.on_data_available(cx);
                    self.0 = Kind::WebTransport(stream);
                }
            }
            Kind::WebTransport(stream) => stream.on_data_available(cx),
            Kind::Push(stream) => stream.on_readable(cx),
            Kind::Request(request, stream) => {
                let id = cx.id();
                let is_cancelled = cx.session().take_cancelled(id);
                let is_gone = cx.session().http.peer_goaway().is_some();
                if stream.is_unsent() && !is_cancelled && !is_gone {
                    return; // it was opened just now; `on_can_write` follows
                }
                with_parts(cx, |http, io| {
                    if is_cancelled {
                        stream.cancel(http, io);
                    } else {
                        stream.on_data_available(http, io);
                    }
                });
                if let Some(pending) = stream.take_refused()
                    && let Some(request) = request.take()
                {
                    let (session, scx) = cx.split();
                    session.ask_again(scx, request, pending);
                }
            }
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Http3ClientSession>) {
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_can_write(cx),
            Kind::Push(_) => {}
            Kind::WebTransport(_) => WebTransportStream::on_can_write(cx),
            Kind::Request(_, stream) => with_parts(cx, |http, io| stream.on_can_write(http, io)),
        }
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Http3ClientSession>) {
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_reset(cx),
            Kind::Push(stream) => stream.on_stream_reset(code, cx),
            Kind::WebTransport(stream) => stream.on_reset(code, cx),
            Kind::Request(_, stream) => {
                with_parts(cx, |http, io| stream.on_reset(code.into(), http, io));
            }
        }
    }

    fn on_stop_sending(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, Http3ClientSession>,
    ) {
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_stop_sending(code, cx),
            Kind::Push(_) => {}
            Kind::WebTransport(stream) => stream.on_stop_sending(code, cx),
            Kind::Request(_, stream) => stream.on_stop_sending(),
        }
    }

    fn lingers(&self) -> bool {
        match &self.0 {
            Kind::Request(_, stream) => stream.lingers(),
            Kind::Push(stream) => stream.lingers(),
            Kind::Uni(_) | Kind::WebTransport(_) => false,
        }
    }

    fn on_close(&mut self, session: &mut Http3ClientSession) {
        let request = match &mut self.0 {
            Kind::Request(id, stream) => {
                stream.on_close(&mut session.http);
                *id
            }
            Kind::Push(stream) => stream.on_close(&mut session.http),
            Kind::WebTransport(stream) => {
                stream.on_close(&mut session.http);
                None
            }
            Kind::Uni(_) => None,
        };
        if let Some(id) = request {
            session.streams.remove(&id);
        }
    }
}
