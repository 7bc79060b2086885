//! [`Compression`]: the field sections of a connection: QPACK's two machines, what they have to tell
//! the peer's, and how many incomplete sections are kept. It must not know messages, or what fields
//! mean.

use bytes::{BufMut, Bytes, BytesMut};

use super::config::Http3Config;
use super::connection::Http3Connection;
use super::error::{ExchangeError, Fault, Http3Code, Http3Error};
use super::frame::{emit, frame_type};
use super::transport::Transport;
use super::uni_stream::UniKind;
use crate::qpack::{Decoded, Decoder, Encoder, FieldRef, QpackError};
use crate::types::StreamId;
use crate::wire::varint_len;

/// What turns fields into bytes and back.
#[derive(Debug)]
pub(super) struct Compression {
    decoder: Decoder,
    encoder: Encoder,
    /// Instructions that our encoder and decoder stream had no room for.
    encoder_backlog: BytesMut,
    decoder_backlog: BytesMut,
    /// Our decoder stream will be called for what the decoder has to say.
    is_flush_asked: bool,
    /// Sum of incomplete and blocked field sections.
    section_bytes: usize,
}

impl Compression {
    pub(super) fn new(config: &Http3Config) -> Self {
        Self {
            decoder: Decoder::new(
                config.qpack_max_table_capacity,
                config.qpack_blocked_streams,
                config.max_field_section_size,
            ),
            encoder: Encoder::new(),
            encoder_backlog: BytesMut::new(),
            decoder_backlog: BytesMut::new(),
            is_flush_asked: false,
            section_bytes: 0,
        }
    }

    /// Gives back what only a busy connection needs.
    pub(super) fn release_memory(&mut self) {
        for buffer in [&mut self.encoder_backlog, &mut self.decoder_backlog] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
        self.encoder.release_memory();
        self.decoder.release_memory();
    }

    /// What the peer's decoder takes.
    pub(super) fn set_peer_settings(&mut self, max_table_capacity: u64, blocked_streams: u64) {
        self.encoder.set_peer_settings(max_table_capacity, blocked_streams);
    }

    /// A stream's sections will not be decoded (RFC 9204 §2.2.2.2).
    pub(super) fn cancel_stream(&mut self, id: StreamId) {
        self.decoder.cancel_stream(id.as_u64());
    }

    /// Whether there is something for our decoder stream of which it has not been told.
    fn take_flush_wish(&mut self) -> bool {
        self.decoder.has_output() && !std::mem::replace(&mut self.is_flush_asked, true)
    }
}

