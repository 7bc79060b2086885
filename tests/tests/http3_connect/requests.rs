//! Which requests our client sends as CONNECT and extended CONNECT, and when (RFC 8441).

use http::{Method, Uri};
use protoquic::http::{ExchangeError, Http3Config, RequestFailure};

use crate::client::{Talk, saying};
use crate::server::Manner;
use crate::{extended, on, pair, plain};

#[test]
fn an_extended_connect_waits_for_the_servers_settings() {
    // RFC 8441 §3: asked for before the handshake even.
    let mut pair = pair(Manner::Echo, on());
    let dialogue = pair.start(extended(), saying(b"hi")).unwrap();
    pair.run();
    assert!(dialogue.state.borrow().complete && dialogue.state.borrow().heard == b"hi");
    assert_eq!(pair.log.borrow().targets, ["websocket https://localhost/chat?x"]);
}

#[test]
fn an_extended_connect_is_not_sent_to_who_did_not_ask_for_it() {
    // RFC 8441 §3
    let mut pair = pair(Manner::Echo, Http3Config::default());
    let early = pair.start(extended(), saying(b"hi")).unwrap();
    pair.run();
    assert!(matches!(early.state.borrow().failure, Some(RequestFailure::Message(_))));
    let late = pair.start(extended(), saying(b"hi"));
    assert!(matches!(late.err(), Some(ExchangeError::Invalid(_))));
    assert!(pair.log.borrow().targets.is_empty());
}

#[test]
fn what_is_no_connect_is_not_sent() {
    let mut pair = pair(Manner::Echo, on());
    let mut other = extended();
    *other.method_mut() = Method::GET;
    let mut absolute = plain();
    *absolute.uri_mut() = Uri::from_static("https://example.org/");
    let mut portless = plain();
    *portless.uri_mut() = Uri::from_static("example.org");
    for request in [other, absolute, portless] {
        let refused = pair.start(request, Talk::default()).err();
        assert!(matches!(refused, Some(ExchangeError::Invalid(_))), "{refused:?}");
    }
}
