//! Gives memory back when a connection falls idle: what bursts and the handshake needed, and what
//! only a busy connection gets anything from. A server has far more idle connections than busy
//! ones. This file must not know what the memory held.

use super::Connection;
use super::event::Event;
use crate::types::Space;

impl Connection {
    /// The connection has been silent for a while; whoever owns it hears of it, and does likewise.
    pub(super) fn release_memory(&mut self) {
        self.handshake.release_memory();
        self.keys.release_memory();
        // What came for TLS may have made them anew.
        for space in [Space::Initial, Space::Handshake] {
            if !self.keys.can_seal(space) {
                self.spaces.discard(space);
            }
        }
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
