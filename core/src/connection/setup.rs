//! How a connection begins: what a client and a server need for one, and the parameters each tells
//! its peer. This file must not know what happens after the first packet.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

use super::ack_frequency::{AckFrequency, MIN_ACK_DELAY};
use super::blocked::BlockedReminder;
use super::cid_generator::{ConnectionIdGenerator, RandomConnectionIds};
use super::close::Lifecycle;
use super::config::{Config, ConfigError};
use super::datagrams::Datagrams;
use super::degrading::{PathMonitor, QuietProbe};
use super::fates::PendingFrames;
use super::first_flight::FirstFlight;
use super::glitches::GlitchBudget;
use super::handshake::{Handshake, HandshakeStart};
use super::header_bits::HeaderBits;
use super::hurry::Hurry;
use super::idle::IdleTimer;
use super::keys::KeyRing;
use super::local_cids::LocalConnectionIds;
use super::mtu::MtuDiscovery;
use super::paths::Paths;
use super::peer_cids::PeerConnectionIds;
use super::release::ReleaseTimes;
use super::resumption::{Resumption, client_tls};
use super::space::Spaces;
use super::stats::ConnectionStats;
use super::versions::{
    ClientRestart, Versions, client_information, negotiated_version, server_information,
};
use super::watch::Watch;
use super::{Connection, ConnectionStart, Observer};
use crate::congestion::{AlgorithmParams, SendAlgorithm};
use crate::crypto::{ResetKey, Tls, TlsSetupError};
use crate::helper::RandomGenerator;
use crate::recovery::{Recovery, RecoveryConfig};
use crate::session::ServerConfig;
use crate::streams::Streams;
use crate::time::Time;
use crate::types::{ConnectionId, PathAddress, Role};
use crate::wire::{TransportParameters, Version};

/// What a client's connection starts from.
pub struct ClientSetup {
    /// The transport's settings.
    pub config: Arc<Config>,
    /// Roots, ALPN, cipher suites, client certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// The name that the server must prove, and that SNI asks for.
    pub server_name: ServerName<'static>,
    /// From where to where.
    pub path: PathAddress,
    /// A token that the server gave to an earlier connection (RFC 9000 §8.1.3); may be empty.
    pub token: Bytes,
    /// The connection's own randomness.
    pub random: Box<dyn RandomGenerator>,
    /// Who watches.
    pub observer: Option<Box<dyn Observer>>,
}

