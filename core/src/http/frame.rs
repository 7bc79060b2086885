//! HTTP/3 frames (RFC 9114 §7): [`FrameParser`] cuts a stream into frames as its bytes come in,
//! with memory only for what it is told to collect; [`emit`] writes frames. Which frame may come
//! where is for the streams to say (`control_stream`, `message_reader`).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::{Http3Code, Http3Error};
use crate::wire::{Reader, Writer, varint_len};

/// Frame types (RFC 9114 §11.2.1).
pub(super) mod frame_type {
    pub(crate) const DATA: u64 = 0x00;
    pub(crate) const HEADERS: u64 = 0x01;
    pub(crate) const CANCEL_PUSH: u64 = 0x03;
    pub(crate) const SETTINGS: u64 = 0x04;
    pub(crate) const PUSH_PROMISE: u64 = 0x05;
    pub(crate) const GOAWAY: u64 = 0x07;
    pub(crate) const MAX_PUSH_ID: u64 = 0x0d;
    /// PRIORITY_UPDATE for a request (RFC 9218 §7.2).
    pub(crate) const PRIORITY_UPDATE: u64 = 0xf0700;
    /// PRIORITY_UPDATE for a push.
    pub(crate) const PRIORITY_UPDATE_PUSH: u64 = 0xf0701;

    /// Frame types of HTTP/2 that have no meaning here (RFC 9114 §7.2.8).
    pub(crate) const fn is_http2_only(ty: u64) -> bool {
        matches!(ty, 0x02 | 0x06 | 0x08 | 0x09)
    }
}

/// What to do with a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Hand it out whole. Whoever says so has looked at the length.
    Collect,
    /// Hand it out piece by piece as it comes.
    Pass,
    /// Throw it away.
    Skip,
}

/// A piece of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A part of the payload of a frame that is passed on.
    Piece(Bytes),
    /// The type and the whole payload of a frame that was collected.
    Whole(u64, Bytes),
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub(super) struct FrameParser {
    state: State,
    /// The front of a frame header that was cut off: at most 15 bytes.
    head: [u8; MAX_HEADER_LEN],
    head_len: u8,
    /// The front of a payload that is being collected.
    partial: BytesMut,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    Payload {
        ty: u64,
        left: u64,
        treatment: Treatment,
    },
}

impl FrameParser {
    /// Takes the next part from the front of `chunk`; `None` when `chunk` is used up.
    ///
    /// `decide` is called at each frame header, with type and length, before any payload is looked
    /// at: an error ends the stream here.
    pub(super) fn next<E>(
        &mut self,
        chunk: &mut Bytes,
        mut decide: impl FnMut(u64, u64) -> Result<Treatment, E>,
    ) -> Result<Option<Part>, E> {
        loop {
            match self.state {
                State::Header => {
                    let Some((ty, left)) = self.header(chunk) else {
                        return Ok(None);
                    };
                    let treatment = decide(ty, left)?;
                    if left > 0 || treatment == Treatment::Collect {
                        self.state = State::Payload { ty, left, treatment };
                    }
                }
                State::Payload { ty, left, treatment } => {
                    if chunk.is_empty() && left > 0 {
                        return Ok(None);
                    }
                    if let Some(part) = self.payload(chunk, ty, left, treatment) {
                        return Ok(Some(part));
                    }
                }
            }
        }
    }

    /// Whether the stream may end here (RFC 9114 §7.1).
    pub(super) const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header) && self.head_len == 0
    }

    /// Whether the front of a frame's header was read, and its type has no second byte.
    pub(super) const fn is_in_short_type(&self) -> bool {
        self.head_len > 0 && self.head[0] < 0x40
    }

    /// How many bytes of payload are kept here.
    pub(super) fn buffered(&self) -> usize {
        self.partial.len()
    }

    fn header(&mut self, chunk: &mut Bytes) -> Option<(u64, u64)> {
        if self.head_len == 0 {
            // The usual case: the whole header is at hand.
            if let Some((ty, len, used)) = parse_header(chunk) {
                chunk.advance(used);
                return Some((ty, len));
            }
        }
        while let Some(&byte) = chunk.first() {
            chunk.advance(1);
            self.head[usize::from(self.head_len)] = byte;
            self.head_len += 1;
            if let Some((ty, len, _)) = parse_header(&self.head[..usize::from(self.head_len)]) {
                self.head_len = 0;
                return Some((ty, len));
            }
        }
        None
    }

    /// Moves on in a payload; `chunk` is not empty unless the frame is.
    fn payload(
        &mut self,
        chunk: &mut Bytes,
        ty: u64,
        left: u64,
        treatment: Treatment,
    ) -> Option<Part> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let piece = chunk.split_to(len);
        let left = left - len as u64;
        self.state = if left == 0 { State::Header } else { State::Payload { ty, left, treatment } };
        match treatment {
            Treatment::Skip => None,
            Treatment::Pass => Some(Part::Piece(piece)),
            Treatment::Collect if self.partial.is_empty() && left == 0 => {
                Some(Part::Whole(ty, piece))
            }
            Treatment::Collect => {
                // Grows with what has arrived, never with what was announced.
                self.partial.extend_from_slice(&piece);
                (left == 0).then(|| Part::Whole(ty, std::mem::take(&mut self.partial).freeze()))
            }
        }
    }
}

