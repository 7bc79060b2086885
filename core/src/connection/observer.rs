//! [`Observer`]: watches a connection (Chromium: QuicConnectionDebugVisitor). It is given values
//! and has nothing to change; a log, a test and a statistics page are observers.

use std::time::Duration;

use crate::error::CloseReason;
use crate::time::Time;
use crate::types::Space;

/// A packet that was sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Its packet number space.
    pub space: Space,
    /// Its packet number.
    pub number: u64,
    /// Its size on the wire, in bytes of UDP payload.
    pub size: usize,
}

/// Why a received packet was dropped without any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The header could not be read, or is not for this connection.
    Header,
    /// Its keys are not here yet or no longer; it may come again.
    KeysUnavailable,
    /// It could not be authenticated.
    Decryption,
    /// It was received before.
    Duplicate,
    /// The connection is closing and answers nothing.
    Closing,
}

/// The state of the path as recovery sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The smoothed RTT.
    pub smoothed_rtt: Duration,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// Bytes sent and neither acknowledged nor lost.
    pub bytes_in_flight: u64,
}

/// Watches one connection. Every method is called while the connection works: it must be quick,
/// and it sees values only. All are defaulted to nothing.
///
/// ```
/// use protoquic_core::{Observer, PacketInfo, Time};
///
/// /// Counts lost packets.
/// #[derive(Default)]
/// struct LossCounter(usize);
///
/// impl Observer for LossCounter {
///     fn on_packet_lost(&mut self, _now: Time, _packet: &PacketInfo) {
///         self.0 += 1;
///     }
/// }
/// ```
pub trait Observer {
    /// A packet was handed to the writer.
    fn on_packet_sent(&mut self, now: Time, packet: &PacketInfo) {
        let _ = (now, packet);
    }

    /// A packet was authenticated and is new; its frames are processed next.
    fn on_packet_received(&mut self, now: Time, packet: &PacketInfo) {
        let _ = (now, packet);
    }

    /// A packet of this size was dropped.
    fn on_packet_dropped(&mut self, now: Time, size: usize, reason: DropReason) {
        let _ = (now, size, reason);
    }

    /// A packet was acknowledged. One that had been declared lost before is not told of again.
    fn on_packet_acked(&mut self, now: Time, packet: &PacketInfo) {
        let _ = (now, packet);
    }

    /// A packet was declared lost (RFC 9002 §6.1).
    fn on_packet_lost(&mut self, now: Time, packet: &PacketInfo) {
        let _ = (now, packet);
    }

    /// An acknowledgement changed the metrics.
    fn on_metrics_updated(&mut self, now: Time, metrics: &Metrics) {
        let _ = (now, metrics);
    }

    /// The connection began to close.
    fn on_connection_closed(&mut self, now: Time, reason: &CloseReason) {
        let _ = (now, reason);
    }
}
