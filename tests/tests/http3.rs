//! HTTP/3 end to end: our client and our server in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use protoquic::http::{
    ALPN, Backend, Body, BodyChunk, BodySource, CachedResponse, ClientExchange, ExchangeError,
    Http3ClientSession, Http3Config, MemoryBackend, RequestFailure, RequestHandler,
    ResponseHandler, ServerExchange, SpecialResponse,
};
use protoquic::{RandomGenerator as _, SeededRandom, Session as _, Time};
use protoquic_tests::http3::{Collector, Outcome, factory, factory_with};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::pattern;

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
    let outcome = Rc::clone(&handler.outcome);
    let now = net.now;
    net.clients[0]
        .enter(now, |session, cx| session.send_request(cx, request, Box::new(handler)))
        .expect("the request is well formed");
    net.kick();
    outcome
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

#[test]
fn a_request_is_answered() {
    let mut net = net(1, hello());
    let outcome = get(&mut net, "/");
    let outcome = outcome.borrow();
    assert_eq!((outcome.status(), &outcome.body[..]), (200, &b"hello"[..]));
    assert_eq!(outcome.head.as_ref().unwrap().headers()["content-length"], "5");
    assert!(outcome.complete);
    assert!(net.clients[0].session().peer_settings().is_some());
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut net = net(2, hello());
    assert_eq!(get(&mut net, "/nothing").borrow().status(), 404);
}

#[test]
fn many_requests_share_a_connection_and_wait_for_streams() {
    let mut net = net(3, hello());
    // Sent before the handshake is complete, and more than the server allows at a time.
    let outcomes: Vec<_> = (0..500)
        .map(|n| {
            let request = Request::get(format!("https://localhost/{n}")).body(()).unwrap();
            send(&mut net, request)
        })
        .collect();
    assert!(net.clients[0].session().queued_requests() == 500);
    for (n, outcome) in outcomes.iter().enumerate() {
        finish(&mut net, outcome);
        let outcome = outcome.borrow();
        assert_eq!((outcome.status(), outcome.len), (200, n as u64));
    }
}

#[test]
fn large_bodies_go_both_ways_at_once() {
    let mut net = net(4, hello());
    let body = pattern(3_000_000, 9);
    let request = Request::post("https://localhost/echo").body(body.clone()).unwrap();
    let outcome = send(&mut net, request);
    finish(&mut net, &outcome);
    assert!(outcome.borrow().complete && outcome.borrow().body == body);
}

#[test]
fn bodies_survive_a_bad_network() {
    for seed in 50..54 {
        let link = Link { loss: 50, reorder: 100, duplicate: 20, ..Link::default() };
        let mut net = connected(Net::new(seed, link, factory(hello())));
        let body = pattern(200_000, seed);
        let request = Request::post("https://localhost/echo").body(body.clone()).unwrap();
        let outcome = send(&mut net, request);
        finish(&mut net, &outcome);
        assert!(outcome.borrow().body == body, "seed {seed}");
    }
}

#[test]
fn a_head_request_has_the_length_and_not_the_body() {
    let mut net = net(5, hello());
    for path in ["/", "/1000000000000"] {
        let request = Request::head(format!("https://localhost{path}")).body(()).unwrap();
        let outcome = send(&mut net, request);
        finish(&mut net, &outcome);
        let outcome = outcome.borrow();
        assert!(outcome.complete && outcome.body.is_empty());
        assert_ne!(outcome.head.as_ref().unwrap().headers()["content-length"], "0");
    }
}

#[test]
fn interim_responses_and_trailers_arrive() {
    let mut backend = MemoryBackend::new();
    let mut hints = HeaderMap::new();
    hints.insert("link", HeaderValue::from_static("</style.css>"));
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", HeaderValue::from_static("1"));
    let response = CachedResponse {
        body: Bytes::from_static(b"body"),
        trailers: Some(trailers.clone()),
        early_hints: vec![hints.clone(), hints],
        ..CachedResponse::default()
    };
    backend.add_response("localhost", "/", response);
    let mut net = net(6, backend);
    let outcome = get(&mut net, "/");
    let outcome = outcome.borrow();
    assert_eq!(outcome.interim.len(), 2);
    assert_eq!(outcome.interim[0].status(), StatusCode::EARLY_HINTS);
    assert_eq!(outcome.interim[0].headers()["link"], "</style.css>");
    assert_eq!(outcome.trailers.as_ref(), Some(&trailers));
    assert_eq!(outcome.body, b"body");
}

struct Trailing(u32);

