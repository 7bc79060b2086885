//! HTTP Datagrams (RFC 9297 §2): between our client and our server, and from a peer that sends any.

use bytes::Bytes;
use protoquic::http::{Http3Code as Code, Http3Config, HttpDatagramError};
use protoquic_tests::http3::{CONTROL, GET, data, headers, varint};
use protoquic_tests::raw::uni;

use crate::client::Talk;
use crate::raw::{against_server, against_tunnel, open, request_stream, websocket};
use crate::server::Manner;
use crate::{extended, on, pair};

#[test]
fn datagrams_belong_to_their_exchanges() {
    // RFC 9297 §2.1
    let mut pair = pair(Manner::Echo, on());
    let mut start = |text: &'static [u8]| {
        let send = vec![Bytes::from_static(text); 3];
        pair.start(extended(), Talk { send, ..Talk::default() }).unwrap()
    };
    let (one, other) = (start(b"one"), start(b"other"));
    pair.run();
    assert_eq!(one.state.borrow().sent, [Ok(()); 3]);
    assert_eq!(one.state.borrow().datagrams, [&b"one"[..]; 3]);
    assert_eq!(other.state.borrow().datagrams, [&b"other"[..]; 3]);
}

#[test]
fn datagrams_are_not_sent_before_both_sides_agree_or_too_large() {
    // RFC 9297 §2.1.1
    let too_large = Bytes::from(vec![0; 5000]);
    for datagrams in [true, false] {
        let mut pair = pair(Manner::Echo, Http3Config { datagrams, ..on() });
        let send = vec![too_large.clone()];
        let dialogue = pair.start(extended(), Talk { send, ..Talk::default() }).unwrap();
        pair.run();
        let sent = dialogue.state.borrow().sent[0];
        let is_told = matches!(sent, Err(HttpDatagramError::TooLarge(max)) if max > 1000);
        assert_eq!(
            (is_told, sent == Err(HttpDatagramError::NotSupported)),
            (datagrams, !datagrams)
        );
    }
}

#[test]
fn datagrams_have_an_exchange_they_can_belong_to() {
    // RFC 9297 §2.1: no ID, an ID that no stream can have, one beyond the limit.
    let large = varint(1 << 60);
    for (datagram, expected) in [
        (vec![], Code::DATAGRAM_ERROR),
        (vec![0x40], Code::DATAGRAM_ERROR),
        (large, Code::DATAGRAM_ERROR),
        (varint(1_000_000), Code::ID_ERROR),
    ] {
        let (seen, _) = against_server(on(), vec![uni(CONTROL)], &[datagram], false);
        assert_eq!(seen.borrow().close_code().map(Code), Some(expected));
    }
}

#[test]
fn a_datagram_where_it_means_nothing_ends_the_exchange() {
    // RFC 9297 §2
    let upload = headers(&GET);
    let connect = [websocket(), data(b"x")].concat();
    let scripts = vec![uni(CONTROL), open(connect), open(upload[..5].to_vec())];
    let datagrams = [vec![0, 1], vec![0, 2]];
    let (seen, log) = against_server(on(), scripts, &datagrams, false);
    assert!(seen.borrow().resets.is_empty() && log.borrow().datagrams == 2);
    // A request that has not come whole, and is then no tunnel but an answer that is over.
    let get = vec![uni(CONTROL), open(headers(&GET))];
    let (seen, _) = against_server(on(), get, &[vec![0, 1]], false);
    assert!(seen.borrow().closed.is_none() && seen.borrow().resets.is_empty());
    // A tunnel that takes none.
    let scripts = vec![uni(CONTROL), open(websocket())];
    let (seen, _) = against_tunnel(Manner::Capsules, on(), scripts, &[vec![0, 1]], false);
    let reset = seen.borrow().resets.get(&request_stream(0)).copied().map(Code);
    assert_eq!(reset, Some(Code::DATAGRAM_ERROR));
    assert!(seen.borrow().closed.is_none());
}

#[test]
fn datagrams_ahead_of_their_request_wait_in_bounds() {
    // RFC 9297 §2.1
    let scripts = || vec![uni(CONTROL), open(websocket())];
    let (_, log) = against_server(on(), scripts(), &[vec![0, 1], vec![0, 2], vec![1, 3]], true);
    assert_eq!(log.borrow().datagrams, 2);
    let many = vec![vec![0, 1]; 200];
    let (seen, log) = against_server(on(), scripts(), &many, true);
    assert_eq!(log.borrow().datagrams, 64);
    assert!(seen.borrow().closed.is_none());
}
