//! A certificate for `localhost`, and TLS 1.3 by rustls on ring with AES-128-GCM first: the cipher
//! of every comparison.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::{ALPN, Client, HTTP3_ALPN, Result, Server};

/// A server's certificate and key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, the server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From the files that the server was given, or made for it.
    pub fn of(server: &Server) -> Result<Self> {
        match (&server.certificate_file, &server.key_file) {
            (Some(chain), Some(key)) => Self::from_pem_files(chain, key),
            _ => Self::self_signed(),
        }
    }

    /// From PEM files: the chain, and the private key.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        Ok(Self { chain, key })
    }

    /// A new one for `localhost`.
    pub fn self_signed() -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())?;
        Ok(Self {
            chain: vec![own.cert.der().clone()],
            key,
        })
    }

    /// For stacks that want files: the chain and the key in PEM, in a new folder.
    pub fn to_pem_files(&self) -> Result<(String, String)> {
        let folder = std::env::temp_dir().join(format!("protoquic-perf-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let blocks = self.chain.iter().map(|each| pem("CERTIFICATE", each));
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        std::fs::write(&chain, blocks.collect::<String>())?;
        std::fs::write(&key, pem("PRIVATE KEY", self.key.secret_der()))?;
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        Ok((text(chain), text(key)))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Which servers a client believes.
#[derive(Debug)]
pub enum Trust {
    /// Those whose chain ends in this PEM file.
    File(PathBuf),
    /// Any. For measurements on one machine only.
    Anyone,
}

/// A perf server's TLS.
pub fn server_tls(server: &Server) -> Result<ServerConfig> {
    let alpn = if server.http3.is_some() {
        HTTP3_ALPN
    } else {
        ALPN
    };
    server_tls_of(Identity::of(server)?, alpn)
}

/// A perf client's TLS: believes any certificate, and resumes only if it is told to.
pub fn client_tls(client: &Client) -> Result<ClientConfig> {
    let alpn = if client.http3.is_some() {
        HTTP3_ALPN
    } else {
        ALPN
    };
    let mut tls = client_tls_of(Trust::Anyone, alpn)?;
    if !client.resume {
        tls.resumption = Resumption::disabled();
    }
    Ok(tls)
}

/// The TLS of a server with this identity, for one application protocol.
pub fn server_tls_of(identity: Identity, alpn: &[u8]) -> Result<ServerConfig> {
    let mut tls = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    Ok(tls)
}

/// The TLS of a client that believes these servers, for one application protocol.
pub fn client_tls_of(trust: Trust, alpn: &[u8]) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match trust {
        Trust::File(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(BelieveAnyone(provider()))),
    };
    let mut tls = builder.with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    Ok(tls)
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has no TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
