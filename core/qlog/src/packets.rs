//! Packets as qlog spells them. This file must not know when they are written.

use protoquic_core::PacketInfo;
use protoquic_core::connection::{DropReason, PlainPacket};
use protoquic_core::types::Space;
use protoquic_core::wire::PacketType;
use qlog::events::quic::{
    self, PacketDropped, PacketDroppedTrigger, PacketHeader, PacketLost, PacketReceived,
    PacketSent, QuicFrame,
};
use qlog::events::{EventData, RawInfo};

use crate::frames::frame;

pub(crate) fn sent(packet: &PlainPacket<'_>) -> EventData {
    EventData::QuicPacketSent(PacketSent {
        header: header(packet),
        raw: Some(raw(packet)),
        frames: Some(frames(packet)),
        ..PacketSent::default()
    })
}

pub(crate) fn received(packet: &PlainPacket<'_>) -> EventData {
    EventData::QuicPacketReceived(PacketReceived {
        header: header(packet),
        raw: Some(raw(packet)),
        frames: Some(frames(packet)),
        ..PacketReceived::default()
    })
}

pub(crate) fn dropped(size: usize, reason: DropReason) -> EventData {
    let (trigger, details) = match reason {
        DropReason::Header => (PacketDroppedTrigger::Invalid, "not for this connection"),
        DropReason::KeysUnavailable => (PacketDroppedTrigger::General, "no keys for it"),
        DropReason::Decryption => (PacketDroppedTrigger::DecryptionFailure, "not authentic"),
        DropReason::Duplicate => (PacketDroppedTrigger::Rejected, "received before"),
        DropReason::Closing => (PacketDroppedTrigger::Rejected, "the connection is closing"),
    };
    EventData::QuicPacketDropped(PacketDropped {
        raw: Some(RawInfo { length: Some(size as u64), ..RawInfo::default() }),
        details: Some(details.to_owned()),
        trigger: Some(trigger),
        ..PacketDropped::default()
    })
}

/// What the ledger knows of a lost packet: 0-RTT and 1-RTT packets are one to it.
pub(crate) fn lost(packet: &PacketInfo) -> EventData {
    let packet_type = match packet.space {
        Space::Initial => quic::PacketType::Initial,
        Space::Handshake => quic::PacketType::Handshake,
        Space::Application => quic::PacketType::OneRtt,
    };
    let packet_number = Some(packet.number);
    let header = PacketHeader { packet_type, packet_number, ..PacketHeader::default() };
    EventData::QuicPacketLost(PacketLost { header: Some(header), ..PacketLost::default() })
}

fn header(packet: &PlainPacket<'_>) -> PacketHeader {
    let (packet_type, long) = match packet.ty {
        PacketType::Initial => (quic::PacketType::Initial, true),
        PacketType::ZeroRtt => (quic::PacketType::ZeroRtt, true),
        PacketType::Handshake => (quic::PacketType::Handshake, true),
        PacketType::OneRtt => (quic::PacketType::OneRtt, false),
    };
    PacketHeader {
        packet_type,
        packet_number: Some(packet.info.number),
        spin_bit: packet.spin(),
        key_phase_bit: packet.key_phase(),
        version: long.then(|| format!("{:08x}", packet.version.0)),
        dcil: Some(packet.destination.len() as u8),
        dcid: Some(packet.destination.to_string()),
        ..PacketHeader::default()
    }
}

fn raw(packet: &PlainPacket<'_>) -> RawInfo {
    let (length, payload) = (packet.info.size as u64, packet.payload.len() as u64);
    RawInfo { length: Some(length), payload_length: Some(payload), data: None }
}

fn frames(packet: &PlainPacket<'_>) -> Vec<QuicFrame> {
    packet.frames().map_while(Result::ok).map(|one| frame(&one)).collect()
}
