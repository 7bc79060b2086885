//! The way out: decides what the next datagram holds, builds its packets in the writer's own
//! buffer, seals them there and hands them over. Mechanisms are asked in a fixed order; none of
//! them sees a buffer of another. This file must not know how a mechanism decides.

use bytes::Bytes;

use super::Connection;
use super::close::State;
use super::config::MIN_PACKET_SIZE;
use super::keys::Level;
use super::packet_builder::{BuiltPacket, HeaderFields, PacketBuilder};
use super::release::ReleaseTimes;
use super::sent::SentFrame;
use crate::error::CloseReason;
use crate::packet_writer::{OutgoingPacket, PacketWriter, Payload, WriteResult};
use crate::recovery::SentPacket;
use crate::time::Time;
use crate::types::{Ecn, PathAddress, Role, Space};
use crate::wire::{Frame, packet_number};

/// What became of an attempt to write a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// One was written; there may be more.
    Sent,
    /// There is nothing to send, or nothing may be sent.
    Nothing,
    /// The writer is full.
    Blocked,
}

/// A sealed datagram that the writer did not take.
#[derive(Debug)]
pub(super) struct BlockedDatagram {
    path: PathAddress,
    ecn: Ecn,
    data: Bytes,
}

/// What a datagram may hold.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// Its size at most.
    size: usize,
    /// Whether frames that elicit an acknowledgement may be sent.
    eliciting: bool,
    /// Which spaces have something to say.
    wanted: [bool; 3],
    /// It is to be filled up, to probe for this path's MTU.
    probe: bool,
    /// What it is marked with. Decided before it is filled: each packet changes what the next
    /// datagram is marked with.
    ecn: Ecn,
}

impl Connection {
    /// Starts a turn: as many datagrams may be written in it as is fair to other connections.
    pub fn begin_turn(&mut self) {
        self.turn_budget = MAX_DATAGRAMS_PER_TURN;
    }

    /// Ends a turn: what the application has left unread is moved out of the receive buffers.
    pub fn end_turn(&mut self) {
        self.streams.end_turn();
        self.datagrams.end_turn();
        if self.handshake.take_lingering() {
            self.release_handshake();
        }
    }

    /// Writes what there is to send and may be sent now. Returns whether anything was written.
    /// The caller flushes the writer.
    pub fn write(&mut self, now: Time, writer: &mut dyn PacketWriter) -> bool {
        let wrote = self.write_datagrams(now, writer);
        self.watch(now);
        wrote
    }

    fn write_datagrams(&mut self, now: Time, writer: &mut dyn PacketWriter) -> bool {
        self.streams.set_time(now, self.recovery.rtt().smoothed());
        self.set_turns();
        self.datagrams.expire(now);
        self.streams.expire(now);
        if !self.streams.is_blocked() {
            self.reminder.on_unblocked();
        }
        ReleaseTimes::begin(&mut self.recovery, writer);
        let mut wrote = false;
        loop {
            if self.turn_budget == 0 {
                self.more_to_write = true;
                return wrote;
            }
            let attempt = if writer.is_write_blocked() {
                Attempt::Blocked
            } else {
                self.write_datagram(now, writer)
            };
            match attempt {
                Attempt::Sent => {
                    wrote = true;
                    self.turn_budget -= 1;
                }
                Attempt::Nothing => {
                    self.more_to_write = false;
                    self.write_blocked = false;
                    // What is due and was not written has no room at this address.
                    self.acks_wait_since = Some(now);
                    self.note_amplification_limit(now);
                    return wrote;
                }
                Attempt::Blocked => {
                    self.more_to_write = false;
                    self.write_blocked = true;
                    return wrote;
                }
            }
        }
    }

    fn write_datagram(&mut self, now: Time, writer: &mut dyn PacketWriter) -> Attempt {
        if let Some(blocked) = self.blocked.take() {
            return self.hand_over(writer, &blocked.path, blocked.ecn, &blocked.data);
        }
        match self.life.state() {
            State::Open => {}
            State::Closing => return self.write_farewell(now, writer),
            State::Draining | State::Over => return Attempt::Nothing,
        }
        if let Some(attempt) = self.write_path_datagram(now, writer) {
            return attempt;
        }
        if let Some(attempt) = self.write_train(now, writer) {
            return attempt;
        }
        let Some(allowance) = self.allowance(now, writer) else { return Attempt::Nothing };
        let path = self.paths.active().address;
        let mut scratch = std::mem::take(&mut self.scratch);
        let location = writer.next_write_location(&path, allowance.size);
        let in_place = location.is_some();
        let buffer = location.unwrap_or_else(|| {
            scratch.resize(scratch.len().max(allowance.size), 0);
            &mut scratch
        });
        let len = self.fill(now, &mut buffer[..allowance.size], allowance);
        let payload =
            if in_place { Payload::InPlace(len) } else { Payload::Borrowed(&scratch[..len]) };
        let attempt = if len == 0 {
            Attempt::Nothing
        } else {
            let ecn = allowance.ecn;
            let release_time = self.release.take();
            let packet = OutgoingPacket { path: &path, payload, ecn, release_time };
            let result = writer.write_packet(&packet);
            self.paths.active_mut().on_sent(len);
            self.on_written(result, &packet, len)
        };
        self.scratch = scratch;
        attempt
    }

