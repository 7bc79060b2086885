//! Nobody makes a server send more than three times what it received to an address that is not
//! proven (RFC 9000 §8.1), at any instant, and what else protects a server that is being used.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protoquic::connection::{Config, SendStatus};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::session::ClientHelloInfo;
use protoquic::wire::{Frame, PacketType};
use protoquic::{
    Connection, Ecn, EventLoopVisitor, Host, PacketSink, PathAddress, ReceivedPacket, Refuse,
    Reject, ServerConfig, Session, SessionContext, SessionFactory, SessionHost, Space, Stream,
    StreamContext, StreamId,
};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Alarms, Link, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory, pattern};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);

fn server_config() -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) }
}

fn net() -> EchoNet {
    Net::new(23, Link::default(), echo_factory(server_config()))
}

fn evil(net: &mut EchoNet, port: u16) -> Evil {
    Evil::client(net, port, b"echo", &parameters(), unchanged())
}

/// A client that acknowledges nothing and never finishes its handshake.
fn unfinished(net: &mut EchoNet) -> Evil {
    let hold = Box::new(|space, messages| match space {
        Space::Initial => messages,
        _ => Vec::new(),
    });
    let mut evil = Evil::client(net, 5000, b"echo", &parameters(), hold);
    evil.acknowledges = false;
    evil
}

/// Runs and looks at every instant that the bound holds. Returns the sums.
#[track_caller]
fn watch(net: &mut EchoNet, evil: &mut Evil, time: Duration) -> (usize, usize) {
    let end = net.now + time;
    while net.now < end {
        evil.run(net, Duration::from_millis(2));
        let (sent, received) = (evil.sent_bytes, evil.received_bytes);
        assert!(received <= 3 * sent, "{received} bytes for {sent}, at {:?}", net.now);
    }
    (evil.sent_bytes, evil.received_bytes)
}

#[test]
fn probe_timeouts_stay_within_three_times_what_came() {
    let mut net = net();
    let mut evil = unfinished(&mut net);
    evil.start(&mut net);
    let (sent, received) = watch(&mut net, &mut evil, SECOND * 15);
    assert_eq!(sent, 1200);
    assert!(received > 2400, "the server tries: {received}");
    assert!(net.server.is_idle(), "and gives up");
}

#[test]
fn what_waits_at_the_limit_goes_out_with_the_next_datagram() {
    // RFC 9002 §6.2.2.1: at the limit there is no timer, so that none backs off meanwhile.
    let mut net = net();
    let mut evil = unfinished(&mut net);
    let first = evil.peer_id;
    evil.start(&mut net);
    let (_, received) = watch(&mut net, &mut evil, SECOND * 8);
    assert!(received > 2400, "{received}");
    // Not authentic, but for this connection.
    let packet = [&[0x41], first.as_bytes(), &[3; 1191]].concat();
    evil.send_datagram(&mut net, packet);
    let (_, more) = watch(&mut net, &mut evil, SECOND / 20);
    assert!(more > received, "nothing came for another datagram");
}

#[test]
fn no_probe_is_awaited_or_sent_at_the_limit() {
    // RFC 9002 §6.2.2.1: all that is left is the time that a handshake may take.
    let mut net = net();
    let mut evil = unfinished(&mut net);
    let first = evil.peer_id;
    evil.start(&mut net);
    watch(&mut net, &mut evil, SECOND / 10);
    let look = |net: &mut EchoNet| {
        let now = net.now;
        let key = net.server.session_key(&first).expect("it lives");
        let connection = net.server.session_mut(key).expect("it lives").connection();
        let is_limited =
            matches!(connection.send_status(now), SendStatus::AmplificationLimited { .. });
        (is_limited, connection.next_deadline())
    };
    for _ in 0..500 {
        if !look(&mut net).0 {
            watch(&mut net, &mut evil, SECOND / 100);
        }
    }
    watch(&mut net, &mut evil, SECOND); // what is on its way arrives
    let (received, deadline) = (evil.received_bytes, look(&mut net).1);
    assert!(deadline.is_some_and(|deadline| deadline > net.now + SECOND * 4), "{deadline:?}");
    for _ in 0..15 {
        assert_eq!(look(&mut net), (true, deadline), "at {:?}", net.now);
        watch(&mut net, &mut evil, SECOND / 5);
    }
    assert_eq!(evil.received_bytes, received);
    // The next datagram has it probe again, before it gives up.
    let packet = [&[0x41], first.as_bytes(), &[3; 1191]].concat();
    evil.send_datagram(&mut net, packet);
    let (_, more) = watch(&mut net, &mut evil, SECOND / 2);
    assert!(more > received, "nothing came for another datagram");
}

