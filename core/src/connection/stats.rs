//! [`ConnectionStats`]: what a connection has done so far, in numbers.

use std::time::Duration;

use super::observer::Metrics;
use crate::recovery::Recovery;

/// Counters of one connection and its path's state now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// QUIC packets received and authenticated.
    pub packets_received: u64,
    /// QUIC packets dropped: not for us, not authentic, duplicate, or too early.
    pub packets_dropped: u64,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// Bytes sent in QUIC packets.
    pub bytes_sent: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Packets declared lost that arrived after all.
    pub spurious_losses: u64,
    /// The smoothed RTT.
    pub smoothed_rtt: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// The UDP payload size in use, in bytes.
    pub packet_size: usize,
    /// Key updates by either side (RFC 9001 §6).
    pub key_updates: u64,
}

pub(super) fn metrics<F>(recovery: &Recovery<F>) -> Metrics {
    let (rtt, algorithm) = (recovery.rtt(), recovery.algorithm());
    Metrics {
        smoothed_rtt: rtt.smoothed(),
        latest_rtt: rtt.latest(),
        min_rtt: rtt.min(),
        rtt_variance: rtt.variance(),
        pto_count: recovery.pto_count(),
        congestion_window: algorithm.congestion_window(),
        slow_start_threshold: algorithm.slow_start_threshold(),
        pacing_rate: algorithm.pacing_rate(),
        bytes_in_flight: recovery.bytes_in_flight(),
    }
}
