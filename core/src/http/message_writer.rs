//! [`MessageWriter`]: the sending half of a request stream, for either role: header sections, the
//! body in DATA frames, trailers, the end. Body bytes are handed on as they are; a body of known
//! length is one DATA frame whatever its size.

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::body::{Body, BodyChunk, BodySource};
use super::connection::Http3Connection;
use super::error::{ExchangeError, Http3Code};
use super::frame::{emit, frame_type};
use super::headers::trailer_fields;
use super::transport::Transport;
use crate::error::StreamError;
use crate::qpack::FieldRef;
use crate::types::StreamId;

/// Writes one message.
pub(super) struct MessageWriter {
    id: StreamId,
    phase: Phase,
    /// Whether the message may have a body at all (RFC 9110 §6.4.1).
    has_body: bool,
    /// Body bytes still to come, where content-length says how many.
    left: Option<u64>,
    /// Bytes still to come in the open DATA frame.
    frame_left: u64,
    source: Option<Box<dyn BodySource>>,
    /// What the source gave and the stream did not take yet.
    chunk: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    /// Finished or reset.
    Over,
}

impl std::fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageWriter").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl MessageWriter {
    pub(super) fn new(id: StreamId) -> Self {
        Self {
            id,
            phase: Phase::Head,
            has_body: true,
            left: None,
            frame_left: 0,
            source: None,
            chunk: Bytes::new(),
        }
    }

    /// Whether the final header section has not been sent.
    pub(super) fn is_before_head(&self) -> bool {
        self.phase == Phase::Head
    }

    /// Whether the message is finished or reset.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether body bytes will be sent and not thrown away.
    pub(super) fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether a source feeds the body.
    pub(super) fn has_source(&self) -> bool {
        self.source.is_some() || !self.chunk.is_empty()
    }

    /// Promises a push, between two frames of the message (RFC 9114 §4.1).
    pub(super) fn promise(
        &mut self,
        push: u64,
        fields: &[FieldRef<'_>],
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        match self.phase {
            Phase::Over => return Err(ExchangeError::StreamClosed),
            _ if self.frame_left > 0 => return Err(ExchangeError::WrongState),
            _ => {}
        }
        let frame = http.encode_promise(self.id, push, fields)?;
        self.check_io(io.write_all(self.id, frame))
    }

    /// Sends an interim header section.
    pub(super) fn interim(
        &mut self,
        fields: &[FieldRef<'_>],
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        self.check(Phase::Head)?;
        self.section(fields, http, io)
    }

    /// Sends the final header section. The body will have `content_length` bytes, if given; none at
    /// all without `has_body`.
    pub(super) fn head(
        &mut self,
        fields: &[FieldRef<'_>],
        has_body: bool,
        content_length: Option<u64>,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        self.check(Phase::Head)?;
        self.section(fields, http, io)?;
        self.phase = Phase::Body;
        self.has_body = has_body;
        self.left = content_length.filter(|_| has_body);
        Ok(())
    }

    /// Sends the final header section as [`head`](Self::head) does, and this body as far as there is
    /// room now; [`pump`](Self::pump) sends more.
    pub(super) fn message(
        &mut self,
        (fields, has_body): (&[FieldRef<'_>], bool),
        content_length: Option<u64>,
        body: Body,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        let whole = match &body {
            _ if !has_body => Some(Bytes::new()),
            Body::Empty => Some(Bytes::new()),
            Body::Full(bytes) => Some(bytes.clone()),
            Body::Source(_) | Body::Written => None,
        };
        let fits = |len: u64| !has_body || content_length.is_none_or(|said| said == len);
        if let Some(whole) = whole.filter(|whole| fits(whole.len() as u64))
            && self.phase == Phase::Head
            && io.writable(self.id) > whole.len()
        {
            return self.whole(fields, whole, http, io);
        }
        self.head(fields, has_body, content_length, http, io)?;
        self.send_body(body, http, io)
    }

    /// Sends a message that is all at hand, in one piece if there is room.
    fn whole(
        &mut self,
        fields: &[FieldRef<'_>],
        body: Bytes,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        let front = http.encode_with_data(self.id, fields, body.len() as u64)?;
        let len = body.len() as u64;
        if self.check_io(io.write_message(self.id, front.clone(), body.clone()))? {
            self.drop_body();
            return Ok(());
        }
        self.phase = Phase::Body;
        self.check_io(io.write_all(self.id, front))?;
        (self.left, self.frame_left) = (Some(len), len);
        self.send_body(Body::Full(body), http, io)
    }

    /// Takes the front of `data` as far as there is room. What it leaves must be offered again
    /// before anything else is sent.
    pub(super) fn write(
        &mut self,
        data: &mut Bytes,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<usize, ExchangeError> {
        self.check(Phase::Body)?;
        let len = data.len();
        if !self.has_body {
            data.clear();
            return Ok(len);
        }
        if self.left.is_some_and(|left| left < len as u64) {
            return Err(self.wrong_length(io));
        }
        while !data.is_empty() {
            if self.frame_left == 0 {
                if io.writable(self.id) == 0 {
                    // Nothing is taken, but the stream knows that we want room.
                    self.check_io(io.write(self.id, data))?;
                    break;
                }
                let frame = self.left.unwrap_or(data.len() as u64);
                let header = http.small(|out| emit::header(out, frame_type::DATA, frame));
                self.check_io(io.write_all(self.id, header))?;
                self.frame_left = frame;
            }
            let within = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
            let mut piece = data.slice(..data.len().min(within));
            let taken = self.check_io(io.write(self.id, &mut piece))?;
            data.advance(taken);
            self.frame_left -= taken as u64;
            self.left = self.left.map(|left| left - taken as u64);
            if !piece.is_empty() {
                break;
            }
        }
        Ok(len - data.len())
    }

    /// Sends trailers and ends the message.
    pub(super) fn trailers(
        &mut self,
        trailers: &HeaderMap,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        self.check_complete(io)?;
        let fields = trailer_fields(trailers)?;
        if !fields.is_empty() {
            self.section(&fields, http, io)?;
        }
        self.finish(io)
    }

    /// Ends the message.
    pub(super) fn finish(&mut self, io: &mut dyn Transport) -> Result<(), ExchangeError> {
        self.check_complete(io)?;
        let finished = self.check_io(io.finish(self.id));
        self.drop_body();
        finished
    }

    /// Abandons the message.
    pub(super) fn reset(&mut self, code: Http3Code, io: &mut dyn Transport) {
        io.reset(self.id, code);
        self.drop_body();
    }

    /// The stream takes nothing more: the rest of the message is dropped.
    pub(super) fn drop_body(&mut self) {
        self.phase = Phase::Over;
        self.source = None;
        self.chunk = Bytes::new();
    }

    /// Sends this body, as far as there is room now; [`pump`](Self::pump) sends more.
    pub(super) fn send_body(
        &mut self,
        body: Body,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        if !self.has_body {
            return self.finish(io);
        }
        match body {
            Body::Empty => return self.finish(io),
            Body::Full(bytes) => {
                self.chunk = bytes;
                self.source = Some(Box::new(Nothing));
            }
            Body::Source(source) => self.source = Some(source),
            Body::Written => {}
        }
        self.pump(http, io)
    }

    /// Moves the body from its source to the stream as far as there is room, and ends the message
    /// after it.
    pub(super) fn pump(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        loop {
            let mut chunk = std::mem::take(&mut self.chunk);
            if !chunk.is_empty() {
                self.write(&mut chunk, http, io)?;
                self.chunk = chunk;
                if !self.chunk.is_empty() {
                    return Ok(());
                }
            }
            let Some(source) = &mut self.source else {
                return Ok(());
            };
            let max = io.writable(self.id).clamp(MIN_CHUNK, MAX_CHUNK);
            match source.poll_chunk(max) {
                BodyChunk::Data(data) if data.is_empty() => return Ok(()),
                BodyChunk::Data(data) => self.chunk = data,
                BodyChunk::Later => return Ok(()),
                BodyChunk::End(None) => return self.finish(io),
                BodyChunk::End(Some(trailers)) => return self.trailers(&trailers, http, io),
                BodyChunk::Failed => {
                    self.reset(Http3Code::INTERNAL_ERROR, io);
                    return Ok(());
                }
            }
        }
    }

    fn section(
        &mut self,
        fields: &[FieldRef<'_>],
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        let frame = http.encode(self.id, fields)?;
        self.check_io(io.write_all(self.id, frame))
    }

    fn check(&self, phase: Phase) -> Result<(), ExchangeError> {
        match self.phase {
            now if now == phase => Ok(()),
            Phase::Over => Err(ExchangeError::StreamClosed),
            _ => Err(ExchangeError::WrongState),
        }
    }

    /// The body may end here.
    fn check_complete(&mut self, io: &mut dyn Transport) -> Result<(), ExchangeError> {
        self.check(Phase::Body)?;
        if self.left.is_some_and(|left| left > 0) || self.frame_left > 0 {
            return Err(self.wrong_length(io));
        }
        Ok(())
    }

    /// RFC 9114 §4.1.2: such a message must not be sent; the peer sees that it is not whole.
    fn wrong_length(&mut self, io: &mut dyn Transport) -> ExchangeError {
        self.reset(Http3Code::INTERNAL_ERROR, io);
        ExchangeError::ContentLength
    }

    fn check_io<T>(&mut self, result: Result<T, StreamError>) -> Result<T, ExchangeError> {
        result.map_err(|_| {
            self.drop_body();
            ExchangeError::StreamClosed
        })
    }
}

/// A source that is exhausted.
struct Nothing;

impl BodySource for Nothing {
    fn poll_chunk(&mut self, _max: usize) -> BodyChunk {
        BodyChunk::End(None)
    }
}

/// Sources are not asked for less, even if there is less room: reads of a disk should be worth it.
const MIN_CHUNK: usize = 16 * 1024;

/// Nor for more: so much may wait in a stream beyond its send buffer.
const MAX_CHUNK: usize = 64 * 1024;
