//! [`ResponseStream`]: a client's side of one exchange: request out, responses in, handler fed, the
//! end seen to. It must not know the session: it is lent what it needs.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::body::Body;
use super::connection::Http3Connection;
use super::error::{ExchangeError, Fault, Http3Code, Http3Error, RequestFailure};
use super::exchange::{ClientExchange, Exchange, ExchangeState, parse_length};
use super::headers::{is_tunnel, parse_response, request_fields};
use super::message_reader::Incoming;
use super::pending_request::PendingRequest;
use super::priority;
use super::push::serves;
use super::request_stream::no_datagrams;
use super::response_handler::ResponseHandler;
use super::transport::Transport;
use crate::types::{Direction, StreamId};

/// A pushed response, as far as it is known.
pub(super) struct Pushed {
    pub(super) id: StreamId,
    /// The promised request's method and headers.
    pub(super) method: Method,
    pub(super) promised: HeaderMap,
    /// What was read of the stream after its header, and whether that is all.
    pub(super) start: Bytes,
    pub(super) at_end: bool,
}

/// One request and the response to it.
pub(super) struct ResponseStream {
    state: ExchangeState,
    /// The request, until it is sent.
    unsent: Option<(Request<()>, Body)>,
    /// Until it was told the end.
    handler: Option<Box<dyn ResponseHandler>>,
    /// The head of a request without a body that may be sent (again): it was sent early, or not at
    /// all because of a push.
    fallback: Option<Box<Request<()>>>,
    /// The headers of the promised request, in whose place `fallback` was asked.
    promised: Option<Box<HeaderMap>>,
    /// It is to be sent again.
    refused: Option<Box<PendingRequest>>,
    has_head: bool,
    /// Whether the connection still counts this request.
    is_counted: bool,
}

impl std::fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseStream").field("has_head", &self.has_head).finish_non_exhaustive()
    }
}

impl ResponseStream {
    pub(super) fn new(id: StreamId, request: PendingRequest) -> Self {
        Self {
            state: ExchangeState::new(id, request.head.method().clone()),
            unsent: Some((request.head, request.body)),
            handler: Some(request.handler),
            fallback: None,
            promised: None,
            refused: None,
            has_head: false,
            is_counted: true,
        }
    }

    /// A pushed response, for this handler.
    pub(super) fn pushed(pushed: Pushed, handler: Box<dyn ResponseHandler>) -> Self {
        let Pushed { id, method, start, at_end, .. } = pushed;
        Self {
            state: ExchangeState::pushed(id, method, start, at_end),
            unsent: None,
            handler: Some(handler),
            fallback: None,
            promised: None,
            refused: None,
            has_head: false,
            is_counted: true,
        }
    }

    /// A pushed response in answer to a request that was not sent.
    pub(super) fn instead(mut pushed: Pushed, request: PendingRequest) -> Self {
        let promised = std::mem::take(&mut pushed.promised);
        Self {
            fallback: Some(Box::new(request.head)),
            promised: Some(Box::new(promised)),
            ..Self::pushed(pushed, request.handler)
        }
    }

    /// Whether the request is still to be sent: there can be nothing to read.
    pub(super) fn is_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Whether the handler has been told the end, or has none.
    pub(super) fn is_over(&self) -> bool {
        self.handler.is_none()
    }

    /// There is room to write, or the stream was opened or woken.
    pub(super) fn on_can_write(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        let sent = match self.unsent.take() {
            Some((head, body)) => {
                let sent = self.send(&head, body, http, io);
                self.fallback = io.is_early().then(|| Box::new(head));
                sent
            }
            None if self.state.writer.is_over() => return,
            None => self.state.writer.pump(http, io),
        };
        match sent {
            Ok(()) if !self.state.writer.has_source() && !self.state.writer.is_over() => {
                self.call(http, io, |handler, cx| handler.on_can_write(cx));
                self.settle(http, io);
            }
            Ok(()) | Err(ExchangeError::StreamClosed) => {}
            Err(error) => {
                // The peer's settings came after the request was accepted, or the body has not the
                // length that was announced.
                let error = Http3Error::new(Http3Code::INTERNAL_ERROR, error.to_string());
                self.fail(&RequestFailure::Message(error), http, io);
            }
        }
    }

