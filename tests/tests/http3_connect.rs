//! CONNECT (RFC 9114 §4.4), extended CONNECT (RFC 8441, RFC 9220), HTTP Datagrams and capsules
//! (RFC 9297): our client and our server, and each against a peer that writes any bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use protoquic::connection::{Config, DatagramOptions};
use protoquic::http::{
    ALPN, Backend, Body, Capsule, CapsuleReader, ClientExchange, ExchangeError, Http3ClientSession,
    Http3Code as Code, Http3Config, Http3ServerFactory, HttpDatagramError, Protocol,
    RequestFailure, RequestHandler, ResponseHandler, ServerExchange,
};
use protoquic::streams::StreamsConfig;
use protoquic::{Direction, FnFactory, Host, Role, ServerConfig, SessionHost, StreamId};
use protoquic_tests::http3::{CONTROL, GET, data, frame, headers, varint};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi, uni};
use protoquic_tests::{datagrams, tls};

/// How a tunnel of the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Sends bodies and datagrams back.
    Echo,
    /// Sends back what capsules carry.
    Capsules,
    /// Ends its side at once and goes on reading.
    HalfClosed,
    /// Says how long its answer is, which it must not.
    Measured,
    /// Breaks.
    Breaks,
}

/// What a server saw.
#[derive(Debug, Default)]
struct Log {
    targets: Vec<String>,
    received: Vec<u8>,
    datagrams: usize,
    ended: bool,
    errors: Vec<ExchangeError>,
    late_datagram: Option<Result<(), HttpDatagramError>>,
}

struct Tunnels {
    manner: Manner,
    log: Rc<RefCell<Log>>,
}

impl Backend for Tunnels {
    fn on_request(
        &self,
        _request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        exchange.respond(Response::new("hello"));
        None
    }

    fn on_connect(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let protocol = request.extensions().get::<Protocol>().map(ToString::to_string);
        let target = format!("{} {}", protocol.unwrap_or_default(), request.uri());
        self.log.borrow_mut().targets.push(target);
        let mut response = Response::new(());
        if self.manner == Manner::Measured {
            response.headers_mut().insert("content-length", 1.into());
            let error = exchange.send_response(&response).unwrap_err();
            self.log.borrow_mut().errors.push(error);
            response.headers_mut().clear();
        }
        exchange.send_response(&response).unwrap();
        match self.manner {
            Manner::HalfClosed => {
                exchange.finish().unwrap();
                self.log.borrow_mut().late_datagram = Some(exchange.send_datagram(b"late"));
            }
            Manner::Breaks => exchange.cancel(Code::CONNECT_ERROR),
            _ => {}
        }
        let reader = CapsuleReader::new(&[Capsule::DATAGRAM], 1000);
        let log = Rc::clone(&self.log);
        Some(Box::new(Tunnel { manner: self.manner, log, held: VecDeque::new(), reader }))
    }
}

struct Tunnel {
    manner: Manner,
    log: Rc<RefCell<Log>>,
    held: VecDeque<Bytes>,
    reader: CapsuleReader,
}

impl RequestHandler for Tunnel {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        if self.manner == Manner::Capsules {
            while let Some(capsule) = exchange.read_capsule(&mut self.reader) {
                self.held.push_back(Capsule::datagram(capsule.value).encode());
            }
        } else {
            while let Some(piece) = exchange.read_body() {
                self.log.borrow_mut().received.extend_from_slice(&piece);
                self.held.push_back(piece);
            }
        }
        self.on_can_write(exchange);
    }

    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        if exchange.wants_body() {
            while let Some(piece) = self.held.front_mut() {
                exchange.write_body(piece).unwrap();
                if !piece.is_empty() {
                    return;
                }
                self.held.pop_front();
            }
        }
        if exchange.is_body_finished() {
            self.log.borrow_mut().ended = true;
            let _ = exchange.finish();
        }
    }

    fn takes_datagrams(&self) -> bool {
        self.manner == Manner::Echo
    }

    fn on_datagram(&mut self, data: Bytes, exchange: &mut ServerExchange<'_>) {
        self.log.borrow_mut().datagrams += 1;
        // A peer that writes any bytes may not have asked for datagrams.
        let _ = exchange.send_datagram(&data);
    }
}

