//! Requests and what comes back: heads, fields, interim responses, trailers, and answers that a
//! backend gives early, late, badly or not at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use protoquic::http::{
    Backend, Body, CachedResponse, Http3Code, Http3Config, MemoryBackend, RequestFailure,
    RequestHandler, ServerExchange, SpecialResponse,
};
use protoquic::{RandomGenerator as _, SeededRandom};
use protoquic_tests::http3::{factory, factory_with};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::pattern;

use super::{connected, finish, get, hello, net, send};

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

/// Begins an answer and leaves nobody to go on.
struct Distracted;

impl Backend for Distracted {
    fn on_request(
        &self,
        _request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        exchange.respond(Response::new(Body::Written));
        None
    }
}

#[test]
fn an_answer_that_nobody_is_left_to_end_is_cut_off() {
    let mut net = net(9, Distracted);
    let outcome = get(&mut net, "/");
    let failure = outcome.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Http3Code::INTERNAL_ERROR)));
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
