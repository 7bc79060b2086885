//! How keys wear out: the limits of RFC 9001 §6.6 and the updates that keep away from them, with
//! keys that wear out early.

use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::wire::{Frame, PacketType};
use protoquic::{ServerConfig, TransportErrorCode};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::limited_suite::limited_provider;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);

/// A server whose keys are good for so many packets.
fn server(confidentiality: u64, integrity: u64) -> Net<EchoClient> {
    let tls = ServerTls {
        provider: Some(limited_provider(confidentiality, integrity)),
        identity: tls::identity(),
        alpn: vec![b"echo".to_vec()],
        client_verifier: None,
        key_log: false,
    };
    let tls = Arc::new(tls.build().expect("the settings are valid"));
    let config = ServerConfig { transport: Arc::new(small_windows()), tls };
    Net::new(3, Link::default(), echo_factory(config))
}

/// Settings with which no round trip holds half of what a key may seal.
fn small_windows() -> Config {
    let mut config = Config::default();
    config.streams.max_data = 40_000;
    config.streams.max_connection_window = 40_000;
    config
}

fn attacker(net: &mut Net<EchoClient>) -> Evil {
    let mut evil = Evil::client(net, 5000, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(net), "{:?}", evil.close());
    evil
}

fn close_code(evil: &Evil) -> Option<TransportErrorCode> {
    evil.close().map(|close| TransportErrorCode(close.code))
}

#[test]
fn keys_are_updated_before_they_have_sealed_too_much() {
    // RFC 9001 §6.6: both ends, in both directions; a key used too often would panic.
    let mut net = server(200, 1000);
    let tls = ClientTls {
        provider: Some(limited_provider(200, 1000)),
        trust: ServerTrust::AnyCertificate,
        alpn: vec![b"echo".to_vec()],
        identity: None,
        key_log: false,
    };
    let tls = Arc::new(tls.build().expect("the settings are valid"));
    let config = Arc::new(small_windows());
    net.connect(config, tls, EchoClient::new(2, 1_000_000), |writer| Box::new(writer));
    let done = net.run_until(SECOND * 60, |net| net.clients[0].session().is_done());
    assert!(done, "{:?}", net.clients[0].session().closed);
    let updates = net.clients[0].host().connection().stats().key_updates;
    assert!(updates >= 10, "{updates} updates");
}

#[test]
fn who_cannot_update_closes_before_the_limit() {
    // RFC 9001 §6.1, §6.6: without an acknowledgement there is no update, and without an update
    // no more packets.
    let mut net = server(60, 1000);
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.acknowledges = false;
    assert!(evil.handshake(&mut net), "{:?}", evil.close());
    for _ in 0..200 {
        evil.send_frame(&mut net, &Frame::Ping);
        evil.run(&mut net, SECOND / 20);
        if evil.close().is_some() {
            break;
        }
    }
    assert_eq!(close_code(&evil), Some(TransportErrorCode::AEAD_LIMIT_REACHED));
}

#[test]
fn forgeries_are_counted_over_all_keys() {
    // RFC 9001 §6.6
    let mut net = server(1 << 20, 12);
    let mut evil = attacker(&mut net);
    let forge = |net: &mut Net<EchoClient>, evil: &mut Evil, count| {
        for _ in 0..count {
            let mut packet = evil.seal(PacketType::OneRtt, &bytes_of(&Frame::Ping), 0);
            let last = packet.len() - 1;
            packet[last] ^= 1;
            evil.send_datagram(net, packet);
        }
        evil.send_frame(net, &Frame::Ping);
        evil.run(net, SECOND / 2);
        close_code(evil)
    };
    assert_eq!(forge(&mut net, &mut evil, 6), None);
    evil.update_keys();
    evil.send_frame(&mut net, &Frame::Ping);
    assert_eq!(forge(&mut net, &mut evil, 6), None, "the limit may be reached");
    let close = forge(&mut net, &mut evil, 1);
    assert_eq!(close, Some(TransportErrorCode::AEAD_LIMIT_REACHED));
}

/// Whether what this packet asks for is answered.
fn is_answered(net: &mut Net<EchoClient>, evil: &mut Evil, packet: Vec<u8>, mark: u8) -> bool {
    evil.send_datagram(net, packet);
    evil.run(net, SECOND / 20);
    evil.has_seen(|frame| *frame == Frame::PathResponse([mark; 8]))
}

fn challenge(mark: u8) -> Vec<u8> {
    bytes_of(&Frame::PathChallenge([mark; 8]))
}

#[test]
fn previous_keys_are_kept_for_three_ptos() {
    // RFC 9001 §6.5. With this link three PTO are between 140 and 260 ms.
    let mut net = server(1 << 20, 1000);
    let mut evil = attacker(&mut net);
    evil.run(&mut net, SECOND / 5); // the server learns the round trip time
    evil.acknowledges = false; // or the server forgets which numbers it has not seen
    let held = [1, 2].map(|mark| evil.seal(PacketType::OneRtt, &challenge(mark), 0));
    evil.update_keys();
    evil.send_frame(&mut net, &Frame::Ping);
    evil.run(&mut net, SECOND / 8);
    let [early, late] = held;
    assert!(is_answered(&mut net, &mut evil, early, 1), "it was only reordered");
    evil.run(&mut net, SECOND / 5);
    assert!(!is_answered(&mut net, &mut evil, late, 2));
    assert_eq!(evil.close(), None);
}
