//! Streams beyond RFC 9000 end to end in virtual time: resets that deliver a front
//! (RESET_STREAM_AT), deadlines, priorities (RFC 9218), and senders that stay blocked.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::Config;
use protoquic::wire::{Frame, PacketType};
use protoquic::{Direction, Role, StreamError, StreamId, TransportErrorCode as Code};
use protoquic_tests::datagram_pair::{LATE, Logs, Pair};
use protoquic_tests::datagrams::{ALPN, DatagramPeer, config, factory, open_bulk, urgent};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_with};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::tls;

const LOSSY: Link = Link {
    delay: Duration::from_millis(10),
    loss: 100,
    reorder: 50,
    duplicate: 20,
    corrupt: 0,
    mtu: 1500,
};

// RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset).

#[test]
fn a_reset_delivers_the_front_of_its_stream_whatever_is_lost() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, LOSSY, config(), config());
        let id = pair.bulk(200_000);
        pair.run(15);
        pair.reset_at(id, 60_000).expect("the server takes it");
        pair.run(20_000);
        let arrived = pair.arrived(id);
        assert!((60_000..200_000).contains(&arrived), "{arrived} bytes came");
        assert_eq!(pair.server.borrow().resets.get(&id), Some(&LATE.0));
        assert_eq!(pair.net.clients[0].host().connection().close_reason(), None);
    }
}

#[test]
fn a_peer_that_does_not_take_it_is_not_sent_it() {
    let server = Config { reset_stream_at: false, ..config() };
    let mut pair = Pair::new(1, Link::default(), config(), server);
    let id = pair.bulk(10_000);
    assert_eq!(pair.reset_at(id, 5000), Err(StreamError::NotSupported));
    pair.run(500);
    assert_eq!(pair.arrived(id), 10_000);
}

/// A client without rules, connected to a server with these settings.
fn attack(server: Config) -> (Net<DatagramPeer>, Evil, Logs) {
    let log = Logs::default();
    let mut net = Net::new(7, Link::default(), factory(server, &log));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters(), unchanged());
    assert!(evil.handshake(&mut net));
    (net, evil, log)
}

fn uni(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Unidirectional, index)
}

fn reset_at(id: StreamId, error: u64, final_size: u64, reliable_size: u64) -> Frame<'static> {
    Frame::ResetStreamAt { id, error, final_size, reliable_size }
}

fn stream(id: StreamId, offset: u64, data: &[u8]) -> Frame<'_> {
    Frame::Stream { id, offset, fin: false, data }
}

/// The code with which the server closes, if it does, after these frames.
fn after(server: Config, frames: &[Frame<'_>]) -> Option<Code> {
    let (mut net, mut evil, _log) = attack(server);
    for frame in frames {
        evil.send_frame(&mut net, frame);
    }
    evil.wait_for_close(&mut net).map(|close| Code(close.code))
}

#[test]
fn a_reset_that_was_not_offered_is_an_unknown_frame() {
    let server = Config { reset_stream_at: false, ..config() };
    let code = after(server, &[reset_at(uni(0), 1, 5, 5)]);
    assert_eq!(code, Some(Code::FRAME_ENCODING_ERROR));
}

#[test]
fn no_more_is_reliable_than_there_is() {
    let code = after(config(), &[reset_at(uni(0), 1, 5, 6)]);
    assert_eq!(code, Some(Code::FRAME_ENCODING_ERROR));
    assert_eq!(after(config(), &[reset_at(uni(0), 1, 5, 5)]), None);
}

#[test]
fn its_final_size_is_final() {
    let frames = [reset_at(uni(0), 1, 50, 5), reset_at(uni(0), 1, 51, 5)];
    assert_eq!(after(config(), &frames), Some(Code::FINAL_SIZE_ERROR));
    let frames = [stream(uni(0), 0, &[0; 10]), reset_at(uni(0), 1, 9, 5)];
    assert_eq!(after(config(), &frames), Some(Code::FINAL_SIZE_ERROR));
    let frames = [reset_at(uni(0), 1, 50, 5), stream(uni(0), 45, &[0; 10])];
    assert_eq!(after(config(), &frames), Some(Code::FINAL_SIZE_ERROR));
}

#[test]
fn its_final_size_obeys_flow_control() {
    let code = after(config(), &[reset_at(uni(0), 1, 1 << 40, 5)]);
    assert_eq!(code, Some(Code::FLOW_CONTROL_ERROR));
}

#[test]
fn its_code_does_not_change() {
    let frames = [reset_at(uni(0), 1, 50, 5), reset_at(uni(0), 2, 50, 4)];
    assert_eq!(after(config(), &frames), Some(Code::STREAM_STATE_ERROR));
}

#[test]
fn it_is_for_streams_that_the_peer_sends_on() {
    let theirs = StreamId::new(Role::Server, Direction::Unidirectional, 0);
    let code = after(config(), &[reset_at(theirs, 1, 5, 5)]);
    assert_eq!(code, Some(Code::STREAM_STATE_ERROR));
}

#[test]
fn it_is_not_for_handshake_packets() {
    // RFC 9000 §12.4
    let mut net: Net<DatagramPeer> =
        Net::new(7, Link::default(), factory(config(), &Logs::default()));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters(), unchanged());
    evil.start(&mut net);
    evil.send(&mut net, PacketType::Initial, &bytes_of(&reset_at(uni(0), 1, 5, 5)));
    let close = evil.wait_for_close(&mut net).expect("the server closes");
    assert_eq!(Code(close.code), Code::PROTOCOL_VIOLATION);
}

