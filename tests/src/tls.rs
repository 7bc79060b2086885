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
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .expect("a certificate can be made");
        Made { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    })
}

/// The test certificate with its key.
pub fn identity() -> Identity {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made().key.clone()));
    Identity { chain: vec![made().certificate.clone()], key }
}

/// A client that believes the test certificate.
pub fn client(alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(made().certificate.clone()).expect("the test certificate is well formed");
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
    let tls = ServerTls {
        provider: None,
        identity: identity(),
        alpn: alpn.iter().map(|alpn| alpn.to_vec()).collect(),
        client_verifier: None,
        key_log: false,
    };
    Arc::new(tls.build().expect("the settings are valid"))
}
