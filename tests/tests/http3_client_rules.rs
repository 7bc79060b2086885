//! The rules of HTTP/3 and what breaking them costs a server: a peer that writes any bytes against
//! our client.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::Request;
use protoquic::FnFactory;
use protoquic::http::{ALPN, Http3ClientSession, Http3Code as Code, Http3Config, RequestFailure};
use protoquic::{Direction, Host, SessionHost};
use protoquic_tests::http3::{CONTROL, Outcome, ask, data, frame, headers, server_config};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi, uni};

/// A control stream that goes on like this.
fn control(more: &[u8]) -> Script {
    uni([&CONTROL, more].concat())
}

struct Run {
    seen: Rc<RefCell<Seen>>,
    outcome: Rc<RefCell<Outcome>>,
}

/// Our client sends a request to a server that opens these streams and answers like this.
fn against_client(
    request: Request<()>,
    scripts: impl IntoIterator<Item = Script>,
    answer: Script,
) -> Run {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let scripts: Vec<_> = scripts.into_iter().collect();
    let shared = Rc::clone(&seen);
    let factory = FnFactory::new(&[ALPN], server_config(), move |connection| {
        let mut peer = RawPeer::new(scripts.clone());
        peer.answers.push_back(answer.clone());
        peer.seen = Rc::clone(&shared);
        Box::new(SessionHost::new(connection, peer)) as Box<dyn Host>
    });
    let mut net = Net::new(1, Link::default(), factory);
    net.connect_simply(ALPN, Http3ClientSession::new(Http3Config::default()));
    let (_, outcome) = ask(&mut net, 0, request);
    net.run_for(Duration::from_secs(2));
    Run { seen, outcome }
}

fn request(method: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri("https://localhost/")
        .body(())
        .expect("the request is well formed")
}

#[track_caller]
fn client_closes(code: Code, scripts: impl IntoIterator<Item = Script>, answer: Vec<u8>) {
    let run = against_client(request("GET"), scripts, bidi(answer));
    assert_eq!(run.seen.borrow().close_code().map(Code), Some(code));
    assert!(run.outcome.borrow().failure.is_some());
}

/// The response is malformed: only the stream suffers.
#[track_caller]
fn client_refuses(method: &str, answer: Vec<u8>) {
    let run = against_client(request(method), [uni(CONTROL)], bidi(answer));
    let failure = run.outcome.borrow().failure.clone();
    match failure {
        Some(RequestFailure::Message(error)) => assert_eq!(error.code, Code::MESSAGE_ERROR),
        other => panic!("{other:?}, {:?}", run.outcome.borrow()),
    }
    assert!(run.seen.borrow().closed.is_none());
}

#[track_caller]
fn client_accepts(method: &str, answer: Vec<u8>) -> Outcome {
    let run = against_client(request(method), [uni(CONTROL)], bidi(answer));
    let outcome = run.outcome.take();
    assert!(outcome.complete, "{outcome:?} {:?}", run.seen.borrow().closed);
    outcome
}

fn ok(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&[(":status", "200")], more].concat())
}

#[test]
fn responses_of_all_shapes_are_accepted() {
    let outcome = client_accepts("GET", [ok(&[]), data(b"body")].concat());
    assert_eq!((outcome.status(), &outcome.body[..]), (200, &b"body"[..]));
    assert!(client_accepts("GET", ok(&[])).body.is_empty());
    let interim = headers(&[(":status", "103"), ("link", "x")]);
    let trailers = headers(&[("a", "b")]);
    let answer = [interim.clone(), interim, ok(&[]), data(b"x"), trailers].concat();
    let outcome = client_accepts("GET", answer);
    assert_eq!(outcome.interim.len(), 2);
    assert_eq!(outcome.trailers.unwrap()["a"], "b");
    client_accepts("HEAD", ok(&[("content-length", "5")]));
    client_accepts("GET", headers(&[(":status", "304"), ("content-length", "5")]));
}

