//! When a packet is lost (RFC 9002 §6.1) and when everything is (§7.6). The rules only: the ledger
//! applies them to its packets.

use std::time::Duration;

use crate::recovery::RttEstimator;
use crate::time::Time;

/// How many packets later an acknowledged one must be, on a path not known to reorder
/// (RFC 9002 §6.1.1).
pub const PACKET_THRESHOLD: u64 = 3;
/// kTimeThreshold, in eighths of the RTT, on a path not known to reorder (RFC 9002 §6.1.2).
pub(super) const TIME_THRESHOLD_EIGHTHS: u32 = 9;
/// The resolution that timers are assumed to have (RFC 9002 §6.1.2).
pub const GRANULARITY: Duration = Duration::from_millis(1);
/// How many probe timeouts make congestion persistent (RFC 9002 §7.6.1).
pub const PERSISTENT_CONGESTION_THRESHOLD: u32 = 3;

/// The span of losses that makes congestion persistent (RFC 9002 §7.6.1). Unlike a probe timeout
/// it includes max_ack_delay whatever the space.
pub fn persistent_congestion_duration(rtt: &RttEstimator, max_ack_delay: Duration) -> Duration {
    (rtt.pto_base() + max_ack_delay) * PERSISTENT_CONGESTION_THRESHOLD
}

/// What makes a packet lost now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) now: Time,
    /// How many packets later an acknowledged one must be.
    pub(super) packets: u64,
    /// How long ago a packet must have been sent.
    pub(super) delay: Duration,
}

impl Thresholds {
    /// Whether a packet is lost, given the largest acknowledged number of its space.
    pub(super) fn is_lost(&self, pn: u64, sent: Time, largest: u64) -> bool {
        pn < largest && (pn + self.packets <= largest || sent + self.delay <= self.now)
    }
}

/// A run of packets of one space, all lost, without an acknowledged one between them
/// (RFC 9002 §7.6.2). Packets are reported in the order of their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossRun {
    first: Option<Time>,
    last: Time,
}

impl LossRun {
    /// A packet was acknowledged, or the run has served: it ends.
    pub(super) fn reset(&mut self) {
        self.first = None;
    }

    /// An ack-eliciting packet was lost.
    pub(super) fn on_lost(&mut self, sent: Time) {
        self.first.get_or_insert(sent);
        self.last = sent;
    }

    /// From the first packet to the last.
    pub(super) fn duration(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| self.last - first)
    }
}
