//! The crypto room through its own doors: the RFC's vectors, tokens under every kind of misuse,
//! ClientHellos cut at every byte.

mod key_phases;
mod vectors;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::*;
use crate::TransportErrorCode;
use crate::helper::{RandomGenerator, SeededRandom};
use crate::types::{ConnectionId, Role};
use crate::wire::Version;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn id(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).unwrap()
}

#[test]
fn the_retry_packet_of_the_rfc_has_its_tag() {
    // RFC 9001 §A.4
    let packet = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
    let original = id(&hex("8394c8f03e515708"));
    let (retry, tag) = packet.split_last_chunk::<16>().unwrap();
    assert!(retry_tag_is_valid(Version::V1, &original, retry, tag));
    let mut wrong = *tag;
    wrong[15] ^= 1;
    assert!(!retry_tag_is_valid(Version::V1, &original, retry, &wrong));
}

#[test]
fn the_retry_packet_of_version_2_has_its_tag() {
    // RFC 9369 §A.4
    let packet = hex("cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6");
    let original = id(&hex("8394c8f03e515708"));
    let (retry, tag) = packet.split_last_chunk::<16>().unwrap();
    assert!(retry_tag_is_valid(Version::V2, &original, retry, tag));
    assert!(!retry_tag_is_valid(Version::V1, &original, retry, tag));
}

