//! What the dispatcher makes of datagrams that belong to no session, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::{CloseReason, Config, RandomGenerator, SeededRandom, ServerConfig};
use protoquic_tests::net::{Link, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

fn config() -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) }
}

fn net(limits: DispatcherConfig) -> Net<EchoClient> {
    let factories: Vec<Box<dyn protoquic::SessionFactory>> = vec![Box::new(echo_factory(config()))];
    Net::with_dispatcher(1, Link::default(), limits, factories)
}

fn stranger(port: u16) -> SocketAddr {
    ([203, 0, 113, 7], port).into()
}

/// What a stranger is answered, if anything.
fn answers(net: &mut Net<EchoClient>, port: u16, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    net.strays.clear();
    net.inject(stranger(port), server_address(), datagram);
    net.run_for(Duration::from_millis(100));
    assert!(net.strays.iter().all(|(to, _)| *to == stranger(port)));
    net.strays.drain(..).map(|(_, data)| data).collect()
}

/// A long header of this version with these connection IDs, in a datagram of this size.
fn long_header(version: u32, destination: &[u8], source: &[u8], size: usize) -> Vec<u8> {
    let mut datagram = vec![0xc0];
    datagram.extend(version.to_be_bytes());
    for id in [destination, source] {
        datagram.push(id.len() as u8);
        datagram.extend(id);
    }
    datagram.resize(size, 0);
    datagram
}

fn noise(seed: u64, first: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes[0] = first;
    bytes
}

#[test]
fn an_unknown_version_is_answered_with_ours_if_the_datagram_is_large() {
    // RFC 9000 §6.1
    let mut net = net(DispatcherConfig::default());
    let answer = answers(&mut net, 4000, long_header(0x1a2a_3a4a, b"to", b"from", 1200));
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0][1..5], [0; 4], "a Version Negotiation packet");
    assert_eq!(&answer[0][5..13], b"\x04from\x02to", "with the IDs exchanged");
    assert!(answer[0].chunks(4).any(|_| answer[0].windows(4).any(|word| word == [0, 0, 0, 1])));
    assert!(answers(&mut net, 4000, long_header(0x1a2a_3a4a, b"to", b"from", 1199)).is_empty());
    // The interop runner's way to see whether a server is up.
    assert_eq!(answers(&mut net, 4000, long_header(0x5741_4954, b"", b"", 1207)).len(), 1);
    // RFC 9000 §6.1: never to a Version Negotiation packet.
    assert!(answers(&mut net, 4000, long_header(0, b"to", b"from", 1200)).is_empty());
}

#[test]
fn reflectors_and_rubbish_get_nothing() {
    let mut net = net(DispatcherConfig::default());
    for port in [0, 17, 19, 53, 111, 123, 137, 138, 161, 389, 500, 11211] {
        let datagram = long_header(0x1a2a_3a4a, b"to", b"from", 1200);
        assert!(answers(&mut net, port, datagram).is_empty(), "port {port}");
    }
    for len in 1..1300 {
        // Long headers of version 1 whose protection is wrong.
        let mut datagram = noise(len as u64, 0xc0, len);
        if let Some(version) = datagram.get_mut(1..5) {
            version.copy_from_slice(&[0, 0, 0, 1]);
        }
        assert!(answers(&mut net, 4000, datagram).is_empty(), "{len} bytes");
    }
    assert_eq!(net.server.stats().sessions_created, 0);
}

#[test]
fn unknown_short_headers_get_a_smaller_reset_and_not_without_limit() {
    // RFC 9000 §10.3, §10.3.3
    let limits = DispatcherConfig { max_stateless_per_second: 10, ..DispatcherConfig::default() };
    let mut net = net(limits);
    for len in [22, 30, 43, 100, 1200] {
        let answer = answers(&mut net, 4000, noise(len as u64, 0x40, len));
        assert_eq!(answer.len(), 1, "{len} bytes");
        assert!(answer[0].len() < len && answer[0].len() >= 21, "{} for {len}", answer[0].len());
        assert_eq!(answer[0][0] & 0xc0, 0x40, "it looks like a short header");
    }
    assert!(answers(&mut net, 4000, noise(1, 0x40, 21)).is_empty(), "too short to be answered");
    net.run_for(Duration::from_secs(1));
    let flood: usize = (0..9).map(|n| answers(&mut net, 4000, noise(n, 0x40, 100)).len()).sum();
    net.run_for(Duration::from_millis(1));
    assert!(flood <= 10);
}

