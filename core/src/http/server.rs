//! [`Http3ServerSession`]: HTTP/3 for servers as a [`Session`]. The exchanges themselves are in
//! `request_stream`.

use std::sync::Arc;

use bytes::Bytes;

use super::backend::Backend;
use super::config::Http3Config;
use super::connection::Http3Connection;
use super::error::Http3Code;
use super::plumbing::{self, Http3Session};
use super::push::PushStream;
use super::request_stream::RequestStream;
use super::settings::Settings;
use super::transport::Transport;
use super::uni_stream::{IncomingUni, UniKind, UniStream};
use super::webtransport::WebTransportStream;
use crate::error::ApplicationError;
use crate::session::{Refuse, Session, SessionContext, Stream, StreamContext};
use crate::types::{Direction, Role, StreamId};

/// A server's HTTP/3 session: gives every request to its backend.
pub struct Http3ServerSession<B: Backend> {
    http: Http3Connection,
    backend: B,
}

impl<B: Backend> std::fmt::Debug for Http3ServerSession<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http3ServerSession")
            .field("active", &self.http.active())
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Http3ServerSession<B> {
    /// A session on this backend.
    pub fn new(backend: B, config: impl Into<Arc<Http3Config>>) -> Self {
        Self { http: Http3Connection::new(Role::Server, config.into()), backend }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// How many requests are being served.
    pub fn active_requests(&self) -> usize {
        self.http.active()
    }

    /// The client's settings, once they have come.
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.http.peer_settings()
    }
}

impl<B: Backend + 'static> Session for Http3ServerSession<B> {
    type Stream = Http3ServerStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<Http3ServerStream, Refuse> {
        plumbing::begin(self, cx);
        if id.direction() == Direction::Unidirectional {
            let stream = UniStream::Incoming(IncomingUni::new());
            return Ok(Http3ServerStream(Kind::Uni(stream)));
        }
        let refuses = self.http.shutdown.refuses();
        // draft-ietf-webtrans-http3-07 §4.6: streams of sessions are still welcome.
        if refuses && !self.http.webtransport.has_open() {
            // RFC 9114 §5.2
            return Err(Refuse(Http3Code::REQUEST_REJECTED.into()));
        }
        self.http.on_request_opened(id);
        plumbing::settle(self, cx);
        let stream = Box::new(RequestStream::new(id, refuses));
        Ok(Http3ServerStream(Kind::Request(stream)))
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        plumbing::open_streams(self, cx);
        plumbing::settle(self, cx);
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        if direction == Direction::Unidirectional {
            plumbing::open_streams(self, cx);
        }
        self.http.on_webtransport_can_open(direction);
        plumbing::settle(self, cx);
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        plumbing::on_datagram(self, data, cx);
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        plumbing::on_alarm(self, cx);
    }

    fn on_idle(&mut self, _cx: &mut SessionContext<'_, Self>) {
        self.http.release_memory();
    }

    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        plumbing::shut_down(self, cx);
    }
}

impl<B: Backend + 'static> Http3Session for Http3ServerSession<B> {
    fn http(&mut self) -> &mut Http3Connection {
        &mut self.http
    }

    fn outgoing_stream(kind: UniKind) -> Http3ServerStream {
        Http3ServerStream(Kind::Uni(UniStream::Outgoing(kind)))
    }

    fn webtransport_stream(stream: WebTransportStream) -> Http3ServerStream {
        Http3ServerStream(Kind::WebTransport(stream))
    }

    fn on_settle(&mut self, cx: &mut SessionContext<'_, Self>) {
        let http = &mut self.http;
        while http.pushes.has_waiting() && http.has_critical_streams() {
            let opened = cx.open_stream(Direction::Unidirectional, |id| {
                let push = PushStream::for_next(id, http).expect("one is waiting");
                Http3ServerStream(Kind::Push(Box::new(push)))
            });
            if opened.is_err() {
                break; // on_can_create_outgoing_stream tells when to go on
            }
        }
    }
}

/// A stream of a server's session.
#[derive(Debug)]
pub struct Http3ServerStream(Kind);

