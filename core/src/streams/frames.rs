//! What streams and packets say to each other: [`FrameSink`] is a packet being built, as this room
//! sees it; [`ControlFrame`] is a frame without data; [`StreamRecord`] is what the connection keeps
//! for each frame that it sent, and hands back when the packet is acknowledged or lost. This file
//! must not know how any of them is encoded.

use crate::error::ApplicationError;
use crate::types::{Direction, StreamId};

/// A packet being built. The connection implements it over its packet builder, and records what it
/// wrote as [`StreamRecord`]s.
pub trait FrameSink {
    /// Bytes left in the packet.
    fn remaining(&self) -> usize;

    /// Writes a control frame. Returns false, having written nothing, if it does not fit; it is then
    /// offered to the next packet.
    fn control(&mut self, frame: ControlFrame) -> bool;

    /// How many bytes of data a STREAM frame for `id` at `offset`, with its length field, could
    /// carry here. 0 if none.
    fn stream_room(&self, id: StreamId, offset: u64) -> usize;

    /// Writes a STREAM frame of `len` bytes, at most `stream_room`; `fill` copies exactly `len`
    /// bytes into the slice it is given, which must have that length. A frame that fills the packet
    /// may do without its length field.
    fn stream(
        &mut self,
        id: StreamId,
        offset: u64,
        fin: bool,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    );
}

/// A frame about streams that carries no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// MAX_DATA (RFC 9000 §19.9): a limit in bytes.
    MaxData(u64),
    /// MAX_STREAM_DATA (RFC 9000 §19.10).
    MaxStreamData {
        /// The stream.
        id: StreamId,
        /// The limit in bytes.
        max: u64,
    },
    /// MAX_STREAMS (RFC 9000 §19.11).
    MaxStreams {
        /// The kind of stream.
        dir: Direction,
        /// How many in all, at most 2^60.
        max: u64,
    },
    /// DATA_BLOCKED (RFC 9000 §19.12): the limit in bytes that holds data back.
    DataBlocked(u64),
    /// STREAM_DATA_BLOCKED (RFC 9000 §19.13).
    StreamDataBlocked {
        /// The stream.
        id: StreamId,
        /// The limit in bytes that holds its data back.
        limit: u64,
    },
    /// STREAMS_BLOCKED (RFC 9000 §19.14).
    StreamsBlocked {
        /// The kind of stream.
        dir: Direction,
        /// The limit that holds a stream back.
        limit: u64,
    },
    /// RESET_STREAM (RFC 9000 §19.4).
    ResetStream {
        /// The stream.
        id: StreamId,
        /// Why, in the application's terms.
        error: ApplicationError,
        /// How many bytes of flow control the stream used.
        final_size: u64,
    },
    /// RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset §4).
    ResetStreamAt {
        /// The stream.
        id: StreamId,
        /// Why, in the application's terms.
        error: ApplicationError,
        /// How many bytes of flow control the stream used.
        final_size: u64,
        /// How many bytes of it are delivered; at most `final_size`.
        reliable: u64,
    },
    /// STOP_SENDING (RFC 9000 §19.5).
    StopSending {
        /// The stream.
        id: StreamId,
        /// Why, in the application's terms.
        error: ApplicationError,
    },
}

impl ControlFrame {
    /// What to keep of it until the packet is acknowledged or lost.
    pub const fn record(self) -> StreamRecord {
        StreamRecord::Control(match self {
            Self::MaxData(_) => ControlKind::MaxData,
            Self::MaxStreamData { id, .. } => ControlKind::MaxStreamData(id),
            Self::MaxStreams { dir, .. } => ControlKind::MaxStreams(dir),
            Self::DataBlocked(_) => ControlKind::DataBlocked,
            Self::StreamDataBlocked { id, .. } => ControlKind::StreamDataBlocked(id),
            Self::StreamsBlocked { dir, .. } => ControlKind::StreamsBlocked(dir),
            Self::ResetStream { id, .. } => ControlKind::ResetStream(id),
            Self::ResetStreamAt { id, reliable, .. } => {
                return StreamRecord::ResetAt { id, reliable };
            }
            Self::StopSending { id, .. } => ControlKind::StopSending(id),
        })
    }
}

/// A frame that was sent: 24 bytes, kept by the connection for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRecord {
    /// A STREAM frame.
    Data {
        /// The stream.
        id: StreamId,
        /// The offset of its first byte.
        offset: u64,
        /// Its length in bytes.
        len: u32,
        /// Whether it carried FIN.
        fin: bool,
    },
    /// RESET_STREAM_AT.
    ResetAt {
        /// The stream.
        id: StreamId,
        /// How many bytes of it are delivered.
        reliable: u64,
    },
    /// Any other frame of this room. Its values are not kept: what is resent is the newest.
    Control(ControlKind),
}

/// Which control frame was sent, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// MAX_DATA.
    MaxData,
    /// MAX_STREAM_DATA.
    MaxStreamData(StreamId),
    /// MAX_STREAMS.
    MaxStreams(Direction),
    /// DATA_BLOCKED.
    DataBlocked,
    /// STREAM_DATA_BLOCKED.
    StreamDataBlocked(StreamId),
    /// STREAMS_BLOCKED.
    StreamsBlocked(Direction),
    /// RESET_STREAM.
    ResetStream(StreamId),
    /// STOP_SENDING.
    StopSending(StreamId),
}

// The connection keeps one of these for every frame in flight.
const _: () = assert!(size_of::<StreamRecord>() <= 24);
