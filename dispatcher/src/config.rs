//! [`DispatcherConfig`]: every limit of a dispatcher, with Chromium's values as defaults.

use std::time::Duration;

use protoquic_core::connection::ConnectionIdGenerator;
use protoquic_core::crypto::ServerSecret;
use protoquic_core::session::SessionFactory;
use protoquic_core::wire::Version;
use protoquic_core::{ConnectionHelper, ObserverFactory, PacketWriter};

use crate::address_validation::AddressValidation;

/// The limits of a dispatcher.
#[derive(Clone, Debug)]
pub struct DispatcherConfig {
    /// The versions that are served and offered to clients of others; a client's first packet
    /// must have one of them. The settings of every factory must allow them. Default: all that
    /// there are. (RFC 9000 §6, RFC 9368 §5)
    pub versions: Vec<Version>,
    /// When a client has to prove its address before it gets a session.
    pub address_validation: AddressValidation,
    /// Connections whose first packets may wait for the rest of their ClientHello or for their
    /// turn. Half of them at most without a whole ClientHello. Default 100.
    pub max_buffered_connections: usize,
    /// Packets that wait for each of them. Default 10.
    pub max_buffered_packets: usize,
    /// How long they wait, at most. Default 10 s.
    pub buffer_lifetime: Duration,
    /// Sessions made in one turn of the event loop. Default 16.
    pub max_sessions_per_turn: usize,
    /// Sessions that live at the same time; clients beyond that are refused. Default 100,000.
    pub max_sessions: usize,
    /// How long a closed connection's IDs are remembered. Default 200 s.
    pub time_wait: Duration,
    /// How many of them, at most; the oldest are forgotten first. Default 20,000.
    pub max_time_wait: usize,
    /// Version Negotiation, Retry, refusal and reset packets sent in a second, at most. Default
    /// 1024 of each kind.
    pub max_stateless_per_second: u32,
    /// Whether sessions are given tokens for their clients' later connections. Default on.
    pub give_new_tokens: bool,
    /// Whether first packets may have any QUIC bit: to be on if the settings of any factory say
    /// [that](protoquic_core::Config::grease_quic_bit) to clients, who remember it with their
    /// tokens. Default off. (RFC 9287 §3.1)
    pub grease_quic_bit: bool,
    /// What reset tokens and address validation tokens follow from, so that they hold after a
    /// restart and on other servers with the same secret (RFC 9000 §10.3.2). Default: none, keys
    /// are chosen at random.
    pub secret: Option<ServerSecret>,
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self {
            versions: Version::SUPPORTED.to_vec(),
            address_validation: AddressValidation::default(),
            max_buffered_connections: 100,
            max_buffered_packets: 10,
            buffer_lifetime: Duration::from_secs(10),
            max_sessions_per_turn: 16,
            max_sessions: 100_000,
            time_wait: Duration::from_secs(200),
            max_time_wait: 20_000,
            max_stateless_per_second: 1024,
            give_new_tokens: true,
            grease_quic_bit: false,
            secret: None,
        }
    }
}

impl DispatcherConfig {
    /// What each of so many dispatchers on one port may do, so that all together do what these
    /// settings say. Each limit is at least 1; that of buffered connections, which is low, is kept.
    #[must_use]
    pub fn share(&self, workers: usize) -> Self {
        let part = |limit: usize| limit.div_ceil(workers.max(1)).max(1);
        let address_validation = match self.address_validation {
            AddressValidation::UnderLoad { handshakes } => {
                AddressValidation::UnderLoad { handshakes: handshakes.div_ceil(workers.max(1)) }
            }
            other => other,
        };
        Self {
            address_validation,
            max_sessions: part(self.max_sessions),
            max_time_wait: part(self.max_time_wait),
            max_stateless_per_second: part(self.max_stateless_per_second as usize) as u32,
            ..self.clone()
        }
    }
}

/// What a dispatcher is put together from.
pub struct DispatcherSetup {
    /// Its limits.
    pub config: DispatcherConfig,
    /// Where its packets go.
    pub writer: Box<dyn PacketWriter>,
    /// Its clock and randomness.
    pub helper: Box<dyn ConnectionHelper>,
    /// Where connection IDs come from.
    pub ids: Box<dyn ConnectionIdGenerator>,
    /// Who makes sessions; asked in this order, by ALPN.
    pub factories: Vec<Box<dyn SessionFactory>>,
    /// Who watches its connections; may be nobody.
    pub observers: Option<Box<dyn ObserverFactory>>,
}

impl std::fmt::Debug for DispatcherSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DispatcherSetup").field("config", &self.config).finish_non_exhaustive()
    }
}