impl BodySource for Trailing {
    fn poll_chunk(&mut self, _max: usize) -> BodyChunk {
        self.0 += 1;
        if self.0 <= 3 {
            return BodyChunk::Data(Bytes::from_static(b"abc"));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("a", HeaderValue::from_static("b"));
        BodyChunk::End(Some(trailers))
    }
}

#[test]
fn trailers_of_a_request_are_echoed() {
    let mut net = net(7, hello());
    let body = Body::source(Trailing(0));
    let outcome = send(&mut net, Request::put("https://localhost/echo").body(body).unwrap());
    finish(&mut net, &outcome);
    assert_eq!(outcome.borrow().body, b"abcabcabc");
    assert_eq!(outcome.borrow().trailers.as_ref().unwrap()["a"], "b");
}

/// Answers at once, whatever is still to come.
struct Hasty;

impl Backend for Hasty {
    fn on_request(
        &self,
        _request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        exchange.respond({
            let mut response = Response::new("too much");
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            response
        });
        None
    }
}

#[test]
fn an_early_response_stops_the_request_and_is_complete() {
    let mut net = net(8, Hasty);
    let body = pattern(20_000_000, 1);
    let outcome = send(&mut net, Request::post("https://localhost/").body(body).unwrap());
    finish(&mut net, &outcome);
    assert_eq!((outcome.borrow().status(), outcome.borrow().complete), (413, true));
    net.run_for(Duration::from_secs(2));
    let sent = net.clients[0].host().connection().stats().bytes_sent;
    assert!(sent < 10_000_000, "{sent} bytes were sent");
    assert_eq!(net.clients[0].session().active_requests(), 0);
}

/// Answers nothing and returns no handler.
struct Forgetful;

impl Backend for Forgetful {
    fn on_request(
        &self,
        _request: Request<()>,
        _exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        None
    }
}

#[test]
fn a_request_that_nobody_answers_is_answered_with_500() {
    let mut net = net(9, Forgetful);
    assert_eq!(get(&mut net, "/").borrow().status(), 500);
}

#[test]
fn a_delayed_response_comes_when_its_time_has_come() {
    let mut backend = hello();
    assert!(backend.set_response_delay("localhost", "/", Duration::from_secs(3)));
    let mut net = net(10, backend);
    let start = net.now;
    assert_eq!(get(&mut net, "/").borrow().body, b"hello");
    let taken = net.now - start;
    assert!(taken >= Duration::from_secs(3) && taken < Duration::from_millis(3200), "{taken:?}");
}

#[test]
fn special_responses_misbehave() {
    let mut backend = MemoryBackend::new();
    backend.add_special_response("localhost", "/error", SpecialResponse::BackendError);
    backend.add_special_response("localhost", "/3000", SpecialResponse::GenerateBytes);
    backend.add_special_response("localhost", "/close", SpecialResponse::CloseConnection);
    backend.add_special_response("localhost", "/never", SpecialResponse::IgnoreRequest);
    backend.add_special_response("localhost", "/half", SpecialResponse::IncompleteResponse);
    let mut net = net(11, backend);
    assert_eq!(get(&mut net, "/error").borrow().status(), 500);
    assert_eq!(get(&mut net, "/3000").borrow().len, 3000);
    let request = |path| Request::get(format!("https://localhost{path}")).body(()).unwrap();
    let never = send(&mut net, request("/never"));
    let half = send(&mut net, request("/half"));
    net.run_for(Duration::from_secs(1));
    assert!(never.borrow().head.is_none() && !never.borrow().is_over());
    assert!(half.borrow().head.is_some() && !half.borrow().is_over());
    let close = get(&mut net, "/close");
    for outcome in [never, half, close] {
        assert_eq!(outcome.borrow().failure, Some(RequestFailure::ConnectionClosed));
    }
}

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
    let handler = Collector::default();
    let outcome = Rc::clone(&handler.outcome);
    let now = net.now;
    let request = Request::get("https://localhost/100000000").body(()).unwrap();
    let id = net.clients[0]
        .enter(now, |session, cx| session.send_request(cx, request, Box::new(handler)))
        .unwrap();
    net.kick();
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

#[test]
fn a_header_section_that_the_server_does_not_take_is_refused() {
    let limits = Http3Config { max_field_section_size: 2000, ..Http3Config::default() };
    let mut net = connected(Net::new(14, Link::default(), factory_with(hello(), limits)));
    let request = || {
        let big = "x".repeat(3000);
        Request::get("https://localhost/").header("big", big).body(()).unwrap()
    };
    // Before the server's settings are known it answers; afterwards we know better.
    let outcome = send(&mut net, request());
    finish(&mut net, &outcome);
    let failed = matches!(outcome.borrow().failure, Some(RequestFailure::Message(_)));
    assert!(outcome.borrow().status() == 431 || failed, "{:?}", outcome.borrow());
    let outcome = send(&mut net, request());
    finish(&mut net, &outcome);
    assert!(matches!(outcome.borrow().failure, Some(RequestFailure::Message(_))));
    assert_eq!(get(&mut net, "/").borrow().status(), 200);
}

/// Reads nothing until asked to.
struct Slow;

/// Reads a piece every 100 ms.
struct SlowReader {
    read: u64,
    next: Time,
}

impl Backend for Slow {
    fn on_request(
        &self,
        _request: Request<()>,
        _exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        Some(Box::new(SlowReader { read: 0, next: Time::ZERO }))
    }
}

impl RequestHandler for SlowReader {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        if exchange.now() < self.next {
            return;
        }
        if let Some(piece) = exchange.read_body() {
            self.read += piece.len() as u64;
        }
        if exchange.is_body_finished() {
            exchange.respond(Response::new(self.read.to_string()));
        } else {
            self.next = exchange.now() + Duration::from_millis(100);
            exchange.wake_at(self.next);
        }
    }
}

