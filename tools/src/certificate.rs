//! Certificates for the tools: read from PEM files, or self-made; and the words for what is wrong
//! with them. This file must not know what they are used for.

use std::fmt::Display;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use protoquic::crypto::{Identity, PemError, certificates_from_pem};
use rcgen::PublicKeyData as _;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

/// Reads a chain and its key. The error is a line for a person.
pub fn load_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let chain = load_certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        format!("cannot read a private key from {}: {error}; it must be PEM", key.display())
    })?;
    Ok(Identity { chain, key })
}

/// Reads all certificates of a PEM file.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn Display| {
        format!("cannot read certificates from {}: {error}; it must be PEM", path.display())
    };
    let pem = std::fs::read(path).map_err(|error| unreadable(&error))?;
    certificates_from_pem(&pem).map_err(|error| match error {
        PemError::NoCertificate => format!("{} holds no certificate", path.display()),
        error => unreadable(&error),
    })
}

/// The certificates by which the system knows servers; none if it has no store.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// A self-made certificate and what a client needs to believe it.
#[derive(Debug)]
pub struct SelfMade {
    /// For the server.
    pub identity: Identity,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// SHA-256 of its public key info, in base64, as Chromium wants it.
    pub spki: String,
    /// The certificate in PEM.
    pub pem: String,
    /// Its private key in PEM.
    pub key_pem: String,
}

/// Makes a certificate for localhost. It is an ECDSA certificate valid for 13 days, the longest
/// that WebTransport's certificate hashes allow.
pub fn self_made() -> Result<SelfMade, String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let make = || -> Result<_, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(names)?;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::hours(1);
        params.not_after = now + time::Duration::days(13);
        params.distinguished_name.push(rcgen::DnType::CommonName, "protoquic self-made");
        let certificate = params.self_signed(&key)?;
        Ok((certificate, key))
    };
    let (certificate, key) =
        make().map_err(|error| format!("cannot make a certificate: {error}"))?;
    let der = certificate.der().clone();
    let sha256 = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    let fingerprint = HEXLOWER.encode(sha256(&der).as_ref());
    let spki = BASE64.encode(sha256(&key.subject_public_key_info()).as_ref());
    let key_pem = key.serialize_pem();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let identity = Identity { chain: vec![der], key };
    Ok(SelfMade { identity, fingerprint, spki, pem: certificate.pem(), key_pem })
}

/// How a certificate that no authority signed can be told to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    /// SHA-256 of the certificate, in hex.
    pub certificate: String,
    /// SHA-256 of its public key info, in base64, as Chromium wants it.
    pub spki: String,
}

/// The fingerprints of an identity's own certificate. The error is a line for a person.
pub fn fingerprints(identity: &Identity) -> Result<Fingerprints, String> {
    let certificate = identity.chain.first().ok_or("the certificate chain is empty")?;
    let key = rustls::crypto::ring::sign::any_supported_type(&identity.key)
        .map_err(|error| explain_tls_error(&error))?;
    let public = key.public_key().ok_or("this kind of private key does not tell its public key")?;
    let sha256 = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    Ok(Fingerprints {
        certificate: HEXLOWER.encode(sha256(certificate).as_ref()),
        spki: BASE64.encode(sha256(&public).as_ref()),
    })
}

/// Says why a certificate and key cannot be used.
pub fn explain_tls_error(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the private key does not belong to the certificate; give the pair that was made \
             together"
                .into()
        }
        error => format!("the certificate or key cannot be used: {error}"),
    }
}
