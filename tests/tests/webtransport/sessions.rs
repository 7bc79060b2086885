//! How sessions begin and end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use protoquic::http::webtransport::{WebTransportEnd, to_http3_code};
use protoquic::http::{
    ALPN, ExchangeError, Http3Code, Http3Config, HttpDatagramError, RequestFailure,
};
use protoquic::{Direction, StreamError};

use protoquic_tests::http3::{GET, headers};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{RawPeer, bidi};
use protoquic_tests::tls;

use super::rules::{connect, control, in_session, request};
use super::{on, pair, pair_with, server, transport};

fn closed(code: u32, reason: &str) -> WebTransportEnd {
    WebTransportEnd::Closed { code, reason: reason.to_owned() }
}

#[test]
fn a_server_may_reject_a_session() {
    let mut pair = pair();
    let (_, player) = pair.opened("/nothing");
    assert_eq!(player.end(), Some(WebTransportEnd::Rejected(StatusCode::NOT_FOUND)));
    assert!(!player.log.borrow().is_ready);
}

#[test]
fn a_server_that_offers_none_is_not_asked() {
    // draft-ietf-webtrans-http3-07 §3.1
    let http = Http3Config { webtransport_sessions: 0, datagrams: true, ..on() };
    let http = Http3Config { enable_connect_protocol: true, ..http };
    let mut pair = pair_with(http, transport());
    let (_, early) = pair.opened("/echo");
    assert!(matches!(early.end(), Some(WebTransportEnd::Failed(RequestFailure::Message(_)))));
    assert!(matches!(pair.open("/echo").err(), Some(ExchangeError::Invalid(_))));
    assert!(pair.server.origins.borrow().is_empty());
}

#[test]
fn a_client_keeps_to_the_number_of_sessions() {
    // §3.4
    let http = Http3Config { webtransport_sessions: 2, ..on() };
    let mut pair = pair_with(http, transport());
    let (first, player) = pair.open("/echo").unwrap();
    // Before the settings have come, one.
    assert_eq!(pair.open("/echo").err(), Some(ExchangeError::QueueFull));
    pair.run();
    pair.opened("/echo");
    assert_eq!(pair.open("/echo").err(), Some(ExchangeError::QueueFull));
    player.then(|session| session.close(0, "").unwrap());
    pair.wake(first);
    let (_, third) = pair.opened("/echo");
    assert!(third.log.borrow().is_ready);
}

#[test]
fn a_close_ends_all_with_code_and_reason() {
    // §5, both ways.
    for by_client in [true, false] {
        let mut pair = pair();
        let (id, client) = pair.open("/play").unwrap();
        let server = pair.server.player.clone();
        client.then(|session| {
            session.open_bidirectional_stream().unwrap();
            session.open_unidirectional_stream().unwrap();
        });
        server.then(|session| {
            session.open_unidirectional_stream().unwrap();
        });
        pair.run();
        let (closer, other) = if by_client { (&client, &server) } else { (&server, &client) };
        closer.then(|session| {
            session.close(0xdead_beef, "enough").unwrap();
            session.close(1, "too late").unwrap();
            assert_eq!(session.open_bidirectional_stream(), Err(StreamError::Finished));
            assert_eq!(session.send_datagram(b"x"), Err(HttpDatagramError::StreamClosed));
        });
        client.then(|session| {
            // Has the server's visitor called.
            let _ = session.send_datagram(b"x");
        });
        pair.wake(id);
        assert_eq!(closer.end(), Some(closed(0xdead_beef, "enough")));
        assert_eq!(other.end(), Some(closed(0xdead_beef, "enough")));
        let session = pair.net.clients[0].session();
        assert_eq!(session.active_requests(), 0, "closed by the client: {by_client}");
        let open = pair.net.clients[0].host().connection().stream_stats();
        assert_eq!(open.glitches, 0);
        assert!(pair.net.clients[0].close_reason().is_none());
    }
}

#[test]
fn a_reason_has_an_end() {
    // §5: at most 1024 bytes.
    let mut pair = pair();
    let (_, client) = pair.open("/play").unwrap();
    client.then(|session| {
        let long = "x".repeat(1025);
        assert!(matches!(session.close(1, &long), Err(ExchangeError::Invalid(_))));
        session.close(2, &long[..1024]).unwrap();
    });
    pair.run();
    assert_eq!(pair.server.player.end(), Some(closed(2, &"x".repeat(1024))));
}

#[test]
fn a_drain_is_a_wish() {
    // §4.6
    let mut pair = pair();
    let (_, client) = pair.open("/play").unwrap();
    client.then(|session| {
        session.drain();
        session.drain();
        session.open_unidirectional_stream().unwrap();
    });
    pair.run();
    assert_eq!(pair.server.player.log.borrow().drains, 1);
    assert_eq!(pair.server.player.end(), None);
}

#[test]
fn who_goes_away_drains_the_sessions() {
    // §4.6: GOAWAY, and the capsule for those who do not look at it; told once each.
    let mut pair = pair();
    let (_, client) = pair.opened("/play");
    let now = pair.net.now;
    pair.net.server.stop_accepting_new_connections(now);
    pair.net.kick();
    pair.run();
    assert_eq!(client.log.borrow().drains, 1);
    assert_eq!(client.end(), None);
    assert_eq!(pair.open("/play").err(), Some(ExchangeError::GoingAway));
}

#[test]
fn streams_of_a_session_go_on_after_a_goaway() {
    // §4.6; RFC 9114 §5.2: requests do not.
    let (factory, _) = server(on());
    let mut net = Net::new(1, Link::default(), factory);
    let peer = RawPeer::new([control(), connect("/echo")]);
    let seen = Rc::clone(&peer.seen);
    net.connect(Arc::new(transport()), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.kick();
    net.run_for(Duration::from_secs(1));
    net.run_scripts([in_session(Direction::Bidirectional, 0, b"late"), bidi(headers(&GET))]);
    let seen = seen.borrow();
    assert_eq!(seen.data[&request(1)], b"late");
    assert_eq!(seen.resets.get(&request(2)), Some(&Http3Code::REQUEST_REJECTED.0));
}

#[test]
fn a_session_that_breaks_off_is_told_so() {
    let mut pair = pair();
    let (id, client) = pair.open("/play").unwrap();
    client.say(Direction::Unidirectional, Bytes::from_static(b"x"));
    pair.run();
    let now = pair.net.now;
    pair.net.clients[0].enter(now, |session, cx| session.cancel_request(cx, id));
    pair.net.kick();
    pair.run();
    let end = pair.server.player.end();
    assert!(matches!(end, Some(WebTransportEnd::Failed(RequestFailure::Peer(_)))), "{end:?}");
}

#[test]
fn a_connection_that_closes_ends_its_sessions() {
    let mut pair = pair();
    let (_, client) = pair.opened("/play");
    let now = pair.net.now;
    pair.net.clients[0].close(now, to_http3_code(0).into(), "");
    pair.net.kick();
    pair.run();
    let failed = Some(WebTransportEnd::Failed(RequestFailure::ConnectionClosed));
    assert_eq!((client.end(), pair.server.player.end()), (failed.clone(), failed));
}
