//! [`Frame`]: every frame of RFC 9000 §19 and RFC 9221, as a value that borrows from the packet,
//! and what each is for: its type, whether it elicits an ACK, which packets may carry it. Parsing
//! and writing are in the neighbouring files.

use super::ack::AckFrame;
use super::frame_emit::length_prefixed_room;
use crate::error::TransportErrorCode;
use crate::types::{ConnectionId, Direction, ResetToken, Space, StreamId};

/// The largest number of streams of a kind: 2^60 (RFC 9000 §4.6).
pub const MAX_STREAMS_LIMIT: u64 = 1 << 60;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A run of this many PADDING frames, at least one (§19.1).
    Padding(usize),
    /// PING (§19.2).
    Ping,
    /// ACK, with or without ECN counts (§19.3).
    Ack(AckFrame<'a>),
    /// RESET_STREAM (§19.4).
    ResetStream {
        /// The stream whose sending part ends.
        id: StreamId,
        /// The application's error code.
        error: u64,
        /// The stream's length in bytes.
        final_size: u64,
    },
    /// RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset §4).
    ResetStreamAt {
        /// The stream whose sending part ends.
        id: StreamId,
        /// The application's error code.
        error: u64,
        /// The stream's length in bytes.
        final_size: u64,
        /// How many bytes of it are delivered; at most `final_size`.
        reliable_size: u64,
    },
    /// STOP_SENDING (§19.5).
    StopSending {
        /// The stream of which no more is wanted.
        id: StreamId,
        /// The application's error code.
        error: u64,
    },
    /// CRYPTO (§19.6). `offset + data.len()` is at most 2^62 - 1.
    Crypto {
        /// Where the data goes in the handshake stream of its packet number space.
        offset: u64,
        /// Handshake bytes.
        data: &'a [u8],
    },
    /// NEW_TOKEN (§19.7).
    NewToken {
        /// For the Initial of a later connection; not empty.
        token: &'a [u8],
    },
    /// STREAM (§19.8). `offset + data.len()` is at most 2^62 - 1.
    Stream {
        /// The stream.
        id: StreamId,
        /// Where the data goes in the stream.
        offset: u64,
        /// Whether the stream ends after this data.
        fin: bool,
        /// The data; may be empty.
        data: &'a [u8],
    },
    /// MAX_DATA (§19.9): this many bytes in all streams together.
    MaxData(u64),
    /// MAX_STREAM_DATA (§19.10).
    MaxStreamData {
        /// The stream.
        id: StreamId,
        /// This many bytes in it.
        max: u64,
    },
    /// MAX_STREAMS (§19.11).
    MaxStreams {
        /// Of which kind.
        direction: Direction,
        /// This many over the connection's life, at most [`MAX_STREAMS_LIMIT`].
        max: u64,
    },
    /// DATA_BLOCKED at this limit (§19.12).
    DataBlocked(u64),
    /// STREAM_DATA_BLOCKED (§19.13).
    StreamDataBlocked {
        /// The stream.
        id: StreamId,
        /// The limit it is blocked at.
        limit: u64,
    },
    /// STREAMS_BLOCKED (§19.14).
    StreamsBlocked {
        /// Which kind cannot be opened.
        direction: Direction,
        /// The limit, at most [`MAX_STREAMS_LIMIT`].
        limit: u64,
    },
    /// NEW_CONNECTION_ID (§19.15).
    NewConnectionId {
        /// The sequence number of the new ID.
        sequence: u64,
        /// IDs below this are to be retired; at most `sequence`.
        retire_prior_to: u64,
        /// The new ID, of 1 to 20 bytes.
        id: ConnectionId,
        /// The stateless reset token that belongs to it.
        reset_token: ResetToken,
    },
    /// RETIRE_CONNECTION_ID (§19.16).
    RetireConnectionId {
        /// The sequence number of an ID that will not be used again.
        sequence: u64,
    },
    /// PATH_CHALLENGE (§19.17).
    PathChallenge([u8; 8]),
    /// PATH_RESPONSE (§19.18).
    PathResponse([u8; 8]),
    /// CONNECTION_CLOSE (§19.19).
    ConnectionClose(ConnectionCloseFrame<'a>),
    /// HANDSHAKE_DONE (§19.20).
    HandshakeDone,
    /// ACK_FREQUENCY (draft-ietf-quic-ack-frequency §4).
    AckFrequency(AckFrequencyFrame),
    /// IMMEDIATE_ACK (draft-ietf-quic-ack-frequency §5).
    ImmediateAck,
    /// DATAGRAM (RFC 9221 §4).
    Datagram {
        /// The application's datagram; may be empty.
        data: &'a [u8],
        /// Whether there is a Length field. Without it the data runs to the end of the packet.
        has_length: bool,
    },
}

/// An ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency §4). Whether the values are valid is for the
/// connection to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckFrequencyFrame {
    /// Rises with each frame sent; older frames are ignored.
    pub sequence: u64,
    /// How many ack-eliciting packets may go unacknowledged.
    pub threshold: u64,
    /// What max_ack_delay is to be, in microseconds.
    pub max_ack_delay: u64,
    /// How much reordering is answered at once; 0 for none.
    pub reordering: u64,
}