    /// How large the next datagram may be and what it may hold; `None` if there is nothing for it.
    fn allowance(&mut self, now: Time, writer: &dyn PacketWriter) -> Option<Allowance> {
        self.pacing_deadline = None;
        let limit = self.paths.active().allowance();
        let peer = self.paths.active().address.peer;
        let size = self.mtu.current().min(writer.max_packet_size(peer)).min(limit);
        if size < MIN_USEFUL_SIZE {
            return None;
        }
        let probing = self.probes.iter().any(|probes| *probes > 0) || self.finished_waits();
        let room = self.recovery.send_allowance(now) >= size as u64;
        self.release.plan(now, self.recovery.release_time().filter(|_| room));
        // Who never runs out of data looks for a larger size all the same.
        let largest = if limit == usize::MAX { writer.max_packet_size(peer) } else { 0 };
        let mtu_probe =
            self.mtu.next_probe(now).filter(|size| room && !probing && *size <= largest);
        if let Some(size) = mtu_probe.filter(|size| self.recovery.can_send(*size as u64)) {
            let (wanted, ecn) = ([false, false, true], Ecn::NotEct);
            return Some(Allowance { size, eliciting: true, wanted, probe: true, ecn });
        }
        // It has to fit in the window too (RFC 9002 §7); data waits until it does.
        let makes_room = mtu_probe.is_some_and(|size| self.recovery.may_ever_send(size as u64))
            && self.recovery.has_ack_eliciting_in_flight(Space::Application);
        let eliciting = probing || (room && !makes_room);
        let wanted = Space::ALL.map(|space| self.wants(now, space, eliciting));
        if wanted != [false; 3] {
            let ecn = self.mark(eliciting);
            let size = self.size_in_batch(size, wanted, writer);
            return Some(Allowance { size, eliciting, wanted, probe: false, ecn });
        }
        if makes_room {
            return None; // until an ACK has made it
        }
        if !eliciting && Space::ALL.into_iter().any(|space| self.wants(now, space, true)) {
            self.pacing_deadline = self.recovery.pacing_deadline();
        } else if !eliciting {
            self.recovery.on_application_limited(); // pacing holds nothing back
        } else if !probing {
            self.recovery.on_application_limited();
        }
        None
    }

    /// Builds and seals the packets of one datagram. Returns its length.
    fn fill(&mut self, now: Time, buffer: &mut [u8], allowance: Allowance) -> usize {
        if allowance.probe {
            return self.fill_packet(now, buffer, Space::Application, allowance, buffer_full());
        }
        let mut wanted = allowance.wanted;
        if self.take_along_with_probes(now) {
            wanted = Space::ALL.map(|space| self.wants(now, space, allowance.eliciting));
        }
        let last = wanted.iter().rposition(|wanted| *wanted);
        // RFC 9000 §14.1: a client's datagrams with Initial packets, and a server's with ones that
        // must be acknowledged, fill 1200 bytes.
        let expand = wanted[0] && (self.role == Role::Client || self.initial_elicits(allowance));
        if expand && buffer.len() < MIN_PACKET_SIZE {
            return 0; // the amplification limit; RFC 9000 §8.1
        }
        let mut len = 0;
        for space in Space::ALL {
            let at = space as usize;
            if wanted[at] {
                let pad = if expand && last == Some(at) {
                    Padding::To(MIN_PACKET_SIZE.saturating_sub(len))
                } else {
                    Padding::None
                };
                len += self.fill_packet(now, &mut buffer[len..], space, allowance, pad);
            }
        }
        len
    }

    fn initial_elicits(&self, allowance: Allowance) -> bool {
        let initial = self.space_of(Space::Initial);
        allowance.eliciting && (self.probes[0] > 0 || initial.crypto.wants_to_send())
    }

