//! What can be done with a client's first packets without a connection: reading its ClientHello
//! ([`FirstFlight`]) and refusing it ([`refusal`]). For dispatchers, which must decide before they
//! keep state. This file must not know routing.

use bytes::{Bytes, BytesMut};

use super::Connection;
use super::crypto_stream::CryptoStream;
use super::header_bits::FirstByte;
use super::keys::KeyRing;
use super::packet_builder::{HeaderFields, PacketBuilder};
use super::sent::{SentFrame, SentFrames};
use super::setup::SetupError;
use crate::crypto::{ClientHello, parse_client_hello};
use crate::error::TransportError;
use crate::packet_reader::ReceivedPacket;
use crate::recovery::{AckPolicy, AckTracker, SentPacket};
use crate::time::Time;
use crate::types::{ConnectionId, Ecn, Role, Space};
use crate::wire::{
    ConnectionCloseFrame, Frame, FrameIter, PacketHeader, PacketType, Version,
    parse_greased_header, write_ack,
};

/// Collects the CRYPTO frames of a client's Initial packets until its ClientHello is whole
/// (Chromium: TlsChloExtractor). They may come shuffled, over several packets and datagrams.
///
/// The packets are read, not consumed: the connection gets them again.
#[derive(Debug)]
pub struct FirstFlight {
    version: Version,
    destination: ConnectionId,
    keys: KeyRing,
    crypto: CryptoStream,
    hello: Vec<u8>,
    authentic: bool,
    offers_session: bool,
    received: AckTracker,
    acknowledged: EarlyAcks,
}

/// What was sent of a connection before there was one: packets that acknowledge a part of its
/// ClientHello. Their numbers are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyAcks {
    /// How many, 0 to 16; the first has number 0.
    pub packets: u8,
    /// Their bytes together.
    pub bytes: usize,
}

impl FirstFlight {
    /// For Initial packets of this version to this destination.
    pub fn new(
        version: Version,
        destination: &ConnectionId,
        provider: &rustls::crypto::CryptoProvider,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            version,
            destination: *destination,
            keys: KeyRing::new(Role::Server, version, destination, provider)?,
            crypto: CryptoStream::default(),
            hello: Vec::new(),
            authentic: false,
            offers_session: false,
            received: AckTracker::new(Space::Initial, &AckPolicy::default()),
            acknowledged: EarlyAcks::default(),
        })
    }

    /// Reads the Initial packets of a datagram. The ClientHello once it is whole; an error if it
    /// can never be.
    pub fn read(
        &mut self,
        datagram: &ReceivedPacket,
    ) -> Result<Option<ClientHello>, TransportError> {
        let mut rest = &datagram.data[..];
        while let Ok(PacketHeader::Long(header)) = parse_greased_header(rest, 0) {
            let Some(packet) = rest.get(..header.packet_len) else { break };
            let initial = header.packet_type() == Some(PacketType::Initial);
            if initial && header.version == self.version {
                self.read_packet(datagram, packet, header.pn_offset)?;
            }
            rest = &rest[header.packet_len..];
        }
        while let Some(bytes) = self.crypto.read() {
            self.hello.extend_from_slice(&bytes);
        }
        let hello = parse_client_hello(&self.hello)?;
        self.offers_session = hello.as_ref().is_some_and(|hello| hello.offers_session);
        Ok(hello)
    }

    /// Whether the ClientHello offers to resume a session.
    pub(super) const fn offers_session(&self) -> bool {
        self.offers_session
    }

    /// Whether any packet was authentic. Anyone can make one, but not by accident.
    pub fn is_authentic(&self) -> bool {
        self.authentic
    }

    /// What has been sent by [`acknowledge`](Self::acknowledge).
    pub fn acknowledged(&self) -> EarlyAcks {
        self.acknowledged
    }

    /// The keys, for the connection itself; `None` if they are for another version or destination.
    pub(super) fn into_keys(self, version: Version, destination: &ConnectionId) -> Option<KeyRing> {
        let same = version == self.version && *destination == self.destination;
        same.then_some(self.keys)
    }

    /// An Initial packet that acknowledges what was read, if any of it is to be acknowledged: a
    /// client whose ClientHello is not whole must learn what is missing, and the RTT
    /// (RFC 9000 §13.2.1). From this ID of ours, which must remain the connection's.
    pub fn acknowledge(
        &mut self,
        local_id: &ConnectionId,
        peer_id: &ConnectionId,
    ) -> Option<Bytes> {
        if !self.received.has_unacked() || self.acknowledged.packets >= MAX_EARLY_ACKS {
            return None;
        }
        let mut buffer = vec![0; REFUSAL_SIZE];
        let header = HeaderFields {
            space: Space::Initial,
            version: self.version,
            destination: peer_id,
            source: local_id,
            token: &[],
            first_byte: FirstByte::PLAIN,
            number: self.acknowledged.packets.into(),
            number_len: 1,
        };
        let mut builder = PacketBuilder::new(&mut buffer, &header)?;
        let ecn = self.received.ecn_counts();
        if write_ack(builder.writer(), self.received.ranges(), 0, ecn) == 0 {
            return None;
        }
        builder.record(SentFrame::Ack { largest: self.received.largest()? }, false);
        let packet = builder.finish();
        self.keys.seal(Space::Initial, &mut buffer, &packet);
        buffer.truncate(packet.len());
        self.received.on_ack_sent(false);
        self.acknowledged.packets += 1;
        self.acknowledged.bytes += buffer.len();
        Some(buffer.into())
    }

    fn read_packet(
        &mut self,
        datagram: &ReceivedPacket,
        packet: &[u8],
        number_offset: usize,
    ) -> Result<(), TransportError> {
        let mut packet = BytesMut::from(packet);
        let ty = PacketType::Initial;
        let largest = self.received.largest();
        let opened = self.keys.open(ty, self.version, &mut packet, number_offset, largest);
        let Ok(opened) = opened else { return Ok(()) };
        self.authentic = true;
        let mut eliciting = false;
        for frame in FrameIter::new(&packet[opened.payload]) {
            let frame = frame?;
            eliciting |= frame.is_ack_eliciting();
            if let Frame::Crypto { offset, data } = frame {
                match self.crypto.take_next(offset, data) {
                    Some(bytes) => self.hello.extend_from_slice(bytes),
                    None => self.crypto.on_frame(offset, data)?,
                }
            }
        }
        let (now, ecn) = (datagram.received, datagram.ecn);
        self.received.on_packet_received(now, opened.number, eliciting, ecn);
        Ok(())
    }
}

