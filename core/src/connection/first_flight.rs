//! What can be done with a client's first packets without a connection: reading its ClientHello
//! ([`FirstFlight`]) and refusing it ([`refusal`]). For dispatchers, which must decide before they
//! keep state. This file must not know routing.

use bytes::{Bytes, BytesMut};

use super::crypto_stream::CryptoStream;
use super::header_bits::FirstByte;
use super::keys::KeyRing;
use super::packet_builder::{HeaderFields, PacketBuilder};
use super::setup::SetupError;
use crate::crypto::{ClientHello, parse_client_hello};
use crate::error::TransportError;
use crate::types::{ConnectionId, Role, Space};
use crate::wire::{
    ConnectionCloseFrame, Frame, FrameIter, PacketHeader, PacketType, Version, parse_greased_header,
};

/// Collects the CRYPTO frames of a client's Initial packets until its ClientHello is whole
/// (Chromium: TlsChloExtractor). They may come shuffled, over several packets and datagrams.
///
/// The packets are read, not consumed: the connection gets them again.
#[derive(Debug)]
pub struct FirstFlight {
    version: Version,
    keys: KeyRing,
    crypto: CryptoStream,
    hello: Vec<u8>,
    authentic: bool,
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
            keys: KeyRing::new(Role::Server, version, destination, provider)?,
            crypto: CryptoStream::default(),
            hello: Vec::new(),
            authentic: false,
        })
    }

    /// Reads the Initial packets of a datagram. The ClientHello once it is whole; an error if it
    /// can never be.
    pub fn read(&mut self, datagram: &[u8]) -> Result<Option<ClientHello>, TransportError> {
        let mut rest = datagram;
        while let Ok(PacketHeader::Long(header)) = parse_greased_header(rest, 0) {
            let Some(packet) = rest.get(..header.packet_len) else { break };
            let initial = header.packet_type() == Some(PacketType::Initial);
            if initial && header.version == self.version {
                self.read_packet(packet, header.pn_offset)?;
            }
            rest = &rest[header.packet_len..];
        }
        while let Some(bytes) = self.crypto.read() {
            self.hello.extend_from_slice(&bytes);
        }
        parse_client_hello(&self.hello)
    }

    /// Whether any packet was authentic. Anyone can make one, but not by accident.
    pub fn is_authentic(&self) -> bool {
        self.authentic
    }

    fn read_packet(&mut self, packet: &[u8], number_offset: usize) -> Result<(), TransportError> {
        let mut packet = BytesMut::from(packet);
        let ty = PacketType::Initial;
        let opened = self.keys.open(ty, self.version, &mut packet, number_offset, None);
        let Ok(opened) = opened else { return Ok(()) };
        self.authentic = true;
        for frame in FrameIter::new(&packet[opened.payload]) {
            if let Frame::Crypto { offset, data } = frame? {
                self.crypto.on_frame(offset, data)?;
            }
        }
        Ok(())
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
        number: 0,
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

const REFUSAL_SIZE: usize = 300;
const MAX_REFUSAL_REASON: usize = 150;
