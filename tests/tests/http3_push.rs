//! Server push end to end (RFC 9114 §4.6): our server pushes, our client finds what it asks for
//! among the promises.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use protoquic::http::{
    ALPN, Backend, Body, CachedResponse, Http3ClientSession, Http3Config, MemoryBackend, PushError,
    PushId, PushInfo, RequestHandler, RequestId, ServerExchange,
};
use protoquic::streams::Priority;
use protoquic_tests::http3::{Outcome, ask, factory_with};
use protoquic_tests::net::{Link, Net};

type Result = Rc<RefCell<Outcome>>;

fn config() -> Http3Config {
    Http3Config { max_pushes: 3, push_timeout: Duration::from_secs(5), ..Http3Config::default() }
}

/// What a [`Pusher`] pushes with `/`.
type Plan = Vec<PushInfo>;

/// Answers every path with itself, pushes by plan, and counts what it was asked for.
#[derive(Default)]
struct Pusher {
    plan: RefCell<Plan>,
    asked: RefCell<Vec<String>>,
    results: RefCell<Vec<std::result::Result<PushId, PushError>>>,
    takes_back: Cell<bool>,
}

impl Backend for Pusher {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let path = request.uri().path().to_owned();
        if path == "/" {
            for push in self.plan.take() {
                let result = exchange.push(push);
                if let (Ok(push), true) = (&result, self.takes_back.get()) {
                    exchange.cancel_push(*push);
                }
                self.results.borrow_mut().push(result);
            }
        }
        self.asked.borrow_mut().push(path.clone());
        exchange.respond(Response::new(path));
        None
    }
}

fn push(path: &str, body: &'static str) -> PushInfo {
    let uri = Uri::try_from(format!("https://localhost{path}")).unwrap();
    PushInfo::get(uri, Response::new(body))
}

struct Setup {
    net: Net<Http3ClientSession>,
    server: Rc<Pusher>,
}

fn setup(plan: Plan, link: Link, client: Http3Config) -> Setup {
    let server = Rc::new(Pusher { plan: RefCell::new(plan), ..Pusher::default() });
    let mut net = Net::new(3, link, factory_with(Rc::clone(&server), Http3Config::default()));
    net.connect_simply(ALPN, Http3ClientSession::new(client));
    Setup { net, server }
}

impl Setup {
    fn start(&mut self, request: Request<()>) -> (RequestId, Result) {
        ask(&mut self.net, 0, request)
    }

    fn get(&mut self, path: &str) -> Result {
        let (_, outcome) = self.start(request(path));
        let limit = Duration::from_mins(2);
        let done = self.net.run_until(limit, |_| outcome.borrow().is_over());
        assert!(done, "{path}: {:?}", self.net.clients[0].close_reason());
        outcome
    }

    fn asked(&self) -> Vec<String> {
        self.server.asked.borrow().clone()
    }

