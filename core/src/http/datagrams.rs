//! HTTP Datagrams in QUIC DATAGRAM frames (RFC 9297 §2.1): which exchange one belongs to, and what
//! waits there to be handed on. Must not know handlers.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasherDefault;

use bytes::{Bytes, BytesMut};

use super::connection::Http3Connection;
use super::error::{Http3Code, Http3Error};
use super::exchange::Exchange;
use super::frame::emit;
use super::transport::Transport;
use crate::connection::{DatagramError, DatagramOptions};
use crate::rare::Blank;
use crate::streams::IdHasher;
use crate::types::StreamId;
use crate::wire::{Reader, varint_len};

/// Why a datagram cannot be sent. None of these ends anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpDatagramError {
    /// One side does not take datagrams, or the peer has not said yet that it does: see
    /// [`Http3Config::datagrams`](super::Http3Config::datagrams).
    NotSupported,
    /// It is larger than this many bytes, which is what fits now.
    TooLarge(usize),
    /// Too many wait to be sent.
    QueueFull,
    /// We have ended our side of the exchange, or the connection is over.
    StreamClosed,
}

impl fmt::Display for HttpDatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("datagrams were not agreed on"),
            Self::TooLarge(max) => write!(f, "a datagram may have {max} bytes at most now"),
            Self::QueueFull => f.write_str("too many datagrams wait to be sent"),
            Self::StreamClosed => f.write_str("our side of the exchange is over"),
        }
    }
}

impl std::error::Error for HttpDatagramError {}

type Queues = HashMap<StreamId, VecDeque<Bytes>, BuildHasherDefault<IdHasher>>;

/// Datagrams that came and were not handed on.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Of every exchange that has begun and can still take some.
    open: Queues,
    /// Of requests that have not come, or not whole, oldest first.
    early: VecDeque<(StreamId, Bytes)>,
    /// Our settings have said that we take datagrams.
    pub(super) announced: bool,
    /// Where datagrams are put together.
    scratch: Option<BytesMut>,
}

impl Blank for Datagrams {
    const BLANK: &'static Self = &Self {
        open: Queues::with_hasher(BuildHasherDefault::new()),
        early: VecDeque::new(),
        announced: false,
        scratch: None,
    };
}

impl Datagrams {
    /// Whether none are taken, or none were so far.
    pub(super) fn is_blank(&self) -> bool {
        self.open.is_empty() && self.early.is_empty() && !self.announced && self.scratch.is_none()
    }

    /// An exchange begins.
    fn on_begun(&mut self, id: StreamId) {
        let queue = self.open.entry(id).or_default();
        self.early.retain(|(stream, data)| {
            if *stream == id {
                queue.push_back(data.clone());
            }
            *stream != id
        });
    }

    /// Whether an exchange goes on. Only known where datagrams are taken.
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.open.contains_key(&id)
    }

    /// An exchange takes no more. RFC 9297 §2.1: what comes for it is dropped.
    pub(super) fn on_over(&mut self, id: StreamId) {
        self.open.remove(&id);
    }

    /// Forgets what waits for requests that have not come for a while.
    pub(super) fn release_memory(&mut self) {
        self.early = VecDeque::new();
        self.scratch = None;
        self.open.shrink_to_fit();
    }

    /// The next datagram for an exchange.
    pub(super) fn take(&mut self, id: StreamId) -> Option<Bytes> {
        self.open.get_mut(&id)?.pop_front()
    }
}

impl Http3Connection {
    /// Datagrams for this exchange have somebody to go to.
    pub(super) fn expect_datagrams(&mut self, id: StreamId) {
        if self.config().datagrams {
            self.datagrams.on_begun(id);
        }
    }

    /// A DATAGRAM frame came.
    pub(super) fn on_datagram(
        &mut self,
        mut data: Bytes,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        if !self.config().datagrams {
            return Ok(()); // nobody said that we would take it
        }
        let mut reader = Reader::new(&data);
        // RFC 9297 §2.1
        let Some(quarter) = reader.varint().filter(|id| *id <= MAX_QUARTER) else {
            return Err(Http3Error::new(
                Http3Code::DATAGRAM_ERROR,
                "a datagram without a quarter stream ID",
            ));
        };
        let id = StreamId::from_raw(4 * quarter);
        let start = reader.position();
        let data = data.split_off(start);
        let datagrams = &mut *self.datagrams;
        if let Some(queue) = datagrams.open.get_mut(&id) {
            if queue.len() < MAX_WAITING {
                queue.push_back(data);
                self.wakes.push(id);
            }
            return Ok(());
        }
        // RFC 9297 §2.1
        if self.role().is_server() && !io.is_within_limit(id) {
            return Err(Http3Error::new(
                Http3Code::ID_ERROR,
                format!("a datagram for {id}, beyond the limit"),
            ));
        }
        if self.role().is_server() && (id.as_u64() >= self.requests_end() || self.awaits_head(id)) {
            // Kept for a moment; a copy, for it may share a receive buffer.
            if self.datagrams.early.len() == MAX_EARLY {
                self.datagrams.early.pop_front();
            }
            self.datagrams.early.push_back((id, Bytes::copy_from_slice(&data)));
        }
        Ok(())
    }

