//! Unreliable datagrams (RFC 9221) end to end in virtual time: delivery, notices, priorities beside
//! streams, deadlines, limits, and peers that break the rules.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::TransportErrorCode as Code;
use protoquic::connection::{Config, DatagramConfig, DatagramError, DatagramOptions};
use protoquic::wire::{Frame, PacketType};
use protoquic_tests::datagram_pair::{Logs, Pair};
use protoquic_tests::datagrams::{ALPN, DatagramPeer, config, factory, urgent};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_with};
use protoquic_tests::http3::varint;
use protoquic_tests::net::{Link, Net};

fn any() -> DatagramOptions {
    DatagramOptions::default()
}

#[test]
fn datagrams_arrive_whole_in_order_and_are_acknowledged() {
    let mut pair = Pair::simple();
    let max = pair.max().expect("the server takes them");
    for len in [0, 1, 63, 64, max] {
        pair.send(&vec![len as u8; len], any()).expect("there is room");
    }
    pair.run(500);
    let lens: Vec<_> = pair.received().iter().map(Bytes::len).collect();
    assert_eq!(lens, [0, 1, 63, 64, max]);
    assert_eq!(pair.client.borrow().acked.len(), 5);
    assert!(pair.client.borrow().lost.is_empty());
}

#[test]
fn what_is_large_does_not_overtake_what_is_small() {
    // Small packets wait for their session's turn, large ones do not.
    let mut pair = Pair::simple();
    pair.run(3000);
    let max = pair.max().expect("the server takes them");
    let sent = [100, max, 20, max, max, 50, max, 10];
    for len in sent {
        pair.send(&vec![0; len], any()).expect("there is room");
    }
    pair.run(500);
    let lens: Vec<_> = pair.received().iter().map(Bytes::len).collect();
    assert_eq!(lens, sent);
}

#[test]
fn each_datagram_is_sent_once_and_its_loss_is_told() {
    // RFC 9221 §5.2: not retransmitted; the application may be told of its fate.
    for seed in 0..5 {
        let mut pair = Pair::new(seed, Link { loss: 100, ..Link::default() }, config(), config());
        for n in 0..400_u64 {
            pair.send(&n.to_be_bytes(), any()).expect("there is room");
            pair.run(5);
        }
        pair.run(3000);
        let mut received = pair.received();
        let arrived = received.len();
        received.sort();
        received.dedup();
        assert_eq!(received.len(), arrived, "nothing comes twice");
        assert!((300..400).contains(&arrived), "{arrived} of 400 arrived at 10 % loss");
        let log = pair.client.borrow();
        assert_eq!(log.acked.len() + log.lost.len(), 400, "each has one fate");
        assert!(log.acked.len() <= arrived && log.lost.len() >= 400 - arrived);
    }
}

#[test]
fn nothing_is_sent_to_a_peer_that_has_not_asked_for_it() {
    // RFC 9221 §3
    let mut pair = Pair::new(1, Link::default(), config(), Config::default());
    assert_eq!(pair.max(), None);
    assert_eq!(pair.send(b"x", any()), Err(DatagramError::NotSupported));
}

#[test]
fn frames_are_no_larger_than_the_peer_said() {
    // RFC 9221 §3: type and length count.
    let datagrams = DatagramConfig { max_frame_size: 100, ..DatagramConfig::default() };
    let server = Config { datagrams, ..Config::default() };
    let mut pair = Pair::new(1, Link::default(), config(), server);
    assert_eq!(pair.max(), Some(97)); // one byte for the type, two for the length of 97
    assert_eq!(pair.send(&[0; 98], any()), Err(DatagramError::TooLarge(97)));
    pair.send(&[0; 97], any()).expect("it fits");
    pair.run(200);
    assert_eq!(pair.received().len(), 1);
    assert!(pair.server.borrow().closed.is_none());
}

#[test]
fn the_limit_follows_the_path() {
    let mut pair = Pair::simple();
    let first = pair.max().expect("the server takes them");
    pair.run(3000);
    let later = pair.max().expect("the server takes them");
    assert!(first < 1200 && later > 1350, "{first}, then {later}: the MTU was found");
}

#[test]
fn datagrams_go_before_less_urgent_streams_and_after_more_urgent_ones() {
    for (urgency, first) in [(1, true), (6, false)] {
        let mut pair = Pair::simple();
        let bulk = pair.bulk(300_000);
        pair.prioritize(bulk, 3, true);
        for n in 0..30_u8 {
            pair.send(&[n; 1000], urgent(urgency)).expect("there is room");
        }
        pair.run(5000);
        let log = pair.server.borrow();
        let bulk = log.streams.values().next().expect("the stream came").1;
        assert_eq!(log.received.len(), 30);
        let before = log.received.iter().filter(|(at, _)| *at < bulk).count();
        assert_eq!(before == 30, first, "urgency {urgency}: {before} before the stream's end");
        assert!(first || before <= 1);
    }
}

#[test]
fn datagrams_and_streams_of_one_urgency_share() {
    let mut pair = Pair::simple();
    let bulk = pair.bulk(200_000);
    pair.prioritize(bulk, 3, true);
    for n in 0..150_u8 {
        pair.send(&[n; 1000], any()).expect("there is room");
    }
    pair.net.kick();
    let server = Rc::clone(&pair.server);
    let half = pair.net.run_until(Duration::from_secs(5), |_| server.borrow().received.len() >= 75);
    assert!(half);
    let bulk = server.borrow().streams.values().next().expect("the stream came too").0;
    assert!((45_000..110_000).contains(&bulk), "{bulk} bytes of the stream beside 75,000");
}

