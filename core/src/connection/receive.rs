//! The way in: from a datagram to frames. Splits coalesced packets, finds their keys, removes their
//! protection in place, drops what cannot be authenticated, and hands payloads to `frames.rs`.
//! This file must not know what frames mean.

use bytes::{Buf, Bytes, BytesMut};

use super::Connection;
use super::close::State;
use super::config::MIN_PACKET_SIZE;
use super::keys::Opened;
use super::observer::DropReason;
use crate::crypto::OpenError;
use crate::error::{CloseReason, TransportError};
use crate::packet_reader::ReceivedPacket;
use crate::time::Time;
use crate::types::{ConnectionId, Ecn, PathAddress, ResetToken, Role, Space};
use crate::wire::{
    FIXED_BIT, LONG_FORM_BIT, LONG_RESERVED_BITS, LongType, PacketHeader, PacketType,
    SHORT_RESERVED_BITS, Version,
};

/// What is known of the datagram a packet came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) now: Time,
    pub(super) path: PathAddress,
    pub(super) ecn: Ecn,
    pub(super) datagram_len: usize,
}

/// A packet whose header was read but whose protection is not removed yet.
#[derive(Debug)]
struct ProtectedPacket {
    ty: PacketType,
    /// That of a long header; the connection's for a short one.
    version: Version,
    number_offset: usize,
    data: BytesMut,
    destination: ConnectionId,
    /// The peer's own ID, in a long header.
    source: Option<ConnectionId>,
}

/// A packet that was authenticated.
#[derive(Debug)]
pub(super) struct OpenedPacket {
    pub(super) ty: PacketType,
    pub(super) version: Version,
    pub(super) number: u64,
    /// Of the whole packet.
    pub(super) size: usize,
    /// Of its header, without protection.
    pub(super) first_byte: u8,
    pub(super) payload: Bytes,
    pub(super) destination: ConnectionId,
    pub(super) source: Option<ConnectionId>,
}

/// A packet that came before its keys did (RFC 9001 §5.7).
#[derive(Debug)]
pub(super) struct EarlyPacket {
    arrival: Arrival,
    packet: ProtectedPacket,
}

impl Connection {
    /// Takes one received datagram. Its effects show as [events](Self::poll_event) and in what
    /// [`write`](Self::write) sends; whatever is wrong with it is never an error of the caller's.
    pub fn process_packet(&mut self, packet: ReceivedPacket) {
        let ReceivedPacket { path, ecn, received: now, data } = packet;
        let arrival = Arrival { now, path, ecn, datagram_len: data.len() };
        if !self.takes_datagram(&arrival) {
            return;
        }
        let token = reset_token(&data);
        let authentic = match self.destination_of_sole(&data) {
            Some(destination) => self.process_sole(&arrival, destination, data),
            None => self.process_packets(&arrival, data),
        };
        self.finish_datagram(&arrival, authentic, token);
    }

    /// A datagram came. Whether it is to be looked at.
    pub(super) fn takes_datagram(&mut self, arrival: &Arrival) -> bool {
        let Arrival { now, path, datagram_len: len, .. } = *arrival;
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += len as u64;
        if self.life.state() != State::Open {
            self.life.on_packet_while_closing();
            self.note_drop(now, len, DropReason::Closing);
            return false;
        }
        if !self.admits(&path, len) {
            self.note_drop(now, len, DropReason::Header);
            return false;
        }
        if !self.keys.is_at(now) {
            self.keys.on_datagram(now, self.recovery.pto());
        }
        true
    }

    /// All packets of a datagram were processed. `authentic`: one of them at least; `token`: what the
    /// datagram ended with.
    pub(super) fn finish_datagram(
        &mut self,
        arrival: &Arrival,
        authentic: bool,
        token: Option<ResetToken>,
    ) {
        let long_enough = arrival.datagram_len >= MIN_STATELESS_RESET;
        if !authentic
            && long_enough
            && self.life.is_open()
            && token.is_some_and(|token| self.peer_cids.is_reset_token(&token))
        {
            self.drain(arrival.now, CloseReason::StatelessReset);
        }
        if self.life.is_open() {
            let result = self.check_glitches(arrival.now);
            self.close_on_error(arrival.now, result);
        }
        if !self.early_packets.is_empty() {
            self.process_early_packets();
        }
        self.note_amplification_limit(arrival.now);
        self.watch(arrival.now);
    }

