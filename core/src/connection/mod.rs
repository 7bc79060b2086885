//! SKELETON: signatures only; the real file follows.
#![expect(
    clippy::unimplemented,
    missing_docs,
    unused_variables,
    reason = "skeleton"
)]
mod event;
use crate::*;
use bytes::Bytes;
pub use event::Event;

#[derive(Clone, Debug, Default)]
pub struct Config {}

#[derive(Debug)]
pub struct Connection {}

impl Connection {
    pub fn role(&self) -> Role {
        unimplemented!()
    }
    pub fn process_packet(&mut self, packet: ReceivedPacket) {
        unimplemented!()
    }
    pub fn on_deadline(&mut self, now: Time) {
        unimplemented!()
    }
    pub fn next_deadline(&self) -> Option<Time> {
        unimplemented!()
    }
    pub fn begin_turn(&mut self) {
        unimplemented!()
    }
    pub fn end_turn(&mut self) {
        unimplemented!()
    }
    /// Writes what there is to send; true if anything was written.
    pub fn write(&mut self, now: Time, writer: &mut dyn PacketWriter) -> bool {
        unimplemented!()
    }
    pub fn is_write_blocked(&self) -> bool {
        unimplemented!()
    }
    pub fn has_events(&self) -> bool {
        unimplemented!()
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        unimplemented!()
    }
    pub fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        unimplemented!()
    }
    pub fn close_reason(&self) -> Option<&CloseReason> {
        unimplemented!()
    }
    pub fn farewell(&self) -> Option<Bytes> {
        unimplemented!()
    }
    pub fn is_established(&self) -> bool {
        unimplemented!()
    }
    pub fn is_confirmed(&self) -> bool {
        unimplemented!()
    }
    /// The negotiated application protocol.
    pub fn alpn(&self) -> Option<&[u8]> {
        unimplemented!()
    }
    pub fn server_name(&self) -> Option<&str> {
        unimplemented!()
    }
    pub fn open_stream(&mut self, direction: Direction) -> Result<StreamId, StreamError> {
        unimplemented!()
    }
    pub fn stream_read(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, StreamError> {
        unimplemented!()
    }
    pub fn stream_is_finished(&self, id: StreamId) -> bool {
        unimplemented!()
    }
    pub fn stream_write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        unimplemented!()
    }
    pub fn stream_write_all(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError> {
        unimplemented!()
    }
    pub fn stream_writable(&mut self, id: StreamId) -> Result<usize, StreamError> {
        unimplemented!()
    }
    pub fn stream_finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        unimplemented!()
    }
    pub fn stream_reset(
        &mut self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        unimplemented!()
    }
    pub fn stream_stop_sending(
        &mut self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        unimplemented!()
    }
    /// Bounds total buffered receive data etc.
    pub fn peer_address(&self) -> std::net::SocketAddr {
        unimplemented!()
    }
}
