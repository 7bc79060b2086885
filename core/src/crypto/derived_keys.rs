//! Packet protection keys made from TLS' traffic secrets by ourselves (RFC 9001 §5.1, §5.4, §6.1;
//! RFC 9369 §3.3). rustls binds a handshake to one QUIC version when it begins; a connection whose
//! version changes during the handshake (RFC 9368) needs the keys of another, and a silent one can make
//! its keys again. This file must not know when that is.

use ring::aead::quic::{self as ring_quic, HeaderProtectionKey as HeaderMask};
use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::crypto::tls13::{Hkdf, OkmBlock};
use rustls::quic::{DirectionalKeys, HeaderProtectionKey, Keys, PacketKey, PacketKeySet, Tag};
use rustls::{CipherSuite, Error};

use super::hkdf::{HKDF_SHA256, HKDF_SHA384};
use super::packet_protection::TAG_LEN;
use crate::types::Role;
use crate::wire::Version;

/// The traffic secrets of one level, and how to make keys of them.
#[derive(Clone)]
pub(super) struct TrafficSecrets {
    suite: &'static Suite,
    version: Version,
    role: Role,
    /// Those of the present key phase.
    present: Pair,
    /// Those of the first, once they are others: header protection keeps its keys (RFC 9001 §6).
    first: Option<Box<Pair>>,
}

/// The client's secret and the server's.
#[derive(Clone)]
struct Pair {
    client: Secret,
    server: Secret,
}

/// As many bytes as its suite's hash has.
type Secret = [u8; MAX_HASH_LEN];

impl TrafficSecrets {
    /// `None` for a suite that QUIC has no use for.
    pub(super) fn new(
        suite: CipherSuite,
        version: Version,
        role: Role,
        client: &[u8],
        server: &[u8],
    ) -> Option<Self> {
        let suite = Suite::find(suite)?;
        let secret = |bytes: &[u8]| {
            let mut secret = [0; MAX_HASH_LEN];
            secret[..suite.hash_len].copy_from_slice(bytes.get(..suite.hash_len)?);
            Some(secret)
        };
        let present = Pair { client: secret(client)?, server: secret(server)? };
        Some(Self { suite, version, role, present, first: None })
    }

    /// The keys of this level, in the present key phase.
    pub(super) fn keys(&self) -> Keys {
        let PacketKeySet { local, remote } = self.packet_keys();
        let headers = self.local_remote(self.first.as_deref().unwrap_or(&self.present));
        Keys {
            local: DirectionalKeys { header: self.header_key(headers.0), packet: local },
            remote: DirectionalKeys { header: self.header_key(headers.1), packet: remote },
        }
    }

    /// Moves on to the secrets of the next key phase (RFC 9001 §6.1).
    pub(super) fn update(&mut self) {
        let label = match self.version {
            Version::V2 => "quicv2 ku",
            _ => "quic ku",
        };
        let Pair { client, server } = &self.present;
        let next = Pair { client: self.next(client, label), server: self.next(server, label) };
        let last = std::mem::replace(&mut self.present, next);
        self.first.get_or_insert_with(|| Box::new(last));
    }

    fn next(&self, secret: &Secret, label: &str) -> Secret {
        let mut next = [0; MAX_HASH_LEN];
        let len = self.suite.hash_len;
        next[..len].copy_from_slice(&self.suite.expand(secret, label, len));
        next
    }

    /// The packet keys of these secrets; header protection has no phases.
    pub(super) fn packet_keys(&self) -> PacketKeySet {
        let (local, remote) = self.local_remote(&self.present);
        PacketKeySet { local: self.packet_key(local), remote: self.packet_key(remote) }
    }

