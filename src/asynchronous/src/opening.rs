//! [`Opening`]: a stream that waits to be opened. Dropped, it is not opened, or is there for the next
//! who opens one.

use std::sync::Arc;
use std::task::{Context, Poll};

use protoquic_core::Direction;
use protoquic_io_thread::{Patience, Result, Seat, SharedStream, Turn};

use crate::connection::{Owned, Owner};

#[derive(Debug)]
pub(crate) struct Opening {
    owner: Arc<Owner>,
    /// None once it has been handed out.
    stream: Option<Arc<SharedStream>>,
    seat: Seat,
}

impl Opening {
    pub(crate) fn new(owner: &Arc<Owner>, direction: Direction) -> Result<Self> {
        let stream = owner.shared.open(direction, Patience::default())?;
        Ok(Self { owner: Arc::clone(owner), stream: Some(stream), seat: Seat::default() })
    }

    /// Gives the stream out once it is open. Not to be polled after that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Owned>> {
        let Some(stream) = &self.stream else { return Poll::Pending };
        let turn = Turn { waker: cx.waker(), seat: &mut self.seat };
        match stream.wait_open(turn) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(_)) => {
                stream.state.leave(&mut self.seat);
                let owner = Arc::clone(&self.owner);
                Poll::Ready(self.stream.take().map(|stream| (owner, stream)).ok_or(GONE))
            }
        }
    }
}

/// Cannot be: it was there a line before.
const GONE: protoquic_io_thread::Error = protoquic_io_thread::Error::BadHandle;

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.state.leave(&mut self.seat);
            stream.abandon();
        }
    }
}