    /// Processes a datagram of any packets. Returns whether one of them was authentic.
    fn process_packets(&mut self, arrival: &Arrival, mut data: BytesMut) -> bool {
        let mut authentic = false;
        let mut first = None;
        while !data.is_empty() && self.life.is_open() {
            let Some(packet) = self.split_packet(arrival, &mut data) else { break };
            // RFC 9000 §12.2: later packets for another connection are not ours.
            if *first.get_or_insert(packet.destination) != packet.destination {
                self.note_drop(arrival.now, packet.data.len(), DropReason::Header);
                continue;
            }
            authentic |= self.process_protected(arrival, packet);
        }
        authentic
    }

    /// Where a datagram is destined that is one packet with a short header, for one of our IDs, to
    /// be opened with keys that are here: nearly all are. `None` for others, sound or not.
    pub(super) fn destination_of_sole(&self, data: &[u8]) -> Option<ConnectionId> {
        if data.first()? & (LONG_FORM_BIT | FIXED_BIT) != FIXED_BIT {
            return None;
        }
        let id = ConnectionId::new(data.get(1..=self.local_cids.length())?)?;
        (self.local_cids.contains(&id) && self.keys.can_open(PacketType::OneRtt)).then_some(id)
    }

    /// Processes such a datagram. Returns whether it was authentic.
    fn process_sole(
        &mut self,
        arrival: &Arrival,
        destination: ConnectionId,
        mut data: BytesMut,
    ) -> bool {
        let size = data.len();
        let largest = self.space_of(Space::Application).acks.largest();
        let opened = self.keys.open_one_rtt(&mut data, 1 + destination.len(), largest);
        let (ty, version) = (PacketType::OneRtt, self.version);
        let packet = opened.map(|opened| bare(ty, version, destination, None, data, opened));
        self.process_opened(arrival, size, packet)
    }

    /// Takes the next packet off the datagram; `None` if the rest is of no use.
    fn split_packet(&mut self, arrival: &Arrival, data: &mut BytesMut) -> Option<ProtectedPacket> {
        let mut version = self.version;
        let (ty, number_offset, destination, source, len) = match self.read_header(data) {
            Ok(PacketHeader::Short(short)) => {
                (PacketType::OneRtt, short.pn_offset, short.destination, None, data.len())
            }
            Ok(PacketHeader::Long(long)) if !self.takes_version(long.ty, long.version) => {
                self.note_drop(arrival.now, data.len(), DropReason::Header);
                return None;
            }
            Ok(PacketHeader::Long(long)) => {
                let Some(ty) = long.packet_type() else {
                    debug_assert_eq!(long.ty, LongType::Retry);
                    let retry = data.split().freeze();
                    self.on_retry(arrival.now, &retry);
                    return None;
                };
                version = long.version;
                (ty, long.pn_offset, long.destination, Some(long.source), long.packet_len)
            }
            Ok(PacketHeader::VersionNegotiation(_)) => {
                let packet = data.split().freeze();
                self.on_version_negotiation(arrival.now, &packet);
                return None;
            }
            Ok(PacketHeader::UnknownVersion(_)) | Err(_) => {
                self.note_drop(arrival.now, data.len(), DropReason::Header);
                return None;
            }
        };
        // The last one, which is the only one as a rule, takes the datagram's buffer along.
        let data = if len < data.len() { data.split_to(len) } else { std::mem::take(data) };
        Some(ProtectedPacket { ty, version, number_offset, data, destination, source })
    }

    /// Processes one packet of a datagram. Returns whether it was authentic.
    fn process_protected(&mut self, arrival: &Arrival, packet: ProtectedPacket) -> bool {
        let size = packet.data.len();
        // RFC 9000 §14.1
        let small = arrival.datagram_len < MIN_PACKET_SIZE;
        if self.role == Role::Server && packet.ty == PacketType::Initial && small {
            self.note_drop(arrival.now, size, DropReason::Header);
            return false;
        }
        let to_original = matches!(packet.ty, PacketType::Initial | PacketType::ZeroRtt)
            && self.handshake.first_destination() == Some(packet.destination);
        if !to_original && !self.local_cids.contains(&packet.destination) {
            self.note_drop(arrival.now, size, DropReason::Header);
            return false;
        }
        self.prepare_version(packet.ty, packet.version);
        if !self.keys.can_open(packet.ty) {
            self.on_packet_before_keys(arrival.now, packet.ty);
            self.keep_early(arrival, &packet);
            return false;
        }
        // RFC 9369 §4.1: Handshake packets have the negotiated version.
        if packet.ty == PacketType::Handshake && packet.version != self.version {
            self.note_drop(arrival.now, size, DropReason::Header);
            return false;
        }
        let ProtectedPacket { ty, version, number_offset, mut data, destination, source } = packet;
        let largest = self.spaces[ty.space() as usize].acks.largest();
        let opened = self.keys.open(ty, version, &mut data, number_offset, largest);
        let packet = opened.map(|opened| bare(ty, version, destination, source, data, opened));
        self.process_opened(arrival, size, packet)
    }

