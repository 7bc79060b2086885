//! Certificates, keys and roots from PEM text. Who has them in files, or takes the system's roots,
//! reads those itself.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::{Identity, ServerTrust};

/// Why certificates or a key cannot be used.
#[derive(Debug)]
pub enum PemError {
    /// The certificates are malformed.
    Certificates(Error),
    /// There is no certificate.
    NoCertificate,
    /// The private key is malformed, or missing.
    Key(Error),
    /// There is no root to verify servers by.
    NoRoots,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificates(error) => write!(f, "the certificates cannot be read: {error}"),
            Self::NoCertificate => f.write_str("the certificates cannot be read: there are none"),
            Self::Key(error) => write!(f, "the private key cannot be read: {error}"),
            Self::NoRoots => f.write_str(
                "there are no authorities to verify servers by; give some, or trust any \
                 certificate of a server of your own",
            ),
        }
    }
}

impl std::error::Error for PemError {}

/// All certificates of a PEM text, one at least.
///
/// ```
/// use protoquic_core::crypto::certificates_from_pem;
///
/// let error = certificates_from_pem(b"no PEM at all").unwrap_err();
/// assert_eq!(error.to_string(), "the certificates cannot be read: there are none");
/// ```
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(PemError::Certificates)?;
    if all.is_empty() { Err(PemError::NoCertificate) } else { Ok(all) }
}

impl Identity {
    /// An identity from PEM: a chain, its own certificate first, and its key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PemError> {
        let chain = certificates_from_pem(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PemError::Key)?;
        Ok(Self { chain, key })
    }
}

impl ServerTrust {
    /// Trust in what these authorities have signed for; those that cannot be used are left out. Fails
    /// if none can.
    pub fn in_authorities(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, PemError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        if roots.is_empty() { Err(PemError::NoRoots) } else { Ok(Self::Roots(roots)) }
    }
}
