//! Gives memory back: at once what only the handshake needed, so that the next connection's can have
//! it; and when a connection falls idle what bursts needed, and what only a busy one gets anything
//! from. A server has far more idle connections than busy ones. This file must not know what the
//! memory held.

use super::Connection;
use super::event::Event;
use crate::types::Space;

impl Connection {
    /// The turn in which the handshake was confirmed has ended (RFC 9001 §4.1.2): nothing more of it
    /// is to come, except tickets for a client.
    pub(super) fn release_handshake(&mut self) {
        self.handshake.release_memory();
        self.forget_handshake_spaces();
        self.recovery.forget_handshake();
        self.early_packets = Vec::new();
        self.scratch = Vec::new();
    }

    fn forget_handshake_spaces(&mut self) {
        // What came for TLS may have made them anew.
        for space in [Space::Initial, Space::Handshake] {
            if !self.keys.can_seal(space) {
                self.spaces.discard(space);
            }
        }
    }

    /// The connection has been silent for a while; whoever owns it hears of it, and does likewise.
    pub(super) fn release_memory(&mut self) {
        self.handshake.release_memory();
        self.keys.release_memory();
        self.forget_handshake_spaces();
        self.spaces.release_memory();
        self.peer_cids.shrink();
        self.streams.shrink();
        self.recovery.release_memory();
        // What is not under way and not waiting has arrived.
        if !self.pending.new_token && self.recovery.bytes_in_flight() == 0 {
            self.new_token = None;
        }
        self.early_packets.shrink_to_fit();
        self.scratch = Vec::new();
        self.events.push_back(Event::Idle);
    }

    /// Gives back what events took, once they are delivered.
    pub fn shrink_events(&mut self) {
        self.events.shrink_to_fit();
    }
}
