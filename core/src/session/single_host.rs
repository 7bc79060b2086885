//! [`SingleHost`]: one session on a socket of its own, as a client has it. Stands where a server has
//! a dispatcher. This file must not know the session's protocol.

use super::{Host, Notice, Session, SessionContext, SessionHost};
use crate::alarm::{Alarm, AlarmFactory, AlarmOwner};
use crate::error::{ApplicationError, CloseReason};
use crate::event_loop::EventLoopVisitor;
use crate::packet_batch::PacketBatch;
use crate::packet_reader::{PacketSink, ReceivedPacket};
use crate::packet_writer::PacketWriter;
use crate::time::Time;

/// A session's host together with its writer and its alarm.
pub struct SingleHost<S: Session> {
    host: SessionHost<S>,
    writer: Box<dyn PacketWriter>,
    alarm: Option<Alarm>,
    close_reason: Option<CloseReason>,
    blocked: bool,
    path_degrading: bool,
    again: bool,
}

impl<S: Session> std::fmt::Debug for SingleHost<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleHost").field("host", &self.host).finish_non_exhaustive()
    }
}

impl<S: Session> SingleHost<S> {
    /// Puts a host on a writer.
    pub fn new(host: SessionHost<S>, writer: Box<dyn PacketWriter>) -> Self {
        Self {
            host,
            writer,
            alarm: None,
            close_reason: None,
            blocked: false,
            path_degrading: false,
            again: true,
        }
    }

    /// The session.
    pub fn session(&self) -> &S {
        self.host.session()
    }

    /// The host, for its connection's state.
    pub fn host(&self) -> &SessionHost<S> {
        &self.host
    }

    /// Work from outside: runs `f` with the session and its context; what it wrote goes out at the
    /// end of the next turn.
    pub fn enter<R>(
        &mut self,
        now: Time,
        f: impl FnOnce(&mut S, &mut SessionContext<'_, S>) -> R,
    ) -> R {
        self.again = true;
        self.host.enter(now, f)
    }

    /// Why the connection ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.close_reason.as_ref()
    }

    /// Whether the path in use has come to seem to be dying since this was last asked.
    pub fn take_path_degrading(&mut self) -> bool {
        std::mem::take(&mut self.path_degrading)
    }

    /// Closes the connection; the close goes out at the end of the next turn.
    pub fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.again = true;
        self.host.close(now, code, reason);
    }
}

impl<S: Session> PacketSink for SingleHost<S> {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        self.host.process_packet(packet);
    }

    fn on_batch(&mut self, batch: PacketBatch) {
        self.host.process_batch(batch);
    }
}

impl<S: Session> EventLoopVisitor for SingleHost<S> {
    fn on_alarm(&mut self, _owner: AlarmOwner, now: Time) {
        self.host.on_alarm(now);
    }

    fn on_can_write(&mut self, _now: Time) {
        self.writer.set_writable();
        let _ = self.writer.flush();
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.again = false;
        self.host.run_turn(now, &mut *self.writer);
        let flushed = self.writer.flush();
        self.blocked =
            self.host.is_write_blocked() || flushed.is_blocked() || self.writer.is_write_blocked();
        while let Some(notice) = self.host.pop_notice() {
            match notice {
                Notice::Closed { reason, .. } => self.close_reason = Some(reason),
                Notice::PathDegrading => self.path_degrading = true,
                Notice::ConnectionIdIssued(_) | Notice::ConnectionIdRetired(_) => {}
            }
        }
        let alarm = *self.alarm.get_or_insert_with(|| alarms.create_alarm(AlarmOwner(0)));
        alarms.set_alarm(alarm, self.host.next_deadline());
    }

    fn wants_write_event(&self) -> bool {
        self.blocked
    }

    fn has_work(&self) -> bool {
        self.again
    }
}
