//! The TLS halves of quinn's configurations.

use std::sync::Arc;

use protoquic_perf_kit::{Identity, Trust, client_tls_of, server_tls_of};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

use crate::Result;

/// quinn's client TLS configuration offering the protocol `alpn`.
pub fn client_config(trust: Trust, alpn: &[u8]) -> Result<quinn::ClientConfig> {
    let tls = QuicClientConfig::try_from(client_tls_of(trust, alpn)?)?;
    Ok(quinn::ClientConfig::new(Arc::new(tls)))
}

/// quinn's server TLS configuration accepting the protocol `alpn`.
pub fn server_config(identity: Identity, alpn: &[u8]) -> Result<quinn::ServerConfig> {
    let tls = QuicServerConfig::try_from(server_tls_of(identity, alpn)?)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(tls)))
}
