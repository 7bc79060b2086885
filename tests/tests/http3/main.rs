//! HTTP/3 end to end: our client and our server in virtual time. Here is what the suites share.

mod bodies;
mod endings;
mod exchanges;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, StatusCode};
use protoquic::http::{ALPN, Backend, Body, Http3ClientSession, Http3Config, MemoryBackend};
use protoquic_tests::http3::{Collector, Outcome, ask_with, factory};
use protoquic_tests::net::{Link, Net};

type Result = Rc<RefCell<Outcome>>;

fn net(seed: u64, backend: impl Backend + 'static) -> Net<Http3ClientSession> {
    connected(Net::new(seed, Link::default(), factory(backend)))
}

fn connected(mut net: Net<Http3ClientSession>) -> Net<Http3ClientSession> {
    net.connect_simply(ALPN, Http3ClientSession::new(Http3Config::default()));
    net
}

fn send(net: &mut Net<Http3ClientSession>, request: Request<impl Into<Body>>) -> Result {
    send_to(net, request, Collector::default())
}

fn send_to(
    net: &mut Net<Http3ClientSession>,
    request: Request<impl Into<Body>>,
    handler: Collector,
) -> Result {
    ask_with(net, 0, request, handler).1
}

fn finish(net: &mut Net<Http3ClientSession>, outcome: &Result) {
    let done = net.run_until(Duration::from_mins(2), |_| outcome.borrow().is_over());
    assert!(done, "{:?}, {:?}", outcome.borrow().head, net.clients[0].close_reason());
}

fn get(net: &mut Net<Http3ClientSession>, path: &str) -> Result {
    let outcome = send(
        net,
        Request::get(format!("https://localhost{path}"))
            .body(())
            .expect("the request is well formed"),
    );
    finish(net, &outcome);
    outcome
}

fn hello() -> MemoryBackend {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/", StatusCode::OK, "hello");
    backend.generate_bytes(true);
    backend.echo("/echo");
    backend
}
