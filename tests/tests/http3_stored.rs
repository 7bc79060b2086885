//! Responses that a client's session keeps, and who hears of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use protoquic::http::{
    ALPN, Backend, Body, BodyWithTrailers, Http3ClientSession, Http3Config, MemoryBackend,
    RequestHandler, ResponseListener, ServerExchange, SpecialResponse, StoredResponse,
};
use protoquic_tests::http3::{Collector, factory};
use protoquic_tests::net::{Link, Net};

type Http3Net = Net<Http3ClientSession>;

/// Answers `/trailers` with trailers, all else as its site does.
struct Site(MemoryBackend);

impl Backend for Site {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        if request.uri().path() != "/trailers" {
            return self.0.on_request(request, exchange);
        }
        let trailers = HeaderMap::from_iter([(
            "checksum".parse().expect("a name"),
            HeaderValue::from_static("42"),
        )]);
        let body = Body::source(BodyWithTrailers::new("with trailers", trailers));
        exchange.respond(Response::new(body));
        None
    }
}

fn net() -> Http3Net {
    let mut site = MemoryBackend::new();
    site.add_simple_response("localhost", "/", StatusCode::OK, "hello");
    site.add_special_response("localhost", "/broken", SpecialResponse::IncompleteResponse);
    site.generate_bytes(true);
    let mut net = Net::new(31, Link::default(), factory(Site(site)));
    net.connect_simply(ALPN, Http3ClientSession::new(Http3Config::default()));
    net
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).expect("the request is well formed")
}

/// Asks, and waits for the whole answer.
fn ask(net: &mut Http3Net, path: &str) {
    begin(net, path);
    assert_eq!(net.clients[0].session().active_requests(), 0);
}

/// Asks, and waits for what comes.
fn begin(net: &mut Http3Net, path: &str) {
    let now = net.now;
    net.clients[0]
        .enter(now, |session, cx| session.send_unattended(cx, get(path)))
        .expect("the request is well formed");
    net.kick();
    net.run_for(Duration::from_secs(5));
}

fn store(net: &mut Http3Net, keep: bool) {
    let now = net.now;
    net.clients[0].enter(now, |session, _| session.set_store_response(keep));
}

fn latest(net: &Http3Net) -> Option<&StoredResponse> {
    net.clients[0].session().latest_response()
}

#[test]
fn the_latest_response_is_kept_when_it_is_asked_for() {
    let mut net = net();
    ask(&mut net, "/");
    assert!(latest(&net).is_none(), "nobody asked to keep it");
    store(&mut net, true);
    ask(&mut net, "/");
    let response = latest(&net).expect("it is kept");
    assert_eq!((response.status(), response.body()), (StatusCode::OK, &b"hello"[..]));
    assert_eq!(response.headers()["content-length"], "5");
    assert!(response.is_body_whole() && response.trailers().is_none());
    ask(&mut net, "/trailers");
    let response = latest(&net).expect("it is kept");
    assert_eq!(response.body(), b"with trailers");
    assert_eq!(response.trailers().expect("it has trailers")["checksum"], "42");
    ask(&mut net, "/300000");
    assert_eq!(latest(&net).map(|response| response.body().len()), Some(300_000));
    store(&mut net, false);
    assert!(latest(&net).is_none(), "it is let go");
}

#[test]
fn a_response_that_is_not_whole_is_not_stored() {
    let mut net = net();
    store(&mut net, true);
    ask(&mut net, "/");
    begin(&mut net, "/broken");
    assert_eq!(latest(&net).map(StoredResponse::body), Some(&b"hello"[..]));
}

type Heard = Rc<RefCell<Vec<(StatusCode, Vec<u8>)>>>;

struct Listener(Heard);

impl ResponseListener for Listener {
    fn on_complete_response(&mut self, response: &StoredResponse) {
        self.0.borrow_mut().push((response.status(), response.body().to_vec()));
    }
}

#[test]
fn a_listener_hears_of_every_response_beside_its_handler() {
    let mut net = net();
    let heard = Heard::default();
    let (now, listener) = (net.now, Listener(heard.clone()));
    net.clients[0].enter(now, |session, _| session.set_response_listener(listener));
    let handler = Collector::default();
    let outcome = handler.outcome.clone();
    net.clients[0]
        .enter(now, |session, cx| session.send_request(cx, get("/"), Box::new(handler)))
        .expect("the request is well formed");
    ask(&mut net, "/none");
    begin(&mut net, "/broken");
    assert_eq!(outcome.borrow().body, b"hello");
    let heard = heard.borrow();
    let statuses: Vec<_> = heard.iter().map(|(status, _)| status.as_u16()).collect();
    assert_eq!(statuses, [200, 404]);
    assert_eq!(heard[0].1, b"hello");
    assert!(latest(&net).is_none(), "to hear of it is not to keep it");
}
