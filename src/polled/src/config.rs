//! [`Config`]: what connections are made with, and the TLS settings that follow from it. Made once
//! and shared by many connections. This file must not know connections.

use std::cell::OnceCell;
use std::sync::Arc;

use protoquic_core::crypto::{
    ClientTls, Identity, ServerTls, ServerTrust, certificates_from_pem, offer_early_data,
};
use protoquic_core::http::Http3Config;
use protoquic_core::{Config as TransportConfig, MemorySessionCache, ServerConfig};
use protoquic_dispatcher::DispatcherConfig;

use crate::{Error, Result};

/// What connections are made with.
///
/// ```
/// use std::time::Duration;
/// use protoquic_polled::Config;
///
/// let mut config = Config::new(&[b"chat"]);
/// config.transport_mut().idle_timeout = Duration::from_secs(60);
/// config.transport_mut().datagrams.max_frame_size = 65_535; // datagrams are welcome
/// config.remember_sessions(true); // resume what was connected before
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    transport: TransportConfig,
    http3: Http3Config,
    listener: DispatcherConfig,
    backlog: usize,
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
    any_certificate: bool,
    alpn: Vec<Vec<u8>>,
    key_log: bool,
    /// Made when first needed.
    client: OnceCell<(Arc<TransportConfig>, Arc<rustls::ClientConfig>)>,
    server: OnceCell<ServerConfig>,
}

impl Config {
    /// The defaults, for these application protocols, most wanted first. ECN is off: who marks
    /// datagrams as [`SendInfo::ecn`](crate::SendInfo::ecn) says, and tells how they arrived, can
    /// switch it on.
    pub fn new(alpn: &[&[u8]]) -> Self {
        Self {
            transport: TransportConfig { ecn: false, ..TransportConfig::default() },
            http3: Http3Config::default(),
            listener: DispatcherConfig::default(),
            backlog: 1024,
            certificate: Vec::new(),
            key: Vec::new(),
            authorities: Vec::new(),
            any_certificate: false,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            key_log: true,
            client: OnceCell::new(),
            server: OnceCell::new(),
        }
    }

    /// The transport's settings. Connections that were made already keep theirs.
    pub fn transport_mut(&mut self) -> &mut TransportConfig {
        self.forget_made();
        &mut self.transport
    }

    /// The settings of HTTP/3.
    pub fn http3_mut(&mut self) -> &mut Http3Config {
        &mut self.http3
    }

    /// The limits of a listener: address validation, sessions, tokens.
    pub fn listener_mut(&mut self) -> &mut DispatcherConfig {
        &mut self.listener
    }

    /// How many connections of a listener may wait for its
    /// [`poll`](crate::Listener::poll), at most; more are refused. Default 1024.
    pub fn set_backlog(&mut self, connections: usize) {
        self.backlog = connections;
    }

    /// The application protocols, most wanted first.
    pub fn set_alpn(&mut self, alpn: &[&[u8]]) {
        self.forget_made();
        self.alpn = alpn.iter().map(|name| name.to_vec()).collect();
    }

    /// A certificate chain in PEM, its own certificate first, and its private key. A listener needs
    /// one; a client shows it to servers that ask.
    pub fn set_identity(&mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) {
        self.forget_made();
        (self.certificate, self.key) = (certificate.into(), key.into());
    }

    /// Authorities in PEM to verify servers by; the system's otherwise.
    pub fn set_authorities(&mut self, pem: impl Into<Vec<u8>>) {
        self.forget_made();
        self.authorities = pem.into();
    }

    /// Whether any server is believed. For servers of one's own. Default no.
    pub fn trust_any_certificate(&mut self, yes: bool) {
        self.forget_made();
        self.any_certificate = yes;
    }

    /// Whether a client remembers servers, in memory: tickets to resume with, and address tokens.
    /// Default no.
    pub fn remember_sessions(&mut self, yes: bool) {
        let cache = yes.then(|| Arc::new(MemorySessionCache::default()) as _);
        self.transport_mut().session_cache = cache;
    }

    /// Whether early data is sent, by clients that resume, and taken by servers. It can be replayed:
    /// RFC 9001 §9.2. Default no.
    pub fn allow_early_data(&mut self, yes: bool) {
        self.transport_mut().early_data = yes;
    }

    /// Whether secrets are written to the file that the environment's SSLKEYLOGFILE names, if it
    /// names one. Default yes.
    pub fn log_keys(&mut self, yes: bool) {
        self.forget_made();
        self.key_log = yes;
    }

    pub(crate) fn http3(&self) -> &Http3Config {
        &self.http3
    }

    /// The limits of a listener.
    pub fn listener(&self) -> &DispatcherConfig {
        &self.listener
    }

    pub(crate) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(crate) fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    /// What a client connects with, checked: for those who run the machine in another way.
    pub fn client(&self) -> Result<(Arc<TransportConfig>, Arc<rustls::ClientConfig>)> {
        if let Some(made) = self.client.get() {
            return Ok(made.clone());
        }
        let tls = ClientTls {
            provider: None,
            trust: self.trust()?,
            alpn: self.alpn.clone(),
            identity: self.identity()?,
            key_log: self.key_log,
        };
        let tls = tls.build().map_err(|error| unusable(&error))?;
        let made = (Arc::new(self.checked()?), Arc::new(tls));
        Ok(self.client.get_or_init(|| made).clone())
    }

    /// What a listener serves with, likewise.
    pub fn server(&self) -> Result<ServerConfig> {
        if let Some(made) = self.server.get() {
            return Ok(made.clone());
        }
        let Some(identity) = self.identity()? else {
            return Err(Error::Invalid("a listener needs a certificate and its key".to_owned()));
        };
        let tls = ServerTls {
            provider: None,
            identity,
            alpn: self.alpn.clone(),
            client_verifier: None,
            key_log: self.key_log,
        };
        let mut tls = tls.build().map_err(|error| unusable(&error))?;
        let transport = self.checked()?;
        if transport.early_data {
            offer_early_data(&mut tls, MAX_TICKETS);
        }
        let made = ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) };
        Ok(self.server.get_or_init(|| made).clone())
    }

    fn forget_made(&mut self) {
        self.client.take();
        self.server.take();
    }

    fn checked(&self) -> Result<TransportConfig> {
        self.transport.validate().map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(self.transport.clone())
    }

    fn identity(&self) -> Result<Option<Identity>> {
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
}

fn unusable(error: &rustls::Error) -> Error {
    Error::Invalid(format!("the certificate or key cannot be used: {error}"))
}

/// How many tickets for early data a listener keeps, of all its clients.
const MAX_TICKETS: usize = 10_000;
