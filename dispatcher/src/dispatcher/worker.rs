//! The [`Dispatcher`] as one of several on a port: what it hands over to the others and takes over
//! from them. Whose a datagram is, `workers` knows.

use protoquic_core::{PacketSink as _, ReceivedPacket, Time};

use super::Dispatcher;
use crate::workers::{HandOver, MAX_INBOX, WorkerPlace};

impl Dispatcher {
    /// Makes it one of several dispatchers of a port. Its connection IDs must be
    /// [the place's](WorkerPlace::connection_ids), and all must have the same
    /// [secret](crate::DispatcherConfig::secret), or their tokens and resets hold for one alone.
    pub fn set_worker(&mut self, place: WorkerPlace) {
        self.worker = Some(place);
    }

    /// A datagram that no session here claims: it may be another worker's.
    pub(super) fn on_unclaimed(&mut self, packet: ReceivedPacket) {
        let Some(place) = &self.worker else { return self.on_unrouted(&packet) };
        match place.hand_over(packet) {
            HandOver::Ours(packet) => self.on_unrouted(&packet),
            HandOver::Done => self.stats.handed_over += 1,
            HandOver::Dropped => self.stats.hand_over_drops += 1,
        }
    }

    /// Takes what other workers have handed over since the last turn.
    pub(super) fn take_over(&mut self, now: Time) {
        for _ in 0..MAX_INBOX {
            let Some(packet) = self.worker.as_ref().and_then(WorkerPlace::take) else { return };
            self.stats.taken_over += 1;
            // The other's clock may have begun at another time.
            self.on_packet(ReceivedPacket { received: now, ..packet });
        }
    }
}