impl Connection {
    /// These packets were sent for a new connection: their numbers are gone, and what may be sent
    /// to an address that is not proven is so much less.
    pub(super) fn count_early_acks(&mut self, now: Time, acks: EarlyAcks) {
        for _ in 0..acks.packets {
            let number = self.recovery.next_packet_number(Space::Initial);
            let packet = SentPacket::ack_only(0, Ecn::NotEct, SentFrames::default());
            self.recovery.on_packet_sent(now, Space::Initial, number, packet);
        }
        self.paths.active_mut().on_sent(acks.bytes);
    }
}

/// An Initial packet that closes a connection which was never made, in answer to a client's Initial
/// with these IDs; no state is kept for it (RFC 9000 §10.2.3).
pub fn refusal(
    version: Version,
    destination: &ConnectionId,
    source: &ConnectionId,
    provider: &rustls::crypto::CryptoProvider,
    error: &TransportError,
) -> Result<Bytes, SetupError> {
    let mut keys = KeyRing::new(Role::Server, version, destination, provider)?;
    let mut buffer = vec![0; REFUSAL_SIZE];
    let header = HeaderFields {
        space: Space::Initial,
        version,
        destination: source,
        source: destination,
        token: &[],
        first_byte: FirstByte::PLAIN,
        // Beyond those of acknowledgements that may have gone before.
        number: MAX_EARLY_ACKS.into(),
        number_len: 1,
    };
    let Some(mut builder) = PacketBuilder::new(&mut buffer, &header) else {
        return Ok(Bytes::new());
    };
    let reason = error.reason().as_bytes();
    let close = ConnectionCloseFrame {
        application: false,
        code: error.code().0,
        frame_type: 0,
        reason: &reason[..reason.len().min(MAX_REFUSAL_REASON)],
    };
    builder.frame(&Frame::ConnectionClose(close), None);
    let packet = builder.finish();
    keys.seal(Space::Initial, &mut buffer, &packet);
    buffer.truncate(packet.len());
    Ok(buffer.into())
}

/// How often a part of a ClientHello is acknowledged, at most. Together these packets are smaller
/// than the datagram they answer (RFC 9000 §8.1).
const MAX_EARLY_ACKS: u8 = 16;
const REFUSAL_SIZE: usize = 300;
const MAX_REFUSAL_REASON: usize = 150;
