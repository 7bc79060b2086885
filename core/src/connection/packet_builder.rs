//! [`PacketBuilder`]: one packet under construction, directly in the buffer it will be sent from.
//! Keeps room for the AEAD tag, records what it wrote, and seals at the end. This file must not
//! know what is worth sending.

use super::header_bits::FirstByte;
use super::observer::PacketInfo;
use super::sent::{SentFrame, SentFrames};
use crate::crypto::TAG_LEN;
use crate::streams::{ControlFrame, FrameSink, StreamRecord};
use crate::types::{ConnectionId, Space, StreamId};
use crate::wire::{
    FIXED_BIT, Frame, LongOffsets, LongType, Version, Writer, length_prefixed_room,
    long_header_len, patch_length, short_header_len, stream_header_len, write_long_header,
    write_short_header, write_stream_header,
};

/// What a header says.
pub(super) struct HeaderFields<'a> {
    pub(super) space: Space,
    pub(super) version: Version,
    pub(super) destination: &'a ConnectionId,
    pub(super) source: &'a ConnectionId,
    pub(super) token: &'a [u8],
    pub(super) first_byte: FirstByte,
    pub(super) number: u64,
    pub(super) number_len: usize,
}

pub(super) struct PacketBuilder<'b> {
    writer: Writer<'b>,
    long: Option<LongOffsets>,
    number_offset: usize,
    number_len: usize,
    number: u64,
    header_len: usize,
    frames: SentFrames,
    ack_eliciting: bool,
    padded: bool,
}

/// A packet that is complete but for its protection. It no longer borrows the buffer.
pub(super) struct BuiltPacket {
    long: Option<LongOffsets>,
    number_offset: usize,
    number_len: usize,
    /// Where its plaintext ends in the buffer.
    end: usize,
    pub(super) number: u64,
    pub(super) frames: SentFrames,
    pub(super) ack_eliciting: bool,
    padded: bool,
}

impl<'b> PacketBuilder<'b> {
    /// Starts a packet that may fill `buffer`, tag included; `None` if it is too small for any.
    pub(super) fn new(buffer: &'b mut [u8], header: &HeaderFields<'_>) -> Option<Self> {
        let ty = match header.space {
            Space::Initial => Some(LongType::Initial),
            Space::Handshake => Some(LongType::Handshake),
            Space::Application => None,
        };
        Self::with_type(buffer, header, ty)
    }

    /// As [`Self::new`], a packet of the application's space for before the handshake.
    pub(super) fn zero_rtt(buffer: &'b mut [u8], header: &HeaderFields<'_>) -> Option<Self> {
        Self::with_type(buffer, header, Some(LongType::ZeroRtt))
    }

    fn with_type(
        buffer: &'b mut [u8],
        header: &HeaderFields<'_>,
        ty: Option<LongType>,
    ) -> Option<Self> {
        let room = buffer.len().checked_sub(TAG_LEN)?;
        let (to, from, len) = (header.destination, header.source, header.number_len);
        let header_len = match ty {
            Some(ty) => long_header_len(ty, to, from, header.token, len),
            None => short_header_len(to, len),
        };
        // Room for the sample as well (RFC 9001 §5.4.2), which padding guarantees at the end.
        if room < header_len + SAMPLE_ROOM {
            return None;
        }
        let mut writer = Writer::new(&mut buffer[..room]);
        let (version, number) = (header.version, header.number);
        let (long, number_offset) = if let Some(ty) = ty {
            let at =
                write_long_header(&mut writer, ty, version, to, from, header.token, number, len);
            let number_offset = at.pn_offset;
            (Some(at), number_offset)
        } else {
            let FirstByte { spin, key_phase, .. } = header.first_byte;
            (None, write_short_header(&mut writer, to, spin, key_phase, number, len))
        };
        if !header.first_byte.quic_bit {
            writer.written_mut()[0] &= !FIXED_BIT;
        }
        Some(Self {
            writer,
            long,
            number_offset,
            number_len: len,
            number,
            header_len,
            frames: SentFrames::new(),
            ack_eliciting: false,
            padded: false,
        })
    }

