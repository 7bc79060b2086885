//! [`FrameIter`]: the frames of a decrypted payload, one by one. Enforces the rules of encoding
//! (RFC 9000 §12.4, §19), and no rule that needs state: whether a frame is welcome in this packet,
//! from this peer, now, is for the connection to say.

use super::ack::AckFrame;
use super::cursor::Reader;
use super::frame::{
    AckFrequencyFrame, ConnectionCloseFrame, Frame, MAX_STREAMS_LIMIT, frame_type as ty,
};
use super::varint::{VARINT_MAX, varint_len};
use crate::error::TransportError;
use crate::types::{ConnectionId, Direction, ResetToken, StreamId};

/// Iterates over the frames of a packet's payload. After an error it ends.
///
/// A packet without frames yields nothing: that, a PROTOCOL_VIOLATION (RFC 9000 §12.4), is for the
/// caller to see.
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    reader: Reader<'a>,
}

impl<'a> FrameIter<'a> {
    /// The frames of a decrypted payload.
    #[inline]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload) }
    }

    fn parse_next(&mut self) -> Result<Frame<'a>, TransportError> {
        let before = self.reader.remaining();
        let frame_type = self
            .reader
            .varint()
            .ok_or_else(|| TransportError::frame_encoding("a frame type is cut off"))?;
        let used = before - self.reader.remaining();
        // RFC 9000 §12.4: the type MUST use the shortest encoding; a longer one MAY be treated as
        // PROTOCOL_VIOLATION.
        if used != varint_len(frame_type) {
            return Err(TransportError::protocol_violation(format!(
                "frame type {frame_type:#x} is encoded in {used} bytes"
            ))
            .in_frame(frame_type));
        }
        Body(&mut self.reader).parse(frame_type).map_err(|error| error.in_frame(frame_type))
    }
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = Result<Frame<'a>, TransportError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let frame = self.parse_next();
        if frame.is_err() {
            self.reader.take_rest();
        }
        Some(frame)
    }
}

impl std::iter::FusedIterator for FrameIter<'_> {}

/// The fields of one frame, after its type.
struct Body<'r, 'a>(&'r mut Reader<'a>);

