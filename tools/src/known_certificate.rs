//! [`trust_known`]: a client that knows its server by the very certificate, as programs with a
//! self-made one do; a certificate of an authority in the same file is believed as usual. This file
//! must not know what is asked of the server.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate;

/// Believes whoever proves to own a certificate of this file, whatever name or authority it has, and
/// whoever has one that these certificates have signed. The error is a line for a person.
pub fn trust_known(tls: &mut ClientConfig, path: &Path) -> Result<(), String> {
    let known = certificate::load_certificates(path)?;
    let provider = Arc::clone(tls.crypto_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(known.iter().cloned());
    // Certificates of servers are no authorities: there need not be any.
    let authorities =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
    let verifier = KnownCertificates { known, authorities, provider };
    tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    Ok(())
}

/// Verifies as [`trust_known`] says.
#[derive(Debug)]
struct KnownCertificates {
    known: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KnownCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion()); // that it has the key is proven below
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
