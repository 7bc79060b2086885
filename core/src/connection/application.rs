//! What the owner of a connection can ask of it and tell it: streams, closing, state. This file
//! must not know packets.

use std::net::SocketAddr;

use bytes::Bytes;

use super::Connection;
use super::close::State;
use super::event::Event;
use super::stats::ConnectionStats;
use crate::error::{
    ApplicationError, CloseReason, StreamError, TransportError, TransportErrorCode,
};
use crate::streams::{Priority, StreamEvent, StreamsStats};
use crate::time::Time;
use crate::types::{ConnectionId, Direction, PathAddress, Role, Space, StreamId};
use crate::wire::{ConnectionCloseFrame, TransportParameters, Version};

impl Connection {
    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The QUIC version in use.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the handshake is complete and the connection is not closing.
    pub fn is_established(&self) -> bool {
        self.handshake.is_complete() && self.life.is_open()
    }

    /// Whether the handshake is confirmed (RFC 9001 §4.1.2).
    pub fn is_confirmed(&self) -> bool {
        self.handshake_confirmed
    }

    /// Whether the connection is closing, draining or over.
    pub fn is_closed(&self) -> bool {
        !self.life.is_open()
    }

    /// Whether nothing will ever be sent again: the connection can be dropped.
    pub fn is_drained(&self) -> bool {
        self.life.state() == State::Over
    }

