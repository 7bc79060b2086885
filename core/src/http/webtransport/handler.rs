//! [`SessionHandler`]: the handler of the CONNECT that carries a session, on either side: capsules
//! in and out, the visitor called for all that happens, the end seen to.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::capsules::{self, CLOSE};
use super::codes::from_http3_code;
use super::registry::News;
use super::session::{Ending, WebTransportSession};
use super::visitor::{WebTransportEnd, WebTransportVisitor};
use crate::http::backend::RequestHandler;
use crate::http::capsule::CapsuleReader;
use crate::http::error::{Http3Code, Http3Error, RequestFailure};
use crate::http::exchange::{ClientExchange, Exchange, ServerExchange};
use crate::http::response_handler::ResponseHandler;
use crate::types::{Direction, StreamId};

/// Carries one session.
pub(super) struct SessionHandler {
    /// Until it was told the end.
    visitor: Option<Box<dyn WebTransportVisitor>>,
    reader: CapsuleReader,
    phase: Phase,
    ending: Ending,
    /// Datagrams that came before the session was there, oldest first.
    early: VecDeque<Bytes>,
    /// Counts the session.
    _token: Arc<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A client's: the server has not answered.
    Asked,
    /// There, and the visitor does not know.
    Accepted,
    Open,
    /// Over; the end of the peer's part of the stream is still to come.
    Over,
}

impl SessionHandler {
    /// Of a session that a client asks for.
    pub(super) fn asked(visitor: Box<dyn WebTransportVisitor>, token: Arc<()>) -> Self {
        Self {
            visitor: Some(visitor),
            reader: capsules::reader(),
            phase: Phase::Asked,
            ending: Ending::default(),
            early: VecDeque::new(),
            _token: token,
        }
    }

    /// Of a session that a server has accepted.
    pub(super) fn accepted(visitor: Box<dyn WebTransportVisitor>, token: Arc<()>) -> Self {
        Self { phase: Phase::Accepted, ..Self::asked(visitor, token) }
    }

    /// Calls the visitor, and carries out what it left behind.
    fn call<R>(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        f: impl FnOnce(&mut dyn WebTransportVisitor, &mut WebTransportSession<'_>),
    ) {
        if let Some(visitor) = &mut self.visitor {
            f(visitor.as_mut(), &mut WebTransportSession::new(exchange, &mut self.ending));
        }
        if self.phase != Phase::Over
            && let Some(end) = self.ending.closed.clone()
        {
            self.end(&end, exchange);
        }
    }

    /// The session is over: its streams are reset (draft-ietf-webtrans-http3-07 §5).
    fn end<R>(&mut self, end: &WebTransportEnd, exchange: &mut Exchange<'_, R>) {
        self.phase = Phase::Over;
        exchange.http.webtransport.end(exchange.state.id);
        if let Some(mut visitor) = self.visitor.take() {
            visitor.on_session_closed(end);
        }
    }

    /// Ends the session for a rule that the peer broke.
    fn fail<R>(&mut self, reason: &'static str, exchange: &mut Exchange<'_, R>) {
        let error = Http3Error::new(Http3Code::MESSAGE_ERROR, reason);
        let code = error.code;
        self.end(&WebTransportEnd::Failed(RequestFailure::Message(error)), exchange);
        exchange.cancel(code);
    }

    /// Looks at all that may have happened.
    fn run<R>(&mut self, exchange: &mut Exchange<'_, R>) {
        if self.phase == Phase::Asked {
            return;
        }
        if self.phase == Phase::Accepted {
            self.phase = Phase::Open;
            self.call(exchange, |visitor, session| visitor.on_session_ready(session));
            while let Some(data) = self.early.pop_front() {
                self.call(exchange, |visitor, session| visitor.on_datagram_received(data, session));
            }
        }
        self.tell_news(exchange);
        self.read(exchange);
        self.call(exchange, |visitor, session| visitor.on_woken(session));
        self.write(exchange);
    }

    /// What has happened on the session's streams, and to the session.
    fn tell_news<R>(&mut self, exchange: &mut Exchange<'_, R>) {
        let id = exchange.state.id;
        while let Some((stream, news)) = exchange.http.webtransport.next_news(id) {
            self.tell(stream, news, exchange);
            exchange.http.webtransport.on_told(stream);
        }
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            if exchange.http.webtransport.take_unblocked(id, direction) {
                self.call(exchange, |visitor, session| {
                    visitor.on_can_create_outgoing_stream(direction, session);
                });
            }
        }
        if exchange.http.webtransport.take_draining(id) {
            self.call(exchange, |visitor, session| visitor.on_session_draining(session));
        }
        if exchange.http.webtransport.take_drain_wish(id) {
            self.call(exchange, |_, session| session.drain());
        }
    }

