//! [`HandshakeState`]: what the timers must know of the handshake, and what becomes of packets when
//! a stage of it ends (RFC 9002 §6.4).

use std::ops::Range;

use crate::recovery::{FrameSink, Recovery, SentLedger};
use crate::time::Time;
use crate::types::{Role, Space};

/// What recovery must know of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeState {
    /// Handshake packets can be sent.
    pub has_handshake_keys: bool,
    /// The handshake is confirmed (RFC 9001 §4.1.2).
    pub confirmed: bool,
    /// The peer is known to have validated our address. Always true for a server; for a client
    /// once a Handshake packet is acknowledged or the handshake is confirmed (RFC 9002 §A.8).
    pub peer_completed_address_validation: bool,
    /// A server that may not send a byte more until it receives more (RFC 9000 §8.1).
    pub at_anti_amplification_limit: bool,
}

impl HandshakeState {
    /// The beginning.
    pub const fn new(role: Role) -> Self {
        Self {
            has_handshake_keys: false,
            confirmed: false,
            peer_completed_address_validation: role.is_server(),
            at_anti_amplification_limit: false,
        }
    }
}

impl<F> Recovery<F> {
    /// What recovery knows of the handshake.
    pub const fn handshake_state(&self) -> HandshakeState {
        self.handshake
    }

    /// The handshake went on. A client's address, once validated, stays so.
    pub fn set_handshake_state(&mut self, now: Time, state: HandshakeState) {
        let validated = self.handshake.peer_completed_address_validation;
        let unblocked = self.handshake.at_anti_amplification_limit;
        if unblocked && !state.at_anti_amplification_limit {
            self.deadlock_base = now;
        }
        self.handshake = state;
        self.handshake.peer_completed_address_validation |=
            validated || state.confirmed || self.role.is_server();
    }

    /// A space's keys are gone: its packets are neither lost nor acknowledged, they do not matter
    /// any more (RFC 9002 §6.4, §A.11).
    pub fn discard_space(&mut self, now: Time, space: Space) {
        self.remove_from_flight(space);
        self.ledger(space).abandon(space, &mut Discard);
        self.reset_timers(now);
        self.update_pacing(now);
    }

    /// The client received Retry or Version Negotiation: everything sent so far was not, and
    /// should be sent again as the frames handed to `sink` say. Packet numbers go on
    /// (RFC 9000 §17.2.5.3), congestion control and timers begin anew (RFC 9002 §6.3).
    pub fn restart_for_retry(&mut self, now: Time, sink: &mut impl FrameSink<F>) {
        let initial = self.ledgers.get(Space::Initial);
        let first_sent = initial.and_then(|ledger| Some(ledger.packets().next()?.1.time_sent));
        if let (0, Some(sent)) = (self.pto_count, first_sent) {
            // RFC 9002 §6.2.2: without a retransmission the exchange is an RTT estimate, to be
            // used as the initial one.
            self.rtt = super::RttEstimator::new(now - sent);
        }
        for space in Space::ALL {
            self.ledger(space).abandon(space, sink);
        }
        self.bytes_in_flight = 0;
        self.algorithm.on_connection_migration(now);
        self.reset_timers(now);
        self.update_pacing(now);
    }

    /// The server rejected 0-RTT (RFC 9001 §4.6.2): what was sent in it goes to `sink` as lost,
    /// without a signal of congestion.
    pub fn on_zero_rtt_rejected(&mut self, now: Time, sink: &mut impl FrameSink<F>) {
        self.remove_from_flight(Space::Application);
        self.ledger(Space::Application).abandon(Space::Application, sink);
        self.update_pacing(now);
    }

    fn remove_from_flight(&mut self, space: Space) {
        let path = self.path;
        let packets = self.ledgers.get(space).into_iter().flat_map(SentLedger::packets);
        let bytes: u64 = packets
            .filter(|(_, packet)| packet.in_flight && packet.path == path)
            .map(|(_, packet)| u64::from(packet.size))
            .sum();
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
    }

    pub(super) fn reset_timers(&mut self, now: Time) {
        self.pto_count = 0;
        self.deadlock_base = now;
    }
}

/// Nobody wants to know.
struct Discard;

impl<F> FrameSink<F> for Discard {
    fn on_packets_acked(&mut self, _: Space, _: Range<u64>, _: &super::SentPacket<F>) {}

    fn on_packet_lost(&mut self, _: Space, _: u64, _: &super::SentPacket<F>) {}
}
