//! What goes into a packet: asks the mechanisms for their frames, in a fixed order, until it is full.
//! This file must not know headers, keys or datagrams.

use super::Connection;
use super::packet_builder::PacketBuilder;
use super::sent::SentFrame;
use crate::time::Time;
use crate::types::{Role, Space};
use crate::wire::{Frame, crypto_header_len, write_ack, write_crypto_header};

impl Connection {
    pub(super) fn write_frames(
        &mut self,
        now: Time,
        space: Space,
        builder: &mut PacketBuilder<'_>,
        eliciting: bool,
    ) {
        // A large datagram may need a packet of its own; the ACK comes in the next one.
        let alone = eliciting && space == Space::Application && self.datagrams.takes_precedence();
        let acked = !alone && self.write_ack(now, space, builder);
        if eliciting {
            self.write_eliciting_frames(now, space, builder);
            self.write_probe(now, space, builder);
        }
        if acked {
            self.spaces[space as usize].acks.on_ack_sent(builder.is_ack_eliciting());
        }
    }

    fn write_eliciting_frames(&mut self, now: Time, space: Space, builder: &mut PacketBuilder<'_>) {
        self.write_crypto(space, builder);
        if space == Space::Application {
            self.write_control(builder);
            if self.may_send_data() {
                self.write_data(now, builder);
            }
        }
    }

    /// RFC 9002 §6.2.4: a probe must be ack-eliciting, and carries data rather than a PING. What the
    /// first of two has said again, the second says too: a server cannot begin with a PING.
    fn write_probe(&mut self, now: Time, space: Space, builder: &mut PacketBuilder<'_>) {
        let at = space as usize;
        if self.probes[at] > 0 && !builder.is_ack_eliciting() {
            self.requeue_oldest(now, space, 1);
            self.write_eliciting_frames(now, space, builder);
        }
        let wants_ping = self.probes[at] > 0 || self.spaces[at].acks.wants_ack_eliciting();
        if wants_ping && !builder.is_ack_eliciting() {
            builder.frame(&self.probe_frame(space), None);
        }
        // RFC 9000 §9.1: NEW_CONNECTION_ID alone is taken for a probe of the path; then a server would
        // not follow a client whose NAT has given it another address.
        let moves = space == Space::Application && self.role == Role::Client;
        if self.probes[at] > 0 && moves && self.handshake_confirmed {
            builder.frame(&Frame::Ping, None);
        }
        if builder.is_ack_eliciting() {
            self.probes[at] = self.probes[at].saturating_sub(1);
        }
    }

    pub(super) fn write_ack(
        &mut self,
        now: Time,
        space: Space,
        builder: &mut PacketBuilder<'_>,
    ) -> bool {
        let acks = &mut self.spaces[space as usize].acks;
        let Some(largest) = acks.largest().filter(|_| acks.has_unacked()) else { return false };
        let delay = acks.ack_delay(now).as_micros() as u64 >> ACK_DELAY_EXPONENT;
        let delay = if space == Space::Application { delay } else { 0 };
        let ecn = acks.ecn_counts();
        if write_ack(builder.writer(), acks.ranges(), delay, ecn) > 0 {
            builder.record(SentFrame::Ack { largest }, false);
            return true;
        }
        false
    }

    pub(super) fn write_crypto(&mut self, space: Space, builder: &mut PacketBuilder<'_>) {
        if self.spaces[space as usize].crypto.is_scattered() {
            return self.write_scattered(builder);
        }
        let crypto = &mut self.spaces[space as usize].crypto;
        while crypto.wants_to_send() {
            let header = crypto_header_len(crypto.next_offset(), builder.remaining());
            let room = builder.remaining().saturating_sub(header);
            let Some(range) = crypto.next_range(room) else { return };
            let len = (range.end - range.start) as usize;
            let writer = builder.writer();
            write_crypto_header(writer, range.start, len);
            crypto.copy(&range, &mut writer.unfilled()[..len]);
            writer.advance(len);
            builder.record(SentFrame::Crypto { start: range.start, end: range.end }, true);
        }
    }

    fn write_control(&mut self, builder: &mut PacketBuilder<'_>) {
        if self.pending.handshake_done {
            self.pending.handshake_done =
                !builder.frame(&Frame::HandshakeDone, Some(SentFrame::HandshakeDone));
        }
        self.write_connection_ids(builder);
        self.write_ack_frequency(builder);
        if self.pending.new_token
            && let Some(token) = &self.new_token
        {
            let frame = Frame::NewToken { token };
            self.pending.new_token = !builder.frame(&frame, Some(SentFrame::NewToken));
        }
        if self.pending.ping {
            self.pending.ping = !builder.frame(&Frame::Ping, None);
        }
    }

    fn write_connection_ids(&mut self, builder: &mut PacketBuilder<'_>) {
        self.local_cids.fill(&mut *self.random, &mut self.events);
        while self.local_cids.wants_to_send() && builder.remaining() >= MAX_NEW_CONNECTION_ID_LEN {
            let Some(issued) = self.local_cids.next_announcement() else { break };
            let frame = Frame::NewConnectionId {
                sequence: issued.sequence,
                retire_prior_to: 0,
                id: issued.id,
                reset_token: self.reset_key.token_for(&issued.id),
            };
            builder.frame(&frame, Some(SentFrame::NewConnectionId { sequence: issued.sequence }));
        }
        while self.peer_cids.wants_to_send() && builder.remaining() >= MAX_RETIRE_LEN {
            let Some(sequence) = self.peer_cids.next_retirement() else { break };
            let frame = Frame::RetireConnectionId { sequence };
            builder.frame(&frame, Some(SentFrame::RetireConnectionId { sequence }));
        }
    }
}

/// The exponent by which our ACK frames' delays are shifted: the default, never advertised
/// otherwise (RFC 9000 §18.2).
const ACK_DELAY_EXPONENT: u32 = 3;
/// NEW_CONNECTION_ID with every field at its largest.
const MAX_NEW_CONNECTION_ID_LEN: usize = 1 + 8 + 8 + 1 + 20 + 16;
/// RETIRE_CONNECTION_ID with its field at its largest.
const MAX_RETIRE_LEN: usize = 9;
