//! What probe timeouts send (RFC 9002 §6.2.4), to a client that hears everything and acknowledges
//! nothing, as if all its packets were lost.

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

#[test]
fn what_a_client_waits_for_is_not_hidden_behind_what_it_does_not() {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net: Net<EchoClient> = Net::new(7, Link::default(), echo_factory(config));
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.acknowledges = false;
    assert!(evil.handshake(&mut net));
    // New connection IDs left before HANDSHAKE_DONE did, and are repeated; so is what came after.
    evil.run(&mut net, Duration::from_secs(5));
    let ids = evil.count(|frame| matches!(frame, Frame::NewConnectionId { .. }));
    let done = evil.count(|frame| matches!(frame, Frame::HandshakeDone));
    let tokens = evil.count(|frame| matches!(frame, Frame::NewToken { .. }));
    assert!(
        ids >= 6 && done >= 3 && tokens >= 3,
        "{ids} IDs, {done} HANDSHAKE_DONE, {tokens} tokens"
    );
}
