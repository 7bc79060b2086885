//! [`Settings`]: what a listener or a connection is made with, and the TLS settings that follow from
//! it. This file must not know sockets.

use std::sync::Arc;
use std::time::Duration;

use protoquic_core::crypto::{
    ClientTls, Identity, ServerTls, ServerTrust, certificates_from_pem, offer_early_data,
};
use protoquic_core::{Config, DatagramConfig, MemorySessionCache, ServerConfig};
use protoquic_readers::buffered_ring_provider;

use crate::{Error, Result};

/// What a listener or a connection is made with. Both ends take datagrams unless
/// [`config`](Self::config) says otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) authorities: Vec<u8>,
    pub(crate) any_certificate: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) server_name: Option<String>,
    pub(crate) config: Config,
    pub(crate) linger: Duration,
}

/// What clients connect with.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The transport's settings.
    pub config: Arc<Config>,
    /// TLS's settings.
    pub tls: Arc<rustls::ClientConfig>,
    /// How long a connection that was closed goes on delivering.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let datagrams = DatagramConfig { max_frame_size: 65_535, ..DatagramConfig::default() };
        Self {
            certificate: Vec::new(),
            key: Vec::new(),
            authorities: Vec::new(),
            any_certificate: false,
            alpn: vec![DEFAULT_ALPN.to_vec()],
            server_name: None,
            config: Config { datagrams, ..Config::default() },
            linger: Duration::from_secs(3),
        }
    }
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A certificate chain in PEM, its own certificate first, and its private key. A listener needs
    /// one; a client shows it to servers that ask.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        (self.certificate, self.key) = (certificate.into(), key.into());
        self
    }

    /// Authorities in PEM to verify servers by; the system's otherwise.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = pem.into();
        self
    }

    /// Believes any server. For servers of one's own.
    #[must_use]
    pub fn trust_any_certificate(mut self) -> Self {
        self.any_certificate = true;
        self
    }

    /// The application protocols, most wanted first; [`DEFAULT_ALPN`] otherwise.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.alpn = protocols.iter().map(|name| name.to_vec()).collect();
        self
    }

    /// The name that a server must prove, if not the host of its URI.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The transport's settings.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets clients that remember a session send early data (0-RTT), and servers take it. Clients
    /// remember sessions in memory unless [`config`](Self::config) has a cache of its own, as long as
    /// the settings are the same object or a clone of it. Early data can be replayed: see
    /// [`Config::early_data`].
    #[must_use]
    pub fn early_data(mut self) -> Self {
        self.config.early_data = true;
        if self.config.session_cache.is_none() {
            self.config.session_cache = Some(Arc::new(MemorySessionCache::new()));
        }
        self
    }

    /// How long a connection that was closed goes on delivering what was written to its streams.
    /// Default 3 s.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Sets the certificate chain alone, in PEM.
    pub fn set_certificate(&mut self, pem: &[u8]) {
        self.certificate = pem.to_vec();
    }

    /// Sets the private key alone, in PEM.
    pub fn set_key(&mut self, pem: &[u8]) {
        self.key = pem.to_vec();
    }

    /// The name that a server must prove, if one was given.
    pub fn expected_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn identity_of(&self) -> Result<Option<Identity>> {
        if self.certificate.is_empty() && self.key.is_empty() {
            return Ok(None);
        }
        Ok(Some(Identity::from_pem(&self.certificate, &self.key)?))
    }

    fn trust(&self) -> Result<ServerTrust> {
        if self.any_certificate {
            return Ok(ServerTrust::AnyCertificate);
        }
        Ok(ServerTrust::in_authorities(if self.authorities.is_empty() {
            rustls_native_certs::load_native_certs().certs
        } else {
            certificates_from_pem(&self.authorities)?
        })?)
    }

    /// What a client connects with.
    pub fn client(&self) -> Result<ClientSettings> {
        let (trust, identity, alpn) = (self.trust()?, self.identity_of()?, self.alpn.clone());
        let provider = Some(buffered_ring_provider());
        let tls = ClientTls { provider, trust, alpn, identity, key_log: true };
        let tls = tls.build().map_err(|error| unusable(&error))?;
        // All clients of a family share a socket, and their IDs are all that tells them apart.
        let config = Config { client_connection_id_length: CLIENT_ID_LENGTH, ..self.checked()? };
        Ok(ClientSettings { config: Arc::new(config), tls: Arc::new(tls), linger: self.linger })
    }

    /// What a listener serves with.
    pub fn server(&self) -> Result<ServerConfig> {
        let Some(identity) = self.identity_of()? else {
            return Err(Error::Invalid("a listener needs a certificate and its key".to_owned()));
        };
        let alpn = self.alpn.clone();
        let provider = Some(buffered_ring_provider());
        let tls = ServerTls { provider, identity, alpn, client_verifier: None, key_log: true };
        let mut tls = tls.build().map_err(|error| unusable(&error))?;
        if self.config.early_data {
            offer_early_data(&mut tls, MAX_TICKETS);
        }
        Ok(ServerConfig { transport: Arc::new(self.checked()?), tls: Arc::new(tls) })
    }

    fn checked(&self) -> Result<Config> {
        self.config.validate().map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(self.config.clone())
    }
}

fn unusable(error: &rustls::Error) -> Error {
    Error::Invalid(format!("the certificate or key cannot be used: {error}"))
}

/// The application protocol that is spoken if no other is named: streams without further rules.
pub const DEFAULT_ALPN: &[u8] = b"protoquic-streams";
/// How many tickets for early data a listener keeps.
const MAX_TICKETS: usize = 10_000;
/// The length of every client's connection IDs, in bytes.
pub(crate) const CLIENT_ID_LENGTH: usize = 8;
