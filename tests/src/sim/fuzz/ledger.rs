//! [`Ledger`]: what became of one client's connection, written by both ends' sessions, which in a
//! simulation may share memory. This file must not know how it came about.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use protoquic::{CloseReason, Time};

use super::account::SharedAccount;
use super::web_ledger::WebLedger;

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
    /// Numbers of those that the server sent back and that came.
    pub datagrams_returned: BTreeSet<u64>,
    /// When all that was planned had been done, as the client sees it.
    pub done: Option<Time>,
    /// Whether the server has seen the client on another path.
    pub moved: bool,
    /// When something was last read by either end.
    pub progress: Option<Time>,
    /// The longest time that passed from one such time to the next.
    pub longest_pause: Duration,
    /// What each end's observer has counted, the client's first; the server's once it is known whose
    /// connection it is.
    pub accounts: [Option<SharedAccount>; 2],
    /// What became of requests, on an HTTP/3 connection.
    pub web: WebLedger,
}

impl Ledger {
    /// Whether all that was planned was done before the client's connection ended.
    pub(super) fn is_done(&self) -> bool {
        let ended = self.closed[0].as_ref().map(|(at, _)| *at);
        self.done.is_some_and(|done| ended.is_none_or(|ended| done < ended))
    }

    /// Something was read.
    pub(super) fn note_progress(&mut self, now: Time, bytes: usize) {
        self.delivered += bytes as u64;
        let before = self.progress.replace(now).unwrap_or(now);
        self.longest_pause = self.longest_pause.max(now.saturating_since(before));
    }

    /// RFC 9000 §13.1, both ways.
    pub(super) fn check_acks(&self) {
        if let [Some(client), Some(server)] = &self.accounts {
            client.borrow().check_acks(&server.borrow());
            server.borrow().check_acks(&client.borrow());
        }
    }

    pub(super) fn note(&mut self, flow: Flow) {
        match flow {
            Flow::Whole => self.whole += 1,
            Flow::Cut => self.cut += 1,
        }
    }
}

pub(super) type Shared = Rc<RefCell<Ledger>>;