/// A client's side of a tunnel: writes what it is given, notes what comes.
#[derive(Clone, Default)]
struct Dialogue {
    state: Rc<RefCell<Talk>>,
}

#[derive(Default)]
struct Talk {
    say: Bytes,
    /// The client ends its side when all is said.
    ends: bool,
    status: u16,
    heard: Vec<u8>,
    send: Vec<Bytes>,
    sent: Vec<Result<(), HttpDatagramError>>,
    datagrams: Vec<Bytes>,
    complete: bool,
    failure: Option<RequestFailure>,
}

impl ResponseHandler for Dialogue {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        let mut state = self.state.borrow_mut();
        state.status = response.status().as_u16();
        for datagram in std::mem::take(&mut state.send) {
            let sent = exchange.send_datagram(&datagram);
            state.sent.push(sent);
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.state.borrow_mut().heard.extend_from_slice(&piece);
        }
    }

    fn on_can_write(&mut self, exchange: &mut ClientExchange<'_>) {
        let mut state = self.state.borrow_mut();
        exchange.write_body(&mut state.say).unwrap();
        if state.say.is_empty() && std::mem::take(&mut state.ends) {
            exchange.finish().unwrap();
        }
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn on_datagram(&mut self, data: Bytes, _exchange: &mut ClientExchange<'_>) {
        self.state.borrow_mut().datagrams.push(data);
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.state.borrow_mut().complete = true;
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.state.borrow_mut().failure = Some(failure.clone());
    }
}

fn on() -> Http3Config {
    Http3Config { enable_connect_protocol: true, datagrams: true, ..Http3Config::default() }
}

fn transport() -> Arc<Config> {
    Arc::new(datagrams::config())
}

fn server(
    manner: Manner,
    http: Http3Config,
) -> (Http3ServerFactory<Rc<Tunnels>>, Rc<RefCell<Log>>) {
    let log = Rc::default();
    let backend = Rc::new(Tunnels { manner, log: Rc::clone(&log) });
    let config = ServerConfig { transport: transport(), tls: tls::server(&[ALPN]) };
    (Http3ServerFactory::new(backend, config, http), log)
}

struct Pair {
    net: Net<Http3ClientSession>,
    log: Rc<RefCell<Log>>,
}

fn pair(manner: Manner, http: Http3Config) -> Pair {
    let (factory, log) = server(manner, http);
    let mut net = Net::new(5, Link::default(), factory);
    let session = Http3ClientSession::new(on());
    net.connect(transport(), tls::client(&[ALPN]), session, |writer| Box::new(writer));
    Pair { net, log }
}

impl Pair {
    fn start(&mut self, request: Request<Body>, talk: Talk) -> Result<Dialogue, ExchangeError> {
        let dialogue = Dialogue { state: Rc::new(RefCell::new(talk)) };
        let handler = Box::new(dialogue.clone());
        let now = self.net.now;
        self.net.clients[0].enter(now, |session, cx| session.send_request(cx, request, handler))?;
        self.net.kick();
        Ok(dialogue)
    }

    fn run(&mut self) {
        self.net.run_for(Duration::from_secs(2));
    }
}

fn plain() -> Request<Body> {
    Request::connect("example.org:22").body(Body::Written).unwrap()
}

fn extended() -> Request<Body> {
    let mut request = Request::connect("https://localhost/chat?x").body(Body::Written).unwrap();
    request.extensions_mut().insert(Protocol::new("websocket").unwrap());
    request
}

fn saying(text: &[u8]) -> Talk {
    Talk { say: Bytes::copy_from_slice(text), ends: true, ..Talk::default() }
}

#[test]
fn a_connect_makes_a_tunnel_both_ways() {
    let mut pair = pair(Manner::Echo, on());
    let long = vec![b'x'; 3_000_000];
    let dialogue = pair.start(plain(), saying(&long)).unwrap();
    let ended = |_: &_| dialogue.state.borrow().complete;
    assert!(pair.net.run_until(Duration::from_mins(1), ended));
    let talk = dialogue.state.borrow();
    assert_eq!((talk.status, talk.heard.len()), (200, long.len()));
    assert_eq!(pair.log.borrow().targets, [" example.org:22"]);
    assert_eq!(pair.net.clients[0].session().active_requests(), 0);
}

