//! [`PushedStream`]: a client's stream of one pushed response. Until somebody wants it, it holds a
//! little of it; then it is read as any response.

use bytes::{Bytes, BytesMut};

use super::promise_index::{Claim, PromiseIndex};
use crate::error::StreamError;
use crate::http::client::RequestId;
use crate::http::connection::Http3Connection;
use crate::http::error::Http3Code;
use crate::http::pending_request::PendingRequest;
use crate::http::response_stream::{Pushed, ResponseStream};
use crate::http::transport::Transport;
use crate::types::StreamId;

/// Receives one pushed response.
#[derive(Debug)]
pub(in crate::http) struct PushedStream {
    push: u64,
    stream: StreamId,
    /// What came before anybody wanted it, and whether that is all.
    held: BytesMut,
    at_end: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody wants it yet.
    Held,
    /// It answers this request, if any.
    Wanted(Option<RequestId>, Box<ResponseStream>),
    Over,
}

/// What a stream found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing new.
    Fine,
    /// More came than is held.
    TooLarge,
    /// The push is over.
    Over,
}

impl PushedStream {
    /// A stream of this push that begins with these bytes.
    pub(super) fn new(push: u64, stream: StreamId, start: &[u8]) -> Self {
        let held = BytesMut::from(start);
        Self { push, stream, held, at_end: false, state: State::Held }
    }

    pub(super) fn push(&self) -> u64 {
        self.push
    }

    /// There is something to read, or the stream was woken: somebody wants it, or nobody ever will.
    pub(super) fn on_data_available(
        &mut self,
        promises: &mut PromiseIndex,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Outcome {
        if matches!(self.state, State::Held) {
            if !promises.contains(self.push) {
                self.give_up(io);
                return Outcome::Over;
            }
            match promises.take_claim(self.push) {
                Some((claim, promised)) => {
                    self.want(claim, &promised, http);
                }
                None => return self.hold(http, io),
            }
        }
        let State::Wanted(_, response) = &mut self.state else { return Outcome::Over };
        response.on_data_available(http, io);
        if response.is_over() { Outcome::Over } else { Outcome::Fine }
    }

    /// The server reset the stream. True if nobody wanted it.
    pub(super) fn on_reset(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> bool {
        match &mut self.state {
            State::Wanted(_, response) => {
                response.on_reset(code, http, io);
                false
            }
            State::Held | State::Over => {
                let was_held = matches!(self.state, State::Held);
                self.state = State::Over;
                self.held = BytesMut::new();
                was_held
            }
        }
    }

    /// The application gives up.
    pub(super) fn cancel(&mut self, http: &mut Http3Connection, io: &mut dyn Transport) {
        match &mut self.state {
            State::Wanted(_, response) => response.cancel(http, io),
            State::Held | State::Over => self.give_up(io),
        }
    }

    /// Nobody will read it.
    pub(super) fn give_up(&mut self, io: &mut dyn Transport) {
        if matches!(self.state, State::Held) && !self.at_end {
            // RFC 9114 §7.2.3
            io.stop_sending(self.stream, Http3Code::REQUEST_CANCELLED);
        }
        self.state = State::Over;
        self.held = BytesMut::new();
    }

    /// The request that this push turned out not to answer: it is to be sent after all.
    pub(super) fn take_refused(&mut self) -> Option<(RequestId, PendingRequest)> {
        let State::Wanted(request, response) = &mut self.state else { return None };
        let pending = response.take_refused()?;
        request.take().map(|request| (request, pending))
    }

    pub(in crate::http) fn lingers(&self) -> bool {
        match &self.state {
            State::Held => self.at_end,
            State::Wanted(_, response) => response.lingers(),
            State::Over => false,
        }
    }

    /// The stream is over. Returns the request that it answered.
    pub(in crate::http) fn on_close(&mut self, http: &mut Http3Connection) -> Option<RequestId> {
        match &mut self.state {
            State::Wanted(request, response) => {
                response.on_close(http);
                request.take()
            }
            State::Held | State::Over => None,
        }
    }

    fn want(&mut self, claim: Claim, request: &http::Request<()>, http: &mut Http3Connection) {
        let start = std::mem::take(&mut self.held).freeze();
        let (method, promised) = (request.method().clone(), request.headers().clone());
        let pushed = Pushed { id: self.stream, method, promised, start, at_end: self.at_end };
        http.on_push_wanted();
        let (request, response) = match claim {
            Claim::Request(id, pending) => (Some(id), ResponseStream::instead(pushed, *pending)),
            Claim::Handler(handler) => (None, ResponseStream::pushed(pushed, handler)),
        };
        self.state = State::Wanted(request, Box::new(response));
    }

    /// Keeps what comes for whoever will want it.
    fn hold(&mut self, http: &Http3Connection, io: &mut dyn Transport) -> Outcome {
        while let Some(piece) = self.read(io) {
            if self.held.len() + piece.len() > http.config().max_held_push {
                return Outcome::TooLarge;
            }
            // A copy: the piece may share a receive buffer.
            self.held.extend_from_slice(&piece);
        }
        self.at_end |= io.is_finished(self.stream);
        Outcome::Fine
    }

    fn read(&mut self, io: &mut dyn Transport) -> Option<Bytes> {
        let read: Result<_, StreamError> = io.read(self.stream);
        read.ok().flatten()
    }
}
