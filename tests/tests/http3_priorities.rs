//! Priorities of HTTP/3 (RFC 9218) in both roles: the `priority` header, PRIORITY_UPDATE frames,
//! what breaking their rules costs, and that responses follow them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use protoquic::http::{
    ALPN, Backend, Body, ClientExchange, Http3ClientSession, Http3Code as Code, Http3Config,
    RequestHandler, RequestId, ResponseHandler, ServerExchange,
};
use protoquic::streams::Priority;
use protoquic_tests::http3::{CONTROL, GET, factory, frame, headers, varint};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{RawPeer, Script, bidi, uni};

/// Answers with as many bytes as the path says, and notes how urgent each request was.
#[derive(Clone, Debug, Default)]
struct Server {
    seen: Rc<RefCell<Vec<(String, Priority)>>>,
    /// What the server itself wants for requests with this path.
    own: Option<(&'static str, Priority)>,
}

impl Backend for Server {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let path = request.uri().path().to_owned();
        if let Some((_, priority)) = self.own.filter(|(own, _)| *own == path) {
            exchange.set_priority(priority);
        }
        let len = path[1..].parse().unwrap_or(0);
        exchange.respond(Response::new(Body::from(vec![7; len])));
        self.seen.borrow_mut().push((path, exchange.priority()));
        None
    }
}

/// Notes when its response was complete.
struct Runner {
    number: usize,
    order: Rc<RefCell<Vec<usize>>>,
}

impl ResponseHandler for Runner {
    fn on_response(&mut self, _response: Response<()>, _exchange: &mut ClientExchange<'_>) {}

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.order.borrow_mut().push(self.number);
    }
}

struct Race {
    net: Net<Http3ClientSession>,
    order: Rc<RefCell<Vec<usize>>>,
    requests: Vec<RequestId>,
}

impl Race {
    /// A client that has sent these requests at once: paths and `priority` headers.
    fn new(server: Server, requests: &[(&str, &str)]) -> Self {
        let mut net = Net::new(1, Link::default(), factory(server));
        net.connect_simply(ALPN, Http3ClientSession::new(Http3Config::default()));
        net.run_for(Duration::from_millis(200));
        let mut race = Self { net, order: Rc::default(), requests: Vec::new() };
        for (path, priority) in requests {
            race.send(path, priority);
        }
        race.net.kick();
        race
    }

    fn send(&mut self, path: &str, priority: &str) {
        let mut request = Request::get(format!("https://localhost{path}"));
        if !priority.is_empty() {
            request = request.header("priority", priority);
        }
        let request = request.body(()).expect("the request is well formed");
        let handler = Runner { number: self.requests.len(), order: Rc::clone(&self.order) };
        let now = self.net.now;
        let id = self.net.clients[0]
            .enter(now, |session, cx| session.send_request(cx, request, Box::new(handler)))
            .expect("the request is well formed");
        self.requests.push(id);
    }

    fn prioritize(&mut self, number: usize, priority: Priority) {
        let (now, id) = (self.net.now, self.requests[number]);
        self.net.clients[0].enter(now, |session, cx| session.prioritize_request(cx, id, priority));
        self.net.kick();
    }

    fn finish(mut self) -> Vec<usize> {
        let (order, count) = (Rc::clone(&self.order), self.requests.len());
        self.net.run_until(Duration::from_secs(20), |_| order.borrow().len() == count);
        order.take()
    }
}

const fn priority(urgency: u8, incremental: bool) -> Priority {
    Priority { urgency, incremental }
}

/// A PRIORITY_UPDATE of a request.
fn update(stream: u64, value: &str) -> Vec<u8> {
    frame(0xf0700, &[&varint(stream)[..], value.as_bytes()].concat())
}

fn control(more: &[u8]) -> Script {
    uni([&CONTROL, more].concat())
}

/// Our server, and what it makes of these streams of a peer.
fn against(scripts: impl IntoIterator<Item = Script>) -> (Option<Code>, Vec<(String, Priority)>) {
    let server = Server::default();
    let mut net = Net::new(1, Link::default(), factory(server.clone()));
    let peer = RawPeer::new(scripts);
    let seen = Rc::clone(&peer.seen);
    net.connect_simply(ALPN, peer);
    net.run_for(Duration::from_secs(2));
    let code = seen.borrow().close_code().map(Code);
    (code, server.seen.take())
}

fn get(path: &'static str, more: &[(&str, &str)]) -> Script {
    let mut fields = GET;
    fields[3].1 = path;
    bidi(headers(&[&fields, more].concat()))
}

#[test]
fn the_most_urgent_response_comes_first() {
    let race = Race::new(
        Server::default(),
        &[("/300000", "u=6"), ("/300000", "u=5"), ("/300000", "u=1"), ("/300000", "")],
    );
    assert_eq!(race.finish(), [2, 3, 1, 0]);
}