impl<'a> Body<'_, 'a> {
    #[inline]
    fn parse(&mut self, frame_type: u64) -> Result<Frame<'a>, TransportError> {
        match frame_type {
            ty::STREAM..=ty::STREAM_LAST => self.stream(frame_type),
            ty::ACK | ty::ACK_ECN => {
                AckFrame::parse(self.0, frame_type == ty::ACK_ECN).map(Frame::Ack)
            }
            ty::PADDING => Ok(self.padding()),
            ty::CRYPTO => self.crypto(),
            ty::DATAGRAM => Ok(Frame::Datagram { data: self.0.take_rest(), has_length: false }),
            ty::DATAGRAM_LEN => {
                Ok(Frame::Datagram { data: self.varint_bytes()?, has_length: true })
            }
            ty::PING => Ok(Frame::Ping),
            ty::HANDSHAKE_DONE => Ok(Frame::HandshakeDone),
            ty::RESET_STREAM | ty::STOP_SENDING | ty::MAX_DATA..=ty::STREAMS_BLOCKED_UNI => {
                self.flow(frame_type)
            }
            _ => self.connection(frame_type),
        }
    }

    /// STREAM (RFC 9000 §19.8).
    #[inline]
    fn stream(&mut self, frame_type: u64) -> Result<Frame<'a>, TransportError> {
        let id = self.stream_id()?;
        let offset = if frame_type & ty::STREAM_OFF_BIT != 0 { self.varint()? } else { 0 };
        let data = if frame_type & ty::STREAM_LEN_BIT != 0 {
            self.varint_bytes()?
        } else {
            self.0.take_rest()
        };
        check_end(offset, data)?;
        Ok(Frame::Stream { id, offset, fin: frame_type & ty::STREAM_FIN_BIT != 0, data })
    }

    /// CRYPTO (RFC 9000 §19.6).
    fn crypto(&mut self) -> Result<Frame<'a>, TransportError> {
        let offset = self.varint()?;
        let data = self.varint_bytes()?;
        check_end(offset, data)?;
        Ok(Frame::Crypto { offset, data })
    }

    /// A run of PADDING, its first byte read already, as one frame.
    fn padding(&mut self) -> Frame<'a> {
        let rest = self.0.rest();
        // A handshake's datagrams have many hundreds of them.
        let (blocks, _) = rest.as_chunks::<32>();
        let zeros = 32 * blocks.iter().take_while(|block| **block == [0; 32]).count();
        let more = rest[zeros..].iter().take_while(|byte| **byte == 0).count();
        let run = zeros + more;
        self.0.bytes(run);
        Frame::Padding(run + 1)
    }

    /// The frames that end streams and those that move or report limits.
    fn flow(&mut self, frame_type: u64) -> Result<Frame<'a>, TransportError> {
        Ok(match frame_type {
            ty::RESET_STREAM => Frame::ResetStream {
                id: self.stream_id()?,
                error: self.varint()?,
                final_size: self.varint()?,
            },
            ty::STOP_SENDING => Frame::StopSending { id: self.stream_id()?, error: self.varint()? },
            ty::MAX_DATA => Frame::MaxData(self.varint()?),
            ty::MAX_STREAM_DATA => {
                Frame::MaxStreamData { id: self.stream_id()?, max: self.varint()? }
            }
            ty::MAX_STREAMS_BIDI | ty::MAX_STREAMS_UNI => {
                Frame::MaxStreams { direction: direction(frame_type), max: self.stream_count()? }
            }
            ty::DATA_BLOCKED => Frame::DataBlocked(self.varint()?),
            ty::STREAM_DATA_BLOCKED => {
                Frame::StreamDataBlocked { id: self.stream_id()?, limit: self.varint()? }
            }
            ty::STREAMS_BLOCKED_BIDI | ty::STREAMS_BLOCKED_UNI => Frame::StreamsBlocked {
                direction: direction(frame_type),
                limit: self.stream_count()?,
            },
            _ => return Err(unknown(frame_type)),
        })
    }

    /// The frames about connection IDs, paths, tokens and the end.
    fn connection(&mut self, frame_type: u64) -> Result<Frame<'a>, TransportError> {
        match frame_type {
            ty::NEW_TOKEN => self.new_token(),
            ty::NEW_CONNECTION_ID => self.new_connection_id(),
            ty::RETIRE_CONNECTION_ID => Ok(Frame::RetireConnectionId { sequence: self.varint()? }),
            ty::PATH_CHALLENGE => Ok(Frame::PathChallenge(self.array()?)),
            ty::PATH_RESPONSE => Ok(Frame::PathResponse(self.array()?)),
            ty::RESET_STREAM_AT => self.reset_stream_at(),
            ty::IMMEDIATE_ACK => Ok(Frame::ImmediateAck),
            ty::ACK_FREQUENCY => Ok(Frame::AckFrequency(AckFrequencyFrame {
                sequence: self.varint()?,
                threshold: self.varint()?,
                max_ack_delay: self.varint()?,
                reordering: self.varint()?,
            })),
            ty::CONNECTION_CLOSE => self.connection_close(false),
            ty::CONNECTION_CLOSE_APPLICATION => self.connection_close(true),
            _ => Err(unknown(frame_type)),
        }
    }

    /// RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset §4).
    fn reset_stream_at(&mut self) -> Result<Frame<'a>, TransportError> {
        let (id, error) = (self.stream_id()?, self.varint()?);
        let (final_size, reliable_size) = (self.varint()?, self.varint()?);
        // "If the Reliable Size is larger than the Final Size, the receiver MUST close the
        // connection with a connection error of type FRAME_ENCODING_ERROR."
        if reliable_size > final_size {
            return Err(TransportError::frame_encoding(format!(
                "{reliable_size} bytes of {final_size} are reliable"
            )));
        }
        Ok(Frame::ResetStreamAt { id, error, final_size, reliable_size })
    }

    fn new_token(&mut self) -> Result<Frame<'a>, TransportError> {
        let token = self.varint_bytes()?;
        // RFC 9000 §19.7: a client MUST treat an empty Token as FRAME_ENCODING_ERROR.
        if token.is_empty() {
            return Err(TransportError::frame_encoding("a NEW_TOKEN frame is empty"));
        }
        Ok(Frame::NewToken { token })
    }

    /// NEW_CONNECTION_ID (RFC 9000 §19.15).
    fn new_connection_id(&mut self) -> Result<Frame<'a>, TransportError> {
        let sequence = self.varint()?;
        let retire_prior_to = self.varint()?;
        // "Receiving a value in the Retire Prior To field that is greater than that in the Sequence
        // Number field MUST be treated as a connection error of type FRAME_ENCODING_ERROR."
        if retire_prior_to > sequence {
            return Err(TransportError::frame_encoding(format!(
                "connection ID {sequence} retires those before {retire_prior_to}"
            )));
        }
        let [len] = self.array()?;
        // "Values less than 1 and greater than 20 are invalid and MUST be treated as a connection
        // error of type FRAME_ENCODING_ERROR."
        if !(1..=ConnectionId::MAX_LEN).contains(&usize::from(len)) {
            return Err(TransportError::frame_encoding(format!(
                "a new connection ID has {len} bytes"
            )));
        }
        Ok(Frame::NewConnectionId {
            sequence,
            retire_prior_to,
            id: self.0.connection_id(usize::from(len)).ok_or_else(truncated)?,
            reset_token: ResetToken(self.array()?),
        })
    }

    fn connection_close(&mut self, application: bool) -> Result<Frame<'a>, TransportError> {
        Ok(Frame::ConnectionClose(ConnectionCloseFrame {
            application,
            code: self.varint()?,
            frame_type: if application { 0 } else { self.varint()? },
            reason: self.varint_bytes()?,
        }))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, TransportError> {
        self.0.varint().ok_or_else(truncated)
    }

    #[inline]
    fn varint_bytes(&mut self) -> Result<&'a [u8], TransportError> {
        self.0.varint_bytes().ok_or_else(truncated)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TransportError> {
        self.0.array().ok_or_else(truncated)
    }

    #[inline]
    fn stream_id(&mut self) -> Result<StreamId, TransportError> {
        self.varint().map(StreamId::from_raw)
    }

    /// A number of streams: above 2^60 no stream ID could be encoded, which is a
    /// FRAME_ENCODING_ERROR (RFC 9000 §19.11, §19.14).
    fn stream_count(&mut self) -> Result<u64, TransportError> {
        let count = self.varint()?;
        if count > MAX_STREAMS_LIMIT {
            return Err(TransportError::frame_encoding(format!(
                "{count} streams are more than 2^60"
            )));
        }
        Ok(count)
    }
}

/// RFC 9000 §19.6 and §19.8: the largest offset delivered cannot exceed 2^62 - 1.
#[inline]
fn check_end(offset: u64, data: &[u8]) -> Result<(), TransportError> {
    if offset + data.len() as u64 > VARINT_MAX {
        return Err(TransportError::frame_encoding(format!(
            "{} bytes at offset {offset} end above 2^62 - 1",
            data.len()
        )));
    }
    Ok(())
}

fn direction(frame_type: u64) -> Direction {
    if frame_type & 1 == 0 { Direction::Bidirectional } else { Direction::Unidirectional }
}

#[cold]
fn truncated() -> TransportError {
    TransportError::frame_encoding("a frame is cut off")
}

/// RFC 9000 §12.4: "An endpoint MUST treat the receipt of a frame of unknown type as a connection
/// error of type FRAME_ENCODING_ERROR."
#[cold]
fn unknown(frame_type: u64) -> TransportError {
    TransportError::frame_encoding(format!("frame type {frame_type:#x} is unknown"))
}
