//! CONNECT (RFC 9114 §4.4), extended CONNECT (RFC 8441, RFC 9220), HTTP Datagrams and capsules
//! (RFC 9297): our client and our server, and each against a peer that writes any bytes. Here is
//! what the suites share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agreement;
mod capsules;
mod client;
mod datagrams;
mod messages;
mod raw;
mod requests;
mod server;
mod tunnels;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use protoquic::connection::Config;
use protoquic::http::{ALPN, Body, ExchangeError, Http3ClientSession, Http3Config, Protocol};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::tls;

use client::{Dialogue, Talk};
use server::{Log, Manner};

fn on() -> Http3Config {
    Http3Config { enable_connect_protocol: true, datagrams: true, ..Http3Config::default() }
}

fn transport() -> Arc<Config> {
    Arc::new(protoquic_tests::datagrams::config())
}

struct Pair {
    net: Net<Http3ClientSession>,
    log: Rc<RefCell<Log>>,
}

fn pair(manner: Manner, http: Http3Config) -> Pair {
    let (factory, log) = server::server(manner, http);
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