#[test]
fn each_side_of_a_tunnel_ends_on_its_own() {
    // RFC 9114 §4.4; RFC 9297 §2.1: datagrams end with the side that sends them.
    let mut pair = pair(Manner::HalfClosed, on());
    let dialogue = pair.start(plain(), saying(&vec![b'x'; 1_000_000])).unwrap();
    pair.net.run_for(Duration::from_secs(9));
    let log = pair.log.borrow();
    assert!(log.ended && log.received.len() == 1_000_000, "{} bytes", log.received.len());
    assert_eq!(log.late_datagram, Some(Err(HttpDatagramError::StreamClosed)));
    assert!(dialogue.state.borrow().complete);
}

#[test]
fn a_tunnel_that_breaks_says_so() {
    // RFC 9114 §4.4
    let mut pair = pair(Manner::Breaks, on());
    let dialogue = pair.start(plain(), saying(b"x")).unwrap();
    pair.run();
    let failure = dialogue.state.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Code::CONNECT_ERROR)));
}

#[test]
fn a_tunnel_has_no_length() {
    // RFC 9110 §9.3.6
    let mut pair = pair(Manner::Measured, on());
    let dialogue = pair.start(plain(), saying(b"much more than one")).unwrap();
    pair.run();
    assert!(matches!(pair.log.borrow().errors[..], [ExchangeError::Invalid(_)]));
    assert_eq!(dialogue.state.borrow().heard, b"much more than one");
}

#[test]
fn an_extended_connect_waits_for_the_servers_settings() {
    // RFC 8441 §3: asked for before the handshake even.
    let mut pair = pair(Manner::Echo, on());
    let dialogue = pair.start(extended(), saying(b"hi")).unwrap();
    pair.run();
    assert!(dialogue.state.borrow().complete && dialogue.state.borrow().heard == b"hi");
    assert_eq!(pair.log.borrow().targets, ["websocket https://localhost/chat?x"]);
}

#[test]
fn an_extended_connect_is_not_sent_to_who_did_not_ask_for_it() {
    // RFC 8441 §3
    let mut pair = pair(Manner::Echo, Http3Config::default());
    let early = pair.start(extended(), saying(b"hi")).unwrap();
    pair.run();
    assert!(matches!(early.state.borrow().failure, Some(RequestFailure::Message(_))));
    let late = pair.start(extended(), saying(b"hi"));
    assert!(matches!(late.err(), Some(ExchangeError::Invalid(_))));
    assert!(pair.log.borrow().targets.is_empty());
}

#[test]
fn what_is_no_connect_is_not_sent() {
    let mut pair = pair(Manner::Echo, on());
    let mut other = extended();
    *other.method_mut() = Method::GET;
    let mut absolute = plain();
    *absolute.uri_mut() = Uri::from_static("https://example.org/");
    let mut portless = plain();
    *portless.uri_mut() = Uri::from_static("example.org");
    for request in [other, absolute, portless] {
        let refused = pair.start(request, Talk::default()).err();
        assert!(matches!(refused, Some(ExchangeError::Invalid(_))), "{refused:?}");
    }
}

#[test]
fn datagrams_belong_to_their_exchanges() {
    // RFC 9297 §2.1
    let mut pair = pair(Manner::Echo, on());
    let mut start = |text: &'static [u8]| {
        let send = vec![Bytes::from_static(text); 3];
        pair.start(extended(), Talk { send, ..Talk::default() }).unwrap()
    };
    let (one, other) = (start(b"one"), start(b"other"));
    pair.run();
    assert_eq!(one.state.borrow().sent, [Ok(()); 3]);
    assert_eq!(one.state.borrow().datagrams, [&b"one"[..]; 3]);
    assert_eq!(other.state.borrow().datagrams, [&b"other"[..]; 3]);
}

#[test]
fn datagrams_are_not_sent_before_both_sides_agree_or_too_large() {
    // RFC 9297 §2.1.1
    let too_large = Bytes::from(vec![0; 5000]);
    for datagrams in [true, false] {
        let mut pair = pair(Manner::Echo, Http3Config { datagrams, ..on() });
        let send = vec![too_large.clone()];
        let dialogue = pair.start(extended(), Talk { send, ..Talk::default() }).unwrap();
        pair.run();
        let sent = dialogue.state.borrow().sent[0];
        let is_told = matches!(sent, Err(HttpDatagramError::TooLarge(max)) if max > 1000);
        assert_eq!(
            (is_told, sent == Err(HttpDatagramError::NotSupported)),
            (datagrams, !datagrams)
        );
    }
}

