//! [`Tls`]: the TLS 1.3 handshake without its records (RFC 9001 §4). Bytes of CRYPTO frames go in
//! and come out; keys appear as the handshake earns them. This file must not know packets.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::quic::{self, DirectionalKeys, KeyChange, Keys, PacketKeySet, Secrets};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, PeerMisbehaved, ServerConfig, Side,
    SupportedCipherSuite,
};

use super::derived_keys::TrafficSecrets;
use super::no_records::is_of_ring;
use super::secret_tap::{SecretPair, SecretTap};
use crate::error::{TransportError, TransportErrorCode};
use crate::types::{ConnectionId, Role};
use crate::wire::Version;

/// Keys that the handshake has earned.
pub enum NewKeys {
    /// For Handshake packets.
    Handshake(Keys),
    /// For 1-RTT packets, and the secrets from which key updates are made.
    OneRtt {
        /// The first keys.
        keys: Keys,
        /// What the next keys come from.
        next: UpdateSecrets,
    },
}

impl fmt::Debug for NewKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake(_) => "Handshake(..)",
            Self::OneRtt { .. } => "OneRtt(..)",
        })
    }
}

/// What the keys of later phases come from (RFC 9001 §6.1).
pub struct UpdateSecrets(Source);

enum Source {
    /// Those of the next phase.
    Rustls(Box<Secrets>),
    /// Those of the phase that was handed out last.
    Derived(TrafficSecrets),
}

impl UpdateSecrets {
    /// The keys of the next phase. Makes them anew each time, until [`advance`](Self::advance).
    pub fn next_packet_keys(&self) -> PacketKeySet {
        match &self.0 {
            Source::Rustls(secrets) => secrets.as_ref().clone().next_packet_keys(),
            Source::Derived(secrets) => {
                let mut secrets = secrets.clone();
                secrets.update();
                secrets.packet_keys()
            }
        }
    }

    /// Whether [`present_keys`](Self::present_keys) can make keys.
    pub const fn can_make_present_keys(&self) -> bool {
        matches!(self.0, Source::Derived(_))
    }

    /// The keys of the present phase, made anew. `None` if only whoever made them first can.
    pub fn present_keys(&self) -> Option<Keys> {
        match &self.0 {
            Source::Rustls(_) => None,
            Source::Derived(secrets) => Some(secrets.keys()),
        }
    }

    /// The next phase has begun.
    pub fn advance(&mut self) {
        match &mut self.0 {
            Source::Rustls(secrets) => drop(secrets.next_packet_keys()),
            Source::Derived(secrets) => secrets.update(),
        }
    }
}

impl fmt::Debug for UpdateSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateSecrets").finish_non_exhaustive()
    }
}

/// Why TLS could not be set up.
#[derive(Clone, Debug, PartialEq)]
pub enum TlsSetupError {
    /// The crypto provider's TLS13_AES_128_GCM_SHA256 is not for QUIC; Initial packets need it
    /// (RFC 9001 §5.2).
    NoInitialCipher,
    /// rustls refuses the configuration.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInitialCipher => f.write_str(
                "the crypto provider's TLS13_AES_128_GCM_SHA256 is not for QUIC; Initial packets \
                 need it",
            ),
            Self::Rustls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsSetupError {}

impl From<rustls::Error> for TlsSetupError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error)
    }
}

/// One end of a handshake.
pub struct Tls {
    /// Where the handshake is made. A server whose handshake is over may have let it go.
    inner: Option<Box<quic::Connection>>,
    /// What was known when it was let go.
    outcome: Outcome,
    role: Role,
    /// The version that rustls makes keys for: the one the connection began with.
    original: Version,
    /// The version that keys are wanted for.
    version: Version,
    /// For keys of another version than the original.
    tap: Option<Arc<SecretTap>>,
    alpn_known: Option<Vec<u8>>,
    name: Option<String>,
}

/// What a handshake has come to.
#[derive(Default)]
struct Outcome {
    is_resumed: bool,
    suite: Option<CipherSuite>,
    certificates: Option<Vec<CertificateDer<'static>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

impl Tls {
    /// A client that asks for this name and tells these transport parameters. If it `may_change`,
    /// [`set_version`](Self::set_version) may be called later.
    pub fn client(
        mut config: Arc<ClientConfig>,
        version: Version,
        may_change: bool,
        name: ServerName<'static>,
        parameters: Vec<u8>,
    ) -> Result<Self, TlsSetupError> {
        let tap = may_change.then(|| Arc::new(SecretTap::new(config.key_log.clone(), true)));
        if let Some(tap) = &tap {
            Arc::make_mut(&mut config).key_log = tap.clone();
        }
        let inner = quic::ClientConnection::new(config, rustls_version(version), name, parameters)?;
        Ok(Self::new(inner.into(), Role::Client, version, tap))
    }

