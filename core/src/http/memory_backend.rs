//! [`MemoryBackend`]: serves responses from memory (Chromium: QuicMemoryCacheBackend), keyed by host
//! without port and path with query.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, header};

use super::backend::{Backend, RequestHandler};
use super::body::{Body, BodyChunk, BodySource, BodyWithTrailers};
use super::echo::EchoHandler;
use super::error::Http3Code;
use super::exchange::ServerExchange;
use super::push::{PushError, PushInfo};
use crate::time::Time;

/// A response kept in memory.
#[derive(Clone, Debug, Default)]
pub struct CachedResponse {
    /// Status and headers.
    pub head: Response<()>,
    /// The body.
    pub body: Bytes,
    /// Trailers, if any.
    pub trailers: Option<HeaderMap>,
    /// The headers of as many 103 responses to be sent first.
    pub early_hints: Vec<HeaderMap>,
    /// How long the answer is held back.
    pub delay: Duration,
    /// What is pushed with it, if the client takes pushes: absolute URIs whose responses this
    /// backend has too. On the host that was asked, the port is that which was asked.
    pub pushes: Vec<Uri>,
}

/// An answer that misbehaves, or is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialResponse {
    /// Closes the connection.
    CloseConnection,
    /// Never answers.
    IgnoreRequest,
    /// 500, as from a backend that failed.
    BackendError,
    /// Sends head and body, and never the end.
    IncompleteResponse,
    /// As many bytes as the path says: `/1000` gives 1000.
    GenerateBytes,
}

/// A backend that answers from memory. Fill it, then share it as `Rc` or `Arc`.
///
/// What is not found is answered with 404. `/N` for a number N can be
/// [answered with N bytes](Self::generate_bytes), `POST` to some path
/// [with its own body](Self::echo).
#[derive(Debug, Default)]
pub struct MemoryBackend {
    hosts: HashMap<String, HashMap<String, Entry>>,
    default: Option<Box<CachedResponse>>,
    generates_bytes: bool,
    echo_path: Option<String>,
}

#[derive(Debug)]
enum Entry {
    Cached(Box<CachedResponse>),
    Special(SpecialResponse),
}

impl MemoryBackend {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers requests for this host and path with this status and body.
    pub fn add_simple_response(
        &mut self,
        host: &str,
        path: &str,
        status: StatusCode,
        body: impl Into<Bytes>,
    ) {
        let mut response = CachedResponse { body: body.into(), ..CachedResponse::default() };
        *response.head.status_mut() = status;
        self.add_response(host, path, response);
    }

    /// Answers requests for this host and path with this response.
    pub fn add_response(&mut self, host: &str, path: &str, response: CachedResponse) {
        self.add(host, path, Entry::Cached(Box::new(response)));
    }

    /// Answers requests for this host and path in this way.
    pub fn add_special_response(&mut self, host: &str, path: &str, response: SpecialResponse) {
        self.add(host, path, Entry::Special(response));
    }

    /// Holds back a response that was added before. False if there is none.
    pub fn set_response_delay(&mut self, host: &str, path: &str, delay: Duration) -> bool {
        let paths = self.hosts.get_mut(&host.to_ascii_lowercase());
        match paths.and_then(|paths| paths.get_mut(path)) {
            Some(Entry::Cached(response)) => {
                response.delay = delay;
                true
            }
            _ => false,
        }
    }

    /// Answers whatever has no response of its own.
    pub fn add_default_response(&mut self, response: CachedResponse) {
        self.default = Some(Box::new(response));
    }

    /// Answers `/N`, where nothing else is found, with N bytes, made as they are sent.
    pub fn generate_bytes(&mut self, on: bool) {
        self.generates_bytes = on;
    }

    /// Answers POST and PUT to this path, on any host, with the request's body.
    pub fn echo(&mut self, path: impl Into<String>) {
        self.echo_path = Some(path.into());
    }

    fn add(&mut self, host: &str, path: &str, entry: Entry) {
        let paths = self.hosts.entry(host.to_ascii_lowercase()).or_default();
        paths.insert(path.to_owned(), entry);
    }

    /// Has what belongs to a response pushed, as far as the client takes it.
    fn push(
        &self,
        response: &CachedResponse,
        request: &Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) {
        for uri in &response.pushes {
            let Some(Entry::Cached(pushed)) = self.find(uri) else {
                log::warn!("{uri} cannot be pushed: there is no response for it");
                continue;
            };
            let answer = pushed.head.clone().map(|()| body(pushed));
            let mut push = PushInfo::get(at_port_of(request.uri(), uri), answer);
            for name in NEGOTIATED {
                let values = request.headers().get_all(&name).iter().cloned();
                push.request.headers_mut().extend(values.map(|value| (name.clone(), value)));
            }
            match exchange.push(push) {
                Ok(_) => {}
                // Most clients; all that follow would end alike.
                Err(PushError::NotAllowed) => return,
                Err(error) => log::debug!("{uri} is not pushed: {error}"),
            }
        }
    }