    fn tell<R>(&mut self, stream: StreamId, news: News, exchange: &mut Exchange<'_, R>) {
        self.call(exchange, |visitor, session| {
            if news.is_new {
                visitor.on_incoming_stream(stream, session);
            }
            if news.readable && news.reset.is_none() {
                visitor.on_stream_readable(stream, session);
            }
            if let Some(code) = news.reset {
                visitor.on_stream_reset(stream, from_http3_code(code), session);
            }
            match news.stopped {
                Some(code) => visitor.on_stop_sending(stream, from_http3_code(code), session),
                None if news.writable => visitor.on_stream_writable(stream, session),
                None => {}
            }
        });
    }

    /// Reads the peer's part of the session's own stream.
    fn read<R>(&mut self, exchange: &mut Exchange<'_, R>) {
        loop {
            match self.reader.poll() {
                Ok(Some(capsule)) if capsule.kind == CLOSE => {
                    match capsules::parse_close(&capsule.value) {
                        Some((code, reason)) => self.on_close_capsule(code, reason, exchange),
                        None => return self.fail("a close without a code", exchange),
                    }
                    continue;
                }
                Ok(Some(_)) => {
                    exchange.http.on_webtransport_drain(exchange.state.id);
                    self.tell_news(exchange);
                    continue;
                }
                Ok(None) => {}
                Err(_) => return self.fail("a session's close is too long", exchange),
            }
            if let Some(piece) = exchange.read_body() {
                if self.ending.peer_closed && !piece.is_empty() {
                    return self.fail(AFTER_CLOSE, exchange);
                }
                self.reader.push(piece);
                continue;
            }
            return self.on_end_of_body(exchange);
        }
    }

    /// The peer has closed the session.
    fn on_close_capsule<R>(&mut self, code: u32, reason: String, exchange: &mut Exchange<'_, R>) {
        self.ending.peer_closed = true;
        if self.phase != Phase::Over {
            self.end(&WebTransportEnd::Closed { code, reason }, exchange);
        }
        if !self.reader.is_used_up() {
            self.fail(AFTER_CLOSE, exchange);
        }
    }

    fn on_end_of_body<R>(&mut self, exchange: &mut Exchange<'_, R>) {
        if !exchange.is_body_finished() {
            return;
        }
        if self.reader.finish().is_err() {
            return self.fail("a session ends inside a capsule", exchange);
        }
        if self.phase != Phase::Over {
            // §5: an end without a close is one with code 0 and no reason.
            let end = WebTransportEnd::Closed { code: 0, reason: String::new() };
            self.end(&end, exchange);
        }
    }

    /// Writes our part of the session's own stream.
    fn write<R>(&mut self, exchange: &mut Exchange<'_, R>) {
        if exchange.state.cancelled.is_some() {
            return;
        }
        if !self.ending.outbox.is_empty() {
            let mut data = self.ending.outbox.split().freeze();
            // An error: our part is over.
            let _ = exchange.write_body(&mut data);
            self.ending.outbox.extend_from_slice(&data);
        }
        if self.phase == Phase::Over && self.ending.outbox.is_empty() {
            // §5: both sides end the stream. An error: it has ended.
            let _ = exchange.finish();
        }
    }

    fn receive<R>(&mut self, data: Bytes, exchange: &mut Exchange<'_, R>) {
        match self.phase {
            Phase::Asked | Phase::Accepted => {
                if self.early.len() == MAX_EARLY_DATAGRAMS {
                    self.early.pop_front();
                }
                self.early.push_back(Bytes::copy_from_slice(&data));
            }
            Phase::Open => {
                self.call(exchange, |visitor, session| visitor.on_datagram_received(data, session));
                self.write(exchange);
            }
            Phase::Over => {}
        }
    }

    fn break_off(&mut self, failure: &RequestFailure) {
        self.phase = Phase::Over;
        if let Some(mut visitor) = self.visitor.take() {
            visitor.on_session_closed(&WebTransportEnd::Failed(failure.clone()));
        }
    }
}

impl RequestHandler for SessionHandler {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        self.run(exchange);
    }

    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        self.write(exchange);
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn on_datagram(&mut self, data: Bytes, exchange: &mut ServerExchange<'_>) {
        self.receive(data, exchange);
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.break_off(failure);
    }
}

impl ResponseHandler for SessionHandler {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        if response.status().is_success() {
            exchange.http.webtransport.open(exchange.state.id);
            self.phase = Phase::Accepted;
        } else {
            self.end(&WebTransportEnd::Rejected(response.status()), exchange);
            exchange.cancel(Http3Code::REQUEST_CANCELLED);
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        self.run(exchange);
    }

    fn on_can_write(&mut self, exchange: &mut ClientExchange<'_>) {
        self.write(exchange);
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn on_datagram(&mut self, data: Bytes, exchange: &mut ClientExchange<'_>) {
        self.receive(data, exchange);
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        self.on_end_of_body(exchange);
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.break_off(failure);
    }
}

/// §5: nothing follows a close.
const AFTER_CLOSE: &str = "data after the close of a session";

/// How many datagrams wait for a session that is not there yet.
const MAX_EARLY_DATAGRAMS: usize = 64;
