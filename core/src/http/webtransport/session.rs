//! [`WebTransportSession`]: what a visitor can do with its session and the session's streams. Must
//! not know how a session begins.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::capsules::{self, MAX_REASON};
use super::codes::to_http3_code;
use super::stream::{BIDI_SIGNAL, UNI_TYPE};
use super::visitor::WebTransportEnd;
use crate::error::StreamError;
use crate::http::datagrams::HttpDatagramError;
use crate::http::error::ExchangeError;
use crate::http::exchange::Exchange;
use crate::http::frame::emit;
use crate::streams::Priority;
use crate::time::Time;
use crate::types::{Direction, StreamId};

/// Neither a server's exchange nor a client's.
#[derive(Debug)]
pub(super) enum EitherSide {}

/// One session, lent to its visitor for a callback.
pub struct WebTransportSession<'a> {
    exchange: Exchange<'a, EitherSide>,
    pub(super) ending: &'a mut Ending,
}

/// What a session's own stream is still to carry.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Capsules to be written.
    pub(super) outbox: BytesMut,
    /// The peer was asked for the end.
    has_drained: bool,
    /// We have closed it.
    pub(super) closed: Option<WebTransportEnd>,
    /// The peer has.
    pub(super) peer_closed: bool,
}

impl std::fmt::Debug for WebTransportSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebTransportSession").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl<'a> WebTransportSession<'a> {
    pub(super) fn new<R>(exchange: &'a mut Exchange<'_, R>, ending: &'a mut Ending) -> Self {
        let exchange = Exchange::new(exchange.state, exchange.http, exchange.io);
        Self { exchange, ending }
    }

    /// The session's ID, which is that of its CONNECT's stream. With it, `wake_stream` from outside
    /// has the visitor called.
    pub fn id(&self) -> StreamId {
        self.exchange.state.id
    }

    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.exchange.now()
    }

    /// The peer's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.exchange.peer_address()
    }

    /// Has the visitor called at this time, whether or not there is news.
    pub fn wake_at(&mut self, at: Time) {
        self.exchange.wake_at(at);
    }

    /// Opens a stream for both sides to write on.
    ///
    /// # Errors
    ///
    /// [`StreamError::LimitReached`] if the peer allows no more for now: see
    /// [`on_can_create_outgoing_stream`](super::WebTransportVisitor::on_can_create_outgoing_stream).
    /// [`StreamError::Finished`] if the session was closed.
    pub fn open_bidirectional_stream(&mut self) -> Result<StreamId, StreamError> {
        self.open(Direction::Bidirectional, BIDI_SIGNAL)
    }

    /// Opens a stream for us to write on.
    ///
    /// # Errors
    ///
    /// As [`open_bidirectional_stream`](Self::open_bidirectional_stream).
    pub fn open_unidirectional_stream(&mut self) -> Result<StreamId, StreamError> {
        self.open(Direction::Unidirectional, UNI_TYPE)
    }

    fn open(&mut self, direction: Direction, front: u64) -> Result<StreamId, StreamError> {
        let session = self.id();
        let Exchange { http, io, .. } = &mut self.exchange;
        if self.ending.closed.is_some() || !http.webtransport.is_open(session) {
            return Err(StreamError::Finished);
        }
        let id = match io.open_stream(direction) {
            Err(StreamError::LimitReached) => {
                http.webtransport.on_blocked(session, direction);
                return Err(StreamError::LimitReached);
            }
            opened => opened?,
        };
        // draft-ietf-webtrans-http3-07 §4.1, §4.2
        let header = http.small(|out| {
            emit::varint(out, front);
            emit::varint(out, session.as_u64());
        });
        http.webtransport.add_outgoing(session, id, header.len() as u64);
        io.write_all(id, header)?;
        Ok(id)
    }

    /// The next piece of a stream's data; `None` if there is none now, or no more at all. The piece
    /// may share a receive buffer: copy what you keep for long.
    pub fn read(&mut self, stream: StreamId) -> Option<Bytes> {
        self.check(stream).ok()?;
        let Exchange { http, io, .. } = &mut self.exchange;
        let read = io.read(stream);
        if io.is_finished(stream) {
            http.webtransport.on_read_finished(stream);
        }
        read.ok().flatten()
    }

    /// Whether the peer has finished its part of a stream and all of it was read. Also true for a
    /// stream that is over.
    pub fn is_read_finished(&self, stream: StreamId) -> bool {
        self.exchange.http.webtransport.is_read_finished(stream)
    }

    /// Takes the front of `data` as far as there is room, and returns how many bytes that is;
    /// [`on_stream_writable`](super::WebTransportVisitor::on_stream_writable) tells when to go on.
    ///
    /// # Errors
    ///
    /// [`StreamError::UnknownStream`] for a stream that is not this session's, or is over, and
    /// others for a part that cannot be written to any more.
    pub fn write(&mut self, stream: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        self.check(stream)?;
        self.exchange.io.write(stream, data)
    }

    /// Ends our part of a stream; what was written is still delivered.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(&mut self, stream: StreamId) -> Result<(), StreamError> {
        self.check(stream)?;
        self.exchange.io.finish(stream)
    }

    /// Abandons our part of a stream with a code of the application's. That it is the session's
    /// still reaches a peer that takes RESET_STREAM_AT. Does nothing on a stream that is over.
    pub fn reset(&mut self, stream: StreamId, code: u32) {
        if self.check(stream).is_ok() {
            let Exchange { http, io, .. } = &mut self.exchange;
            // draft-ietf-webtrans-http3-07 §4.3
            let reliable = http.webtransport.header_len(stream);
            io.reset_at(stream, to_http3_code(code), reliable);
        }
    }

    /// Asks the peer to abandon its part of a stream; nothing more is read. Does nothing on a
    /// stream that is over.
    pub fn stop_sending(&mut self, stream: StreamId, code: u32) {
        if self.check(stream).is_ok() {
            self.exchange.io.stop_sending(stream, to_http3_code(code));
        }
    }

    /// Ranks what we send on a stream among all streams of the connection.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn set_priority(
        &mut self,
        stream: StreamId,
        priority: Priority,
    ) -> Result<(), StreamError> {
        self.check(stream)?;
        self.exchange.io.set_priority(stream, priority)
    }

    /// Sends an unreliable datagram.
    ///
    /// # Errors
    ///
    /// See [`HttpDatagramError`].
    pub fn send_datagram(&mut self, data: &[u8]) -> Result<(), HttpDatagramError> {
        if self.ending.closed.is_some() {
            return Err(HttpDatagramError::StreamClosed);
        }
        self.exchange.send_datagram(data)
    }

    /// How many bytes a datagram may have now; `None` if none can be sent.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.exchange.max_datagram_size()
    }

    /// Ends the session, with a code and a reason for the peer's application. All its streams are
    /// reset; what must have arrived is to be waited for before. The first call counts.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Invalid`] for a reason of more than 1024 bytes; nothing then happens.
    pub fn close(&mut self, code: u32, reason: &str) -> Result<(), ExchangeError> {
        // draft-ietf-webtrans-http3-07 §5
        if reason.len() > MAX_REASON {
            return Err(ExchangeError::Invalid("a session's reason is longer than 1024 bytes"));
        }
        if self.ending.closed.is_none() {
            self.ending.outbox.extend_from_slice(&capsules::close(code, reason));
            self.ending.closed = Some(WebTransportEnd::Closed { code, reason: reason.to_owned() });
        }
        Ok(())
    }

    /// Asks the peer to come to an end; nothing is refused. The first call counts.
    pub fn drain(&mut self) {
        if !std::mem::replace(&mut self.ending.has_drained, true) && self.ending.closed.is_none() {
            self.ending.outbox.extend_from_slice(&capsules::drain());
        }
    }

    fn check(&self, stream: StreamId) -> Result<(), StreamError> {
        if self.exchange.http.webtransport.owns(self.id(), stream) {
            return Ok(());
        }
        Err(StreamError::UnknownStream)
    }
}
