//! [`Versions`]: which version of QUIC the connection uses, and whether somebody meddled with the
//! choice (RFC 9000 §6, RFC 9368, RFC 9369 §4). A server may change to another version with its
//! first answer; a client follows it, and begins again when its server speaks other versions only.
//! This file must not know how versions differ.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::ServerName;

use super::Connection;
use super::config::Config;
use super::keys::KeyRing;
use super::setup::{SetupError, begin_tls, first_destination, new_recovery};
use super::space::Spaces;
use crate::error::{CloseReason, TransportError, TransportErrorCode};
use crate::helper::RandomGenerator;
use crate::time::Time;
use crate::types::{Role, Space};
use crate::wire::{LongType, PacketHeader, PacketType, Version, VersionInformation, parse_header};

/// What is kept of the negotiation.
pub(super) struct Versions {
    /// The version of the first flight. After a Version Negotiation packet: of the second attempt.
    original: Version,
    /// On a client: what its first flight is compatible with; the original among it.
    offered: Vec<Version>,
    /// On a client: the server's packets told the version.
    settled: bool,
    /// On a client: it acted on a Version Negotiation packet.
    reacted: bool,
    /// What a client needs to begin again, until it has heard its server.
    restart: Option<Box<ClientRestart>>,
}

/// What a client's handshake is made from.
pub(super) struct ClientRestart {
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

impl Versions {
    pub(super) fn client(config: &Config, original: Version, restart: ClientRestart) -> Self {
        let offered = offered_versions(config, original);
        Self { original, offered, settled: false, reacted: false, restart: Some(Box::new(restart)) }
    }

    pub(super) fn server(original: Version) -> Self {
        Self { original, offered: Vec::new(), settled: true, reacted: false, restart: None }
    }

    /// Whether the server may still change to this version.
    fn may_become(&self, version: Version) -> bool {
        !self.settled && self.offered.contains(&version)
    }
}

/// What a server makes of a client's first flight in version `original` that is compatible with
/// the `offered` versions (RFC 9368 §2.3): the version of the connection.
pub fn negotiated_version(config: &Config, original: Version, offered: &[Version]) -> Version {
    let wanted = config.preferred_versions.iter().find(|version| offered.contains(version));
    wanted.copied().unwrap_or(original)
}

/// What a client's first flight in version `original` is compatible with and may be taken for, most
/// wanted first.
fn offered_versions(config: &Config, original: Version) -> Vec<Version> {
    let mut offered = config.preferred_versions.clone();
    if !offered.contains(&original) {
        offered.push(original);
    }
    offered
}

/// What a client tells of its versions (RFC 9368 §3).
pub(super) fn client_information(
    config: &Config,
    original: Version,
    random: &mut dyn RandomGenerator,
) -> VersionInformation {
    let available = greased(config, offered_versions(config, original), random);
    VersionInformation { chosen: original, available }
}

/// What a server tells of its versions.
pub(super) fn server_information(
    config: &Config,
    chosen: Version,
    random: &mut dyn RandomGenerator,
) -> VersionInformation {
    VersionInformation { chosen, available: greased(config, config.versions.clone(), random) }
}

/// RFC 9368 §3: reserved versions may be put anywhere into the list.
fn greased(
    config: &Config,
    mut versions: Vec<Version>,
    random: &mut dyn RandomGenerator,
) -> Vec<Version> {
    if config.grease {
        let bits = random.next_u64();
        let at = (bits >> 32) as usize % (versions.len() + 1);
        versions.insert(at, Version::reserved(bits as u32));
    }
    versions
}

/// Which of a server's versions a client would choose (RFC 9368 §2.1).
fn select(config: &Config, theirs: impl Iterator<Item = Version> + Clone) -> Option<Version> {
    let ours = config.preferred_versions.iter().chain(&config.versions);
    ours.copied().find(|version| theirs.clone().any(|their| their == *version))
}

impl Connection {
    /// Whether a packet of this type may have this version now (RFC 9369 §4.1).
    pub(super) fn takes_version(&self, ty: LongType, version: Version) -> bool {
        match ty {
            LongType::Initial => {
                version == self.version
                    || version == self.versions.original
                    || self.versions.may_become(version)
            }
            // It may come before the Initial packet that tells the version.
            LongType::Handshake => version == self.version || self.versions.may_become(version),
            LongType::ZeroRtt | LongType::Retry => version == self.versions.original,
        }
    }

    /// What the long header of a packet of this space says. RFC 9369 §4.1: 0-RTT packets stay with
    /// the original version, and so do their keys.
    pub(super) fn version_to_send(&self, space: Space) -> Version {
        if space == Space::Application { self.versions.original } else { self.version }
    }

    /// A packet of this version is about to be opened.
    pub(super) fn prepare_version(&mut self, ty: PacketType, version: Version) {
        if ty == PacketType::Initial && self.versions.may_become(version) {
            self.keys.add_initial(version, &self.provider);
        }
    }

    /// An authentic packet had this version: a client learns from the first that differs which one
    /// its server has chosen, and goes on with it (RFC 9369 §4.1). That it was the server who chose
    /// is checked when its parameters are here.
    pub(super) fn on_version_seen(&mut self, ty: PacketType, version: Version) {
        self.versions.restart = None;
        // A Handshake packet could be opened: its keys belong to the version in use.
        self.versions.settled |= ty == PacketType::Handshake;
        if version != self.version && self.versions.may_become(version) {
            self.version = version;
            self.versions.settled = true;
            self.handshake.tls.set_version(version);
            self.keys.send_initial_version(version);
        }
    }

