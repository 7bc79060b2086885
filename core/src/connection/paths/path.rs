//! [`Path`]: one pair of addresses and what is known of it: proof, anti-amplification limit, the
//! connection IDs used on it, and the state to restore when it is used again. This file must not
//! know of other paths.

use std::time::Duration;

use super::challenge::Challenge;
use crate::connection::config::MIN_PACKET_SIZE;
use crate::connection::mtu::MtuDiscovery;
use crate::recovery::PathState;
use crate::time::Time;
use crate::types::{ConnectionId, PathAddress};

/// Why there is a path beside the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum Purpose {
    /// The last proven one: to return to if the active path does not prove itself.
    Fallback,
    /// One end wants to know whether it works.
    Probe,
    /// It becomes the active one as soon as it has proven itself.
    Move,
}

/// What was learned of a path while it was in use (RFC 9000 §9.4).
#[derive(Debug)]
pub(in crate::connection) struct Learned {
    pub(in crate::connection) recovery: PathState,
    pub(in crate::connection) mtu: MtuDiscovery,
}

/// One path.
#[derive(Debug)]
pub(in crate::connection) struct Path {
    pub(in crate::connection) address: PathAddress,
    /// The sequence number of the peer's connection ID that packets on this path are sent to.
    pub(in crate::connection) peer_id: u64,
    /// Our own connection ID that the peer's last packet on this path was sent to.
    pub(in crate::connection) local_id: Option<ConnectionId>,
    pub(in crate::connection) purpose: Purpose,
    /// How long the challenge took: the RTT to begin with.
    pub(in crate::connection) delay: Option<Duration>,
    /// Of a path that is not in use; absent also while the active path's state holds for it too.
    pub(in crate::connection) learned: Option<Box<Learned>>,
    /// A path that was left is forgotten then.
    pub(super) expires: Option<Time>,
    pub(super) challenge: Option<Box<Challenge>>,
    pub(super) validated: bool,
    /// Until it is proven, only three times what came may be sent.
    limited: bool,
    received: u64,
    sent: u64,
}

impl Path {
    pub(in crate::connection) fn new(address: PathAddress, peer_id: u64, limited: bool) -> Self {
        Self {
            address,
            peer_id,
            local_id: None,
            purpose: Purpose::Probe,
            delay: None,
            learned: None,
            expires: None,
            challenge: None,
            validated: false,
            limited,
            received: 0,
            sent: 0,
        }
    }

    /// Whether the peer has proven that it is there.
    pub(in crate::connection) fn is_validated(&self) -> bool {
        self.validated
    }

    /// How many bytes may be sent: three times what was received until the peer has proven its
    /// address (RFC 9000 §8.1).
    pub(in crate::connection) fn allowance(&self) -> usize {
        if self.validated || !self.limited {
            return usize::MAX;
        }
        (AMPLIFICATION_FACTOR * self.received).saturating_sub(self.sent) as usize
    }

    pub(in crate::connection) fn on_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(in crate::connection) fn on_received(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if self.allowance() >= MIN_PACKET_SIZE
            && let Some(challenge) = &mut self.challenge
        {
            challenge.on_room();
        }
    }

    /// Begins to ask for a proof, unless that is under way.
    pub(in crate::connection) fn begin_challenge(&mut self, now: Time, pto: Duration) {
        self.challenge.get_or_insert_with(|| Box::new(Challenge::new(now, pto)));
    }

    pub(in crate::connection) fn wants_challenge(&self) -> bool {
        self.challenge.as_deref().is_some_and(Challenge::is_due)
    }

    /// Whether the same hosts are at its ends as of the other's: then only a port differs, and what
    /// was learned of one holds for the other (RFC 9000 §9.4).
    pub(in crate::connection) fn joins_same_hosts(&self, other: &Self) -> bool {
        let (a, b) = (&self.address, &other.address);
        let local = a.local.ip() == b.local.ip()
            || a.local.ip().is_unspecified()
            || b.local.ip().is_unspecified();
        local && a.peer.ip() == b.peer.ip()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let challenge = self.challenge.as_deref().map(Challenge::deadline);
        [challenge, self.expires].into_iter().flatten().min()
    }
}

/// RFC 9000 §8.1
const AMPLIFICATION_FACTOR: u64 = 3;
