//! [`PacketHkdf`]: HKDF (RFC 5869) as TLS asks for it, for what QUIC needs: records' keys are left
//! out. By RustCrypto, which takes two thirds of ring's time for it where the processor has instructions
//! for SHA-256 (docs/performance/handshakes.md). This file must not know cipher suites.

use std::fmt;
use std::marker::PhantomData;

use hkdf::hmac::Hmac;
use hkdf::{GenericHkdf, HmacImpl};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use sha2::{Sha256, Sha384};

pub(super) static HKDF_SHA256: PacketHkdf<Hmac<Sha256>> = PacketHkdf(PhantomData);
pub(super) static HKDF_SHA384: PacketHkdf<Hmac<Sha384>> = PacketHkdf(PhantomData);

/// The key derivation of a cipher suite; `H` is the HMAC of its hash.
pub(super) struct PacketHkdf<H>(PhantomData<fn() -> H>);

impl<H> fmt::Debug for PacketHkdf<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacketHkdf")
    }
}

impl<H: HmacImpl + Send + Sync + 'static> Hkdf for PacketHkdf<H> {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &ZEROS[..H::output_size()])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Expander::<H>(GenericHkdf::new(salt, secret)))
    }

    fn expander_for_okm(&self, secret: &OkmBlock) -> Box<dyn HkdfExpander> {
        let keys = GenericHkdf::from_prk(secret.as_ref());
        // RFC 8446 §7.1: TLS's secrets have the hash's length.
        Box::new(Expander::<H>(keys.expect("a secret is as long as the hash")))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        let mut hmac = H::new_from_slice(key.as_ref());
        hmac.update(message);
        Tag::new(&hmac.finalize())
    }
}

/// A secret, and what is expanded from it.
struct Expander<H: HmacImpl>(GenericHkdf<H>);

impl<H: HmacImpl + Send + Sync> HkdfExpander for Expander<H> {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if is_for_records(info) {
            output.fill(0);
            return Ok(());
        }
        self.0.expand_multi_info(info, output).map_err(|_| OutputLengthError)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut block = [0; OkmBlock::MAX_LEN];
        let block = &mut block[..H::output_size()];
        // RFC 5869 §2.3: up to 255 times the hash's length can be asked for, and this is once.
        self.0.expand_multi_info(info, block).expect("a block is not too long");
        OkmBlock::new(block)
    }

    fn hash_len(&self) -> usize {
        H::output_size()
    }
}

/// RFC 8446 §7.3: the labels of records' keys and IVs. QUIC's begin with "quic" (RFC 9001 §5.1), or with
/// "quicv2" (RFC 9369 §3.3.2). What is put together in another way than rustls does it is not
/// recognised, and derived.
fn is_for_records(info: &[&[u8]]) -> bool {
    matches!(info, [_, _, b"tls13 ", b"key" | b"iv", ..])
}

static ZEROS: [u8; OkmBlock::MAX_LEN] = [0; OkmBlock::MAX_LEN];
#[cfg(test)]
mod tests {
    use rustls::crypto::ring::cipher_suite as ring_suites;

    use super::*;

    const SECRET: [u8; 48] = [7; 48];

    /// Ours, and rustls' own on ring.
    fn pairs() -> [(&'static dyn Hkdf, &'static dyn Hkdf); 2] {
        let of_ring = |suite: rustls::SupportedCipherSuite| suite.tls13().unwrap().hkdf_provider;
        [
            (&HKDF_SHA256, of_ring(ring_suites::TLS13_AES_128_GCM_SHA256)),
            (&HKDF_SHA384, of_ring(ring_suites::TLS13_AES_256_GCM_SHA384)),
        ]
    }

    /// All that comes of these pieces, as bytes.
    fn expansions(expander: &dyn HkdfExpander, info: &[&[u8]]) -> Vec<u8> {
        let mut output = vec![0xff; 100];
        assert!(expander.expand_slice(info, &mut output).is_ok());
        output.extend_from_slice(expander.expand_block(info).as_ref());
        output
    }

    #[test]
    fn what_packets_need_is_derived_as_rustls_does_it() {
        for (ours, original) in pairs() {
            let len = ours.extract_from_zero_ikm(None).hash_len();
            let secret = OkmBlock::new(&SECRET[..len]);
            let expanders = |hkdf: &dyn Hkdf| {
                [
                    hkdf.expander_for_okm(&secret),
                    hkdf.extract_from_zero_ikm(None),
                    hkdf.extract_from_zero_ikm(Some(b"salt")),
                    hkdf.extract_from_secret(None, &SECRET),
                    hkdf.extract_from_secret(Some(b"salt"), &SECRET),
                ]
            };
            for (ours, original) in std::iter::zip(expanders(ours), expanders(original)) {
                assert_eq!(ours.hash_len(), original.hash_len());
                for label in [&b"quic key"[..], b"quicv2 iv", b"quic hp", b"quic ku", b"derived"] {
                    for context in [0, len, 255] {
                        let context = &[9; 255][..context];
                        let info: [&[u8]; 6] =
                            [&[0, 16], &[14], b"tls13 ", label, &[context.len() as u8], context];
                        assert_eq!(expansions(&*ours, &info), expansions(&*original, &info));
                    }
                }
                assert!(ours.expand_slice(&[b"x"], &mut vec![0; 255 * len + 1]).is_err());
            }
            let (tag, expected) =
                (ours.hmac_sign(&secret, b"text"), original.hmac_sign(&secret, b"text"));
            assert_eq!(tag.as_ref(), expected.as_ref());
            assert_eq!(ours.fips(), original.fips());
        }
    }

    #[test]
    fn what_records_need_is_not_derived() {
        for (hkdf, _) in pairs() {
            let expander = hkdf.extract_from_secret(None, &SECRET);
            for (label, derived) in [(&b"key"[..], false), (b"iv", false), (b"quic key", true)] {
                let mut output = [0xff; 16];
                let info: [&[u8]; 6] = [&[0, 16], &[9], b"tls13 ", label, &[0], &[]];
                assert!(expander.expand_slice(&info, &mut output).is_ok());
                assert_eq!(output != [0; 16], derived);
            }
        }
    }
}
