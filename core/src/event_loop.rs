//! [`EventLoopVisitor`]: what an event loop calls. A turn is: packets, alarms, then once
//! [`on_turn_end`](EventLoopVisitor::on_turn_end), where sessions run and write. This file must not
//! know sockets.

use crate::alarm::{AlarmFactory, AlarmOwner};
use crate::packet_reader::PacketSink;
use crate::time::Time;

/// Works on what an event loop brings: a dispatcher, or a client's one session.
pub trait EventLoopVisitor: PacketSink {
    /// An alarm went off. Called after the turn's packets.
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time);

    /// The socket can be written again. Called only while
    /// [`wants_write_event`](Self::wants_write_event) says so.
    fn on_can_write(&mut self, now: Time);

    /// Somebody woke the loop from outside.
    fn on_wake(&mut self, now: Time) {
        let _ = now;
    }

    /// The turn's last call: run sessions, write, set alarms.
    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory);

    /// Whether the loop should watch for the socket to become writable.
    fn wants_write_event(&self) -> bool;

    /// Whether the next turn is to begin without waiting.
    fn has_work(&self) -> bool;
}
