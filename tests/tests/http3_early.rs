//! HTTP/3 in early data, in virtual time: what is asked early, what is answered early, and by which
//! settings (RFC 8470, RFC 9114 §7.2.4.2).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use protoquic::connection::Config;
use protoquic::crypto::offer_early_data;
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::http::{
    ALPN, Backend, Body, EarlyRequests, Http3ClientSession, Http3Config, Http3ServerFactory,
    MemoryBackend, RequestHandler, ServerExchange,
};
use protoquic::{EarlyData, MemorySessionCache, ServerConfig, Session};
use protoquic_tests::http3::{Outcome, ask, headers};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{RawPeer, bidi};
use protoquic_tests::tls;

const ROUND_TRIP: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

fn early() -> Config {
    Config { early_data: true, ..Config::default() }
}

/// Notes the methods of the requests that reach it.
#[derive(Clone)]
struct Noted(Rc<MemoryBackend>, Arc<Mutex<Vec<Method>>>);

impl Backend for Noted {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        self.1.lock().expect("nobody panics").push(request.method().clone());
        self.0.on_request(request, exchange)
    }
}

struct World<S: Session> {
    net: Net<S>,
    served: Arc<Mutex<Vec<Method>>>,
    client: Arc<Config>,
    client_tls: Arc<rustls::ClientConfig>,
    server: ServerConfig,
}

fn factory(
    served: &Arc<Mutex<Vec<Method>>>,
    server: &ServerConfig,
    http: Http3Config,
) -> Http3ServerFactory<Noted> {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/", StatusCode::OK, "hello");
    backend.echo("/echo");
    Http3ServerFactory::new(Noted(Rc::new(backend), served.clone()), server.clone(), http)
}

impl<S: Session> World<S> {
    fn new() -> Self {
        let mut tls = (*tls::server(&[ALPN])).clone();
        offer_early_data(&mut tls, 100);
        let server = ServerConfig { transport: Arc::new(early()), tls: Arc::new(tls) };
        let served = Arc::new(Mutex::new(Vec::new()));
        let factory = factory(&served, &server, Http3Config::default());
        let cache = Arc::new(MemorySessionCache::new());
        let client = Arc::new(Config { session_cache: Some(cache), ..early() });
        let net = Net::new(8, Link::default(), factory);
        Self { net, served, client, client_tls: tls::client(&[ALPN]), server }
    }

    /// A server whose HTTP/3 settings are others, and whose tickets are still good.
    fn restart(&mut self, http: Http3Config) {
        self.restart_with(http, DispatcherConfig::default());
    }

    fn restart_with(&mut self, http: Http3Config, dispatcher: DispatcherConfig) {
        let factory = Box::new(factory(&self.served, &self.server, http));
        self.net.restart_server(dispatcher, vec![factory]);
    }

    /// A server that answers every client without a token of its own with a Retry first.
    fn restart_refusing(&mut self) {
        self.net.change_server_seed(); // tokens of before prove nothing
        let address_validation = AddressValidation::Always;
        let dispatcher = DispatcherConfig { address_validation, ..DispatcherConfig::default() };
        self.restart_with(Http3Config::default(), dispatcher);
    }

    fn connect(&mut self, session: S) -> usize {
        let (config, tls) = (self.client.clone(), self.client_tls.clone());
        self.net.connect(config, tls, session, |writer| Box::new(writer))
    }

    fn served(&self) -> Vec<Method> {
        std::mem::take(&mut *self.served.lock().expect("nobody panics"))
    }

    fn early_data(&self, client: usize) -> EarlyData {
        self.net.clients[client].host().connection().early_data()
    }
}

impl World<Http3ClientSession> {
    fn http(&mut self) -> usize {
        self.connect(Http3ClientSession::new(Http3Config::default()))
    }

    fn send(&mut self, client: usize, request: Request<impl Into<Body>>) -> Rc<RefCell<Outcome>> {
        ask(&mut self.net, client, request).1
    }

    /// How long until it is answered with this status.
    #[track_caller]
    fn finish(&mut self, outcome: &Rc<RefCell<Outcome>>, status: u16) -> Duration {
        let start = self.net.now;
        assert!(self.net.run_until(SECOND * 30, |_| outcome.borrow().is_over()));
        assert_eq!(outcome.borrow().status(), status, "{:?}", outcome.borrow().failure);
        self.net.now - start
    }

    fn warm_up(&mut self) {
        let client = self.http();
        let outcome = self.send(client, get());
        assert_eq!(self.finish(&outcome, 200), 2 * ROUND_TRIP);
        self.net.run_for(SECOND);
        self.served();
    }
}

fn get() -> Request<()> {
    Request::get("https://localhost/").body(()).expect("the request is well formed")
}

fn post() -> Request<&'static str> {
    Request::post("https://localhost/echo").body("echo").expect("the request is well formed")
}

#[test]
fn a_get_is_answered_in_one_round_trip() {
    let mut world = World::new();
    world.warm_up();
    let client = world.http();
    let outcome = world.send(client, get());
    assert_eq!(world.finish(&outcome, 200), ROUND_TRIP);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
}

#[test]
fn a_post_waits_for_the_handshake_and_nobody_waits_for_it() {
    // RFC 8470 §2
    let mut world = World::new();
    world.warm_up();
    let client = world.http();
    let (unsafe_one, safe_one) = (world.send(client, post()), world.send(client, get()));
    assert_eq!(world.finish(&safe_one, 200), ROUND_TRIP);
    assert_eq!(world.served(), [Method::GET]);
    assert_eq!(world.finish(&unsafe_one, 200), ROUND_TRIP);
    assert_eq!(world.served(), [Method::POST]);
}