#[test]
fn datagrams_are_offered_where_the_transport_takes_them() {
    // RFC 9297 §2.1.1: who says so is sent some, and the transport ends a connection for those.
    for (config, expected) in [(transport(), true), (Arc::default(), false)] {
        let tls = tls::server(&[ALPN]);
        let server = ServerConfig { transport: config, tls };
        let backend = Rc::new(Tunnels { manner: Manner::Echo, log: Rc::default() });
        let mut net = Net::new(5, Link::default(), Http3ServerFactory::new(backend, server, on()));
        let session = Http3ClientSession::new(on());
        net.connect(transport(), tls::client(&[ALPN]), session, |writer| Box::new(writer));
        net.run_for(Duration::from_secs(1));
        let settings = net.clients[0].session().peer_settings().copied();
        assert_eq!(settings.map(|settings| settings.h3_datagram), Some(expected));
    }
}

#[test]
fn a_setting_alone_sends_no_datagrams_and_breaks_no_rule() {
    // RFC 9297 §2.1.1 asks for no error if the setting comes without the transport's parameter; RFC
    // 9221 §3 forbids to send then. Nor may we before our settings are sent, for which one server
    // gives no stream.
    let no_streams = StreamsConfig { max_streams_uni: 0, ..StreamsConfig::default() };
    let closed = Config { streams: no_streams, ..datagrams::config() };
    for (config, expected) in [
        (transport(), Ok(())),
        (Arc::default(), Err(HttpDatagramError::NotSupported)),
        (Arc::new(closed), Err(HttpDatagramError::NotSupported)),
    ] {
        let settings = [0, 4, 4, 8, 1, 0x33, 1];
        let answer = bidi(headers(&[(":status", "200")]));
        let (mut pair, seen) = against_raw_server(config, uni(settings), answer);
        let talk = Talk { send: vec![Bytes::from_static(b"hi")], ..Talk::default() };
        let dialogue = pair.start(extended(), talk).unwrap();
        pair.run();
        assert_eq!(dialogue.state.borrow().sent, [expected]);
        assert!(seen.borrow().closed.is_none(), "{seen:?}");
    }
}

#[test]
fn capsules_go_where_datagrams_do_not() {
    // RFC 9297 §3.5
    let mut pair = pair(Manner::Capsules, on());
    let other = Capsule { kind: 0x1234, value: vec![1; 9000].into() };
    let ours = Capsule::datagram("hi".into());
    let said = [other.encode(), ours.encode(), other.encode()].concat();
    let dialogue = pair.start(extended(), saying(&said)).unwrap();
    pair.run();
    assert_eq!(dialogue.state.borrow().heard, ours.encode());
    assert!(dialogue.state.borrow().complete);
}

#[test]
fn a_truncated_capsule_is_a_malformed_message() {
    // RFC 9297 §3.3
    let mut pair = pair(Manner::Capsules, on());
    let dialogue = pair.start(extended(), saying(&[0, 5, 1])).unwrap();
    pair.run();
    let failure = dialogue.state.borrow().failure.clone();
    assert_eq!(failure, Some(RequestFailure::Peer(Code::MESSAGE_ERROR)));
}

fn request_stream(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Bidirectional, index)
}