    /// Builds and seals one packet at the front of the buffer. Returns its length, 0 if there was
    /// no room for one.
    fn fill_packet(
        &mut self,
        now: Time,
        buffer: &mut [u8],
        space: Space,
        allowance: Allowance,
        padding: Padding,
    ) -> usize {
        if space == Space::Application {
            self.skip_a_number_now_and_then();
            let updated = self.keys.update_if_due();
            self.close_on_error(now, updated);
        }
        let first_byte = self.next_first_byte(space);
        let number = self.recovery.next_packet_number(space);
        let header = HeaderFields {
            space,
            version: self.version_to_send(space),
            destination: self.peer_cids.current(),
            source: &self.handshake.local_id(),
            token: &self.initial_token,
            first_byte,
            number,
            number_len: packet_number::encoded_len(number, self.recovery.largest_acked(space)),
        };
        let builder = match self.keys.level() {
            Level::ZeroRtt if space == Space::Application => PacketBuilder::zero_rtt,
            _ => PacketBuilder::new,
        };
        let Some(mut builder) = builder(buffer, &header) else { return 0 };
        if allowance.probe {
            builder.frame(&self.probe_frame(space), Some(SentFrame::MtuProbe));
        } else {
            self.write_frames(now, space, &mut builder, allowance.eliciting);
        }
        match padding {
            Padding::To(size) => {
                if builder.is_empty() {
                    builder.frame(&Frame::Ping, None);
                }
                builder.pad_to(size);
            }
            Padding::Full => builder.pad_full(),
            Padding::None if builder.is_empty() => return 0,
            Padding::None => {}
        }
        let packet = builder.finish();
        self.observe_sent(now, packet.info(space), buffer, packet.payload());
        self.keys.seal(space, buffer, &packet);
        if allowance.probe {
            self.mtu.on_probe_sent(number, packet.len());
        }
        let len = packet.len();
        self.on_packet_sent(now, space, packet, allowance.ecn);
        len
    }

    /// Skipping a packet number now and then shows who acknowledges what it has not received
    /// (RFC 9000 §21.4).
    fn skip_a_number_now_and_then(&mut self) {
        if self.packets_to_skip == 0 {
            self.recovery.skip_packet_number(Space::Application);
            self.packets_to_skip = 64 + (self.random.next_u64() % 960) as u32;
        }
        self.packets_to_skip -= 1;
    }

    /// `ecn` is what the datagram is marked with that the packet is in.
    pub(super) fn on_packet_sent(
        &mut self,
        now: Time,
        space: Space,
        packet: BuiltPacket,
        ecn: Ecn,
    ) {
        let size = packet.len();
        if packet.ack_eliciting {
            self.idle.on_ack_eliciting_sent(now);
            self.reminder.on_ack_eliciting_sent(now);
        }
        if space == Space::Application {
            self.mtu.on_packet_sent(size);
        }
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += size as u64;
        let in_flight = packet.is_in_flight();
        let mtu_probe = packet.frames.contains(&SentFrame::MtuProbe);
        let sent = SentPacket {
            ack_eliciting: packet.ack_eliciting,
            in_flight,
            mtu_probe,
            ..SentPacket::ack_only(size as u16, ecn, packet.frames)
        };
        self.recovery.on_packet_sent(self.release.time_sent(now), space, packet.number, sent);
        // RFC 9001 §4.9.1: a client has no use for Initial keys once it sends Handshake packets.
        if space == Space::Handshake && self.role == Role::Client {
            self.discard_space(now, Space::Initial);
        }
    }

    pub(super) fn hand_over(
        &mut self,
        writer: &mut dyn PacketWriter,
        path: &PathAddress,
        ecn: Ecn,
        data: &[u8],
    ) -> Attempt {
        let payload = Payload::Borrowed(data);
        let release_time = self.release.behind();
        let packet = OutgoingPacket { path, payload, ecn, release_time };
        let result = writer.write_packet(&packet);
        self.on_written(result, &packet, data.len())
    }

    /// `size` is that of each packet.
    pub(super) fn on_written(
        &mut self,
        result: WriteResult,
        packet: &OutgoingPacket<'_>,
        size: usize,
    ) -> Attempt {
        match result {
            WriteResult::Ok => Attempt::Sent,
            WriteResult::BlockedDataBuffered => Attempt::Blocked,
            WriteResult::Blocked => {
                // A packet built in the writer's buffer stays there by contract.
                if let Payload::Borrowed(data) = packet.payload {
                    let data = Bytes::copy_from_slice(data);
                    let (path, ecn) = (*packet.path, packet.ecn);
                    self.blocked = Some(Box::new(BlockedDatagram { path, ecn, data }));
                }
                Attempt::Blocked
            }
            WriteResult::MessageTooBig => {
                if self.mtu.on_too_big(size) {
                    self.on_mtu_changed();
                }
                Attempt::Sent
            }
            WriteResult::Error(error) => {
                self.close_silently(CloseReason::WriteFailed(error.to_string()));
                Attempt::Nothing
            }
        }
    }

    pub(super) fn on_mtu_changed(&mut self) {
        self.recovery.on_max_datagram_size_changed(self.mtu.current() as u16);
    }
}

/// How far a packet is to be filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    None,
    To(usize),
    Full,
}

const fn buffer_full() -> Padding {
    Padding::Full
}

/// How many datagrams one connection writes in a turn, at most.
const MAX_DATAGRAMS_PER_TURN: usize = 512;
/// A datagram smaller than this is not worth sending.
pub(super) const MIN_USEFUL_SIZE: usize = 64;
