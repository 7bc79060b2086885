//! [`MessageReader`]: the receiving half of a request stream, for either role: which frame may come
//! when (RFC 9114 §4.1, §7.2), field sections decoded, the body handed on as it lies. It reads the
//! stream only when asked, so whoever does not ask holds the peer back.

use bytes::Bytes;

use super::connection::Http3Connection;
use super::error::{Fault, Http3Code};
use super::frame::{FrameParser, Part, Treatment, frame_type};
use super::message_body::BodyLength;
use super::push::Promise;
use super::transport::Transport;
use super::webtransport;
use crate::error::StreamError;
use crate::qpack::{Decoded, Field};
use crate::types::{Role, StreamId};
use crate::wire::Reader;

/// What a message consists of, in order of arrival.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A header section; after [`MessageReader::begin_body`], the trailers.
    Fields(Vec<Field>),
    /// A section larger than we accept. Nothing after it should be read.
    TooLarge,
    /// A piece of the body.
    Data(Bytes),
    /// It is no message, but a stream of this WebTransport session. Nothing after it was read.
    WebTransport(u64),
    /// The end of the stream and of a complete message.
    End,
}

/// Reads one message.
#[derive(Debug)]
pub(super) struct MessageReader {
    id: StreamId,
    phase: Phase,
    parser: FrameParser,
    /// What was read from the stream and not yet parsed.
    chunk: Bytes,
    /// Everything has been read from the stream, its end too.
    at_end: bool,
    /// A section that waits for entries of the dynamic table (RFC 9204 §2.1.2).
    blocked: Option<Section>,
    /// This is a push stream.
    is_push: bool,
    /// A frame has come, or may not be a WebTransport signal.
    has_begun: bool,
    body: BodyLength,
    /// What the connection was told we keep.
    accounted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Header sections: any number of interim ones, then the final one.
    Head,
    Body,
    /// Whatever the tunnel of a CONNECT carries, in DATA frames only.
    Tunnel,
    /// The trailers were read.
    Trailers,
    /// The end was read, or nothing more will be.
    Over,
}

impl MessageReader {
    pub(super) fn new(id: StreamId) -> Self {
        Self {
            id,
            phase: Phase::Head,
            parser: FrameParser::default(),
            chunk: Bytes::new(),
            at_end: false,
            blocked: None,
            is_push: false,
            has_begun: false,
            body: BodyLength::new(None),
            accounted: 0,
        }
    }

    /// Reads a pushed response: these bytes, and what the stream still has unless it is at its end.
    pub(super) fn pushed(id: StreamId, start: Bytes, at_end: bool) -> Self {
        Self { chunk: start, at_end, is_push: true, ..Self::new(id) }
    }

    /// The header section that was just handed out was the final one: body and trailers follow.
    pub(super) fn begin_body(&mut self, content_length: Option<u64>) {
        self.phase = Phase::Body;
        self.body = BodyLength::new(content_length);
    }

    /// The header section that was just handed out was that of a CONNECT.
    pub(super) fn begin_tunnel(&mut self) {
        self.phase = Phase::Tunnel;
    }

