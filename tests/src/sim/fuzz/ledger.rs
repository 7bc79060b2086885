//! [`Ledger`]: what became of one client's connection, written by both ends' sessions, which in a
//! simulation may share memory. This file must not know how it came about.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use protoquic::{CloseReason, Time};

/// What one end read of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// All of it, to its end.
    Whole,
    /// It was reset, as planned or because the reader wanted no more.
    Cut,
}

/// What became of a connection.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Bytes that were read and right.
    pub delivered: u64,
    /// Flows that were read whole.
    pub whole: u64,
    /// Flows that were cut.
    pub cut: u64,
    /// When the client's handshake was complete.
    pub complete: Option<Time>,
    /// When it was confirmed.
    pub confirmed: Option<Time>,
    /// When each end's session was told of the end, the client's first, and why.
    pub closed: [Option<(Time, CloseReason)>; 2],
    /// Datagrams that the client sent.
    pub datagrams_sent: u64,
    /// Numbers of those that came.
    pub datagrams_received: BTreeSet<u64>,
    /// Whether all that was planned has been done, as the client sees it.
    pub done: bool,
}

impl Ledger {
    pub(super) fn note(&mut self, flow: Flow) {
        match flow {
            Flow::Whole => self.whole += 1,
            Flow::Cut => self.cut += 1,
        }
    }
}

pub(super) type Shared = Rc<RefCell<Ledger>>;
