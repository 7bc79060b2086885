//! A dispatcher to which many clients come at once: sessions are made in the order of arrival, a
//! bounded number in each turn, and those that are there go on meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::readers::TimerWheel;
use protoquic::wire::destination_bytes;
use protoquic::{
    ConnectionId, Ecn, EventLoopVisitor, PacketSink, PathAddress, ReceivedPacket, ServerConfig,
    SessionFactory,
};
use protoquic_tests::net::{Link, Mail, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);
const CLIENTS: usize = 30;
const EACH_TURN: usize = 4;

fn net(seed: u64) -> EchoNet {
    let server =
        ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) };
    let factories: Vec<Box<dyn SessionFactory>> = vec![Box::new(echo_factory(server))];
    let config =
        DispatcherConfig { max_sessions_per_turn: EACH_TURN, ..DispatcherConfig::default() };
    Net::with_dispatcher(seed, Link::default(), config, factories)
}

/// The first datagrams of so many clients, and what each is addressed to.
fn first_flights(net: &mut EchoNet) -> Vec<(ConnectionId, Mail)> {
    net.open_mailbox(server_address());
    for _ in 0..CLIENTS {
        net.connect_simply(b"echo", EchoClient::new(1, 1000));
    }
    net.run_for(SECOND / 20);
    let id = |mail: &Mail| {
        destination_bytes(&mail.data, 8).and_then(ConnectionId::new).expect("it has an ID")
    };
    let flights: Vec<_> =
        net.take_mail(server_address()).into_iter().map(|m| (id(&m), m)).collect();
    assert_eq!(flights.len(), CLIENTS, "a ClientHello is one datagram");
    flights
}

fn packet(net: &EchoNet, from: SocketAddr, data: &[u8]) -> ReceivedPacket {
    let path = PathAddress::new(server_address(), from);
    ReceivedPacket { path, ecn: Ecn::NotEct, received: net.now, data: BytesMut::from(data) }
}

#[test]
fn a_turn_makes_so_many_sessions_in_the_order_of_arrival() {
    let mut net = net(21);
    let flights = first_flights(&mut net);
    for (_, Mail { from, data, .. }) in &flights {
        let packet = packet(&net, *from, data);
        net.server.on_packet(packet);
    }
    assert_eq!((net.server.stats().buffered, net.server.stats().sessions), (CLIENTS, 0));
    let mut alarms = TimerWheel::default();
    for turn in 1..=CLIENTS.div_ceil(EACH_TURN) {
        assert!(net.server.has_hellos_buffered() && net.server.has_work(), "turn {turn}");
        net.server.on_turn_end(net.now, &mut alarms);
        let made = (turn * EACH_TURN).min(CLIENTS);
        let stats = net.server.stats();
        assert_eq!((stats.sessions, stats.buffered), (made, CLIENTS - made), "turn {turn}");
        for (place, (id, _)) in flights.iter().enumerate() {
            let has_session = net.server.session_key(id).is_some();
            assert_eq!(has_session, place < made, "client {place} in turn {turn}");
        }
    }
    assert!(!net.server.has_hellos_buffered());
}

#[test]
fn what_a_buffered_client_sends_meanwhile_waits_with_its_hello() {
    let mut net = net(22);
    let flights = first_flights(&mut net);
    for (_, Mail { from, data, .. }) in flights.iter().chain(&flights) {
        let packet = packet(&net, *from, data);
        net.server.on_packet(packet);
    }
    let stats = net.server.stats();
    assert_eq!((stats.buffered, stats.dropped), (CLIENTS, 0), "a second copy is no second client");
    let mut alarms = TimerWheel::default();
    net.server.process_buffered_hellos(net.now, usize::MAX, &mut alarms);
    let stats = net.server.stats();
    assert_eq!((stats.sessions, stats.buffered), (CLIENTS, 0), "who asks for all gets all");
}

/// What the server would read in one batch: the end of three clients' handshakes.
fn finished_flights(net: &mut EchoNet) -> Vec<Mail> {
    for _ in 0..3 {
        net.connect_simply(b"echo", EchoClient::new(1, 1000));
    }
    assert!(net.run_until(SECOND, |net| net.server.stats().handshaking == 3));
    net.open_mailbox(server_address());
    net.run_for(SECOND / 20);
    net.take_mail(server_address())
}

#[test]
fn whose_handshake_completes_is_answered_before_the_rest_of_the_batch_is_read() {
    let mut net = net(24);
    let batch = finished_flights(&mut net);
    let first = batch[0].from;
    let (of_first, others): (Vec<_>, Vec<_>) = batch.iter().partition(|m| m.from == first);
    assert_eq!(net.written(), 0);
    for Mail { from, data, .. } in of_first {
        let packet = packet(&net, *from, data);
        net.server.on_packet(packet);
    }
    let one = net.written();
    assert!(one > 0, "the first is told that its handshake is confirmed");
    for Mail { from, data, .. } in others {
        let packet = packet(&net, *from, data);
        net.server.on_packet(packet);
    }
    assert!(net.written() >= 3 * one, "and so are the others, before the turn ends");
}

#[test]
fn a_session_that_is_made_is_written_before_the_next_is_made() {
    let mut net = net(25);
    let flights = first_flights(&mut net);
    for (_, Mail { from, data, .. }) in &flights[..2] {
        let packet = packet(&net, *from, data);
        net.server.on_packet(packet);
    }
    net.server.process_buffered_hellos(net.now, 1, &mut TimerWheel::default());
    assert_eq!((net.server.stats().sessions, net.server.stats().buffered), (1, 1));
    assert!(net.written() > 0, "its answer does not wait for the turn's end");
}

#[test]
fn a_crowd_is_served_whole_and_holds_nobody_up() {
    let mut net = net(23);
    let old = net.connect_simply(b"echo", EchoClient::new(4, 100_000));
    net.run_for(SECOND / 40);
    for _ in 0..3 * CLIENTS {
        net.connect_simply(b"echo", EchoClient::new(1, 1000));
    }
    assert!(net.run_until(10 * SECOND, |net| net.clients[old].session().is_done()));
    assert!(net.run_until(10 * SECOND, |net| net.clients.iter().all(|c| c.session().is_done())));
    assert_eq!(net.server.stats().sessions_created as usize, 1 + 3 * CLIENTS);
}