    /// The next part of the message; `None` if it has not arrived.
    pub(super) fn poll(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<Option<Incoming>, Fault> {
        let result = self.poll_inner(http, io);
        if result.is_err() {
            self.give_up(http);
        }
        let kept =
            self.parser.buffered() + self.blocked.as_ref().map_or(0, |section| section.bytes.len());
        let within = http.account_sections(self.accounted, kept);
        self.accounted = kept;
        if !within {
            self.give_up(http);
            return Err(Fault::stream(
                Http3Code::EXCESSIVE_LOAD,
                "too many incomplete field sections on this connection",
            ));
        }
        result
    }

    /// Nothing more will be read: frees what is kept here and in the decoder.
    pub(super) fn give_up(&mut self, http: &mut Http3Connection) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            // RFC 9204 §2.2.2.2
            http.compression.cancel_stream(self.id);
        }
        self.parser = FrameParser::default();
        self.chunk = Bytes::new();
        self.blocked = None;
        http.account_sections(self.accounted, 0);
        self.accounted = 0;
    }

    fn poll_inner(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<Option<Incoming>, Fault> {
        loop {
            if self.phase == Phase::Over {
                return Ok(None);
            }
            if let Some(section) = self.blocked.take() {
                match self.decode(section, http)? {
                    Decoding::Done(incoming) => return Ok(incoming),
                    Decoding::Promised => continue,
                }
            }
            if self.chunk.is_empty() && !self.refill(http, io)? {
                return if self.at_end { self.end(http.role()).map(Some) } else { Ok(None) };
            }
            if let Some(incoming) = self.parse(http)? {
                match incoming {
                    Parsed::Section(section) => self.blocked = Some(section),
                    Parsed::Incoming(incoming) => return Ok(Some(incoming)),
                }
            }
        }
    }

    /// Whether the stream has been read to its end, whatever has become of what was read. Nothing
    /// then keeps the stream itself alive.
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether the stream may turn out to be a WebTransport session's.
    fn is_undecided(&self, http: &Http3Connection) -> bool {
        !self.has_begun
            && http.role().is_server()
            && http.offers_webtransport()
            // The first byte of another type tells.
            && !self.parser.is_in_short_type()
    }

    fn refill(&mut self, http: &Http3Connection, io: &mut dyn Transport) -> Result<bool, Fault> {
        if self.at_end {
            return Ok(false);
        }
        // Byte by byte as long as the rest may be for somebody else, who holds the peer back.
        let max = if self.is_undecided(http) { 1 } else { usize::MAX };
        let read = io.read_up_to(self.id, max);
        // To be asked now: the stream may be forgotten when we are done with what we have read.
        self.at_end = io.is_finished(self.id);
        match read {
            Ok(Some(chunk)) => {
                self.chunk = chunk;
                Ok(true)
            }
            Err(StreamError::Reset(code)) => Err(Fault::Reset(code.into())),
            Ok(None) | Err(_) => Ok(false),
        }
    }

    fn parse(&mut self, http: &mut Http3Connection) -> Result<Option<Parsed>, Fault> {
        let mut too_large = false;
        let is_undecided = self.is_undecided(http);
        let mut session = None;
        let Self { parser, chunk, phase, body, is_push, has_begun, .. } = self;
        let part = parser.next(chunk, |ty, len| {
            *has_begun = true;
            if ty == webtransport::BIDI_SIGNAL && is_undecided {
                // draft-ietf-webtrans-http3-07 §4.2: in place of a length, the session's ID.
                session = Some(len);
                return Ok(Treatment::Skip);
            }
            let has_promises = !*is_push && *phase != Phase::Tunnel;
            if ty == frame_type::PUSH_PROMISE && http.role().is_client() && has_promises {
                return Ok(collect(http, 8, &mut too_large, len));
            }
            decide(http, *phase, body, &mut too_large, ty, len)
        })?;
        if let Some(session) = session {
            self.give_up(http);
            return Ok(Some(Parsed::Incoming(Incoming::WebTransport(session))));
        }
        if too_large {
            self.give_up(http);
            return Ok(Some(Parsed::Incoming(Incoming::TooLarge)));
        }
        Ok(match part {
            Some(Part::Piece(piece)) => Some(Parsed::Incoming(Incoming::Data(piece))),
            Some(Part::Whole(frame_type::PUSH_PROMISE, payload)) => {
                Some(Parsed::Section(on_promise(payload, http)?))
            }
            Some(Part::Whole(_, bytes)) => Some(Parsed::Section(Section { push: None, bytes })),
            None => None,
        })
    }

    fn decode(&mut self, section: Section, http: &mut Http3Connection) -> Result<Decoding, Fault> {
        Ok(Decoding::Done(match (http.decode(self.id, &section.bytes)?, section.push) {
            (Decoded::Fields(fields), Some(push)) => {
                http.promises.on_promise(Promise { push, fields })?;
                return Ok(Decoding::Promised);
            }
            (Decoded::Fields(fields), None) => {
                if self.phase == Phase::Body {
                    self.phase = Phase::Trailers;
                }
                Some(Incoming::Fields(fields))
            }
            (Decoded::Blocked, _) => {
                self.blocked = Some(section);
                None
            }
            (Decoded::TooLarge, _) => {
                self.give_up(http);
                Some(Incoming::TooLarge)
            }
        }))
    }

    /// The stream has ended.
    fn end(&mut self, role: Role) -> Result<Incoming, Fault> {
        if !self.parser.is_between_frames() {
            // RFC 9114 §7.1
            return Err(Fault::connection(
                Http3Code::FRAME_ERROR,
                "the stream ends inside a frame",
            ));
        }
        if self.phase == Phase::Head {
            // RFC 9114 §4.1
            return Err(match role {
                Role::Server => Fault::stream(
                    Http3Code::REQUEST_INCOMPLETE,
                    "the stream ends without a request",
                ),
                Role::Client => Fault::message("the stream ends without a final response"),
            });
        }
        self.body.on_end()?;
        self.phase = Phase::Over;
        Ok(Incoming::End)
    }
}

