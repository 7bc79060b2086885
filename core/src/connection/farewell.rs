//! Says goodbye: builds the datagram with CONNECTION_CLOSE and sends it, as often as `close` says
//! (RFC 9000 §10.2). This file must not know why a connection ends.

use bytes::Bytes;

use super::Connection;
use super::config::MIN_PACKET_SIZE;
use super::keys::Level;
use super::packet_builder::{HeaderFields, PacketBuilder};
use super::send::Attempt;
use crate::error::CloseReason;
use crate::packet_writer::PacketWriter;
use crate::time::Time;
use crate::types::{Ecn, Role, Space};
use crate::wire::{Frame, packet_number};

impl Connection {
    /// Says goodbye, at first with a new packet, then by repeating it (RFC 9000 §10.2.1).
    pub(super) fn write_farewell(&mut self, now: Time, writer: &mut dyn PacketWriter) -> Attempt {
        if !self.life.wants_to_send() {
            return Attempt::Nothing;
        }
        self.life.on_farewell_sent();
        let farewell = match self.life.farewell() {
            Some(farewell) => farewell.clone(),
            None => self.build_farewell(now),
        };
        // RFC 9000 §10.2.1: an unproven address gets no more than three times what it sent.
        if farewell.is_empty() || farewell.len() > self.paths.active().allowance() {
            return Attempt::Nothing;
        }
        let path = self.paths.active().address;
        self.paths.active_mut().on_sent(farewell.len());
        self.hand_over(writer, &path, Ecn::NotEct, &farewell)
    }

    /// One datagram with CONNECTION_CLOSE at every level that the peer may be able to read
    /// (RFC 9000 §10.2.3).
    fn build_farewell(&mut self, now: Time) -> Bytes {
        let mut buffer = [0; MIN_PACKET_SIZE];
        let mut len = 0;
        let finishes = self.finishes_with_farewell();
        let has_initial = self.keys.can_seal(Space::Initial) && !finishes;
        for space in Space::ALL {
            let superfluous = match space {
                Space::Initial => self.handshake_confirmed || finishes,
                Space::Handshake => self.handshake_confirmed,
                Space::Application => self.keys.level() == Level::ZeroRtt,
            };
            if self.keys.can_seal(space) && !superfluous {
                len += self.build_farewell_packet(now, space, &mut buffer[len..], finishes);
            }
        }
        // RFC 9000 §14.1 asks for full size of a client's Initial packets. What follows the last
        // packet and is no packet is ignored by receivers, but not by middleboxes' size checks.
        if self.role == Role::Client && has_initial && len > 0 {
            buffer[len..].fill(0);
            len = MIN_PACKET_SIZE;
        }
        let farewell = Bytes::copy_from_slice(&buffer[..len]);
        self.life.on_farewell_built(farewell.clone());
        farewell
    }

    /// Builds and seals one packet of it at the front of `buffer`, which has to do for those of later
    /// spaces too. Returns its length.
    fn build_farewell_packet(
        &mut self,
        now: Time,
        space: Space,
        buffer: &mut [u8],
        finishes: bool,
    ) -> usize {
        let first_byte = self.next_first_byte(space);
        let number = self.recovery.next_packet_number(space);
        let header = HeaderFields {
            space,
            version: self.version,
            destination: self.peer_cids.current(),
            source: &self.handshake.local_id(),
            token: &self.initial_token,
            first_byte,
            number,
            number_len: packet_number::MAX_LEN,
        };
        // Three packets share the datagram; the reason gives way.
        let room = buffer.len() / (3 - space as usize);
        let Some(mut builder) = PacketBuilder::new(&mut buffer[..room], &header) else { return 0 };
        if finishes && space == Space::Handshake {
            self.write_crypto(space, &mut builder);
        } else {
            let max_reason = builder.remaining().saturating_sub(CLOSE_OVERHEAD);
            let Some(close) = self.close_frame(space, max_reason) else { return 0 };
            builder.frame(&Frame::ConnectionClose(close), None);
        }
        let packet = builder.finish();
        self.observe_sent(now, packet.info(space), buffer, packet.payload());
        self.keys.seal(space, buffer, &packet);
        packet.len()
    }

    /// A client's application closes as soon as the handshake is complete, before the server can know
    /// that it is. The messages that tell it go along, if they fit: then it has the handshake, can read
    /// the 1-RTT packet behind them and needs no other.
    fn finishes_with_farewell(&self) -> bool {
        let unsent = self.spaces[Space::Handshake as usize].crypto.unsent();
        let by_application = matches!(self.life.reason(), Some(CloseReason::Application { .. }));
        by_application && self.finished_waits() && unsent <= MAX_FINISHED
    }
}

/// CONNECTION_CLOSE without its reason, with every field at its largest.
const CLOSE_OVERHEAD: usize = 1 + 8 + 8 + 8;
/// A client's last handshake messages are taken along up to this size, in bytes: Finished alone, with
/// any hash. With a certificate before it there is no room for all.
const MAX_FINISHED: u64 = 128;
