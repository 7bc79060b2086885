//! The I/O traits of tokio, and those of futures-io (smol's, async-std's and futures'), for the
//! streams. They differ in how a buffer is lent, and in a name.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::{RecvStream, SendStream};

/// What is the same in both worlds, but for the name of the last method.
macro_rules! buffered_and_written {
    ($($world:ident)::+, $close:ident) => {
        impl $($world)::+::AsyncBufRead for RecvStream {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                let stream = self.get_mut();
                ready!(stream.poll_fill(cx))?;
                Poll::Ready(Ok(stream.filled()))
            }

            fn consume(mut self: Pin<&mut Self>, len: usize) {
                self.consume_filled(len);
            }
        }

        impl $($world)::+::AsyncWrite for SendStream {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                Self::poll_write(&mut self, cx, data).map_err(io::Error::from)
            }

            /// What is written is on its way; see [`SendStream::delivered`] to know that it has
            /// arrived.
            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Finishes the stream.
            fn $close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.finish_again().map_err(io::Error::from))
            }
        }
    };
}

#[cfg(feature = "tokio")]
buffered_and_written!(tokio::io, poll_shutdown);
#[cfg(feature = "smol")]
buffered_and_written!(futures_io, poll_close);

#[cfg(feature = "tokio")]
impl tokio::io::AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0 && ready!(self.poll_fill(cx))? {
            let len = buffer.remaining().min(self.filled().len());
            buffer.put_slice(&self.filled()[..len]);
            self.consume_filled(len);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "smol")]
impl futures_io::AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&mut self, cx, buffer).map_err(io::Error::from)
    }
}