#[test]
fn initial_keys_are_those_of_the_rfcs() {
    // RFC 9001 §A.1, RFC 9369 §A.1: seen by what they make of a packet and of a sample.
    let provider = ring_provider();
    let destination = id(&hex("8394c8f03e515708"));
    let cases = [
        (Version::V1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c"),
        (Version::V2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f"),
    ];
    for (version, key, iv) in cases {
        let keys = initial_keys(version, &destination, Role::Client, &provider).unwrap();
        let mut sealed = b"a payload".to_vec();
        let tag = keys.local.packet.encrypt_in_place(0, b"header", &mut sealed).unwrap();
        let mut expected = b"a payload".to_vec();
        let aead = UnboundKey::new(&AES_128_GCM, &hex(key)).unwrap();
        let nonce = Nonce::try_assume_unique_for_key(&hex(iv)).unwrap();
        let seal = LessSafeKey::new(aead).seal_in_place_separate_tag(
            nonce,
            Aad::from(b"header"),
            &mut expected,
        );
        assert_eq!((sealed, tag.as_ref()), (expected, seal.unwrap().as_ref()), "{version}");
    }
    let header_keys = [
        (Version::V1, Role::Client, "9f50449e04a0e810283a1e9933adedd2"),
        (Version::V1, Role::Server, "c206b8d9b9f0f37644430b490eeaa314"),
        (Version::V2, Role::Client, "45b95e15235d6f45a6b19cbcb0294ba9"),
        (Version::V2, Role::Server, "edf6d05c83121201b436e16877593c3a"),
    ];
    for (version, role, key) in header_keys {
        let keys = initial_keys(version, &destination, role, &provider).unwrap();
        let (mut first, mut number) = (0xc3, [0; 4]);
        keys.local.header.encrypt_in_place(&[5; 16], &mut first, &mut number).unwrap();
        let key = HeaderProtectionKey::new(&AES_128, &hex(key)).unwrap();
        let mask = key.new_mask(&[5; 16]).unwrap();
        assert_eq!((first, &number[..]), (0xc3 ^ mask[0] & 0x0f, &mask[1..]), "{version}");
    }
}

#[test]
fn what_one_end_seals_the_other_opens_and_nothing_else_does() {
    let provider = ring_provider();
    let destination = id(&hex("8394c8f03e515708"));
    let keys = |role| initial_keys(Version::V1, &destination, role, &provider).unwrap();
    let (client, server) = (keys(Role::Client), keys(Role::Server));
    let mut packet = vec![0xc3, 0, 0, 0, 1, 0, 0, 0, 0, 7];
    let plain = b"frames and more frames".to_vec();
    packet.extend(&plain);
    packet.extend([0; TAG_LEN]);
    seal_packet(&client.local, &mut packet, 6, 4, 7);
    let sealed = packet.clone();
    let (first, number, len) = unprotect_header(&*server.remote.header, &mut packet, 6).unwrap();
    assert_eq!((first, number, len), (0xc3, 7, 4));
    let opened = open_payload(&*server.remote.packet, &mut packet, 10, 7).unwrap();
    assert_eq!(&packet[10..10 + opened], plain);
    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 0x10;
        let opened = unprotect_header(&*server.remote.header, &mut forged, 6).and_then(
            |(_, number, len)| open_payload(&*server.remote.packet, &mut forged, 6 + len, number),
        );
        assert_eq!(opened, None, "byte {at} was changed");
    }
    assert!(unprotect_header(&*server.remote.header, &mut packet[..25], 6).is_none());
}

#[test]
fn reset_tokens_follow_from_key_and_id_alone() {
    // RFC 9000 §10.3.2
    let key = ResetKey::new(&[7; 32]);
    assert_eq!(
        key.token_for(&id(b"12345678")),
        ResetKey::new(&[7; 32]).token_for(&id(b"12345678"))
    );
    assert_ne!(key.token_for(&id(b"12345678")), key.token_for(&id(b"12345679")));
    assert_ne!(
        key.token_for(&id(b"12345678")),
        ResetKey::new(&[8; 32]).token_for(&id(b"12345678"))
    );
}

#[test]
fn a_token_of_one_version_is_worth_nothing_under_another() {
    // RFC 9369 §5
    let mut tokens = Tokens::new();
    for token in [tokens.retry(), tokens.new_token()] {
        assert_ne!(tokens.open(&token), TokenVerdict::Unknown);
        let (now, peer) = (tokens.now, tokens.peer);
        let verdict = tokens.sealer.open(now, Version::V2, peer, &token);
        assert_eq!(verdict, TokenVerdict::Unknown);
    }
}

struct Tokens {
    sealer: TokenSealer,
    random: SeededRandom,
    now: SystemTime,
    peer: SocketAddr,
}

impl Tokens {
    fn new() -> Self {
        let mut random = SeededRandom::new(5);
        let sealer = TokenSealer::new(&mut random, TokenLifetimes::default());
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Self { sealer, random, now, peer: ([192, 0, 2, 1], 4000).into() }
    }

    fn retry(&mut self) -> Vec<u8> {
        let (original, source) = (id(b"original"), id(b"retry-id"));
        self.sealer.seal_retry(
            &mut self.random,
            self.now,
            Version::V1,
            self.peer,
            &original,
            &source,
        )
    }

    fn new_token(&mut self) -> Vec<u8> {
        self.sealer.seal_new_token(&mut self.random, self.now, Version::V1, self.peer.ip())
    }

    fn open(&mut self, token: &[u8]) -> TokenVerdict {
        self.sealer.open(self.now, Version::V1, self.peer, token)
    }
}

#[test]
fn a_retry_token_holds_for_its_address_and_a_few_seconds() {
    // RFC 9000 §8.1.2, §8.1.3
    let mut tokens = Tokens::new();
    let token = tokens.retry();
    let good = TokenVerdict::Retry {
        original_destination: id(b"original"),
        retry_source: id(b"retry-id"),
    };
    assert_eq!(tokens.open(&token), good);
    tokens.peer.set_port(4001);
    assert!(matches!(tokens.open(&token), TokenVerdict::BadRetry(_)), "another port");
    tokens.peer = ([192, 0, 2, 2], 4000).into();
    assert!(matches!(tokens.open(&token), TokenVerdict::BadRetry(_)), "another address");
    tokens.peer = ([192, 0, 2, 1], 4000).into();
    tokens.now += Duration::from_secs(15);
    assert!(matches!(tokens.open(&token), TokenVerdict::BadRetry(_)), "too late");
    tokens.now -= Duration::from_hours(1);
    assert!(matches!(tokens.open(&token), TokenVerdict::BadRetry(_)), "the clock went back");
}

#[test]
fn a_new_token_holds_for_its_host_and_some_days_over_a_change_of_key() {
    let mut tokens = Tokens::new();
    let token = tokens.new_token();
    tokens.peer.set_port(9999);
    assert_eq!(tokens.open(&token), TokenVerdict::NewToken);
    tokens.now += Duration::from_hours(7 * 24) - Duration::from_secs(1);
    assert_eq!(tokens.open(&token), TokenVerdict::NewToken);
    tokens.now += Duration::from_secs(1);
    assert_eq!(tokens.open(&token), TokenVerdict::Unknown, "expired");
    let fresh = tokens.new_token(); // with the next key
    assert_ne!(fresh[0], token[0]);
    assert_eq!(tokens.open(&fresh), TokenVerdict::NewToken);
    tokens.peer.set_ip(IpAddr::from([192, 0, 2, 9]));
    assert_eq!(tokens.open(&fresh), TokenVerdict::Unknown, "another host");
}

#[test]
fn tokens_of_a_secret_hold_for_every_sealer_that_knows_it() {
    let mut ours = Tokens::new();
    let with = |secret: ServerSecret| {
        let sealer = TokenSealer::from_secret(secret, TokenLifetimes::default());
        Tokens { sealer, ..Tokens::new() }
    };
    ours.sealer = with(ServerSecret::new([1; 32])).sealer;
    let token = ours.new_token();
    assert_eq!(with(ServerSecret::new([1; 32])).open(&token), TokenVerdict::NewToken);
    assert_eq!(with(ServerSecret::new([2; 32])).open(&token), TokenVerdict::Unknown);
    let mut changed = with(ServerSecret::new([2; 32]).accepting([1; 32]));
    assert_eq!(changed.open(&token), TokenVerdict::NewToken, "the secret was changed");
    let newer = changed.new_token();
    assert_eq!(ours.open(&newer), TokenVerdict::Unknown, "it seals with the new one");
    // A server whose clock has not reached the next key's period yet.
    let week = Duration::from_hours(7 * 24);
    let since = ours.now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let period_end = week.mul_f64((since.as_secs() / week.as_secs() + 1) as f64);
    ours.now = SystemTime::UNIX_EPOCH + period_end;
    let token = ours.retry();
    let mut behind = with(ServerSecret::new([1; 32]));
    behind.now = ours.now;
    assert!(matches!(behind.open(&token), TokenVerdict::Retry { .. }));
    ours.now -= Duration::from_secs(1);
    let early = ours.new_token();
    ours.now += Duration::from_secs(2);
    assert_eq!(ours.open(&early), TokenVerdict::NewToken, "over a change of key");
    behind.now -= Duration::from_secs(2);
    behind.new_token();
    assert_ne!(behind.sealer.decrypt(Version::V1, &token), None, "of the next period");
}

#[test]
fn garbled_tokens_are_as_none() {
    let mut tokens = Tokens::new();
    for token in [tokens.retry(), tokens.new_token()] {
        for at in 0..token.len() {
            let mut garbled = token.clone();
            garbled[at] ^= 1;
            assert_eq!(tokens.open(&garbled), TokenVerdict::Unknown);
            assert_eq!(tokens.open(&token[..at]), TokenVerdict::Unknown);
        }
    }
    let mut random = SeededRandom::new(9);
    for len in 0..4096 {
        let mut noise = vec![0; len];
        random.fill(&mut noise);
        assert_eq!(tokens.open(&noise), TokenVerdict::Unknown);
    }
}

/// A real ClientHello.
fn client_hello() -> Vec<u8> {
    let tls = ClientTls {
        provider: None,
        trust: ServerTrust::AnyCertificate,
        alpn: vec![b"h3".to_vec(), b"hq-interop".to_vec()],
        identity: None,
        key_log: false,
    };
    let name = "Example.org".try_into().unwrap();
    let mut tls =
        Tls::client(Arc::new(tls.build().unwrap()), Version::V1, false, name, vec![1, 2, 3])
            .unwrap();
    let mut out = Vec::new();
    assert!(tls.write(&mut out).is_none());
    out
}

#[test]
fn a_ticket_that_limits_early_data_is_a_violation() {
    // RFC 9001 §4.6.1
    let [(mut client, _), _] = key_phases::handshaken();
    // NewSessionTicket (RFC 8446 §4.6.1): lifetime, age_add, nonce, ticket, early_data.
    let ticket = |limit: [u8; 4]| {
        let mut message = vec![4, 0, 0, 23, 0, 0, 1, 0, 0, 0, 0, 0, 1, 9, 0, 1, 7, 0, 8];
        message.extend([0, 42, 0, 4]);
        message.extend(limit);
        message
    };
    assert_eq!(client.read(&ticket([0xff; 4])), Ok(()));
    let error = client.read(&ticket([0, 0, 1, 0])).unwrap_err();
    assert_eq!(error.code(), TransportErrorCode::PROTOCOL_VIOLATION);
}

#[test]
fn a_client_hello_tells_name_and_protocols_and_asks_for_more_when_cut() {
    let bytes = client_hello();
    for len in 0..bytes.len() {
        assert_eq!(parse_client_hello(&bytes[..len]), Ok(None), "cut at {len}");
    }
    let hello = parse_client_hello(&bytes).unwrap().unwrap();
    assert_eq!(hello.server_name.unwrap().to_lowercase(), "example.org");
    assert_eq!(hello.alpn, [b"h3".to_vec(), b"hq-interop".to_vec()]);
}

#[test]
fn what_is_no_client_hello_is_refused_with_the_alert_that_says_so() {
    let mut bytes = client_hello();
    let code = |bytes: &[u8]| parse_client_hello(bytes).unwrap_err().code().tls_alert();
    bytes[0] = 2;
    assert_eq!(code(&bytes), Some(10), "unexpected_message");
    assert_eq!(code(&[1, 0xff, 0xff, 0xff]), Some(50), "decode_error: too long");
    for seed in 0..20_000 {
        let mut random = SeededRandom::new(seed);
        let mut mutated = client_hello_like(&mut random);
        mutated[0] = 1;
        let _ = parse_client_hello(&mutated);
    }
}

fn client_hello_like(random: &mut SeededRandom) -> Vec<u8> {
    let mut bytes = vec![0; 4 + random.next_u64() as usize % 200];
    random.fill(&mut bytes);
    let len = bytes.len() - 4;
    bytes[1..4].copy_from_slice(&[0, 0, len as u8]);
    bytes
}

#[test]
fn tokens_from_a_secret_hold_after_a_restart_and_as_long_as_others() {
    let secret = ServerSecret::new([9; 32]);
    let mut tokens = Tokens::new();
    let sealer = || TokenSealer::from_secret(secret.clone(), TokenLifetimes::default());
    tokens.sealer = sealer();
    let (new_token, retry) = (tokens.new_token(), tokens.retry());
    tokens.sealer = sealer();
    assert_eq!(tokens.open(&new_token), TokenVerdict::NewToken);
    assert!(matches!(tokens.open(&retry), TokenVerdict::Retry { .. }));
    tokens.now += Duration::from_hours(7 * 24) - Duration::from_secs(1);
    tokens.sealer = sealer();
    assert_eq!(tokens.open(&new_token), TokenVerdict::NewToken);
    tokens.now += Duration::from_secs(1);
    assert_eq!(tokens.open(&new_token), TokenVerdict::Unknown, "expired");
    tokens.now -= Duration::from_hours(24);
    tokens.sealer = TokenSealer::from_secret(ServerSecret::new([8; 32]), TokenLifetimes::default());
    assert_eq!(tokens.open(&new_token), TokenVerdict::Unknown, "another secret");
}