    fn local_remote<'a>(&self, pair: &'a Pair) -> (&'a Secret, &'a Secret) {
        match self.role {
            Role::Client => (&pair.client, &pair.server),
            Role::Server => (&pair.server, &pair.client),
        }
    }

    fn header_key(&self, secret: &Secret) -> Box<dyn HeaderProtectionKey> {
        let label = match self.version {
            Version::V2 => "quicv2 hp",
            _ => "quic hp",
        };
        let key = self.suite.expand(secret, label, self.suite.aead.key_len());
        let mask = HeaderMask::new(self.suite.header, &key);
        Box::new(HeaderKey(mask.expect("the key has its algorithm's length")))
    }

    fn packet_key(&self, secret: &Secret) -> Box<dyn PacketKey> {
        let (key_label, iv_label) = match self.version {
            Version::V2 => ("quicv2 key", "quicv2 iv"),
            _ => ("quic key", "quic iv"),
        };
        let key = self.suite.expand(secret, key_label, self.suite.aead.key_len());
        let key = UnboundKey::new(self.suite.aead, &key);
        let mut iv = [0; NONCE_LEN];
        iv.copy_from_slice(&self.suite.expand(secret, iv_label, NONCE_LEN));
        Box::new(AeadKey {
            key: LessSafeKey::new(key.expect("the key has its algorithm's length")),
            iv,
            confidentiality_limit: self.suite.confidentiality_limit,
            integrity_limit: self.suite.integrity_limit,
        })
    }
}

/// What a TLS cipher suite means for packets (RFC 9001 §5.3, §6.6).
struct Suite {
    aead: &'static Algorithm,
    header: &'static ring_quic::Algorithm,
    hkdf: &'static dyn Hkdf,
    hash_len: usize,
    confidentiality_limit: u64,
    integrity_limit: u64,
}

/// RFC 9001 §6.6: what AES-GCM may seal, and what may fail to open.
const AES_LIMITS: (u64, u64) = (1 << 23, 1 << 52);

static AES_128: Suite = Suite {
    aead: &AES_128_GCM,
    header: &ring_quic::AES_128,
    hkdf: &HKDF_SHA256,
    hash_len: 32,
    confidentiality_limit: AES_LIMITS.0,
    integrity_limit: AES_LIMITS.1,
};

static AES_256: Suite = Suite {
    aead: &AES_256_GCM,
    header: &ring_quic::AES_256,
    hkdf: &HKDF_SHA384,
    hash_len: MAX_HASH_LEN,
    confidentiality_limit: AES_LIMITS.0,
    integrity_limit: AES_LIMITS.1,
};

static CHACHA20: Suite = Suite {
    aead: &CHACHA20_POLY1305,
    header: &ring_quic::CHACHA20,
    hkdf: &HKDF_SHA256,
    hash_len: 32,
    // RFC 9001 §6.6: as many as there are packet numbers.
    confidentiality_limit: 1 << 62,
    integrity_limit: 1 << 36,
};

impl Suite {
    fn find(suite: CipherSuite) -> Option<&'static Self> {
        Some(match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => &AES_128,
            CipherSuite::TLS13_AES_256_GCM_SHA384 => &AES_256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => &CHACHA20,
            _ => return None,
        })
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
    fn expand(&self, secret: &Secret, label: &str, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let secret = self.hkdf.expander_for_okm(&OkmBlock::new(&secret[..self.hash_len]));
        let label_len = (TLS13_PREFIX.len() + label.len()) as u8;
        let info: [&[u8]; 5] =
            [&(len as u16).to_be_bytes(), &[label_len], TLS13_PREFIX, label.as_bytes(), &[0]];
        let expanded = secret.expand_slice(&info, &mut out);
        expanded.expect("a key is far shorter than what HKDF can make");
        out
    }
}

struct HeaderKey(HeaderMask);

impl HeaderKey {
    /// RFC 9001 §5.4.1
    fn apply(
        &self,
        sample: &[u8],
        first: &mut u8,
        number: &mut [u8],
        protected: bool,
    ) -> Result<(), Error> {
        let mask = self.0.new_mask(sample).map_err(|_| Error::General("a short sample".into()))?;
        let bits = if *first & 0x80 == 0 { 0x1f } else { 0x0f };
        let plain = if protected { *first ^ mask[0] & bits } else { *first };
        let len = usize::from(plain & 0x03) + 1;
        *first ^= mask[0] & bits;
        number.iter_mut().zip(&mask[1..]).take(len).for_each(|(byte, mask)| *byte ^= mask);
        Ok(())
    }
}

