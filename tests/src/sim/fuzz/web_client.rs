//! The client's side of HTTP/3 in the mix: [`WebMember`] asks what its [`WebPlan`] says and checks
//! every answer. This file must not know the server.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use protoquic::http::{
    ALPN, Body, BodyWithTrailers, ClientExchange, ExchangeError, Http3ClientSession, Http3Code,
    RequestFailure, ResponseHandler,
};
use protoquic::{ApplicationError, CloseReason, Session as _, TransportErrorCode};

use super::super::endpoints::{Client, ClientSpec};
use super::super::simulator::{Handle, Simulator};
use super::account::{Bookkeeper, SharedAccount};
use super::ledger::Shared;
use super::plan::Plan;
use super::session::check_holdings;
use super::task::mismatch;
use super::web::{WebEnding, WebPlan, WebRequest};
use super::web_server::{WebClient, is_extra, pattern, trailers};
use super::world::World;

type WebHandle = Rc<Cell<Option<Handle<Client<Http3ClientSession>>>>>;

/// An HTTP/3 connection of a client.
pub(super) struct WebMember {
    pub(super) plan: Rc<WebPlan>,
    pub(super) ledger: Shared,
    pub(super) handle: WebHandle,
    launched: bool,
    leaving: bool,
}

impl WebMember {
    pub(super) fn new(plan: WebPlan) -> Self {
        let (plan, ledger, handle) = (Rc::new(plan), Rc::default(), Rc::default());
        Self { plan, ledger, handle, launched: false, leaving: false }
    }

    pub(super) fn for_server(&self) -> WebClient {
        WebClient { plan: self.plan.clone(), ledger: self.ledger.clone() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ledger.borrow().closed[0].is_some()
    }

    /// Looks whether the connection has ended, and what it keeps.
    pub(super) fn look(&self, sim: &Simulator) {
        let Some(handle) = self.handle.get() else { return };
        let host = sim.get(handle).visitor();
        check_holdings(host.host().connection());
        if let Some(reason) = host.close_reason()
            && !self.is_closed()
        {
            self.ledger.borrow_mut().closed[0] = Some((sim.now(), reason.clone()));
        }
    }

    /// Whether all is answered and it is to go away.
    pub(super) fn is_to_leave(&self) -> bool {
        let ledger = self.ledger.borrow();
        let asked = ledger.web.tried == self.plan.requests.len();
        let waits = self.plan.ending == WebEnding::WhenDone && !self.leaving;
        waits && asked && ledger.web.is_settled() && ledger.closed[0].is_none()
    }

    /// What must hold in the end.
    pub(super) fn check(&self, who: usize) {
        let ledger = self.ledger.borrow();
        for (side, end) in ["client", "server"].into_iter().zip(&ledger.closed) {
            let Some((at, reason)) = end else { continue };
            let may_be_lost = side == "server" || self.plan.ending != WebEnding::WhenDone;
            assert!(
                is_graceful(reason) || (may_be_lost && is_loss(reason)),
                "the {side} of web {who} ({:?}) ended at {at:?}: {reason}",
                self.plan.ending
            );
        }
        ledger.web.check(&self.plan, who);
    }
}

fn is_graceful(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Application { code, .. } | CloseReason::PeerApplication { code, .. } => {
            *code == ApplicationError::from(Http3Code::NO_ERROR)
        }
        // Before the handshake is complete (RFC 9000 §10.2.3).
        CloseReason::PeerTransport(error) => error.code() == TransportErrorCode::APPLICATION_ERROR,
        _ => false,
    }
}

fn is_loss(reason: &CloseReason) -> bool {
    use CloseReason::{HandshakeTimeout, IdleTimeout, StatelessReset};
    matches!(reason, IdleTimeout | HandshakeTimeout | StatelessReset)
}

impl World {
    /// Has the HTTP/3 connections begin whose time has come, and end those that are done.
    pub(super) fn tend_webs(&mut self, plan: &Plan) {
        for at in 0..self.webs.len() {
            let web = &self.webs[at];
            let free = web.plan.follows.is_none_or(|before| self.webs[before].is_closed());
            if free && !web.launched {
                self.launch_web(plan, at);
            } else if web.is_to_leave() {
                let handle = web.handle.clone();
                let ledger = web.ledger.clone();
                self.webs[at].leaving = true;
                leave(&mut self.sim, &handle, &ledger);
            }
        }
    }

    fn launch_web(&mut self, plan: &Plan, at: usize) {
        let number = plan.clients.len() + at;
        let web = &mut self.webs[at];
        web.launched = true;
        let (planned, ledger, handle) = (web.plan.clone(), web.ledger.clone(), web.handle.clone());
        let [local, _] = plan.addresses(number);
        let node = self.home_of(plan.host_of(number));
        let (server, tls) = (plan.server_address(), self.web_tls.clone());
        for (at, (delay, request)) in planned.requests.iter().enumerate() {
            let (handle, ledger, request) = (handle.clone(), ledger.clone(), *request);
            // A client that begins at that very time is there before.
            let delay = planned.start + *delay + std::time::Duration::from_nanos(1);
            self.sim.after(delay, move |sim| ask(sim, &handle, &ledger, at, request));
        }
        if let WebEnding::ClientGoesAway(after) = planned.ending {
            let (handle, ledger) = (handle.clone(), ledger.clone());
            let delay = planned.start + after + std::time::Duration::from_nanos(1);
            self.sim.after(delay, move |sim| leave(sim, &handle, &ledger));
        }
        self.sim.after(planned.start, move |sim| {
            let account = SharedAccount::default();
            ledger.borrow_mut().accounts[0] = Some(account.clone());
            let spec = ClientSpec {
                config: Arc::new(planned.config.clone()),
                tls,
                observer: Some(Box::new(Bookkeeper(account))),
                ..ClientSpec::new(local, server, &[ALPN])
            };
            let session = Http3ClientSession::new(planned.http.clone());
            handle.set(Some(sim.add_client(node, spec, session)));
        });
    }
}