    /// Processes a packet whose protection was removed, or could not be. Returns whether it was
    /// authentic.
    pub(super) fn process_opened(
        &mut self,
        arrival: &Arrival,
        size: usize,
        packet: Result<OpenedPacket, OpenError>,
    ) -> bool {
        let result = match packet {
            Ok(mut packet) => match check_reserved(packet.ty, packet.first_byte) {
                Ok(()) => {
                    self.stats.packets_received += 1;
                    self.on_packet_opened(arrival, &mut packet)
                }
                wrong => wrong,
            },
            Err(OpenError::Fatal(error)) => Err(error),
            Err(OpenError::Drop) => {
                self.note_drop(arrival.now, size, DropReason::Decryption);
                return false;
            }
        };
        self.close_on_error(arrival.now, result);
        true
    }

    /// Keeps a packet for when its keys are here, if they can still come (RFC 9001 §5.7).
    fn keep_early(&mut self, arrival: &Arrival, packet: &ProtectedPacket) {
        let may_come = match packet.ty {
            PacketType::Handshake => !self.keys.handshake_was_available(),
            PacketType::OneRtt => !self.is_established(),
            PacketType::ZeroRtt => self.may_await_zero_rtt(),
            PacketType::Initial => false,
        };
        if may_come && self.early_packets.len() < MAX_EARLY_PACKETS {
            // A copy, so that the receive buffer is not held for a round trip.
            let data = BytesMut::from(&packet.data[..]);
            let packet = ProtectedPacket { data, ..*packet };
            self.early_packets.push(EarlyPacket { arrival: *arrival, packet });
        } else {
            self.note_drop(arrival.now, packet.data.len(), DropReason::KeysUnavailable);
        }
    }

    /// New keys are here: processes what waited for them.
    pub(super) fn process_early_packets(&mut self) {
        let waiting = std::mem::take(&mut self.early_packets);
        for early in waiting {
            if !self.life.is_open() {
                return;
            }
            if self.keys.can_open(early.packet.ty) {
                self.process_protected(&early.arrival, early.packet);
            } else {
                self.early_packets.push(early);
            }
        }
    }

    pub(super) fn note_drop(&mut self, now: Time, size: usize, reason: DropReason) {
        self.stats.packets_dropped += 1;
        if let Some(watch) = &mut self.observer {
            watch.observer.on_packet_dropped(now, size, reason);
        }
    }

    pub(super) fn space_of(&self, space: Space) -> &super::space::PacketSpace {
        &self.spaces[space as usize]
    }
}

/// What may be a stateless reset's token. Removing protection destroys the bytes, so it is set aside
/// before (RFC 9000 §10.3.1).
pub(super) fn reset_token(datagram: &[u8]) -> Option<ResetToken> {
    datagram.last_chunk::<{ ResetToken::LEN }>().map(|bytes| ResetToken(*bytes))
}

/// A packet without its protection, of which nothing but the payload is kept.
pub(super) fn bare(
    ty: PacketType,
    version: Version,
    destination: ConnectionId,
    source: Option<ConnectionId>,
    data: BytesMut,
    opened: Opened,
) -> OpenedPacket {
    let Opened { first_byte, number, payload: range } = opened;
    let size = data.len();
    // Cut to size, not sliced: that would count one more holder, and then one less.
    let mut payload = data.freeze();
    payload.truncate(range.end);
    payload.advance(range.start);
    OpenedPacket { ty, version, number, size, first_byte, payload, destination, source }
}

/// RFC 9000 §17.2, §17.3.1: to be looked at only after both protections are removed.
fn check_reserved(ty: PacketType, first_byte: u8) -> Result<(), TransportError> {
    let reserved = match ty {
        PacketType::OneRtt => SHORT_RESERVED_BITS,
        _ => LONG_RESERVED_BITS,
    };
    if first_byte & reserved != 0 {
        return Err(TransportError::protocol_violation(format!(
            "reserved bits {:#04x} are set in a packet header",
            first_byte & reserved
        )));
    }
    Ok(())
}

/// The smallest datagram that can be a stateless reset (RFC 9000 §10.3).
const MIN_STATELESS_RESET: usize = 21;
/// How many packets wait for their keys, at most.
pub(super) const MAX_EARLY_PACKETS: usize = 16;
