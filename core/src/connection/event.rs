//! [`Event`]: what a connection tells its owner. Events are queued while packets are processed and
//! drained afterwards, so that nobody ever sees a half-processed packet.

use bytes::Bytes;

use super::datagrams::DatagramId;
use crate::error::ApplicationError;
use crate::types::{ConnectionId, Direction, PathAddress, StreamId};

/// News from a connection (Chromium: QuicConnectionVisitorInterface).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The TLS handshake is complete (RFC 9001 §4.1.1).
    HandshakeComplete,
    /// A client that resumes may send early data: streams can be opened and written, and what they
    /// bring may be replayed (RFC 9001 §9.2).
    EarlyDataReady,
    /// The server has taken a client's early data or not; if not, all of it is sent again.
    EarlyDataSettled {
        /// Whether it has.
        accepted: bool,
    },
    /// The handshake is confirmed (RFC 9001 §4.1.2).
    HandshakeConfirmed,
    /// The peer opened a stream.
    StreamOpened(StreamId),
    /// There is data to read, or the end of the stream.
    StreamReadable(StreamId),
    /// There is room to write again.
    StreamWritable(StreamId),
    /// The peer reset its sending part.
    StreamReset {
        /// The stream.
        id: StreamId,
        /// The application's code.
        code: ApplicationError,
    },
    /// The peer asked us to stop sending.
    StreamStopped {
        /// The stream.
        id: StreamId,
        /// The application's code.
        code: ApplicationError,
    },
    /// A stream's sending part was reset: its deadline has passed, and something was left to send.
    StreamExpired(StreamId),
    /// All data and the end of the stream have been acknowledged.
    StreamAcked(StreamId),
    /// Both parts are over; the stream is forgotten.
    StreamClosed(StreamId),
    /// More streams of this direction may be opened than when `open_stream` last refused.
    StreamsAvailable(Direction),
    /// A datagram came (RFC 9221). It may be a slice of a batch of packets: copy what you keep long.
    DatagramReceived(Bytes),
    /// A datagram of ours was acknowledged: the peer's QUIC has it.
    DatagramAcked(DatagramId),
    /// The packet with a datagram of ours was declared lost. It is not sent again.
    DatagramLost(DatagramId),
    /// A datagram of ours was never sent: its deadline came first, or packets became too small.
    DatagramDropped(DatagramId),
    /// The server sent a token for later connections.
    NewToken(Bytes),
    /// A connection ID of ours came into use.
    ConnectionIdIssued(ConnectionId),
    /// A connection ID of ours went out of use.
    ConnectionIdRetired(ConnectionId),
    /// The peer has proven that it is at the other end of this path (RFC 9000 §8.2.3).
    PathValidated(PathAddress),
    /// No proof came of this path (RFC 9000 §8.2.4); if the connection used it, it has returned to
    /// the last proven one.
    PathFailed(PathAddress),
    /// Several probe timeouts have expired in a row: the path in use may be dying. Once, until it
    /// recovers or another path is used.
    PathDegrading,
    /// The path gets through again after all.
    PathRecovered,
    /// The connection runs over this path from now on.
    PathChanged(PathAddress),
    /// Nothing has come for a while: it is time to give memory back.
    Idle,
}