impl HeaderProtectionKey for HeaderKey {
    fn encrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.apply(sample, first, packet_number, false)
    }

    fn decrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.apply(sample, first, packet_number, true)
    }

    fn sample_len(&self) -> usize {
        self.0.algorithm().sample_len()
    }
}

struct AeadKey {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    confidentiality_limit: u64,
    integrity_limit: u64,
}

impl AeadKey {
    /// RFC 9001 §5.3: the packet number, padded, exclusive-ored with the IV.
    fn nonce(&self, packet_number: u64) -> Nonce {
        let mut nonce = self.iv;
        let number = packet_number.to_be_bytes();
        nonce[NONCE_LEN - 8..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl PacketKey for AeadKey {
    fn encrypt_in_place(
        &self,
        packet_number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        let nonce = self.nonce(packet_number);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), payload);
        tag.map(|tag| Tag::from(tag.as_ref())).map_err(|_| Error::EncryptError)
    }

    fn decrypt_in_place<'a>(
        &self,
        packet_number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        let nonce = self.nonce(packet_number);
        let plain = self.key.open_in_place(nonce, Aad::from(header), payload);
        plain.map(|plain| &*plain).map_err(|_| Error::DecryptError)
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        self.confidentiality_limit
    }

    fn integrity_limit(&self) -> u64 {
        self.integrity_limit
    }
}

const TLS13_PREFIX: &[u8] = b"tls13 ";

/// That of SHA-384, in bytes.
const MAX_HASH_LEN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{seal_packet, unprotect_header};

    fn hex(text: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    }

    /// The secret of the ChaCha20 packets in the RFCs' appendices.
    const SECRET: &str = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";

    fn chacha(version: Version) -> TrafficSecrets {
        let suite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        TrafficSecrets::new(suite, version, Role::Client, &hex(SECRET), &[7; 32]).unwrap()
    }

    #[test]
    fn the_chacha20_packets_of_both_rfcs_come_out() {
        // RFC 9001 §A.5, RFC 9369 §A.5: a short header and one PING.
        for (version, expected) in [
            (Version::V1, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"),
            (Version::V2, "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba"),
        ] {
            let mut packet = hex("4200bff401");
            packet.extend([0; TAG_LEN]);
            seal_packet(&chacha(version).keys().local, &mut packet, 1, 3, 654_360_564);
            assert_eq!(packet, hex(expected), "{version}");
            let key = chacha(version).keys().local.header;
            let (first, number, len) = unprotect_header(&*key, &mut packet, 1).unwrap();
            assert_eq!((first, number, len), (0x42, 0xbff4, 3));
        }
    }

    #[test]
    fn a_key_update_has_the_label_of_its_version() {
        // RFC 9001 §A.5, RFC 9369 §A.5
        for (version, expected) in [
            (Version::V1, "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"),
            (Version::V2, "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88"),
        ] {
            let mut secrets = chacha(version);
            secrets.update();
            assert_eq!(secrets.present.client[..32], hex(expected), "{version}");
            assert_eq!(secrets.first.unwrap().client[..32], hex(SECRET), "{version}");
        }
    }

    #[test]
    fn every_suite_of_quic_is_known_and_no_other() {
        let new = |suite| TrafficSecrets::new(suite, Version::V2, Role::Server, &[1; 48], &[2; 48]);
        for suite in [
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ] {
            assert!(new(suite).is_some_and(|secrets| secrets.keys().local.packet.tag_len() == 16));
        }
        assert!(new(CipherSuite::TLS13_AES_128_CCM_SHA256).is_none());
    }
}
