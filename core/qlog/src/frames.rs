//! Frames as qlog spells them. Payloads are never written, only their lengths.

use protoquic_core::types::Direction;
use protoquic_core::wire::{AckFrame, ConnectionCloseFrame, Frame};
use qlog::events::quic::{AckRange, ErrorSpace, QuicFrame, StreamType};
use qlog::events::{ApplicationError, ConnectionClosedFrameError, RawInfo};
use qlog::{HexSlice, Token};

use crate::state::transport_error;

pub(crate) fn frame(frame: &Frame<'_>) -> QuicFrame {
    let len = frame.encoded_len();
    let raw = Some(Box::new(lengths(len, None)));
    match *frame {
        Frame::Padding(_) => QuicFrame::Padding { raw },
        Frame::Ping => QuicFrame::Ping { raw },
        Frame::Ack(ref ack) => ack_frame(ack, raw),
        Frame::Crypto { offset, data } => {
            QuicFrame::Crypto { offset, raw: Some(Box::new(lengths(len, Some(data.len())))) }
        }
        Frame::Stream { id, offset, fin, data } => QuicFrame::Stream {
            stream_id: id.as_u64(),
            offset: Some(offset),
            fin: Some(fin),
            raw: Some(Box::new(lengths(len, Some(data.len())))),
        },
        Frame::Datagram { data, .. } => {
            QuicFrame::Datagram { raw: Some(Box::new(lengths(len, Some(data.len())))) }
        }
        Frame::NewToken { token } => QuicFrame::NewToken {
            token: Token { ty: None, details: None, raw: Some(lengths(token.len(), None)) },
            raw,
        },
        Frame::NewConnectionId { sequence, retire_prior_to, id, .. } => {
            QuicFrame::NewConnectionId {
                sequence_number: sequence,
                retire_prior_to,
                connection_id_length: Some(id.len() as u8),
                connection_id: id.to_string(),
                stateless_reset_token: None, // a secret
                raw,
            }
        }
        Frame::RetireConnectionId { sequence: sequence_number } => {
            QuicFrame::RetireConnectionId { sequence_number, raw }
        }
        Frame::PathChallenge(data) => QuicFrame::PathChallenge { data: Some(hex(&data)), raw },
        Frame::PathResponse(data) => QuicFrame::PathResponse { data: Some(hex(&data)), raw },
        Frame::ConnectionClose(ref close) => close_frame(close),
        Frame::HandshakeDone => QuicFrame::HandshakeDone { raw },
        Frame::AckFrequency(_) | Frame::ImmediateAck => {
            QuicFrame::Unknown { frame_type_bytes: Some(frame.frame_type()), raw }
        }
        ref limit => limit_frame(limit, raw),
    }
}

/// The frames of flow control and of streams' endings.
fn limit_frame(frame: &Frame<'_>, raw: Option<Box<RawInfo>>) -> QuicFrame {
    match *frame {
        Frame::ResetStream { id, error, final_size } => QuicFrame::ResetStream {
            stream_id: id.as_u64(),
            error: ApplicationError::Unknown,
            error_code: Some(error),
            final_size,
            raw,
        },
        Frame::StopSending { id, error } => QuicFrame::StopSending {
            stream_id: id.as_u64(),
            error: ApplicationError::Unknown,
            error_code: Some(error),
            raw,
        },
        Frame::MaxData(maximum) => QuicFrame::MaxData { maximum, raw },
        Frame::MaxStreamData { id, max } => {
            QuicFrame::MaxStreamData { stream_id: id.as_u64(), maximum: max, raw }
        }
        Frame::MaxStreams { direction, max } => {
            QuicFrame::MaxStreams { stream_type: stream_type(direction), maximum: max, raw }
        }
        Frame::DataBlocked(limit) => QuicFrame::DataBlocked { limit, raw },
        Frame::StreamDataBlocked { id, limit } => {
            QuicFrame::StreamDataBlocked { stream_id: id.as_u64(), limit, raw }
        }
        Frame::StreamsBlocked { direction, limit } => {
            QuicFrame::StreamsBlocked { stream_type: stream_type(direction), limit, raw }
        }
        ref other => QuicFrame::Unknown { frame_type_bytes: Some(other.frame_type()), raw },
    }
}

fn ack_frame(ack: &AckFrame<'_>, raw: Option<Box<RawInfo>>) -> QuicFrame {
    // In the peer's unit; at the default exponent it is eight microseconds (RFC 9000 §18.2).
    let millis = (ack.delay as f64 * 8.0 / 1000.0) as f32;
    let ranges =
        ack.ranges().map(|range| AckRange::new(*range.start(), *range.end())).collect::<Vec<_>>();
    QuicFrame::Ack {
        ack_delay: Some(millis),
        acked_ranges: Some(ranges),
        ect1: ack.ecn.map(|ecn| ecn.ect1),
        ect0: ack.ecn.map(|ecn| ecn.ect0),
        ce: ack.ecn.map(|ecn| ecn.ce),
        raw,
    }
}

fn close_frame(close: &ConnectionCloseFrame<'_>) -> QuicFrame {
    let (space, error) = if close.application {
        let error = ConnectionClosedFrameError::ApplicationError(ApplicationError::Unknown);
        (ErrorSpace::Application, error)
    } else {
        let error = ConnectionClosedFrameError::TransportError(transport_error(close.code));
        (ErrorSpace::Transport, error)
    };
    QuicFrame::ConnectionClose {
        error_space: Some(space),
        error: Some(error),
        error_code: Some(close.code),
        reason: Some(String::from_utf8_lossy(close.reason).into_owned()),
        reason_bytes: None,
        trigger_frame_type: (close.frame_type != 0).then_some(close.frame_type),
    }
}

fn stream_type(direction: Direction) -> StreamType {
    match direction {
        Direction::Bidirectional => StreamType::Bidirectional,
        Direction::Unidirectional => StreamType::Unidirectional,
    }
}

fn lengths(length: usize, payload: Option<usize>) -> RawInfo {
    let (length, payload_length) = (Some(length as u64), payload.map(|len| len as u64));
    RawInfo { length, payload_length, data: None }
}

fn hex(bytes: &[u8]) -> String {
    HexSlice::new(bytes).to_string()
}