/// What a server's connection starts from; a dispatcher fills it in from the client's first packet.
pub struct ServerSetup {
    /// The transport's and TLS's settings.
    pub config: ServerConfig,
    /// The version of the client's packet.
    pub version: Version,
    /// What the client's first flight is compatible with, read from its ClientHello; empty if that
    /// is not known, and then the version stays. (RFC 9368 §3)
    pub offered_versions: Vec<Version>,
    /// From where to where.
    pub path: PathAddress,
    /// Our connection ID for it, made by `ids`.
    pub local_id: ConnectionId,
    /// The source of the client's Initial.
    pub peer_id: ConnectionId,
    /// The destination of the client's Initial as it arrived.
    pub destination: ConnectionId,
    /// The destination of the client's very first Initial, before a Retry.
    pub original_destination: ConnectionId,
    /// The source of our Retry, if the client's Initial answers one.
    pub retry_source: Option<ConnectionId>,
    /// A token has proven the client's address (RFC 9000 §8.1).
    pub address_validated: bool,
    /// The client's first packets as they were read before, if they were: for the keys of its Initial
    /// packets, and for what was sent from `local_id` in answer.
    pub first_flight: Option<FirstFlight>,
    /// A token to give to the client for later connections; may be absent.
    pub new_token: Option<Bytes>,
    /// Where further connection IDs come from.
    pub ids: Box<dyn ConnectionIdGenerator>,
    /// The key from which stateless reset tokens are made.
    pub reset_key: Arc<ResetKey>,
    /// The connection's own randomness.
    pub random: Box<dyn RandomGenerator>,
    /// Who watches.
    pub observer: Option<Box<dyn Observer>>,
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSetup")
            .field("server_name", &self.server_name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ServerSetup {
    /// What its connection begins with, for who watches.
    pub fn start(&self) -> ConnectionStart {
        ConnectionStart {
            role: Role::Server,
            version: self.version,
            path: self.path,
            original_destination: self.original_destination,
            local_id: self.local_id,
        }
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSetup")
            .field("local_id", &self.local_id)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub enum SetupError {
    /// A transport setting is out of its range.
    Config(ConfigError),
    /// TLS does not accept its settings.
    Tls(TlsSetupError),
    /// A server's settings do not allow the client's version.
    Version(Version),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "transport settings: {error}"),
            Self::Tls(error) => write!(f, "TLS settings: {error}"),
            Self::Version(version) => write!(f, "{version} is not among the settings' versions"),
        }
    }
}

impl std::error::Error for SetupError {}

impl From<ConfigError> for SetupError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<TlsSetupError> for SetupError {
    fn from(error: TlsSetupError) -> Self {
        Self::Tls(error)
    }
}

/// What both roles have worked out when the connection is put together.
struct Parts {
    role: Role,
    version: Version,
    versions: Versions,
    config: Arc<Config>,
    path: PathAddress,
    validated: bool,
    start: HandshakeStart,
    resumption: Resumption,
    keys: KeyRing,
    ids: Box<dyn ConnectionIdGenerator>,
    peer_id: ConnectionId,
    initial_token: Bytes,
    new_token: Option<Bytes>,
    reset_key: Arc<ResetKey>,
    random: Box<dyn RandomGenerator>,
    observer: Option<Box<Watch>>,
    provider: Arc<CryptoProvider>,
}

impl Connection {
    /// A client's connection. Its first packets wait for [`write`](Self::write).
    pub fn client(now: Time, setup: ClientSetup) -> Result<Self, SetupError> {
        let ClientSetup { config, tls, server_name, path, token, mut random, observer } = setup;
        config.validate()?;
        let version = config.versions[0];
        let mut ids = RandomConnectionIds::new(config.client_connection_id_length);
        let local_id = ids.generate(&mut *random);
        let destination = first_destination(&mut *random);
        let provider = tls.crypto_provider().clone();
        let keys = KeyRing::new(Role::Client, version, &destination, &provider)?;
        let resumption = Resumption::for_client(&config, &server_name);
        let restart = ClientRestart { tls: client_tls(&config, tls), server_name };
        let tls = begin_tls(&config, version, local_id, &restart, &mut *random)?;
        let versions = Versions::client(&config, version, restart);
        let token =
            if token.is_empty() { resumption.take_token().unwrap_or_default() } else { token };
        let reset_key = Arc::new(ResetKey::generate(&mut *random));
        let deadline = now + config.handshake_timeout;
        let start = ConnectionStart {
            role: Role::Client,
            version,
            path,
            original_destination: destination,
            local_id,
        };
        let ours = || our_parameters(&config);
        let observer = observer.map(|observer| Watch::begin(now, observer, &start, &ours()));
        let mut connection = Self::assemble(
            now,
            Parts {
                role: Role::Client,
                version,
                versions,
                config,
                path,
                // RFC 9000 §8.1: a client need not limit itself.
                validated: true,
                start: HandshakeStart {
                    tls,
                    local_id,
                    original_destination: destination,
                    first_destination: None,
                    peer_id: None,
                    retry_source: None,
                    deadline,
                },
                resumption,
                keys,
                ids: Box::new(ids),
                peer_id: destination,
                initial_token: token,
                new_token: None,
                reset_key,
                random,
                observer,
                provider,
            },
        );
        connection.offer_early_data();
        let started = connection.drive_handshake(now);
        connection.scatter_client_hello();
        connection.close_on_error(now, started);
        Ok(connection)
    }

