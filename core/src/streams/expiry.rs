//! Deadlines of streams, for live data: what is late is not worth sending, be it for the first time
//! or again. This file must not know what the time is, nor how a stream is reset.

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
    /// The time has come, and all was in flight then: the stream is reset if some of it is lost.
    passed: bool,
}

/// The deadlines of all streams that are still to come; no more than there are live streams.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Time, StreamId)>);

impl Streams {
    /// Gives a stream a deadline, or takes it away. From then on nothing of it is sent: if it was
    /// not all sent, up to its end, or if some of it turns out to be lost later, then the whole
    /// sending part is reset with `code`, and a
    /// [`StreamEvent::Expired`](super::StreamEvent::Expired) tells.
    pub fn set_deadline(
        &mut self,
        id: StreamId,
        deadline: Option<Time>,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        let key = self.sending_stream(id)?;
        self.drop_deadline(key);
        if let Some(at) = deadline {
            self.table.slab[key].expiry = Some(Box::new(Expiry { at, code, passed: false }));
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
                && let Some(expiry) = &mut self.table.slab[key].expiry
            {
                expiry.passed = true;
                self.drop_late(key);
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

    /// Resets the stream if its deadline has passed and there is something left to send. Called also
    /// when some of it is lost.
    pub(super) fn drop_late(&mut self, key: usize) {
        let stream = &self.table.slab[key];
        let Some(expiry) = stream.expiry.as_deref().copied().filter(|expiry| expiry.passed) else {
            return;
        };
        let (id, part) = (stream.id, self.send_part(key));
        if part.state.carries_data() && !part.has_sent_all() && self.reset(id, expiry.code).is_ok()
        {
            self.wake(key, Wake::Expired);
        }
    }
}