    /// There is something to read, or the stream was woken.
    pub(super) fn on_data_available(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        let is_request = self.state.id.direction() == Direction::Bidirectional;
        let gone = http.peer_goaway().filter(|_| is_request);
        if gone.is_some_and(|first| self.state.id.as_u64() >= first) {
            return self.fail(&RequestFailure::NotProcessed, http, io);
        }
        while !self.has_head && self.handler.is_some() && self.is_well() {
            if !self.receive_head(http, io) {
                break;
            }
        }
        self.receive_datagrams(http, io);
        if self.has_head {
            self.call(http, io, |handler, cx| handler.on_body_available(cx));
        }
        self.settle(http, io);
    }

    /// Hands datagrams on, if they mean anything here.
    fn receive_datagrams(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        while self.is_well()
            && let Some(handler) = &self.handler
            && let Some(data) = http.datagrams.get_mut().and_then(|all| all.take(self.state.id))
        {
            // RFC 9297 §2
            if !handler.takes_datagrams() {
                self.state.fault = Some(no_datagrams());
                return;
            }
            self.call(http, io, |handler, cx| handler.on_datagram(data, cx));
        }
    }

    /// The server reset its part.
    pub(super) fn on_reset(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        self.state.fault.get_or_insert(Fault::Reset(code));
        self.settle(http, io);
    }

    /// The server wants no more of the request; the sending part is reset already. Its response may
    /// still come (RFC 9114 §4.1).
    pub(super) fn on_stop_sending(&mut self) {
        self.state.writer.drop_body();
        self.unsent = None;
    }

    /// The application gives up.
    pub(super) fn cancel(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        self.state.cancelled.get_or_insert(Http3Code::REQUEST_CANCELLED);
        self.settle(http, io);
    }

    /// A request that was too early for the server, to be sent again after the handshake.
    pub(super) fn take_refused(&mut self) -> Option<PendingRequest> {
        self.refused.take().map(|pending| *pending)
    }

    /// Whether there is more to hand on although the stream itself is over.
    pub(super) fn lingers(&self) -> bool {
        self.handler.is_some() && self.state.reader.is_at_end()
    }

    /// The stream is over, by itself or with the connection.
    pub(super) fn on_close(&mut self, http: &mut Http3Connection) {
        self.state.reader.give_up(http);
        self.uncount(http);
        if let Some(mut handler) = self.handler.take() {
            handler.on_failed(&RequestFailure::ConnectionClosed);
        }
    }

    fn send(
        &mut self,
        head: &Request<()>,
        body: Body,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        let length = match head.headers().get(http::header::CONTENT_LENGTH) {
            Some(value) => Some(parse_length(value)?),
            None => None,
        };
        if let Some(priority) = priority::of(head.headers()) {
            // An error: it is over already.
            let _ = io.set_priority(self.state.id, priority);
        }
        let fields = request_fields(head)?;
        let writer = &mut self.state.writer;
        writer.message((&fields, true), length, body, http, io)
    }

    /// Reads one header section. False if there is no more to read for now.
    fn receive_head(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) -> bool {
        let fault = match self.state.reader.poll(http, io) {
            Ok(Some(Incoming::Fields(fields))) => {
                match parse_response(&self.state.method, fields) {
                    Ok(head) if head.response.status().is_informational() => {
                        self.call(http, io, |handler, cx| handler.on_interim(head.response, cx));
                        // Interim responses without end are not for free.
                        match http.on_glitch() {
                            Ok(()) => return true,
                            Err(fault) => fault,
                        }
                    }
                    Ok(head) if self.must_be_asked(&head.response) => {
                        self.refuse();
                        return false;
                    }
                    Ok(head) => {
                        self.has_head = true;
                        let status = head.response.status();
                        self.state.is_tunnel = is_tunnel(&self.state.method, status);
                        if self.state.is_tunnel {
                            self.state.reader.begin_tunnel();
                        } else {
                            self.state.reader.begin_body(head.body_length);
                        }
                        let keeper = http.responses.as_ref();
                        self.state.record =
                            keeper.and_then(|store| store.begin(self.state.id, &head.response));
                        self.call(http, io, |handler, cx| handler.on_response(head.response, cx));
                        return true;
                    }
                    Err(fault) => fault,
                }
            }
            Ok(Some(Incoming::TooLarge)) => Fault::stream(
                Http3Code::EXCESSIVE_LOAD,
                "the response's header section is too large",
            ),
            // A reader in this state hands out nothing else.
            Ok(None | Some(Incoming::Data(_) | Incoming::End | Incoming::WebTransport(_))) => {
                return false;
            }
            Err(fault) => fault,
        };
        self.state.fault = Some(fault);
        false
    }

