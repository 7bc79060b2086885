//! [`SoleStream`]: a payload that is one STREAM frame and nothing else, which is what most packets
//! of a transfer hold. Read without the detour over a frame that borrows from the payload, so that
//! the payload itself can be handed on. This file must not know what becomes of anything else: that
//! is for [`FrameIter`](super::FrameIter), errors too.

use super::cursor::Reader;
use super::frame::{Frame, frame_type as ty};
use super::varint::VARINT_MAX;
use crate::types::StreamId;

/// A STREAM frame that fills its packet (RFC 9000 §19.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoleStream {
    /// The stream.
    pub id: StreamId,
    /// Where its data belongs, in bytes from the stream's beginning.
    pub offset: u64,
    /// The stream ends with it.
    pub fin: bool,
    /// Where its data begins; it runs to the payload's end.
    pub start: usize,
}

impl SoleStream {
    /// Reads a payload. `None` if it is not exactly one well-formed STREAM frame.
    #[inline]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let frame_type = u64::from(reader.u8()?);
        if !(ty::STREAM..=ty::STREAM_LAST).contains(&frame_type) {
            return None;
        }
        let id = StreamId::from_raw(reader.varint()?);
        let offset = if frame_type & ty::STREAM_OFF_BIT != 0 { reader.varint()? } else { 0 };
        if frame_type & ty::STREAM_LEN_BIT != 0 {
            let len = reader.varint()?;
            if len != reader.remaining() as u64 {
                return None;
            }
        }
        // RFC 9000 §19.8: no data beyond the largest offset; the general way says so to the peer.
        if offset + reader.remaining() as u64 > VARINT_MAX {
            return None;
        }
        let fin = frame_type & ty::STREAM_FIN_BIT != 0;
        Some(Self { id, offset, fin, start: reader.position() })
    }

    /// As an error names it.
    pub fn frame_type(&self) -> u64 {
        let Self { id, offset, fin, .. } = *self;
        Frame::Stream { id, offset, fin, data: &[] }.frame_type()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};
    use crate::wire::FrameIter;

    /// As the general parser reads it.
    fn by_frames(payload: &[u8]) -> Option<SoleStream> {
        let frames: Vec<_> = FrameIter::new(payload).collect();
        match frames[..] {
            [Ok(Frame::Stream { id, offset, fin, data })] => {
                Some(SoleStream { id, offset, fin, start: payload.len() - data.len() })
            }
            _ => None,
        }
    }

    #[test]
    fn it_reads_what_the_general_parser_reads() {
        let mut found = 0;
        for seed in 0..20_000 {
            let mut random = SeededRandom::new(seed);
            let len = random.next_u64() % 24;
            let mut payload: Vec<_> = (0..len).map(|_| (random.next_u64() % 24) as u8).collect();
            if let Some(first) = payload.first_mut() {
                *first = 0x06 + (random.next_u64() % 12) as u8;
            }
            let sole = SoleStream::parse(&payload);
            assert_eq!(sole, by_frames(&payload), "seed {seed}: {payload:?}");
            found += usize::from(sole.is_some());
        }
        assert!(found > 2000, "{found}");
    }

    #[test]
    fn data_beyond_the_largest_offset_is_left_to_the_general_parser() {
        let mut payload = vec![0x0c, 0x00];
        payload.extend([0xff; 8]);
        assert!(SoleStream::parse(&payload).is_some(), "no data at the largest offset");
        payload.push(7);
        assert_eq!(SoleStream::parse(&payload), None);
    }
}
