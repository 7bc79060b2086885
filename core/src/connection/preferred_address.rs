//! A server's preferred address (RFC 9000 §9.6): the server offers it with a connection ID of its
//! own, the client goes there when the handshake is confirmed, if the path proves itself. This file
//! must not know how paths are proven.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use super::Connection;
use super::cid_generator::ConnectionIdGenerator;
use super::config::ConfigError;
use super::event::Event;
use super::migration::MigrationError;
use super::receive::{Arrival, OpenedPacket};
use crate::crypto::ResetKey;
use crate::helper::RandomGenerator;
use crate::time::Time;
use crate::types::{ConnectionId, PathAddress, Role, Space};
use crate::wire::PreferredAddress;

/// Where a server would rather be reached, of each family one address or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreferredAddresses {
    /// For clients that use IPv4.
    pub ipv4: Option<SocketAddrV4>,
    /// For clients that use IPv6.
    pub ipv6: Option<SocketAddrV6>,
}

impl PreferredAddresses {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.ipv4.is_none() && self.ipv6.is_none()
    }

    /// Whether this address of ours is one of them. A reader may not know its IP.
    fn contains(&self, local: SocketAddr) -> bool {
        let ours = [self.ipv4.map(SocketAddr::V4), self.ipv6.map(SocketAddr::V6)];
        let same = |ours: SocketAddr| {
            ours.port() == local.port() && (ours.ip() == local.ip() || local.ip().is_unspecified())
        };
        ours.into_iter().flatten().any(same)
    }

    /// What the server's transport parameters say of them, with a new connection ID, which has
    /// sequence number 1 (RFC 9000 §5.1.1).
    pub(super) fn offer(
        &self,
        handshake_id: &ConnectionId,
        ids: &mut dyn ConnectionIdGenerator,
        reset_key: &ResetKey,
        random: &mut dyn RandomGenerator,
    ) -> Result<Option<PreferredAddress>, ConfigError> {
        if self.is_empty() {
            return Ok(None);
        }
        // RFC 9000 §18.2: not with connection IDs of no length.
        ConfigError::check(
            "the length of IDs, for a preferred address",
            handshake_id.len(),
            1,
            20,
        )?;
        let connection_id = ids.generate(random);
        Ok(Some(PreferredAddress {
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            connection_id,
            stateless_reset_token: reset_key.token_for(&connection_id),
        }))
    }
}

impl Connection {
    /// On a client: goes to the server's preferred address as soon as the path there is proven,
    /// from this address of ours, whose family decides to which (RFC 9000 §9.6.1). The connection
    /// does so by itself when the handshake is confirmed, from the address that it uses, unless
    /// [`Config::follow_preferred_address`](super::Config::follow_preferred_address) is off.
    pub fn migrate_to_preferred_address(
        &mut self,
        now: Time,
        local: SocketAddr,
    ) -> Result<(), MigrationError> {
        let preferred = self.handshake.peer_parameters().preferred_address.as_deref();
        let preferred = preferred.ok_or(MigrationError::NoPreferredAddress)?;
        let peer = match local {
            SocketAddr::V4(_) => preferred.ipv4.map(SocketAddr::V4),
            SocketAddr::V6(_) => preferred.ipv6.map(SocketAddr::V6),
        };
        let peer = peer.ok_or(MigrationError::NoPreferredAddress)?;
        self.move_to(now, PathAddress::new(local, peer))
    }

    /// The handshake is confirmed: a client may go where the server wants it.
    pub(super) fn follow_preferred_address(&mut self, now: Time) {
        if self.role == Role::Client && self.config.follow_preferred_address {
            let local = self.paths.active().address.local;
            if let Err(error) = self.migrate_to_preferred_address(now, local) {
                log::debug!("remaining at the address of the handshake: {error}");
            }
        }
    }

    /// A client has moved. If it is on its way to the server's preferred address and to another
    /// address of its own at the same time, it goes on to where it arrives at both: what it
    /// validates otherwise is abandoned (RFC 9000 §9.6.3), for nobody listens there any more.
    pub(super) fn combine_moves(&mut self, now: Time) {
        let arrived = self.paths.active().address;
        let is_preferred = arrived.peer != self.first_peer_address;
        let elsewhere: Vec<PathAddress> = self.paths.moves_to_other_peers(arrived.peer).collect();
        for address in elsewhere {
            let Some(path) = self.paths.take(&address) else { continue };
            self.forget_path(&path);
            let both = if is_preferred {
                PathAddress::new(address.local, arrived.peer)
            } else {
                PathAddress::new(arrived.local, address.peer)
            };
            if let Err(error) = self.move_to(now, both) {
                log::debug!("remaining at {arrived:?}: {error}");
                self.events.push_back(Event::PathFailed(address));
            }
        }
    }

    /// Whether this is an address that we, a server, prefer.
    pub(super) fn is_preferred(&self, local: SocketAddr) -> bool {
        self.role == Role::Server && self.config.preferred_address.contains(local)
    }

    /// The client has come to the preferred address, but nobody knows yet whether it is there: what
    /// it is sent goes on coming from the old one until it is proven (RFC 9000 §9.6.2).
    pub(super) fn awaits_proof_at_preferred(&self, seen: &PathAddress) -> bool {
        self.is_preferred(seen.local)
            && !self.is_preferred(self.paths.active().address.local)
            && self.paths.find(seen).is_some_and(|path| !path.is_validated())
    }

    /// RFC 9000 §9.6.2: once the preferred address is in use, newer packets to the old one are
    /// dropped; delayed ones are not.
    pub(super) fn is_late_for_old_address(&self, arrival: &Arrival, packet: &OpenedPacket) -> bool {
        self.is_preferred(self.paths.active().address.local)
            && !self.is_preferred(arrival.path.local)
            && self.spaces[Space::Application as usize].acks.largest() < Some(packet.number)
    }
}