    /// A server that tells these transport parameters, likewise. It learns the secrets of 1-RTT
    /// packets in any case, so that a silent connection need not keep what is made of them.
    ///
    /// A client that `offers_session` gives up one ticket and is given one for it. Whoever comes
    /// without gets as many as the configuration says, for connections side by side
    /// (RFC 8446 §4.6.1).
    pub fn server(
        mut config: Arc<ServerConfig>,
        version: Version,
        may_change: bool,
        offers_session: bool,
        parameters: Vec<u8>,
    ) -> Result<Self, TlsSetupError> {
        let tap = Arc::new(SecretTap::new(config.key_log.clone(), may_change));
        let own = Arc::make_mut(&mut config);
        own.key_log = tap.clone();
        if offers_session {
            own.send_tls13_tickets = own.send_tls13_tickets.min(1);
        }
        let inner = quic::ServerConnection::new(config, rustls_version(version), parameters)?;
        Ok(Self::new(inner.into(), Role::Server, version, Some(tap)))
    }

    fn new(
        inner: quic::Connection,
        role: Role,
        version: Version,
        tap: Option<Arc<SecretTap>>,
    ) -> Self {
        let (inner, outcome) = (Some(Box::new(inner)), Outcome::default());
        Self { inner, outcome, role, original: version, version, tap, alpn_known: None, name: None }
    }

    /// From now on keys are for this version. Has an effect only if the handshake began as one
    /// that may change. Early data keeps the keys of the version it began with (RFC 9369 §4.1).
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Gives memory back where the handshake is over and nothing more can come of it: a server asks
    /// for no authentication later, and has given out its tickets (RFC 8446 §4.6).
    pub fn release_memory(&mut self) {
        if self.role == Role::Server && !self.is_handshaking() {
            let certificates = self.peer_certificates().map(<[_]>::to_vec);
            let (is_resumed, suite) = (self.is_resumed(), self.cipher_suite());
            self.outcome = Outcome { is_resumed, suite, certificates };
            self.inner = None;
            self.tap = None;
        }
    }

    /// The keys of 0-RTT packets: on a client that resumes and may send them, on a server that has
    /// accepted them (RFC 9001 §4.6).
    pub fn zero_rtt_keys(&self) -> Option<DirectionalKeys> {
        self.inner.as_ref()?.zero_rtt_keys()
    }

    /// On a client that has just begun: the transport parameters of the connection it resumes.
    pub fn remembered_transport_parameters(&self) -> Option<&[u8]> {
        self.inner.as_ref()?.quic_transport_parameters()
    }

    /// On a client whose handshake is complete: whether the server has accepted early data.
    pub fn early_data_was_accepted(&self) -> bool {
        match self.inner.as_deref() {
            Some(quic::Connection::Client(client)) => client.is_early_data_accepted(),
            Some(quic::Connection::Server(_)) | None => false,
        }
    }

    /// On a server that has not read anything: early data will be refused.
    pub fn refuse_early_data(&mut self) {
        if let Some(quic::Connection::Server(server)) = self.inner.as_deref_mut() {
            server.reject_early_data();
        }
    }

    /// Takes the next bytes of the peer's CRYPTO stream. A failure becomes the CRYPTO_ERROR of the
    /// alert that TLS would send (RFC 9001 §4.8).
    pub fn read(&mut self, data: &[u8]) -> Result<(), TransportError> {
        let Some(inner) = self.inner.as_deref_mut() else {
            // A client has nothing to say after the handshake (RFC 9001 §4.4, §6).
            let code = TransportErrorCode::crypto(u8::from(AlertDescription::UnexpectedMessage));
            return Err(TransportError::new(code, "a TLS message after the handshake"));
        };
        if let Err(error) = inner.read_hs(data) {
            return Err(to_transport_error(inner, &error));
        }
        if self.alpn_known.is_none() {
            self.alpn_known = inner.alpn_protocol().map(<[u8]>::to_vec);
        }
        if let quic::Connection::Server(server) = inner
            && self.name.is_none()
        {
            self.name = server.server_name().map(str::to_owned);
        }
        Ok(())
    }

    /// Appends what is to be sent at the current level. Keys that come back hold from then on:
    /// call again until there are neither bytes nor keys.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Option<NewKeys> {
        Some(match self.inner.as_deref_mut()?.write_hs(out)? {
            KeyChange::Handshake { keys } => {
                let secrets = self.take_secrets(SecretTap::take_handshake);
                NewKeys::Handshake(self.keys_of_version(keys, secrets.as_ref()))
            }
            KeyChange::OneRtt { keys, next } => {
                let secrets = self.take_secrets(SecretTap::take_one_rtt);
                let keys = self.keys_of_version(keys, secrets.as_ref());
                let next = match secrets {
                    Some(secrets) => Source::Derived(secrets),
                    None => Source::Rustls(Box::new(next)),
                };
                NewKeys::OneRtt { keys, next: UpdateSecrets(next) }
            }
        })
    }

