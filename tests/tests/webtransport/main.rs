//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3-07) in virtual time: our client and our
//! server, and each against a peer that writes any bytes. Here is what the suites share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod round_trip;
mod rules;
mod sessions;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use protoquic::connection::Config;
use protoquic::http::webtransport::{
    WebTransportEcho, WebTransportEnd, WebTransportSession, WebTransportVisitor,
};
use protoquic::http::{
    ALPN, Backend, ExchangeError, Http3ClientSession, Http3Config, Http3ServerFactory, Protocol,
    RequestHandler, RequestId, ServerExchange,
};
use protoquic::{Direction, ServerConfig, StreamId};
use protoquic_tests::http3::Connects;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::{datagrams, tls};

/// What a visitor saw.
#[derive(Debug, Default)]
struct Log {
    is_ready: bool,
    incoming: Vec<StreamId>,
    data: BTreeMap<StreamId, Vec<u8>>,
    finished: Vec<StreamId>,
    resets: Vec<(StreamId, Option<u32>)>,
    stops: Vec<(StreamId, Option<u32>)>,
    datagrams: Vec<Bytes>,
    can_open: Vec<Direction>,
    drains: usize,
    ends: Vec<WebTransportEnd>,
}

type Deed = Box<dyn FnOnce(&mut WebTransportSession<'_>)>;

/// Notes all that happens, and does what it is told when it is called.
#[derive(Clone, Default)]
struct Player {
    log: Rc<RefCell<Log>>,
    deeds: Rc<RefCell<VecDeque<Deed>>>,
    /// What each stream is still to carry.
    unsent: Rc<RefCell<BTreeMap<StreamId, Bytes>>>,
}

impl Player {
    fn then(&self, deed: impl FnOnce(&mut WebTransportSession<'_>) + 'static) {
        self.deeds.borrow_mut().push_back(Box::new(deed));
    }

    /// Has it open a stream, write this on it and finish it.
    fn say(&self, direction: Direction, text: impl Into<Bytes>) {
        let (player, text) = (self.clone(), text.into());
        self.then(move |session| {
            let stream = match direction {
                Direction::Bidirectional => session.open_bidirectional_stream(),
                Direction::Unidirectional => session.open_unidirectional_stream(),
            };
            let stream = stream.unwrap();
            player.unsent.borrow_mut().insert(stream, text);
            player.write(stream, session);
        });
    }

    fn write(&self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        let mut unsent = self.unsent.borrow_mut();
        let Some(data) = unsent.get_mut(&stream) else { return };
        session.write(stream, data).unwrap();
        if data.is_empty() {
            session.finish(stream).unwrap();
            unsent.remove(&stream);
        }
    }

    fn texts(&self) -> Vec<Vec<u8>> {
        self.log.borrow().data.values().cloned().collect()
    }

    fn end(&self) -> Option<WebTransportEnd> {
        let log = self.log.borrow();
        assert!(log.ends.len() < 2, "a session ends once: {:?}", log.ends);
        log.ends.first().cloned()
    }
}

impl WebTransportVisitor for Player {
    fn on_session_ready(&mut self, _session: &mut WebTransportSession<'_>) {
        assert!(!std::mem::replace(&mut self.log.borrow_mut().is_ready, true));
    }

    fn on_incoming_stream(&mut self, stream: StreamId, _session: &mut WebTransportSession<'_>) {
        assert!(self.log.borrow().is_ready);
        self.log.borrow_mut().incoming.push(stream);
    }

    fn on_stream_readable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        let mut log = self.log.borrow_mut();
        while let Some(piece) = session.read(stream) {
            log.data.entry(stream).or_default().extend_from_slice(&piece);
        }
        if session.is_read_finished(stream) && !log.finished.contains(&stream) {
            log.finished.push(stream);
        }
    }

    fn on_stream_writable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        self.write(stream, session);
    }

    fn on_stream_reset(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        _session: &mut WebTransportSession<'_>,
    ) {
        self.log.borrow_mut().resets.push((stream, code));
    }

    fn on_stop_sending(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        _session: &mut WebTransportSession<'_>,
    ) {
        self.log.borrow_mut().stops.push((stream, code));
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        _session: &mut WebTransportSession<'_>,
    ) {
        self.log.borrow_mut().can_open.push(direction);
    }

    fn on_datagram_received(&mut self, data: Bytes, _session: &mut WebTransportSession<'_>) {
        self.log.borrow_mut().datagrams.push(data);
    }

    fn on_session_draining(&mut self, _session: &mut WebTransportSession<'_>) {
        self.log.borrow_mut().drains += 1;
    }

    fn on_woken(&mut self, session: &mut WebTransportSession<'_>) {
        while let Some(deed) = self.deeds.borrow_mut().pop_front() {
            deed(session);
        }
    }

    fn on_session_closed(&mut self, end: &WebTransportEnd) {
        self.log.borrow_mut().ends.push(end.clone());
    }
}

