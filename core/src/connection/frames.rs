//! From frames to mechanisms: one `match` hands each frame of an authenticated packet to the part
//! that it concerns. Enforces who may send which frame in which packet (RFC 9000 §12.4). This file
//! must not know how any mechanism works.

use std::time::Duration;

use bytes::{Buf, Bytes};

use super::Connection;
use super::event::Event;
use super::observer::DropReason;
use super::receive::{Arrival, OpenedPacket};
use crate::error::{ApplicationError, CloseReason, TransportError, TransportErrorCode};
use crate::time::Time;
use crate::types::{Role, Space};
use crate::wire::{
    AckFrame, ConnectionCloseFrame, Frame, FrameIter, PacketType, SPIN_BIT, SoleStream,
};

/// What the frames of a packet say of it as a whole.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ack_eliciting: bool,
    /// All of them only probe a path (RFC 9000 §9.1).
    probing: bool,
    /// The peer challenges the path.
    challenged: bool,
}

impl Connection {
    /// Applies an authenticated packet.
    pub(super) fn on_packet_opened(
        &mut self,
        arrival: &Arrival,
        packet: &mut OpenedPacket,
    ) -> Result<(), TransportError> {
        let space = packet.ty.space();
        if self.spaces[space as usize].acks.is_duplicate(packet.number) {
            self.note_drop(arrival.now, packet.payload.len(), DropReason::Duplicate);
            return Ok(());
        }
        let unwanted = self.is_forbidden_move(arrival, packet)
            || self.is_late_for_old_address(arrival, packet);
        if unwanted || !self.on_authentic_packet(arrival, packet) {
            self.note_drop(arrival.now, packet.payload.len(), DropReason::Header);
            return Ok(());
        }
        self.observe_received(arrival.now, packet);
        // RFC 9000 §12.4
        if packet.payload.is_empty() {
            return Err(TransportError::protocol_violation("a packet without frames"));
        }
        let sole = match packet.ty {
            PacketType::OneRtt | PacketType::ZeroRtt => SoleStream::parse(&packet.payload),
            PacketType::Initial | PacketType::Handshake => None,
        };
        let seen = match sole {
            Some(sole) => self.on_sole_stream(packet, sole)?,
            None => self.on_frames(arrival, packet)?,
        };
        if !self.life.is_open() {
            return Ok(()); // closed by the peer: the rest does not matter
        }
        if !self.keys.can_seal(space) {
            return Ok(()); // this packet completed the handshake: its space is gone
        }
        let largest = self.spaces[space as usize].acks.largest();
        let newest = largest.is_none_or(|largest| packet.number > largest);
        let acks = &mut self.spaces[space as usize].acks;
        acks.on_packet_received(arrival.now, packet.number, seen.ack_eliciting, arrival.ecn);
        if space != Space::Application && seen.ack_eliciting {
            self.on_eliciting_handshake_packet(arrival.now, space);
        }
        if newest && seen.ack_eliciting && self.role == Role::Client {
            self.quiet.on_data(arrival.now);
        }
        let on_active_path = self.paths.is_active(&arrival.path);
        if newest && packet.ty == PacketType::OneRtt && on_active_path {
            self.header_bits.spin.on_packet(self.role, packet.first_byte & SPIN_BIT != 0);
        }
        if on_active_path {
            self.paths.active_mut().local_id = Some(packet.destination);
        } else {
            self.on_packet_from(arrival, packet, newest && !seen.probing, seen.challenged);
        }
        Ok(())
    }

    /// The one frame of most packets of a transfer. Its data is what is left of the payload.
    fn on_sole_stream(
        &mut self,
        packet: &mut OpenedPacket,
        frame: SoleStream,
    ) -> Result<Seen, TransportError> {
        let SoleStream { id, offset, fin, start } = frame;
        let mut data = std::mem::take(&mut packet.payload);
        data.advance(start);
        let result = self.streams.on_stream_frame(id, offset, fin, data);
        result.map_err(|error| error.in_frame(frame.frame_type()))?;
        Ok(Seen { ack_eliciting: true, probing: false, challenged: false })
    }

    /// Applies the frames of a packet, up to one that closes the connection.
    fn on_frames(
        &mut self,
        arrival: &Arrival,
        packet: &OpenedPacket,
    ) -> Result<Seen, TransportError> {
        let mut seen = Seen { ack_eliciting: false, probing: true, challenged: false };
        for frame in FrameIter::new(&packet.payload) {
            let frame = frame?;
            let ty = frame.frame_type();
            seen.ack_eliciting |= frame.is_ack_eliciting();
            seen.probing &= frame.is_probing();
            seen.challenged |= matches!(frame, Frame::PathChallenge(_));
            if !frame.permitted_in(packet.ty) {
                return Err(TransportError::protocol_violation(format!(
                    "frame type {ty:#x} is not allowed in a packet of type {:?}",
                    packet.ty
                ))
                .in_frame(ty));
            }
            self.on_frame(arrival, packet, frame).map_err(|error| error.in_frame(ty))?;
            if !self.life.is_open() {
                break;
            }
        }
        Ok(seen)
    }

