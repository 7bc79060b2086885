//! Tunnels between our client and our server (RFC 9114 §4.4): both ways, and how they end.

use std::time::Duration;

use protoquic::http::{ExchangeError, Http3Code as Code, HttpDatagramError, RequestFailure};

use crate::client::saying;
use crate::server::Manner;
use crate::{on, pair, plain};

#[test]
fn a_connect_makes_a_tunnel_both_ways() {
    let mut pair = pair(Manner::Echo, on());
    let long = vec![b'x'; 3_000_000];
    let dialogue = pair.start(plain(), saying(&long)).unwrap();
    let ended = |_: &_| dialogue.state.borrow().complete;
    assert!(pair.net.run_until(Duration::from_mins(1), ended));
    let talk = dialogue.state.borrow();
    assert_eq!((talk.status, talk.heard.len()), (200, long.len()));
    assert_eq!(pair.log.borrow().targets, [" example.org:22"]);
    assert_eq!(pair.net.clients[0].session().active_requests(), 0);
}

#[test]
fn each_side_of_a_tunnel_ends_on_its_own() {
    // RFC 9114 §4.4; RFC 9297 §2.1: datagrams end with the side that sends them.
    let mut pair = pair(Manner::HalfClosed, on());
    let dialogue = pair.start(plain(), saying(&vec![b'x'; 1_000_000])).unwrap();
    pair.net.run_for(Duration::from_secs(9));
    let log = pair.log.borrow();
    assert!(log.ended && log.received.len() == 1_000_000, "{} bytes", log.received.len());
    assert_eq!(log.late_datagram, Some(Err(HttpDatagramError::StreamClosed)));
    assert!(dialogue.state.borrow().complete);
}

#[test]
fn a_tunnel_that_breaks_says_so() {
    // RFC 9114 §4.4
    let mut pair = pair(Manner::Breaks, on());
    let dialogue = pair.start(plain(), saying(b"x")).unwrap();
    pair.run();
    let failure = dialogue.state.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Code::CONNECT_ERROR)));
}

#[test]
fn a_tunnel_has_no_length() {
    // RFC 9110 §9.3.6
    let mut pair = pair(Manner::Measured, on());
    let dialogue = pair.start(plain(), saying(b"much more than one")).unwrap();
    pair.run();
    assert!(matches!(pair.log.borrow().errors[..], [ExchangeError::Invalid(_)]));
    assert_eq!(dialogue.state.borrow().heard, b"much more than one");
}
