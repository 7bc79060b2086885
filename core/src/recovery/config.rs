//! [`RecoveryConfig`] and [`AckPolicy`]: everything about recovery that can be set.

use std::time::Duration;

/// How the sending half recovers from loss.
#[derive(Clone, Debug)]
pub struct RecoveryConfig {
    /// The RTT assumed before the first sample. Default 333 ms (RFC 9002 §6.2.2).
    pub initial_rtt: Duration,
    /// The largest UDP payload to begin with, in bytes. Default 1200.
    pub max_datagram_size: u16,
    /// Whether to spread packets over the RTT (RFC 9002 §7.7). Default true.
    pub pacing: bool,
    /// The largest burst, in datagrams, that pacing lets a large window send at once, so that
    /// batched writes pay off. At least 10. Default 64. High rates may burst 2 ms' worth.
    pub pacing_burst: u16,
    /// Whether to mark packets ECT(0) and react to CE (RFC 9000 §13.4). Default true.
    pub ecn: bool,
    /// The probe timeout is doubled at most so many times. Range 0 to 16, default 10.
    pub max_pto_doublings: u32,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            initial_rtt: Duration::from_millis(333),
            max_datagram_size: 1200,
            pacing: true,
            pacing_burst: 64,
            ecn: true,
            max_pto_doublings: 10,
        }
    }
}

/// When the receiving half acknowledges 1-RTT packets (RFC 9000 §13.2).
#[derive(Clone, Copy, Debug)]
pub struct AckPolicy {
    /// The longest an acknowledgement is held back; sent to the peer as a transport parameter.
    /// Default 25 ms.
    pub max_ack_delay: Duration,
    /// Acknowledge each so many ack-eliciting packets at the beginning, while the peer's window
    /// may be small. Default 2 (RFC 9000 §13.2.2).
    pub initial_threshold: u32,
    /// Acknowledge each so many ack-eliciting packets later. Default 10.
    pub threshold: u32,
    /// After so many ack-eliciting packets, `threshold` holds. Default 100.
    pub initial_packets: u64,
}

impl AckPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        max_ack_delay: Duration::from_millis(25),
        initial_threshold: 2,
        threshold: 10,
        initial_packets: 100,
    };
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
