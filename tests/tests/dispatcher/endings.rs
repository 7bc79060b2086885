//! Closed connections, which are remembered for a time, and servers that stop or are full.

use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{Frame, PacketType};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters_without;

use super::{CONNECTION_REFUSED, EchoNet, SECOND, answers, close_code, evil, net};

/// A server that has just closed a connection because its client broke a rule.
fn closed(net: &mut EchoNet, port: u16) -> Evil {
    let mut evil = evil(net, port);
    assert!(evil.handshake(net));
    evil.send_frame(net, &Frame::HandshakeDone);
    assert_eq!(close_code(net, &mut evil), Some(0x0a));
    evil
}

#[test]
fn a_closed_connections_close_is_repeated_ever_more_rarely() {
    // RFC 9000 §10.2.1
    let mut net = net(DispatcherConfig::default());
    let mut evil = closed(&mut net, 5000);
    assert_eq!((net.server.stats().sessions, net.server.stats().time_wait), (0, 1));
    let before = evil.datagrams;
    for _ in 0..1000 {
        evil.send_frame(&mut net, &Frame::Ping);
    }
    evil.run(&mut net, SECOND);
    let answers = evil.datagrams - before;
    assert!((5..=12).contains(&answers), "{answers} answers to 1000 packets");
    assert!(evil.unknown.is_empty(), "all of them the close, no reset");
}

#[test]
fn a_closed_connection_is_forgotten_in_the_end() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = closed(&mut net, 5000);
    net.run_for(SECOND * 201);
    evil.send(&mut net, PacketType::OneRtt, &[0; 100]);
    evil.run(&mut net, SECOND);
    assert_eq!(evil.unknown.len(), 1, "a stateless reset");
    assert_eq!(net.server.stats().time_wait, 0);
}

#[test]
fn time_wait_is_bounded() {
    let config = DispatcherConfig { max_time_wait: 3, ..DispatcherConfig::default() };
    let mut net = net(config);
    for port in 5000..5010 {
        closed(&mut net, port);
    }
    assert_eq!(net.server.stats().time_wait, 3);
}

#[test]
fn the_stored_close_amplifies_nothing() {
    // RFC 9000 §10.2.1, §8.1: whoever sends here may have a forged address.
    let mut net = net(DispatcherConfig::default());
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters_without(0x0f), unchanged());
    evil.handshake(&mut net);
    assert!(evil.close().is_some());
    let packet = [&[0x41], evil.peer_id.as_bytes(), &[0; 13]].concat();
    for port in 6000..6010 {
        let sent: usize = answers(&mut net, port, &packet).iter().map(|m| m.data.len()).sum();
        assert!(sent <= 3 * packet.len(), "{sent} bytes for {}", packet.len());
    }
}

#[test]
fn a_stopping_server_refuses_the_new_and_tells_the_old() {
    let mut net = net(DispatcherConfig::default());
    let mut old = evil(&mut net, 5000);
    assert!(old.handshake(&mut net));
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.kick();
    let mut new = evil(&mut net, 5001);
    new.start(&mut net);
    assert_eq!(close_code(&mut net, &mut new), Some(CONNECTION_REFUSED));
    let close = old.wait_for_close(&mut net);
    assert!(close.is_some_and(|close| close.application && close.code == 0), "the default");
    assert!(net.server.is_idle());
}

#[test]
fn a_full_server_refuses() {
    let config = DispatcherConfig { max_sessions: 2, ..DispatcherConfig::default() };
    let mut net = net(config);
    let mut clients: Vec<Evil> = (5000..5003).map(|port| evil(&mut net, port)).collect();
    assert!(clients[0].handshake(&mut net));
    assert!(clients[1].handshake(&mut net));
    clients[2].start(&mut net);
    assert_eq!(close_code(&mut net, &mut clients[2]), Some(CONNECTION_REFUSED));
}

/// A client whose ClientHello is whole but for its end, which it keeps.
fn half_a_hello(net: &mut EchoNet, port: u16) -> (Evil, Vec<u8>) {
    let mut evil = evil(net, port);
    let hello = evil.hello();
    let (start, end) = hello.split_at(hello.len() / 2);
    let frame = |offset, data| bytes_of(&Frame::Crypto { offset, data });
    evil.send(net, PacketType::Initial, &frame(0, start));
    evil.run(net, SECOND / 10);
    (evil, frame(start.len() as u64, end))
}

#[test]
fn who_waits_with_half_a_hello_is_refused_too() {
    // RFC 9000 §5.2.2
    let config = DispatcherConfig { max_sessions: 1, ..DispatcherConfig::default() };
    let mut net = net(config);
    let (mut late, rest) = half_a_hello(&mut net, 5000);
    assert!(evil(&mut net, 5001).handshake(&mut net), "it was the first");
    late.send(&mut net, PacketType::Initial, &rest);
    assert_eq!(close_code(&mut net, &mut late), Some(CONNECTION_REFUSED), "the server is full");

    let mut net = super::net(DispatcherConfig::default());
    let (mut late, rest) = half_a_hello(&mut net, 5003);
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    late.send(&mut net, PacketType::Initial, &rest);
    assert_eq!(close_code(&mut net, &mut late), Some(CONNECTION_REFUSED), "it is stopping");
    assert_eq!(net.server.stats().sessions_created, 0);
}