    /// The secrets that came with the last keys, for the version in use. `None` if they are not
    /// known, or not to be used: keys of the original version are made by who made the first.
    fn take_secrets(&self, take: fn(&SecretTap) -> Option<SecretPair>) -> Option<TrafficSecrets> {
        let (client, server) = take(self.tap.as_deref()?)?;
        if self.version == self.original && !self.is_sealed_by_ring() {
            return None;
        }
        TrafficSecrets::new(self.cipher_suite()?, self.version, self.role, &client, &server)
    }

    /// rustls' keys, unless the version is another than it knows of.
    fn keys_of_version(&self, rustls: Keys, secrets: Option<&TrafficSecrets>) -> Keys {
        match secrets {
            Some(secrets) if self.version != self.original => secrets.keys(),
            _ => rustls,
        }
    }

    /// Whether the keys that rustls makes are ring's, like ours, and not another provider's.
    fn is_sealed_by_ring(&self) -> bool {
        let suite = self.inner.as_ref().and_then(|inner| inner.negotiated_cipher_suite());
        suite.is_some_and(is_of_ring)
    }

    /// Whether the handshake is not complete (RFC 9001 §4.1.1).
    pub fn is_handshaking(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_handshaking())
    }

    /// The peer's transport parameters, encoded, once they have arrived; on a client, once the
    /// handshake is complete and they are authentic. Before, a client that resumes a session is
    /// shown those of that session, which name other connection IDs (RFC 9000 §7.4.1).
    pub fn peer_transport_parameters(&self) -> Option<&[u8]> {
        match self.inner.as_deref()? {
            quic::Connection::Client(client) if client.is_handshaking() => None,
            inner => inner.quic_transport_parameters(),
        }
    }

    /// Whether the handshake resumes a session, without certificates (RFC 8446 §2.2).
    pub fn is_resumed(&self) -> bool {
        let resumed = Some(rustls::HandshakeKind::Resumed);
        self.inner
            .as_ref()
            .map_or(self.outcome.is_resumed, |inner| inner.handshake_kind() == resumed)
    }

    /// The application protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn_known.as_deref()
    }

    /// On a server: the name that the client asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The certificates that the peer has shown, its own first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match &self.inner {
            Some(inner) => inner.peer_certificates(),
            None => self.outcome.certificates.as_deref(),
        }
    }

    /// The cipher suite that was agreed on.
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        match &self.inner {
            Some(inner) => inner.negotiated_cipher_suite().map(|suite| suite.suite()),
            None => self.outcome.suite,
        }
    }
}

fn to_transport_error(inner: &quic::Connection, error: &rustls::Error) -> TransportError {
    // RFC 9001 §4.6.1: a ticket whose early data has a limit.
    if *error == rustls::Error::PeerMisbehaved(PeerMisbehaved::InvalidMaxEarlyDataSize) {
        return TransportError::protocol_violation(error.to_string());
    }
    let alert = inner.alert().unwrap_or(match error {
        rustls::Error::NoApplicationProtocol => AlertDescription::NoApplicationProtocol,
        rustls::Error::InvalidCertificate(_) => AlertDescription::BadCertificate,
        rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        rustls::Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::HandshakeFailure,
    });
    let code = TransportErrorCode::crypto(u8::from(alert));
    TransportError::new(code, error.to_string())
}

/// The keys of Initial packets, which anyone on the path can compute (RFC 9001 §5.2).
pub fn initial_keys(
    version: Version,
    destination: &ConnectionId,
    role: Role,
    provider: &CryptoProvider,
) -> Result<Keys, TlsSetupError> {
    let aes_128 =
        |suite: &&SupportedCipherSuite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256;
    // A provider may leave AES out of what it agrees on; Initial packets have no choice.
    let fallback = [&rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let suite = provider.cipher_suites.iter().chain(fallback).find(aes_128);
    let suite =
        suite.and_then(SupportedCipherSuite::tls13).and_then(rustls::Tls13CipherSuite::quic_suite);
    let suite = suite.ok_or(TlsSetupError::NoInitialCipher)?;
    let side = if role.is_client() { Side::Client } else { Side::Server };
    Ok(suite.keys(destination.as_bytes(), side, rustls_version(version)))
}

fn rustls_version(version: Version) -> quic::Version {
    match version {
        Version::V2 => quic::Version::V2,
        _ => quic::Version::V1,
    }
}
