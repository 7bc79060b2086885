//! Trains: packets that a bulk sender writes one behind the other, all of one size, each full of new
//! data of one stream. What is decided for every packet elsewhere is decided once for a train, as
//! long as nothing can change the answer before its last packet; in all other cases there is no
//! train, and `send` writes one packet. This file must not know how a mechanism decides.

use std::time::Duration;

use super::Connection;
use super::config::MIN_PACKET_SIZE;
use super::full_packet::FullPackets;
use super::keys::Level;
use super::mtu::{CIPHER_BLOCK, NEARLY_FULL};
use super::observer::PacketInfo;
use super::send::Attempt;
use super::sent::{SentFrame, SentFrames};
use crate::crypto::TAG_LEN;
use crate::packet_writer::{OutgoingPacket, PacketWriter, Payload};
use crate::recovery::{MAX_TRAIN, SentPacket};
use crate::streams::{StreamRecord, Train};
use crate::time::Time;
use crate::types::{Ecn, Space};
use crate::wire::{packet_number, short_header_len};

/// What all packets of a train have in common.
#[derive(Clone, Copy, Debug)]
struct Cars {
    /// How large each is, in bytes.
    size: usize,
    /// How many may be sent.
    most: usize,
    number_len: usize,
    ecn: Ecn,
}

impl Connection {
    /// Writes a train, if it is time for one.
    pub(super) fn write_train(
        &mut self,
        now: Time,
        writer: &mut dyn PacketWriter,
    ) -> Option<Attempt> {
        let train = self.streams.train().filter(|train| train.len >= WORTHWHILE)?;
        let cars = self.plan_train(now, &train, writer)?;
        self.pacing_deadline = None;
        let path = self.paths.active().address;
        let mut scratch = std::mem::take(&mut self.scratch);
        let location = writer.next_train_location(&path, cars.ecn, cars.size, cars.most);
        let in_place = location.is_some();
        let buffer = location.unwrap_or_else(|| {
            scratch.resize(scratch.len().max(cars.size), 0);
            &mut scratch[..cars.size]
        });
        let count = self.fill_train(now, buffer, &train, &cars);
        let len = count * cars.size;
        let payload =
            if in_place { Payload::InPlace(len) } else { Payload::Borrowed(&scratch[..len]) };
        let packet = OutgoingPacket { path: &path, payload, ecn: cars.ecn, release_time: None };
        let result = writer.write_train(&packet, cars.size);
        self.paths.active_mut().on_sent(len);
        self.turn_budget = self.turn_budget.saturating_sub(count - 1);
        let attempt = self.on_written(result, &packet, cars.size);
        self.scratch = scratch;
        Some(attempt)
    }

    /// `None` if something is to be sent that is no new data, or if something could change between
    /// two packets.
    fn plan_train(&mut self, now: Time, train: &Train, writer: &dyn PacketWriter) -> Option<Cars> {
        if !self.has_nothing_but_data() || writer.supports_release_time() {
            return None;
        }
        let ecn = self.recovery.settled_ecn_codepoint()?;
        let path = self.paths.active();
        let largest = writer.max_packet_size(path.address.peer);
        let limited = path.allowance() != usize::MAX;
        if limited || self.mtu.next_probe(now).is_some_and(|size| size <= largest) {
            return None;
        }
        let room = self.mtu.current().min(largest);
        if room < MIN_PACKET_SIZE {
            return None;
        }
        let updated = self.keys.update_if_due();
        let seals = if updated.is_ok() { self.keys.seals_until_update() } else { 0 };
        let allowed = self.recovery.send_allowance(now) / room as u64;
        let data = train.len / room as u64;
        let skip = u64::from(self.packets_to_skip);
        let budget = self.turn_budget as u64;
        let most = [seals, allowed, data, skip, budget, MAX_TRAIN.into()].into_iter().min()?;
        if most < 2 || train.turn == 0 {
            return None;
        }
        // RFC 9000 §17.1: long enough for the last of them, and one length makes one size.
        let last = self.recovery.next_packet_number(Space::Application) + most - 1;
        let acked = self.recovery.largest_acked(Space::Application);
        let number_len = packet_number::encoded_len(last, acked);
        let header = short_header_len(self.peer_cids.current(), number_len);
        let plain = whole_blocks(room.checked_sub(header + TAG_LEN)?, self.recovery.is_pacing());
        Some(Cars { size: header + plain + TAG_LEN, most: most as usize, number_len, ecn })
    }

    /// A datagram that is larger than those of the batch under way would end that: better a few bytes
    /// less. Not so with a handshake's packets or a DATAGRAM frame, which may need every byte.
    pub(super) fn size_in_batch(
        &self,
        size: usize,
        wanted: [bool; 3],
        writer: &dyn PacketWriter,
    ) -> usize {
        if wanted[0] || wanted[1] || self.datagrams.wants_to_send() {
            return size;
        }
        let joins = |segment: &usize| *segment < size && segment + NEARLY_FULL > size;
        writer.segment_size(&self.paths.active().address).filter(joins).unwrap_or(size)
    }

