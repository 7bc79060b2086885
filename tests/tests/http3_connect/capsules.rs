//! Capsules in a tunnel (RFC 9297 §3).

use protoquic::http::{Capsule, Http3Code as Code, RequestFailure};

use crate::client::saying;
use crate::server::Manner;
use crate::{extended, on, pair};

#[test]
fn capsules_go_where_datagrams_do_not() {
    // RFC 9297 §3.5
    let mut pair = pair(Manner::Capsules, on());
    let other = Capsule { kind: 0x1234, value: vec![1; 9000].into() };
    let ours = Capsule::datagram("hi".into());
    let said = [other.encode(), ours.encode(), other.encode()].concat();
    let dialogue = pair.start(extended(), saying(&said)).unwrap();
    pair.run();
    assert_eq!(dialogue.state.borrow().heard, ours.encode());
    assert!(dialogue.state.borrow().complete);
}

#[test]
fn a_truncated_capsule_is_a_malformed_message() {
    // RFC 9297 §3.3
    let mut pair = pair(Manner::Capsules, on());
    let dialogue = pair.start(extended(), saying(&[0, 5, 1])).unwrap();
    pair.run();
    let failure = dialogue.state.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Code::MESSAGE_ERROR)));
}
