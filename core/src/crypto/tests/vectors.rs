//! The sample packets of RFC 9001, Appendix A, sealed and opened byte by byte. Appendix A.4, the
//! Retry, is beside the other Retry tests.

use ring::hkdf;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::quic::{HeaderProtectionKey, PacketKey};
use rustls::{CipherSuite, SupportedCipherSuite};

use super::super::packet_protection::seal_packet_with;
use super::{hex, id};
use crate::crypto::{
    TAG_LEN, initial_keys, open_payload, ring_provider, seal_packet, unprotect_header,
};
use crate::types::Role;
use crate::wire::Version;

const DESTINATION: &str = "8394c8f03e515708";

fn keys(role: Role) -> rustls::quic::Keys {
    initial_keys(Version::V1, &id(&hex(DESTINATION)), role, &ring_provider()).unwrap()
}

#[test]
fn a1_initial_keys_make_the_masks_of_the_samples() {
    // RFC 9001 §A.1: the header protection keys of both ends, seen in the masks of §A.2 and §A.3.
    let mask = |role, sample: &str| {
        let (mut first, mut number) = (0x0f, [0; 4]);
        let key = keys(role).local.header;
        key.encrypt_in_place(&hex(sample), &mut first, &mut number).unwrap();
        (first, number)
    };
    // The first byte keeps four bits of a long header's mask.
    let client = mask(Role::Client, "d1b1c98dd7689fb8ec11d242b123dc9b");
    assert_eq!(client, (0x0f ^ 0x43 & 0x0f, [0x7b, 0x9a, 0xec, 0x36]));
    let server = mask(Role::Server, "2cd0991cd25b0aac406a5816b6394100");
    assert_eq!(server.0, 0x0f ^ 0x2e & 0x1f & 0x0f);
    assert_eq!(server.1, [0xc0, 0xd8, 0x35, 0x6a]);
}

#[test]
fn a2_the_clients_initial_packet() {
    // RFC 9001 §A.2
    let mut packet = hex("c300000001088394c8f03e5157080000449e00000002");
    let number_offset = packet.len() - 4;
    packet.extend(hex(CLIENT_CRYPTO));
    packet.resize(number_offset + 4 + 1162, 0); // PADDING
    let plain = packet.clone();
    packet.resize(1200, 0); // room for the tag
    seal_packet(&keys(Role::Client).local, &mut packet, number_offset, 4, 2);
    let start = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11\
                 d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399";
    assert_eq!(packet[..64], hex(start));
    assert_eq!(packet[1200 - TAG_LEN..], hex("e221af44860018ab0856972e194cd934"));
    let server = keys(Role::Server).remote;
    let opened = unprotect_header(&*server.header, &mut packet, number_offset);
    assert_eq!(opened, Some((0xc3, 2, 4)));
    let len = open_payload(&*server.packet, &mut packet, number_offset + 4, 2);
    assert_eq!(len, Some(1162));
    assert_eq!(packet[..plain.len()], plain);
}

#[test]
fn a3_the_servers_initial_packet() {
    // RFC 9001 §A.3
    let mut packet = hex("c1000000010008f067a5502a4262b50040750001");
    let number_offset = packet.len() - 2;
    packet.extend(hex(SERVER_PAYLOAD));
    packet.extend([0; TAG_LEN]);
    seal_packet(&keys(Role::Server).local, &mut packet, number_offset, 2, 1);
    let sealed = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a\
                  5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3\
                  dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
                  022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4\
                  2158407dd074ee";
    assert_eq!(packet, hex(sealed));
    let client = keys(Role::Client).remote;
    let opened = unprotect_header(&*client.header, &mut packet, number_offset);
    assert_eq!(opened, Some((0xc1, 1, 2)));
    let payload = number_offset + 2;
    let len = open_payload(&*client.packet, &mut packet, payload, 1).unwrap();
    assert_eq!(packet[payload..payload + len], hex(SERVER_PAYLOAD));
}

#[test]
fn a5_a_chacha20_poly1305_short_header_packet() {
    // RFC 9001 §A.5
    let (key, iv, hp) = chacha20("quic key", "quic iv", "quic hp");
    assert_eq!(key, hex("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"));
    assert_eq!(iv[..], hex("e0459b3474bdd0e44a41c144"));
    assert_eq!(hp, hex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"));
    let update = expand(&hex(SECRET), "quic ku", 32);
    assert_eq!(update, hex("1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"));
    let (packet_key, header_key) = chacha20_keys(&key, &iv, &hp);
    let mut packet = hex("4200bff401");
    packet.extend([0; TAG_LEN]);
    seal_packet_with(&*packet_key, &*header_key, &mut packet, 1, 3, 654_360_564);
    assert_eq!(packet, hex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb"));
    let opened = unprotect_header(&*header_key, &mut packet, 1);
    assert_eq!(opened, Some((0x42, 0xbff4, 3)));
    assert_eq!(open_payload(&*packet_key, &mut packet, 4, 654_360_564), Some(1));
    assert_eq!(packet[4], 1);
}

fn chacha20(key: &str, iv: &str, hp: &str) -> (Vec<u8>, [u8; 12], Vec<u8>) {
    let secret = hex(SECRET);
    let iv = expand(&secret, iv, 12).try_into().unwrap();
    (expand(&secret, key, 32), iv, expand(&secret, hp, 32))
}

fn chacha20_keys(
    key: &[u8],
    iv: &[u8; 12],
    hp: &[u8],
) -> (Box<dyn PacketKey>, Box<dyn HeaderProtectionKey>) {
    let provider = ring_provider();
    let is_chacha = |suite: &&SupportedCipherSuite| {
        suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    };
    let suite = provider.cipher_suites.iter().find(is_chacha).unwrap().tls13().unwrap();
    let aead = |key: &[u8]| AeadKey::from(<[u8; 32]>::try_from(key).unwrap());
    let algorithm = suite.quic.unwrap();
    (algorithm.packet_key(aead(key), Iv::from(*iv)), algorithm.header_protection_key(aead(hp)))
}

/// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let label = format!("tls13 {label}");
    let info = [&(len as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0]];
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
    let mut out = vec![0; len];
    prk.expand(&info, Len(len)).unwrap().fill(&mut out).unwrap();
    out
}

const SECRET: &str = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";
const CLIENT_CRYPTO: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868\
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578\
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba\
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400\
    0d0010000e0403050306030203080408050806002d00020101001c0002400100\
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000\
    75300901100f088394c8f03e51570806048000ffff";
const SERVER_PAYLOAD: &str = "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf739\
    88cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c94\
    0d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00\
    020304";
