//! HTTP/3 for tests: servers, requests with their outcomes, and messages as raw bytes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use protoquic::ServerConfig;
use protoquic::connection::Config;
use protoquic::http::{
    ALPN, Backend, Body, ClientExchange, Http3ClientSession, Http3Config, Http3ServerFactory,
    RequestFailure, RequestHandler, RequestId, ResponseHandler, ServerExchange,
};

use crate::net::Net;
use crate::tls;

/// A server of this backend.
pub fn factory<B: Backend + 'static>(backend: B) -> Http3ServerFactory<Rc<B>> {
    factory_with(backend, Http3Config::default())
}

/// A server of this backend with these limits.
pub fn factory_with<B: Backend + 'static>(
    backend: B,
    http: Http3Config,
) -> Http3ServerFactory<Rc<B>> {
    Http3ServerFactory::new(Rc::new(backend), server_config(), http)
}

/// A backend that answers CONNECT as it is told, and any other request with a word.
#[derive(Clone, Debug)]
pub struct Connects<F>(pub F);

impl<F> Backend for Connects<F>
where
    F: Fn(Request<()>, &mut ServerExchange<'_>) -> Option<Box<dyn RequestHandler>>,
{
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
        (self.0)(request, exchange)
    }
}

/// The transport and TLS of a server.
pub fn server_config() -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[ALPN]) }
}

/// Has a client of the net ask. Returns the request and what becomes of it.
pub fn ask(
    net: &mut Net<Http3ClientSession>,
    client: usize,
    request: Request<impl Into<Body>>,
) -> (RequestId, Rc<RefCell<Outcome>>) {
    ask_with(net, client, request, Collector::default())
}

/// The same, with this handler.
pub fn ask_with(
    net: &mut Net<Http3ClientSession>,
    client: usize,
    request: Request<impl Into<Body>>,
    handler: Collector,
) -> (RequestId, Rc<RefCell<Outcome>>) {
    let outcome = Rc::clone(&handler.outcome);
    let now = net.now;
    let id = net.clients[client]
        .enter(now, |session, cx| session.send_request(cx, request, Box::new(handler)))
        .expect("the request is well formed");
    net.kick();
    (id, outcome)
}

/// What became of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Interim responses.
    pub interim: Vec<Response<()>>,
    /// The response's head.
    pub head: Option<Response<()>>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long its body is.
    pub len: u64,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
    /// It is complete.
    pub complete: bool,
    /// It failed.
    pub failure: Option<RequestFailure>,
}

impl Outcome {
    /// Whether nothing more will follow.
    pub fn is_over(&self) -> bool {
        self.complete || self.failure.is_some()
    }

    /// The status of the response.
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status().as_u16())
    }
}

/// Notes everything in an [`Outcome`].
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// What came.
    pub outcome: Rc<RefCell<Outcome>>,
    /// The body is counted and not kept.
    pub counts_only: bool,
}

impl ResponseHandler for Collector {
    fn on_interim(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        self.outcome.borrow_mut().interim.push(response);
    }

    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        self.outcome.borrow_mut().head = Some(response);
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        let mut outcome = self.outcome.borrow_mut();
        while let Some(piece) = exchange.read_body() {
            outcome.len += piece.len() as u64;
            if !self.counts_only {
                outcome.body.extend_from_slice(&piece);
            }
        }
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        let mut outcome = self.outcome.borrow_mut();
        assert!(!outcome.is_over(), "a request ends once");
        outcome.complete = true;
        outcome.trailers = exchange.trailers().cloned();
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        let mut outcome = self.outcome.borrow_mut();
        assert!(!outcome.is_over(), "a request ends once");
        outcome.failure = Some(failure.clone());
    }
}

/// A varint.
pub fn varint(v: u64) -> Vec<u8> {
    match v {
        0..64 => vec![v as u8],
        64..16_384 => (v as u16 | 0x4000).to_be_bytes().to_vec(),
        16_384..1_073_741_824 => (v as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (v | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// A frame.
pub fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    [&varint(ty)[..], &varint(payload.len() as u64), payload].concat()
}

/// A HEADERS frame of literals (RFC 9204 §4.5.6).
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        prefixed(&mut section, 0x20, 3, name.len());
        section.extend_from_slice(name.as_bytes());
        prefixed(&mut section, 0, 7, value.len());
        section.extend_from_slice(value.as_bytes());
    }
    frame(1, &section)
}

/// A DATA frame.
pub fn data(payload: &[u8]) -> Vec<u8> {
    frame(0, payload)
}

/// The pseudo-header fields of a GET.
pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];

/// The start of a control stream: its type and empty SETTINGS.
pub const CONTROL: [u8; 3] = [0, 4, 0];

/// An integer with a prefix of `bits` bits (RFC 9204 §4.1.1).
fn prefixed(out: &mut Vec<u8>, first: u8, bits: u8, v: usize) {
    let max = (1 << bits) - 1;
    if v < max {
        return out.push(first | v as u8);
    }
    out.push(first | max as u8);
    let mut rest = v - max;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