    /// RFC 9368 §4: the version in use is the one that both ends meant.
    pub(super) fn check_version_information(
        &mut self,
        theirs: Option<&VersionInformation>,
    ) -> Result<(), TransportError> {
        self.versions.settled = true;
        match self.role {
            Role::Client => self.check_server_versions(theirs),
            Role::Server => self.check_client_versions(theirs),
        }
    }

    fn check_client_versions(
        &self,
        theirs: Option<&VersionInformation>,
    ) -> Result<(), TransportError> {
        // RFC 9368 §4: the client's choice is the version that its first flight had.
        let original = self.versions.original;
        if let Some(theirs) = theirs
            && theirs.chosen != original
        {
            let chosen = theirs.chosen;
            return Err(error(format!("the client chose {chosen} and sent {original}")));
        }
        // RFC 9368 §2.3: nothing but what the client offered. Holds unless our caller made it up.
        let offered = theirs.is_some_and(|theirs| theirs.available.contains(&self.version));
        if self.version != original && !offered {
            return Err(error(format!("the client did not offer {}", self.version)));
        }
        Ok(())
    }

    fn check_server_versions(
        &self,
        theirs: Option<&VersionInformation>,
    ) -> Result<(), TransportError> {
        let Versions { original, reacted, .. } = self.versions;
        let Some(theirs) = theirs else {
            // RFC 9368 §4: needed to tell that a Version Negotiation packet was genuine. And a
            // server that knows no version information did not change the version.
            return if reacted || self.version != original {
                Err(error("the server sent no version_information"))
            } else {
                Ok(())
            };
        };
        // RFC 9368 §4: the long headers' version could be forged.
        if theirs.chosen != self.version {
            let (chosen, seen) = (theirs.chosen, self.version);
            return Err(error(format!("the server chose {chosen}, its packets are of {seen}")));
        }
        if reacted {
            // RFC 9368 §4: knowing all that the server speaks, we had made the same choice.
            let all = theirs.available.iter().copied().chain([self.version]);
            if theirs.available.is_empty() || select(&self.config, all) != Some(original) {
                return Err(error(format!(
                    "a forged Version Negotiation packet led to {original}"
                )));
            }
        }
        Ok(())
    }

    /// The server does not speak our version (RFC 9000 §6.2).
    pub(super) fn on_version_negotiation(&mut self, now: Time, packet: &Bytes) {
        // RFC 9368 §4: only once.
        let too_late = self.handshake.has_heard_peer() || self.versions.reacted;
        if self.role == Role::Server || too_late {
            return;
        }
        let Ok(PacketHeader::VersionNegotiation(packet)) = parse_header(packet, 0) else { return };
        let ours = packet.destination == self.handshake.local_id().as_bytes()
            && packet.source == self.peer_cids.current().as_bytes();
        // RFC 9000 §6.2, RFC 9368 §4: one that lists the version we sent cannot be an answer.
        if !ours || packet.versions().any(|version| version == self.versions.original) {
            return;
        }
        let offered: Vec<Version> = packet.versions().take(MAX_VERSIONS_READ).collect();
        let begun = match select(&self.config, offered.iter().copied()) {
            Some(version) => self.begin_again(now, version),
            None => Ok(false),
        };
        if !begun.unwrap_or(false) {
            let offered = offered.into_iter().map(|version| version.0).collect();
            self.close_silently(CloseReason::VersionMismatch { offered });
        }
    }

    /// A new first flight, in another version, to a new destination (RFC 9368 §2.1). Returns whether
    /// there is one.
    fn begin_again(&mut self, now: Time, version: Version) -> Result<bool, SetupError> {
        let Some(mut restart) = self.versions.restart.take() else { return Ok(false) };
        // RFC 9369 §5: a session of one version is not resumed under another.
        let tls = Arc::make_mut(&mut restart.tls);
        tls.resumption = rustls::client::Resumption::disabled();
        tls.enable_early_data = false;
        self.give_up_early_data(now);
        let destination = first_destination(&mut *self.random);
        let local_id = self.handshake.local_id();
        let tls = begin_tls(&self.config, version, local_id, &restart, &mut *self.random)?;
        self.keys = KeyRing::new(Role::Client, version, &destination, &self.provider)?;
        self.handshake.restart(tls, destination);
        self.peer_cids.replace_first(destination);
        self.version = version;
        self.versions = Versions::client(&self.config, version, *restart);
        self.versions.reacted = true;
        self.recovery = new_recovery(now, Role::Client, &self.config);
        self.spaces = Spaces::new(&self.config);
        self.probes = [0; 3];
        // RFC 9369 §5: a token is good for the version of the connection that it came from.
        self.initial_token = Bytes::new();
        let started = self.drive_handshake(now);
        self.scatter_client_hello();
        self.close_on_error(now, started);
        Ok(true)
    }
}

fn error(reason: impl Into<std::borrow::Cow<'static, str>>) -> TransportError {
    TransportError::new(TransportErrorCode::VERSION_NEGOTIATION_ERROR, reason)
}

/// How many versions of a Version Negotiation packet are considered.
const MAX_VERSIONS_READ: usize = 64;
