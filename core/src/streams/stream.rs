//! [`Stream`]: one live stream as an entry of the table: its sending part, its receiving part, each
//! made on first use, and its places in the queues. What the parts do is in `send_part` and
//! `recv_part`.

use super::events::Pending;
use super::expiry::Expiry;
use super::list::{Link, Linked, Links};
use super::recv_part::RecvPart;
use super::scheduler::{Place, Priority, TURN};
use super::send_part::SendPart;
use crate::types::{Role, StreamId};

/// A live stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// The parts are boxed: most streams that stay open for long have only one.
    pub(super) send: Option<Box<SendPart>>,
    pub(super) recv: Option<Box<RecvPart>>,
    pub(super) events: Pending,
    pub(super) controls: Controls,
    pub(super) place: Option<Place>,
    pub(super) priority: Priority,
    pub(super) expiry: Option<Box<Expiry>>,
    /// Bytes left of its turn.
    pub(super) turn: i64,
    links: Links,
}

impl Stream {
    /// A stream of which nothing was used.
    pub(super) const fn new(id: StreamId) -> Self {
        Self {
            id,
            send: None,
            recv: None,
            events: Pending::NONE,
            controls: Controls(0),
            place: None,
            priority: Priority::MIDDLE,
            expiry: None,
            turn: TURN,
            links: [Link::LOOSE; 6],
        }
    }

    /// Whether it is in any list.
    pub(super) fn is_queued(&self) -> bool {
        self.links.iter().any(|link| !link.is_loose())
    }

    /// Whether neither part can do anything any more.
    pub(super) fn is_closed(&self, role: Role) -> bool {
        let sent =
            !self.id.sends(role) || self.send.as_ref().is_some_and(|part| part.state.is_terminal());
        let received = !self.id.receives(role)
            || self.recv.as_ref().is_some_and(|part| part.state.is_terminal());
        sent && received
    }
}

impl Linked for Stream {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The control frames that wait to be sent for one stream: a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Controls(u8);

impl Controls {
    pub(super) const RESET: Self = Self(1);
    pub(super) const STOP: Self = Self(2);
    pub(super) const MAX_DATA: Self = Self(4);
    pub(super) const BLOCKED: Self = Self(8);
    /// The order in which they are sent.
    pub(super) const ALL: [Self; 4] = [Self::RESET, Self::STOP, Self::MAX_DATA, Self::BLOCKED];

    pub(super) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn take_away(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
