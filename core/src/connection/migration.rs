//! From path to path (RFC 9000 §9): follows a client whose address changes, moves where our own
//! side wants to go, and returns when the new path proves to be none. This file must not know how
//! paths are proven, nor packets.

use std::fmt;
use std::net::SocketAddr;

use super::Connection;
use super::event::Event;
use super::mtu::MtuDiscovery;
use super::paths::{Due, Ending, Learned, Path, Purpose, Validated};
use super::receive::{Arrival, OpenedPacket};
use super::setup::new_algorithm;
use crate::time::Time;
use crate::types::{PathAddress, Role};

/// Why a connection does not go to another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationError {
    /// Only a client chooses its path (RFC 9000 §9).
    NotClient,
    /// The handshake is not confirmed yet (RFC 9000 §9), or the connection is over.
    NotConfirmed,
    /// The server does not want it (RFC 9000 §18.2, `disable_active_migration`).
    Disabled,
    /// The peer has given no connection ID that was not used before (RFC 9000 §9.5). More may come.
    NoConnectionId,
    /// So many paths are being probed already.
    TooManyPaths,
    /// The connection runs there already.
    SamePath,
    /// The server prefers no address of this family (RFC 9000 §9.6).
    NoPreferredAddress,
    /// The two addresses are of different families.
    AddressFamily,
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotClient => "only a client chooses its path",
            Self::NotConfirmed => "the handshake is not confirmed, or the connection is over",
            Self::Disabled => "the server does not allow migration",
            Self::NoConnectionId => "there is no unused connection ID",
            Self::TooManyPaths => "too many paths are being probed",
            Self::SamePath => "this path is known already",
            Self::NoPreferredAddress => "the server prefers no address of this family",
            Self::AddressFamily => "the two ends are of different address families",
        })
    }
}

impl std::error::Error for MigrationError {}

impl Connection {
    /// On a client: probes the path from this address of ours to the server (RFC 9000 §9.1), which
    /// costs a connection ID. [`Event::PathValidated`] or [`Event::PathFailed`] tells how it went.
    /// The writer must know to send from that address.
    pub fn probe_path(&mut self, now: Time, local: SocketAddr) -> Result<(), MigrationError> {
        let peer = self.paths.active().address.peer;
        self.begin_probe(now, PathAddress::new(local, peer), Purpose::Probe)
    }

    /// On a client: moves to this address of ours as soon as the path from there is proven
    /// (RFC 9000 §9.2). [`Event::PathChanged`] tells when; after [`Event::PathFailed`] the
    /// connection remains where it is. A path that was probed successfully is taken at once.
    pub fn migrate(&mut self, now: Time, local: SocketAddr) -> Result<(), MigrationError> {
        let peer = self.paths.active().address.peer;
        self.move_to(now, PathAddress::new(local, peer))
    }

    pub(super) fn move_to(&mut self, now: Time, to: PathAddress) -> Result<(), MigrationError> {
        if self.paths.is_active(&to) {
            return Err(MigrationError::SamePath);
        }
        match self.paths.find(&to).map(Path::is_validated) {
            None => self.begin_probe(now, to, Purpose::Move),
            Some(true) => {
                self.check_migration(&to)?;
                self.switch_to(now, &to);
                Ok(())
            }
            Some(false) => {
                self.paths.aim_at(&to);
                Ok(())
            }
        }
    }

    fn begin_probe(
        &mut self,
        now: Time,
        to: PathAddress,
        purpose: Purpose,
    ) -> Result<(), MigrationError> {
        self.check_migration(&to)?;
        if self.paths.find(&to).is_some() {
            return Err(MigrationError::SamePath);
        }
        if !self.paths.has_room() {
            return Err(MigrationError::TooManyPaths);
        }
        // RFC 9000 §9.5: on another path another ID, so that the two cannot be linked.
        let id = self.peer_cids.take_unused().ok_or(MigrationError::NoConnectionId)?;
        let mut path = Path::new(to, id, false);
        path.purpose = purpose;
        path.begin_challenge(now, self.recovery.pto());
        let evicted = self.paths.add(path);
        debug_assert!(evicted.is_none(), "there was room");
        Ok(())
    }

    fn check_migration(&self, to: &PathAddress) -> Result<(), MigrationError> {
        if self.role != Role::Client {
            return Err(MigrationError::NotClient);
        }
        if !self.handshake_confirmed || !self.life.is_open() {
            return Err(MigrationError::NotConfirmed);
        }
        if to.local.is_ipv4() != to.peer.is_ipv4() {
            return Err(MigrationError::AddressFamily);
        }
        // RFC 9000 §18.2: forbidden towards the address that the handshake used only.
        let forbidden = self.handshake.peer_parameters().disable_active_migration;
        if forbidden && to.peer == self.first_peer_address {
            return Err(MigrationError::Disabled);
        }
        Ok(())
    }