    fn on_frame(
        &mut self,
        arrival: &Arrival,
        packet: &OpenedPacket,
        frame: Frame<'_>,
    ) -> Result<(), TransportError> {
        let payload = &packet.payload;
        match frame {
            Frame::Padding(_) | Frame::Ping => Ok(()),
            Frame::Stream { id, offset, fin, data } => {
                self.streams.on_stream_frame(id, offset, fin, payload.slice_ref(data))
            }
            Frame::Ack(ack) => self.on_ack(arrival.now, packet.ty, &ack),
            Frame::Crypto { offset, data } => self.on_crypto(arrival.now, packet.ty, offset, data),
            Frame::MaxData(max) => {
                self.streams.on_max_data(max);
                Ok(())
            }
            Frame::MaxStreamData { id, max } => self.streams.on_max_stream_data(id, max),
            Frame::MaxStreams { direction, max } => self.streams.on_max_streams(direction, max),
            Frame::DataBlocked(limit) => {
                self.streams.on_data_blocked(limit);
                Ok(())
            }
            Frame::StreamDataBlocked { id, limit } => {
                self.streams.on_stream_data_blocked(id, limit)
            }
            Frame::StreamsBlocked { direction, limit } => {
                self.streams.on_streams_blocked(direction, limit)
            }
            Frame::ResetStream { id, error, final_size } => {
                self.streams.on_reset_stream(id, ApplicationError(error), final_size)
            }
            Frame::ResetStreamAt { id, error, final_size, reliable_size } => {
                if !self.config.reset_stream_at {
                    return Err(TransportError::frame_encoding("RESET_STREAM_AT was not offered"));
                }
                let code = ApplicationError(error);
                self.streams.on_reset_stream_at(id, code, final_size, reliable_size)
            }
            Frame::StopSending { id, error } => {
                self.streams.on_stop_sending(id, ApplicationError(error))
            }
            Frame::NewConnectionId { sequence, retire_prior_to, id, reset_token } => {
                self.peer_cids.on_new_connection_id(sequence, retire_prior_to, id, reset_token)?;
                self.renew_path_ids();
                Ok(())
            }
            Frame::RetireConnectionId { sequence } => {
                self.local_cids.on_retire(sequence, &packet.destination, &mut self.events)
            }
            Frame::PathChallenge(data) => {
                self.paths.on_challenge(arrival.path, data);
                Ok(())
            }
            Frame::PathResponse(data) => {
                self.on_path_response(arrival.now, data);
                Ok(())
            }
            Frame::NewToken { token } => self.on_new_token(token),
            Frame::HandshakeDone => self.on_handshake_done(arrival.now),
            Frame::ConnectionClose(close) => {
                self.on_connection_close(arrival.now, &close);
                Ok(())
            }
            Frame::AckFrequency(ask) => self.on_ack_frequency(&ask),
            Frame::ImmediateAck => self.on_immediate_ack(),
            Frame::Datagram { data, .. } => {
                self.datagrams.on_frame(payload.slice_ref(data), frame.encoded_len())
            }
        }
    }

    fn on_new_token(&mut self, token: &[u8]) -> Result<(), TransportError> {
        // RFC 9000 §19.7
        if self.role == Role::Server {
            return Err(TransportError::protocol_violation("a client sent NEW_TOKEN"));
        }
        if self.tokens_received < MAX_TOKENS_KEPT && token.len() <= MAX_TOKEN_LEN {
            self.tokens_received += 1;
            let token = Bytes::copy_from_slice(token);
            self.resumption.put_token(&token);
            self.events.push_back(Event::NewToken(token));
        }
        Ok(())
    }

    fn on_connection_close(&mut self, now: Time, close: &ConnectionCloseFrame<'_>) {
        let reason = if close.application {
            CloseReason::PeerApplication {
                code: ApplicationError(close.code),
                reason: Bytes::copy_from_slice(close.reason),
            }
        } else {
            let text = String::from_utf8_lossy(close.reason).into_owned();
            let error = TransportError::new(TransportErrorCode(close.code), text);
            CloseReason::PeerTransport(match close.frame_type {
                0 => error,
                ty => error.in_frame(ty),
            })
        };
        self.drain(now, reason);
    }

    fn on_ack(
        &mut self,
        now: Time,
        ty: PacketType,
        ack: &AckFrame<'_>,
    ) -> Result<(), TransportError> {
        let space = ty.space();
        let delay = self.decode_ack_delay(space, ack.delay);
        let (recovery, mut fates) = self.fates(now);
        let summary =
            recovery.on_ack_received(now, space, ack.ranges(), delay, ack.ecn, &mut fates);
        let (mtu_changed, largest_acked) = fates.finish();
        self.settle(mtu_changed, largest_acked);
        let summary = summary?;
        if summary.newly_acked > 0 && self.path_monitor.on_progress() {
            self.events.push_back(Event::PathRecovered);
        }
        if summary.rtt_updated {
            let min_rtt = self.recovery.rtt().min();
            self.spaces[Space::Application as usize].acks.set_min_rtt(min_rtt);
            self.update_ack_frequency();
        }
        Ok(())
    }

    /// The peer's ack_delay field in the peer's unit (RFC 9000 §19.3, RFC 9002 §5.3).
    fn decode_ack_delay(&self, space: Space, raw: u64) -> Duration {
        if space != Space::Application {
            return Duration::ZERO;
        }
        // RFC 9000 §18.2: at most 20, as the parameters' parser has checked.
        let exponent = self.handshake.peer_parameters().ack_delay_exponent.min(20);
        Duration::from_micros(raw.saturating_mul(1 << exponent).min(MAX_ACK_DELAY_MICROS))
    }
}

/// What an ACK frame says beyond this is taken as this; recovery believes less (RFC 9002 §5.3).
const MAX_ACK_DELAY_MICROS: u64 = 1 << 40;
/// How many NEW_TOKEN tokens of one connection are passed on, and how long each may be.
const MAX_TOKENS_KEPT: u8 = 8;
const MAX_TOKEN_LEN: usize = 1024;