    fn promised(&self) -> usize {
        self.net.clients[0].session().promised_pushes()
    }
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

fn body(outcome: &Result) -> String {
    let outcome = outcome.borrow();
    assert!(outcome.complete, "{outcome:?}");
    String::from_utf8(outcome.body.clone()).unwrap()
}

#[test]
fn a_request_is_answered_by_the_push_and_not_sent() {
    let mut setup = setup(vec![push("/style", "pushed")], Link::default(), config());
    assert_eq!(body(&setup.get("/")), "/");
    setup.net.run_for(Duration::from_secs(1));
    assert_eq!(setup.promised(), 1);
    let outcome = setup.get("/style");
    assert_eq!(body(&outcome), "pushed");
    assert_eq!(outcome.borrow().head.as_ref().unwrap().headers()["content-length"], "6");
    setup.net.run_for(Duration::from_secs(1));
    assert_eq!((setup.promised(), setup.asked()), (0, vec!["/".to_owned()]));
    // Used up: the next one goes to the server.
    assert_eq!(body(&setup.get("/style")), "/style");
}

#[test]
fn a_request_may_come_before_the_push_is_whole() {
    let mut setup = setup(vec![large("/large")], Link::default(), holds_much());
    let (_, page) = setup.start(request("/"));
    assert!(setup.net.run_until(Duration::from_secs(9), |_| page.borrow().complete));
    let outcome = setup.get("/large");
    assert_eq!(outcome.borrow().len, 5_000_000);
    assert_eq!(setup.asked(), ["/"]);
}

#[test]
fn without_permission_nothing_is_pushed() {
    let mut setup = setup(vec![push("/style", "pushed")], Link::default(), Http3Config::default());
    setup.get("/");
    assert_eq!(*setup.server.results.borrow(), [Err(PushError::NotAllowed)]);
    assert_eq!(body(&setup.get("/style")), "/style");
}

#[test]
fn more_than_the_client_allows_is_not_pushed_and_the_allowance_comes_back() {
    let plan = (0..5).map(|n| push(&format!("/{n}"), "pushed")).collect();
    let mut setup = setup(plan, Link::default(), config());
    setup.get("/");
    let results: Vec<_> = setup.server.results.take().into_iter().map(|r| r.is_ok()).collect();
    assert_eq!(results, [true, true, true, false, false]);
    // Nobody wants them: they expire, and others may come.
    setup.net.run_for(Duration::from_secs(10));
    assert_eq!(setup.promised(), 0);
    setup.server.plan.replace(vec![push("/style", "pushed")]);
    setup.get("/");
    assert!(setup.server.results.borrow()[0].is_ok());
    assert_eq!(body(&setup.get("/style")), "pushed");
}

#[test]
fn a_response_that_varies_answers_only_who_asks_alike() {
    // RFC 9111 §4.1
    for (language, expected) in [("en", "pushed"), ("de", "/style")] {
        let mut style = push("/style", "pushed");
        style.request.headers_mut().insert("accept-language", "en".parse().unwrap());
        style.response.headers_mut().insert("vary", "accept-language".parse().unwrap());
        let mut setup = setup(vec![style], Link::default(), config());
        setup.get("/");
        let mut request = request("/style");
        request.headers_mut().insert("accept-language", language.parse().unwrap());
        let (_, outcome) = setup.start(request);
        setup.net.run_for(Duration::from_secs(2));
        assert_eq!(body(&outcome), expected);
    }
}

#[test]
fn a_push_that_fails_has_its_request_sent() {
    // Taken back before its stream, so the request waits in vain; and the page is unharmed.
    let mut setup = setup(vec![push("/style", "pushed")], Link::default(), config());
    setup.server.takes_back.set(true);
    assert_eq!(body(&setup.get("/")), "/");
    assert_eq!(body(&setup.get("/style")), "/style");
    assert_eq!(setup.promised(), 0);
}

fn large(path: &str) -> PushInfo {
    let uri = Uri::try_from(format!("https://localhost{path}")).unwrap();
    PushInfo::get(uri, Response::new(vec![b'x'; 5_000_000]))
}

fn holds_much() -> Http3Config {
    Http3Config { max_held_push: 20_000_000, ..config() }
}

#[test]
fn a_request_that_a_push_answers_can_be_cancelled() {
    let mut setup = setup(vec![large("/large")], Link::default(), holds_much());
    let (_, page) = setup.start(request("/"));
    assert!(setup.net.run_until(Duration::from_secs(9), |_| page.borrow().complete));
    let (id, outcome) = setup.start(request("/large"));
    setup.net.run_for(Duration::from_millis(20));
    let now = setup.net.now;
    setup.net.clients[0].enter(now, |session, cx| session.cancel_request(cx, id));
    setup.net.kick();
    setup.net.run_for(Duration::from_secs(1));
    assert!(!outcome.borrow().is_over() && setup.promised() == 0);
    assert_eq!(body(&setup.get("/after")), "/after");
    assert_eq!(setup.asked(), ["/", "/after"]);
}

#[test]
fn a_push_can_be_wanted_sooner() {
    // RFC 9218 §7.2: of equals, the first is sent first.
    for is_second_urgent in [false, true] {
        let mut setup = setup(vec![large("/a"), large("/b")], Link::default(), holds_much());
        let (_, page) = setup.start(request("/"));
        assert!(setup.net.run_until(Duration::from_secs(9), |_| page.borrow().complete));
        let (_, first) = setup.start(request("/a"));
        let (second_id, second) = setup.start(request("/b"));
        if is_second_urgent {
            let (now, priority) = (setup.net.now, Priority { urgency: 0, incremental: false });
            setup.net.clients[0]
                .enter(now, |session, cx| session.prioritize_request(cx, second_id, priority));
        }
        setup.net.kick();
        let any = |_: &_| first.borrow().complete || second.borrow().complete;
        assert!(setup.net.run_until(Duration::from_mins(1), any));
        assert_eq!(second.borrow().complete, is_second_urgent);
        assert_eq!(setup.asked(), ["/"]);
    }
}

#[test]
fn what_cannot_be_pushed_is_an_error_of_the_backend() {
    let mut post = push("/x", "x");
    *post.request.method_mut() = http::Method::POST;
    let mut relative = push("/x", "x");
    *relative.request.uri_mut() = Uri::from_static("/x");
    let mut interim = push("/x", "x");
    *interim.response.status_mut() = StatusCode::EARLY_HINTS;
    let mut unwritten = push("/x", "x");
    *unwritten.response.body_mut() = Body::Written;
    let pushes = vec![post, relative, interim, unwritten];
    let mut setup = setup(pushes, Link::default(), config());
    setup.get("/");
    let results = setup.server.results.borrow();
    assert!(matches!(results[0], Err(PushError::Unfit(_))), "{results:?}");
    assert!(results[1..].iter().all(|one| matches!(one, Err(PushError::Exchange(_)))));
}

#[test]
fn pushes_survive_a_bad_network_and_never_run_out() {
    let link = Link { loss: 50, reorder: 100, duplicate: 20, ..Link::default() };
    let mut setup = setup(vec![], link, config());
    for n in 0..40 {
        let path = format!("/style{n}");
        setup.server.plan.replace(vec![push(&path, "pushed")]);
        setup.get("/");
        let answer = body(&setup.get(&path));
        assert_eq!(answer, "pushed", "{n}: {:?}", setup.server.results.borrow().last());
    }
    assert_eq!(setup.asked(), vec!["/"; 40]);
}

#[test]
fn a_shutdown_lets_pushes_end() {
    let mut setup = setup(vec![large("/large")], Link::default(), holds_much());
    let (_, page) = setup.start(request("/"));
    assert!(setup.net.run_until(Duration::from_secs(9), |_| page.borrow().complete));
    let (_, large) = setup.start(request("/large"));
    let now = setup.net.now;
    setup.net.server.stop_accepting_new_connections(now);
    setup.net.kick();
    setup.net.run_for(Duration::from_secs(9));
    assert_eq!(large.borrow().len, 5_000_000);
    assert!(setup.net.clients[0].close_reason().is_some());
}

#[test]
fn a_backend_in_memory_pushes_what_belongs_to_a_page() {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/style", StatusCode::OK, "style");
    let pushes = vec![
        Uri::from_static("https://localhost/style"),
        Uri::from_static("https://localhost/missing"),
    ];
    let page = CachedResponse { body: "page".into(), pushes, ..CachedResponse::default() };
    backend.add_response("localhost", "/", page);
    let mut net = Net::new(3, Link::default(), factory_with(backend, Http3Config::default()));
    net.connect_simply(ALPN, Http3ClientSession::new(config()));
    let server = Rc::default();
    let mut setup = Setup { net, server };
    assert_eq!(body(&setup.get("/")), "page");
    assert_eq!(setup.promised(), 1);
    assert_eq!(body(&setup.get("/style")), "style");
    assert_eq!(setup.net.clients[0].session().active_requests(), 0);
}
