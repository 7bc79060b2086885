//! [`FullPackets`]: 1-RTT packets each of which one STREAM frame fills to its end, and which
//! therefore says no length. The headers of one are those of the next but for a few bytes, so that
//! they are laid out once. This file must not know whose data it is or when a packet is due.

use std::ops::Range;

use super::header_bits::FirstByte;
use crate::crypto::TAG_LEN;
use crate::types::{ConnectionId, StreamId};
use crate::wire::{FIXED_BIT, SPIN_BIT, Writer, packet_number, varint_len};
use crate::wire::{write_short_header, write_stream_header};

/// Headers are not longer: the first byte, 20 bytes of connection ID, 4 of packet number, and a
/// frame of one byte and two integers. Rounded up to what is copied quickly.
const MAX_HEADERS: usize = 48;

/// The packets of a train before they have data.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullPackets {
    headers: [u8; MAX_HEADERS],
    number_offset: usize,
    frame_offset: usize,
    /// Where the frame says where in the stream it is.
    position_offset: usize,
    data_offset: usize,
    end: usize,
}

impl FullPackets {
    /// Lays out packets of `size` bytes, tag included and [`MAX_HEADERS`] at least, the first with
    /// this packet number and a frame of `stream` at this offset.
    pub(super) fn new(
        size: usize,
        destination: &ConnectionId,
        key_phase: bool,
        (number, number_len): (u64, usize),
        (id, offset): (StreamId, u64),
    ) -> Self {
        let mut headers = [0; MAX_HEADERS];
        let mut writer = Writer::new(&mut headers);
        let number_offset =
            write_short_header(&mut writer, destination, false, key_phase, number, number_len);
        let frame_offset = writer.position();
        write_stream_header(&mut writer, id, offset, None, false);
        debug_assert!(!writer.has_overflowed(), "no headers are longer");
        let data_offset = writer.position();
        let position_offset = data_offset - position_len(offset);
        let end = size - TAG_LEN;
        Self { headers, number_offset, frame_offset, position_offset, data_offset, end }
    }

    /// Whether data at this offset of the stream leave the layout as it is.
    pub(super) const fn fits(&self, offset: u64) -> bool {
        position_len(offset) == self.data_offset - self.position_offset
    }

    /// Writes a packet's headers to the front of its buffer. The offset [fits](Self::fits).
    pub(super) fn start(
        &mut self,
        packet: &mut [u8],
        FirstByte { spin, quic_bit, .. }: FirstByte,
        number: u64,
        offset: u64,
    ) {
        let mut number_field = Writer::new(&mut self.headers[self.number_offset..]);
        packet_number::write(&mut number_field, number, self.frame_offset - self.number_offset);
        if offset > 0 {
            Writer::new(&mut self.headers[self.position_offset..]).varint(offset);
        }
        packet[..MAX_HEADERS].copy_from_slice(&self.headers);
        packet[0] |= if spin { SPIN_BIT } else { 0 };
        packet[0] &= if quic_bit { u8::MAX } else { !FIXED_BIT };
    }

    /// Where a packet number lies.
    pub(super) const fn number_offset(&self) -> usize {
        self.number_offset
    }

    /// Where a frame lies.
    pub(super) const fn payload(&self) -> Range<usize> {
        self.frame_offset..self.end
    }

    /// How many bytes of data a packet holds.
    pub(super) const fn room(&self) -> usize {
        self.end - self.data_offset
    }

    /// Where they go.
    pub(super) fn data<'b>(&self, packet: &'b mut [u8]) -> &'b mut [u8] {
        &mut packet[self.data_offset..self.end]
    }
}

/// The first bytes of a stream need not say where they are (RFC 9000 §19.8).
const fn position_len(offset: u64) -> usize {
    if offset == 0 { 0 } else { varint_len(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Direction, Role};
    use crate::wire::{Frame, FrameIter, PacketHeader, parse_greased_header};

    const SIZE: usize = 1200;

    /// What a receiver reads of a packet: the number's bytes, the stream's offset, the data.
    fn read(packet: &[u8], id_len: usize, number_len: usize) -> (u64, u64, usize) {
        let Ok(PacketHeader::Short(header)) = parse_greased_header(packet, id_len) else {
            panic!("a short header");
        };
        assert_eq!(header.destination.as_bytes(), vec![7; id_len]);
        assert_eq!(usize::from(packet[0] & 3) + 1, number_len);
        let at = 1 + id_len;
        let number = packet[at..at + number_len].iter();
        let number = number.fold(0, |number, &byte| number << 8 | u64::from(byte));
        let mut frames = FrameIter::new(&packet[at + number_len..SIZE - TAG_LEN]);
        match (frames.next(), frames.next()) {
            (Some(Ok(Frame::Stream { offset, data, .. })), None) => (number, offset, data.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_packet_says_its_own_number_and_offset() {
        let id = StreamId::new(Role::Client, Direction::Bidirectional, 1 << 20);
        for (id_len, number_len) in [(0, 1), (8, 2), (20, 4)] {
            let destination = ConnectionId::new(&[7; 20][..id_len]).unwrap();
            for first in [0, 1, 63, 64, 16_000, 1 << 30, (1 << 62) - 100_000] {
                let field = (200, number_len);
                let mut full = FullPackets::new(SIZE, &destination, true, field, (id, first));
                let (mut offset, mut number) = (first, 200);
                while full.fits(offset) && number < 220 {
                    let mut packet = [0xFF; SIZE];
                    let first_byte = FirstByte {
                        spin: number % 2 == 0,
                        key_phase: true,
                        quic_bit: number % 3 > 0,
                    };
                    full.start(&mut packet, first_byte, number, offset);
                    full.data(&mut packet).fill(0);
                    let len = full.room();
                    assert_eq!(read(&packet, id_len, number_len), (number, offset, len));
                    assert_eq!(packet[0] & SPIN_BIT != 0, first_byte.spin);
                    assert_eq!(packet[0] & FIXED_BIT != 0, first_byte.quic_bit);
                    offset += len as u64;
                    number += 1;
                }
                assert!(number > 200, "the first fits");
            }
        }
    }
}