#[test]
fn small_datagrams_earn_small_answers() {
    let mut net = net();
    let mut evil = unfinished(&mut net);
    let first = evil.peer_id;
    evil.start(&mut net);
    watch(&mut net, &mut evil, SECOND * 3);
    for n in 0..200_usize {
        // Not authentic, but for this connection; then Initial packets with a PING.
        let mut packet = vec![0xc0, 0, 0, 0, 1, 8];
        packet.extend(first.as_bytes());
        packet.extend([0, 0, 0x40, 30]);
        packet.resize(48 + n % 7, 9);
        evil.send_datagram(&mut net, packet);
        watch(&mut net, &mut evil, SECOND / 50);
    }
}

#[test]
fn a_close_in_the_handshake_stays_within_the_bound() {
    let mut net = net();
    let mut evil = unfinished(&mut net);
    evil.start(&mut net);
    watch(&mut net, &mut evil, SECOND * 5);
    evil.send(&mut net, PacketType::Initial, &bytes_of(&Frame::HandshakeDone));
    watch(&mut net, &mut evil, SECOND);
    assert!(evil.close().is_some());
    let packet = [&[0x41], evil.peer_id.as_bytes(), &[3; 13]].concat();
    for _ in 0..300 {
        evil.send_datagram(&mut net, packet.clone());
        watch(&mut net, &mut evil, SECOND / 100);
    }
}

#[test]
fn an_initial_in_a_small_datagram_is_dropped_by_a_session_too() {
    // RFC 9000 §14.1
    let mut net = net();
    let mut evil = unfinished(&mut net);
    evil.start(&mut net);
    evil.run(&mut net, SECOND / 10);
    let small = evil.seal_to(PacketType::Initial, &bytes_of(&Frame::HandshakeDone), 0, 0);
    evil.send_datagram(&mut net, small);
    evil.run(&mut net, SECOND / 10);
    assert_eq!(evil.close(), None);
    let full = evil.seal(PacketType::Initial, &bytes_of(&Frame::HandshakeDone), 0);
    evil.send_datagram(&mut net, full);
    assert!(evil.wait_for_close(&mut net).is_some());
}

#[test]
fn a_new_address_gets_three_times_what_it_sent_until_it_is_proven() {
    // RFC 9000 §9.3.1
    let mut net = net();
    let mut evil = evil(&mut net, 5000);
    assert!(evil.handshake(&mut net));
    evil.run(&mut net, SECOND);
    let data = pattern(900, 1);
    let forged = SocketAddr::from(([10, 66, 66, 66], 6666));
    net.open_mailbox(forged);
    evil.address = forged;
    (evil.sent_bytes, evil.received_bytes) = (0, 0);
    evil.acknowledges = false;
    for n in 0..50 {
        let id = StreamId::from_raw(4 * n);
        let frame = Frame::Stream { id, offset: 0, fin: true, data: &data };
        evil.send_frame(&mut net, &frame);
        watch(&mut net, &mut evil, SECOND / 100);
    }
    watch(&mut net, &mut evil, SECOND * 2);
    assert!(evil.has_seen(|frame| matches!(frame, Frame::PathChallenge(_))));
}

#[test]
fn challenges_from_elsewhere_are_answered_within_the_bound() {
    // RFC 9000 §8.2.2
    let mut net = net();
    let mut evil = evil(&mut net, 5000);
    assert!(evil.handshake(&mut net));
    evil.run(&mut net, SECOND);
    let forged = SocketAddr::from(([10, 66, 66, 66], 6666));
    net.open_mailbox(forged);
    evil.address = forged;
    (evil.sent_bytes, evil.received_bytes) = (0, 0);
    evil.acknowledges = false;
    for n in 0..50 {
        let frames = (0..8).flat_map(|_| bytes_of(&Frame::PathChallenge([n; 8])));
        evil.send(&mut net, PacketType::OneRtt, &frames.collect::<Vec<_>>());
        watch(&mut net, &mut evil, SECOND / 100);
    }
    assert!(evil.has_seen(|frame| matches!(frame, Frame::PathResponse(_))), "but answered");
}