    /// A server's connection, to which the client's first datagrams are then given.
    pub fn server(now: Time, mut setup: ServerSetup) -> Result<Self, SetupError> {
        let ServerConfig { transport: config, tls } = setup.config.clone();
        config.validate()?;
        if !config.versions.contains(&setup.version) {
            return Err(SetupError::Version(setup.version));
        }
        let version = negotiated_version(&config, setup.version, &setup.offered_versions);
        let parameters = server_parameters(&config, version, &mut setup)?;
        let preferred_id =
            parameters.preferred_address.as_ref().map(|preferred| preferred.connection_id);
        let mut encoded = Vec::new();
        parameters.encode(Role::Server, &mut *setup.random, &mut encoded);
        let provider = tls.crypto_provider().clone();
        let (flight, first) = (setup.first_flight.take(), (setup.version, &setup.destination));
        let early_acks = flight.as_ref().map(FirstFlight::acknowledged).unwrap_or_default();
        let resumes = flight.as_ref().is_some_and(FirstFlight::offers_session);
        let mut keys = match flight.and_then(|flight| flight.into_keys(first.0, first.1)) {
            Some(keys) => keys,
            None => KeyRing::new(Role::Server, first.0, first.1, &provider)?,
        };
        let changes = version != setup.version;
        if changes {
            keys.add_initial(version, &provider);
            keys.send_initial_version(version);
        }
        let mut tls = Tls::server(tls, setup.version, changes, resumes, encoded)?;
        tls.set_version(version);
        let resumption = Resumption::for_server(&config, &parameters);
        if !resumption.takes_early_data() {
            tls.refuse_early_data();
        }
        let deadline = now + config.handshake_timeout;
        let (start, observer) = (setup.start(), setup.observer);
        let observer = observer.map(|observer| Watch::begin(now, observer, &start, &parameters));
        let mut connection = Self::assemble(
            now,
            Parts {
                role: Role::Server,
                version,
                versions: Versions::server(setup.version),
                config,
                path: setup.path,
                validated: setup.address_validated,
                start: HandshakeStart {
                    tls,
                    local_id: setup.local_id,
                    original_destination: setup.original_destination,
                    first_destination: Some(setup.destination),
                    peer_id: Some(setup.peer_id),
                    retry_source: setup.retry_source,
                    deadline,
                },
                resumption,
                keys,
                ids: setup.ids,
                peer_id: setup.peer_id,
                initial_token: Bytes::new(),
                new_token: setup.new_token,
                reset_key: setup.reset_key,
                random: setup.random,
                observer,
                provider,
            },
        );
        if let Some(id) = preferred_id {
            connection.local_cids.add_preferred(id, &mut connection.events);
        }
        connection.count_early_acks(now, early_acks);
        Ok(connection)
    }