    /// Whether this is no answer and the request is to be sent (again).
    fn must_be_asked(&self, response: &Response<()>) -> bool {
        let Some(asked) = &self.fallback else { return false };
        let is_other = |promised: &HeaderMap| !serves(response, promised, asked.headers());
        // RFC 8470 §5.2, RFC 9111 §4.1
        response.status() == StatusCode::TOO_EARLY || self.promised.as_deref().is_some_and(is_other)
    }

    /// RFC 8470 §5.2: the handler hears of the second answer only.
    fn refuse(&mut self) {
        if let (Some(head), Some(handler)) = (self.fallback.take(), self.handler.take()) {
            let body = Body::Empty;
            let pending = PendingRequest { head: *head, body, handler, was_too_early: true };
            self.refused = Some(Box::new(pending));
        }
        self.state.cancelled.get_or_insert(Http3Code::REQUEST_CANCELLED);
    }

    fn is_well(&self) -> bool {
        self.state.fault.is_none() && self.state.cancelled.is_none()
    }

    fn call(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
        f: impl FnOnce(&mut dyn ResponseHandler, &mut ClientExchange<'_>),
    ) {
        if !self.is_well() {
            return;
        }
        if let Some(handler) = &mut self.handler {
            f(handler.as_mut(), &mut Exchange::new(&mut self.state, http, io));
        }
    }

    /// Deals with what the callback left behind.
    fn settle(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        let is_own_loss = matches!(self.state.fault, Some(Fault::Reset(_) | Fault::Stream(_)));
        if is_own_loss && self.promised.is_some() && self.fallback.is_some() && !self.has_head {
            // The push has failed; the request has not been sent.
            self.state.fault = None;
            self.refuse();
        }
        if let Some(code) = self.state.cancelled {
            self.handler = None;
            return self.end(code, http, io);
        }
        match self.state.fault.take() {
            Some(Fault::Connection(error)) => {
                http.fail(error.clone());
                self.fail(&RequestFailure::Message(error), http, io);
            }
            Some(Fault::Stream(error)) => {
                let code = error.code;
                if let Some(mut handler) = self.handler.take() {
                    handler.on_failed(&RequestFailure::Message(error));
                }
                self.end(code, http, io);
            }
            // RFC 9114 §4.1.1: the server did nothing for it.
            Some(Fault::Reset(Http3Code::REQUEST_REJECTED)) => {
                self.fail(&RequestFailure::NotProcessed, http, io);
            }
            Some(Fault::Reset(code)) => self.fail(&RequestFailure::Peer(code), http, io),
            None if self.state.is_received && !self.is_talking() => self.complete(http, io),
            None => {}
        }
    }

    /// Whether the handler still writes to a tunnel: its sides end on their own (RFC 9114 §4.4).
    fn is_talking(&self) -> bool {
        let writer = &self.state.writer;
        self.state.is_tunnel && !writer.is_over() && !writer.has_source()
    }

    fn complete(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        if let Some(mut handler) = self.handler.take() {
            handler.on_complete(&mut Exchange::new(&mut self.state, http, io));
        }
        if !self.state.writer.is_over() && !self.state.writer.has_source() {
            // The handler, which is gone, was writing. An error: the stream is over.
            let _ = self.state.writer.finish(io);
        }
        if let (Some(record), Some(store)) = (self.state.record.take(), &mut http.responses) {
            store.complete(*record, self.state.trailers.as_deref().cloned());
        }
        self.uncount(http);
    }

    fn fail(
        &mut self,
        failure: &RequestFailure,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        if let Some(mut handler) = self.handler.take() {
            handler.on_failed(failure);
        }
        self.end(Http3Code::REQUEST_CANCELLED, http, io);
    }

    fn end(&mut self, code: Http3Code, http: &mut Http3Connection, io: &mut dyn Transport) {
        self.unsent = None;
        self.state.abort(code, http, io);
        self.uncount(http);
    }

    fn uncount(&mut self, http: &mut Http3Connection) {
        if std::mem::take(&mut self.is_counted) {
            http.on_request_over(self.state.id);
        }
    }
}
