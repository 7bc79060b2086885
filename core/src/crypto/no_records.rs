//! Cipher suites without TLS's record layer. QUIC has no TLS records (RFC 9001 §4), but rustls sets
//! their protection up all the same: four keys with their IVs in each handshake, which nobody uses and
//! which cost as much as the keys that packets are protected with. This file must not know packets.

use std::sync::{LazyLock, OnceLock};

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, ring};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls13CipherSuite,
};

/// Has a provider use these suites instead of ring's. Suites of others stay as they are.
pub(super) fn leave_records_out(provider: &mut CryptoProvider) {
    for suite in &mut provider.cipher_suites {
        let of_ring = SUITES.iter().find(|(original, _)| is_same(*original, *suite));
        if let Some((_, without_records)) = of_ring {
            *suite = *without_records;
        }
    }
}

/// Whether packets are protected by ring with this suite.
pub(super) fn is_of_ring(suite: SupportedCipherSuite) -> bool {
    SUITES.iter().any(|(original, without)| is_same(*original, suite) || is_same(*without, suite))
}

/// Whether it is the same suite of the same library: rustls compares nothing but their numbers.
fn is_same(one: SupportedCipherSuite, other: SupportedCipherSuite) -> bool {
    match (one.tls13(), other.tls13()) {
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        _ => false,
    }
}

/// ring's suites for TLS 1.3, each with the one that stands in for it. Made once and never freed: rustls
/// wants them to live as long as the program.
static SUITES: LazyLock<Vec<(SupportedCipherSuite, SupportedCipherSuite)>> = LazyLock::new(|| {
    let suites = ring::default_provider().cipher_suites.into_iter();
    suites.filter_map(|suite| Some((suite, without_records(suite.tls13()?)))).collect()
});

fn without_records(original: &'static Tls13CipherSuite) -> SupportedCipherSuite {
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = original.common;
    let hkdf = NoRecordKeys { hkdf: original.hkdf_provider };
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
        common: CipherSuiteCommon { suite, hash_provider, confidentiality_limit },
        hkdf_provider: Box::leak(Box::new(hkdf)),
        aead_alg: Box::leak(Box::new(NoRecords { key_len: original.aead_alg.key_len() })),
        quic: original.quic,
    })))
}

/// Protects no record, and refuses those that come.
#[derive(Clone, Copy, Debug)]
struct NoRecords {
    key_len: usize,
}

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
        self.key_len
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

/// Derives what is asked of it, but for records' keys and IVs: those are zeros.
struct NoRecordKeys {
    hkdf: &'static dyn Hkdf,
}

impl Hkdf for NoRecordKeys {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.hkdf.extract_from_zero_ikm(salt)
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        self.hkdf.extract_from_secret(salt, secret)
    }

    fn extract_from_kx_shared_secret(
        &self,
        salt: Option<&[u8]>,
        exchange: Box<dyn ActiveKeyExchange>,
        peer_key: &[u8],
    ) -> Result<Box<dyn HkdfExpander>, Error> {
        self.hkdf.extract_from_kx_shared_secret(salt, exchange, peer_key)
    }

    fn expander_for_okm(&self, secret: &OkmBlock) -> Box<dyn HkdfExpander> {
        let Self { hkdf } = *self;
        Box::new(Expander { hkdf, secret: secret.clone(), inner: OnceLock::new() })
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        self.hkdf.hmac_sign(key, message)
    }

    fn fips(&self) -> bool {
        self.hkdf.fips()
    }
}

/// Expands a traffic secret; prepared for it when first asked for something that is used.
struct Expander {
    hkdf: &'static dyn Hkdf,
    secret: OkmBlock,
    inner: OnceLock<Box<dyn HkdfExpander>>,
}

impl Expander {
    fn inner(&self) -> &dyn HkdfExpander {
        &**self.inner.get_or_init(|| self.hkdf.expander_for_okm(&self.secret))
    }
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if is_for_records(info) {
            output.fill(0);
            return Ok(());
        }
        self.inner().expand_slice(info, output)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        self.inner().expand_block(info)
    }

    fn hash_len(&self) -> usize {
        self.inner().hash_len()
    }
}

/// RFC 8446 §7.3: the labels of records' keys and IVs. QUIC's begin with "quic" (RFC 9001 §5.1), or with
/// "quicv2" (RFC 9369 §3.3.2). What is put together in another way than rustls does it is not
/// recognised, and derived.
fn is_for_records(info: &[&[u8]]) -> bool {
    matches!(info, [_, _, b"tls13 ", b"key" | b"iv", ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn expand(hkdf: &dyn Hkdf, label: &[u8]) -> [u8; 16] {
        let info: [&[u8]; 6] = [&[0, 16], &[6 + label.len() as u8], b"tls13 ", label, &[0], &[]];
        let mut output = [0xff; 16];
        let expander = hkdf.expander_for_okm(&OkmBlock::new(&SECRET));
        assert!(expander.expand_slice(&info, &mut output).is_ok());
        output
    }

    #[test]
    fn what_packets_need_is_derived_as_ever_and_what_records_need_is_not() {
        for (original, without) in &*SUITES {
            let of = |suite: &SupportedCipherSuite| suite.tls13().map(|suite| suite.hkdf_provider);
            let (Some(original), Some(without)) = (of(original), of(without)) else {
                panic!("they are of TLS 1.3");
            };
            for label in [&b"quic key"[..], b"quicv2 iv", b"quic hp", b"quic ku", b"c hs traffic"] {
                assert_eq!(expand(without, label), expand(original, label));
                assert_ne!(expand(without, label), [0; 16]);
            }
            for label in [&b"key"[..], b"iv"] {
                assert_eq!(expand(without, label), [0; 16]);
            }
        }
    }

    #[test]
    fn all_of_ring_s_suites_are_replaced_and_nobody_else_s() {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        let original = provider.cipher_suites.clone();
        leave_records_out(&mut provider);
        let replaced = provider.cipher_suites.clone();
        assert_eq!(replaced, original, "they have other numbers, or another order");
        assert!(!replaced.iter().zip(&original).any(|(one, other)| is_same(*one, *other)));
        for suite in replaced.iter().filter_map(SupportedCipherSuite::tls13) {
            let extracted = suite.aead_alg.extract_keys([0; 32].into(), [0; 12].into());
            assert!(extracted.is_err(), "it has keys for records");
        }
        leave_records_out(&mut provider); // these are not ring's
        let stayed = provider.cipher_suites.iter().zip(&replaced);
        assert!(stayed.into_iter().all(|(one, other)| is_same(*one, *other)));
    }
}
