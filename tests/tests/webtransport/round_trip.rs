//! Streams and datagrams of sessions, both ways.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use protoquic::connection::Config;
use protoquic::{Direction, StreamError};

use super::{Pair, Player, pair, pair_with, transport};

#[test]
fn all_kinds_of_streams_and_datagrams_come_back() {
    let mut pair = pair();
    let (_, player) = pair.open("/echo").unwrap();
    let long = vec![b'x'; 1_500_000];
    player.say(Direction::Bidirectional, long.clone());
    player.say(Direction::Unidirectional, "one way");
    player.say(Direction::Unidirectional, "");
    player.then(|session| {
        assert!(session.max_datagram_size().unwrap() > 1000);
        session.send_datagram(b"datagram").unwrap();
    });
    pair.net.run_for(std::time::Duration::from_secs(20));
    let log = player.log.borrow();
    assert_eq!(log.datagrams, ["datagram"]);
    let mut texts: Vec<_> = log.data.values().map(Vec::len).collect();
    texts.sort_unstable();
    assert_eq!(texts, [7, long.len()]);
    assert_eq!(log.incoming.len(), 2);
    assert_eq!(log.finished.len(), 3);
    assert_eq!(*pair.server.origins.borrow(), ["here"]);
}

#[test]
fn a_server_opens_streams_of_both_kinds() {
    let mut pair = pair();
    let server = pair.server.player.clone();
    server.say(Direction::Bidirectional, "ask");
    server.say(Direction::Unidirectional, "tell");
    server.then(|session| session.send_datagram(b"hint").unwrap());
    let (_, client) = pair.opened("/play");
    let mut texts = client.texts();
    texts.sort();
    assert_eq!(texts, [b"ask".to_vec(), b"tell".to_vec()]);
    assert_eq!(client.log.borrow().datagrams, ["hint"]);
    assert_eq!(client.log.borrow().finished.len(), 2);
}

#[test]
fn sessions_of_one_connection_keep_their_streams_apart() {
    let mut pair = pair();
    pair.run();
    let players: Vec<Player> = (0..3)
        .map(|n: u8| {
            let (_, player) = pair.open("/echo").unwrap();
            player.say(Direction::Unidirectional, vec![n; 10]);
            player.then(move |session| session.send_datagram(&[n]).unwrap());
            player
        })
        .collect();
    pair.run();
    for (n, player) in (0..).zip(&players) {
        assert_eq!(player.texts(), [vec![n; 10]]);
        assert_eq!(player.log.borrow().datagrams, [Bytes::from(vec![n])]);
    }
}

#[test]
fn a_session_cannot_use_the_streams_of_another() {
    let mut pair = pair();
    pair.run();
    let (one, first) = pair.opened("/echo");
    let (two, second) = pair.opened("/echo");
    let streams: Rc<RefCell<Vec<_>>> = Rc::default();
    let noted = Rc::clone(&streams);
    first.then(move |session| {
        noted.borrow_mut().push(session.open_bidirectional_stream().unwrap());
    });
    pair.wake(one);
    let stream = streams.borrow()[0];
    second.then(move |session| {
        let written = session.write(stream, &mut Bytes::from_static(b"x"));
        assert_eq!(written, Err(StreamError::UnknownStream));
        assert_eq!(session.finish(stream), Err(StreamError::UnknownStream));
        session.reset(stream, 1);
        assert_eq!(session.read(stream), None);
    });
    pair.wake(two);
    assert!(second.deeds.borrow().is_empty() && first.log.borrow().resets.is_empty());
}

#[test]
fn codes_of_resets_and_stops_are_those_of_the_application() {
    // draft-ietf-webtrans-http3-07 §4.3
    let mut pair = pair();
    let (_, client) = pair.open("/play").unwrap();
    client.then(|session| {
        let stream = session.open_bidirectional_stream().unwrap();
        session.write(stream, &mut Bytes::from_static(b"x")).unwrap();
        session.reset(stream, 0x1234_5678);
        session.stop_sending(stream, 29);
        let other = session.open_unidirectional_stream().unwrap();
        session.reset(other, u32::MAX);
    });
    pair.run();
    let log = pair.server.player.log.borrow();
    let codes: Vec<_> = log.resets.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [Some(0x1234_5678), Some(u32::MAX)]);
    assert_eq!(log.stops.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [Some(29)]);
    assert_eq!(log.incoming.len(), 2, "that they are the session's arrived all the same");
}

#[test]
fn an_echo_passes_resets_and_stops_on() {
    let mut pair = pair();
    let (_, client) = pair.open("/echo").unwrap();
    client.then(|session| {
        let stream = session.open_bidirectional_stream().unwrap();
        session.write(stream, &mut Bytes::from_static(b"x")).unwrap();
        session.reset(stream, 7);
    });
    pair.run();
    let log = client.log.borrow();
    assert_eq!(log.resets.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [Some(7)]);
}

#[test]
fn a_limit_of_streams_is_told_and_its_end_too() {
    let mut config: Config = transport();
    config.streams.max_streams_bidi = 2;
    let mut pair: Pair = pair_with(super::on(), config);
    let server = pair.server.player.clone();
    server.then(|session| {
        let one = session.open_bidirectional_stream().unwrap();
        session.open_bidirectional_stream().unwrap();
        assert_eq!(session.open_bidirectional_stream(), Err(StreamError::LimitReached));
        session.finish(one).unwrap();
    });
    let (id, client) = pair.opened("/play");
    let streams = client.log.borrow().incoming.clone();
    assert_eq!(streams.len(), 2);
    client.then(move |session| session.finish(streams[0]).unwrap());
    pair.wake(id);
    assert_eq!(server.log.borrow().can_open, [Direction::Bidirectional]);
}