/// Goes away gracefully.
fn leave(sim: &mut Simulator, handle: &WebHandle, ledger: &Shared) {
    let Some(handle) = handle.get() else { return };
    ledger.borrow_mut().web.left = true;
    let now = sim.now();
    sim.get_mut(handle).visitor_mut().enter(now, Http3ClientSession::on_shutdown);
    sim.kick(handle.id());
}

/// Sends a request, and gives it up in time if that is planned.
fn ask(
    sim: &mut Simulator,
    handle: &WebHandle,
    ledger: &Shared,
    number: usize,
    planned: WebRequest,
) {
    ledger.borrow_mut().web.tried += 1;
    let Some(client) = handle.get() else { return };
    let handler = Box::new(Checker::new(number, planned, ledger.clone()));
    let now = sim.now();
    let sent = sim.get_mut(client).visitor_mut().enter(now, |session, cx| {
        ledger.borrow_mut().web.asked.insert(number);
        session.send_request(cx, message(number, planned), handler)
    });
    sim.kick(client.id());
    let id = match sent {
        Ok(id) => id,
        Err(ExchangeError::GoingAway) => {
            ledger.borrow_mut().web.asked.remove(&number);
            return;
        }
        Err(error) => panic!("request {number} was not taken: {error}"),
    };
    let Some(delay) = planned.cancelled else { return };
    let ledger = ledger.clone();
    sim.after(delay, move |sim| {
        if ledger.borrow().web.ended.contains_key(&number) {
            return;
        }
        let now = sim.now();
        let host = sim.get_mut(client).visitor_mut();
        if host.close_reason().is_none() {
            host.enter(now, |session, cx| session.cancel_request(cx, id));
            ledger.borrow_mut().web.cancelled.insert(number);
            sim.kick(client.id());
        }
    });
}

fn message(number: usize, planned: WebRequest) -> Request<Body> {
    let mut request = match planned.upload {
        Some(_) => Request::post("https://localhost/echo"),
        None => Request::get(format!("https://localhost/{}", number % 3)),
    };
    request = request.header("x-number", number.to_string());
    for n in 0..usize::from(planned.fields) {
        let value = "v".repeat((number * 7 + n) % 40);
        request = request.header(format!("x-extra-{}", (number + n) % 5), value);
    }
    let body = planned.upload.map_or(Body::Empty, |size| {
        let data = pattern(number, size);
        if planned.trailers {
            Body::source(BodyWithTrailers::new(data, trailers(number)))
        } else {
            Body::Full(data)
        }
    });
    request.body(body).expect("the request is well formed")
}

/// Checks an answer as it comes.
struct Checker {
    number: usize,
    planned: WebRequest,
    ledger: Shared,
    answered: bool,
    offset: u64,
}

impl Checker {
    fn new(number: usize, planned: WebRequest, ledger: Shared) -> Self {
        Self { number, planned, ledger, answered: false, offset: 0 }
    }
}

impl ResponseHandler for Checker {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        let number = self.number;
        assert!(!self.answered, "request {number} was answered twice");
        self.answered = true;
        assert_eq!(response.status(), 200, "request {number}");
        let fields = response.headers();
        if self.planned.upload.is_none() {
            let sent = message(number, self.planned);
            let extra = |fields: &http::HeaderMap| {
                let chosen = fields.iter().filter(|(name, _)| is_extra(name.as_str()));
                let mut all: Vec<_> =
                    chosen.map(|(name, value)| (name.clone(), value.clone())).collect();
                all.sort_by(|a, b| (a.0.as_str(), &a.1).cmp(&(b.0.as_str(), &b.1)));
                all
            };
            assert_eq!(extra(fields), extra(sent.headers()), "the fields of request {number}");
            assert_eq!(fields["x-number"], sent.headers()["x-number"], "another's answer");
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            let wrong = mismatch(self.number as u64, self.offset, &piece);
            assert_eq!(wrong, None, "request {}: a wrong byte", self.number);
            self.offset += piece.len() as u64;
            self.ledger.borrow_mut().note_progress(exchange.now(), piece.len());
        }
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        let (number, planned) = (self.number, self.planned);
        let size = planned.upload.unwrap_or(planned.download);
        assert!(self.answered && self.offset == size.into(), "request {number} ended early");
        let expected = planned.trailers.then(|| trailers(number));
        assert_eq!(exchange.trailers(), expected.as_ref(), "the trailers of request {number}");
        self.ledger.borrow_mut().web.end(number, Ok(()));
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.ledger.borrow_mut().web.end(self.number, Err(failure.clone()));
    }
}
