//! Datagrams that probe a path: PATH_CHALLENGE and PATH_RESPONSE, sent by the path that they are
//! about (RFC 9000 §8.2). They go before everything else, so that a challenge is in the first
//! datagram on a new path. This file must not know when a challenge is due.

use super::Connection;
use super::packet_builder::{HeaderFields, PacketBuilder};
use super::paths::PATH_DATAGRAM;
use super::send::Attempt;
use crate::packet_writer::{OutgoingPacket, PacketWriter, Payload, WriteResult};
use crate::time::Time;
use crate::types::{Ecn, PathAddress, Space};
use crate::wire::{Frame, packet_number};

impl Connection {
    /// Writes one datagram of challenges and answers, if any is due. `None`: there is nothing.
    pub(super) fn write_path_datagram(
        &mut self,
        now: Time,
        writer: &mut dyn PacketWriter,
    ) -> Option<Attempt> {
        if !self.keys.can_seal(Space::Application) {
            return None;
        }
        self.paths.drop_strange_responses();
        let address = self.paths.next_to_write()?;
        let path = self.paths.find(&address)?;
        let (allowance, peer_id) = (path.allowance(), path.peer_id);
        // RFC 9000 §8.2.1, §8.2.2: 1200 bytes, to show that the path carries them, unless that
        // would amplify.
        let size = PATH_DATAGRAM.min(allowance);
        let mut buffer = [0; PATH_DATAGRAM];
        let buffer = &mut buffer[..size];
        let destination = *self.peer_cids.id(peer_id)?;
        let first_byte = self.first_byte_off_path();
        let number = self.recovery.next_packet_number(Space::Application);
        let header = HeaderFields {
            space: Space::Application,
            version: self.version,
            destination: &destination,
            source: &self.handshake.local_id(),
            token: &[],
            first_byte,
            number,
            number_len: packet_number::MAX_LEN,
        };
        let mut builder = PacketBuilder::new(buffer, &header)?;
        self.write_path_frames(now, &address, size == PATH_DATAGRAM, &mut builder);
        builder.pad_full();
        let packet = builder.finish();
        self.observe_sent(now, packet.info(Space::Application), buffer, packet.payload());
        self.keys.seal(Space::Application, buffer, &packet);
        let len = packet.len();
        let active = self.paths.is_active(&address);
        // What finds the window full does not count in it (RFC 9000 §9.4): that it is full may be
        // because nothing gets through before the path is proven.
        if active && self.recovery.can_send(len as u64) {
            self.on_packet_sent(now, Space::Application, packet, Ecn::NotEct);
        } else {
            self.on_off_path_packet_sent(now, &packet);
        }
        if let Some(path) = self.paths.find_mut(&address) {
            path.on_sent(len);
        }
        Some(self.send_on_path(writer, &address, &buffer[..len], active))
    }

    fn write_path_frames(
        &mut self,
        now: Time,
        address: &PathAddress,
        full: bool,
        builder: &mut PacketBuilder<'_>,
    ) {
        if let Some(data) = self.paths.next_challenge(now, address, full, &mut *self.random) {
            builder.frame(&Frame::PathChallenge(data), None);
        }
        let mut answers = false;
        while builder.remaining() >= PATH_FRAME_LEN
            && let Some(data) = self.paths.next_response_to(address)
        {
            answers |= builder.frame(&Frame::PathResponse(data), None);
        }
        // RFC 9000 §9.3.3: who asks on the path in use may have been led astray; only a packet that
        // does not just probe brings it back.
        if answers && self.paths.is_active(address) {
            builder.frame(&Frame::Ping, None);
            // What has come is said at once: a peer whose address changed may have lost all that it
            // sent to the old one, and learns so from this.
            if self.write_ack(now, Space::Application, builder) {
                self.spaces[Space::Application as usize].acks.on_ack_sent(true);
            }
        }
    }

    /// What leaves by another way than the active path, or beside its window, goes into the ledger, but
    /// neither into the window nor into the RTT: those are the active path's (RFC 9000 §9.4).
    fn on_off_path_packet_sent(&mut self, now: Time, packet: &super::packet_builder::BuiltPacket) {
        let size = packet.len();
        self.idle.on_ack_eliciting_sent(now);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += size as u64;
        self.recovery.on_off_path_packet_sent(now, packet.number, size as u16);
    }

    fn send_on_path(
        &mut self,
        writer: &mut dyn PacketWriter,
        path: &PathAddress,
        data: &[u8],
        active: bool,
    ) -> Attempt {
        let payload = Payload::Borrowed(data);
        let release_time = self.release.behind();
        let packet = OutgoingPacket { path, payload, ecn: Ecn::NotEct, release_time };
        match writer.write_packet(&packet) {
            // A path that does not carry this much, or none at all, will not be proven; that is no
            // reason to give up the one in use.
            WriteResult::MessageTooBig => Attempt::Sent,
            WriteResult::Error(error) if !active => {
                log::debug!("a path cannot be used: {error}");
                Attempt::Sent
            }
            result => self.on_written(result, &packet, data.len()),
        }
    }
}

/// PATH_CHALLENGE and PATH_RESPONSE, with their type.
const PATH_FRAME_LEN: usize = 9;
