//! [`FullPacket`]: a 1-RTT packet that one STREAM frame fills to its end, which therefore says no
//! length. This file must not know whose data it is or when a packet is due.

use std::ops::Range;

use super::header_bits::FirstByte;
use crate::crypto::TAG_LEN;
use crate::types::{ConnectionId, StreamId};
use crate::wire::{FIXED_BIT, Writer, write_short_header, write_stream_header};

/// Where the parts of the packet lie in its buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullPacket {
    number_offset: usize,
    frame_offset: usize,
    data_offset: usize,
    end: usize,
}

impl FullPacket {
    /// Writes the headers of the packet and of its frame, `stream` with the offset of its data. The
    /// buffer is the packet's size, tag included, and has room for both.
    pub(super) fn start(
        buffer: &mut [u8],
        destination: &ConnectionId,
        first_byte: FirstByte,
        (number, number_len): (u64, usize),
        (id, offset): (StreamId, u64),
    ) -> Self {
        let end = buffer.len() - TAG_LEN;
        let FirstByte { spin, key_phase, quic_bit } = first_byte;
        let mut writer = Writer::new(&mut buffer[..end]);
        let number_offset =
            write_short_header(&mut writer, destination, spin, key_phase, number, number_len);
        let frame_offset = writer.position();
        write_stream_header(&mut writer, id, offset, None, false);
        let data_offset = writer.position();
        if !quic_bit {
            buffer[0] &= !FIXED_BIT;
        }
        Self { number_offset, frame_offset, data_offset, end }
    }

    /// Where its packet number lies.
    pub(super) const fn number_offset(&self) -> usize {
        self.number_offset
    }

    /// Where its frame lies.
    pub(super) const fn payload(&self) -> Range<usize> {
        self.frame_offset..self.end
    }

    /// How many bytes of data it holds.
    pub(super) const fn room(&self) -> usize {
        self.end - self.data_offset
    }

    /// Where they go.
    pub(super) fn data<'b>(&self, buffer: &'b mut [u8]) -> &'b mut [u8] {
        &mut buffer[self.data_offset..self.end]
    }
}