#[test]
fn the_most_urgent_datagram_goes_first() {
    let mut pair = Pair::simple();
    for urgency in [7, 3, 0, 200, 0] {
        pair.send(&[urgency], urgent(urgency)).expect("there is room");
    }
    pair.run(200);
    let order: Vec<u8> = pair.received().iter().map(|data| data[0]).collect();
    assert_eq!(order, [0, 0, 3, 7, 200]);
}

#[test]
fn a_datagram_that_is_late_is_dropped_and_told() {
    let mut pair = Pair::simple();
    let bulk = pair.bulk(400_000);
    pair.prioritize(bulk, 0, true);
    let deadline = Some(pair.net.now + Duration::from_millis(30));
    pair.send(b"late", DatagramOptions { deadline, ..any() }).expect("there is room");
    pair.send(b"patient", any()).expect("there is room");
    pair.run(31);
    assert_eq!(pair.client.borrow().dropped.len(), 1, "told when the time has come");
    pair.run(5000);
    assert_eq!(pair.received(), [Bytes::from_static(b"patient")]);
}

#[test]
fn the_send_queue_is_bounded() {
    let mut pair = Pair::simple();
    let bulk = pair.bulk(100_000);
    pair.prioritize(bulk, 0, true);
    let sent = (0..10_000).take_while(|_| pair.send(&[], any()).is_ok()).count();
    assert_eq!(sent, 256 * 1024 / 64); // empty ones count as well
    assert_eq!(pair.send(b"x", any()), Err(DatagramError::QueueFull));
    pair.run(10_000);
    assert_eq!(pair.received().len(), sent);
    pair.send(b"x", any()).expect("there is room again");
}

#[test]
fn datagrams_obey_congestion_control_and_no_flow_control() {
    // RFC 9221 §5.3, §5.4
    let mut server = config();
    server.streams.max_data = 0;
    let mut pair = Pair::new(1, Link::default(), config(), server);
    for _ in 0..200 {
        pair.send(&[0; 1000], any()).expect("there is room");
    }
    pair.net.kick();
    let (window, sent) = {
        let stats = pair.net.clients[0].host().connection().stats();
        (stats.congestion_window, pair.net.clients[0].host().connection().datagram_stats().sent)
    };
    assert!(sent * 1000 <= window, "{sent} in a window of {window}");
    pair.run(5000);
    assert_eq!(pair.received().len(), 200);
}

#[test]
fn datagrams_as_large_as_a_packet_all_go_out_beside_a_stream() {
    let mut pair = Pair::simple();
    pair.run(3000); // the MTU is found
    let max = pair.max().expect("the server takes them");
    let (now, mut sent) = (pair.net.now, 0);
    pair.net.clients[0].enter(now, |_, cx| {
        while cx.send_datagram(Bytes::from(vec![0; max]), any()).is_ok() {
            sent += 1;
        }
    });
    let bulk = pair.bulk(500_000);
    pair.prioritize(bulk, 3, true);
    pair.run(5000);
    assert_eq!(pair.received().len(), sent);
    assert!(pair.client.borrow().dropped.is_empty());
}

/// A client without rules, connected to a server with these settings.
fn attack(server: Config) -> (Net<DatagramPeer>, Evil, Logs) {
    let log = Logs::default();
    let mut net = Net::new(7, Link::default(), factory(server, &log));
    let parameters = parameters_with(0x20, &varint(65_535));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters, unchanged());
    assert!(evil.handshake(&mut net));
    (net, evil, log)
}

#[test]
fn a_frame_larger_than_allowed_closes_the_connection() {
    // RFC 9221 §3
    let datagrams = DatagramConfig { max_frame_size: 100, ..DatagramConfig::default() };
    for (len, has_length, allowed) in
        [(97, true, true), (98, true, false), (99, false, true), (100, false, false)]
    {
        let (mut net, mut evil, log) = attack(Config { datagrams, ..Config::default() });
        evil.send_frame(&mut net, &Frame::Datagram { data: &vec![1; len], has_length });
        let close = evil.wait_for_close(&mut net);
        let code = close.map(|close| Code(close.code));
        assert_eq!(code, (!allowed).then_some(Code::PROTOCOL_VIOLATION), "{len} {has_length}");
        assert_eq!(log.borrow().received.len(), usize::from(allowed));
    }
}

#[test]
fn datagrams_are_not_for_handshake_packets() {
    // RFC 9221 §4
    let log = Logs::default();
    let mut net: Net<DatagramPeer> = Net::new(7, Link::default(), factory(config(), &log));
    let mut evil = Evil::client(&mut net, 5000, ALPN, &parameters(), unchanged());
    let frame = bytes_of(&Frame::Datagram { data: b"x", has_length: true });
    evil.start(&mut net);
    evil.send(&mut net, PacketType::Initial, &frame);
    let close = evil.wait_for_close(&mut net).expect("the server closes");
    assert_eq!(Code(close.code), Code::PROTOCOL_VIOLATION);
}
