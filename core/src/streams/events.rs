//! [`StreamEvent`]: what the application is told about its streams. [`Pending`] is the set of events
//! that wait on one stream: a bit each, so that a peer cannot make a queue of them.

use crate::error::ApplicationError;
use crate::types::{Direction, StreamId};

/// Something happened to a stream. Events of one stream come in the order in which they are listed
/// here; `Opened` comes before all others of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer opened this stream. Streams of a kind are reported in order, including those opened
    /// only by implication (RFC 9000 §3.2).
    Opened(StreamId),
    /// More streams can be opened, after `open` found the limit reached.
    CanOpen(Direction),
    /// The peer reset its sending part (RFC 9000 §3.2). Unread data is gone.
    Reset {
        /// The stream.
        id: StreamId,
        /// Why, in the application's terms.
        code: ApplicationError,
    },
    /// The peer asked us to stop sending (RFC 9000 §3.5). Our sending part is already reset with the
    /// same code.
    StopSending {
        /// The stream.
        id: StreamId,
        /// Why, in the application's terms.
        code: ApplicationError,
    },
    /// Our sending part was reset: its deadline has passed, and something was left to send.
    Expired(StreamId),
    /// There is something to read, or the end. Read until nothing comes: the event is not repeated
    /// for data that was left.
    Readable(StreamId),
    /// At least half of the send buffer is free, after `write` did not take everything.
    Writable(StreamId),
    /// The peer has acknowledged all data and FIN.
    SendComplete(StreamId),
    /// Both parts are done. The stream is forgotten as this event is handed out, and the peer may
    /// open another one in its place.
    Closed(StreamId),
}

/// One kind of event that waits on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wake {
    Reset,
    StopSending,
    Expired,
    Readable,
    Writable,
    SendComplete,
    Closed,
}

/// The events that wait on one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending(u8);

impl Pending {
    /// No event.
    pub(super) const NONE: Self = Self(0);

    /// Adds an event; adding it twice is adding it once.
    pub(super) const fn add(&mut self, wake: Wake) {
        self.0 |= 1 << wake as u8;
    }

    /// Takes an event back.
    pub(super) const fn cancel(&mut self, wake: Wake) {
        self.0 &= !(1 << wake as u8);
    }

    /// Whether none waits.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes the first.
    pub(super) fn take(&mut self) -> Option<Wake> {
        let first = *ORDER.get(self.0.trailing_zeros() as usize)?;
        self.cancel(first);
        Some(first)
    }
}

/// The order in which events of one stream are told, which is that of their bits.
const ORDER: [Wake; 7] = [
    Wake::Reset,
    Wake::StopSending,
    Wake::Expired,
    Wake::Readable,
    Wake::Writable,
    Wake::SendComplete,
    Wake::Closed,
];
