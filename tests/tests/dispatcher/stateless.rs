//! Datagrams that are answered without a session, or not at all: reflectors, unknown versions,
//! Initials that are none, packets of connections that nobody knows.

use std::net::SocketAddr;

use protoquic::CloseReason;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{Frame, PacketHeader, PacketType, Version, VersionNegotiation, parse_header};
use protoquic_tests::evil::{bytes_of, has_version};
use protoquic_tests::net::{Mail, server_address};
use protoquic_tests::protocols::EchoClient;

use super::{SECOND, answers, evil, factories, long_header, net};

fn negotiation(mail: &Mail) -> VersionNegotiation<'_> {
    match parse_header(&mail.data, 0) {
        Ok(PacketHeader::VersionNegotiation(packet)) => packet,
        other => panic!("a Version Negotiation packet, not {other:?}"),
    }
}

#[test]
fn reflectors_ports_get_no_answer() {
    let mut net = net(DispatcherConfig::default());
    let packet = long_header(0x1234_5678, &[1; 8], &[2; 8], 1200);
    for port in [0, 7, 19, 53, 123, 161, 389, 1900, 5353, 11211] {
        assert!(answers(&mut net, port, &packet).is_empty(), "port {port}");
    }
    assert_eq!(answers(&mut net, 54, &packet).len(), 1);
}

#[test]
fn unreadable_datagrams_get_no_answer() {
    let mut net = net(DispatcherConfig::default());
    let mut dropped = 0;
    let cut_off = long_header(1, &[1; 8], &[2; 8], 6 + 5);
    let too_long_for_version_1 = long_header(1, &[1; 21], &[2; 8], 1200);
    for datagram in [&[][..], &[0x40], &[0x40, 1, 2, 3], &[0xc0, 0, 0], &cut_off, &[0; 1200]] {
        assert!(answers(&mut net, 5000, datagram).is_empty(), "{datagram:?}");
        dropped += 1;
    }
    assert!(answers(&mut net, 5000, &too_long_for_version_1).is_empty());
    assert_eq!(net.server.stats().dropped, dropped + 1);
}

#[test]
fn an_unknown_version_is_negotiated_in_full_datagrams_only() {
    // RFC 9000 §6.1
    let mut net = net(DispatcherConfig::default());
    let small = long_header(0xff00_0001, &[1; 8], &[2; 5], 1199);
    assert!(answers(&mut net, 5000, &small).is_empty());
    let packet = long_header(0xff00_0001, &[1; 8], &[2; 5], 1200);
    let mail = answers(&mut net, 5000, &packet);
    assert_eq!(mail.len(), 1);
    let answer = negotiation(&mail[0]);
    assert_eq!((answer.destination, answer.source), (&[2; 5][..], &[1; 8][..]));
    assert!(answer.versions().any(|version| version == Version::V1));
    assert!(answer.versions().any(Version::is_reserved), "RFC 9000 §6.3");
}

#[test]
fn ids_that_only_other_versions_may_have_are_mirrored() {
    // RFC 8999 §5.1
    let mut net = net(DispatcherConfig::default());
    let mail = answers(&mut net, 5000, &long_header(0xff00_0001, &[1; 255], &[2; 255], 1200));
    let answer = negotiation(&mail[0]);
    assert_eq!((answer.destination, answer.source), (&[2; 255][..], &[1; 255][..]));
}

#[test]
fn the_interop_runners_wait_packet_is_answered() {
    let mut net = net(DispatcherConfig::default());
    let mail = answers(&mut net, 5000, &long_header(0x5741_4954, &[], &[], 1200));
    assert_eq!(mail.len(), 1);
    assert!(has_version(&mail[0].data, 0));
}

#[test]
fn version_negotiation_is_never_answered() {
    // RFC 9000 §6.1
    let mut net = net(DispatcherConfig::default());
    assert!(answers(&mut net, 5000, &long_header(0, &[1; 8], &[2; 8], 1200)).is_empty());
    // 18 bytes of header, and whole versions after it.
    assert!(answers(&mut net, 5000, &long_header(0, &[1; 8], &[2; 8], 1203)).is_empty());
}

