//! What ties an HTTP/3 session of either role to the session framework: opening the critical
//! streams, carrying out the wishes that [`Http3Connection`] leaves, and shutting down.

use bytes::Bytes;

use super::connection::Http3Connection;
use super::early::EarlySettings;
use super::error::Http3Code;
use super::frame::emit;
use super::shutdown::Shutdown;
use super::uni_stream::UniKind;
use super::webtransport::{self, WebTransportStream};
use crate::session::{Session, SessionContext};
use crate::types::{Direction, Role, StreamId};

/// A session on top of an [`Http3Connection`].
pub(super) trait Http3Session: Session {
    fn http(&mut self) -> &mut Http3Connection;

    /// The object for a unidirectional stream of ours.
    fn outgoing_stream(kind: UniKind) -> Self::Stream;

    /// The object for a stream of a WebTransport session.
    fn webtransport_stream(stream: WebTransportStream) -> Self::Stream;

    /// What the session itself wants done at the end of every callback.
    fn on_settle(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The peer will not process what begins with this ID.
    fn on_goaway(&mut self, id: u64, cx: &mut SessionContext<'_, Self>) {
        let _ = (id, cx);
    }
}

/// To be called first in every callback that looks at the time.
pub(super) fn begin<S: Http3Session>(session: &mut S, cx: &SessionContext<'_, S>) {
    session.http().now = cx.now();
}

/// To be called last in every callback.
pub(super) fn settle<S: Http3Session>(session: &mut S, cx: &mut SessionContext<'_, S>) {
    session.on_settle(cx);
    webtransport::settle(session, cx);
    let http = session.http();
    http.flush(cx.connection());
    for id in http.wakes.drain(..) {
        cx.wake_stream(id);
    }
    if matches!(http.shutdown, Shutdown::Draining { .. }) && http.is_quiet() {
        http.shutdown = Shutdown::Over;
        cx.close(Http3Code::NO_ERROR.into(), "");
    }
    if let Some(settings) = http.early.get_mut().and_then(EarlySettings::take_news) {
        cx.connection().remember_application_state(settings);
    }
    cx.set_alarm(http.deadline());
    if let Some(error) = http.take_failure() {
        cx.close(error.code.into(), &error.reason);
    }
}

/// A datagram came.
pub(super) fn on_datagram<S: Http3Session>(
    session: &mut S,
    data: Bytes,
    cx: &mut SessionContext<'_, S>,
) {
    begin(session, cx);
    let http = session.http();
    if let Err(error) = http.on_datagram(data, cx.connection()) {
        http.fail(error);
    }
    settle(session, cx);
}

/// Opens as many of our unidirectional streams as the peer allows.
pub(super) fn open_streams<S: Http3Session>(session: &mut S, cx: &mut SessionContext<'_, S>) {
    while let Some(kind) = session.http().stream_to_open() {
        match cx.open_stream(Direction::Unidirectional, |_| S::outgoing_stream(kind)) {
            Ok(id) => session.http().on_stream_opened(kind, id, cx.connection()),
            // The peer's limit: on_can_create_outgoing_stream tells when to go on.
            Err(_) => break,
        }
    }
}

/// The session's alarm went off.
pub(super) fn on_alarm<S: Http3Session>(session: &mut S, cx: &mut SessionContext<'_, S>) {
    let now = cx.now();
    let http = session.http();
    http.on_time(now);
    match http.shutdown {
        Shutdown::Announced { grace_ends, deadline } if grace_ends <= now => {
            // RFC 9114 §5.2: the second GOAWAY names what was really accepted.
            let end = http.requests_end();
            http.send_control(cx.connection(), |out| emit::goaway(out, end));
            http.shutdown = Shutdown::Draining { deadline };
        }
        Shutdown::Draining { deadline } if deadline <= now => {
            http.shutdown = Shutdown::Over;
            cx.close(Http3Code::NO_ERROR.into(), "shutting down");
        }
        _ => {}
    }
    settle(session, cx);
}

/// The endpoint wants to stop (RFC 9114 §5.2).
pub(super) fn shut_down<S: Http3Session>(session: &mut S, cx: &mut SessionContext<'_, S>) {
    let now = cx.now();
    let http = session.http();
    if http.shutdown.has_begun() {
        return;
    }
    let deadline = now + http.config().shutdown_timeout;
    http.drain_webtransport();
    http.shutdown = match http.role() {
        Role::Server => {
            http.send_control(cx.connection(), |out| emit::goaway(out, FIRST_GOAWAY));
            let grace_ends = now + http.config().shutdown_grace;
            Shutdown::Announced { grace_ends, deadline }
        }
        Role::Client => {
            // A push ID: those that we do not know of yet are refused.
            let end = http.promises.end;
            http.promises.refused_from = Some(end);
            http.send_control(cx.connection(), |out| emit::goaway(out, end));
            Shutdown::Draining { deadline }
        }
    };
    settle(session, cx);
}

/// RFC 9114 §5.2: the largest request stream ID, 2^62 - 4.
const FIRST_GOAWAY: u64 = StreamId::MAX.as_u64() - 3;
