//! [`Event`]: the news of a connection with bare streams. What is merely there to be read or written
//! is no event: `readable` and `writable` tell. This file must not know where news come from.

use protoquic_core::{CloseReason, DatagramId, Direction, PathAddress, StreamId};

/// News of a connection, see [`Connection::poll`](crate::Connection::poll).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete (RFC 9001 §4.1.1).
    Established,
    /// A client that resumes may write already; what it writes may be replayed (RFC 9001 §9.2).
    EarlyDataReady,
    /// The server has taken early data or not; if not, all of it is sent again.
    EarlyDataSettled {
        /// Whether it has.
        accepted: bool,
    },
    /// The handshake is confirmed: a client may change its path (RFC 9001 §4.1.2).
    Confirmed,
    /// The peer opened a stream.
    StreamOpened(StreamId),
    /// The peer reset its part of a stream.
    StreamReset {
        /// The stream.
        id: StreamId,
        /// The application's code.
        code: u64,
    },
    /// The peer wants no more of our part of a stream, which has been reset.
    StreamStopped {
        /// The stream.
        id: StreamId,
        /// The application's code.
        code: u64,
    },
    /// The deadline of a stream has passed with something left to send: it was reset.
    StreamExpired(StreamId),
    /// The peer has acknowledged everything that was written to the stream, and its end.
    StreamAcked(StreamId),
    /// Both parts of a stream are over.
    StreamClosed(StreamId),
    /// More streams may be opened, after [`Error::StreamLimit`](crate::Error::StreamLimit).
    StreamsAvailable(Direction),
    /// A datagram of ours was acknowledged.
    DatagramAcked(DatagramId),
    /// A datagram of ours is deemed lost.
    DatagramLost(DatagramId),
    /// A datagram of ours was never sent: its deadline came first, or packets became too small.
    DatagramDropped(DatagramId),
    /// The server gave a token for the next connection to it (RFC 9000 §8.1.3).
    NewToken(bytes::Bytes),
    /// The peer has proven to be at the other end of this path (RFC 9000 §8.2.3).
    PathValidated(PathAddress),
    /// It has not, in time (RFC 9000 §8.2.4).
    PathFailed(PathAddress),
    /// The connection runs over this path from now on.
    PathChanged(PathAddress),
    /// The path in use may be dying.
    PathDegrading,
    /// It gets through again.
    PathRecovered,
    /// The connection is over. The last event.
    Closed(CloseReason),
}