#[test]
fn the_reset_is_told_when_the_front_is_read() {
    let (mut net, mut evil, log) = attack(config());
    log.borrow_mut().deaf = true;
    evil.send_frame(&mut net, &stream(uni(0), 0, &[7; 10]));
    evil.send_frame(&mut net, &reset_at(uni(0), 5, 10, 4));
    evil.run(&mut net, Duration::from_millis(100));
    assert!(log.borrow().resets.is_empty(), "its front was not read");
    evil.send_frame(&mut net, &Frame::Datagram { data: b"read", has_length: true });
    evil.run(&mut net, Duration::from_millis(100));
    assert_eq!(log.borrow().resets.get(&uni(0)), Some(&5));
    assert!(log.borrow().streams[&uni(0)].0 >= 4);
    assert!(evil.close().is_none());
}

#[test]
fn its_parameter_has_no_value() {
    for id in [0x1d, 0x17_f758_6d2c_b571] {
        let log = Logs::default();
        let mut net: Net<DatagramPeer> = Net::new(7, Link::default(), factory(config(), &log));
        let parameters = parameters_with(id, &[1]);
        let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters, unchanged());
        assert!(!evil.handshake(&mut net));
        let code = evil.close().map(|close| Code(close.code));
        assert_eq!(code, Some(Code::TRANSPORT_PARAMETER_ERROR));
    }
}

// Deadlines.

#[test]
fn nothing_is_sent_after_the_deadline_of_a_stream() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed, LOSSY, config(), config());
        let id = pair.bulk(3_000_000);
        let other = pair.bulk(100_000);
        pair.set_deadline(id, Duration::from_millis(50));
        pair.run(50);
        assert_eq!(pair.client.borrow().late, [id], "told when the time has come");
        let sent = pair.net.clients[0].host().connection().stream_stats().bytes_sent;
        pair.run(20_000);
        let stats = pair.net.clients[0].host().connection().stream_stats();
        assert!(stats.bytes_sent <= sent + 100_000, "{sent}, then {stats:?}");
        assert_eq!(pair.server.borrow().resets.get(&id), Some(&LATE.0));
        assert_eq!(pair.arrived(other), 100_000);
        assert_eq!(pair.client.borrow().late.len(), 1);
    }
}

#[test]
fn what_arrives_in_time_is_not_reset() {
    let mut pair = Pair::simple();
    let id = pair.bulk(5000);
    pair.set_deadline(id, Duration::from_millis(50));
    pair.run(2000);
    assert_eq!(pair.arrived(id), 5000);
    assert!(pair.client.borrow().late.is_empty() && pair.server.borrow().resets.is_empty());
}

#[test]
fn what_is_lost_is_not_sent_again_after_the_deadline() {
    let mut pair = Pair::simple();
    pair.net.link.loss = 1000;
    let id = pair.bulk(5000);
    pair.set_deadline(id, Duration::from_millis(5));
    pair.run(6);
    assert!(pair.client.borrow().late.is_empty(), "it may still arrive");
    pair.net.link.loss = 0;
    pair.run(2000);
    assert_eq!(pair.client.borrow().late, [id]);
    assert_eq!((pair.arrived(id), pair.server.borrow().resets.get(&id)), (0, Some(&LATE.0)));
    assert_eq!(pair.net.clients[0].host().connection().stream_stats().bytes_resent, 0);
}

// Priorities (RFC 9218 §10).

/// Lets streams of these priorities send and returns the order in which they ended.
fn order(priorities: &[(u8, bool)]) -> Vec<usize> {
    let mut pair = Pair::simple();
    let ids: Vec<_> = priorities.iter().map(|_| pair.bulk(200_000)).collect();
    for (id, (urgency, incremental)) in ids.iter().zip(priorities) {
        pair.prioritize(*id, *urgency, *incremental);
    }
    pair.run(10_000);
    let log = pair.server.borrow();
    let mut order: Vec<_> = (0..ids.len()).collect();
    order.sort_by_key(|n| log.streams[&ids[*n]].1);
    assert!(log.streams.values().all(|(len, _)| *len == 200_000));
    order
}