/// A client that runs these scripts, and sends these datagrams at once or when all has arrived.
fn against_tunnel(
    manner: Manner,
    http: Http3Config,
    scripts: Vec<Script>,
    datagrams: &[Vec<u8>],
    is_early: bool,
) -> (Rc<RefCell<Seen>>, Rc<RefCell<Log>>) {
    let (factory, log) = server(manner, http);
    let mut net = Net::new(1, Link::default(), factory);
    let mut peer = RawPeer::default();
    let seen = Rc::clone(&peer.seen);
    peer.scripts = if is_early { VecDeque::new() } else { scripts.clone().into() };
    net.connect(transport(), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for datagram in datagrams {
            let data = Bytes::copy_from_slice(datagram);
            cx.send_datagram(data, DatagramOptions::default()).unwrap();
        }
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    if is_early {
        let now = net.now;
        net.clients[0].enter(now, |session, cx| {
            session.scripts = scripts.into();
            session.run(cx);
        });
        net.kick();
        net.run_for(Duration::from_secs(1));
    }
    (seen, log)
}

fn against_server(
    http: Http3Config,
    scripts: Vec<Script>,
    datagrams: &[Vec<u8>],
    is_early: bool,
) -> (Rc<RefCell<Seen>>, Rc<RefCell<Log>>) {
    against_tunnel(Manner::Echo, http, scripts, datagrams, is_early)
}

fn connect_with(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&[(":method", "CONNECT")], more].concat())
}

fn websocket() -> Vec<u8> {
    connect_with(&[
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ])
}

fn open(bytes: Vec<u8>) -> Script {
    bidi(bytes).ending(End::Open)
}

#[test]
fn malformed_connects_cost_their_stream() {
    // RFC 9114 §4.4, RFC 8441 §4
    let authority = (":authority", "localhost:443");
    let path = (":path", "/");
    let no_path = [(":protocol", "websocket"), (":scheme", "https"), authority];
    let get = headers(&[&GET[..], &[(":protocol", "websocket")]].concat());
    let bad = [
        (on(), connect_with(&no_path)),
        (on(), connect_with(&[authority, path])),
        (on(), connect_with(&[(":protocol", "no token"), (":scheme", "https"), authority, path])),
        (on(), get),
        // Not asked for.
        (Http3Config::default(), websocket()),
    ];
    for (config, request) in bad {
        let (seen, log) = against_server(config, vec![uni(CONTROL), open(request)], &[], false);
        let seen = seen.borrow();
        let reset = seen.resets.get(&request_stream(0)).copied().map(Code);
        assert_eq!(reset, Some(Code::MESSAGE_ERROR), "{seen:?}");
        assert!(seen.closed.is_none() && log.borrow().targets.is_empty());
    }
}

#[test]
fn a_connect_without_a_port_is_a_bad_request() {
    // RFC 9110 §9.3.6
    let request = connect_with(&[(":authority", "localhost")]);
    let (seen, log) = against_server(on(), vec![uni(CONTROL), bidi(request)], &[], false);
    assert!(seen.borrow().finished.contains(&request_stream(0)));
    assert!(log.borrow().targets.is_empty());
}

#[test]
fn a_tunnel_carries_data_only() {
    // RFC 9114 §4.4
    let trailers = [websocket(), data(b"x"), headers(&[("a", "b")])].concat();
    let (seen, _) = against_server(on(), vec![uni(CONTROL), open(trailers)], &[], false);
    assert_eq!(seen.borrow().close_code().map(Code), Some(Code::FRAME_UNEXPECTED));
    let fine = [websocket(), frame(0x21, b"reserved"), data(b"x")].concat();
    let (seen, log) = against_server(on(), vec![uni(CONTROL), bidi(fine)], &[], false);
    assert!(seen.borrow().closed.is_none() && log.borrow().received == b"x");
}

/// Our client, and a server that opens this stream and answers like this.
fn against_raw_server(
    transport: Arc<Config>,
    control: Script,
    answer: Script,
) -> (Pair, Rc<RefCell<Seen>>) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let shared = Rc::clone(&seen);
    let config = ServerConfig { transport, tls: tls::server(&[ALPN]) };
    let factory = FnFactory::new(&[ALPN], config, move |connection| {
        let mut peer = RawPeer::new([control.clone()]);
        peer.answers.push_back(answer.clone());
        peer.seen = Rc::clone(&shared);
        Box::new(SessionHost::new(connection, peer)) as Box<dyn Host>
    });
    let mut net = Net::new(1, Link::default(), factory);
    net.connect(
        self::transport(),
        tls::client(&[ALPN]),
        Http3ClientSession::new(Http3Config { max_pushes: 5, ..on() }),
        |writer| Box::new(writer),
    );
    (Pair { net, log: Rc::default() }, seen)
}