    pub(super) fn writer(&mut self) -> &mut Writer<'b> {
        &mut self.writer
    }

    pub(super) fn remaining(&self) -> usize {
        self.writer.remaining()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writer.position() == self.header_len
    }

    pub(super) fn is_ack_eliciting(&self) -> bool {
        self.ack_eliciting
    }

    /// Writes a frame if it fits.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, record: Option<SentFrame>) -> bool {
        if self.remaining() < frame.encoded_len() {
            return false;
        }
        frame.write(&mut self.writer);
        self.ack_eliciting |= frame.is_ack_eliciting();
        self.frames.extend(record);
        true
    }

    /// Notes a frame that was written by way of [`Self::writer`].
    pub(super) fn record(&mut self, frame: SentFrame, ack_eliciting: bool) {
        self.frames.push(frame);
        self.ack_eliciting |= ack_eliciting;
    }

    /// Fills the packet up to `size` bytes, tag included.
    pub(super) fn pad_to(&mut self, size: usize) {
        let target = size.saturating_sub(TAG_LEN);
        let missing = target.saturating_sub(self.writer.position()).min(self.remaining());
        self.writer.zeros(missing);
        self.padded |= missing > 0;
    }

    /// Fills the packet to the end of its buffer.
    pub(super) fn pad_full(&mut self) {
        let rest = self.remaining();
        self.writer.zeros(rest);
        self.padded |= rest > 0;
    }

    /// Completes the packet.
    pub(super) fn finish(mut self) -> BuiltPacket {
        // RFC 9001 §5.4.2: the sample begins four bytes after the packet number does.
        let payload = self.writer.position() - self.header_len;
        if payload + self.number_len < SAMPLE_ROOM {
            self.writer.zeros(SAMPLE_ROOM - payload - self.number_len);
        }
        BuiltPacket {
            long: self.long,
            number_offset: self.number_offset,
            number_len: self.number_len,
            end: self.writer.position(),
            number: self.number,
            frames: self.frames,
            ack_eliciting: self.ack_eliciting,
            padded: self.padded,
        }
    }
}

impl BuiltPacket {
    /// Its size once sealed.
    pub(super) fn len(&self) -> usize {
        self.end + TAG_LEN
    }

    /// What observers are told of it.
    pub(super) fn info(&self, space: Space) -> PacketInfo {
        PacketInfo { space, number: self.number, size: self.len() }
    }

    /// Where its frames lie in the buffer.
    pub(super) fn payload(&self) -> std::ops::Range<usize> {
        self.number_offset + self.number_len..self.end
    }

    /// Whether it counts as in flight (RFC 9002 §2).
    pub(super) fn is_in_flight(&self) -> bool {
        self.ack_eliciting || self.padded
    }

    /// The packet in the buffer it was built in, with room for its tag; all but protection is done.
    pub(super) fn complete<'b>(&self, buffer: &'b mut [u8]) -> &'b mut [u8] {
        let packet = &mut buffer[..self.len()];
        if let Some(offsets) = &self.long {
            patch_length(packet, offsets, self.end + TAG_LEN);
        }
        packet
    }

    /// Where its packet number lies, how long it is, and its value.
    pub(super) fn number_field(&self) -> (usize, usize, u64) {
        (self.number_offset, self.number_len, self.number)
    }
}

impl FrameSink for PacketBuilder<'_> {
    fn remaining(&self) -> usize {
        self.writer.remaining()
    }

    fn control(&mut self, frame: ControlFrame) -> bool {
        self.frame(&to_wire(frame), Some(SentFrame::Stream(frame.record())))
    }

    fn stream_room(&self, id: StreamId, offset: u64) -> usize {
        self.remaining().saturating_sub(stream_header_len(id, offset, None))
    }

    fn stream(
        &mut self,
        id: StreamId,
        offset: u64,
        fin: bool,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        let bare = stream_header_len(id, offset, None);
        let room = self.remaining().saturating_sub(bare);
        debug_assert!(len <= room, "the caller asks for the room first");
        // A frame that fills the packet needs no length. One that nearly does is pushed to the end
        // by padding, which takes no more room than the length would.
        let fills = len > length_prefixed_room(room);
        if fills {
            self.writer.zeros(room - len);
        }
        write_stream_header(&mut self.writer, id, offset, (!fills).then_some(len), fin);
        fill(&mut self.writer.unfilled()[..len]);
        self.writer.advance(len);
        let record = StreamRecord::Data { id, offset, len: len as u32, fin };
        self.record(SentFrame::Stream(record), true);
    }
}

/// The wire's form of a stream control frame.
fn to_wire(frame: ControlFrame) -> Frame<'static> {
    match frame {
        ControlFrame::MaxData(max) => Frame::MaxData(max),
        ControlFrame::MaxStreamData { id, max } => Frame::MaxStreamData { id, max },
        ControlFrame::MaxStreams { dir, max } => Frame::MaxStreams { direction: dir, max },
        ControlFrame::DataBlocked(limit) => Frame::DataBlocked(limit),
        ControlFrame::StreamDataBlocked { id, limit } => Frame::StreamDataBlocked { id, limit },
        ControlFrame::StreamsBlocked { dir, limit } => {
            Frame::StreamsBlocked { direction: dir, limit }
        }
        ControlFrame::ResetStream { id, error, final_size } => {
            Frame::ResetStream { id, error: error.0, final_size }
        }
        ControlFrame::ResetStreamAt { id, error, final_size, reliable } => {
            Frame::ResetStreamAt { id, error: error.0, final_size, reliable_size: reliable }
        }
        ControlFrame::StopSending { id, error } => Frame::StopSending { id, error: error.0 },
    }
}

/// How many bytes of packet number and payload a packet has at least.
const SAMPLE_ROOM: usize = 4;
