//! Malformed CONNECTs, and what a tunnel may carry: our server and our client, each against a peer
//! that writes any bytes.

use protoquic::http::{Http3Code as Code, Http3Config};
use protoquic_tests::http3::{CONTROL, GET, data, frame, headers};
use protoquic_tests::raw::{bidi, uni};

use crate::client::saying;
use crate::raw::{
    against_raw_server, against_server, connect_with, open, request_stream, websocket,
};
use crate::{on, plain, transport};

#[test]
fn malformed_connects_cost_their_stream() {
    // RFC 9114 §4.4, RFC 8441 §4
    let authority = (":authority", "localhost:443");
    let path = (":path", "/");
    let no_path = [(":protocol", "websocket"), (":scheme", "https"), authority];
    let get = headers(&[&GET[..], &[(":protocol", "websocket")]].concat());
    let bad = [
        (on(), connect_with(&no_path)),
        (on(), connect_with(&[authority, path])),
        (on(), connect_with(&[(":protocol", "no token"), (":scheme", "https"), authority, path])),
        (on(), get),
        // Not asked for.
        (Http3Config::default(), websocket()),
    ];
    for (config, request) in bad {
        let (seen, log) = against_server(config, vec![uni(CONTROL), open(request)], &[], false);
        let seen = seen.borrow();
        let reset = seen.resets.get(&request_stream(0)).copied().map(Code);
        assert_eq!(reset, Some(Code::MESSAGE_ERROR), "{seen:?}");
        assert!(seen.closed.is_none() && log.borrow().targets.is_empty());
    }
}

#[test]
fn a_connect_without_a_port_is_a_bad_request() {
    // RFC 9110 §9.3.6
    let request = connect_with(&[(":authority", "localhost")]);
    let (seen, log) = against_server(on(), vec![uni(CONTROL), bidi(request)], &[], false);
    assert!(seen.borrow().finished.contains(&request_stream(0)));
    assert!(log.borrow().targets.is_empty());
}

#[test]
fn a_tunnel_carries_data_only() {
    // RFC 9114 §4.4
    let trailers = [websocket(), data(b"x"), headers(&[("a", "b")])].concat();
    let (seen, _) = against_server(on(), vec![uni(CONTROL), open(trailers)], &[], false);
    assert_eq!(seen.borrow().close_code().map(Code), Some(Code::FRAME_UNEXPECTED));
    let fine = [websocket(), frame(0x21, b"reserved"), data(b"x")].concat();
    let (seen, log) = against_server(on(), vec![uni(CONTROL), bidi(fine)], &[], false);
    assert!(seen.borrow().closed.is_none() && log.borrow().received == b"x");
}

#[test]
fn a_client_ignores_the_length_of_a_tunnel_and_takes_data_only() {
    // RFC 9110 §9.3.6, RFC 9114 §4.4
    let ok = headers(&[(":status", "200"), ("content-length", "1")]);
    let promise = frame(5, &[&[0, 0, 0][..], &[0xd1, 0xd7, 0xc1]].concat());
    for (more, expected) in [(vec![], None), (promise, Some(Code::FRAME_UNEXPECTED))] {
        let answer = [ok.clone(), data(b"tunnel"), more].concat();
        let (mut pair, seen) = against_raw_server(transport(), uni(CONTROL), bidi(answer));
        let dialogue = pair.start(plain(), saying(b"x")).unwrap();
        pair.run();
        assert_eq!(seen.borrow().close_code().map(Code), expected);
        assert_eq!(dialogue.state.borrow().heard, b"tunnel");
    }
}
