//! [`RequestStream`]: a server's side of one exchange: header section in, backend called, handler
//! fed, the end seen to. It must not know the session: it is lent what it needs.

use http::{Method, Response, StatusCode};

use super::backend::{Backend, RequestHandler};
use super::body::Body;
use super::connect;
use super::connection::Http3Connection;
use super::error::{Fault, Http3Code, RequestFailure};
use super::exchange::{Exchange, ExchangeState, ServerExchange};
use super::headers::{RequestHead, parse_request};
use super::message_reader::Incoming;
use super::transport::Transport;
use super::webtransport;
use crate::types::StreamId;

/// One request being served.
pub(super) struct RequestStream {
    state: ExchangeState,
    handler: Option<Box<dyn RequestHandler>>,
    phase: Phase,
    /// A request that waits for the client's settings.
    held: Option<Box<RequestHead>>,
    /// It turned out to be a stream of this WebTransport session.
    webtransport: Option<u64>,
    /// It came after the last request that is served, and may only be a session's stream.
    is_too_late: bool,
    /// Whether the connection still counts this request.
    is_counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The header section is not complete.
    Head,
    Running,
    /// Answered, and of a request without a body only the end is still to come.
    AwaitingEnd,
    /// Answered, nothing more to read; or given up.
    Over,
}

