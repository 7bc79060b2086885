//! Deadlines of streams, for live data: what was not sent in time is not worth sending. This file
//! must not know what the time is, nor how a stream is reset.

use std::collections::BTreeSet;

use super::Streams;
use super::events::Wake;
use crate::error::{ApplicationError, StreamError};
use crate::time::Time;
use crate::types::StreamId;

/// When a stream is too late, and with which code it is then reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    at: Time,
    code: ApplicationError,
}

/// The deadlines of all streams; no more than there are live streams.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Time, StreamId)>);

impl Streams {
    /// Gives a stream a deadline, or takes it away. If not everything up to its end was sent by
    /// then, the stream is reset with `code`: what was sent is still delivered if the peer takes
    /// RESET_STREAM_AT, the rest is dropped; a [`StreamEvent::Expired`](super::StreamEvent::Expired)
    /// tells.
    pub fn set_deadline(
        &mut self,
        id: StreamId,
        deadline: Option<Time>,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        let key = self.sending_stream(id)?;
        self.drop_deadline(key);
        if let Some(at) = deadline {
            self.table.slab[key].expiry = Some(Box::new(Expiry { at, code }));
            self.expiries.0.insert((at, id));
        }
        Ok(())
    }

    /// When the next stream is too late.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.closed { None } else { self.expiries.0.first().map(|(at, _)| *at) }
    }

    /// Resets streams that are too late.
    pub fn expire(&mut self, now: Time) {
        while let Some(&(at, id)) = self.expiries.0.first()
            && at <= now
        {
            self.expiries.0.pop_first();
            if let Some(key) = self.table.find(id)
                && let Some(expiry) = self.table.slab[key].expiry.take()
            {
                self.give_up(key, id, expiry.code);
            }
        }
    }

    /// Forgets the deadline of a stream.
    pub(super) fn drop_deadline(&mut self, key: usize) {
        let stream = &mut self.table.slab[key];
        if let Some(expiry) = stream.expiry.take() {
            self.expiries.0.remove(&(expiry.at, stream.id));
        }
    }

    fn give_up(&mut self, key: usize, id: StreamId, code: ApplicationError) {
        let part = self.send_part(key);
        if part.has_sent_all() || !part.state.carries_data() {
            return;
        }
        let sent = part.buffer.sent();
        // An error: it has ended otherwise meanwhile.
        let done = match self.reset_at(id, code, sent) {
            Err(StreamError::NotSupported) => self.reset(id, code),
            done => done,
        };
        if done.is_ok() {
            self.wake(key, Wake::Expired);
        }
    }
}
