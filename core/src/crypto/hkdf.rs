//! [`PacketHkdf`]: HKDF (RFC 5869) by ring, as TLS asks for it, for what QUIC needs: a tenth of a
//! resumed handshake's time. Records' keys are left out, and the pieces of an `info` reach ring in
//! one. This file must not know cipher suites.

use ring::{hkdf, hmac};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};

/// The key derivation of a cipher suite.
#[derive(Debug)]
pub(super) struct PacketHkdf {
    hkdf: hkdf::Algorithm,
    hmac: hmac::Algorithm,
    /// The length of the hash, in bytes.
    len: usize,
}

impl PacketHkdf {
    pub(super) const SHA256: Self =
        Self { hkdf: hkdf::HKDF_SHA256, hmac: hmac::HMAC_SHA256, len: 32 };
    pub(super) const SHA384: Self =
        Self { hkdf: hkdf::HKDF_SHA384, hmac: hmac::HMAC_SHA384, len: 48 };

    fn expander(&self, prk: hkdf::Prk) -> Box<dyn HkdfExpander> {
        Box::new(Expander { prk, len: self.len })
    }
}

impl Hkdf for PacketHkdf {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &ZEROS[..self.len])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        // RFC 5869 §2.2: no salt is one of zeros.
        let salt = salt.unwrap_or(&ZEROS[..self.len]);
        self.expander(hkdf::Salt::new(self.hkdf, salt).extract(secret))
    }

    fn expander_for_okm(&self, secret: &OkmBlock) -> Box<dyn HkdfExpander> {
        self.expander(hkdf::Prk::new_less_safe(self.hkdf, secret.as_ref()))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        Tag::new(hmac::sign(&hmac::Key::new(self.hmac, key.as_ref()), message).as_ref())
    }
}

/// A secret, and what is expanded from it.
struct Expander {
    prk: hkdf::Prk,
    len: usize,
}

impl Expander {
    fn expand(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        // ring looks at its state for every piece; those of a label are six.
        let (mut joined, mut end) = ([0; MAX_JOINED], 0);
        for piece in info {
            let Some(room) = joined.get_mut(end..end + piece.len()) else {
                return self.fill(info, output);
            };
            room.copy_from_slice(piece);
            end += piece.len();
        }
        self.fill(&[&joined[..end]], output)
    }

    fn fill(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        let expanded = self.prk.expand(info, Length(output.len()));
        expanded.and_then(|okm| okm.fill(output)).map_err(|_| OutputLengthError)
    }
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if is_for_records(info) {
            output.fill(0);
            return Ok(());
        }
        self.expand(info, output)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut block = [0; OkmBlock::MAX_LEN];
        let block = &mut block[..self.len];
        // RFC 5869 §2.3: up to 255 times the hash's length can be asked for, and this is once.
        self.expand(info, block).expect("a block is not too long");
        OkmBlock::new(block)
    }

    fn hash_len(&self) -> usize {
        self.len
    }
}

/// How many bytes ring is asked for.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 8446 §7.3: the labels of records' keys and IVs. QUIC's begin with "quic" (RFC 9001 §5.1), or with
/// "quicv2" (RFC 9369 §3.3.2). What is put together in another way than rustls does it is not
/// recognised, and derived.
fn is_for_records(info: &[&[u8]]) -> bool {
    matches!(info, [_, _, b"tls13 ", b"key" | b"iv", ..])
}

static ZEROS: [u8; OkmBlock::MAX_LEN] = [0; OkmBlock::MAX_LEN];
/// A label of TLS 1.3 with a hash of 48 bytes takes no more than this (RFC 8446 §7.1).
const MAX_JOINED: usize = 80;

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::cipher_suite as ring_suites;

    use super::*;

    const SECRET: [u8; 48] = [7; 48];

    /// Ours, and rustls' own on ring.
    fn pairs() -> [(&'static dyn Hkdf, &'static dyn Hkdf); 2] {
        let of_ring = |suite: rustls::SupportedCipherSuite| suite.tls13().unwrap().hkdf_provider;
        [
            (&PacketHkdf::SHA256, of_ring(ring_suites::TLS13_AES_128_GCM_SHA256)),
            (&PacketHkdf::SHA384, of_ring(ring_suites::TLS13_AES_256_GCM_SHA384)),
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
            let len = ours.expander_for_okm(&OkmBlock::new(&[1; 32])).hash_len();
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
            let expander = hkdf.expander_for_okm(&OkmBlock::new(&SECRET[..32]));
            for (label, derived) in [(&b"key"[..], false), (b"iv", false), (b"quic key", true)] {
                let mut output = [0xff; 16];
                let info: [&[u8]; 6] = [&[0, 16], &[9], b"tls13 ", label, &[0], &[]];
                assert!(expander.expand_slice(&info, &mut output).is_ok());
                assert_eq!(output != [0; 16], derived);
            }
        }
    }
}