impl std::fmt::Debug for RequestStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestStream").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl RequestStream {
    pub(super) fn new(id: StreamId, is_too_late: bool) -> Self {
        Self {
            state: ExchangeState::new(id, Method::GET),
            handler: None,
            phase: Phase::Head,
            held: None,
            webtransport: None,
            is_too_late,
            is_counted: true,
        }
    }

    /// There is something to read, or the stream was woken.
    pub(super) fn on_data_available(
        &mut self,
        http: &mut Http3Connection,
        backend: &dyn Backend,
        io: &mut dyn Transport,
    ) {
        if self.phase == Phase::Running {
            self.receive_datagrams(http, io);
        }
        match self.phase {
            Phase::Head => {
                self.receive_head(http, backend, io);
                self.receive_datagrams(http, io);
            }
            Phase::Running => self.call(http, io, |handler, cx| handler.on_body_available(cx)),
            Phase::AwaitingEnd => self.await_end(http, io),
            Phase::Over => {}
        }
        self.settle(http, io);
    }

    /// Whether its header section is not complete.
    pub(super) fn awaits_head(&self) -> bool {
        self.phase == Phase::Head
    }

    /// The WebTransport session that this stream turned out to be one of. Once.
    pub(super) fn take_webtransport(&mut self) -> Option<u64> {
        self.webtransport.take()
    }

    /// There is room to write, or the stream was woken.
    pub(super) fn on_can_write(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if self.phase != Phase::Running {
            return;
        }
        if self.state.writer.has_source() {
            self.pump(http, io);
        } else {
            self.call(http, io, |handler, cx| handler.on_can_write(cx));
        }
        self.settle(http, io);
    }

    /// The client reset its part.
    pub(super) fn on_reset(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        if self.phase != Phase::Over {
            self.state.fault.get_or_insert(Fault::Reset(code));
            self.settle(http, io);
        }
    }

    /// The client does not want the response; the sending part is reset already.
    pub(super) fn on_stop_sending(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        if !self.is_counted {
            return;
        }
        self.state.writer.drop_body();
        http.on_cancelled();
        self.fail(&RequestFailure::Peer(code), Http3Code::NO_ERROR, http, io);
    }

    /// Everything we sent has arrived.
    pub(super) fn on_all_data_acked(&mut self, http: &mut Http3Connection) {
        self.uncount(http);
    }

    /// The stream is over, by itself or with the connection.
    pub(super) fn on_close(&mut self, http: &mut Http3Connection) {
        self.state.reader.give_up(http);
        self.uncount(http);
        if let Some(mut handler) = self.handler.take() {
            handler.on_failed(&RequestFailure::ConnectionClosed);
        }
    }

    fn receive_head(
        &mut self,
        http: &mut Http3Connection,
        backend: &dyn Backend,
        io: &mut dyn Transport,
    ) {
        if let Some(head) = self.held.take() {
            return self.start_or_wait(*head, http, backend, io);
        }
        match self.state.reader.poll(http, io) {
            Ok(Some(Incoming::WebTransport(session))) => {
                self.webtransport = Some(session);
                self.phase = Phase::Over;
                self.uncount(http);
            }
            Ok(Some(Incoming::Fields(fields))) => match parse_request(fields) {
                Ok(head) => self.start_or_wait(head, http, backend, io),
                Err(fault) => self.state.fault = Some(fault),
            },
            Ok(Some(Incoming::TooLarge)) => {
                // RFC 9114 §4.2.2, RFC 6585 §5
                self.answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, http, io);
            }
            Ok(None) if http.is_head_late(self.state.id) => self.state.fault = Some(late()),
            // A reader in this state hands out neither body nor end.
            Ok(None | Some(Incoming::Data(_) | Incoming::End)) => {}
            Err(fault) => self.state.fault = Some(fault),
        }
    }

    /// Starts, unless it depends on settings that have not come.
    fn start_or_wait(
        &mut self,
        head: RequestHead,
        http: &mut Http3Connection,
        backend: &dyn Backend,
        io: &mut dyn Transport,
    ) {
        if self.is_too_late {
            let reason = "a request after the last one that is served";
            self.state.fault = Some(Fault::stream(Http3Code::REQUEST_REJECTED, reason));
        } else if !webtransport::must_wait(&head.request, http) {
            self.start(head, http, backend, io);
        } else if http.is_head_late(self.state.id) {
            self.state.fault = Some(late());
        } else {
            http.webtransport.await_settings(self.state.id);
            self.held = Some(Box::new(head));
        }
    }

    fn start(
        &mut self,
        head: RequestHead,
        http: &mut Http3Connection,
        backend: &dyn Backend,
        io: &mut dyn Transport,
    ) {
        http.on_head(self.state.id);
        http.expect_datagrams(self.state.id);
        http.prioritize(self.state.id, head.request.headers(), io);
        self.phase = Phase::Running;
        self.state.method = head.request.method().clone();
        let is_connect = self.state.method == Method::CONNECT;
        if is_connect {
            self.state.reader.begin_tunnel();
        } else {
            self.state.reader.begin_body(head.content_length);
        }
        if io.is_early() && !http.config().early_requests.allow(&self.state.method) {
            // RFC 8470 §5.2: the client is to ask again after the handshake.
            return self.answer(StatusCode::TOO_EARLY, http, io);
        }
        if connect::is_extended(&head.request) && !http.config().enable_connect_protocol {
            // RFC 9114 §4.3: a pseudo-header field that was not negotiated.
            self.state.fault = Some(Fault::message(":protocol, which we did not ask for"));
            return;
        }
        if let Some(fault) = webtransport::refusal(&head.request, http) {
            self.state.fault = Some(fault);
            return;
        }
        if is_connect
            && head.request.uri().scheme().is_none()
            && head.request.uri().port().is_none()
        {
            // RFC 9110 §9.3.6
            return self.answer(StatusCode::BAD_REQUEST, http, io);
        }
        let mut exchange = Exchange::new(&mut self.state, http, io);
        self.handler = if is_connect {
            backend.on_connect(head.request, &mut exchange)
        } else {
            backend.on_request(head.request, &mut exchange)
        };
        if self.handler.is_none() && self.state.writer.is_before_head() {
            return self.answer(StatusCode::INTERNAL_SERVER_ERROR, http, io);
        }
        if self.is_left_unfinished() {
            log::warn!("nobody is left to end the response on {}", self.state.id);
            self.state.cancelled.get_or_insert(Http3Code::INTERNAL_ERROR);
            return;
        }
        self.call(http, io, |handler, cx| handler.on_body_available(cx));
        if !self.state.writer.has_source() {
            self.call(http, io, |handler, cx| handler.on_can_write(cx));
        }
    }

    /// Whether an answer was begun that would never end.
    fn is_left_unfinished(&self) -> bool {
        let writer = &self.state.writer;
        let is_begun = !writer.is_over() && !writer.has_source();
        is_begun && self.handler.is_none() && !self.state.is_tunnel
    }

    /// Hands datagrams on, if they mean anything here.
    fn receive_datagrams(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        // Who has answered and wants no more is no longer there to take any, or to break a rule.
        if self.phase != Phase::Running || self.handler.is_none() && self.state.writer.is_over() {
            return;
        }
        while let Some(data) = http.datagrams.get_mut().and_then(|all| all.take(self.state.id)) {
            // RFC 9297 §2
            if !self.handler.as_ref().is_some_and(|handler| handler.takes_datagrams()) {
                self.state.fault.get_or_insert(no_datagrams());
                return;
            }
            self.call(http, io, |handler, cx| handler.on_datagram(data, cx));
        }
    }

    /// Answers in the backend's place.
    fn answer(&mut self, status: StatusCode, http: &mut Http3Connection, io: &mut dyn Transport) {
        self.phase = Phase::Running;
        http.on_head(self.state.id);
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        ServerExchange::new(&mut self.state, http, io).respond(response);
    }

    /// Calls the handler, if it is still wanted.
    fn call(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
        f: impl FnOnce(&mut dyn RequestHandler, &mut ServerExchange<'_>),
    ) {
        if self.state.fault.is_some() || self.state.cancelled.is_some() {
            return;
        }
        if let Some(handler) = &mut self.handler {
            f(handler.as_mut(), &mut Exchange::new(&mut self.state, http, io));
        }
    }

    fn pump(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if let Err(error) = self.state.writer.pump(http, io) {
            log::debug!("the response on {} is cut off: {error}", self.state.id);
        }
    }

    /// Deals with what the callback left behind.
    fn settle(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if self.phase == Phase::Over {
            return;
        }
        if let Some(code) = self.state.cancelled {
            self.handler = None;
            return self.end(code, http, io);
        }
        // RFC 9114 §4.4: the two sides of a tunnel end on their own.
        let is_over = self.state.is_received || !self.state.is_tunnel || self.handler.is_none();
        let is_answered = self.state.fault.is_none() && self.state.writer.is_over() && is_over;
        if is_answered {
            // Often only the end is left of the request, and is here already: no need to bother
            // the client. A request that turns out malformed was answered too soon.
            for _ in 0..MAX_DRAIN {
                if self.state.read_body(http, io).is_none() {
                    break;
                }
            }
        }
        match self.state.fault.take() {
            Some(Fault::Connection(error)) => {
                http.fail(error.clone());
                let code = error.code;
                self.fail(&RequestFailure::Message(error), code, http, io);
            }
            Some(Fault::Stream(error)) => {
                log::debug!("{}: {error}", self.state.id);
                http.on_cancelled();
                let code = error.code;
                self.fail(&RequestFailure::Message(error), code, http, io);
            }
            // The answer is on its way, the rest of the request was of no interest.
            Some(Fault::Reset(_)) | None if is_answered => self.conclude(http, io),
            Some(Fault::Reset(code)) => {
                http.on_cancelled();
                let failure = RequestFailure::Peer(code);
                self.fail(&failure, Http3Code::REQUEST_INCOMPLETE, http, io);
            }
            None => {}
        }
    }

    /// The response is complete. What is left of the request is of no interest.
    fn conclude(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if let Some(datagrams) = http.datagrams.get_mut() {
            datagrams.on_over(self.state.id);
        }
        // Who asks without a body has nothing more to say but the end, which need not be refused:
        // some clients take the refusal for a failure.
        let has_no_body = matches!(self.state.method, Method::GET | Method::HEAD);
        self.handler = None;
        if has_no_body && !self.state.is_received {
            self.phase = Phase::AwaitingEnd;
            return self.await_end(http, io);
        }
        // RFC 9114 §4.1: an early response.
        self.state.stop_reading(Http3Code::NO_ERROR, http, io);
        self.phase = Phase::Over;
    }

    /// Takes the end of an answered request; whatever comes before it is refused after all.
    fn await_end(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if self.state.read_body(http, io).is_some() {
            self.state.stop_reading(Http3Code::NO_ERROR, http, io);
            self.phase = Phase::Over;
        } else if self.state.is_received {
            self.phase = Phase::Over;
        }
    }

    fn fail(
        &mut self,
        failure: &RequestFailure,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        if let Some(mut handler) = self.handler.take() {
            handler.on_failed(failure);
        }
        self.end(code, http, io);
    }

    fn end(&mut self, code: Http3Code, http: &mut Http3Connection, io: &mut dyn Transport) {
        self.state.abort(code, http, io);
        self.phase = Phase::Over;
        self.uncount(http);
    }

    fn uncount(&mut self, http: &mut Http3Connection) {
        if std::mem::take(&mut self.is_counted) {
            http.on_request_over(self.state.id);
        }
    }
}

/// Slow requests cost memory.
fn late() -> Fault {
    Fault::stream(Http3Code::REQUEST_REJECTED, "the header section took too long")
}

/// RFC 9297 §2: a datagram for a request to which it means nothing.
pub(super) fn no_datagrams() -> Fault {
    Fault::stream(Http3Code::DATAGRAM_ERROR, "a datagram for an exchange that has none")
}

/// How many pieces of an unwanted body are read to find its end.
const MAX_DRAIN: usize = 4;