    /// Why the connection ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.life.reason()
    }

    /// The datagram that closed the connection, to be repeated to a peer that goes on talking
    /// (RFC 9000 §10.2.1).
    pub fn farewell(&self) -> Option<Bytes> {
        self.life.farewell().cloned()
    }

    /// The application protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.handshake.tls.alpn()
    }

    /// The cipher suite that was agreed on.
    pub fn cipher_suite(&self) -> Option<rustls::CipherSuite> {
        self.handshake.tls.cipher_suite()
    }

    /// On a server: the host name that the client asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.handshake.tls.server_name()
    }

    /// The peer's certificates, its own first; none before it has shown any.
    pub fn peer_certificates(&self) -> Option<&[rustls::pki_types::CertificateDer<'static>]> {
        self.handshake.tls.peer_certificates()
    }

    /// The peer's transport parameters; the RFC's defaults before they are known.
    pub fn peer_parameters(&self) -> &TransportParameters {
        self.handshake.peer_parameters()
    }

    /// The addresses the connection runs between.
    pub fn path(&self) -> &PathAddress {
        &self.paths.active().address
    }

    /// The peer's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.path().peer
    }

    /// The connection IDs under which packets for this connection arrive.
    pub fn local_connection_ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.local_cids.ids()
    }

    /// On a server: the destination of the client's first packets, under which packets arrive
    /// until the client knows another.
    pub fn first_destination(&self) -> Option<ConnectionId> {
        self.handshake.first_destination()
    }

    /// What the streams did so far.
    pub const fn stream_stats(&self) -> StreamsStats {
        self.streams.stats()
    }

    /// Counters, and the state of the path now.
    pub fn stats(&self) -> ConnectionStats {
        let recovery = self.recovery.stats();
        ConnectionStats {
            packets_lost: recovery.packets_lost,
            spurious_losses: recovery.spurious_losses,
            smoothed_rtt: self.recovery.rtt().smoothed(),
            congestion_window: self.recovery.algorithm().congestion_window(),
            packet_size: self.mtu.current(),
            key_updates: self.keys.updates(),
            ..self.stats
        }
    }

    /// Whether there is anything for [`poll_event`](Self::poll_event).
    pub fn has_events(&self) -> bool {
        !self.events.is_empty() || self.streams.has_events() || self.datagrams.has_events()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front().or_else(|| self.datagrams.poll_event()) {
            return Some(event);
        }
        Some(match self.streams.poll_event()? {
            StreamEvent::Opened(id) => Event::StreamOpened(id),
            StreamEvent::Readable(id) => Event::StreamReadable(id),
            StreamEvent::Writable(id) => Event::StreamWritable(id),
            StreamEvent::Reset { id, code } => Event::StreamReset { id, code },
            StreamEvent::StopSending { id, code } => Event::StreamStopped { id, code },
            StreamEvent::Expired(id) => Event::StreamExpired(id),
            StreamEvent::SendComplete(id) => Event::StreamAcked(id),
            StreamEvent::Closed(id) => Event::StreamClosed(id),
            StreamEvent::CanOpen(direction) => Event::StreamsAvailable(direction),
        })
    }

    /// Whether the writer was full when there was more to send.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Begins a key update, if one may be begun now: the handshake is confirmed and the peer has
    /// acknowledged a packet with the present keys (RFC 9001 §6.1). Returns whether it was.
    pub fn initiate_key_update(&mut self) -> bool {
        self.keys.initiate_update()
    }

    /// Has a PING sent, to see whether the peer is still there.
    pub fn ping(&mut self) {
        self.pending.ping = true;
    }

    /// Closes the connection with an application error code (RFC 9000 §10.2). What was written and
    /// not yet sent is discarded, but for a client's last handshake message, which goes along: so a
    /// client may close as soon as its handshake is complete, and the server's is too. Does nothing if
    /// the connection is closed already.
    pub fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.begin_closing(now, CloseReason::Application { code, reason });
    }

    /// Closes the connection with a transport error code.
    pub fn close_with_transport_error(&mut self, now: Time, error: TransportError) {
        self.begin_closing(now, CloseReason::Transport(error));
    }

    /// What CONNECTION_CLOSE says at this level.
    pub(super) fn close_frame(
        &self,
        space: Space,
        max_reason: usize,
    ) -> Option<ConnectionCloseFrame<'_>> {
        let cut = |reason| -> &[u8] { cut_at_char(reason, max_reason) };
        Some(match self.life.reason()? {
            CloseReason::Transport(error) => ConnectionCloseFrame {
                application: false,
                code: error.code().0,
                frame_type: error.frame_type().unwrap_or(0),
                reason: cut(error.reason().as_bytes()),
            },
            CloseReason::Application { code, reason } if space == Space::Application => {
                ConnectionCloseFrame {
                    application: true,
                    code: code.0,
                    frame_type: 0,
                    reason: cut(reason),
                }
            }
            // RFC 9000 §10.2.3: the application's words are not for the handshake's packets.
            CloseReason::Application { .. } => ConnectionCloseFrame {
                application: false,
                code: TransportErrorCode::APPLICATION_ERROR.0,
                frame_type: 0,
                reason: &[],
            },
            _ => return None,
        })
    }

    /// Opens a stream.
    pub fn open_stream(&mut self, direction: Direction) -> Result<StreamId, StreamError> {
        if self.is_closed() {
            return Err(StreamError::ConnectionClosed);
        }
        self.streams.open(direction)
    }

    /// The next bytes in order, at most `max`; `None` if there are none now.
    pub fn stream_read(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, StreamError> {
        self.streams.read_max(id, max)
    }

    /// Whether the peer has finished and everything has been read.
    pub fn stream_is_finished(&self, id: StreamId) -> bool {
        self.streams.is_finished(id)
    }

    /// Takes as much of the front of `data` as there is room for. Returns how much.
    pub fn stream_write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        self.check_open()?;
        self.streams.write(id, data)
    }

    /// Takes all of `data`, whatever room there is.
    pub fn stream_write_all(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.write_all(id, data)
    }

    /// Takes a whole message and ends the sending part behind it, if there is room for all of that;
    /// otherwise takes nothing and returns false. What it takes is not copied until it is sent.
    pub fn stream_write_message(
        &mut self,
        id: StreamId,
        head: Bytes,
        body: Bytes,
    ) -> Result<bool, StreamError> {
        self.check_open()?;
        self.streams.write_message(id, head, body)
    }

    /// How many bytes there is room for.
    pub fn stream_writable(&mut self, id: StreamId) -> Result<usize, StreamError> {
        self.check_open()?;
        self.streams.writable(id)
    }

    /// How many bytes were written and have not been sent.
    pub(crate) fn stream_unsent(&self, id: StreamId) -> u64 {
        self.streams.unsent(id)
    }

    /// Ends the sending part; what was written is still delivered.
    pub fn stream_finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.finish(id)
    }

    /// Abandons the sending part (RESET_STREAM).
    pub fn stream_reset(
        &mut self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.reset(id, code)
    }

    /// Abandons the sending part but delivers its first `reliable` bytes (RESET_STREAM_AT).
    /// [`StreamError::NotSupported`] if the peer does not take that, and nothing happens.
    pub fn stream_reset_at(
        &mut self,
        id: StreamId,
        code: ApplicationError,
        reliable: u64,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.reset_at(id, code, reliable)
    }

    /// Gives a stream a deadline, or takes it away. From then on nothing of it is sent: if it was
    /// not all sent, up to its end, or if some of it turns out to be lost later, then the whole
    /// sending part is reset with `code`, and [`Event::StreamExpired`] tells.
    pub fn stream_set_deadline(
        &mut self,
        id: StreamId,
        deadline: Option<Time>,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.set_deadline(id, deadline, code)
    }

    /// Asks the peer to abandon its sending part (STOP_SENDING).
    pub fn stream_stop_sending(
        &mut self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.stop_sending(id, code)
    }

    /// How urgent a live stream is.
    pub fn stream_priority(&self, id: StreamId) -> Option<Priority> {
        self.streams.priority(id)
    }

    /// Whether the peer may open this stream, or has opened it: one of its own, within our limit.
    pub fn peer_may_open(&self, id: StreamId) -> bool {
        self.streams.peer_may_open(id)
    }

    /// Ranks a stream's data against that of others (RFC 9218): streams of a smaller urgency first,
    /// those of one urgency one after the other or, if incremental, in turns.
    pub fn stream_set_priority(
        &mut self,
        id: StreamId,
        priority: Priority,
    ) -> Result<(), StreamError> {
        self.check_open()?;
        self.streams.set_priority(id, priority)
    }

    fn check_open(&self) -> Result<(), StreamError> {
        if self.is_closed() { Err(StreamError::ConnectionClosed) } else { Ok(()) }
    }
}

/// The front of a text, at most `max` bytes, not cut inside a character.
fn cut_at_char(text: &[u8], max: usize) -> &[u8] {
    let mut end = max.min(text.len());
    while end > 0 && end < text.len() && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}