/// Sections.
impl Http3Connection {
    /// A HEADERS frame with these fields.
    pub(super) fn encode(
        &mut self,
        id: StreamId,
        fields: &[FieldRef<'_>],
    ) -> Result<Bytes, ExchangeError> {
        self.encode_frame(id, (frame_type::HEADERS, None), fields, 0)
    }

    /// The same, and the header of a DATA frame of this length behind it, unless that is 0.
    pub(super) fn encode_with_data(
        &mut self,
        id: StreamId,
        fields: &[FieldRef<'_>],
        data: u64,
    ) -> Result<Bytes, ExchangeError> {
        self.encode_frame(id, (frame_type::HEADERS, None), fields, data)
    }

    /// A PUSH_PROMISE frame (RFC 9114 §7.2.5).
    pub(super) fn encode_promise(
        &mut self,
        id: StreamId,
        push: u64,
        fields: &[FieldRef<'_>],
    ) -> Result<Bytes, ExchangeError> {
        self.encode_frame(id, (frame_type::PUSH_PROMISE, Some(push)), fields, 0)
    }

    /// A frame of this type, which has a push ID in front of its section, or none.
    fn encode_frame(
        &mut self,
        id: StreamId,
        (ty, push): (u64, Option<u64>),
        fields: &[FieldRef<'_>],
        data: u64,
    ) -> Result<Bytes, ExchangeError> {
        self.check_size(fields)?;
        let (encoder, out) = self.encoder_and_scratch(MAX_FRONT);
        encoder.encode_with(id.as_u64(), fields.iter().copied(), |prefix, lines| {
            let front = push.map_or(0, varint_len);
            emit::header(out, ty, (front + prefix.len() + lines.len()) as u64);
            if let Some(push) = push {
                emit::varint(out, push);
            }
            out.put_slice(prefix);
            out.put_slice(lines);
            if data > 0 {
                emit::header(out, frame_type::DATA, data);
            }
        });
        Ok(out.split().freeze())
    }

    /// RFC 9114 §4.2.2
    fn check_size(&self, fields: &[FieldRef<'_>]) -> Result<(), ExchangeError> {
        let size = fields
            .iter()
            .map(|field| field.name.len() as u64 + field.value.len() as u64 + 32)
            .sum();
        let limit = self.peer_settings().map(|settings| settings.max_field_section_size);
        let limit = limit.or_else(|| self.early.max_field_section_size()).unwrap_or(u64::MAX);
        if size > limit { Err(ExchangeError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// What encodes, and where frames are put together.
    fn encoder_and_scratch(&mut self, room: usize) -> (&mut Encoder, &mut BytesMut) {
        let Self { compression, scratch, .. } = self;
        if scratch.capacity() < room {
            scratch.reserve(SCRATCH);
        }
        (&mut compression.encoder, scratch)
    }

    pub(super) fn decode(&mut self, id: StreamId, section: &[u8]) -> Result<Decoded, Fault> {
        self.compression
            .decoder
            .decode_section(id.as_u64(), section)
            .map_err(|error| Fault::Connection(from_qpack(error)))
    }

    /// A stream keeps `after` bytes of incomplete sections where it kept `before`. False if that is
    /// more than all streams may keep.
    pub(super) fn account_sections(&mut self, before: usize, after: usize) -> bool {
        let limit = self.config().max_buffered_sections;
        let kept = &mut self.compression.section_bytes;
        *kept = kept.saturating_sub(before) + after;
        after <= before || *kept <= limit
    }

    /// A frame, or a few, in few bytes.
    pub(super) fn small(&mut self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let (_, out) = self.encoder_and_scratch(MAX_FRONT);
        write(out);
        out.split().freeze()
    }
}

/// The streams on which the machines of both sides talk.
impl Http3Connection {
    /// Instructions of the peer's encoder have come.
    pub(super) fn on_encoder_stream(&mut self, data: &[u8]) -> Result<(), Http3Error> {
        let decoder = &mut self.compression.decoder;
        decoder.on_encoder_stream(data).map_err(from_qpack)?;
        while let Some(id) = decoder.poll_unblocked() {
            self.wakes.push(StreamId::from_raw(id));
        }
        Ok(())
    }

    /// Instructions of the peer's decoder have come.
    pub(super) fn on_decoder_stream(&mut self, data: &[u8]) -> Result<(), Http3Error> {
        self.compression.encoder.on_decoder_stream(data).map_err(from_qpack)
    }

    /// After a callback: writes what the encoder wants to tell the peer, as far as there is room.
    /// What the decoder has to say is not urgent, and every section makes some of it: it waits until
    /// all that came has been handed on, when our decoder stream is called.
    pub(super) fn flush(&mut self, io: &mut dyn Transport) {
        self.flush_encoder(io);
        self.ask_to_flush_decoder();
    }

    fn ask_to_flush_decoder(&mut self) {
        match self.outgoing(UniKind::QpackDecoder) {
            Some(id) if self.compression.take_flush_wish() => self.wakes.push(id),
            Some(_) => {}
            // The peer lets us open no such stream, and goes on using the table.
            None => self.check_backlog(self.compression.decoder.output_len()),
        }
    }

    /// Our decoder stream was called.
    pub(super) fn flush_decoder(&mut self, io: &mut dyn Transport) {
        let compression = &mut self.compression;
        compression.is_flush_asked = false;
        compression.decoder.drain_output(&mut compression.decoder_backlog);
        let mut backlog = std::mem::take(&mut compression.decoder_backlog);
        self.write_backlog(UniKind::QpackDecoder, &mut backlog, io);
        self.compression.decoder_backlog = backlog;
    }

    fn flush_encoder(&mut self, io: &mut dyn Transport) {
        let compression = &mut self.compression;
        while let Some(data) = compression.encoder.take_encoder_stream() {
            compression.encoder_backlog.put(data);
        }
        if compression.encoder_backlog.is_empty() {
            return;
        }
        let mut backlog = std::mem::take(&mut compression.encoder_backlog);
        self.write_backlog(UniKind::QpackEncoder, &mut backlog, io);
        self.compression.encoder_backlog = backlog;
    }

    fn write_backlog(&mut self, kind: UniKind, backlog: &mut BytesMut, io: &mut dyn Transport) {
        let mut data = backlog.split().freeze();
        if let Some(id) = self.outgoing(kind) {
            // An error: the connection is ending.
            let _ = io.write(id, &mut data);
        }
        self.check_backlog(data.len());
        backlog.put(data);
    }

    fn check_backlog(&mut self, len: usize) {
        if len > MAX_BACKLOG {
            let reason = format!("{len} bytes for a QPACK stream that is not read");
            self.fail(Http3Error::new(Http3Code::EXCESSIVE_LOAD, reason));
        }
    }
}

fn from_qpack(error: QpackError) -> Http3Error {
    Http3Error::new(Http3Code(error.code), error.reason)
}

/// How much waits for a QPACK stream that the peer gives no credit for, in bytes.
const MAX_BACKLOG: usize = 64 * 1024;

/// How much is allocated at a time for small frames, in bytes.
const SCRATCH: usize = 1024;

/// More than frame headers take.
const MAX_FRONT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Direction, Role};

    #[test]
    fn a_peer_that_lets_us_open_no_decoder_stream_cannot_make_us_keep_ever_more() {
        let mut http = Http3Connection::new(Role::Server, Http3Config::default().into());
        for index in 0.. {
            let id = StreamId::new(Role::Client, Direction::Bidirectional, index);
            http.compression.cancel_stream(id); // which the peer is to hear of
            http.ask_to_flush_decoder();
            let kept = http.compression.decoder.output_len();
            if let Some(error) = http.take_failure() {
                assert_eq!(error.code, Http3Code::EXCESSIVE_LOAD);
                assert!(kept > MAX_BACKLOG, "{kept} bytes are not too many");
                return;
            }
            assert!(kept <= MAX_BACKLOG, "{kept} bytes are kept after {index} streams");
        }
    }
}
