//! [`SharedStream`]: what threads and the I/O thread know of a stream. Threads take from `received`
//! and add to `unsent`; the I/O thread does the opposite when it is told that there is reason to.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::Arc;

use bytes::BytesMut;
use protoquic_core::{ApplicationError, Direction, StreamId};

use crate::connection::{Order, SharedConnection};
use crate::poll::Readiness;
use crate::wait::{Patience, Watched};
use crate::{Error, Result};

/// One stream.
#[derive(Debug)]
pub(crate) struct SharedStream {
    pub(crate) connection: Arc<SharedConnection>,
    pub(crate) direction: Direction,
    /// Whether we opened it.
    pub(crate) is_ours: bool,
    pub(crate) state: Watched<StreamState>,
}

#[derive(Debug, Default)]
pub(crate) struct StreamState {
    pub(crate) patience: Patience,
    /// Once it is open.
    pub(crate) id: Option<StreamId>,
    /// Read, and not yet taken.
    pub(crate) received: VecDeque<u8>,
    /// Whether anything is to be read yet.
    pub(crate) may_read: bool,
    /// There was more to read than found room here.
    pub(crate) is_starved: bool,
    /// What follows when `received` is empty.
    pub(crate) read_end: Option<ReadEnd>,
    /// Written, and not yet passed on.
    pub(crate) unsent: BytesMut,
    /// Why nothing more can be written.
    pub(crate) write_end: Option<Error>,
    /// The end is to follow what was written.
    pub(crate) finish: bool,
    /// The peer has everything, the end included.
    pub(crate) is_delivered: bool,
    /// To be told to the peer.
    pub(crate) reset: Option<ApplicationError>,
    /// Likewise.
    pub(crate) stop: Option<ApplicationError>,
    /// The I/O thread has been told to look at this stream and has not yet done so.
    pub(crate) is_ordered: bool,
}

/// Who has opened a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// We shall.
    Ours,
    /// The peer has; whether it is read before it is accepted.
    Peers { id: StreamId, may_read: bool },
}

/// What follows the last byte.
#[derive(Clone, Debug)]
pub(crate) enum ReadEnd {
    Finished,
    Failed(Error),
}

impl StreamState {
    /// Nothing more will come or go.
    pub(crate) fn fail(&mut self, error: &Error) {
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
}

impl SharedStream {
    pub(crate) fn new(
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
        Arc::new(Self { connection, direction, is_ours, state })
    }

    pub(crate) fn sends(&self) -> bool {
        self.is_ours || self.direction == Direction::Bidirectional
    }

    pub(crate) fn receives(&self) -> bool {
        !self.is_ours || self.direction == Direction::Bidirectional
    }

    /// Waits until it is open.
    pub(crate) fn wait_open(&self) -> Result<()> {
        let wait = self.state.with(|state| state.patience.for_writing());
        self.state.wait(wait, |state| match (&state.id, &state.write_end) {
            (Some(_), _) => Some(Ok(())),
            (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => None,
        })
    }

    /// Takes what has come, at least a byte; 0 at the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        if !self.receives() {
            return Err(Error::WrongDirection);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let wait = self.state.with(|state| state.patience.for_reading());
        let (len, order) = self.state.wait(wait, |state| {
            if state.received.is_empty() {
                return match state.read_end.clone()? {
                    ReadEnd::Finished => Some(Ok((0, false))),
                    ReadEnd::Failed(error) => Some(Err(error)),
                };
            }
            let mut len = 0;
            // The queue's two halves, one after the other.
            while len < buffer.len() && !state.received.is_empty() {
                let read = state.received.read(&mut buffer[len..]);
                len += read.expect("a queue of bytes can always be read");
            }
            let order = state.is_starved && state.received.len() <= MAX_RECEIVED / 2;
            Some(Ok((len, order && state.order())))
        })?;
        if order {
            self.tell();
        }
        Ok(len)
    }

    /// Adds what there is room for, at least a byte.
    pub(crate) fn write(&self, data: &[u8]) -> Result<usize> {
        if !self.sends() {
            return Err(Error::WrongDirection);
        }
        let wait = self.state.with(|state| state.patience.for_writing());
        let (len, order) = self.state.wait(wait, |state| {
            if let Some(error) = &state.write_end {
                return Some(Err(error.clone()));
            }
            let len = data.len().min(MAX_UNSENT - state.unsent.len().min(MAX_UNSENT));
            if len == 0 && !data.is_empty() {
                return None;
            }
            state.unsent.extend_from_slice(&data[..len]);
            Some(Ok((len, len > 0 && state.order())))
        })?;
        if order {
            self.tell();
        }
        Ok(len)
    }

    /// Waits until the peer has everything that was written, and the end.
    pub(crate) fn wait_delivered(&self) -> Result<()> {
        let wait = self.state.with(|state| state.patience.for_writing());
        self.state.wait(wait, |state| match &state.write_end {
            _ if state.is_delivered => Some(Ok(())),
            Some(Error::Finished) if state.finish => None,
            Some(error) => Some(Err(error.clone())),
            None => Some(Err(Error::Unsuitable("a stream that is not finished has no end"))),
        })
    }

    /// No more will be written.
    pub(crate) fn finish(&self) -> Result<()> {
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
    pub(crate) fn reset(&self, code: ApplicationError) -> Result<()> {
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
    pub(crate) fn stop(&self, code: ApplicationError) -> Result<()> {
        if !self.receives() {
            return Err(Error::WrongDirection);
        }
        self.ask(|state| {
            state.received = VecDeque::new();
            if state.read_end.is_none() {
                state.stop = Some(code);
            }
            state.read_end = Some(ReadEnd::Finished);
            Ok(())
        })
    }

    /// The owner is gone: what was written is still delivered, nothing more is read.
    pub(crate) fn close(&self) {
        if self.sends() {
            let _ = self.finish(); // an error: it has ended otherwise
        }
        if self.receives() {
            let _ = self.stop(ApplicationError(0));
        }
    }

    /// Somebody has taken it from the queue.
    pub(crate) fn on_accepted(&self) {
        let was_unread = |state: &mut StreamState| !std::mem::replace(&mut state.may_read, true);
        if self.state.with(|state| was_unread(state) && state.order()) {
            self.tell();
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.state.with(|state| {
            let is_open = state.id.is_some();
            let failed = state.write_end.as_ref().is_some_and(|error| *error != Error::Finished);
            Readiness {
                readable: self.receives()
                    && (!state.received.is_empty() || state.read_end.is_some()),
                writable: self.sends()
                    && (state.write_end.is_some() || is_open && state.unsent.len() < MAX_UNSENT),
                datagram: false,
                closed: failed || matches!(state.read_end, Some(ReadEnd::Failed(_))),
            }
        })
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
pub(crate) const MAX_RECEIVED: usize = 256 * 1024;
/// How much may be written ahead of the transport, in bytes.
pub(crate) const MAX_UNSENT: usize = 256 * 1024;