    /// Long turns make long trains here and long runs at the peer; but where the path is slow, turns
    /// must be short, so that all streams soon have theirs.
    pub(super) fn set_turns(&mut self) {
        self.streams.set_turn(self.recovery.bytes_in(TURN_TIME));
    }

    /// Whether no mechanism but the streams has anything for a packet, and the handshake is behind us.
    fn has_nothing_but_data(&self) -> bool {
        let space = self.space_of(Space::Application);
        self.handshake_confirmed
            && self.keys.level() == Level::OneRtt
            && !self.keys.can_seal(Space::Initial)
            && !self.keys.can_seal(Space::Handshake)
            && self.probes == [0; 3]
            && !space.acks.has_unacked()
            && !space.crypto.wants_to_send()
            && !self.pending.any()
            && !self.local_cids.wants_to_send()
            && !self.peer_cids.wants_to_send()
            && !self.ack_frequency.wants_to_send()
            && !self.datagrams.wants_to_send()
    }

    /// Builds and seals as many packets as the buffer has room for, at least one. Returns how many.
    fn fill_train(&mut self, now: Time, buffer: &mut [u8], train: &Train, cars: &Cars) -> usize {
        let destination = *self.peer_cids.current();
        let mut first_byte = self.next_first_byte(Space::Application);
        let first = self.recovery.next_packet_number(Space::Application);
        let (number_field, frame) = ((first, cars.number_len), (train.id, train.offset));
        let phase = first_byte.key_phase;
        let mut full = FullPackets::new(cars.size, &destination, phase, number_field, frame);
        let len = full.room();
        let mut offset = train.offset;
        let mut count = 0;
        for (number, packet) in (first..).zip(buffer.chunks_exact_mut(cars.size).take(cars.most)) {
            if !full.fits(offset) || offset - train.offset >= train.turn {
                break; // one length of headers makes one size of data; then it is another's turn
            }
            full.start(packet, first_byte, number, offset);
            self.streams.copy_of_train(train, offset, full.data(packet));
            if self.observer.is_some() {
                let info = PacketInfo { space: Space::Application, number, size: cars.size };
                self.observe_sent(now, info, packet, full.payload());
            }
            self.keys.seal_one_rtt(packet, full.number_offset(), cars.number_len, number);
            first_byte = self.first_byte_after(first_byte);
            offset += len as u64;
            count += 1;
        }
        let record =
            StreamRecord::Data { id: train.id, offset: train.offset, len: len as u32, fin: false };
        let frames = SentFrames::from_buf_and_len([SentFrame::Stream(record); 2], 1);
        let sent = SentPacket::ack_eliciting(cars.size as u16, cars.ecn, frames);
        self.recovery.on_train_sent(now, Space::Application, first, sent, count as u32);
        self.packets_to_skip -= count as u32;
        self.stats.packets_sent += count as u64;
        self.stats.bytes_sent += (count * cars.size) as u64;
        self.mtu.on_packet_sent(cars.size);
        self.idle.on_ack_eliciting_sent(now);
        self.reminder.on_ack_eliciting_sent(now);
        self.streams.on_train_sent(train, offset - train.offset);
        count
    }
}

/// The most bytes that fit in `room` and leave a cipher no leftovers: what goes beyond the last whole
/// block costs it as much as several, and so does one block beyond a whole stride. That one is left
/// out where the path is so short that nothing is paced: there the processor is what limits.
const fn whole_blocks(room: usize, is_pacing: bool) -> usize {
    let blocks = room / CIPHER_BLOCK;
    let lone = !is_pacing && blocks > STRIDE_BLOCKS && blocks % STRIDE_BLOCKS == 1;
    (blocks - lone as usize) * CIPHER_BLOCK
}

/// So many blocks are encrypted together.
const STRIDE_BLOCKS: usize = 8;
/// A stream's turn takes the path about as long, within the scheduler's bounds.
const TURN_TIME: Duration = Duration::from_millis(1);
/// Less data than this is not worth the questions: two small packets.
const WORTHWHILE: u64 = 2400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trains_leave_a_cipher_no_leftovers_and_are_as_good_as_full() {
        for (room, short_path, long_path) in
            [(1424, 1408, 1424), (1439, 1408, 1424), (1440, 1440, 1440), (1408, 1408, 1408)]
        {
            assert_eq!(
                (whole_blocks(room, false), whole_blocks(room, true)),
                (short_path, long_path)
            );
        }
        for room in 0..10_000 {
            let plain = whole_blocks(room, false);
            assert!(plain <= room && plain + NEARLY_FULL > room, "{plain} of {room}");
        }
    }
}
