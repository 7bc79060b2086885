//! Address validation: Retry and its tokens, tokens for the next connection (RFC 9000 §8.1).

use std::time::Duration;

use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::wire::Frame;
use protoquic_tests::protocols::EchoClient;

use super::{EchoNet, SECOND, close_code, evil, net};

fn always_retry() -> DispatcherConfig {
    let address_validation = AddressValidation::Always;
    DispatcherConfig { address_validation, ..DispatcherConfig::default() }
}

#[test]
fn a_retry_costs_a_round_trip_and_no_session() {
    // RFC 9000 §8.1.2
    let mut net = net(always_retry());
    net.connect_simply(b"echo", EchoClient::new(1, 1000));
    assert!(net.run_until(SECOND * 5, |net| net.clients[0].session().is_done()));
    let time = net.now.saturating_since(protoquic::Time::from_millis(1000));
    assert_eq!(time, Duration::from_millis(3 * 20), "Retry, handshake, echo");
    assert_eq!(net.server.stats().sessions_created, 1);
}

#[test]
fn no_token_no_session() {
    let mut net = net(always_retry());
    let mut evil = evil(&mut net, 5000);
    evil.follows_retry = false;
    evil.start(&mut net);
    evil.run(&mut net, SECOND);
    assert_eq!((evil.retries.len(), net.server.stats().sessions_created), (1, 0));
    assert!(evil.received_bytes < 1200, "a Retry is small");
}

#[test]
fn a_retry_comes_only_under_load() {
    let config = DispatcherConfig {
        address_validation: AddressValidation::UnderLoad { handshakes: 3 },
        ..DispatcherConfig::default()
    };
    let mut net = net(config);
    let mut retries = 0;
    for port in 5000..5010 {
        let mut evil = evil(&mut net, port);
        evil.follows_retry = false;
        evil.acknowledges = false;
        evil.start(&mut net);
        // Its Finished never comes: the server's answer is not read.
        net.run_for(SECOND / 20);
        evil.follows_retry = false;
        let mail = net.take_mail(evil.address);
        retries += usize::from(mail[0].data.len() < 300);
    }
    assert_eq!((net.server.stats().handshaking, retries), (3, 7));
}

/// A Retry's source and token, got from this port.
fn retry(net: &mut EchoNet, port: u16) -> (protoquic::ConnectionId, Vec<u8>) {
    let mut evil = evil(net, port);
    evil.follows_retry = false;
    evil.start(net);
    evil.run(net, SECOND / 10);
    evil.retries.pop().expect("a Retry came")
}

const INVALID_TOKEN: u64 = 0x0b;

#[test]
fn a_retry_token_holds_for_its_address_only() {
    // RFC 9000 §8.1.4
    let mut net = net(always_retry());
    let (source, token) = retry(&mut net, 5000);
    let mut other = evil(&mut net, 5001);
    other.redirect(source, token);
    other.start(&mut net);
    assert_eq!(close_code(&mut net, &mut other), Some(INVALID_TOKEN));
    assert_eq!(net.server.stats().sessions_created, 0);
}

#[test]
fn a_retry_token_holds_for_its_connection_id_only() {
    let mut net = net(always_retry());
    let (_, token) = retry(&mut net, 5000);
    let mut again = evil(&mut net, 5000);
    again.redirect(protoquic::ConnectionId::new(&[9; 8]).unwrap(), token);
    again.start(&mut net);
    assert_eq!(close_code(&mut net, &mut again), Some(INVALID_TOKEN));
}

#[test]
fn a_retry_token_expires() {
    let mut net = net(always_retry());
    let (source, token) = retry(&mut net, 5000);
    net.pass_wall_time(SECOND * 60);
    let mut late = evil(&mut net, 5000);
    late.redirect(source, token);
    late.start(&mut net);
    assert_eq!(close_code(&mut net, &mut late), Some(INVALID_TOKEN));
}

#[test]
fn a_token_that_is_not_ours_is_as_good_as_none() {
    // RFC 9000 §8.1.3
    let mut net = net(always_retry());
    let mut evil = evil(&mut net, 5000);
    evil.token = vec![7; 80];
    assert!(evil.handshake(&mut net), "after a Retry");
    assert_eq!(evil.retries.len(), 1);
}

#[test]
fn a_new_token_spares_the_retry_at_the_same_address() {
    // RFC 9000 §8.1.3
    let mut net = net(always_retry());
    let mut first = evil(&mut net, 5000);
    assert!(first.handshake(&mut net));
    first.run(&mut net, SECOND / 10);
    let token = first.seen.iter().find_map(|packet| {
        protoquic::wire::FrameIter::new(&packet.payload).flatten().find_map(|frame| match frame {
            Frame::NewToken { token } => Some(token.to_vec()),
            _ => None,
        })
    });
    let token = token.expect("the server gave a token");
    let mut second = evil(&mut net, 5001);
    second.token.clone_from(&token);
    assert!(second.handshake(&mut net));
    assert_eq!(second.retries.len(), 0, "the port may change, the address not");
    net.pass_wall_time(SECOND * 86_400 * 30);
    let mut late = evil(&mut net, 5002);
    late.token = token;
    assert!(late.handshake(&mut net));
    assert_eq!(late.retries.len(), 1);
}
