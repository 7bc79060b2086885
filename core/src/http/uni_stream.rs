//! Unidirectional streams (RFC 9114 §6.2, RFC 9204 §4.2): [`IncomingUni`] reads the type and then
//! what the type says; [`UniStream`] is the stream object, of either direction, in either role.

use bytes::{Buf, Bytes};

use super::connection::Http3Connection;
use super::control_stream::ControlReader;
use super::error::{Fault, Http3Code, Http3Error};
use super::plumbing::{self, Http3Session};
use super::transport::Transport;
use super::webtransport;
use crate::error::{ApplicationError, StreamError};
use crate::session::StreamContext;
use crate::types::StreamId;
use crate::wire::Reader;

/// What a unidirectional stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UniKind {
    Control,
    QpackEncoder,
    QpackDecoder,
    Push,
    /// Of a WebTransport session.
    WebTransport,
    /// Anything else, reserved types among it.
    Reserved,
}

impl UniKind {
    const fn from_wire(ty: u64) -> Self {
        match ty {
            0x00 => Self::Control,
            0x01 => Self::Push,
            0x02 => Self::QpackEncoder,
            0x03 => Self::QpackDecoder,
            webtransport::UNI_TYPE => Self::WebTransport,
            _ => Self::Reserved,
        }
    }

    /// The stream type on the wire; of no use for [`Reserved`](Self::Reserved).
    pub(super) const fn wire_type(self) -> u64 {
        match self {
            Self::Control => 0x00,
            Self::Push => 0x01,
            Self::QpackEncoder => 0x02,
            Self::QpackDecoder => 0x03,
            Self::WebTransport => webtransport::UNI_TYPE,
            Self::Reserved => 0x21,
        }
    }

    /// Where arrays of critical streams keep this one.
    pub(super) const fn slot(self) -> usize {
        match self {
            Self::QpackEncoder => 1,
            Self::QpackDecoder => 2,
            _ => 0,
        }
    }
}

/// A unidirectional stream of a session.
#[derive(Debug)]
pub(super) enum UniStream {
    Incoming(IncomingUni),
    Outgoing(UniKind),
}

impl UniStream {
    pub(super) fn on_data_available<S: Http3Session>(&mut self, cx: &mut StreamContext<'_, S>) {
        let Self::Incoming(stream) = self else { return };
        let id = cx.id();
        let (session, scx) = cx.split();
        plumbing::begin(session, scx);
        let before = session.http().peer_goaway();
        if let Err(error) = stream.read(id, session.http(), scx.connection()) {
            session.http().fail(error);
        }
        let after = session.http().peer_goaway();
        if let Some(goaway) = after.filter(|_| after != before) {
            session.on_goaway(goaway, scx);
        }
        plumbing::settle(session, scx);
    }

    /// The push that an incoming stream turned out to be, and its first bytes. Once.
    pub(super) fn take_push(&mut self) -> Option<(u64, Bytes)> {
        match self {
            Self::Incoming(stream) => stream.take_push(),
            Self::Outgoing(_) => None,
        }
    }

    /// Whether an incoming stream turned out to be a WebTransport session's. Who is told so reads
    /// the rest.
    pub(super) fn is_webtransport(&self) -> bool {
        matches!(self, Self::Incoming(IncomingUni { state: State::WebTransport }))
    }

    /// There is room on a stream of ours, or QPACK has something for it.
    pub(super) fn on_can_write<S: Http3Session>(&self, cx: &mut StreamContext<'_, S>) {
        let (session, scx) = cx.split();
        if matches!(self, Self::Outgoing(UniKind::QpackDecoder)) {
            session.http().flush_decoder(scx.connection());
        }
        plumbing::settle(session, scx);
    }

    pub(super) fn on_reset<S: Http3Session>(&mut self, cx: &mut StreamContext<'_, S>) {
        let Self::Incoming(stream) = self else { return };
        let (session, scx) = cx.split();
        if let Err(error) = stream.on_end() {
            session.http().fail(error);
        }
        plumbing::settle(session, scx);
    }

    pub(super) fn on_stop_sending<S: Http3Session>(
        &mut self,
        _code: ApplicationError,
        cx: &mut StreamContext<'_, S>,
    ) {
        let Self::Outgoing(kind) = self else { return };
        let (session, scx) = cx.split();
        if *kind != UniKind::Reserved {
            session.http().fail(closed_critical(*kind));
        }
        plumbing::settle(session, scx);
    }
}

/// Reads a unidirectional stream of the peer.
#[derive(Debug)]
pub(super) struct IncomingUni {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The type is cut off: what there is of it.
    Type {
        bytes: [u8; 8],
        len: usize,
    },
    Control(Box<ControlReader>),
    QpackEncoder,
    QpackDecoder,
    /// The push ID is cut off, likewise.
    Push {
        bytes: [u8; 8],
        len: usize,
    },
    /// A push, and the first bytes after its ID.
    Pushed(u64, Bytes),
    WebTransport,
    Ignored,
}

