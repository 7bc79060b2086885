//! TLS settings that work out of the box: TLS 1.3 only, ring by default, SSLKEYLOGFILE on request.
//! Everything else is rustls' own: whoever needs more builds its configuration directly.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::no_records::leave_records_out;

/// A certificate chain, its own certificate first, and the key that belongs to it.
pub struct Identity {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// How a client knows its server.
#[derive(Debug)]
pub enum ServerTrust {
    /// By a chain to one of these roots.
    Roots(RootCertStore),
    /// Not at all: whoever answers is believed. For tests on one's own machine.
    AnyCertificate,
}

/// What a client's TLS settings are made from.
#[derive(Debug)]
pub struct ClientTls {
    /// The cryptography; ring if `None`.
    pub provider: Option<Arc<CryptoProvider>>,
    /// How the server is known.
    pub trust: ServerTrust,
    /// The application protocols to offer, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// The client's own certificate, for servers that ask.
    pub identity: Option<Identity>,
    /// Whether secrets are written to the file that SSLKEYLOGFILE names, for Wireshark.
    pub key_log: bool,
}

impl ClientTls {
    /// rustls' settings for these. They are for QUIC alone, which has no TLS records (RFC 9001 §4): ring's
    /// cipher suites come without what only records need, and TLS over TCP fails with them.
    pub fn build(self) -> Result<ClientConfig, Error> {
        let provider = provider_for_quic(self.provider);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match self.trust {
            ServerTrust::Roots(roots) => builder.with_root_certificates(roots),
            ServerTrust::AnyCertificate => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
            }
        };
        let mut config = match self.identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        if self.key_log {
            config.key_log = Arc::new(rustls::KeyLogFile::new());
        }
        Ok(config)
    }
}

/// What a server's TLS settings are made from.
#[derive(Debug)]
pub struct ServerTls {
    /// The cryptography; ring if `None`.
    pub provider: Option<Arc<CryptoProvider>>,
    /// The server's certificate.
    pub identity: Identity,
    /// The application protocols it speaks, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// Who checks clients' certificates; none are asked for if `None`.
    pub client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Whether secrets are written to the file that SSLKEYLOGFILE names, for Wireshark.
    pub key_log: bool,
}

impl ServerTls {
    /// rustls' settings for these, for QUIC alone as with [`ClientTls::build`]. A key that does not belong
    /// to the certificate is an error.
    pub fn build(self) -> Result<ServerConfig, Error> {
        let provider = provider_for_quic(self.provider);
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match self.client_verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(self.identity.chain, self.identity.key)?;
        config.alpn_protocols = self.alpn;
        if self.key_log {
            config.key_log = Arc::new(rustls::KeyLogFile::new());
        }
        Ok(config)
    }
}

/// The provider asked for, or ring's, with nothing prepared that only TLS over TCP has a use for.
fn provider_for_quic(asked: Option<Arc<CryptoProvider>>) -> Arc<CryptoProvider> {
    let mut provider = asked.unwrap_or_else(ring_provider);
    leave_records_out(Arc::make_mut(&mut provider));
    provider
}

/// ring's cryptography, the default. TLS_AES_128_GCM_SHA256 comes first, as in browsers: it is as
/// far out of reach as AES-256 and the fastest where processors have AES, and so is its hash, on
/// which the whole key schedule of a handshake runs.
///
/// ```
/// use rustls::CipherSuite;
///
/// let provider = protoquic_core::crypto::ring_provider();
/// assert_eq!(provider.cipher_suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
/// ```
pub fn ring_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let aes_128 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != aes_128); // stable
    Arc::new(provider)
}

/// Believes every certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
