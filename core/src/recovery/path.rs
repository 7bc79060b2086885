//! A connection's move to another path: congestion control, RTT and ECN begin anew there, and what
//! was sent on the old path no longer counts (RFC 9000 §9.4).

use std::time::Duration;

use crate::congestion::{DeliveryTracker, SendAlgorithm};
use crate::recovery::{GRANULARITY, Recovery, RttEstimator, SentPacket};
use crate::time::Time;
use crate::types::{Ecn, Space};

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

    /// A packet was sent by another path than the present one, to probe it. It can be acknowledged
    /// or lost, but nothing follows from either.
    pub fn on_off_path_packet_sent(&mut self, now: Time, number: u64, size: u16)
    where
        F: Default,
    {
        debug_assert_eq!(number, self.next_packet_number(Space::Application));
        let mut packet = SentPacket::ack_only(size, Ecn::NotEct, F::default());
        packet.time_sent = now;
        packet.path = OFF_PATH;
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += u64::from(size);
        self.ledger(Space::Application).push(packet, 1);
    }

    /// The time that a path challenge took is what the RTT starts from, until there is a sample
    /// (RFC 9002 §6.2.2).
    pub fn use_initial_rtt(&mut self, rtt: Duration) {
        if self.rtt.first_sample().is_none() {
            self.rtt = RttEstimator::new(rtt.max(GRANULARITY));
        }
    }

    /// Only the peer's port is new, which most likely is a NAT's doing: window and RTT stay (RFC 9000
    /// §9.4). What was sent to the old port is gone with the binding and not for congestion, so it
    /// neither fills the window nor closes it. Whether ECN marks arrive is found out again (RFC 9000
    /// §13.4.2).
    pub fn on_peer_port_changed(&mut self, now: Time) {
        self.leave_path();
        self.update_pacing(now);
    }

    fn leave_path(&mut self) {
        self.path += 1;
        self.bytes_in_flight = 0;
        self.ecn.on_new_path(self.config.ecn);
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
        self.leave_path();
        self.episode = super::Episode::default();
        self.reordering = super::Reordering::default();
        self.on_max_datagram_size_changed(state.max_datagram_size);
        self.reset_timers(now);
        self.update_pacing(now);
        left
    }
}

/// The mark of packets that were not sent by the present path.
const OFF_PATH: u32 = u32::MAX;