#[test]
fn the_most_urgent_streams_end_first() {
    assert_eq!(order(&[(7, true), (3, true), (0, true)]), [2, 1, 0]);
    assert_eq!(order(&[(4, false), (5, false), (3, false)]), [2, 0, 1]);
}

#[test]
fn streams_that_do_not_share_end_in_the_order_of_their_ids() {
    assert_eq!(order(&[(3, false), (3, false), (3, false)]), [0, 1, 2]);
}

#[test]
fn streams_that_share_make_progress_together() {
    let mut pair = Pair::simple();
    let ids = [pair.bulk(400_000), pair.bulk(400_000), pair.bulk(400_000)];
    for id in ids {
        pair.prioritize(id, 3, true);
    }
    pair.net.kick();
    let server = Rc::clone(&pair.server);
    let half = pair.net.run_until(Duration::from_secs(10), |_| {
        server.borrow().streams.values().any(|(len, _)| *len >= 200_000)
    });
    assert!(half);
    for id in ids {
        assert!(pair.arrived(id) > 150_000, "{} of {id}", pair.arrived(id));
    }
}

#[test]
fn a_priority_can_change_while_a_stream_sends() {
    let mut pair = Pair::simple();
    let (first, second) = (pair.bulk(500_000), pair.bulk(500_000));
    pair.prioritize(first, 2, false);
    pair.run(40);
    pair.prioritize(first, 6, false);
    pair.run(10_000);
    let log = pair.server.borrow();
    assert!(log.streams[&second].1 < log.streams[&first].1);
}

// Senders that stay blocked (RFC 9000 §4.1).

fn with_windows(mut config: Config, data: u64, stream: u64) -> Config {
    config.idle_timeout = Duration::from_secs(3);
    config.streams.max_data = data;
    config.streams.max_connection_window = data;
    config.streams.max_stream_data_uni = stream;
    config.streams.max_stream_window = stream;
    config
}

#[test]
fn a_connection_does_not_fall_idle_while_its_sender_is_blocked() {
    for (data, stream) in [(10_000, 50_000), (50_000, 10_000)] {
        let mut pair =
            Pair::new(1, Link::default(), config(), with_windows(config(), data, stream));
        pair.server.borrow_mut().deaf = true;
        let id = pair.bulk(30_000);
        pair.run(20_000);
        assert!(pair.server.borrow().closed.is_none() && pair.client.borrow().closed.is_none());
        let now = pair.net.now;
        let read = Bytes::from_static(b"read");
        let sent = pair.net.clients[0].enter(now, |_, cx| cx.send_datagram(read, urgent(0)));
        sent.expect("there is room");
        pair.run(1000);
        assert_eq!(pair.arrived(id), 30_000);
        pair.run(10_000);
        assert!(pair.client.borrow().closed.is_some(), "then there is nothing to wait for");
    }
}

#[test]
fn blocked_senders_say_so_again_ever_more_rarely() {
    let transport = Arc::new(config());
    let log = Logs::default();
    let mut net = Net::new(7, Link::default(), factory(config(), &log));
    let address = ([10, 66, 0, 1], 443).into();
    net.open_mailbox(address);
    let session = DatagramPeer::default();
    let tls = tls::client(&[ALPN]);
    net.connect_to(address, transport, tls, session, |writer| Box::new(writer));
    net.run_for(Duration::from_millis(20));
    // One stream, 1000 bytes on it, 1500 in all.
    let mut few = parameters_with(0x04, &[0x45, 0xdc]);
    few.insert(0x07, Some(vec![0x43, 0xe8]));
    few.insert(0x09, Some(vec![2]));
    let mut evil = Evil::server(&mut net, address, ALPN, &few);
    evil.run(&mut net, Duration::from_millis(200));
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    evil.run(&mut net, Duration::from_millis(200));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        open_bulk(cx, 2000);
        open_bulk(cx, 2000);
        let third = cx.open_stream(Direction::Unidirectional, |_| unreachable!("not allowed"));
        assert_eq!(third, Err(StreamError::LimitReached));
    });
    net.kick();
    evil.run(&mut net, Duration::from_millis(50));
    let blocked = |evil: &Evil| {
        [
            evil.count(|frame| matches!(frame, Frame::DataBlocked { .. })),
            evil.count(|frame| matches!(frame, Frame::StreamDataBlocked { .. })),
            evil.count(|frame| matches!(frame, Frame::StreamsBlocked { .. })),
        ]
    };
    assert_eq!(blocked(&evil), [1, 1, 1]);
    evil.run(&mut net, Duration::from_secs(25));
    for count in blocked(&evil) {
        assert!((5..15).contains(&count), "{count} times in 25 s");
    }
    assert!(evil.close().is_none());
}