impl IncomingUni {
    pub(super) fn new() -> Self {
        Self { state: State::Type { bytes: [0; 8], len: 0 } }
    }

    /// Reads all that has arrived.
    pub(super) fn read(
        &mut self,
        id: StreamId,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        loop {
            // The type byte by byte: who reads the rest may want to hold the peer back.
            let is_type = matches!(self.state, State::Type { .. });
            match if is_type { io.read_up_to(id, 1) } else { io.read(id) } {
                Ok(Some(chunk)) => self.on_chunk(id, chunk, http, io)?,
                Err(StreamError::Reset(_)) => return self.on_end(),
                Ok(None) if io.is_finished(id) => return self.on_end(),
                Ok(None) | Err(_) => return Ok(()),
            }
            if matches!(self.state, State::Ignored | State::Pushed(..) | State::WebTransport) {
                return Ok(());
            }
        }
    }

    /// The peer finished or reset the stream.
    fn on_end(&mut self) -> Result<(), Http3Error> {
        let kind = match self.state {
            State::Control(_) => UniKind::Control,
            State::QpackEncoder => UniKind::QpackEncoder,
            State::QpackDecoder => UniKind::QpackDecoder,
            // RFC 9114 §6.2: a stream may end before its type is known.
            State::Type { .. }
            | State::Push { .. }
            | State::Pushed(..)
            | State::WebTransport
            | State::Ignored => return Ok(()),
        };
        Err(closed_critical(kind))
    }

    fn on_chunk(
        &mut self,
        id: StreamId,
        mut chunk: Bytes,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        if let State::Type { bytes, len } = &mut self.state {
            let Some(ty) = read_varint(bytes, len, &mut chunk) else {
                return Ok(());
            };
            self.on_type(id, UniKind::from_wire(ty), http, io)?;
        }
        match &mut self.state {
            State::Control(reader) => {
                while let Some(frame) = reader.next(&mut chunk)? {
                    http.on_control_frame(frame, io)?;
                }
                for _ in 0..reader.take_unknown() {
                    glitch(http)?;
                }
                Ok(())
            }
            State::QpackEncoder => http.on_encoder_stream(&chunk),
            State::QpackDecoder => http.on_decoder_stream(&chunk),
            State::Push { bytes, len } => {
                if let Some(push) = read_varint(bytes, len, &mut chunk) {
                    self.state = State::Pushed(push, chunk);
                }
                Ok(())
            }
            State::Type { .. } | State::Pushed(..) | State::WebTransport | State::Ignored => Ok(()),
        }
    }

    /// The push ID of a stream that is a push, and what was read after it. To be asked once; who
    /// asks reads the rest.
    pub(super) fn take_push(&mut self) -> Option<(u64, Bytes)> {
        match std::mem::replace(&mut self.state, State::Ignored) {
            State::Pushed(push, rest) => Some((push, rest)),
            state => {
                self.state = state;
                None
            }
        }
    }

    fn on_type(
        &mut self,
        id: StreamId,
        kind: UniKind,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        self.state = match kind {
            UniKind::Control => State::Control(Box::new(ControlReader::new(http.role()))),
            UniKind::QpackEncoder => State::QpackEncoder,
            UniKind::QpackDecoder => State::QpackDecoder,
            // RFC 9114 §6.2.2: clients cannot push.
            UniKind::Push if http.role().is_server() => {
                return Err(Http3Error::new(
                    Http3Code::STREAM_CREATION_ERROR,
                    "a push stream from a client",
                ));
            }
            UniKind::Push => {
                self.state = State::Push { bytes: [0; 8], len: 0 };
                return Ok(());
            }
            UniKind::WebTransport if http.offers_webtransport() => {
                self.state = State::WebTransport;
                return Ok(());
            }
            UniKind::WebTransport | UniKind::Reserved => {
                // RFC 9114 §6.2: unknown types are no error; reading of them may be given up.
                io.stop_sending(id, Http3Code::STREAM_CREATION_ERROR);
                self.state = State::Ignored;
                return glitch(http);
            }
        };
        http.on_peer_stream(kind, id)
    }
}

/// The varint at the front of the stream, across chunks.
pub(super) fn read_varint(bytes: &mut [u8; 8], len: &mut usize, chunk: &mut Bytes) -> Option<u64> {
    while let Some(&byte) = chunk.first() {
        chunk.advance(1);
        *bytes.get_mut(*len)? = byte;
        *len += 1;
        if let Some(ty) = Reader::new(&bytes[..*len]).varint() {
            return Some(ty);
        }
    }
    None
}

/// RFC 9114 §6.2.1, RFC 9204 §4.2.
fn closed_critical(kind: UniKind) -> Http3Error {
    Http3Error::new(
        Http3Code::CLOSED_CRITICAL_STREAM,
        format!("the stream of type {:#x} was closed", kind.wire_type()),
    )
}

fn glitch(http: &mut Http3Connection) -> Result<(), Http3Error> {
    match http.on_glitch() {
        Err(Fault::Connection(error)) => Err(error),
        _ => Ok(()),
    }
}