#[test]
fn a_client_ignores_the_length_of_a_tunnel_and_takes_data_only() {
    // RFC 9110 §9.3.6, RFC 9114 §4.4
    let ok = headers(&[(":status", "200"), ("content-length", "1")]);
    let promise = frame(5, &[&[0, 0, 0][..], &[0xd1, 0xd7, 0xc1]].concat());
    for (more, expected) in [(vec![], None), (promise, Some(Code::FRAME_UNEXPECTED))] {
        let answer = [ok.clone(), data(b"tunnel"), more].concat();
        let (mut pair, seen) = against_raw_server(transport(), uni(CONTROL), bidi(answer));
        let dialogue = pair.start(plain(), saying(b"x")).unwrap();
        pair.run();
        assert_eq!(seen.borrow().close_code().map(Code), expected);
        assert_eq!(dialogue.state.borrow().heard, b"tunnel");
    }
}

#[test]
fn datagrams_have_an_exchange_they_can_belong_to() {
    // RFC 9297 §2.1: no ID, an ID that no stream can have, one beyond the limit.
    let large = varint(1 << 60);
    for (datagram, expected) in [
        (vec![], Code::DATAGRAM_ERROR),
        (vec![0x40], Code::DATAGRAM_ERROR),
        (large, Code::DATAGRAM_ERROR),
        (varint(1_000_000), Code::ID_ERROR),
    ] {
        let (seen, _) = against_server(on(), vec![uni(CONTROL)], &[datagram], false);
        assert_eq!(seen.borrow().close_code().map(Code), Some(expected));
    }
}

#[test]
fn a_datagram_where_it_means_nothing_ends_the_exchange() {
    // RFC 9297 §2
    let upload = headers(&GET);
    let connect = [websocket(), data(b"x")].concat();
    let scripts = vec![uni(CONTROL), open(connect), open(upload[..5].to_vec())];
    let datagrams = [vec![0, 1], vec![0, 2]];
    let (seen, log) = against_server(on(), scripts, &datagrams, false);
    assert!(seen.borrow().resets.is_empty() && log.borrow().datagrams == 2);
    // A request that has not come whole, and is then no tunnel but an answer that is over.
    let get = vec![uni(CONTROL), open(headers(&GET))];
    let (seen, _) = against_server(on(), get, &[vec![0, 1]], false);
    assert!(seen.borrow().closed.is_none() && seen.borrow().resets.is_empty());
    // A tunnel that takes none.
    let scripts = vec![uni(CONTROL), open(websocket())];
    let (seen, _) = against_tunnel(Manner::Capsules, on(), scripts, &[vec![0, 1]], false);
    let reset = seen.borrow().resets.get(&request_stream(0)).copied().map(Code);
    assert_eq!(reset, Some(Code::DATAGRAM_ERROR));
    assert!(seen.borrow().closed.is_none());
}

#[test]
fn datagrams_ahead_of_their_request_wait_in_bounds() {
    // RFC 9297 §2.1
    let scripts = || vec![uni(CONTROL), open(websocket())];
    let (_, log) = against_server(on(), scripts(), &[vec![0, 1], vec![0, 2], vec![1, 3]], true);
    assert_eq!(log.borrow().datagrams, 2);
    let many = vec![vec![0, 1]; 200];
    let (seen, log) = against_server(on(), scripts(), &many, true);
    assert_eq!(log.borrow().datagrams, 64);
    assert!(seen.borrow().closed.is_none());
}

#[test]
fn datagrams_for_requests_that_have_not_come_whole_wait_in_the_same_bounds() {
    // RFC 9297 §2.1
    let (factory, log) = server(Manner::Echo, on());
    let mut net = Net::new(1, Link::default(), factory);
    let (start, rest) = (websocket()[..5].to_vec(), websocket()[5..].to_vec());
    let peer = RawPeer::new([uni(CONTROL), open(start.clone()), open(start)]);
    net.connect(transport(), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for quarter in [0, 1] {
            for _ in 0..50 {
                let data = Bytes::copy_from_slice(&[quarter, 1]);
                cx.send_datagram(data, DatagramOptions::default()).unwrap();
            }
        }
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for index in [0, 1] {
            let rest = Bytes::copy_from_slice(&rest);
            cx.connection().stream_write_all(request_stream(index), rest).unwrap();
        }
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    assert_eq!(log.borrow().datagrams, 64);
}