/// A CONNECTION_CLOSE frame (RFC 9000 §19.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCloseFrame<'a> {
    /// Whether the application closed (0x1d) or the transport (0x1c).
    pub application: bool,
    /// A code of the application, or a transport error code.
    pub code: u64,
    /// The type of the frame that caused a transport error, 0 if unknown. An application's close
    /// does not carry it: it is 0 when parsed and not written.
    pub frame_type: u64,
    /// What happened, for a person; not trusted to be text.
    pub reason: &'a [u8],
}

impl ConnectionCloseFrame<'_> {
    /// The same close with its reason cut to what fits when the whole frame has `room` bytes. The
    /// other fields are kept, so below 18 bytes the frame may still be longer than the room.
    #[must_use]
    pub fn fitted(self, room: usize) -> Self {
        let empty = Frame::ConnectionClose(Self { reason: &[], ..self });
        // One byte of the empty frame is the length that `length_prefixed_room` counts itself.
        let room = length_prefixed_room((room + 1).saturating_sub(empty.encoded_len()));
        Self { reason: &self.reason[..self.reason.len().min(room)], ..self }
    }

    /// The close as Initial and Handshake packets carry it. RFC 9000 §10.2.3: there an
    /// application's close becomes APPLICATION_ERROR of the transport without a reason, so that
    /// nothing of the application shows before the peer is authenticated.
    #[must_use]
    pub const fn for_handshake(self) -> Self {
        if !self.application {
            return self;
        }
        Self {
            application: false,
            code: TransportErrorCode::APPLICATION_ERROR.0,
            frame_type: 0,
            reason: &[],
        }
    }
}

/// The packets that carry frames (RFC 9000 §12.4, Table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Initial.
    Initial,
    /// 0-RTT.
    ZeroRtt,
    /// Handshake.
    Handshake,
    /// 1-RTT.
    OneRtt,
}

impl PacketType {
    /// The packet number space it belongs to (RFC 9000 §12.3).
    pub const fn space(self) -> Space {
        match self {
            Self::Initial => Space::Initial,
            Self::Handshake => Space::Handshake,
            Self::ZeroRtt | Self::OneRtt => Space::Application,
        }
    }
}

