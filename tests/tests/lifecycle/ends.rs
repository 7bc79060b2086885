//! How connections end: idle, unanswered, closed by either end (RFC 9000 §10).

use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic::{ApplicationError, CloseReason, Space};
use protoquic_tests::evil::Evil;
use protoquic_tests::evil_hello::parameters;

use super::{SECOND, end, established, evil_server, lonely_client};

#[test]
fn the_smaller_idle_timeout_ends_the_connection_in_silence() {
    // RFC 9000 §10.1
    let mut net = established(Config { idle_timeout: SECOND * 5, ..Config::default() });
    net.run_for(SECOND * 4);
    assert_eq!((end(&net), net.server.is_idle()), (None, false));
    net.run_for(SECOND * 2);
    assert_eq!(end(&net), Some(&CloseReason::IdleTimeout));
    assert!(net.server.is_idle(), "the server heard of the client's timeout");
}

#[test]
fn keep_alive_keeps_both_ends() {
    let mut net = established(Config { keep_alive: Some(SECOND * 10), ..Config::default() });
    net.run_for(SECOND * 600);
    assert_eq!((end(&net), net.server.is_idle()), (None, false));
}

#[test]
fn nobody_answers_and_the_handshake_times_out() {
    let (mut net, _) = lonely_client();
    net.run_for(SECOND * 9);
    assert_eq!(end(&net), None);
    net.run_for(SECOND * 2);
    assert_eq!(end(&net), Some(&CloseReason::HandshakeTimeout));
}

#[test]
fn a_clients_close_reaches_the_server() {
    let (mut net, mut evil) = evil_server();
    let now = net.now;
    net.clients[0].close(now, ApplicationError(77), "enough");
    net.kick();
    let close = evil.wait_for_close(&mut net).expect("it says goodbye");
    assert_eq!((close.application, close.code, close.space), (true, 77, Space::Application));
}

#[test]
fn a_close_before_the_handshake_shows_nothing_of_the_application() {
    // RFC 9000 §10.2.3
    let (mut net, address) = lonely_client();
    let mut evil = Evil::server(&mut net, address, b"echo", &parameters());
    let now = net.now;
    net.clients[0].close(now, ApplicationError(77), "secret");
    net.kick();
    let close = evil.wait_for_close(&mut net).expect("it says goodbye");
    assert_eq!((close.application, close.code), (false, 0x0c));
    let secret = |packet: &[u8]| packet.windows(6).any(|bytes| bytes == b"secret");
    assert!(!evil.seen.iter().any(|packet| secret(&packet.payload)));
}

#[test]
fn a_servers_close_reaches_its_clients() {
    let mut net = established(Config::default());
    let now = net.now;
    net.server.close_all(now, ApplicationError(5), "going");
    net.kick();
    net.run_for(SECOND);
    let Some(CloseReason::PeerApplication { code, reason }) = end(&net) else {
        panic!("{:?}", end(&net));
    };
    assert_eq!((*code, &reason[..]), (ApplicationError(5), &b"going"[..]));
}

#[test]
fn a_draining_client_is_silent() {
    // RFC 9000 §10.2.2
    let (mut net, mut evil) = evil_server();
    evil.send(&mut net, protoquic::wire::PacketType::OneRtt, &[0x1c, 0, 0, 0]);
    net.run_for(SECOND / 50);
    net.take_mail(evil.address);
    let before = evil.datagrams;
    for _ in 0..20 {
        evil.send_frame(&mut net, &Frame::Ping);
    }
    evil.run(&mut net, SECOND * 5);
    assert_eq!(evil.datagrams, before);
    assert!(matches!(end(&net), Some(CloseReason::PeerTransport(_))));
}

#[test]
fn a_closing_client_repeats_itself_ever_more_rarely() {
    // RFC 9000 §10.2.1
    let (mut net, mut evil) = evil_server();
    let now = net.now;
    net.clients[0].close(now, ApplicationError(0), "");
    net.kick();
    let before = evil.datagrams;
    for _ in 0..100 {
        evil.send_frame(&mut net, &Frame::Ping);
        evil.run(&mut net, SECOND / 2000);
    }
    evil.run(&mut net, SECOND / 25);
    let count = evil.datagrams - before;
    assert!((2..=9).contains(&count), "{count} closes for 100 packets");
}
