//! [`Config`]: every setting and limit of a connection, typed and checked once. This file must not
//! know what the limits are used for; the mechanisms do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::datagrams::DatagramConfig;
use super::preferred_address::PreferredAddresses;
use super::resumption::EarlyDataGuard;
use crate::congestion::{CongestionControl, SendAlgorithmFactory};
use crate::session_cache::SessionCache;
use crate::streams::StreamsConfig;
use crate::wire::Version;

/// The transport's settings. Start from [`Config::default`] and change what you need; the
/// connection checks the whole with [`Config::validate`].
#[derive(Clone, Debug)]
pub struct Config {
    /// How long the peer may be silent before the connection is forgotten; advertised to the peer,
    /// the smaller of both holds. Zero: never. Default 30 s. (RFC 9000 §10.1)
    pub idle_timeout: Duration,
    /// How long the handshake may take, whatever the peer sends. Default 10 s.
    pub handshake_timeout: Duration,
    /// Sends a PING after so much silence, to keep the connection and its NAT bindings alive.
    /// Default: never.
    pub keep_alive: Option<Duration>,
    /// Windows, stream counts and buffers.
    pub streams: StreamsConfig,
    /// Unreliable datagrams (RFC 9221). Default: none are taken.
    pub datagrams: DatagramConfig,
    /// Which congestion controller to use.
    pub congestion: Arc<dyn SendAlgorithmFactory>,
    /// The UDP payload size to start with, 1200 to 65527 bytes. Default 1200.
    pub initial_packet_size: usize,
    /// The UDP payload size to probe for, at most; equal to the initial size switches probing off.
    /// Default 1452: what an IPv6 packet on Ethernet carries. (RFC 8899)
    pub max_packet_size: usize,
    /// The largest UDP payload that we accept, 1200 to 65527 bytes. Default 65527.
    pub max_receive_size: usize,
    /// The RTT to assume before it is measured. Default 333 ms. (RFC 9002 §6.2.2)
    pub initial_rtt: Duration,
    /// How long we may delay an ACK, below 2^14 ms. Default 25 ms. (RFC 9000 §13.2.1)
    pub max_ack_delay: Duration,
    /// After how many ack-eliciting packets an ACK is due once a connection is warm; 2 to 255.
    /// Default 10. (RFC 9000 §13.2.2)
    pub ack_threshold: u8,
    /// Whether the two ends may tell each other how often to acknowledge; if so, senders of bulk
    /// data ask for fewer ACKs. Default on. (draft-ietf-quic-ack-frequency)
    pub ack_frequency: bool,
    /// Whether the peer may reset streams and still have their front delivered. Default on.
    /// (draft-ietf-quic-reliable-stream-reset)
    pub reset_stream_at: bool,
    /// How many connection IDs the peer may have issued to us at a time, 2 to 8. Default 4.
    pub active_connection_id_limit: u64,
    /// How long the connection IDs are that a client gives itself, 0 to 20 bytes. Default 8. (A
    /// server's come from its dispatcher's generator.)
    pub client_connection_id_length: usize,
    /// On a server: asks clients not to move to other addresses of theirs, and does not follow those
    /// that do; a NAT's new binding is followed all the same. On a client: asks the same of its
    /// server. Default off. (RFC 9000 §18.2)
    pub disable_active_migration: bool,
    /// On a server: where clients are asked to go once the handshake is confirmed. The writer must
    /// know to send from there, and what arrives there must come to the same dispatcher. Default
    /// none. (RFC 9000 §9.6)
    pub preferred_address: PreferredAddresses,
    /// On a client: whether to go where the server prefers. Default on. (RFC 9000 §9.6.1)
    pub follow_preferred_address: bool,
    /// After so many probe timeouts in a row a path counts as degrading, 1 to 16. Default 2, which
    /// is three PTO without an acknowledgement.
    pub path_degrading_timeouts: u32,
    /// Whether to spread packets over the round trip. Default on.
    pub pacing: bool,
    /// Whether to mark packets as ECN-capable, as long as the path proves to carry the marks.
    /// Default on. (RFC 9000 §13.4)
    pub ecn: bool,
    /// The versions that this end speaks, most wanted first. A client begins with the first; when
    /// the server speaks others only, it begins again with the first of these that the server
    /// speaks. Default: versions 1 and 2. (RFC 9000 §6, RFC 9369)
    pub versions: Vec<Version>,
    /// Versions to change to without a further round trip, most wanted first: a client offers them
    /// to the server, and a server changes to the first of them that its client offers. Default:
    /// none, so that a connection keeps the version it began with. (RFC 9368 §2.3)
    pub preferred_versions: Vec<Version>,
    /// Whether reserved versions are named among the real ones, so that no peer comes to depend on
    /// a fixed list. Default on. (RFC 9368 §3)
    pub grease: bool,
    /// Whether this end takes packets whose QUIC bit is zero, says so, and sends such to a peer that
    /// has said the same; a server's dispatcher has to be told too. Default off: what carries the
    /// packets may take them for something else. (RFC 9287)
    pub grease_quic_bit: bool,
    /// On a client: whether its ClientHello goes out in pieces, shuffled, with PING and PADDING
    /// between them, over two datagrams, so that nobody on the way comes to depend on how a first
    /// packet looks. Default off. (Chromium: chaos protection)
    pub chaos_protection: bool,
    /// Whether the spin bit shows the round trip to who carries the packets; on one path in sixteen
    /// it never does. If off, it is random. Default on. (RFC 9000 §17.4)
    pub spin_bit: bool,
    /// Whether a client that resumes a session may send, and a server may take, early data, which
    /// others can replay (RFC 9001 §9.2). Sessions still decide what they send
    /// ([`Session::on_early_data_ready`](crate::Session::on_early_data_ready)), and a server's TLS
    /// settings must [offer](crate::crypto::offer_early_data) it. Default off.
    pub early_data: bool,
    /// On a server: what its connections share to take early data safely. Settings that are
    /// changed while a server runs keep their guard.
    pub early_data_guard: Arc<EarlyDataGuard>,
    /// On a client: what it remembers of servers. Without one, tickets are kept where its TLS
    /// settings say, and nothing else is remembered.
    pub session_cache: Option<Arc<dyn SessionCache>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            keep_alive: None,
            streams: StreamsConfig::default(),
            datagrams: DatagramConfig::default(),
            congestion: Arc::new(CongestionControl::default()),
            initial_packet_size: MIN_PACKET_SIZE,
            max_packet_size: 1452,
            max_receive_size: MAX_PACKET_SIZE,
            initial_rtt: Duration::from_millis(333),
            max_ack_delay: Duration::from_millis(25),
            ack_threshold: 10,
            ack_frequency: true,
            reset_stream_at: true,
            active_connection_id_limit: 4,
            client_connection_id_length: 8,
            disable_active_migration: false,
            preferred_address: PreferredAddresses::default(),
            follow_preferred_address: true,
            path_degrading_timeouts: 2,
            pacing: true,
            ecn: true,
            versions: Version::SUPPORTED.to_vec(),
            preferred_versions: Vec::new(),
            grease: true,
            grease_quic_bit: false,
            chaos_protection: false,
            spin_bit: true,
            early_data: false,
            early_data_guard: Arc::new(EarlyDataGuard::default()),
            session_cache: None,
        }
    }
}