    /// Whether a datagram that came this way may be looked at.
    pub(super) fn admits(&mut self, seen: &PathAddress, bytes: usize) -> bool {
        if self.paths.on_datagram(seen, bytes) {
            return true;
        }
        match self.role {
            // RFC 9000 §9: a client discards what comes from where its server is not known to be.
            // It does not care by which of its own addresses the rest came.
            Role::Client => {
                let from_active = self.paths.active().address.peer == seen.peer;
                if from_active {
                    self.paths.active_mut().on_received(bytes);
                }
                // RFC 9000 §9.6.2: until a server has proof that its client is at the preferred
                // address, all but probes comes from the original one.
                from_active || seen.peer == self.first_peer_address
            }
            // RFC 9000 §9: no change of address before the handshake is confirmed.
            Role::Server => self.handshake_confirmed,
        }
    }

    /// RFC 9000 §18.2: a client that moves although it was told not to is not listened to there. A
    /// NAT's new binding is no move of the client's: it shows by its using the same connection ID.
    pub(super) fn is_forbidden_move(&self, arrival: &Arrival, packet: &OpenedPacket) -> bool {
        self.config.disable_active_migration
            && self.role == Role::Server
            && self.paths.find(&arrival.path).is_none()
            && !self.is_preferred(arrival.path.local)
            && !self.is_preferred(self.paths.active().address.local)
            && self.paths.active().local_id != Some(packet.destination)
    }

    /// An authentic packet came by another path than the active one. `follow`: it does not just
    /// probe, and none with a higher number came before.
    pub(super) fn on_packet_from(
        &mut self,
        arrival: &Arrival,
        packet: &OpenedPacket,
        follow: bool,
        challenged: bool,
    ) {
        let seen = arrival.path;
        if self.paths.find(&seen).is_none() {
            if self.role == Role::Client {
                return;
            }
            let wanted = (follow && self.paths.may_follow(arrival.now)) || challenged;
            if !wanted || !self.add_peers_path(arrival, packet) {
                return;
            }
        }
        if let Some(path) = self.paths.find_mut(&seen) {
            path.local_id = Some(packet.destination);
        }
        if !follow || self.role != Role::Server {
            return;
        }
        if self.awaits_proof_at_preferred(&seen) {
            self.paths.aim_at(&seen);
        } else {
            // RFC 9000 §9.3: the newest packet that does not just probe tells where the peer is.
            self.switch_to(arrival.now, &seen);
        }
    }

    /// A path that the peer has opened. Returns whether it could be added.
    fn add_peers_path(&mut self, arrival: &Arrival, packet: &OpenedPacket) -> bool {
        let active = self.paths.active();
        let mut path = Path::new(arrival.path, active.peer_id, true);
        // RFC 9000 §9.5: an ID is used towards one address only, unless the peer has moved without
        // knowing, as it does behind a NAT: then it has not changed ours either.
        let unaware = active.local_id == Some(packet.destination);
        let shared = (unaware || self.peer_cids.are_empty()).then_some(active.peer_id);
        let same_hosts = path.joins_same_hosts(active);
        let id = match shared.filter(|_| same_hosts) {
            Some(id) => Some(id),
            None => self.peer_cids.take_unused().or(shared),
        };
        let Some(id) = id else { return false };
        path.peer_id = id;
        path.on_received(arrival.datagram_len);
        // RFC 9000 §9.3: whoever appears at a new address has to prove it.
        path.begin_challenge(arrival.now, self.recovery.pto());
        if let Some(evicted) = self.paths.add(path) {
            self.forget_path(&evicted);
        }
        true
    }

    /// Goes to a path that is among the paths.
    pub(super) fn switch_to(&mut self, now: Time, to: &PathAddress) {
        let Some(path) = self.paths.take(to) else { return };
        let keeps = path.joins_same_hosts(self.paths.active());
        let mut left = self.paths.activate(path);
        self.use_path_state(now, &mut left, keeps);
        let pto = self.recovery.pto();
        if left.is_validated() {
            let mut expires = None;
            if self.role == Role::Server && !self.is_preferred(to.local) {
                // RFC 9000 §9.3.3: somebody may have forwarded a copy. The true peer answers a
                // challenge on its path with a packet that leads us back.
                left.begin_challenge(now, pto);
            } else {
                expires = Some(now + 3 * pto);
            }
            if let Some(evicted) = self.paths.keep_fallback(now, left, expires) {
                self.forget_path(&evicted);
            }
        } else {
            self.forget_unproven(left);
        }
        self.on_active_path(now);
        if self.role == Role::Client {
            self.combine_moves(now);
        }
    }

    /// An unproven path is nothing to return to. What was learned there may hold for the last
    /// proven one, though, from which only a port distinguished it.
    fn forget_unproven(&mut self, mut left: Path) {
        let learned = left.learned.take();
        if let Some(fallback) = self.paths.fallback_mut()
            && fallback.learned.is_none()
            && fallback.joins_same_hosts(&left)
        {
            fallback.learned = learned;
        }
        self.forget_path(&left);
    }

