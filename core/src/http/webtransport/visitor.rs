//! [`WebTransportVisitor`]: what an application implements to take part in a session (Chromium:
//! WebTransportVisitor and WebTransportStreamVisitor in one), and how a session can end.

use bytes::Bytes;
use http::StatusCode;

use super::session::WebTransportSession;
use crate::http::error::RequestFailure;
use crate::types::{Direction, StreamId};

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebTransportEnd {
    /// One side closed it, with this code and reason; 0 and nothing if it just ended its stream.
    Closed {
        /// The application's code.
        code: u32,
        /// The reason, at most 1024 bytes.
        reason: String,
    },
    /// On a client: the server answered with this status, and there was no session.
    Rejected(StatusCode),
    /// It broke off.
    Failed(RequestFailure),
}

/// Takes part in one session, on either side. [`on_session_closed`](Self::on_session_closed) comes
/// exactly once, last.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use protoquic_core::StreamId;
/// use protoquic_core::http::webtransport::{WebTransportSession, WebTransportVisitor};
/// use protoquic_core::http::{Backend, Protocol, RequestHandler, ServerExchange};
///
/// /// Says hello to each session and sends its datagrams back.
/// struct Greeter;
///
/// impl WebTransportVisitor for Greeter {
///     fn on_session_ready(&mut self, session: &mut WebTransportSession<'_>) {
///         let Ok(stream) = session.open_unidirectional_stream() else { return };
///         // Short: it fits whatever the client allows.
///         let _ = session.write(stream, &mut Bytes::from_static(b"hello"));
///         let _ = session.finish(stream);
///     }
///
///     fn on_datagram_received(&mut self, data: Bytes, session: &mut WebTransportSession<'_>) {
///         let _ = session.send_datagram(&data); // nobody promised that it would arrive
///     }
///
///     fn on_stream_readable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
///         while session.read(stream).is_some() {}
///     }
/// }
///
/// impl Backend for Greeter {
///     fn on_request(
///         &self,
///         _request: Request<()>,
///         exchange: &mut ServerExchange<'_>,
///     ) -> Option<Box<dyn RequestHandler>> {
///         exchange.respond(Response::new("use WebTransport"));
///         None
///     }
///
///     fn on_connect(
///         &self,
///         request: Request<()>,
///         exchange: &mut ServerExchange<'_>,
///     ) -> Option<Box<dyn RequestHandler>> {
///         let protocol = request.extensions().get::<Protocol>()?;
///         // A browser says where its page comes from: `request.headers()["origin"]`.
///         (protocol.as_str() == "webtransport")
///             .then(|| exchange.accept_webtransport(Box::new(Greeter)).ok())?
///     }
/// }
/// ```
pub trait WebTransportVisitor {
    /// The session is there: the server has accepted it, or we have.
    fn on_session_ready(&mut self, session: &mut WebTransportSession<'_>) {
        let _ = session;
    }

    /// The peer opened a stream, of either direction. What has come on it follows with
    /// [`on_stream_readable`](Self::on_stream_readable).
    fn on_incoming_stream(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        let _ = (stream, session);
    }

    /// There is something to [read](WebTransportSession::read), or the end
    /// ([`is_read_finished`](WebTransportSession::is_read_finished)). Called again when more has
    /// come. What is not read holds the peer back; a stream that nobody wants is to be
    /// [stopped](WebTransportSession::stop_sending).
    fn on_stream_readable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>);

    /// There is room to write, after [`write`](WebTransportSession::write) took less than it was
    /// given.
    fn on_stream_writable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        let _ = (stream, session);
    }

    /// The peer abandoned its part of a stream; what was not read is gone. `None` if the code is
    /// none of an application's.
    fn on_stream_reset(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        session: &mut WebTransportSession<'_>,
    ) {
        let _ = (stream, code, session);
    }

    /// The peer wants no more of a stream; our part of it was reset.
    fn on_stop_sending(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        session: &mut WebTransportSession<'_>,
    ) {
        let _ = (stream, code, session);
    }

    /// The peer allows more streams, after opening one was refused with
    /// [`LimitReached`](crate::StreamError::LimitReached).
    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        session: &mut WebTransportSession<'_>,
    ) {
        let _ = (direction, session);
    }

    /// A datagram came. Copy what you keep for long: it may share a receive buffer.
    fn on_datagram_received(&mut self, data: Bytes, session: &mut WebTransportSession<'_>) {
        let _ = (data, session);
    }

    /// The peer asks that the session come to its end soon, or is going away as a whole. Nothing is
    /// refused yet. Called once.
    fn on_session_draining(&mut self, session: &mut WebTransportSession<'_>) {
        let _ = session;
    }

    /// The session's stream was called for whatever reason, among them that it was woken from
    /// outside ([`SessionContext::wake_stream`](crate::SessionContext::wake_stream) with the
    /// session's ID) or by [`wake_at`](WebTransportSession::wake_at).
    fn on_woken(&mut self, session: &mut WebTransportSession<'_>) {
        let _ = session;
    }

    /// The session is over, and all its streams are.
    fn on_session_closed(&mut self, end: &WebTransportEnd) {
        let _ = end;
    }
}
