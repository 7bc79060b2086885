//! ACK_FREQUENCY and IMMEDIATE_ACK (draft-ietf-quic-ack-frequency) end to end in virtual time: what
//! our sender asks for, how our receiver obeys, and peers that break the rules.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::wire::{AckFrequencyFrame, Frame, FrameIter, PacketType};
use protoquic::{Session, Space, StreamId, TransportErrorCode as Code};
use protoquic_tests::datagrams::{ALPN, DatagramPeer, factory, open_bulk};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_with};
use protoquic_tests::http3::varint;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::tls;

fn config(ack_frequency: bool) -> Config {
    Config { ack_frequency, ..Config::default() }
}

type PeerNet = Net<DatagramPeer>;

/// A client of ours that sends so much to a server that keeps no rules; what the server saw of
/// ACK_FREQUENCY.
fn requests_of(client: Config, min_ack_delay: Option<u64>) -> Vec<AckFrequencyFrame> {
    let mut net: PeerNet = Net::new(3, Link::default(), factory(config(true), &Rc::default()));
    let address = SocketAddr::from(([10, 0, 9, 1], 443));
    net.open_mailbox(address);
    let tls = tls::client(&[ALPN]);
    net.connect_to(address, Arc::new(client), tls, DatagramPeer::default(), |w| Box::new(w));
    net.run_for(Duration::from_millis(20));
    let parameters = match min_ack_delay {
        Some(micros) => parameters_with(0xff04_de1b, &varint(micros)),
        None => parameters(),
    };
    let mut evil = Evil::server(&mut net, address, ALPN, &parameters);
    assert!(evil.handshake(&mut net));
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    evil.run(&mut net, Duration::from_millis(100));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| open_bulk(cx, BULK));
    net.kick();
    evil.send_frame(
        &mut net,
        &Frame::MaxStreamData { id: StreamId::from_raw(2), max: BULK as u64 },
    );
    evil.run(&mut net, Duration::from_secs(2));
    let frames = evil.seen.iter().flat_map(|packet| FrameIter::new(&packet.payload).flatten());
    let requests = frames.filter_map(|frame| match frame {
        Frame::AckFrequency(request) => Some(request),
        _ => None,
    });
    requests.collect()
}

const BULK: usize = 2_000_000;

#[test]
fn bulk_data_asks_for_fewer_acknowledgements() {
    let requests = requests_of(config(true), Some(2000));
    assert!(requests.len() >= 2, "the window grew: {requests:?}");
    for (number, request) in (0..).zip(&requests) {
        // §4: "MUST send monotonically increasing values in the Sequence Number field"
        assert_eq!(request.sequence, number);
        // A quarter of the round trip, about 20 ms.
        assert!((2000..=25_000).contains(&request.max_ack_delay), "{request:?}");
        assert_eq!(request.reordering, 3, "as our loss detection has it");
    }
    assert!(requests[1].threshold >= 2 * requests[0].threshold || requests[0].threshold > 8);
}

#[test]
fn a_delay_below_the_peers_minimum_is_not_asked_for() {
    let requests = requests_of(config(true), Some(20_000));
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.max_ack_delay >= 20_000), "{requests:?}");
}

#[test]
fn nothing_is_asked_of_a_peer_that_has_not_offered_it_or_when_switched_off() {
    // §3
    assert_eq!(requests_of(config(true), None), []);
    assert_eq!(requests_of(config(false), Some(1000)), []);
}

fn attack(server: Config) -> (PeerNet, Evil) {
    let mut net = Net::new(7, Link::default(), factory(server, &Rc::default()));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters(), unchanged());
    assert!(evil.handshake(&mut net));
    (net, evil)
}

fn ask(sequence: u64, threshold: u64, max_ack_delay: u64, reordering: u64) -> Frame<'static> {
    Frame::AckFrequency(AckFrequencyFrame { sequence, threshold, max_ack_delay, reordering })
}

fn acks<S: Session>(net: &mut Net<S>, evil: &mut Evil, pings: usize) -> usize {
    let count = |evil: &Evil| evil.count(|frame| matches!(frame, Frame::Ack(_)));
    evil.run(net, Duration::from_millis(100));
    let before = count(evil);
    for _ in 0..pings {
        evil.send_frame(net, &Frame::Ping);
        evil.run(net, Duration::from_millis(4));
    }
    evil.run(net, Duration::from_millis(30));
    count(evil) - before
}

