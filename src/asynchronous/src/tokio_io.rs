//! tokio's I/O traits for the streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::{RecvStream, SendStream};

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0 && ready!(self.poll_fill(cx))? {
            let len = buffer.remaining().min(self.filled().len());
            buffer.put_slice(&self.filled()[..len]);
            self.consume_filled(len);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for RecvStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let stream = self.get_mut();
        ready!(stream.poll_fill(cx))?;
        Poll::Ready(Ok(stream.filled()))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.consume_filled(len);
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, data).map_err(io::Error::from)
    }

    /// What is written is on its way; see [`SendStream::delivered`] to know that it has arrived.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Finishes the stream.
    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish_again().map_err(io::Error::from))
    }
}
