//! What changes about the packets of a living connection: their size, their marks, their keys.

use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic::{Direction, Ecn, StreamId};
use protoquic_tests::net::Link;
use protoquic_tests::protocols::EchoClient;

use super::{SECOND, connect, end, evil_client, evil_server, is_done, net, net_on};

#[test]
fn the_packet_size_rises_to_what_the_path_carries() {
    // RFC 9000 §14.3, RFC 8899
    for (mtu, low, high) in [(1500, 1452, 1452), (1300, 1260, 1300), (1200, 1200, 1200)] {
        let mut net = net_on(Link { mtu, ..Link::default() });
        connect(&mut net, Config::default(), EchoClient::patient(1, 2_000_000));
        assert!(net.run_until(SECOND * 30, is_done));
        net.run_for(SECOND * 10);
        let size = net.clients[0].host().connection().stats().packet_size;
        assert!((low..=high).contains(&size), "{size} on a path of {mtu}");
    }
}

#[test]
fn a_path_that_shrinks_is_noticed() {
    // RFC 8899 §4.3
    let mut net = net();
    connect(&mut net, Config::default(), EchoClient::patient(1, 20_000_000));
    net.run_for(SECOND / 4);
    assert_eq!(net.clients[0].host().connection().stats().packet_size, 1452);
    assert!(!is_done(&net), "there is something left to do");
    net.link.mtu = 1300;
    assert!(net.run_until(SECOND * 25, is_done), "{:?}", end(&net));
}

#[test]
fn many_losses_in_a_row_do_not_shrink_packets_that_arrive_again() {
    // RFC 8899 §4.3: a queue that overflows is no black hole.
    let mut net = net();
    connect(&mut net, Config::default(), EchoClient::patient(1, 40_000_000));
    net.run_for(SECOND / 5);
    for _ in 0..3 {
        net.link.loss = 1000;
        net.run_for(SECOND / 100);
        net.link.loss = 0;
        net.run_for(SECOND / 20);
    }
    let stats = net.clients[0].host().connection().stats();
    assert!(stats.packets_lost >= 100, "{} were lost", stats.packets_lost);
    assert!(!is_done(&net), "there is something left to do");
    assert_eq!(stats.packet_size, 1452);
}

#[test]
fn an_end_that_reports_no_marks_gets_none() {
    // RFC 9000 §13.4.2
    let (mut net, mut evil) = evil_server();
    assert!(evil.seen.iter().any(|packet| packet.ecn == Ecn::Ect0), "the path is tested");
    evil.run(&mut net, SECOND);
    let before = evil.seen.len();
    let now = net.now;
    net.clients[0].enter(now, |_, cx| cx.connection().ping());
    net.kick();
    evil.run(&mut net, SECOND);
    assert!(evil.seen.len() > before);
    assert!(evil.seen[before..].iter().all(|packet| packet.ecn == Ecn::NotEct));
}

#[test]
fn received_marks_are_reported() {
    // RFC 9000 §13.4.1
    let mut net = net();
    let mut evil = evil_client(&mut net);
    for mark in [Ecn::Ect0, Ecn::Ect0, Ecn::Ce] {
        evil.mark = mark;
        evil.send_frame(&mut net, &Frame::Ping);
        evil.mark = Ecn::NotEct;
    }
    evil.run(&mut net, SECOND);
    let reported = |frame: &Frame<'_>| match frame {
        Frame::Ack(ack) => ack.ecn.is_some_and(|ecn| (ecn.ect0, ecn.ect1, ecn.ce) == (2, 0, 1)),
        _ => false,
    };
    assert!(evil.has_seen(reported));
}

#[test]
fn a_key_update_is_followed() {
    // RFC 9001 §6.2
    let mut net = net();
    let mut evil = evil_client(&mut net);
    for round in 0..5 {
        evil.update_keys();
        let id = StreamId::new(protoquic::Role::Client, Direction::Bidirectional, round);
        let data = &[b'0' + round as u8; 4][..];
        evil.send_frame(&mut net, &Frame::Stream { id, offset: 0, fin: true, data });
        let echo = |f: &Frame<'_>| matches!(f, Frame::Stream { data: d, .. } if *d == data);
        assert!(evil.run_until(&mut net, SECOND, |evil| evil.has_seen(echo)), "round {round}");
        evil.run(&mut net, SECOND);
    }
    assert_eq!(evil.close(), None);
}

#[test]
fn a_transfer_survives_key_updates() {
    let mut net = net();
    connect(&mut net, Config::default(), EchoClient::patient(1, 5_000_000));
    let mut updates = 0;
    for _ in 0..20 {
        net.run_for(SECOND / 20);
        let now = net.now;
        updates +=
            u32::from(net.clients[0].enter(now, |_, cx| cx.connection().initiate_key_update()));
    }
    assert!(updates >= 3, "{updates} updates");
    assert!(net.run_until(SECOND * 30, is_done), "{:?}", end(&net));
}