#[test]
fn the_newest_request_is_obeyed_and_older_ones_are_ignored() {
    // §4: "MUST ignore a received ACK_FREQUENCY frame unless the Sequence Number value [...]"
    let (mut net, mut evil) = attack(config(true));
    assert!(acks(&mut net, &mut evil, 20) >= 10, "every second packet at first");
    evil.send_frame(&mut net, &ask(5, 9, 1_000_000, 0));
    assert_eq!(acks(&mut net, &mut evil, 20), 2);
    for stale in [0, 4, 5] {
        evil.send_frame(&mut net, &ask(stale, 0, 1000, 0));
    }
    assert_eq!(acks(&mut net, &mut evil, 20), 2);
    evil.send_frame(&mut net, &ask(6, 0, 1_000_000, 0));
    assert_eq!(acks(&mut net, &mut evil, 20), 20);
}

#[test]
fn a_request_bounds_how_long_an_acknowledgement_waits() {
    let (mut net, mut evil) = attack(config(true));
    evil.send_frame(&mut net, &ask(0, 1000, 60_000, 0));
    evil.run(&mut net, Duration::from_millis(200));
    let before = evil.seen.len();
    evil.send_frame(&mut net, &Frame::Ping);
    evil.run(&mut net, Duration::from_millis(70));
    assert_eq!(evil.seen.len(), before, "not before 10 + 60 + 10 ms");
    evil.run(&mut net, Duration::from_millis(20));
    assert_eq!(evil.seen.len(), before + 1);
}

#[test]
fn an_immediate_ack_is_answered_at_once() {
    // §5
    let (mut net, mut evil) = attack(config(true));
    evil.send_frame(&mut net, &ask(0, 1000, 1_000_000, 0));
    assert_eq!(acks(&mut net, &mut evil, 10), 0);
    let before = evil.seen.len();
    evil.send_frame(&mut net, &Frame::ImmediateAck);
    evil.run(&mut net, Duration::from_millis(24));
    assert_eq!(evil.seen.len(), before + 1);
}

#[track_caller]
fn closes_with(server: Config, ty: PacketType, frame: &Frame<'_>, code: Option<Code>) {
    let (mut net, mut evil) = attack(server);
    evil.send(&mut net, ty, &bytes_of(frame));
    let close = evil.wait_for_close(&mut net);
    assert_eq!(close.map(|close| Code(close.code)), code, "{frame:?}");
}

#[test]
fn invalid_delays_close_the_connection() {
    // §4: below our min_ack_delay of 1 ms, or 2^14 ms and more
    for (delay, valid) in [(999, false), (1000, true), (16_383_999, true), (16_384_000, false)] {
        let code = (!valid).then_some(Code::PROTOCOL_VIOLATION);
        closes_with(config(true), PacketType::OneRtt, &ask(0, 1, delay, 1), code);
    }
    closes_with(config(true), PacketType::OneRtt, &ask(0, 1 << 61, (1 << 62) - 1, 1 << 61), {
        Some(Code::PROTOCOL_VIOLATION)
    });
}

#[test]
fn frames_that_were_not_offered_are_unknown() {
    // RFC 9000 §12.4
    let code = Some(Code::FRAME_ENCODING_ERROR);
    closes_with(config(false), PacketType::OneRtt, &ask(0, 1, 5000, 1), code);
    closes_with(config(false), PacketType::OneRtt, &Frame::ImmediateAck, code);
}

#[test]
fn an_impossible_min_ack_delay_is_refused() {
    // §3
    let mut net: PeerNet = Net::new(7, Link::default(), factory(config(true), &Rc::default()));
    let parameters = parameters_with(0xff04_de1b, &varint(25_001));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters, unchanged());
    assert!(!evil.handshake(&mut net));
    let close = evil.wait_for_close(&mut net).expect("the server closes");
    assert_eq!(Code(close.code), Code::TRANSPORT_PARAMETER_ERROR);
}

#[test]
fn a_probe_asks_for_an_answer_at_once() {
    let mut net: PeerNet = Net::new(7, Link::default(), factory(config(true), &Rc::default()));
    let parameters = parameters_with(0xff04_de1b, &varint(1000));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters, unchanged());
    assert!(evil.handshake(&mut net));
    evil.acknowledges = false;
    evil.send_frame(&mut net, &Frame::PathChallenge([7; 8]));
    evil.run(&mut net, Duration::from_secs(3));
    let asked = |packet: &protoquic_tests::evil::SeenPacket| {
        packet.space == Space::Application && packet.payload.contains(&0x1f)
    };
    assert!(evil.seen.iter().any(asked), "probes and MTU probes carry IMMEDIATE_ACK");
}
