//! [`SharedStream`]: what an application and the I/O thread know of a stream. The application takes
//! from `received` and adds to `unsent`; the I/O thread does the opposite when it is told that there is
//! reason to.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use protoquic_core::streams::Priority;
use protoquic_core::{ApplicationError, Direction, StreamId};

use crate::buffers::SendQueue;
use crate::connection::{Order, SharedConnection};
use crate::wait::{News, Patience, Wait, Waiter, Watched, finished};
use crate::{Error, Result};

/// One stream.
#[derive(Debug)]
pub struct SharedStream {
    /// Its connection.
    pub connection: Arc<SharedConnection>,
    /// Whether data goes both ways.
    pub direction: Direction,
    /// Whether we opened it.
    pub is_ours: bool,
    /// What changes.
    pub state: Watched<StreamState>,
    /// Taken by a thread and not yet read.
    taken: Mutex<BytesMut>,
}

/// What changes about a stream.
#[derive(Debug, Default)]
pub struct StreamState {
    /// How long calls of threads wait.
    pub patience: Patience,
    /// Once it is open.
    pub id: Option<StreamId>,
    /// Nobody waits for it to be opened any more.
    pub is_abandoned: bool,
    /// Read, and not yet taken.
    pub received: BytesMut,
    /// A thread has taken more than it wanted: the rest is there for the next reader.
    pub has_taken: bool,
    /// Whether anything is to be read yet.
    pub may_read: bool,
    /// There was more to read than found room here.
    pub is_starved: bool,
    /// What follows when `received` is empty.
    pub read_end: Option<ReadEnd>,
    /// Written, and not yet passed on.
    pub unsent: SendQueue,
    /// Why nothing more can be written.
    pub write_end: Option<Error>,
    /// The end is to follow what was written.
    pub finish: bool,
    /// The peer has everything, the end included.
    pub is_delivered: bool,
    /// To be told to the peer.
    pub reset: Option<ApplicationError>,
    /// Likewise.
    pub stop: Option<ApplicationError>,
    /// To be told to the transport.
    pub priority: Option<Priority>,
    /// The I/O thread has been told to look at this stream and has not yet done so.
    pub is_ordered: bool,
}

/// Who has opened a stream.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// We shall.
    Ours,
    /// The peer has.
    Peers {
        /// What it is called.
        id: StreamId,
        /// Whether it is read before it is accepted.
        may_read: bool,
    },
}

/// What follows the last byte.
#[derive(Clone, Debug)]
pub enum ReadEnd {
    /// Nothing: that was all, or we wanted no more.
    Finished,
    /// What would follow is lost.
    Failed(Error),
}

impl StreamState {
    /// Nothing more will come or go.
    pub fn fail(&mut self, error: &Error) {
        self.read_end.get_or_insert_with(|| ReadEnd::Failed(error.clone()));
        if !self.is_delivered {
            self.write_end = Some(error.clone());
        }
        self.unsent.clear();
    }

    /// Whether the I/O thread is to be told now.
    fn order(&mut self) -> bool {
        self.id.is_some() && !std::mem::replace(&mut self.is_ordered, true)
    }

    /// What a read finds where no data is.
    fn end(&self) -> Option<Result<()>> {
        match self.read_end.clone()? {
            ReadEnd::Finished => Some(Ok(())),
            ReadEnd::Failed(error) => Some(Err(error)),
        }
    }

    /// After data was taken: whether the I/O thread is to fetch more now.
    fn fetch(&mut self) -> bool {
        self.is_starved && self.received.len() <= MAX_RECEIVED / 2 && self.order()
    }

    /// How many bytes may be written now; none if one has to wait.
    fn room(&self) -> Option<Result<usize>> {
        if let Some(error) = &self.write_end {
            return Some(Err(error.clone()));
        }
        let room = MAX_UNSENT - self.unsent.len().min(MAX_UNSENT);
        (room > 0).then_some(Ok(room))
    }
}