    fn assemble(now: Time, parts: Parts) -> Self {
        let config = parts.config;
        Self {
            role: parts.role,
            version: parts.version,
            versions: parts.versions,
            random: parts.random,
            observer: parts.observer,
            life: Lifecycle::new(),
            local_cids: LocalConnectionIds::new(parts.start.local_id, parts.ids),
            handshake: Handshake::new(parts.start),
            handshake_confirmed: false,
            resumption: parts.resumption,
            keys: parts.keys,
            spaces: Spaces::new(&config),
            recovery: new_recovery(now, parts.role, &config),
            streams: Streams::new(parts.role, &config.streams),
            datagrams: Datagrams::new(config.datagrams),
            ack_frequency: AckFrequency::new(),
            paths: Paths::new(parts.path, parts.validated),
            mtu: MtuDiscovery::new(config.initial_packet_size, config.max_packet_size),
            peer_cids: PeerConnectionIds::new(parts.peer_id, config.active_connection_id_limit),
            idle: IdleTimer::new(now, config.idle_timeout, config.keep_alive),
            reminder: BlockedReminder::new(now),
            glitches: GlitchBudget::new(now),
            header_bits: HeaderBits::new(config.spin_bit),
            events: VecDeque::new(),
            stats: ConnectionStats::default(),
            early_packets: Vec::new(),
            blocked: None,
            write_blocked: false,
            more_to_write: false,
            turn_budget: 0,
            acks_wait_since: None,
            pacing_deadline: None,
            release: ReleaseTimes::default(),
            probes: [0; 3],
            packets_to_skip: u32::from(u8::MAX),
            pending: PendingFrames::default(),
            initial_token: parts.initial_token,
            new_token: parts.new_token.map(Box::new),
            tokens_received: 0,
            reset_key: parts.reset_key,
            scratch: Vec::new(),
            provider: parts.provider,
            path_monitor: PathMonitor::default(),
            quiet: QuietProbe::default(),
            hurry: Hurry::default(),
            first_peer_address: parts.path.peer,
            config,
        }
    }
}

/// A client's handshake in this version.
pub(super) fn begin_tls(
    config: &Config,
    version: Version,
    local_id: ConnectionId,
    start: &ClientRestart,
    random: &mut dyn RandomGenerator,
) -> Result<Tls, TlsSetupError> {
    let mut parameters = our_parameters(config);
    parameters.version_information = Some(client_information(config, version, random));
    parameters.initial_source_connection_id = Some(local_id);
    let mut encoded = Vec::new();
    parameters.encode(Role::Client, random, &mut encoded);
    let may_change = !config.preferred_versions.is_empty();
    Tls::client(start.tls.clone(), version, may_change, start.server_name.clone(), encoded)
}

/// A ledger with nothing in it.
pub(super) fn new_recovery<F: Default>(now: Time, role: Role, config: &Config) -> Recovery<F> {
    Recovery::new(role, &recovery_config(config), new_algorithm(now, config))
}

/// A client's destination before the server names one: unpredictable and long enough
/// (RFC 9000 §7.2).
pub(super) fn first_destination(random: &mut dyn RandomGenerator) -> ConnectionId {
    RandomConnectionIds::new(FIRST_DESTINATION_LEN).generate(random)
}

/// The congestion controller of a new path.
pub(super) fn new_algorithm(now: Time, config: &Config) -> Box<dyn SendAlgorithm> {
    let max_datagram_size = config.initial_packet_size as u16;
    config.congestion.create(&AlgorithmParams { now, max_datagram_size })
}

fn recovery_config(config: &Config) -> RecoveryConfig {
    RecoveryConfig {
        initial_rtt: config.initial_rtt,
        max_datagram_size: config.initial_packet_size as u16,
        pacing: config.pacing,
        ecn: config.ecn,
        ..RecoveryConfig::default()
    }
}

/// What we tell the peer of our settings (RFC 9000 §18.2).
fn our_parameters(config: &Config) -> TransportParameters {
    let streams = &config.streams;
    TransportParameters {
        max_idle_timeout: config.idle_timeout,
        max_udp_payload_size: config.max_receive_size as u64,
        initial_max_data: streams.max_data,
        initial_max_stream_data_bidi_local: streams.max_stream_data_bidi_local,
        initial_max_stream_data_bidi_remote: streams.max_stream_data_bidi_remote,
        initial_max_stream_data_uni: streams.max_stream_data_uni,
        initial_max_streams_bidi: streams.max_streams_bidi,
        initial_max_streams_uni: streams.max_streams_uni,
        max_ack_delay: config.max_ack_delay,
        active_connection_id_limit: config.active_connection_id_limit,
        disable_active_migration: config.disable_active_migration,
        max_datagram_frame_size: config.datagrams.max_frame_size,
        grease_quic_bit: config.grease_quic_bit,
        reset_stream_at: config.reset_stream_at,
        min_ack_delay: config.ack_frequency.then_some(MIN_ACK_DELAY),
        ..TransportParameters::default()
    }
}

/// What a server says of itself, which names the connection IDs that `setup` begins with.
fn server_parameters(
    config: &Config,
    version: Version,
    setup: &mut ServerSetup,
) -> Result<TransportParameters, SetupError> {
    let random = &mut *setup.random;
    let preferred_address = config.preferred_address.offer(
        &setup.local_id,
        &mut *setup.ids,
        &setup.reset_key,
        random,
    )?;
    Ok(TransportParameters {
        version_information: Some(server_information(config, version, random)),
        initial_source_connection_id: Some(setup.local_id),
        original_destination_connection_id: Some(setup.original_destination),
        retry_source_connection_id: setup.retry_source,
        stateless_reset_token: Some(setup.reset_key.token_for(&setup.local_id)),
        preferred_address: preferred_address.map(Box::new),
        ..our_parameters(config)
    })
}

/// How long the destination of a client's first Initial is, in bytes.
const FIRST_DESTINATION_LEN: usize = 16;
