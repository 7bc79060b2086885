//! Cipher suites without TLS's record layer. QUIC has no TLS records (RFC 9001 §4), but rustls sets
//! their protection up all the same: four keys with their IVs in each handshake, which nobody uses.
//! This file must not know packets.

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::ring::{DEFAULT_CIPHER_SUITES, cipher_suite as ring_suites};
use rustls::crypto::tls13::Hkdf;
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls13CipherSuite,
};

use super::hkdf::{HKDF_SHA256, HKDF_SHA384};

/// Has a provider use these suites instead of ring's. Suites of others stay as they are.
pub(super) fn leave_records_out(provider: &mut CryptoProvider) {
    for suite in &mut provider.cipher_suites {
        if is_among(DEFAULT_CIPHER_SUITES, *suite) {
            let stand_in = SUITES.iter().find(|stand_in| stand_in.suite() == suite.suite());
            *suite = stand_in.copied().unwrap_or(*suite);
        }
    }
}

/// Whether packets are protected by ring with this suite.
pub(super) fn is_of_ring(suite: SupportedCipherSuite) -> bool {
    is_among(SUITES, suite) || is_among(DEFAULT_CIPHER_SUITES, suite)
}

/// Whether one of them is this suite, of the same library: rustls compares nothing but their numbers.
fn is_among(suites: &[SupportedCipherSuite], suite: SupportedCipherSuite) -> bool {
    let Some(suite) = suite.tls13() else { return false };
    suites.iter().filter_map(SupportedCipherSuite::tls13).any(|one| std::ptr::eq(one, suite))
}

/// ring's suites for TLS 1.3, without records.
static SUITES: &[SupportedCipherSuite] = &[
    SupportedCipherSuite::Tls13(&AES_128),
    SupportedCipherSuite::Tls13(&AES_256),
    SupportedCipherSuite::Tls13(&CHACHA20),
];

static AES_128: Tls13CipherSuite =
    without_records(ring_suites::TLS13_AES_128_GCM_SHA256, &HKDF_SHA256, &NoRecords(16));
static AES_256: Tls13CipherSuite =
    without_records(ring_suites::TLS13_AES_256_GCM_SHA384, &HKDF_SHA384, &NoRecords(32));
static CHACHA20: Tls13CipherSuite =
    without_records(ring_suites::TLS13_CHACHA20_POLY1305_SHA256, &HKDF_SHA256, &NoRecords(32));

const fn without_records(
    original: SupportedCipherSuite,
    hkdf_provider: &'static dyn Hkdf,
    aead_alg: &'static dyn Tls13AeadAlgorithm,
) -> Tls13CipherSuite {
    let original = of_tls13(original);
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = original.common;
    Tls13CipherSuite {
        common: CipherSuiteCommon { suite, hash_provider, confidentiality_limit },
        hkdf_provider,
        aead_alg,
        quic: original.quic,
    }
}

const fn of_tls13(suite: SupportedCipherSuite) -> &'static Tls13CipherSuite {
    suite.tls13().expect("these are of TLS 1.3")
}

/// Protects no record, and refuses those that come.
#[derive(Clone, Copy, Debug)]
struct NoRecords(
    /// The length of a key, in bytes.
    usize,
);

/// In place of a key of a record.
struct NoRecord;

impl Tls13AeadAlgorithm for NoRecords {
    fn encrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(NoRecord)
    }

    fn decrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(NoRecord)
    }

    fn key_len(&self) -> usize {
        self.0
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl MessageEncrypter for NoRecord {
    fn encrypt(
        &mut self,
        _message: OutboundPlainMessage<'_>,
        _number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        Err(no_records())
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len
    }
}

impl MessageDecrypter for NoRecord {
    fn decrypt<'a>(
        &mut self,
        _message: InboundOpaqueMessage<'a>,
        _number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        Err(no_records())
    }
}

fn no_records() -> Error {
    Error::General("QUIC has no TLS records (RFC 9001 section 4)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_ring_s_suites_are_replaced_and_nobody_else_s() {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        let original = provider.cipher_suites.clone();
        leave_records_out(&mut provider);
        let replaced = provider.cipher_suites.clone();
        assert_eq!(replaced, original, "they have other numbers, or another order");
        for suite in &replaced {
            assert!(!is_among(&original, *suite) && is_of_ring(*suite));
            let aead = suite.tls13().unwrap().aead_alg;
            let of_ring = original.iter().find(|original| *original == suite).unwrap();
            assert_eq!(aead.key_len(), of_ring.tls13().unwrap().aead_alg.key_len());
            let hash_len = |suite: &SupportedCipherSuite| {
                let hkdf = suite.tls13().unwrap().hkdf_provider;
                hkdf.extract_from_zero_ikm(None).hash_len()
            };
            assert_eq!(hash_len(suite), hash_len(of_ring));
            let extracted = aead.extract_keys([0; 32].into(), [0; 12].into());
            assert!(extracted.is_err(), "it has keys for records");
        }
        let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = AES_128.common;
        let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
        let other = Box::leak(Box::new(Tls13CipherSuite { common, ..AES_128 }));
        provider.cipher_suites = vec![SupportedCipherSuite::Tls13(other)];
        leave_records_out(&mut provider);
        assert!(is_among(&provider.cipher_suites, SupportedCipherSuite::Tls13(other)));
        assert!(!is_of_ring(provider.cipher_suites[0]));
    }
}