#[test]
fn so_many_sessions_are_made_in_a_turn() {
    let config = DispatcherConfig { max_sessions_per_turn: 4, ..DispatcherConfig::default() };
    let factories: Vec<Box<dyn SessionFactory>> = vec![Box::new(echo_factory(server_config()))];
    let mut net: EchoNet = Net::with_dispatcher(5, Link::default(), config, factories);
    for port in 5000..5010 {
        let mut evil = evil(&mut net, port);
        let hello = bytes_of(&Frame::Crypto { offset: 0, data: &evil.hello() });
        let data = BytesMut::from(&evil.seal(PacketType::Initial, &hello, 0)[..]);
        let path = PathAddress::new(server_address(), evil.address);
        let (ecn, received) = (Ecn::NotEct, net.now);
        net.server.on_packet(ReceivedPacket { path, ecn, received, data });
    }
    let mut alarms = Alarms::default();
    let mut made = Vec::new();
    for _ in 0..4 {
        net.server.on_turn_end(net.now, &mut alarms);
        made.push((net.server.stats().sessions_created, net.server.has_work()));
    }
    assert_eq!(made, [(4, true), (8, true), (10, false), (10, false)]);
}

/// Echo that lets its clients finish when the server stops.
struct Patient;
struct PatientStream;

impl Session for Patient {
    type Stream = PatientStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<PatientStream, Refuse> {
        Ok(PatientStream)
    }

    fn on_shutdown(&mut self, _cx: &mut SessionContext<'_, Self>) {}
}

impl Stream<Patient> for PatientStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Patient>) {
        while cx.writable() > 0 {
            let Some(chunk) = cx.read() else { break };
            let _ = cx.write_all(chunk);
        }
        if cx.is_read_finished() {
            let _ = cx.finish();
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Patient>) {
        self.on_data_available(cx);
    }
}

struct PatientFactory(Vec<Vec<u8>>);

impl SessionFactory for PatientFactory {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.0
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        server_config()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        Ok(Box::new(SessionHost::new(connection, Patient)))
    }
}

#[test]
fn a_stopping_server_lets_its_sessions_finish() {
    let mut net: EchoNet = Net::new(31, Link::default(), PatientFactory(vec![b"echo".to_vec()]));
    net.connect_simply(b"echo", EchoClient::new(10, 500_000));
    net.run_for(SECOND / 20);
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.kick();
    net.connect_simply(b"echo", EchoClient::new(1, 10));
    assert!(net.run_until(SECOND * 30, |net| net.clients[0].session().is_done()));
    net.run_for(SECOND);
    assert!(!net.clients[1].session().is_done(), "the new client is refused");
    assert!(net.clients[1].close_reason().is_some());
    assert!(net.server.is_idle(), "the old ones are gone when they have closed");
}

#[test]
fn a_server_that_may_send_no_more_waits_in_peace() {
    // What is due, or paced, cannot be sent to an address that is not proven: that must not keep
    // the server awake. (The network panics if the time stands still.)
    let data = pattern(1000, 1);
    for delay in 0..60 {
        let mut net = net();
        let mut evil = evil(&mut net, 5000);
        assert!(evil.handshake(&mut net));
        for n in 0..90 {
            let id = StreamId::from_raw(4 * n);
            evil.send_frame(&mut net, &Frame::Stream { id, offset: 0, fin: true, data: &data });
        }
        evil.run(&mut net, Duration::from_millis(10 + delay));
        evil.address.set_port(7000); // a NAT, by the looks of it
        for size in 35..45 {
            let packet = evil.seal_to(PacketType::OneRtt, &[1], 0, size);
            evil.send_datagram(&mut net, packet);
            net.run_for(Duration::from_millis(3));
        }
        net.run_for(SECOND * 5);
    }
}
