//! What a client makes of Retry packets (RFC 9000 §17.2.5).

use std::net::SocketAddr;

use protoquic::crypto::retry_integrity_tag;
use protoquic::wire::{PacketHeader, Version, parse_header, write_retry};
use protoquic::{ConnectionId, SeededRandom};
use protoquic_tests::evil::Evil;
use protoquic_tests::evil_hello::parameters_with;
use protoquic_tests::net::Mail;

use super::{EchoNet, SECOND, lonely_client};

struct Attempt {
    net: EchoNet,
    address: SocketAddr,
    from: SocketAddr,
    local: ConnectionId,
    original: ConnectionId,
}

fn ids(mail: &Mail) -> (ConnectionId, ConnectionId, Vec<u8>) {
    let Ok(PacketHeader::Long(header)) = parse_header(&mail.data, 0) else {
        panic!("a long header");
    };
    (header.destination, header.source, header.token.to_vec())
}

fn attempt() -> Attempt {
    let (mut net, address) = lonely_client();
    let mail = net.take_mail(address).swap_remove(0);
    let (original, local, _) = ids(&mail);
    Attempt { net, address, from: mail.from, local, original }
}

impl Attempt {
    /// Sends a Retry; the destination and the token of what the client sends soon after.
    fn retry(
        &mut self,
        source: &ConnectionId,
        token: &[u8],
        spoil: u8,
    ) -> Option<(ConnectionId, Vec<u8>)> {
        let mut out = Vec::new();
        let random = &mut SeededRandom::new(1);
        write_retry(&mut out, Version::V1, &self.local, source, token, random);
        let tag = retry_integrity_tag(Version::V1, &self.original, &out);
        out.extend(tag);
        *out.last_mut().expect("the tag") ^= spoil;
        self.net.inject(self.address, self.from, out);
        self.net.run_for(SECOND / 20);
        let mail = self.net.take_mail(self.address);
        mail.last().map(|mail| (ids(mail).0, ids(mail).2))
    }
}

fn id(n: u8) -> ConnectionId {
    ConnectionId::new(&[n; 8]).expect("8 bytes")
}

#[test]
fn is_answered_with_its_token_to_its_source() {
    // RFC 9000 §17.2.5.2
    assert_eq!(attempt().retry(&id(7), b"token", 0), Some((id(7), b"token".to_vec())));
}

#[test]
fn with_a_bad_tag_is_ignored() {
    assert_eq!(attempt().retry(&id(7), b"token", 1), None);
}

#[test]
fn from_the_clients_own_choice_of_id_is_ignored() {
    // RFC 9000 §17.2.5.1
    let mut attempt = attempt();
    let original = attempt.original;
    assert_eq!(attempt.retry(&original, b"token", 0), None);
}

#[test]
fn is_followed_once() {
    // RFC 9000 §17.2.5.2
    let mut attempt = attempt();
    assert!(attempt.retry(&id(7), b"token", 0).is_some());
    let other = Some((id(8), b"other".to_vec()));
    assert_ne!(attempt.retry(&id(8), b"other", 0), other);
    attempt.original = id(7);
    assert_ne!(attempt.retry(&id(8), b"other", 0), other);
}

#[test]
fn that_the_parameters_deny_ends_the_handshake() {
    // RFC 9000 §7.3: an attacker made the Retry, the server knows nothing of it.
    let mut attempt = attempt();
    assert!(attempt.retry(&id(7), b"token", 0).is_some());
    attempt.net.run_for(SECOND);
    let address = attempt.address;
    let mut net = attempt.net;
    let parameters = parameters_with(0, attempt.original.as_bytes());
    let mut evil = Evil::server(&mut net, address, b"echo", &parameters);
    let close = evil.wait_for_close(&mut net).expect("the client notices");
    assert_eq!(close.code, 0x08);
}