#[test]
fn responses_come_one_after_the_other_or_share() {
    // RFC 9218 §4.2: by default a response is of use only as a whole.
    let small_last = [("/900000", ""), ("/300000", "")];
    assert_eq!(Race::new(Server::default(), &small_last).finish(), [0, 1]);
    let shared = [("/900000", "i"), ("/300000", "i")];
    assert_eq!(Race::new(Server::default(), &shared).finish(), [1, 0]);
}

#[test]
fn a_request_says_what_it_wants_in_its_header() {
    let cases = [
        ("", priority(3, false)),
        ("u=0", priority(0, false)),
        ("i, u=7", priority(7, true)),
        ("u=9, i", priority(3, true)),
        ("!", priority(3, false)),
    ];
    for (value, expected) in cases {
        let (code, seen) = against([control(&[]), get("/5", &[("priority", value)])]);
        assert_eq!((code, seen), (None, vec![("/5".to_owned(), expected)]), "{value}");
    }
}

#[test]
fn a_client_can_change_its_mind() {
    let mut race = Race::new(Server::default(), &[("/900000", "u=1"), ("/900000", "u=4")]);
    race.net.run_for(Duration::from_millis(45));
    assert!(race.order.borrow().is_empty(), "both are under way");
    race.prioritize(1, priority(0, false));
    assert_eq!(race.finish(), [1, 0]);
}

#[test]
fn a_request_that_waits_for_a_stream_takes_its_priority_with_it() {
    let server = Server::default();
    let mut net = Net::new(1, Link::default(), factory(server.clone()));
    net.connect_simply(ALPN, Http3ClientSession::new(Http3Config::default()));
    let mut race = Race { net, order: Rc::default(), requests: Vec::new() };
    race.send("/1", "u=1");
    race.send("/2", "u=1");
    race.prioritize(0, priority(5, true));
    race.prioritize(1, priority(3, false));
    race.finish();
    let mut seen = server.seen.take();
    seen.sort_by_key(|(path, _)| path.clone());
    let expected = [("/1".to_owned(), priority(5, true)), ("/2".to_owned(), priority(3, false))];
    assert_eq!(seen, expected);
}

#[test]
fn an_update_may_come_before_its_request_and_counts_more_than_the_header() {
    // RFC 9218 §7
    let first = control(&update(0, "u=6"));
    let (code, seen) = against([first, get("/5", &[("priority", "u=1")])]);
    assert_eq!((code, &seen[0].1), (None, &priority(6, false)));
    let newest = control(&[update(0, "u=6"), update(0, "u=2, i")].concat());
    let (_, seen) = against([newest, get("/5", &[])]);
    assert_eq!(seen[0].1, priority(2, true));
}

#[test]
fn a_server_may_know_better() {
    let own = Some(("/900000", priority(0, false)));
    let server = Server { own, ..Server::default() };
    let race = Race::new(server, &[("/600000", "u=2"), ("/900000", "u=5")]);
    assert_eq!(race.finish(), [1, 0]);
}

#[test]
fn an_update_names_a_request_within_the_limit() {
    // RFC 9218 §7.2: server's, unidirectional, beyond the limit of 100
    for stream in [1, 2, 3, 400, (1 << 62) - 4] {
        let (code, _) = against([control(&update(stream, "u=1"))]);
        assert_eq!(code, Some(Code::ID_ERROR), "stream {stream}");
    }
    assert_eq!(against([control(&update(396, "u=1"))]).0, None);
}

#[test]
fn an_update_names_no_push() {
    // RFC 9218 §7.2: none was promised.
    let (code, _) = against([control(&frame(0xf0701, b"\0u=1"))]);
    assert_eq!(code, Some(Code::ID_ERROR));
}

#[test]
fn an_update_belongs_on_the_control_stream() {
    // RFC 9218 §7.2
    for ty in [0xf0700, 0xf0701] {
        let request = [headers(&GET), frame(ty, b"\0u=1")].concat();
        let (code, _) = against([control(&[]), bidi(request)]);
        assert_eq!(code, Some(Code::FRAME_UNEXPECTED));
    }
}

#[test]
fn an_update_has_a_stream_and_an_end() {
    assert_eq!(against([control(&frame(0xf0700, b""))]).0, Some(Code::FRAME_ERROR));
    assert_eq!(against([control(&frame(0xf0700, b"\x40"))]).0, Some(Code::FRAME_ERROR));
    let (code, _) = against([control(&update(0, &"x".repeat(600)))]);
    assert_eq!(code, Some(Code::EXCESSIVE_LOAD));
}

#[test]
fn an_update_that_cannot_be_read_is_passed_over() {
    let (code, seen) = against([control(&update(0, "u=")), get("/5", &[("priority", "u=1")])]);
    assert_eq!((code, &seen[0].1), (None, &priority(1, false)));
}

#[test]
fn updates_without_use_end_the_connection() {
    // RFC 9114 §10.5: of a request that is over
    let flood = update(0, "u=").repeat(20_000);
    assert_eq!(against([control(&flood)]).0, Some(Code::EXCESSIVE_LOAD));
}
