//! Cipher suites whose keys wear out early, so that the limits of RFC 9001 §6.6 come within a
//! test's reach. A key that is used beyond its limit panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protoquic::crypto::ring_provider;
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::quic::{Algorithm, HeaderProtectionKey, PacketKey, Tag};
use rustls::{Error, SupportedCipherSuite, Tls13CipherSuite};

/// ring's AES-128-GCM alone, whose keys seal `confidentiality` packets and let `integrity` packets
/// of a connection be forged.
pub fn limited_provider(confidentiality: u64, integrity: u64) -> Arc<CryptoProvider> {
    let mut provider = (*ring_provider()).clone();
    let aes_128 = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    let suite = provider.cipher_suites.iter().find(|suite| suite.suite() == aes_128);
    let suite = suite.and_then(SupportedCipherSuite::tls13).expect("ring has AES-128-GCM");
    let real = suite.quic.expect("ring does QUIC");
    let Tls13CipherSuite { ref common, hkdf_provider, aead_alg, .. } = *suite;
    let common = rustls::crypto::CipherSuiteCommon { suite: aes_128, ..*common };
    let quic = Box::leak(Box::new(Limited { real, confidentiality, integrity }));
    let suite = Tls13CipherSuite { common, hkdf_provider, aead_alg, quic: Some(quic) };
    // rustls wants suites that live as long as the program, which a test's does.
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))];
    Arc::new(provider)
}

struct Limited {
    real: &'static dyn Algorithm,
    confidentiality: u64,
    integrity: u64,
}

impl Algorithm for Limited {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn PacketKey> {
        let Self { confidentiality, integrity, .. } = *self;
        let (real, sealed) = (self.real.packet_key(key, iv), AtomicU64::new(0));
        Box::new(LimitedKey { real, confidentiality, integrity, sealed })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn HeaderProtectionKey> {
        self.real.header_protection_key(key)
    }

    fn aead_key_len(&self) -> usize {
        self.real.aead_key_len()
    }
}

struct LimitedKey {
    real: Box<dyn PacketKey>,
    confidentiality: u64,
    integrity: u64,
    sealed: AtomicU64,
}

impl PacketKey for LimitedKey {
    fn encrypt_in_place(&self, number: u64, header: &[u8], data: &mut [u8]) -> Result<Tag, Error> {
        let sealed = self.sealed.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(sealed <= self.confidentiality, "a key has sealed {sealed} packets");
        self.real.encrypt_in_place(number, header, data)
    }

    fn decrypt_in_place<'a>(
        &self,
        number: u64,
        header: &[u8],
        data: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.real.decrypt_in_place(number, header, data)
    }

    fn tag_len(&self) -> usize {
        self.real.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.confidentiality
    }

    fn integrity_limit(&self) -> u64 {
        self.integrity
    }
}
