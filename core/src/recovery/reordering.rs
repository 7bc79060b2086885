//! [`Reordering`]: how far behind a packet may be before it counts as lost. Begins with RFC 9002's
//! thresholds and adapts, as its §6.1 allows and RACK (RFC 8985 §6.2) does: a packet that arrives
//! after it was declared lost shows how much the path reorders.

use std::time::Duration;

use crate::recovery::RttEstimator;
use crate::recovery::loss::{GRANULARITY, PACKET_THRESHOLD, TIME_THRESHOLD_EIGHTHS};

/// The packet threshold never grows larger.
pub const MAX_PACKET_THRESHOLD: u64 = 256;
/// The time threshold never grows longer than so many eighths of an RTT: RACK's limit, an RTT more.
const MAX_TIME_EIGHTHS: u32 = 16;
/// After so many loss episodes without a spurious loss the path is taken to be in order again
/// (RFC 8985 §6.2).
const FORGET_EPISODES: u32 = 16;

/// The thresholds of loss detection on one path.
#[derive(Clone, Copy, Debug)]
pub struct Reordering {
    packets: u64,
    time_eighths: u32,
    /// Loss episodes since the latest spurious loss.
    quiet_episodes: u32,
}

impl Default for Reordering {
    fn default() -> Self {
        Self { packets: PACKET_THRESHOLD, time_eighths: TIME_THRESHOLD_EIGHTHS, quiet_episodes: 0 }
    }
}

impl Reordering {
    /// How many packets later an acknowledged one must be (RFC 9002 §6.1.1). At least 3.
    pub const fn packet_threshold(&self) -> u64 {
        self.packets
    }

    /// How long after it was sent a packet older than an acknowledged one is lost
    /// (RFC 9002 §6.1.2).
    pub fn loss_delay(&self, rtt: &RttEstimator) -> Duration {
        let rtt = rtt.latest().max(rtt.smoothed());
        (rtt * self.time_eighths / 8).max(GRANULARITY)
    }

    /// A packet arrived after it was declared lost: `behind` packets after the newest, and `late`
    /// if it had been lost by the time threshold too by now.
    pub(super) fn on_spurious_loss(&mut self, behind: u64, late: bool) {
        self.quiet_episodes = 0;
        self.packets = self.packets.max(behind + 1).min(MAX_PACKET_THRESHOLD);
        if late {
            self.time_eighths = (self.time_eighths + 1).min(MAX_TIME_EIGHTHS);
        }
    }

    /// A new loss episode began.
    pub(super) fn on_loss_episode(&mut self) {
        self.quiet_episodes = self.quiet_episodes.saturating_add(1);
    }

    /// Losses are about to be looked for.
    pub(super) fn forget_if_quiet(&mut self) {
        if self.quiet_episodes >= FORGET_EPISODES {
            *self = Self::default();
        }
    }
}