/// The numbers of the frame types (RFC 9000 §19, RFC 9221 §4).
pub mod frame_type {
    /// PADDING.
    pub const PADDING: u64 = 0x00;
    /// PING.
    pub const PING: u64 = 0x01;
    /// ACK without ECN counts.
    pub const ACK: u64 = 0x02;
    /// ACK with ECN counts.
    pub const ACK_ECN: u64 = 0x03;
    /// RESET_STREAM.
    pub const RESET_STREAM: u64 = 0x04;
    /// STOP_SENDING.
    pub const STOP_SENDING: u64 = 0x05;
    /// CRYPTO.
    pub const CRYPTO: u64 = 0x06;
    /// NEW_TOKEN.
    pub const NEW_TOKEN: u64 = 0x07;
    /// STREAM, the first of eight types.
    pub const STREAM: u64 = 0x08;
    /// In a STREAM type: the stream ends here.
    pub const STREAM_FIN_BIT: u64 = 0x01;
    /// In a STREAM type: there is a Length field.
    pub const STREAM_LEN_BIT: u64 = 0x02;
    /// In a STREAM type: there is an Offset field.
    pub const STREAM_OFF_BIT: u64 = 0x04;
    /// The last STREAM type.
    pub const STREAM_LAST: u64 = 0x0f;
    /// MAX_DATA.
    pub const MAX_DATA: u64 = 0x10;
    /// MAX_STREAM_DATA.
    pub const MAX_STREAM_DATA: u64 = 0x11;
    /// MAX_STREAMS of bidirectional streams.
    pub const MAX_STREAMS_BIDI: u64 = 0x12;
    /// MAX_STREAMS of unidirectional streams.
    pub const MAX_STREAMS_UNI: u64 = 0x13;
    /// DATA_BLOCKED.
    pub const DATA_BLOCKED: u64 = 0x14;
    /// STREAM_DATA_BLOCKED.
    pub const STREAM_DATA_BLOCKED: u64 = 0x15;
    /// STREAMS_BLOCKED of bidirectional streams.
    pub const STREAMS_BLOCKED_BIDI: u64 = 0x16;
    /// STREAMS_BLOCKED of unidirectional streams.
    pub const STREAMS_BLOCKED_UNI: u64 = 0x17;
    /// NEW_CONNECTION_ID.
    pub const NEW_CONNECTION_ID: u64 = 0x18;
    /// RETIRE_CONNECTION_ID.
    pub const RETIRE_CONNECTION_ID: u64 = 0x19;
    /// PATH_CHALLENGE.
    pub const PATH_CHALLENGE: u64 = 0x1a;
    /// PATH_RESPONSE.
    pub const PATH_RESPONSE: u64 = 0x1b;
    /// CONNECTION_CLOSE by the transport.
    pub const CONNECTION_CLOSE: u64 = 0x1c;
    /// CONNECTION_CLOSE by the application.
    pub const CONNECTION_CLOSE_APPLICATION: u64 = 0x1d;
    /// HANDSHAKE_DONE.
    pub const HANDSHAKE_DONE: u64 = 0x1e;
    /// IMMEDIATE_ACK.
    pub const IMMEDIATE_ACK: u64 = 0x1f;
    /// ACK_FREQUENCY.
    pub const ACK_FREQUENCY: u64 = 0xaf;
    /// RESET_STREAM_AT.
    pub const RESET_STREAM_AT: u64 = 0x24;
    /// DATAGRAM that runs to the end of its packet.
    pub const DATAGRAM: u64 = 0x30;
    /// DATAGRAM with a Length field.
    pub const DATAGRAM_LEN: u64 = 0x31;
}