    /// RFC 9000 §9.4: what was learned belongs to the path it was learned on. If only a port
    /// differs, that is most likely a NAT's doing, and the path is the same.
    fn use_path_state(&mut self, now: Time, left: &mut Path, keeps: bool) {
        if keeps {
            self.recovery.on_peer_port_changed(now);
            return;
        }
        let size = self.config.initial_packet_size;
        let (state, mtu) = if let Some(learned) = self.paths.active_mut().learned.take() {
            let Learned { recovery, mtu } = *learned;
            (self.recovery.restore_path(now, recovery), mtu)
        } else {
            let algorithm = new_algorithm(now, &self.config);
            let state = self.recovery.on_connection_migration(now, algorithm, size as u16);
            (state, self.fresh_mtu())
        };
        let mtu = std::mem::replace(&mut self.mtu, mtu);
        left.learned = Some(Box::new(Learned { recovery: state, mtu }));
        self.on_mtu_changed();
        if let Some(delay) = self.paths.active().delay {
            self.recovery.use_initial_rtt(delay);
        }
    }

    fn fresh_mtu(&self) -> MtuDiscovery {
        let mut mtu =
            MtuDiscovery::new(self.config.initial_packet_size, self.config.max_packet_size);
        let limit = self.handshake.peer_parameters().max_udp_payload_size;
        mtu.limit(usize::try_from(limit).unwrap_or(usize::MAX));
        mtu.enable();
        mtu
    }

    fn on_active_path(&mut self, now: Time) {
        self.peer_cids.use_for_active(self.paths.active().peer_id);
        let address = self.paths.active().address;
        self.events.push_back(Event::PathChanged(address));
        self.path_monitor.reset();
        if self.role == Role::Client {
            // What does not just probe: by this the server learns of the move (RFC 9000 §9.2).
            self.pending.ping = true;
        }
        self.note_amplification_limit(now);
    }

    /// A PATH_RESPONSE came.
    pub(super) fn on_path_response(&mut self, now: Time, data: [u8; 8]) {
        let pto = self.recovery.pto();
        let Some(validated) = self.paths.on_response(now, data, pto) else { return };
        let Validated { address, newly, delay } = validated;
        if newly {
            self.events.push_back(Event::PathValidated(address));
        }
        if self.paths.is_active(&address) {
            // RFC 9002 §6.2.2: no sample, but a better guess than none.
            self.recovery.use_initial_rtt(delay);
        } else if self.paths.find(&address).is_some_and(|path| path.purpose == Purpose::Move) {
            self.switch_to(now, &address);
        }
        if let Some(path) = self.paths.take_settled_fallback() {
            self.forget_path(&path);
        }
    }

    /// Proofs that are due or failed.
    pub(super) fn on_path_deadlines(&mut self, now: Time) {
        while let Some(due) = self.paths.on_deadline(now) {
            match due {
                Due::ActiveFailed => self.return_to_fallback(now),
                Due::Gone(path, ending) => {
                    self.forget_path(&path);
                    if ending == Ending::Failed && !path.is_validated() {
                        self.events.push_back(Event::PathFailed(path.address));
                    }
                }
            }
        }
    }

    /// The peer is not where it seemed to be: back to where it was (RFC 9000 §9.3.2).
    fn return_to_fallback(&mut self, now: Time) {
        let Some(path) = self.paths.take_fallback() else { return };
        let keeps = path.joins_same_hosts(self.paths.active()) && path.learned.is_none();
        let mut failed = self.paths.activate(path);
        self.use_path_state(now, &mut failed, keeps);
        self.events.push_back(Event::PathFailed(failed.address));
        self.forget_path(&failed);
        self.on_active_path(now);
    }

    /// Retires the connection ID of a path that is gone, unless another path shares it
    /// (RFC 9000 §9.5, §5.1.2).
    pub(super) fn forget_path(&mut self, path: &Path) {
        if !self.paths.uses_peer_id(path.peer_id) {
            self.peer_cids.release(path.peer_id);
        }
    }

    /// The peer may have retired IDs that paths use: they get others, or are given up
    /// (RFC 9000 §5.1.2).
    pub(super) fn renew_path_ids(&mut self) {
        self.paths.active_mut().peer_id = self.peer_cids.active_sequence();
        let orphans: Vec<PathAddress> = self
            .paths
            .others()
            .iter()
            .filter(|path| !self.peer_cids.knows(path.peer_id))
            .map(|path| path.address)
            .collect();
        for address in orphans {
            match self.peer_cids.take_unused() {
                Some(id) => {
                    if let Some(path) = self.paths.find_mut(&address) {
                        path.peer_id = id;
                    }
                }
                None => {
                    if self.paths.take(&address).is_some() {
                        self.events.push_back(Event::PathFailed(address));
                    }
                }
            }
        }
    }
}
