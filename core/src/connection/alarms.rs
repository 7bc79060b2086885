//! A connection's deadlines: asks every mechanism for its own, shows the earliest, and tells each
//! whose time has come. This file must not know what a mechanism does then.

use std::time::Duration;

use super::Connection;
use super::close::State;
use super::event::Event;
use crate::error::CloseReason;
use crate::recovery::TimeoutAction;
use crate::time::Time;
use crate::types::Space;

impl Connection {
    /// When [`on_deadline`](Self::on_deadline) wants to be called; `None` if never. May be in the
    /// past: then at once.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.life.state() != State::Open {
            return self.life.deadline();
        }
        if self.more_to_write && !self.write_blocked {
            return Some(Time::ZERO);
        }
        // What waits to be written waits for the writer while that is full.
        let can_write = !self.write_blocked;
        let acks = self.spaces.iter().map(|space| {
            let waits = |deadline: &Time| self.acks_wait_since.is_some_and(|at| *deadline <= at);
            space.acks.ack_deadline().filter(|deadline| !waits(deadline))
        });
        let to_write = acks.chain([self.pacing_deadline]).filter(|_| can_write);
        to_write
            .chain([
                self.recovery.deadline(),
                self.idle.deadline(self.recovery.pto()),
                self.idle.keep_alive_deadline().filter(|_| self.handshake_confirmed),
                self.idle.idle_deadline(self.recovery.pto()).filter(|_| self.handshake_confirmed),
                self.handshake.deadline(),
                self.paths.deadline(),
                self.quiet.deadline(self.recovery.pto()),
                self.datagrams.deadline(),
                self.streams.next_deadline(),
                self.reminder_deadline(),
            ])
            .flatten()
            .min()
    }

    /// Does what is due at `now`. What there is to send then waits for [`write`](Self::write).
    pub fn on_deadline(&mut self, now: Time) {
        self.do_what_is_due(now);
        self.watch(now);
    }

    fn do_what_is_due(&mut self, now: Time) {
        if self.life.state() != State::Open {
            self.life.on_deadline(now);
            return;
        }
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.handshake.deadline()) {
            return self.close_silently(CloseReason::HandshakeTimeout);
        }
        if due(self.idle.deadline(self.recovery.pto())) {
            return self.close_silently(CloseReason::IdleTimeout);
        }
        if due(self.idle.keep_alive_deadline()) && self.handshake_confirmed {
            self.idle.on_keep_alive();
            self.pending.ping = true;
        }
        if due(self.idle.idle_deadline(self.recovery.pto())) && self.handshake_confirmed {
            self.idle.on_idle();
            self.release_memory();
        }
        self.on_path_deadlines(now);
        if due(self.quiet.deadline(self.recovery.pto())) {
            self.quiet.on_deadline();
            self.pending.ping |= self.is_confirmed() && self.streams.awaits_answers();
        }
        self.datagrams.expire(now);
        self.streams.expire(now);
        if due(self.reminder_deadline()) {
            self.reminder.on_deadline(now);
            self.streams.repeat_blocked();
        }
        if due(self.recovery.deadline()) {
            self.on_recovery_deadline(now);
        }
    }

    /// RFC 9000 §4.1: when a blocked sender speaks that has no ack-eliciting packets in flight.
    fn reminder_deadline(&self) -> Option<Time> {
        let waits = self.handshake_confirmed
            && !self.recovery.has_ack_eliciting_in_flight(Space::Application)
            && self.streams.is_blocked();
        waits.then(|| self.reminder.deadline(self.recovery.pto(), self.idle.timeout()))
    }

    fn on_recovery_deadline(&mut self, now: Time) {
        let (recovery, mut fates) = self.fates(now);
        let action = recovery.on_deadline(now, &mut fates);
        let (mtu_changed, _) = fates.finish();
        self.settle(mtu_changed, None);
        if let TimeoutAction::Probe { space, packets } = action {
            let (count, enough) = (self.recovery.pto_count(), self.config.path_degrading_timeouts);
            if self.handshake_confirmed && self.path_monitor.on_timeouts(count, enough) {
                self.events.push_back(Event::PathDegrading);
            }
            // RFC 9000 §14.4, RFC 8899 §4.3: while nothing arrives, no loss is detected either.
            if self.mtu.on_probe_timeouts(self.recovery.pto_count()) {
                self.on_mtu_changed();
            }
            self.prepare_probes(now, space, packets);
        }
    }

    /// A PTO: up to two packets are sent whatever the window says, with what the oldest packets in
    /// flight hold, or a PING (RFC 9002 §6.2.4).
    fn prepare_probes(&mut self, now: Time, space: Space, packets: u8) {
        self.probes[space as usize] = packets;
        self.requeue_oldest(now, space, packets);
    }

    /// Has what the oldest packets in flight hold sent again: of so many packets, and of more if it
    /// fits in as many datagrams. Else small packets that got lost one after the other could hide
    /// for ever what the peer waits for, behind what it does not.
    pub(super) fn requeue_oldest(&mut self, now: Time, space: Space, packets: u8) {
        let packets = usize::from(packets);
        let mut room = packets * self.mtu.current();
        let (recovery, mut fates) = self.fates(now);
        let unacked = recovery.oldest_unacked(space);
        let unacked = unacked.filter(|(_, packet)| !packet.mtu_probe);
        for (at, (number, packet)) in unacked.enumerate() {
            let fits = usize::from(packet.size) <= room;
            if at >= packets && !fits {
                return;
            }
            room = room.saturating_sub(packet.size.into());
            for frame in &packet.frames {
                fates.on_frame_lost(space, &frame.at_place(packet.place(number)));
            }
        }
    }

    /// The time of one probe timeout, without its backoff (RFC 9002 §6.2.1).
    pub fn pto(&self) -> Duration {
        self.recovery.pto()
    }
}