#[test]
fn version_negotiation_is_limited_per_second() {
    let config = DispatcherConfig { max_stateless_per_second: 5, ..DispatcherConfig::default() };
    let mut net = net(config);
    let address = SocketAddr::from(([10, 0, 7, 7], 5000));
    net.open_mailbox(address);
    for _ in 0..100 {
        let packet = long_header(0xff00_0001, &[1; 8], &[2; 8], 1200);
        net.inject(address, server_address(), packet);
    }
    net.run_for(SECOND / 10);
    assert_eq!(net.take_mail(address).len(), 5);
}

#[test]
fn a_small_initial_is_dropped() {
    // RFC 9000 §14.1
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let hello = bytes_of(&Frame::Crypto { offset: 0, data: &evil.hello() });
    let packet = evil.seal_to(PacketType::Initial, &hello, 0, 1199);
    assert_eq!(packet.len(), 1199);
    evil.send_datagram(&mut net, packet);
    evil.run(&mut net, SECOND);
    assert_eq!((evil.datagrams, net.server.stats().sessions_created), (0, 0));
    assert_eq!(net.server.stats().dropped, 1);
}

#[test]
fn an_initial_to_a_short_destination_is_dropped() {
    // RFC 9000 §7.2
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let short = protoquic::ConnectionId::new(&[1; 7]).unwrap();
    evil.redirect(short, Vec::new());
    evil.start(&mut net);
    evil.run(&mut net, SECOND);
    assert_eq!((evil.datagrams, net.server.stats().sessions_created), (0, 0));
}

#[test]
fn forged_initials_make_no_session() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    let mut packet = evil.seal(PacketType::Initial, &[1], 0);
    packet[1199] ^= 1;
    evil.send_datagram(&mut net, packet);
    evil.run(&mut net, SECOND);
    // Nor is it kept for a session to come.
    let stats = net.server.stats();
    assert_eq!((evil.datagrams, stats.sessions_created, stats.dropped), (0, 0, 1));
}

#[test]
fn an_unknown_connection_is_reset_with_less_than_it_sent() {
    // RFC 9000 §10.3, §10.3.3
    let mut net = net(DispatcherConfig::default());
    for size in [22, 23, 30, 42, 43, 44, 100, 1200] {
        let mail = answers(&mut net, 5000, &vec![0x41; size]);
        assert_eq!(mail.len(), 1, "{size} bytes");
        let len = mail[0].data.len();
        assert!((21..size).contains(&len), "{len} bytes for {size}");
        assert_eq!(mail[0].data[0] & 0xc0, 0x40, "it looks like a short header");
    }
    for size in 1..22 {
        assert!(answers(&mut net, 5000, &vec![0x41; size]).is_empty(), "{size} bytes");
    }
}

#[test]
fn resets_are_limited_per_second() {
    let config = DispatcherConfig { max_stateless_per_second: 5, ..DispatcherConfig::default() };
    let mut net = net(config);
    let address = SocketAddr::from(([10, 0, 7, 7], 5000));
    net.open_mailbox(address);
    (0..100).for_each(|_| net.inject(address, server_address(), vec![0x41; 100]));
    net.run_for(SECOND / 10);
    assert_eq!(net.take_mail(address).len(), 5);
}

#[test]
fn a_handshake_packet_of_nobody_gets_no_answer() {
    let mut net = net(DispatcherConfig::default());
    let mut packet = long_header(1, &[1; 8], &[2; 8], 1200);
    packet[0] = 0xe3;
    packet[23..25].copy_from_slice(&[0x44, 0x97]); // the Length: to the end
    assert!(answers(&mut net, 5000, &packet).is_empty());
}

#[test]
fn a_client_learns_that_its_server_has_lost_its_state() {
    // RFC 9000 §10.3
    let mut net = net(DispatcherConfig::default());
    let session = EchoClient::patient(1, 1000);
    net.connect_simply(b"echo", session);
    assert!(net.run_until(SECOND * 5, |net| net.clients[0].session().is_done()));
    net.run_for(SECOND);
    net.restart_server(DispatcherConfig::default(), factories());
    let now = net.now;
    net.clients[0].enter(now, |_, cx| cx.connection().ping());
    net.kick();
    net.run_for(SECOND * 5);
    assert_eq!(net.clients[0].close_reason(), Some(&CloseReason::StatelessReset));
}
