//! The server's side of HTTP/3 in the mix: [`WebFactory`] makes sessions that answer the requests of
//! a [`WebPlan`] and go away when it says. This file must not know the network.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use protoquic::http::{
    ALPN, Backend, Body, BodyWithTrailers, EchoHandler, Http3Config, Http3ServerSession,
    RequestHandler, ServerExchange,
};
use protoquic::{
    ApplicationError, ClientHelloInfo, Connection, Host, Notice, PacketWriter, ReceivedPacket,
    Reject, ServerConfig, SessionFactory, SessionHost, Time,
};

use super::account::SharedAccount;
use super::ledger::Shared;
use super::plan::client_of;
use super::session::check_holdings;
use super::task::fill;
use super::web::{WebEnding, WebPlan};

/// One HTTP/3 connection, as the server has to know it.
#[derive(Clone, Debug)]
pub(super) struct WebClient {
    pub(super) plan: Rc<WebPlan>,
    pub(super) ledger: Shared,
}

/// Makes the sessions.
pub(super) struct WebFactory {
    pub(super) alpn: [Vec<u8>; 1],
    pub(super) config: ServerConfig,
    pub(super) http: Arc<Http3Config>,
    /// By number; the first of them has this one.
    pub(super) clients: Vec<WebClient>,
    pub(super) first: usize,
    /// What was last begun to be counted.
    pub(super) latest: Rc<std::cell::RefCell<SharedAccount>>,
}

impl WebFactory {
    pub(super) fn protocols() -> [Vec<u8>; 1] {
        [ALPN.to_vec()]
    }
}

impl SessionFactory for WebFactory {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.config.clone()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        let number = client_of(&connection.peer_address());
        let client = &self.clients[number - self.first];
        client.ledger.borrow_mut().accounts[1] = Some(self.latest.borrow().clone());
        let session = Http3ServerSession::new(client.clone(), Arc::clone(&self.http));
        let inner = SessionHost::new(connection, session);
        Ok(Box::new(WebHost { inner, client: client.clone(), leaves: None, now: Time::ZERO }))
    }
}

impl Backend for WebClient {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let number = request.headers()["x-number"].to_str().ok().and_then(|n| n.parse().ok());
        let number: usize = number.expect("every request of the mix has its number");
        let planned = self.plan.requests[number].1;
        assert_eq!(
            request.headers().iter().filter(|(name, _)| is_extra(name.as_str())).count(),
            usize::from(planned.fields),
            "the fields of request {number}"
        );
        if planned.too_early && exchange.is_early() {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::TOO_EARLY;
            exchange.respond(response);
            return None;
        }
        *self.ledger.borrow_mut().web.seen.entry(number).or_default() += 1;
        if *request.method() == Method::POST {
            return Some(Box::new(EchoHandler::new()));
        }
        let data = pattern(number, planned.download);
        let body = if planned.trailers {
            Body::source(BodyWithTrailers::new(data, trailers(number)))
        } else {
            Body::Full(data)
        };
        let mut response = Response::new(body);
        for (name, value) in request.headers() {
            response.headers_mut().append(name, value.clone());
        }
        exchange.respond(response);
        None
    }
}

/// Whether a field is there for QPACK's sake.
pub(super) fn is_extra(name: &str) -> bool {
    name.starts_with("x-extra")
}

/// The bytes of a request's body, either way.
pub(super) fn pattern(number: usize, len: u32) -> Bytes {
    let mut data = vec![0; len as usize];
    fill(number as u64, 0, &mut data);
    data.into()
}

/// The trailers of request and response.
pub(super) fn trailers(number: usize) -> HeaderMap {
    let value = number.to_string().parse().expect("digits are a value");
    HeaderMap::from_iter([(http::HeaderName::from_static("x-trailer"), value)])
}

/// A session's host that goes away at its time, and notes its end.
struct WebHost {
    inner: SessionHost<Http3ServerSession<WebClient>>,
    client: WebClient,
    /// When it goes away.
    leaves: Option<Time>,
    now: Time,
}

impl Host for WebHost {
    fn process_packet(&mut self, packet: ReceivedPacket) {
        self.inner.process_packet(packet);
    }

    fn on_alarm(&mut self, now: Time) {
        self.inner.on_alarm(now);
    }

    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter) {
        self.now = now;
        if let WebEnding::ServerGoesAway(after) = self.client.plan.ending
            && self.inner.connection().is_established()
        {
            let leaves = *self.leaves.get_or_insert(now + after);
            if leaves <= now {
                self.inner.shut_down(now);
            }
        }
        self.inner.run_turn(now, writer);
        check_holdings(self.inner.connection());
    }

    fn next_deadline(&self) -> Option<Time> {
        let leaves = self.leaves.filter(|leaves| *leaves > self.now);
        let leaves = leaves.filter(|_| !self.inner.connection().is_closed());
        [leaves, self.inner.next_deadline()].into_iter().flatten().min()
    }

    fn pop_notice(&mut self) -> Option<Notice> {
        let notice = self.inner.pop_notice();
        if let Some(Notice::Closed { reason, .. }) = &notice {
            self.client.ledger.borrow_mut().closed[1] = Some((self.now, reason.clone()));
        }
        notice
    }

    fn is_write_blocked(&self) -> bool {
        self.inner.is_write_blocked()
    }

    fn shut_down(&mut self, now: Time) {
        self.inner.shut_down(now);
    }

    fn wake(&mut self) {
        self.inner.wake();
    }

    fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.inner.close(now, code, reason);
    }

    fn connection(&self) -> &Connection {
        self.inner.connection()
    }
}
