//! [`Transport`]: what HTTP/3 asks of the connection under a stream. A trait of its own so that
//! the message logic does not know the connection and can be tested without one.

use std::net::SocketAddr;

use bytes::Bytes;

use super::datagrams;
use super::error::Http3Code;
use crate::connection::{Connection, DatagramError};
use crate::error::StreamError;
use crate::streams::Priority;
use crate::types::{Direction, StreamId};

/// Streams to read from and write to.
pub(super) trait Transport {
    /// The next piece of data; `None` if there is none now.
    fn read(&mut self, id: StreamId) -> Result<Option<Bytes>, StreamError>;
    /// As [`read`](Self::read), at most `max` bytes.
    fn read_up_to(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, StreamError>;
    /// Opens a stream. Its object must be installed in the same callback.
    fn open_stream(&mut self, direction: Direction) -> Result<StreamId, StreamError>;
    /// Whether the peer has finished and everything has been read.
    fn is_finished(&self, id: StreamId) -> bool;
    /// Takes the front of `data` as far as there is room; if some is left, the stream's
    /// `on_can_write` comes.
    fn write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError>;
    /// Takes all of `data`.
    fn write_all(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError>;
    /// Takes a whole message and ends the sending part, if there is room for all of it; otherwise
    /// takes nothing and returns false.
    fn write_message(
        &mut self,
        id: StreamId,
        head: Bytes,
        body: Bytes,
    ) -> Result<bool, StreamError>;
    /// The room for `write`; 0 for a stream that cannot be written to.
    fn writable(&mut self, id: StreamId) -> usize;
    /// Ends the sending part in order.
    fn finish(&mut self, id: StreamId) -> Result<(), StreamError>;
    /// Abandons the sending part. Harmless on a stream that is over.
    fn reset(&mut self, id: StreamId, code: Http3Code);
    /// As [`reset`](Self::reset), but the first `reliable` bytes arrive if the peer takes
    /// RESET_STREAM_AT.
    fn reset_at(&mut self, id: StreamId, code: Http3Code, reliable: u64);
    /// Asks the peer to abandon its part. Harmless on a stream that is over.
    fn stop_sending(&mut self, id: StreamId, code: Http3Code);
    /// How urgent the sending part is.
    fn set_priority(&mut self, id: StreamId, priority: Priority) -> Result<(), StreamError>;
    /// Its urgency now; `None` if it is over.
    fn priority(&self, id: StreamId) -> Option<Priority>;
    /// Whether this stream of the peer's is one that we let it open.
    fn is_within_limit(&self, id: StreamId) -> bool;
    /// Whether the peer was told that we take datagrams (RFC 9221 §3).
    fn takes_datagrams(&self) -> bool;
    /// Queues a datagram (RFC 9221).
    fn send_datagram(&mut self, data: Bytes) -> Result<(), DatagramError>;
    /// How many bytes a datagram may have now; `None` if the peer takes none.
    fn max_datagram_size(&self) -> Option<usize>;
    /// The peer's address.
    fn peer_address(&self) -> SocketAddr;
    /// Whether the handshake is not complete: what comes may be a replay (RFC 8470).
    fn is_early(&self) -> bool {
        false
    }
}

impl Transport for Connection {
    fn read(&mut self, id: StreamId) -> Result<Option<Bytes>, StreamError> {
        self.stream_read(id, usize::MAX)
    }

    fn read_up_to(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, StreamError> {
        self.stream_read(id, max)
    }

    fn open_stream(&mut self, direction: Direction) -> Result<StreamId, StreamError> {
        Self::open_stream(self, direction)
    }

    fn is_finished(&self, id: StreamId) -> bool {
        self.stream_is_finished(id)
    }

    fn write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        self.stream_write(id, data)
    }

    fn write_all(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError> {
        self.stream_write_all(id, data)
    }

    fn write_message(
        &mut self,
        id: StreamId,
        head: Bytes,
        body: Bytes,
    ) -> Result<bool, StreamError> {
        self.stream_write_message(id, head, body)
    }

    fn writable(&mut self, id: StreamId) -> usize {
        self.stream_writable(id).unwrap_or(0)
    }

    fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.stream_finish(id)
    }

    fn reset(&mut self, id: StreamId, code: Http3Code) {
        // An error says that the sending part is over already, which is what was wanted.
        let _ = self.stream_reset(id, code.into());
    }

    fn reset_at(&mut self, id: StreamId, code: Http3Code, reliable: u64) {
        if let Err(StreamError::NotSupported) = self.stream_reset_at(id, code.into(), reliable) {
            Transport::reset(self, id, code);
        }
    }

    fn stop_sending(&mut self, id: StreamId, code: Http3Code) {
        // An error says that there is nothing to stop, which is what was wanted.
        let _ = self.stream_stop_sending(id, code.into());
    }

    fn set_priority(&mut self, id: StreamId, priority: Priority) -> Result<(), StreamError> {
        self.stream_set_priority(id, priority)
    }

    fn priority(&self, id: StreamId) -> Option<Priority> {
        self.stream_priority(id)
    }

    fn is_within_limit(&self, id: StreamId) -> bool {
        self.peer_may_open(id)
    }

    fn takes_datagrams(&self) -> bool {
        Self::takes_datagrams(self)
    }

    fn send_datagram(&mut self, data: Bytes) -> Result<(), DatagramError> {
        Self::send_datagram(self, data, datagrams::options()).map(drop)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        Self::max_datagram_size(self)
    }

    fn peer_address(&self) -> SocketAddr {
        Self::peer_address(self)
    }

    fn is_early(&self) -> bool {
        !self.is_established() && !self.is_closed()
    }
}