#[test]
fn a_handler_that_reads_slowly_holds_the_client_back() {
    let mut net = net(15, Slow);
    let body = pattern(10_000_000, 2);
    let outcome = send(&mut net, Request::post("https://localhost/").body(body).unwrap());
    net.run_for(Duration::from_secs(2));
    let sent = net.clients[0].host().connection().stats().bytes_sent;
    assert!(sent < 6_000_000, "{sent} bytes were sent");
    assert!(!outcome.borrow().is_over());
}

/// Reads a piece every 50 ms.
#[derive(Default)]
struct SlowCollector {
    inner: Collector,
    next: Option<Time>,
}

impl ResponseHandler for SlowCollector {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        self.inner.on_response(response, exchange);
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        if self.next.is_some_and(|next| exchange.now() < next) {
            return;
        }
        if let Some(piece) = exchange.read_body() {
            self.inner.outcome.borrow_mut().body.extend_from_slice(&piece);
        }
        let next = exchange.now() + Duration::from_millis(50);
        exchange.wake_at(next);
        self.next = Some(next);
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        self.inner.on_complete(exchange);
    }
}

#[test]
fn a_client_that_reads_slowly_gets_all_after_the_stream_is_over() {
    let mut net = net(17, hello());
    let handler = SlowCollector::default();
    let outcome = Rc::clone(&handler.inner.outcome);
    // Many DATA frames and trailers, all of them in the first packets.
    let body = Body::source(Trailing(0));
    let request = Request::put("https://localhost/echo").body(body).unwrap();
    let now = net.now;
    net.clients[0]
        .enter(now, |session, cx| session.send_request(cx, request, Box::new(handler)))
        .unwrap();
    net.kick();
    finish(&mut net, &outcome);
    assert_eq!(outcome.borrow().body, b"abcabcabc");
    assert_eq!(outcome.borrow().trailers.as_ref().unwrap()["a"], "b");
    assert_eq!(net.clients[0].session().active_requests(), 0);
}

#[test]
fn header_fields_come_back_the_same_again_and_again() {
    struct Mirror;
    impl Backend for Mirror {
        fn on_request(
            &self,
            request: Request<()>,
            exchange: &mut ServerExchange<'_>,
        ) -> Option<Box<dyn RequestHandler>> {
            let mut response = Response::new(());
            *response.headers_mut() = request.headers().clone();
            exchange.respond(response);
            None
        }
    }
    for (seed, loss) in [(60, 0), (61, 100), (62, 100)] {
        let link = Link { loss, ..Link::default() };
        let mut net = connected(Net::new(seed, link, factory(Mirror)));
        let mut random = SeededRandom::new(seed);
        for _ in 0..20 {
            let requests: Vec<_> = (0..10)
                .map(|_| {
                    let mut request = Request::get("https://localhost/").body(()).unwrap();
                    for _ in 0..random.next_u64() % 8 {
                        let name = format!("x-field-{}", random.next_u64() % 30);
                        let value = "v".repeat((random.next_u64() % 90) as usize);
                        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                        request.headers_mut().append(name, value.parse().unwrap());
                    }
                    (request.headers().clone(), send(&mut net, request))
                })
                .collect();
            for (mut headers, outcome) in requests {
                finish(&mut net, &outcome);
                headers.insert("content-length", HeaderValue::from_static("0"));
                let outcome = outcome.borrow();
                let head = outcome.head.as_ref().unwrap();
                assert_eq!(head.headers(), &headers, "seed {seed}");
            }
        }
    }
}

#[test]
fn every_method_but_connect_reaches_the_backend() {
    struct Methods;
    impl Backend for Methods {
        fn on_request(
            &self,
            request: Request<()>,
            exchange: &mut ServerExchange<'_>,
        ) -> Option<Box<dyn RequestHandler>> {
            exchange.respond(Response::new(request.method().to_string()));
            None
        }
    }
    let mut net = net(16, Methods);
    for method in [Method::GET, Method::OPTIONS, Method::DELETE, Method::TRACE] {
        let request = Request::builder().method(&method).uri("https://localhost/");
        let outcome = send(&mut net, request.body(()).unwrap());
        finish(&mut net, &outcome);
        assert_eq!(outcome.borrow().body, method.as_str().as_bytes());
    }
}