#[test]
fn malformed_responses_cost_their_stream() {
    client_refuses("GET", headers(&[("x", "y")]));
    client_refuses("GET", ok(&[(":status", "200")]));
    client_refuses("GET", ok(&[("Upper", "case")]));
    client_refuses("GET", ok(&[("connection", "close")]));
    client_refuses("GET", headers(&[(":status", "101")]));
    client_refuses("GET", headers(&[(":status", "103")]));
    client_refuses("GET", vec![]);
    client_refuses("GET", [ok(&[("content-length", "5")]), data(b"four")].concat());
    client_refuses("GET", [ok(&[("content-length", "3")]), data(b"four")].concat());
    client_refuses("HEAD", [ok(&[]), data(b"x")].concat());
}

#[test]
fn frames_out_of_place_cost_the_connection() {
    let answers = [
        [data(b""), ok(&[])].concat(),
        [ok(&[]), frame(4, b"")].concat(),
        [ok(&[]), frame(2, b"")].concat(),
        [ok(&[]), headers(&[("a", "b")]), data(b"x")].concat(),
    ];
    for answer in answers {
        client_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL)], answer);
    }
    client_closes(Code::FRAME_UNEXPECTED, [control(&frame(0x0d, &[1]))], vec![]);
    let mut cut = [ok(&[]), data(b"body")].concat();
    cut.pop();
    client_closes(Code::FRAME_ERROR, [uni(CONTROL)], cut);
}

#[test]
fn servers_do_not_prioritize() {
    // RFC 9218 §7.2
    for ty in [0xf0700, 0xf0701] {
        let update = frame(ty, b"\0u=1");
        client_closes(Code::FRAME_UNEXPECTED, [control(&update)], vec![]);
        client_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL)], [ok(&[]), update].concat());
    }
}

#[test]
fn no_push_is_allowed() {
    let promise = [frame(5, &[0, 0, 0]), ok(&[])].concat();
    client_closes(Code::ID_ERROR, [uni(CONTROL)], promise);
    client_closes(Code::ID_ERROR, [uni(CONTROL), uni([1, 0])], vec![]);
    client_closes(Code::ID_ERROR, [control(&frame(3, &[0]))], vec![]);
}

#[test]
fn servers_open_no_bidirectional_streams() {
    let open = Script { direction: Direction::Bidirectional, ..uni([0]) };
    client_closes(Code::STREAM_CREATION_ERROR, [uni(CONTROL), open], vec![]);
}

#[test]
fn goaway_names_requests_and_does_not_grow() {
    client_closes(Code::ID_ERROR, [control(&frame(7, &[1]))], vec![]);
    let grows = [frame(7, &[4]), frame(7, &[8])].concat();
    client_closes(Code::ID_ERROR, [control(&grows)], vec![]);
}

#[test]
fn requests_that_were_not_processed_can_be_sent_again() {
    let silent = bidi([]).ending(End::Open);
    let run = against_client(request("POST"), [control(&frame(7, &[0]))], silent);
    let failure = run.outcome.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::NotProcessed));
    let rejected = bidi([]).ending(End::Reset(Code::REQUEST_REJECTED.0));
    let run = against_client(request("POST"), [uni(CONTROL)], rejected);
    assert!(run.outcome.borrow().failure.as_ref().unwrap().is_retriable());
    let failed = bidi([]).ending(End::Reset(Code::INTERNAL_ERROR.0));
    let run = against_client(request("POST"), [uni(CONTROL)], failed);
    let failure = run.outcome.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Code::INTERNAL_ERROR)));
}

#[test]
fn our_control_stream_begins_with_settings() {
    let run = against_client(request("GET"), [], bidi(ok(&[])));
    let seen = run.seen.borrow();
    let control = seen.data.values().find(|data| data.first() == Some(&0));
    assert_eq!(control.unwrap()[..2], [0, 4]);
}
