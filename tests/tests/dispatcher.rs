//! What a dispatcher does with datagrams that belong to no session: the order of its decisions and
//! its limits, seen from the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::wire::{Frame, PacketHeader, PacketType, Version, VersionNegotiation, parse_header};
use protoquic::{CloseReason, ServerConfig, SessionFactory, Space, StreamId};
use protoquic_tests::evil::{Evil, bytes_of, has_version, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_without};
use protoquic_tests::net::{Link, Mail, Net, server_address};
use protoquic_tests::protocols::{EchoClient, Factory, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);

fn server_config(alpn: &[u8]) -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[alpn]) }
}

fn factories() -> Vec<Box<dyn SessionFactory>> {
    vec![Box::new(echo_factory(server_config(b"echo")))]
}

fn net(config: DispatcherConfig) -> EchoNet {
    Net::with_dispatcher(11, Link::default(), config, factories())
}

fn always_retry() -> DispatcherConfig {
    let address_validation = AddressValidation::Always;
    DispatcherConfig { address_validation, ..DispatcherConfig::default() }
}

fn evil(net: &mut EchoNet, port: u16) -> Evil {
    Evil::client(net, port, b"echo", &parameters(), unchanged())
}

/// What the server answers to this datagram from this port.
fn answers(net: &mut EchoNet, port: u16, datagram: &[u8]) -> Vec<Mail> {
    let address = SocketAddr::from(([10, 0, 7, 7], port));
    net.open_mailbox(address);
    net.inject(address, server_address(), datagram.to_vec());
    net.run_for(SECOND / 10);
    net.take_mail(address)
}

/// A long header of this version, padded to this size.
fn long_header(version: u32, destination: &[u8], source: &[u8], size: usize) -> Vec<u8> {
    let mut packet = vec![0xc3];
    packet.extend(version.to_be_bytes());
    for id in [destination, source] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.resize(size, 0xaa);
    packet
}

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
const CONNECTION_REFUSED: u64 = 0x02;

fn close_code(net: &mut EchoNet, evil: &mut Evil) -> Option<u64> {
    evil.wait_for_close(net).map(|close| close.code)
}

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
    let mut session = EchoClient::new(1, 1000);
    session.close_when_done = false;
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
fn a_first_message_that_is_no_client_hello_is_refused_without_a_session() {
    let mut net = net(DispatcherConfig::default());
    let mut evil = evil(&mut net, 5000);
    evil.send_crypto(&mut net, Space::Initial, &[2, 0, 0, 10]);
    assert_eq!(close_code(&mut net, &mut evil), Some(0x10a));
    assert_eq!(net.server.stats().sessions_created, 0);
}
