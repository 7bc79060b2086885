//! [`WebTransportStream`]: the stream object of a session's stream, of either direction and side. It
//! reads the front of what the peer opened, byte by byte so that the rest stays with the connection,
//! and then only says that there is news. Must not know visitors.

use crate::error::ApplicationError;
use crate::http::connection::Http3Connection;
use crate::http::error::{Http3Code, Http3Error};
use crate::http::plumbing::{self, Http3Session};
use crate::http::transport::Transport;
use crate::http::uni_stream::read_varint;
use crate::session::StreamContext;
use crate::types::StreamId;

use super::registry::abandon;

/// What a session's bidirectional stream begins with (draft-ietf-webtrans-http3-07 §4.2).
pub(in crate::http) const BIDI_SIGNAL: u64 = 0x41;

/// The type of a session's unidirectional stream (§4.1).
pub(in crate::http) const UNI_TYPE: u64 = 0x54;

/// A stream of a session.
#[derive(Debug)]
pub(in crate::http) struct WebTransportStream {
    id: StreamId,
    front: Front,
}

/// What is still to be read of the front of a stream, with what there is of a cut varint.
#[derive(Debug)]
enum Front {
    Type { bytes: [u8; 8], len: usize },
    Session { bytes: [u8; 8], len: usize },
    Read,
}

impl WebTransportStream {
    /// A bidirectional stream of a server's.
    pub(in crate::http) fn incoming(id: StreamId) -> Self {
        Self { id, front: Front::Type { bytes: [0; 8], len: 0 } }
    }

    /// A stream of the peer's whose type is read.
    pub(in crate::http) fn after_type(id: StreamId) -> Self {
        Self { id, front: Front::Session { bytes: [0; 8], len: 0 } }
    }

    /// One of ours.
    pub(in crate::http) fn outgoing(id: StreamId) -> Self {
        Self { id, front: Front::Read }
    }

    /// A bidirectional stream of a client's whose front is read.
    pub(in crate::http) fn of_session(
        session: u64,
        id: StreamId,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Self {
        if let Err(error) = http.on_webtransport_stream(session, id, io) {
            http.fail(error);
        }
        Self { id, front: Front::Read }
    }

    pub(in crate::http) fn on_data_available<S: Http3Session>(
        &mut self,
        cx: &mut StreamContext<'_, S>,
    ) {
        let (session, scx) = cx.split();
        plumbing::begin(session, scx);
        if let Err(error) = self.read(session.http(), scx.connection()) {
            session.http().fail(error);
        }
        plumbing::settle(session, scx);
    }

    fn read(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        let id = self.id;
        if matches!(self.front, Front::Read) {
            if io.is_finished(id) {
                http.webtransport.on_read_finished(id);
            }
            http.note_webtransport(id, |news| news.readable = true);
            return Ok(());
        }
        loop {
            let (Front::Type { bytes, len } | Front::Session { bytes, len }) = &mut self.front
            else {
                return Ok(());
            };
            let Ok(Some(mut chunk)) = io.read_up_to(id, 1) else {
                if io.is_finished(id) {
                    // RFC 9114 §6.2: a stream may end before its type is known.
                    abandon(id, http.role(), Http3Code::STREAM_CREATION_ERROR, 0, io);
                }
                return Ok(());
            };
            let Some(number) = read_varint(bytes, len, &mut chunk) else { continue };
            if matches!(self.front, Front::Session { .. }) {
                self.front = Front::Read;
                http.on_webtransport_stream(number, id, io)?;
            } else if number == BIDI_SIGNAL {
                *self = Self::after_type(id);
            } else {
                // RFC 9114 §6.1: what a server opens must be a session's.
                return Err(Http3Error::new(
                    Http3Code::STREAM_CREATION_ERROR,
                    format!("{id}, of the server's, begins with {number:#x}"),
                ));
            }
        }
    }

    pub(in crate::http) fn on_can_write<S: Http3Session>(cx: &mut StreamContext<'_, S>) {
        note(cx, |http, id| http.note_webtransport(id, |news| news.writable = true));
    }

    pub(in crate::http) fn on_reset<S: Http3Session>(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, S>,
    ) {
        self.read_front(cx);
        note(cx, |http, id| http.on_webtransport_reset(id, code.into()));
    }

    /// What a stream is may be known only now: what it says comes before what became of it.
    fn read_front<S: Http3Session>(&mut self, cx: &mut StreamContext<'_, S>) {
        if !matches!(self.front, Front::Read) {
            self.on_data_available(cx);
        }
    }

    pub(in crate::http) fn on_stop_sending<S: Http3Session>(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, S>,
    ) {
        self.read_front(cx);
        note(cx, |http, id| {
            http.note_webtransport(id, |news| news.stopped = Some(code.into()));
        });
    }

    pub(in crate::http) fn on_close(&self, http: &mut Http3Connection) {
        http.webtransport.on_stream_closed(self.id);
    }
}

fn note<S: Http3Session>(
    cx: &mut StreamContext<'_, S>,
    f: impl FnOnce(&mut Http3Connection, StreamId),
) {
    let id = cx.id();
    let (session, scx) = cx.split();
    plumbing::begin(session, scx);
    f(session.http(), id);
    plumbing::settle(session, scx);
}