/// A server's sessions: an echo at /echo, a player at /play, none elsewhere.
#[derive(Default)]
struct Sessions {
    player: Player,
    origins: RefCell<Vec<String>>,
}

impl Sessions {
    fn open(
        &self,
        request: &Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "webtransport");
        if let Some(origin) = request.headers().get("origin") {
            self.origins.borrow_mut().push(origin.to_str().unwrap().to_owned());
        }
        let visitor: Box<dyn WebTransportVisitor> = match request.uri().path() {
            "/echo" => Box::new(WebTransportEcho::default()),
            "/play" => Box::new(self.player.clone()),
            _ => {
                let mut refusal = Response::new(());
                *refusal.status_mut() = StatusCode::NOT_FOUND;
                exchange.respond(refusal);
                return None;
            }
        };
        exchange.accept_webtransport(visitor).ok()
    }
}

fn on() -> Http3Config {
    Http3Config { webtransport_sessions: 3, ..Http3Config::default() }
}

fn transport() -> Config {
    datagrams::config()
}

fn server(http: Http3Config) -> (Http3ServerFactory<impl Backend + Clone>, Rc<Sessions>) {
    let sessions = Rc::new(Sessions::default());
    let opened = Rc::clone(&sessions);
    let backend = Connects(move |request: Request<()>, exchange: &mut ServerExchange<'_>| {
        opened.open(&request, exchange)
    });
    let config = ServerConfig { transport: Arc::new(transport()), tls: tls::server(&[ALPN]) };
    (Http3ServerFactory::new(backend, config, http), sessions)
}

/// Our client at our server.
struct Pair {
    net: Net<Http3ClientSession>,
    server: Rc<Sessions>,
}

fn pair() -> Pair {
    pair_with(on(), transport())
}

fn pair_with(http: Http3Config, client: Config) -> Pair {
    let (factory, server) = server(http);
    let mut net = Net::new(5, Link::default(), factory);
    let session = Http3ClientSession::new(on());
    net.connect(Arc::new(client), tls::client(&[ALPN]), session, |writer| Box::new(writer));
    Pair { net, server }
}

impl Pair {
    fn open(&mut self, path: &str) -> Result<(RequestId, Player), ExchangeError> {
        let player = Player::default();
        let request = Request::get(format!("https://localhost{path}")).header("origin", "here");
        let request = request.body(()).unwrap();
        let (visitor, now) = (Box::new(player.clone()), self.net.now);
        let id = self.net.clients[0]
            .enter(now, |session, cx| session.open_webtransport(cx, request, visitor))?;
        self.net.kick();
        Ok((id, player))
    }

    /// Opens a session and has all its deeds done.
    fn opened(&mut self, path: &str) -> (RequestId, Player) {
        let (id, player) = self.open(path).unwrap();
        self.run();
        (id, player)
    }

    /// Has the client's visitor called.
    fn wake(&mut self, id: RequestId) {
        let now = self.net.now;
        self.net.clients[0].enter(now, |session, cx| {
            if let Some(stream) = session.stream_of(id) {
                cx.wake_stream(stream);
            }
        });
        self.net.kick();
        self.run();
    }

    fn run(&mut self) {
        self.net.run_for(Duration::from_secs(2));
    }
}