impl Frame<'_> {
    /// The type with which [`Frame::write`] writes this frame: STREAM frames with a
    /// Length field, whatever they were parsed from.
    pub const fn frame_type(&self) -> u64 {
        match self {
            Self::Padding(_) => frame_type::PADDING,
            Self::Ping => frame_type::PING,
            Self::Ack(ack) if ack.ecn.is_some() => frame_type::ACK_ECN,
            Self::Ack(_) => frame_type::ACK,
            Self::ResetStream { .. } => frame_type::RESET_STREAM,
            Self::ResetStreamAt { .. } => frame_type::RESET_STREAM_AT,
            Self::StopSending { .. } => frame_type::STOP_SENDING,
            Self::Crypto { .. } => frame_type::CRYPTO,
            Self::NewToken { .. } => frame_type::NEW_TOKEN,
            Self::Stream { offset, fin, .. } => stream_type(*offset, true, *fin),
            Self::MaxData(_) => frame_type::MAX_DATA,
            Self::MaxStreamData { .. } => frame_type::MAX_STREAM_DATA,
            Self::MaxStreams { direction, .. } => frame_type::MAX_STREAMS_BIDI | uni(*direction),
            Self::DataBlocked(_) => frame_type::DATA_BLOCKED,
            Self::StreamDataBlocked { .. } => frame_type::STREAM_DATA_BLOCKED,
            Self::StreamsBlocked { direction, .. } => {
                frame_type::STREAMS_BLOCKED_BIDI | uni(*direction)
            }
            Self::NewConnectionId { .. } => frame_type::NEW_CONNECTION_ID,
            Self::RetireConnectionId { .. } => frame_type::RETIRE_CONNECTION_ID,
            Self::PathChallenge(_) => frame_type::PATH_CHALLENGE,
            Self::PathResponse(_) => frame_type::PATH_RESPONSE,
            Self::ConnectionClose(close) if close.application => {
                frame_type::CONNECTION_CLOSE_APPLICATION
            }
            Self::ConnectionClose(_) => frame_type::CONNECTION_CLOSE,
            Self::HandshakeDone => frame_type::HANDSHAKE_DONE,
            Self::AckFrequency(_) => frame_type::ACK_FREQUENCY,
            Self::ImmediateAck => frame_type::IMMEDIATE_ACK,
            Self::Datagram { has_length: true, .. } => frame_type::DATAGRAM_LEN,
            Self::Datagram { .. } => frame_type::DATAGRAM,
        }
    }

    /// Whether a packet with this frame must be acknowledged: all but ACK, PADDING and
    /// CONNECTION_CLOSE (RFC 9002 §2).
    #[inline]
    pub const fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Padding(_) | Self::ConnectionClose(_))
    }

    /// Whether this is a probing frame (RFC 9000 §9.1): a packet of only these does not make the
    /// peer's new address the connection's path.
    #[inline]
    pub const fn is_probing(&self) -> bool {
        matches!(
            self,
            Self::PathChallenge(_)
                | Self::PathResponse(_)
                | Self::NewConnectionId { .. }
                | Self::Padding(_)
        )
    }

    /// Whether a packet of this type may carry this frame (RFC 9000 §12.4, Table 3; RFC 9221 §4).
    /// If not, it is a PROTOCOL_VIOLATION.
    #[inline]
    pub const fn permitted_in(&self, packet: PacketType) -> bool {
        use PacketType::{OneRtt, ZeroRtt};
        match self {
            Self::Padding(_) | Self::Ping => true,
            Self::Ack(_) | Self::Crypto { .. } => !matches!(packet, ZeroRtt),
            // RFC 9000 §12.5: 0x1d only in 0-RTT and 1-RTT packets.
            Self::ConnectionClose(close) => {
                !close.application || matches!(packet, ZeroRtt | OneRtt)
            }
            Self::NewToken { .. }
            | Self::PathResponse(_)
            | Self::HandshakeDone
            | Self::AckFrequency(_)
            | Self::ImmediateAck => matches!(packet, OneRtt),
            _ => matches!(packet, ZeroRtt | OneRtt),
        }
    }
}

/// The type of a STREAM frame with these fields. A zero offset is not written.
#[inline]
pub(super) const fn stream_type(offset: u64, has_length: bool, fin: bool) -> u64 {
    let mut ty = frame_type::STREAM;
    if offset > 0 {
        ty |= frame_type::STREAM_OFF_BIT;
    }
    if has_length {
        ty |= frame_type::STREAM_LEN_BIT;
    }
    if fin {
        ty |= frame_type::STREAM_FIN_BIT;
    }
    ty
}

/// The bit by which the types for unidirectional streams differ.
const fn uni(direction: Direction) -> u64 {
    matches!(direction, Direction::Unidirectional) as u64
}
