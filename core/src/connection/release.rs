//! [`ReleaseTimes`]: when packets leave whose writer can hold them (SO_TXTIME and its like). The
//! pacer then says when, ahead of time, instead of waking the connection for every few packets. This
//! file must not know how a writer holds packets, nor what is in them.

use std::time::Duration;

use crate::packet_writer::PacketWriter;
use crate::recovery::Recovery;
use crate::time::Time;

/// The release times of one connection's packets.
#[derive(Debug, Default)]
pub(super) struct ReleaseTimes {
    /// That of the last packet.
    last: Option<Time>,
    /// Of the packet that is being built.
    next: Option<Time>,
}

impl ReleaseTimes {
    /// The pacer may plan as far ahead as this writer allows.
    pub(super) fn begin<F>(recovery: &mut Recovery<F>, writer: &dyn PacketWriter) {
        let can = writer.supports_release_time();
        recovery.set_pacing_horizon(if can { HORIZON } else { Duration::ZERO });
    }

    /// Decides when the next packet leaves: when pacing lets it, and not before the last one, for
    /// reordering looks like loss.
    pub(super) fn plan(&mut self, now: Time, paced: Option<Time>) {
        self.next = paced.max(self.last).filter(|at| *at > now);
    }

    /// When the packet being built leaves the host, where the connection takes it to be sent.
    pub(super) fn time_sent(&self, now: Time) -> Time {
        self.next.or(self.last).map_or(now, |at| at.max(now))
    }

    /// What to tell the writer of the packet that was built.
    pub(super) fn take(&mut self) -> Option<Time> {
        self.last = self.next.or(self.last);
        self.next.take()
    }

    /// What to tell the writer of packets that are not paced: they stay behind the others.
    pub(super) const fn behind(&self) -> Option<Time> {
        self.last
    }
}

/// How far ahead packets are given to a writer that holds them: some timer ticks, and less than
/// would make much of what we then learn of the path too late.
const HORIZON: Duration = Duration::from_millis(5);
