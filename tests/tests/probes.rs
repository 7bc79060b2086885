//! What probes are sent: those of probe timeouts (RFC 9002 §6.2.4), to a client that hears everything
//! and acknowledges nothing, as if all its packets were lost; and for larger packets (RFC 8899).

use std::sync::Arc;
use std::time::Duration;

use protoquic::ServerConfig;
use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

/// A client whose handshake is complete.
fn one_that_acknowledges_nothing(seed: u64) -> (Net<EchoClient>, Evil) {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(seed, Link::default(), echo_factory(config));
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.acknowledges = false;
    assert!(evil.handshake(&mut net));
    (net, evil)
}

#[test]
fn what_a_client_waits_for_is_not_hidden_behind_what_it_does_not() {
    let (mut net, mut evil) = one_that_acknowledges_nothing(7);
    // A new connection ID left with HANDSHAKE_DONE, and is repeated; so is what came after.
    evil.run(&mut net, Duration::from_secs(5));
    let ids = evil.count(|frame| matches!(frame, Frame::NewConnectionId { .. }));
    let done = evil.count(|frame| matches!(frame, Frame::HandshakeDone));
    let tokens = evil.count(|frame| matches!(frame, Frame::NewToken { .. }));
    assert!(
        ids >= 3 && done >= 3 && tokens >= 3,
        "{ids} IDs, {done} HANDSHAKE_DONE, {tokens} tokens"
    );
}

#[test]
fn a_handshake_alone_is_no_reason_to_probe_for_larger_packets() {
    let (mut net, mut evil) = one_that_acknowledges_nothing(8);
    let large = |evil: &Evil| evil.seen.iter().any(|packet| packet.payload.len() > 1200);
    evil.run(&mut net, Duration::from_secs(5));
    assert!(evil.count(|frame| matches!(frame, Frame::HandshakeDone)) > 0);
    assert!(!large(&evil));
    evil.acknowledges = true;
    evil.run(&mut net, Duration::from_secs(20));
    assert!(large(&evil), "once it goes on");
}