    /// Whether both sides have said that they take datagrams (RFC 9297 §2.1.1).
    fn has_datagrams(&self) -> bool {
        let peer = self.peer_settings().is_some_and(|settings| settings.h3_datagram);
        peer && self.datagrams.announced
    }

    fn send_datagram(
        &mut self,
        id: StreamId,
        data: &[u8],
        io: &mut dyn Transport,
    ) -> Result<(), HttpDatagramError> {
        // RFC 9297 §2.1.1: not before both have said so.
        if !self.has_datagrams() {
            return Err(HttpDatagramError::NotSupported);
        }
        let quarter = id.as_u64() / 4;
        let len = varint_len(quarter) + data.len();
        let scratch = self.datagrams.scratch.get_or_insert_default();
        if scratch.capacity() < len {
            scratch.reserve(SCRATCH.max(len));
        }
        emit::varint(scratch, quarter);
        scratch.extend_from_slice(data);
        let datagram = scratch.split().freeze();
        io.send_datagram(datagram).map_err(|error| match error {
            DatagramError::NotSupported => HttpDatagramError::NotSupported,
            DatagramError::TooLarge(max) => {
                HttpDatagramError::TooLarge(max.saturating_sub(varint_len(quarter)))
            }
            DatagramError::QueueFull => HttpDatagramError::QueueFull,
            DatagramError::ConnectionClosed => HttpDatagramError::StreamClosed,
        })
    }
}

impl<R> Exchange<'_, R> {
    /// Sends an unreliable datagram that belongs to this exchange (RFC 9297). What it means is for
    /// the protocol of an extended CONNECT to say; the peer's handler must take datagrams
    /// ([`RequestHandler::takes_datagrams`](super::RequestHandler::takes_datagrams),
    /// [`ResponseHandler::takes_datagrams`](super::ResponseHandler::takes_datagrams)).
    ///
    /// # Errors
    ///
    /// See [`HttpDatagramError`]. Where datagrams are not supported they can be sent as capsules,
    /// [`Capsule::datagram`](super::Capsule::datagram).
    pub fn send_datagram(&mut self, data: &[u8]) -> Result<(), HttpDatagramError> {
        // RFC 9297 §2.1: only while our side of the stream is open.
        if self.state.writer.is_over() {
            return Err(HttpDatagramError::StreamClosed);
        }
        self.http.send_datagram(self.state.id, data, self.io)
    }

    /// How many bytes a datagram may have now; `None` if none can be sent.
    pub fn max_datagram_size(&self) -> Option<usize> {
        let max = self.io.max_datagram_size().filter(|_| self.http.has_datagrams())?;
        max.checked_sub(varint_len(self.state.id.as_u64() / 4))
    }
}

/// What [`Transport`] sends datagrams with.
pub(super) fn options() -> DatagramOptions {
    DatagramOptions::default()
}

/// RFC 9297 §2.1: the largest quarter of a stream ID.
const MAX_QUARTER: u64 = (1 << 60) - 1;

/// How many datagrams wait for one handler.
const MAX_WAITING: usize = 64;

/// How many datagrams wait for requests that have not come.
const MAX_EARLY: usize = 64;

/// How much is allocated at a time for datagrams, in bytes.
const SCRATCH: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_keeps_nothing_for_requests_that_never_came() {
        let mut datagrams = Datagrams::default();
        let id = StreamId::from_raw(4);
        datagrams.scratch = Some(BytesMut::with_capacity(SCRATCH));
        datagrams.early.push_back((id, Bytes::from_static(b"early")));
        datagrams.release_memory();
        assert!(datagrams.is_blank() && datagrams.early.capacity() == 0);
        datagrams.on_begun(id);
        assert_eq!(datagrams.take(id), None);
    }
}
