//! How connections and requests end: shutdowns of either end, and a request that is cancelled.

use std::time::Duration;

use http::Request;
use protoquic::Session as _;
use protoquic::http::ExchangeError;
use protoquic_tests::http3::{Collector, ask};

use super::{finish, get, hello, net, send};

#[test]
fn a_shutdown_lets_requests_finish_and_closes_without_error() {
    let mut backend = hello();
    backend.set_response_delay("localhost", "/", Duration::from_secs(2));
    let mut net = net(12, backend);
    let request = || Request::get("https://localhost/").body(()).unwrap();
    let early = send(&mut net, request());
    net.run_for(Duration::from_millis(500));
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.kick();
    net.run_for(Duration::from_millis(100));
    assert!(net.clients[0].session().is_going_away());
    let now = net.now;
    let refused = net.clients[0].enter(now, |session, cx| {
        session.send_request(cx, request(), Box::new(Collector::default()))
    });
    assert_eq!(refused.unwrap_err(), ExchangeError::GoingAway);
    finish(&mut net, &early);
    assert_eq!(early.borrow().body, b"hello");
    net.run_for(Duration::from_secs(1));
    let reason = format!("{:?}", net.clients[0].close_reason());
    assert!(reason.contains("PeerApplication") && reason.contains("256"), "{reason}");
}

#[test]
fn a_client_shuts_down_when_its_requests_are_done() {
    let mut net = net(18, hello());
    let request = || Request::get("https://localhost/2000000").body(()).unwrap();
    let outcome = send(&mut net, request());
    net.run_for(Duration::from_millis(100));
    let now = net.now;
    net.clients[0].enter(now, |session, cx| {
        session.on_shutdown(cx);
        let refused = session.send_request(cx, request(), Box::new(Collector::default()));
        assert_eq!(refused.unwrap_err(), ExchangeError::GoingAway);
    });
    net.kick();
    finish(&mut net, &outcome);
    assert_eq!((outcome.borrow().complete, outcome.borrow().len), (true, 2_000_000));
    let reason = format!("{:?}", net.clients[0].host().connection().close_reason());
    assert!(reason.contains("Application") && reason.contains("256"), "{reason}");
}

#[test]
fn a_cancelled_request_is_not_heard_of_again() {
    let mut net = net(13, hello());
    let request = Request::get("https://localhost/100000000").body(()).unwrap();
    let (id, outcome) = ask(&mut net, 0, request);
    net.run_for(Duration::from_millis(200));
    let before = outcome.borrow().len;
    assert!(before > 0);
    let now = net.now;
    net.clients[0].enter(now, |session, cx| session.cancel_request(cx, id));
    net.kick();
    net.run_for(Duration::from_secs(1));
    assert!(!outcome.borrow().is_over() && outcome.borrow().len < before + 2_000_000);
    assert_eq!(net.clients[0].session().active_requests(), 0);
    assert_eq!(get(&mut net, "/").borrow().body, b"hello");
}