#[test]
fn a_client_recognises_the_reset_of_a_server_that_lost_its_state() {
    // RFC 9000 §10.3.1
    let mut net = net(DispatcherConfig::default());
    net.connect_simply(b"echo", EchoClient::patient(1, 100));
    assert!(net.run_until(Duration::from_secs(5), |net| net.clients[0].session().is_done()));
    net.server.forget_everything();
    let now = net.now;
    net.clients[0].enter(now, |_, cx| cx.connection().ping());
    net.kick();
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.clients[0].close_reason(), Some(&CloseReason::StatelessReset));
}

#[test]
fn a_retry_proves_the_address_and_costs_a_round_trip() {
    // RFC 9000 §8.1.2
    let address_validation = AddressValidation::Always;
    let limits = DispatcherConfig { address_validation, ..DispatcherConfig::default() };
    let mut net = net(limits);
    let start = net.now;
    net.connect_simply(b"echo", EchoClient::new(1, 100));
    assert!(net.run_until(Duration::from_secs(5), |net| net.clients[0].session().is_done()));
    assert_eq!((net.now - start).as_millis(), 60, "three round trips of 20 ms");
}

#[test]
fn a_server_that_stops_drains_the_old_and_refuses_the_new() {
    let mut net = net(DispatcherConfig::default());
    net.connect_simply(b"echo", EchoClient::new(1, 100));
    assert!(net.run_until(Duration::from_secs(5), |net| net.clients[0].session().is_done()));
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.connect_simply(b"echo", EchoClient::new(1, 100));
    net.run_for(Duration::from_secs(1));
    let Some(CloseReason::PeerTransport(error)) = net.clients[1].close_reason() else {
        panic!("{:?}", net.clients[1].close_reason())
    };
    assert_eq!(error.code().0, 0x02, "CONNECTION_REFUSED");
    assert!(net.server.is_idle());
}

#[test]
fn an_idle_connection_is_forgotten_by_both() {
    // RFC 9000 §10.1
    let mut net = net(DispatcherConfig::default());
    let session = EchoClient::patient(1, 100);
    net.connect_simply(b"echo", session);
    net.run_for(Duration::from_secs(29));
    assert!(net.clients[0].close_reason().is_none() && !net.server.is_idle());
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.clients[0].close_reason(), Some(&CloseReason::IdleTimeout));
    assert!(net.server.is_idle());
}

#[test]
fn keep_alive_keeps_a_silent_connection() {
    let mut net = net(DispatcherConfig::default());
    let config = Config { keep_alive: Some(Duration::from_secs(10)), ..Config::default() };
    let session = EchoClient::patient(1, 100);
    net.connect(Arc::new(config), tls::client(&[b"echo"]), session, |writer| Box::new(writer));
    net.run_for(Duration::from_mins(10));
    assert!(net.clients[0].close_reason().is_none() && !net.server.is_idle());
}

#[test]
fn without_a_server_the_handshake_ends_in_time() {
    let mut net = net(DispatcherConfig::default());
    net.link.loss = 1000;
    net.connect_simply(b"echo", EchoClient::new(1, 100));
    net.run_for(Duration::from_secs(11));
    assert_eq!(net.clients[0].close_reason(), Some(&CloseReason::HandshakeTimeout));
}

#[test]
fn the_packet_size_rises_to_what_the_path_carries() {
    // RFC 9000 §14.3
    for (mtu, expected) in [(1500, 1452..=1452), (1400, 1360..=1400), (1200, 1200..=1200)] {
        let link = Link { mtu, ..Link::default() };
        let mut net = Net::new(1, link, echo_factory(config()));
        let session = EchoClient::patient(1, 1_000_000);
        net.connect_simply(b"echo", session);
        net.run_for(Duration::from_secs(20));
        let size = net.clients[0].host().connection().stats().packet_size;
        assert!(expected.contains(&size), "{size} on a path of {mtu}");
    }
}