#[test]
fn rejected_requests_are_served_once() {
    let mut world = World::new();
    world.warm_up();
    let mut tls = (*tls::server(&[ALPN])).clone();
    offer_early_data(&mut tls, 100); // without the tickets
    world.server.tls = Arc::new(tls);
    world.restart(Http3Config { max_field_section_size: 2000, ..Http3Config::default() });
    let client = world.http();
    let outcome = world.send(client, get());
    assert_eq!(world.finish(&outcome, 200), 2 * ROUND_TRIP);
    assert_eq!(
        (world.early_data(client), world.served()),
        (EarlyData::Rejected, vec![Method::GET])
    );
}

#[test]
fn an_unsafe_request_in_early_data_is_too_early() {
    // RFC 8470 §5.2
    let mut world = World::new();
    world.connect(RawPeer::new([]));
    world.net.run_for(SECOND);
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/echo"),
    ];
    let peer = RawPeer { is_early: true, ..RawPeer::new([bidi(headers(&fields))]) };
    let seen = Rc::clone(&peer.seen);
    let client = world.connect(peer);
    world.net.run_for(SECOND);
    assert_eq!((world.early_data(client), world.served()), (EarlyData::Accepted, Vec::new()));
    let seen = seen.borrow();
    let answer = seen.data.values().find(|data| data.first() == Some(&1)).expect("an answer");
    // `:status: 425` is entry 70 of QPACK's static table (RFC 9204 §A).
    assert!(answer[4..].starts_with(&[0xff, 70 - 63]), "{answer:?}");
}

#[test]
fn what_the_server_finds_too_early_is_asked_again() {
    // RFC 8470 §5.2
    let mut world = World::new();
    world.warm_up();
    world.restart(Http3Config { early_requests: EarlyRequests::None, ..Http3Config::default() });
    let client = world.http();
    let outcomes = [world.send(client, get()), world.send(client, get())];
    assert_eq!(world.finish(&outcomes[0], 200), 2 * ROUND_TRIP);
    world.finish(&outcomes[1], 200);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
    assert_eq!(world.served(), [Method::GET, Method::GET]);
    let session = world.net.clients[client].session();
    assert_eq!((session.active_requests(), session.queued_requests()), (0, 0));
}

#[test]
fn a_client_that_sends_no_requests_early_waits() {
    let mut world = World::new();
    world.warm_up();
    let http = Http3Config { early_requests: EarlyRequests::None, ..Http3Config::default() };
    let client = world.connect(Http3ClientSession::new(http));
    let outcome = world.send(client, get());
    assert_eq!(world.finish(&outcome, 200), 2 * ROUND_TRIP);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
}

#[test]
fn settings_that_shrink_after_early_data_was_accepted_are_an_error() {
    // RFC 9114 §7.2.4.2
    let mut world = World::new();
    world.warm_up();
    world.restart(Http3Config { max_field_section_size: 2000, ..Http3Config::default() });
    let client = world.http();
    world.send(client, get());
    world.net.run_for(SECOND);
    let reason = world.net.clients[client].close_reason().expect("it was closed").to_string();
    assert!(reason.contains("H3_SETTINGS_ERROR") || reason.contains("0x109"), "{reason}");
}

#[test]
fn early_requests_keep_to_the_remembered_settings() {
    // RFC 9114 §7.2.4.2
    let mut world = World::new();
    world.restart(Http3Config { max_field_section_size: 500, ..Http3Config::default() });
    world.warm_up();
    let client = world.http();
    let large = Request::get("https://localhost/").header("x-large", "x".repeat(600)).body(());
    let outcome = world.send(client, large.expect("the request is well formed"));
    assert!(world.net.run_until(SECOND, |_| outcome.borrow().is_over()));
    assert!(outcome.borrow().failure.is_some());
    assert_eq!(world.served(), Vec::<Method>::new());
}

#[test]
fn what_was_asked_before_a_stateless_refusal_is_sent_again() {
    // RFC 9000 §17.2.5.3: a Retry takes nothing from what was written.
    let mut world = World::new();
    world.restart_refusing();
    let client = world.http();
    let outcomes = [world.send(client, post()), world.send(client, get())];
    assert_eq!(world.finish(&outcomes[0], 200), 3 * ROUND_TRIP, "Retry, handshake, request");
    world.finish(&outcomes[1], 200);
    assert_eq!(outcomes[0].borrow().body, b"echo");
    assert_eq!(world.served(), [Method::POST, Method::GET]);
}

#[test]
fn early_requests_survive_a_stateless_refusal_and_are_served_once() {
    // RFC 9000 §17.2.5.3, RFC 8470 §2
    let mut world = World::new();
    world.warm_up();
    world.restart_refusing();
    let client = world.http();
    let (unsafe_one, safe_one) = (world.send(client, post()), world.send(client, get()));
    assert_eq!(world.finish(&safe_one, 200), 2 * ROUND_TRIP, "one more than without");
    assert_eq!(world.early_data(client), EarlyData::Accepted);
    assert_eq!(world.served(), [Method::GET]);
    assert_eq!(world.finish(&unsafe_one, 200), ROUND_TRIP);
    assert_eq!(unsafe_one.borrow().body, b"echo");
    assert_eq!(world.served(), [Method::POST]);
}
