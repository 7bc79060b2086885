//! [`SendStream`]: a stream's sending part.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use protoquic_core::streams::Priority;
use protoquic_core::{ApplicationError, StreamId};
use protoquic_io_thread::{Seat, SharedStream, Turn};

use crate::connection::Owner;
use crate::wait::call;
use crate::{Error, Result};

/// A stream's sending part. At most 256 KiB wait here for the transport, which keeps as much again;
/// then writing waits.
///
/// Dropped, it is finished: what was written is delivered, and the peer reads to the end.
#[derive(Debug)]
pub struct SendStream {
    /// Keeps the connection.
    _owner: Arc<Owner>,
    stream: Arc<SharedStream>,
    id: StreamId,
    seat: Seat,
}

impl SendStream {
    pub(crate) fn new(owner: Arc<Owner>, stream: Arc<SharedStream>) -> Self {
        let id = stream.state.with(|state| state.id).expect("a stream is handed out once open");
        Self { _owner: owner, stream, id, seat: Seat::default() }
    }

    /// The stream's ID.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Writes as much as there is room for, at least a byte. Returns how much.
    ///
    /// Cancel-safe: dropped, it has written nothing.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// Writes all of it. Dropped, it has written some of it, and nobody knows how much: to go on after
    /// that, use [`write_all_chunk`](Self::write_all_chunk).
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Takes from the front of `chunk` as much as there is room for, at least a byte, without copying
    /// it. Returns how much.
    ///
    /// Cancel-safe: `chunk` is what was not written.
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<usize> {
        poll_fn(|cx| self.poll_write_chunk(cx, chunk)).await
    }

    /// Writes all of it, without copying it.
    ///
    /// Cancel-safe: `chunk` is what was not written.
    pub async fn write_all_chunk(&mut self, chunk: &mut Bytes) -> Result<()> {
        while !chunk.is_empty() {
            self.write_chunk(chunk).await?;
        }
        Ok(())
    }

    /// [`write`](Self::write) as a poll.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        self.stream.write(Turn { waker: cx.waker(), seat: &mut self.seat }, data)
    }

    /// [`write_chunk`](Self::write_chunk) as a poll.
    pub fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<usize>> {
        self.stream.write_piece(Turn { waker: cx.waker(), seat: &mut self.seat }, chunk)
    }

    /// No more will be written; the peer reads to the end of what was. Fails if the stream is over.
    pub fn finish(&mut self) -> Result<()> {
        self.stream.finish()
    }

    /// Gives up what was written and not delivered; the peer gets this code. Fails if the stream is
    /// over.
    pub fn reset(&mut self, code: ApplicationError) -> Result<()> {
        self.stream.reset(code)
    }

    /// Ranks what is sent here against other streams of the connection (RFC 9218).
    pub fn set_priority(&mut self, priority: Priority) -> Result<()> {
        self.stream.set_priority(priority)
    }

    /// Waits until the peer has all of a stream that was finished. (Its QUIC has it; whether its
    /// application has read it, only its answer can tell.)
    pub async fn delivered(&self) -> Result<()> {
        call(&self.stream.state, |turn| self.stream.wait_delivered(turn)).await
    }

    /// Waits until the peer wants no more, and returns its code; none if the stream was finished and
    /// the peer has all of it.
    pub async fn stopped(&self) -> Result<Option<ApplicationError>> {
        call(&self.stream.state, |turn| self.stream.wait_stopped(turn)).await
    }

    /// For [shutdown](SendStream::finish) by a trait: not an error if it is done already.
    #[cfg(any(feature = "tokio", feature = "smol", feature = "h3"))]
    pub(crate) fn finish_again(&mut self) -> Result<()> {
        match self.finish() {
            Err(Error::Finished) => Ok(()),
            result => result,
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.stream.state.leave(&mut self.seat);
        let _: std::result::Result<(), Error> = self.stream.finish(); // unless it has ended already
    }
}
