//! [`SharedListener`]: what threads and the I/O thread know of a listener: the connections that wait
//! to be accepted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::connection::SharedConnection;
use crate::poll::Readiness;
use crate::port::Port;
use crate::wait::{Patience, Watched};
use crate::{Error, Result};

/// One listener.
#[derive(Debug)]
pub(crate) struct SharedListener {
    pub(crate) port: Arc<Port>,
    pub(crate) address: SocketAddr,
    /// How many connections may wait to be accepted; clients beyond that are refused.
    pub(crate) backlog: usize,
    pub(crate) state: Watched<ListenerState>,
}

#[derive(Debug, Default)]
pub(crate) struct ListenerState {
    pub(crate) patience: Patience,
    /// Connections whose handshake is complete and that nobody has accepted yet.
    pub(crate) pending: VecDeque<Arc<SharedConnection>>,
    /// Connections whose handshake is going on.
    pub(crate) handshaking: usize,
    /// Why there will be no more.
    pub(crate) end: Option<Error>,
}

impl SharedListener {
    /// Takes the next connection.
    pub(crate) fn accept(&self) -> Result<Arc<SharedConnection>> {
        let wait = self.state.with(|state| state.patience.for_reading());
        self.state.wait(wait, |state| match state.pending.pop_front() {
            Some(connection) => Some(Ok(connection)),
            None => state.end.clone().map(Err),
        })
    }

    /// Whether another client may begin.
    pub(crate) fn has_room(&self) -> bool {
        self.state.with(|state| {
            state.end.is_none() && state.pending.len() + state.handshaking < self.backlog
        })
    }

    /// No more will be accepted.
    pub(crate) fn close(&self, why: Error) {
        let left = self.state.change(|state| {
            state.end.get_or_insert(why);
            std::mem::take(&mut state.pending)
        });
        for connection in left {
            connection.close(protoquic_core::ApplicationError(0), "nobody accepts it", true);
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.state.with(|state| {
            let closed = state.end.is_some();
            let readable = closed || !state.pending.is_empty();
            Readiness { readable, writable: false, datagram: false, closed }
        })
    }
}
