//! [`Observer`]: watches a connection (Chromium: QuicConnectionDebugVisitor). It is given values
//! and has nothing to change; a log, a test and a statistics page are observers. This file must not
//! know when anything happens.

use std::time::Duration;

use super::send_status::SendStatus;
use crate::congestion::Bandwidth;
use crate::error::CloseReason;
use crate::recovery::EcnState;
use crate::time::Time;
use crate::types::{ConnectionId, PathAddress, Role, Space};
use crate::wire::{
    FrameIter, KEY_PHASE_BIT, LONG_FORM_BIT, PacketType, SPIN_BIT, TransportParameters, Version,
};

/// Which packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Its packet number space.
    pub space: Space,
    /// Its packet number.
    pub number: u64,
    /// Its size on the wire, in bytes of UDP payload.
    pub size: usize,
}

/// A packet without its protection.
#[derive(Clone, Copy, Debug)]
pub struct PlainPacket<'a> {
    /// Which packet it is.
    pub info: PacketInfo,
    /// How it is protected.
    pub ty: PacketType,
    /// The version in its header, or the connection's if the header is a short one.
    pub version: Version,
    /// Where it is going.
    pub destination: ConnectionId,
    /// The first byte of its header, unprotected.
    pub first_byte: u8,
    /// Its frames as they are on the wire.
    pub payload: &'a [u8],
}

impl<'a> PlainPacket<'a> {
    /// Its frames. Of a received packet, the last may be an error.
    pub fn frames(&self) -> FrameIter<'a> {
        FrameIter::new(self.payload)
    }

    /// The spin bit, which only short headers have (RFC 9000 §17.4).
    pub fn spin(&self) -> Option<bool> {
        (self.first_byte & LONG_FORM_BIT == 0).then_some(self.first_byte & SPIN_BIT != 0)
    }

    /// The key phase, which only short headers have (RFC 9001 §6).
    pub fn key_phase(&self) -> Option<bool> {
        (self.first_byte & LONG_FORM_BIT == 0).then_some(self.first_byte & KEY_PHASE_BIT != 0)
    }
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
    /// The latest RTT sample; zero without one.
    pub latest_rtt: Duration,
    /// The shortest RTT sample; zero without one.
    pub min_rtt: Duration,
    /// The mean variation of RTT samples.
    pub rtt_variance: Duration,
    /// Probe timeouts since the last acknowledgement.
    pub pto_count: u32,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// The window below which it doubles, in bytes, if the controller has such a threshold.
    pub slow_start_threshold: Option<u64>,
    /// Bytes sent and neither acknowledged nor lost.
    pub bytes_in_flight: u64,
    /// The controller's own pacing rate, if it has one.
    pub pacing_rate: Option<Bandwidth>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionStart {
    /// Which end this is.
    pub role: Role,
    /// The version of the client's first packet.
    pub version: Version,
    /// From where to where.
    pub path: PathAddress,
    /// The destination of the client's very first packet: both ends know it, and nobody else's is
    /// the same, so it is a name for the connection.
    pub original_destination: ConnectionId,
    /// What this end calls itself.
    pub local_id: ConnectionId,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The handshake goes on.
    Handshake,
    /// The handshake is complete (RFC 9001 §4.1.1).
    Established,
    /// It is confirmed (RFC 9001 §4.1.2).
    Confirmed,
    /// We have closed, and repeat why (RFC 9000 §10.2.1).
    Closing,
    /// The peer has closed: nothing is sent any more (RFC 9000 §10.2.2).
    Draining,
    /// Nothing is left.
    Over,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This one.
    Local,
    /// The peer.
    Remote,
}

/// Something about a connection is not as it was.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// How far it has come.
    Stage(Stage),
    /// An end's transport parameters: ours when the connection starts, the peer's when they are
    /// here.
    Parameters(Origin, &'a TransportParameters),
    /// The version in use.
    Version(Version),
    /// How many key updates there were, by either end (RFC 9001 §6).
    KeyUpdates(u64),
    /// The addresses in use.
    Path(PathAddress),
    /// The UDP payload size in use, in bytes.
    PacketSize(usize),
    /// What the congestion controller is up to, in a word of its own.
    CongestionPhase(&'static str),
    /// What is known of the path's handling of ECN.
    Ecn(EcnState),
    /// Why nothing is being sent, or that something can be.
    SendStatus(SendStatus),
}

/// Watches one connection. Every method is called while the connection works: it must be quick,
/// and it sees values only. All are defaulted to nothing.
///
/// Changes and metrics are told after each datagram received, each pass of writing and each
/// deadline, once for all that happened in it. A connection without an observer works out nothing of
/// this.
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
    /// The connection begins. The first call.
    fn on_connection_started(&mut self, now: Time, start: &ConnectionStart) {
        let _ = (now, start);
    }

    /// A packet is handed to the writer.
    fn on_packet_sent(&mut self, now: Time, packet: &PlainPacket<'_>) {
        let _ = (now, packet);
    }

    /// A packet was authenticated and is new; its frames are processed next.
    fn on_packet_received(&mut self, now: Time, packet: &PlainPacket<'_>) {
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

    /// Something is not as it was when last told.
    fn on_change(&mut self, now: Time, change: &Change<'_>) {
        let _ = (now, change);
    }

    /// The metrics are not as they were when last told.
    fn on_metrics_updated(&mut self, now: Time, metrics: &Metrics) {
        let _ = (now, metrics);
    }

    /// The connection began to close, or is over.
    fn on_connection_closed(&mut self, now: Time, reason: &CloseReason) {
        let _ = (now, reason);
    }
}

/// Makes the observers of a dispatcher's connections.
pub trait ObserverFactory {
    /// Called before a connection is made. `None`: nobody watches this one.
    fn create_observer(&mut self, start: &ConnectionStart) -> Option<Box<dyn Observer>>;
}
