//! [`RecvStream`]: a stream's receiving part.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use protoquic_core::{ApplicationError, StreamId};
use protoquic_io_thread::{Seat, SharedStream, Turn};

use crate::connection::Owner;
use crate::wait::call;
use crate::{Error, Result};

/// A stream's receiving part. At most 1 MiB is kept here for who reads late; then flow control
/// holds the peer back.
///
/// Dropped before its end, it is stopped with code 0: the peer need not send the rest.
#[derive(Debug)]
pub struct RecvStream {
    /// Keeps the connection.
    _owner: Arc<Owner>,
    stream: Arc<SharedStream>,
    id: StreamId,
    seat: Seat,
    /// Taken from the stream, and not yet read.
    current: BytesMut,
}

impl RecvStream {
    pub(crate) fn new(owner: Arc<Owner>, stream: Arc<SharedStream>) -> Self {
        let id = stream.state.with(|state| state.id).expect("a stream is handed out once open");
        Self { _owner: owner, stream, id, seat: Seat::default(), current: BytesMut::new() }
    }

    /// The stream's ID.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Reads what has come, at least a byte; 0 at the end.
    ///
    /// Cancel-safe: dropped, it has read nothing.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Takes what has come, at least a byte and at most `max`, without copying it; none at the end.
    ///
    /// Cancel-safe: dropped, it has taken nothing.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_read_chunk(cx, max)).await
    }

    /// Reads to the end. Fails if there is more than `limit` bytes, or if the peer resets the stream.
    ///
    /// Cancel-safe: what has come stays in the stream, and is read by whatever call is next.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes> {
        while self.current.len() <= limit {
            let mut more = BytesMut::new();
            let (stream, seat) = (&self.stream, &mut self.seat);
            let mut take = |cx: &mut Context<'_>| {
                stream.take(Turn { waker: cx.waker(), seat: &mut *seat }, &mut more)
            };
            if !poll_fn(&mut take).await? {
                return Ok(self.current.split().freeze());
            }
            if self.current.is_empty() {
                self.current = more;
            } else {
                self.current.extend_from_slice(&more);
            }
        }
        Err(Error::TooLong(limit))
    }

    /// [`read`](Self::read) as a poll.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        if buffer.is_empty() || !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Ok(0));
        }
        let len = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..len]);
        Poll::Ready(Ok(len))
    }

    /// [`read_chunk`](Self::read_chunk) as a poll.
    pub fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>>> {
        if max == 0 {
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        if !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Ok(None));
        }
        let len = max.min(self.current.len());
        Poll::Ready(Ok(Some(self.current.split_to(len).freeze())))
    }

    /// Sees to it that something is there to read. False at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        if !self.current.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let turn = Turn { waker: cx.waker(), seat: &mut self.seat };
        self.stream.take(turn, &mut self.current)
    }

    /// What is there to read now.
    #[cfg(any(feature = "tokio", feature = "smol"))]
    pub(crate) fn filled(&self) -> &[u8] {
        &self.current
    }

    /// So much of it was read.
    #[cfg(any(feature = "tokio", feature = "smol"))]
    pub(crate) fn consume_filled(&mut self, len: usize) {
        self.current.advance(len);
    }

    /// Tells the peer that no more will be read, with this code. Reading then finds the end.
    pub fn stop(&mut self, code: ApplicationError) -> Result<()> {
        self.current = BytesMut::new();
        self.stream.stop(code)
    }

    /// Waits until there is something to read, or the end, or an error, without taking it.
    /// Cancel-safe.
    pub async fn readable(&self) -> Result<()> {
        if !self.current.is_empty() {
            return Ok(());
        }
        call(&self.stream.state, |turn| self.stream.wait_readable(turn)).await
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stream.state.leave(&mut self.seat);
        let _ = self.stream.stop(ApplicationError(0)); // nothing is said of one that has ended
    }
}
