//! ClientHellos: whom they are for, and those that come in pieces.

use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{Frame, PacketType};
use protoquic::{CloseReason, SessionFactory, Space, StreamId};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, Factory};

use super::{EchoNet, SECOND, close_code, evil, factories, net, server_config};

#[test]
fn the_factory_is_chosen_by_protocol() {
    let other: Box<dyn SessionFactory> =
        Box::new(Factory::new(&[b"other", b"more"], server_config(b"other"), |connection| {
            Box::new(protoquic::SessionHost::new(connection, EchoClient::new(0, 0)))
        }));
    let mut all = factories();
    all.push(other);
    let mut net: EchoNet =
        Net::with_dispatcher(1, Link::default(), DispatcherConfig::default(), all);
    let mut other = Evil::client(&mut net, 5000, b"other", &parameters(), unchanged());
    assert!(other.handshake(&mut net));
    // EchoClient refuses streams; Echo answers on them.
    let id = StreamId::from_raw(0);
    let request = Frame::Stream { id, offset: 0, fin: true, data: b"hello" };
    other.send_frame(&mut net, &request);
    other.run(&mut net, SECOND / 2);
    assert!(!other.has_seen(|frame| matches!(frame, Frame::Stream { data: b"hello", .. })));
    let mut echo = evil(&mut net, 5001);
    assert!(echo.handshake(&mut net));
    echo.send_frame(&mut net, &request);
    echo.run(&mut net, SECOND / 2);
    assert!(echo.has_seen(|frame| matches!(frame, Frame::Stream { data: b"hello", .. })));
}

#[test]
fn a_client_hears_that_there_is_no_protocol_in_common() {
    // RFC 9001 §8.1
    let mut net = net(DispatcherConfig::default());
    net.connect_simply(b"unheard-of", EchoClient::new(1, 10));
    net.run_for(SECOND);
    let Some(CloseReason::PeerTransport(error)) = net.clients[0].close_reason() else {
        panic!("{:?}", net.clients[0].close_reason());
    };
    assert_eq!(error.code().0, 0x178);
}

/// The hello in pieces of so many bytes, as CRYPTO frames.
fn pieces(hello: &[u8], size: usize) -> Vec<Vec<u8>> {
    let frame = |(n, data)| bytes_of(&Frame::Crypto { offset: (n * size) as u64, data });
    hello.chunks(size).enumerate().map(frame).collect()
}

#[test]
fn a_shuffled_client_hello_in_several_datagrams_is_put_together() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let mut frames = pieces(&evil.hello(), 20);
    frames.reverse();
    for part in frames.chunks(4) {
        evil.send(&mut net, PacketType::Initial, &part.concat());
    }
    assert!(evil.run_until(&mut net, SECOND, Evil::is_confirmed));
}

#[test]
fn half_of_the_places_are_kept_for_whole_client_hellos() {
    let config = DispatcherConfig { max_buffered_connections: 10, ..DispatcherConfig::default() };
    let mut net = net(config);
    for port in 5000..5020 {
        let mut half = evil(&mut net, port);
        let frame = pieces(&half.hello(), 100).swap_remove(0);
        half.send(&mut net, PacketType::Initial, &frame);
    }
    net.run_for(SECOND / 10);
    assert_eq!(net.server.stats().dropped, 15, "five wait, as many places are kept");
    assert!(evil(&mut net, 6000).handshake(&mut net), "a whole hello has room");
    net.run_for(SECOND * 11);
    let mut late = evil(&mut net, 6001);
    for frame in pieces(&late.hello(), 150) {
        late.send(&mut net, PacketType::Initial, &frame);
    }
    assert!(late.run_until(&mut net, SECOND, Evil::is_confirmed), "what waited too long is gone");
}

#[test]
fn packets_that_wait_for_a_hello_are_bounded() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let frames = pieces(&evil.hello(), 100);
    evil.send(&mut net, PacketType::Initial, &frames[0]);
    for _ in 0..1000 {
        evil.send(&mut net, PacketType::Initial, &[1]);
    }
    evil.run(&mut net, SECOND / 10);
    assert_eq!(net.server.stats().sessions_created, 0);
}

#[test]
fn the_rest_of_a_hello_in_a_small_datagram_is_dropped() {
    // RFC 9000 §14.1
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let frames = pieces(&evil.hello(), 200);
    evil.send(&mut net, PacketType::Initial, &frames[0]);
    let rest = frames[1..].concat();
    let small = evil.seal_to(PacketType::Initial, &rest, 0, 0);
    assert!(small.len() < 1200);
    evil.send_datagram(&mut net, small);
    evil.run(&mut net, SECOND / 10);
    assert_eq!((net.server.stats().sessions_created, net.server.stats().dropped), (0, 1));
    evil.send(&mut net, PacketType::Initial, &rest);
    assert!(evil.run_until(&mut net, SECOND, Evil::is_confirmed));
}

#[test]
fn what_finds_no_room_beside_a_hello_is_not_acknowledged() {
    // RFC 9000 §13.1
    let config = DispatcherConfig { max_buffered_packets: 2, ..DispatcherConfig::default() };
    let mut net = net(config);
    let mut evil = evil(&mut net, 5000);
    evil.acknowledges = false;
    for frame in &pieces(&evil.hello(), 50)[..3] {
        evil.send(&mut net, PacketType::Initial, frame);
    }
    evil.run(&mut net, SECOND / 10);
    let acked = evil.has_seen(|frame| match frame {
        Frame::Ack(ack) => ack.ranges().any(|range| range.contains(&2)),
        _ => false,
    });
    assert!(!acked && evil.has_seen(|frame| matches!(frame, Frame::Ack(_))));
}

#[test]
fn a_first_message_that_is_no_client_hello_is_refused_without_a_session() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    evil.send_crypto(&mut net, Space::Initial, &[2, 0, 0, 10]);
    assert_eq!(close_code(&mut net, &mut evil), Some(0x10a));
    assert_eq!(net.server.stats().sessions_created, 0);
}
