//! A connection's move to another path: congestion control, RTT and ECN begin anew there, and what
//! was sent on the old path no longer counts (RFC 9000 §9.4).

use crate::congestion::{DeliveryTracker, SendAlgorithm};
use crate::recovery::{Recovery, RttEstimator};
use crate::time::Time;

/// What was known of a path that was left; to be kept in case the connection returns to it.
#[derive(Debug)]
pub struct PathState {
    algorithm: Box<dyn SendAlgorithm>,
    rtt: RttEstimator,
    delivery: DeliveryTracker,
    max_datagram_size: u16,
}

impl<F> Recovery<F> {
    /// The connection moved to a path of which nothing is known. Packets sent before it remain in
    /// the ledger and can be acknowledged or lost, but move neither the new path's window nor its
    /// RTT. Not to be called when only the peer's port changed (RFC 9000 §9.4).
    pub fn on_connection_migration(
        &mut self,
        now: Time,
        algorithm: Box<dyn SendAlgorithm>,
        max_datagram_size: u16,
    ) -> PathState {
        let fresh = PathState {
            algorithm,
            rtt: RttEstimator::new(self.config.initial_rtt),
            delivery: DeliveryTracker::default(),
            max_datagram_size,
        };
        self.restore_path(now, fresh)
    }

    /// The connection returned to a path it had left (RFC 9000 §9.3.2). Returns what was known of
    /// the one that it leaves.
    pub fn restore_path(&mut self, now: Time, state: PathState) -> PathState {
        let left = PathState {
            algorithm: std::mem::replace(&mut self.algorithm, state.algorithm),
            rtt: std::mem::replace(&mut self.rtt, state.rtt),
            delivery: std::mem::replace(&mut self.delivery, state.delivery),
            max_datagram_size: self.max_datagram_size,
        };
        self.path += 1;
        self.bytes_in_flight = 0;
        self.ecn.on_new_path(self.config.ecn);
        self.episode = super::Episode::default();
        self.reordering = super::Reordering::default();
        self.on_max_datagram_size_changed(state.max_datagram_size);
        self.reset_timers(now);
        self.update_pacing(now);
        left
    }
}
