//! TLS settings for tests: a self-made certificate that clients are told to believe.

use std::sync::{Arc, OnceLock};

use protoquic::crypto::{ClientTls, Identity, ServerTls, ServerTrust};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

struct Made {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| Made::new(&rcgen::PKCS_ECDSA_P256_SHA256))
}

/// Its signatures, unlike ECDSA's, all have one length.
fn made_repeatable() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| Made::new(&rcgen::PKCS_ED25519))
}

impl Made {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key can be made");
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate can be made");
        Self { certificate: certificate.der().clone(), key: key.serialize_der() }
    }

    fn identity(&self) -> Identity {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        Identity { chain: vec![self.certificate.clone()], key }
    }
}

/// The test certificate with its key.
pub fn identity() -> Identity {
    made().identity()
}

/// A client that believes the test certificates.
pub fn client(alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for made in [made(), made_repeatable()] {
        roots.add(made.certificate.clone()).expect("the test certificate is well formed");
    }
    let tls = ClientTls {
        provider: None,
        trust: ServerTrust::Roots(roots),
        alpn: alpn.iter().map(|alpn| alpn.to_vec()).collect(),
        identity: None,
        key_log: false,
    };
    Arc::new(tls.build().expect("the settings are valid"))
}

/// A server with the test certificate.
pub fn server(alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    server_with(identity(), alpn)
}

/// A server whose handshakes are of the same size each time, so that in virtual time they take the
/// same time.
pub fn repeatable_server(alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    server_with(made_repeatable().identity(), alpn)
}

fn server_with(identity: Identity, alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let tls = ServerTls {
        provider: None,
        identity,
        alpn: alpn.iter().map(|alpn| alpn.to_vec()).collect(),
        client_verifier: None,
        key_log: false,
    };
    Arc::new(tls.build().expect("the settings are valid"))
}