impl Config {
    /// Whether every setting is in its range and agrees with the others.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |what, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError { what, value, low, high })
            }
        };
        let sizes = (MIN_PACKET_SIZE as u64, MAX_PACKET_SIZE as u64);
        let initial = self.initial_packet_size as u64;
        range("initial_packet_size", initial, sizes.0, sizes.1)?;
        range("max_packet_size", self.max_packet_size as u64, initial, sizes.1)?;
        range("max_receive_size", self.max_receive_size as u64, sizes.0, sizes.1)?;
        range("max_ack_delay (ms)", self.max_ack_delay.as_millis() as u64, 1, (1 << 14) - 1)?;
        range("initial_rtt (us)", self.initial_rtt.as_micros() as u64, 1, 60_000_000)?;
        range("ack_threshold", self.ack_threshold.into(), 2, 255)?;
        range("active_connection_id_limit", self.active_connection_id_limit, 2, 8)?;
        range("path_degrading_timeouts", self.path_degrading_timeouts.into(), 1, 16)?;
        range("client_connection_id_length", self.client_connection_id_length as u64, 0, 20)?;
        range("datagrams.max_frame_size", self.datagrams.max_frame_size, 0, MAX_DATAGRAM_FRAME)?;
        range("handshake_timeout (ms)", self.handshake_timeout.as_millis() as u64, 1, 3_600_000)?;
        let known = |list: &[Version]| list.iter().filter(|version| version.is_supported()).count();
        let len = self.versions.len() as u64;
        range("versions (how many)", len, 1, Version::SUPPORTED.len() as u64)?;
        range("versions (how many are supported)", known(&self.versions) as u64, len, len)?;
        let both = |version: &&Version| self.versions.contains(version);
        let (len, spoken) =
            (self.preferred_versions.len(), self.preferred_versions.iter().filter(both).count());
        range("preferred_versions (how many)", len as u64, 0, Version::SUPPORTED.len() as u64)?;
        range("preferred_versions among versions", spoken as u64, len as u64, len as u64)?;
        let idle = self.idle_timeout.as_millis() as u64;
        range("idle_timeout (ms)", idle, 0, (1 << 62) - 1)
    }
}

/// A setting of [`Config`] is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    what: &'static str,
    value: u64,
    low: u64,
    high: u64,
}

impl ConfigError {
    /// An error unless the value is in the range.
    pub(super) fn check(what: &'static str, value: usize, low: u64, high: u64) -> Result<(), Self> {
        let value = value as u64;
        if (low..=high).contains(&value) { Ok(()) } else { Err(Self { what, value, low, high }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, low, high } = self;
        write!(f, "{what} is {value}; it must be from {low} to {high}")
    }
}

impl std::error::Error for ConfigError {}

/// The size that every QUIC path must carry, in bytes of UDP payload (RFC 9000 §14).
pub const MIN_PACKET_SIZE: usize = 1200;
/// The largest max_datagram_frame_size: what takes everything (RFC 9221 §3).
const MAX_DATAGRAM_FRAME: u64 = 65_535;
/// The largest UDP payload there is, in bytes (RFC 9000 §18.2).
pub const MAX_PACKET_SIZE: usize = 65_527;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_each_limit_is_checked() {
        assert_eq!(Config::default().validate(), Ok(()));
        let small = Config { initial_packet_size: 1199, ..Config::default() };
        assert!(small.validate().unwrap_err().to_string().contains("initial_packet_size is 1199"));
        let shrinking = Config { initial_packet_size: 1300, max_packet_size: 1250, ..small };
        assert!(shrinking.validate().is_err());
        let default = Config::default;
        let (none, unknown) = (Vec::new(), vec![Version::V1, Version(7)]);
        assert!(Config { versions: none, ..default() }.validate().is_err());
        assert!(Config { versions: unknown, ..default() }.validate().is_err());
        let (versions, preferred_versions) = (vec![Version::V1], vec![Version::V2]);
        assert!(Config { versions, preferred_versions, ..default() }.validate().is_err());
    }
}