    fn find(&self, uri: &Uri) -> Option<&Entry> {
        let host = uri.host()?;
        let paths = match self.hosts.get(host) {
            Some(paths) => paths,
            None => self.hosts.get(&host.to_ascii_lowercase())?,
        };
        paths.get(path_of(uri))
    }
}

impl Backend for MemoryBackend {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let path = path_of(request.uri());
        let uploads = matches!(*request.method(), Method::POST | Method::PUT);
        if uploads && self.echo_path.as_deref() == Some(path) {
            return Some(Box::new(EchoHandler::new()));
        }
        match self.find(request.uri()) {
            Some(Entry::Cached(response)) => {
                self.push(response, &request, exchange);
                return serve(response, exchange);
            }
            Some(Entry::Special(special)) => return misbehave(*special, path, exchange),
            None => {}
        }
        match (generated_length(path), &self.default) {
            (Some(len), _) if self.generates_bytes => {
                exchange.respond(Response::new(Body::source(GeneratedBody::new(len))));
            }
            (_, Some(response)) => return serve(response, exchange),
            _ => exchange.respond(status(StatusCode::NOT_FOUND)),
        }
        None
    }
}

fn serve(
    response: &CachedResponse,
    exchange: &mut ServerExchange<'_>,
) -> Option<Box<dyn RequestHandler>> {
    for headers in &response.early_hints {
        let mut hints = Response::new(());
        *hints.status_mut() = StatusCode::EARLY_HINTS;
        *hints.headers_mut() = headers.clone();
        if exchange.send_interim(&hints).is_err() {
            break;
        }
    }
    let answer = response.head.clone().map(|()| body(response));
    if response.delay.is_zero() {
        exchange.respond(answer);
        return None;
    }
    let at = exchange.now() + response.delay;
    exchange.wake_at(at);
    Some(Box::new(DelayedResponse { at, answer: Some(answer) }))
}

fn body(response: &CachedResponse) -> Body {
    match &response.trailers {
        None => Body::Full(response.body.clone()),
        Some(trailers) => {
            Body::source(BodyWithTrailers::new(response.body.clone(), trailers.clone()))
        }
    }
}

fn misbehave(
    special: SpecialResponse,
    path: &str,
    exchange: &mut ServerExchange<'_>,
) -> Option<Box<dyn RequestHandler>> {
    match special {
        SpecialResponse::CloseConnection => {
            exchange.close_connection(Http3Code::NO_ERROR, "closed on request");
        }
        SpecialResponse::IgnoreRequest => return Some(Box::new(Silence)),
        SpecialResponse::BackendError => {
            exchange.respond(status(StatusCode::INTERNAL_SERVER_ERROR));
        }
        SpecialResponse::IncompleteResponse => {
            exchange.respond(Response::new(Body::source(EndlessBody(true))));
        }
        SpecialResponse::GenerateBytes => match generated_length(path) {
            Some(len) => exchange.respond(Response::new(Body::source(GeneratedBody::new(len)))),
            None => exchange.respond(status(StatusCode::BAD_REQUEST)),
        },
    }
    None
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

fn path_of(uri: &Uri) -> &str {
    let path = uri.path_and_query();
    path.map_or("/", |path| path.as_str())
}

/// What a client asks of all resources alike: a promise repeats it from the request that led to it,
/// so that responses which vary by it answer the client's requests.
const NEGOTIATED: [HeaderName; 3] =
    [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT];

/// A URI with the port of another of the same host: responses are kept by host alone.
fn at_port_of(asked: &Uri, uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    if uri.host() == asked.host() {
        parts.authority = asked.authority().cloned();
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// N of `/N`.
fn generated_length(path: &str) -> Option<u64> {
    let digits = path.strip_prefix('/')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Answers when its time has come.
struct DelayedResponse {
    at: Time,
    answer: Option<Response<Body>>,
}

impl RequestHandler for DelayedResponse {
    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        if exchange.now() < self.at {
            return;
        }
        if let Some(answer) = self.answer.take() {
            exchange.respond(answer);
        }
    }
}

/// Never answers.
struct Silence;

impl RequestHandler for Silence {}

/// Some bytes, and no end.
struct EndlessBody(bool);

impl BodySource for EndlessBody {
    fn poll_chunk(&mut self, _max: usize) -> BodyChunk {
        if std::mem::take(&mut self.0) {
            BodyChunk::Data(Bytes::from_static(b"incomplete"))
        } else {
            BodyChunk::Later
        }
    }
}

/// So many bytes, all slices of the same few.
#[derive(Debug)]
struct GeneratedBody {
    len: u64,
    left: u64,
}

impl GeneratedBody {
    const fn new(len: u64) -> Self {
        Self { len, left: len }
    }
}

impl BodySource for GeneratedBody {
    fn poll_chunk(&mut self, max: usize) -> BodyChunk {
        if self.left == 0 {
            return BodyChunk::End(None);
        }
        let len = max.min(PATTERN.len());
        let len = usize::try_from(self.left).unwrap_or(len).min(len);
        self.left -= len as u64;
        BodyChunk::Data(Bytes::from_static(&PATTERN[..len]))
    }

    fn content_length(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// What generated bodies are made of.
static PATTERN: [u8; 64 * 1024] = [b'a'; 64 * 1024];
