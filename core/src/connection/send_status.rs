//! [`SendStatus`]: why nothing is being sent. One answer, the first of those that hold on the way
//! that data takes: the connection, the writer, what there is to say, the limits of the path. This
//! file must not change anything.

use super::Connection;
use super::config::MIN_PACKET_SIZE;
use super::send::MIN_USEFUL_SIZE;
use crate::streams::Blockage;
use crate::time::Time;
use crate::types::{Role, Space, StreamId};

/// Why nothing is being sent, as of the last pass of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// Something can be: the next pass of writing does it.
    Ready,
    /// The connection is closing, draining or over.
    Closed,
    /// The writer is full (a socket's buffer, most likely): data waits until it takes more.
    WriterBlocked,
    /// The peer's address is not proven, and gets no more than three times what came from it
    /// (RFC 9000 §8.1).
    AmplificationLimited {
        /// How many bytes it may still get.
        allowance: usize,
    },
    /// The congestion window is full (RFC 9002 §7).
    CongestionBlocked {
        /// The window, in bytes.
        window: u64,
        /// How much of it is in flight, in bytes.
        in_flight: u64,
    },
    /// Pacing holds data back (RFC 9002 §7.7).
    Pacing {
        /// Until then.
        until: Time,
    },
    /// There is data, but the handshake is not complete.
    Handshake,
    /// There is data, but the peer's limit for the connection is used up (RFC 9000 §4.1).
    ConnectionFlowControl {
        /// The limit, in bytes of all streams.
        limit: u64,
    },
    /// There is data, but the peer's limit is used up on every stream that has some
    /// (RFC 9000 §4.1).
    StreamFlowControl {
        /// One of them.
        id: StreamId,
        /// Its limit, in bytes.
        limit: u64,
    },
    /// Streams that the application can still write to are open, and it has written nothing that is
    /// not sent.
    ApplicationNotWriting {
        /// How many they are.
        streams: usize,
    },
    /// There is nothing to send and no stream on which there could be.
    NothingToSend,
}

impl Connection {
    /// Why nothing is being sent. Exact after a pass of writing; work is in proportion to the
    /// streams that are open.
    pub fn send_status(&self, now: Time) -> SendStatus {
        if !self.life.is_open() {
            return SendStatus::Closed;
        }
        if self.write_blocked || self.blocked.is_some() {
            return SendStatus::WriterBlocked;
        }
        if Space::ALL.into_iter().any(|space| self.wants(now, space, true)) {
            return self.path_status(now);
        }
        // Probes rest as long as there is no room for one.
        if self.recovery.handshake_state().at_anti_amplification_limit {
            let allowance = self.paths.active().allowance();
            return SendStatus::AmplificationLimited { allowance };
        }
        let blockage = self.streams.blockage();
        if !self.may_send_data() && (!self.is_established() || blockage != Blockage::Idle) {
            return SendStatus::Handshake;
        }
        match blockage {
            Blockage::Connection { limit } => SendStatus::ConnectionFlowControl { limit },
            Blockage::Stream { id, limit } => SendStatus::StreamFlowControl { id, limit },
            Blockage::Application { streams } => SendStatus::ApplicationNotWriting { streams },
            Blockage::Idle => SendStatus::NothingToSend,
        }
    }

    /// There is something to send: what the path says to it.
    fn path_status(&self, now: Time) -> SendStatus {
        let allowance = self.paths.active().allowance();
        // A server's Initial that must be acknowledged needs a whole datagram (RFC 9000 §14.1).
        let whole = self.role == Role::Server && self.wants(now, Space::Initial, true);
        if allowance < if whole { MIN_PACKET_SIZE } else { MIN_USEFUL_SIZE } {
            return SendStatus::AmplificationLimited { allowance };
        }
        let probing = self.probes.iter().any(|probes| *probes > 0);
        if probing || Space::ALL.into_iter().any(|space| self.wants(now, space, false)) {
            return SendStatus::Ready; // what is not in flight, or must be sent, asks nobody
        }
        let size = self.mtu.current().min(allowance) as u64;
        if !self.recovery.can_send(size) {
            let window = self.recovery.algorithm().congestion_window();
            let in_flight = self.recovery.bytes_in_flight();
            return SendStatus::CongestionBlocked { window, in_flight };
        }
        match self.pacing_deadline.filter(|until| *until > now) {
            Some(until) => SendStatus::Pacing { until },
            None => SendStatus::Ready,
        }
    }
}