#[derive(Debug)]
enum Kind {
    Request(Box<RequestStream>),
    Push(Box<PushStream>),
    Uni(UniStream),
    WebTransport(WebTransportStream),
}

impl Http3ServerStream {
    /// Where a stream may be a WebTransport session's, what it says comes before what became of it.
    fn decide<B: Backend + 'static>(&mut self, cx: &mut StreamContext<'_, Http3ServerSession<B>>) {
        let may_be = cx.session().http.offers_webtransport();
        if may_be && matches!(&self.0, Kind::Request(stream) if stream.awaits_head()) {
            self.on_data_available(cx);
        }
    }
}

/// Lends a request stream what it needs.
fn with_parts<B: Backend + 'static>(
    cx: &mut StreamContext<'_, Http3ServerSession<B>>,
    f: impl FnOnce(&mut Http3Connection, &dyn Backend, &mut dyn Transport),
) {
    let (session, scx) = cx.split();
    plumbing::begin(session, scx);
    f(&mut session.http, &session.backend, scx.connection());
    plumbing::settle(session, scx);
}

impl<B: Backend + 'static> Stream<Http3ServerSession<B>> for Http3ServerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Http3ServerSession<B>>) {
        match &mut self.0 {
            Kind::Uni(stream) => {
                stream.on_data_available(cx);
                if stream.is_webtransport() {
                    let mut stream = WebTransportStream::after_type(cx.id());
                    stream.on_data_available(cx);
                    self.0 = Kind::WebTransport(stream);
                }
            }
            Kind::Request(stream) => {
                let id = cx.id();
                let mut found = None;
                with_parts(cx, |http, backend, io| {
                    stream.on_data_available(http, backend, io);
                    found = stream
                        .take_webtransport()
                        .map(|session| WebTransportStream::of_session(session, id, http, io));
                });
                if let Some(stream) = found {
                    self.0 = Kind::WebTransport(stream);
                }
            }
            Kind::Push(_) => {}
            Kind::WebTransport(stream) => stream.on_data_available(cx),
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Http3ServerSession<B>>) {
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_can_write(cx),
            Kind::Request(stream) => with_parts(cx, |http, _, io| stream.on_can_write(http, io)),
            Kind::Push(stream) => with_parts(cx, |http, _, io| stream.on_can_write(http, io)),
            Kind::WebTransport(_) => WebTransportStream::on_can_write(cx),
        }
    }

    fn on_reset(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, Http3ServerSession<B>>,
    ) {
        self.decide(cx);
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_reset(cx),
            Kind::Request(stream) => with_parts(cx, |http, _, io| {
                stream.on_reset(code.into(), http, io);
            }),
            Kind::Push(_) => {}
            Kind::WebTransport(stream) => stream.on_reset(code, cx),
        }
    }

    fn on_stop_sending(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, Http3ServerSession<B>>,
    ) {
        self.decide(cx);
        match &mut self.0 {
            Kind::Uni(stream) => stream.on_stop_sending(code, cx),
            Kind::Request(stream) => with_parts(cx, |http, _, io| {
                stream.on_stop_sending(code.into(), http, io);
            }),
            Kind::Push(stream) => with_parts(cx, |http, _, _| stream.on_over(http)),
            Kind::WebTransport(stream) => stream.on_stop_sending(code, cx),
        }
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, Http3ServerSession<B>>) {
        match &mut self.0 {
            Kind::Request(stream) => with_parts(cx, |http, _, _| stream.on_all_data_acked(http)),
            Kind::Push(stream) => with_parts(cx, |http, _, _| stream.on_over(http)),
            Kind::Uni(_) | Kind::WebTransport(_) => {}
        }
    }

    fn on_close(&mut self, session: &mut Http3ServerSession<B>) {
        match &mut self.0 {
            Kind::Request(stream) => stream.on_close(&mut session.http),
            Kind::Push(stream) => stream.on_over(&mut session.http),
            Kind::WebTransport(stream) => stream.on_close(&mut session.http),
            Kind::Uni(_) => {}
        }
    }
}