/// Writing frames.
pub(super) mod emit {
    use super::{BufMut, BytesMut, Writer, frame_type, varint_len};

    /// Appends a varint.
    pub(crate) fn varint(out: &mut BytesMut, v: u64) {
        if v < 0x40 {
            return out.put_u8(v as u8);
        }
        let mut bytes = [0; 8];
        let mut writer = Writer::new(&mut bytes);
        writer.varint(v);
        out.put_slice(writer.written());
    }

    /// Appends a frame's header.
    pub(crate) fn header(out: &mut BytesMut, ty: u64, len: u64) {
        varint(out, ty);
        varint(out, len);
    }

    /// Appends a frame.
    pub(crate) fn frame(out: &mut BytesMut, ty: u64, payload: &[u8]) {
        header(out, ty, payload.len() as u64);
        out.put_slice(payload);
    }

    /// Appends a GOAWAY frame (RFC 9114 §7.2.6).
    pub(crate) fn goaway(out: &mut BytesMut, id: u64) {
        one_varint(out, frame_type::GOAWAY, id);
    }

    /// Appends a frame whose payload is one integer.
    pub(crate) fn one_varint(out: &mut BytesMut, ty: u64, v: u64) {
        header(out, ty, varint_len(v) as u64);
        varint(out, v);
    }
}

/// The one varint that is the whole payload of a frame, as in GOAWAY.
pub(super) fn single_varint(payload: &[u8]) -> Result<u64, Http3Error> {
    let mut reader = Reader::new(payload);
    match reader.varint() {
        Some(value) if reader.is_empty() => Ok(value),
        // RFC 9114 §7.1: a payload that ends before, or goes on after, its fields.
        _ => Err(Http3Error::new(
            Http3Code::FRAME_ERROR,
            format!("a frame payload of {} bytes is not one integer", payload.len()),
        )),
    }
}

/// Type, payload length and the header's own length.
fn parse_header(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let mut reader = Reader::new(bytes);
    let (ty, len) = (reader.varint()?, reader.varint()?);
    Some((ty, len, reader.position()))
}

/// Two varints of the longest form.
const MAX_HEADER_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parser: &mut FrameParser, bytes: &[u8]) -> Vec<Part> {
        let mut chunk = Bytes::copy_from_slice(bytes);
        let mut parts = Vec::new();
        while let Some(part) = parser
            .next(&mut chunk, |ty, _| {
                Ok::<_, ()>(match ty {
                    0 => Treatment::Pass,
                    1 => Treatment::Collect,
                    _ => Treatment::Skip,
                })
            })
            .unwrap()
        {
            parts.push(part);
        }
        parts
    }

    fn stream() -> Vec<u8> {
        let mut out = BytesMut::new();
        emit::frame(&mut out, 1, b"section");
        emit::frame(&mut out, 0x21 + 0x1f * 1000, b"grease");
        emit::frame(&mut out, 1, b"");
        emit::frame(&mut out, 0, b"body");
        out.to_vec()
    }

    #[test]
    fn frames_come_out_the_same_however_they_are_cut() {
        for cut in 0..stream().len() {
            let mut parser = FrameParser::default();
            let (front, back) = (&stream()[..cut], &stream()[cut..]);
            let mut all = parts(&mut parser, front);
            all.extend(parts(&mut parser, back));
            let mut body = Vec::new();
            let mut sections = Vec::new();
            for part in all {
                match part {
                    Part::Piece(piece) => body.extend_from_slice(&piece),
                    Part::Whole(_, section) => sections.push(section),
                }
            }
            assert_eq!(body, b"body", "cut at {cut}");
            assert_eq!(sections, [&b"section"[..], b""], "cut at {cut}");
            assert!(parser.is_between_frames());
        }
    }

    #[test]
    fn a_passed_payload_is_not_copied() {
        let mut chunk = Bytes::from_static(b"\x00\x04body");
        let body = chunk.slice(2..);
        let mut parser = FrameParser::default();
        let part = parser.next(&mut chunk, |_, _| Ok::<_, ()>(Treatment::Pass));
        let Ok(Some(Part::Piece(piece))) = part else { panic!("{part:?}") };
        assert_eq!(piece.as_ptr(), body.as_ptr());
    }

    #[test]
    fn an_announced_length_costs_no_memory() {
        // An unknown and a collected frame of 2^62 - 1 bytes.
        for ty in [0x40, 0x01] {
            let mut parser = FrameParser::default();
            let mut out = BytesMut::new();
            emit::header(&mut out, ty, crate::wire::VARINT_MAX);
            out.put_slice(&[0; 100]);
            assert!(parts(&mut parser, &out).is_empty());
            assert!(parser.buffered() <= 100 && parser.partial.capacity() <= 4096);
            assert!(!parser.is_between_frames());
        }
    }

    #[test]
    fn a_frame_that_is_one_integer_has_nothing_else() {
        assert_eq!(single_varint(&[0x40, 0x25]), Ok(37));
        for wrong in [&[][..], &[0x40], &[1, 0]] {
            assert_eq!(single_varint(wrong).unwrap_err().code, Http3Code::FRAME_ERROR);
        }
    }
}
