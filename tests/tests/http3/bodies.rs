//! Bodies: large ones, on bad networks, with trailers, and ends that read slowly.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use protoquic::Time;
use protoquic::http::{
    Backend, Body, BodyChunk, BodySource, ClientExchange, RequestHandler, ResponseHandler,
    ServerExchange,
};
use protoquic_tests::http3::{Collector, factory};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::pattern;

use super::{connected, finish, hello, net, send};

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