impl SharedStream {
    /// A stream that waits to be opened, or that the peer has opened.
    pub fn new(
        connection: Arc<SharedConnection>,
        direction: Direction,
        patience: Patience,
        origin: Origin,
    ) -> Arc<Self> {
        let (is_ours, id, may_read) = match origin {
            Origin::Ours => (true, None, true),
            Origin::Peers { id, may_read } => (false, Some(id), may_read),
        };
        let state = StreamState { patience, id, may_read, ..StreamState::default() };
        let state = Watched::new(state);
        let taken = Mutex::default();
        Arc::new(Self { connection, direction, is_ours, state, taken })
    }

    /// Whether we can write to it.
    pub fn sends(&self) -> bool {
        self.is_ours || self.direction == Direction::Bidirectional
    }

    /// Whether we can read from it.
    pub fn receives(&self) -> bool {
        !self.is_ours || self.direction == Direction::Bidirectional
    }

    /// Waits until it is open.
    pub fn wait_open(&self, waiter: impl Waiter) -> Poll<Result<StreamId>> {
        waiter.until(&self.state, News::OUT, |state| match (state.id, &state.write_end) {
            (Some(id), _) => Some(Ok(id)),
            (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => None,
        })
    }

    /// For threads: reads what has come, at least a byte; 0 at the end. What a reader leaves of a
    /// buffer that it has taken is there for the next.
    pub fn read(&self, wait: Wait, buffer: &mut [u8]) -> Result<usize> {
        if !self.receives() {
            return Err(Error::WrongDirection);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let deadline = wait.deadline();
        loop {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let is_rest = !taken.is_empty();
            let is_there =
                if is_rest { Ok(true) } else { finished(self.take(Wait::Never, &mut taken)) };
            match is_there {
                Ok(true) => return Ok(self.copy_out(&mut taken, is_rest, buffer)),
                Ok(false) => return Ok(0),
                Err(Error::WouldBlock) => {}
                Err(error) => return Err(error),
            }
            drop(taken); // others read without waiting
            let left = deadline
                .as_ref()
                .map_or(Ok(Wait::Never), |deadline| deadline.left().map(Wait::from));
            let waited = finished(self.wait_readable(left?));
            if let Err(error @ (Error::WouldBlock | Error::TimedOut)) = waited {
                return Err(error);
            } // any other is for the next turn to tell
        }
    }

    /// Copies what was taken, while the I/O thread can go on. Others who wait to read are told of what
    /// is left: they would not find it where they look.
    fn copy_out(&self, taken: &mut BytesMut, was_rest: bool, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(taken.len());
        taken.copy_to_slice(&mut buffer[..len]);
        let is_rest = !taken.is_empty();
        if was_rest != is_rest {
            self.state.report(|state| {
                state.has_taken = is_rest;
                (if is_rest { News::IN } else { News::NONE }, ())
            });
        }
        len
    }

    /// Exchanges an empty buffer for what has come, at least a byte. False at the end.
    pub fn take(&self, waiter: impl Waiter, buffer: &mut BytesMut) -> Poll<Result<bool>> {
        if !self.receives() {
            return Poll::Ready(Err(Error::WrongDirection));
        }
        let taken = waiter.until(&self.state, News::IN, |state| {
            if state.received.is_empty() {
                return state.end().map(|end| end.map(|()| (false, false)));
            }
            std::mem::swap(&mut state.received, buffer);
            Some(Ok((true, state.fetch())))
        });
        taken.map_ok(|(more, order)| {
            if order {
                self.tell();
            }
            more
        })
    }

    /// Waits until there is something to read, or the end.
    pub fn wait_readable(&self, waiter: impl Waiter) -> Poll<Result<()>> {
        waiter.until(&self.state, News::IN, |state| {
            let is_there = state.has_taken || !state.received.is_empty();
            if is_there { Some(Ok(())) } else { state.end() }
        })
    }

    /// Adds what there is room for, at least a byte.
    pub fn write(&self, waiter: impl Waiter, data: &[u8]) -> Poll<Result<usize>> {
        self.write_with(waiter, data.is_empty(), |queue, room| {
            let len = data.len().min(room);
            queue.extend_from_slice(&data[..len]);
            len
        })
    }

    /// Takes from the front of `data` what there is room for, at least a byte, without a copy.
    pub fn write_piece(&self, waiter: impl Waiter, data: &mut Bytes) -> Poll<Result<usize>> {
        self.write_with(waiter, data.is_empty(), |queue, room| {
            let piece = data.split_to(data.len().min(room));
            let len = piece.len();
            queue.push(piece);
            len
        })
    }

    fn write_with(
        &self,
        waiter: impl Waiter,
        is_empty: bool,
        mut f: impl FnMut(&mut SendQueue, usize) -> usize,
    ) -> Poll<Result<usize>> {
        if !self.sends() {
            return Poll::Ready(Err(Error::WrongDirection));
        }
        let written = waiter.until(&self.state, News::OUT, |state| {
            let room = match state.room() {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Some(Err(error)),
                None if is_empty => 0,
                None => return None,
            };
            let len = f(&mut state.unsent, room);
            Some(Ok((len, len > 0 && state.order())))
        });
        written.map_ok(|(len, order)| {
            if order {
                self.tell();
            }
            len
        })
    }

    /// Waits until the peer has everything that was written, and the end.
    pub fn wait_delivered(&self, waiter: impl Waiter) -> Poll<Result<()>> {
        waiter.until(&self.state, News::OUT, |state| match &state.write_end {
            _ if state.is_delivered => Some(Ok(())),
            Some(Error::Finished) if state.finish => None,
            Some(error) => Some(Err(error.clone())),
            None => Some(Err(Error::Unsuitable("a stream that is not finished has no end"))),
        })
    }

    /// Waits until the peer wants no more, and says with which code; none if it has everything, the
    /// end included.
    pub fn wait_stopped(&self, waiter: impl Waiter) -> Poll<Result<Option<ApplicationError>>> {
        waiter.until(&self.state, News::OUT, |state| match &state.write_end {
            _ if state.is_delivered => Some(Ok(None)),
            None => None,
            Some(Error::Finished) if state.finish => None,
            Some(Error::Stopped(code)) => Some(Ok(Some(*code))),
            Some(error) => Some(Err(error.clone())),
        })
    }

    /// No more will be written.
    pub fn finish(&self) -> Result<()> {
        if !self.sends() {
            return Err(Error::WrongDirection);
        }
        self.ask(|state| {
            if let Some(error) = &state.write_end {
                return Err(error.clone());
            }
            state.write_end = Some(Error::Finished);
            state.finish = true;
            Ok(())
        })
    }

    /// What was written and not delivered is dropped.
    pub fn reset(&self, code: ApplicationError) -> Result<()> {
        if !self.sends() {
            return Err(Error::WrongDirection);
        }
        self.ask(|state| {
            match &state.write_end {
                Some(error) if *error != Error::Finished => return Err(error.clone()),
                _ => state.write_end = Some(Error::Finished),
            }
            state.unsent.clear();
            state.finish = false;
            state.reset = Some(code);
            Ok(())
        })
    }

    /// No more will be read.
    pub fn stop(&self, code: ApplicationError) -> Result<()> {
        if !self.receives() {
            return Err(Error::WrongDirection);
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = BytesMut::new();
        self.ask(|state| {
            state.has_taken = false;
            state.received = BytesMut::new();
            if state.read_end.is_none() {
                state.stop = Some(code);
            }
            state.read_end = Some(ReadEnd::Finished);
            Ok(())
        })
    }

    /// Ranks its data against that of other streams.
    pub fn set_priority(&self, priority: Priority) -> Result<()> {
        if !self.sends() {
            return Err(Error::WrongDirection);
        }
        self.ask(|state| {
            state.priority = Some(priority);
            Ok(())
        })
    }

    /// The owner is gone: what was written is still delivered, nothing more is read.
    pub fn close(self: &Arc<Self>) {
        if self.sends() {
            let _ = self.finish(); // an error: it has ended otherwise
        }
        if self.receives() {
            let _ = self.stop(ApplicationError(0));
        }
        if self.state.with(|state| state.id.is_none() && state.unsent.is_empty()) {
            self.connection.forget_opening(self); // nothing was written that it would deliver
        }
    }

    /// Nobody waits for it to be opened any more. If it is open already, another gets it.
    pub fn abandon(self: &Arc<Self>) {
        self.connection.abandon(self);
    }

    /// Likewise. Its name, if it is open already.
    pub(crate) fn set_abandoned(&self) -> Option<StreamId> {
        self.state.with(|state| {
            state.is_abandoned = true;
            state.id
        })
    }

    /// It is open, under this name. Whether somebody still waits for that.
    pub(crate) fn set_open(&self, id: StreamId) -> bool {
        self.state.change(|state| {
            state.id = Some(id);
            !state.is_abandoned
        })
    }

    /// Takes over what has come on a stream that this one is opened as.
    pub(crate) fn inherit(&self, spare: &Self) {
        let came = spare.state.with(std::mem::take);
        self.state.with(|state| {
            state.received = came.received;
            state.is_starved = came.is_starved;
            if state.read_end.is_none() {
                state.read_end = came.read_end;
            }
            if state.write_end.is_none() {
                state.write_end = came.write_end;
            }
        });
    }

    /// Somebody has taken it from the queue.
    pub fn on_accepted(&self) {
        let was_unread = |state: &mut StreamState| !std::mem::replace(&mut state.may_read, true);
        if self.state.with(|state| was_unread(state) && state.order()) {
            self.tell();
        }
    }

    /// Changes what the I/O thread is to carry out, and tells it.
    fn ask(&self, f: impl FnOnce(&mut StreamState) -> Result<()>) -> Result<()> {
        if self.state.change(|state| f(state).map(|()| state.order()))? {
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        if let Some(id) = self.state.with(|state| state.id) {
            self.connection.order(Order::Look(id));
        }
    }
}

/// How much of a stream is read ahead of who reads it, in bytes.
pub const MAX_RECEIVED: usize = 512 * 1024;
/// How much may be written ahead of the transport, in bytes.
pub const MAX_UNSENT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::connection::tests::unheard;
    use crate::wait::tests::Counter;
    use crate::wait::{Seat, Turn};

    /// It would not be found where they look for what has come.
    #[test]
    fn what_a_reader_leaves_is_told_to_those_who_wait() {
        let stream = unheard().open(Direction::Bidirectional, Patience::default()).unwrap();
        let (woken, mut seat) = (Arc::new(Counter::default()), Seat::default());
        let waker = Waker::from(Arc::clone(&woken));
        let turn = Turn { waker: &waker, seat: &mut seat };
        assert!(stream.wait_readable(turn).is_pending());
        stream.state.with(|state| state.received.extend_from_slice(&[7; 10]));
        let look = || finished(stream.wait_readable(Wait::Never));
        for is_left in [true, false] {
            assert_eq!(stream.read(Wait::Never, &mut [0; 5]), Ok(5));
            assert_eq!(look().is_ok(), is_left);
            assert_eq!(woken.count(), 1);
        }
        stream.state.with(|state| state.received.extend_from_slice(&[7; 10]));
        assert_eq!(stream.read(Wait::Never, &mut [0; 5]), Ok(5));
        stream.stop(ApplicationError(0)).unwrap();
        assert_eq!(stream.read(Wait::Never, &mut [0; 5]), Ok(0), "what was left is gone");
        stream.state.leave(&mut seat);
    }
}