/// What a chunk yields.
enum Parsed {
    Section(Section),
    Incoming(Incoming),
}

/// An encoded field section: of the message, or of a promised request.
#[derive(Debug)]
struct Section {
    push: Option<u64>,
    bytes: Bytes,
}

/// What a section yields.
enum Decoding {
    Done(Option<Incoming>),
    /// It was a promise, and is no part of the message.
    Promised,
}

/// Takes the push ID from the front of a PUSH_PROMISE frame.
fn on_promise(payload: Bytes, http: &mut Http3Connection) -> Result<Section, Fault> {
    let mut reader = Reader::new(&payload);
    // RFC 9114 §7.1
    let push = reader.varint().ok_or_else(|| {
        Fault::connection(Http3Code::FRAME_ERROR, "PUSH_PROMISE ends in its push ID")
    })?;
    // RFC 9114 §7.2.5
    http.promises.on_id(push, "PUSH_PROMISE")?;
    // Promises of what is promised already cost us work and the server nothing.
    http.on_glitch()?;
    let bytes = payload.slice(reader.position()..);
    Ok(Section { push: Some(push), bytes })
}

/// A section is never larger encoded than we let it be decoded; with so many bytes in front of it.
fn collect(http: &Http3Connection, before: u64, too_large: &mut bool, len: u64) -> Treatment {
    *too_large = len.saturating_sub(before) > http.config().max_field_section_size;
    if *too_large { Treatment::Skip } else { Treatment::Collect }
}

/// Whether this frame may come now, and what to do with its payload.
fn decide(
    http: &mut Http3Connection,
    phase: Phase,
    body: &mut BodyLength,
    too_large: &mut bool,
    ty: u64,
    len: u64,
) -> Result<Treatment, Fault> {
    match (ty, phase) {
        (frame_type::DATA, Phase::Body | Phase::Tunnel) => {
            if len == 0 {
                http.on_glitch()?;
            }
            body.on_data_frame(len)?;
            Ok(Treatment::Pass)
        }
        (frame_type::HEADERS, Phase::Head | Phase::Body) => Ok(collect(http, 0, too_large, len)),
        // RFC 9114 §4.4: nothing but DATA in a tunnel; §4.1: DATA before HEADERS, anything after the trailers; §7.2 and
        // RFC 9218 §7.2: frames of the control stream, frames of HTTP/2; PUSH_PROMISE to a server
        // or on a push stream.
        (
            frame_type::DATA
            | frame_type::HEADERS
            | frame_type::PUSH_PROMISE
            | frame_type::CANCEL_PUSH
            | frame_type::SETTINGS
            | frame_type::GOAWAY
            | frame_type::MAX_PUSH_ID
            | frame_type::PRIORITY_UPDATE
            | frame_type::PRIORITY_UPDATE_PUSH,
            _,
        ) => Err(unexpected(ty)),
        _ if frame_type::is_http2_only(ty) => Err(unexpected(ty)),
        // draft-ietf-webtrans-http3-07 §4.2: a stream begins with it or has none.
        (webtransport::BIDI_SIGNAL, _) if http.offers_webtransport() => Err(Fault::connection(
            Http3Code::FRAME_ERROR,
            "a WebTransport signal that is not the beginning of a stream",
        )),
        _ => {
            http.on_glitch()?;
            Ok(Treatment::Skip)
        }
    }
}

fn unexpected(ty: u64) -> Fault {
    Fault::connection(
        Http3Code::FRAME_UNEXPECTED,
        format!("frame type {ty:#x} at this point of a request stream"),
    )
}
