//! [`SharedListener`]: what an application and the I/O thread know of a listener: the connections that
//! wait to be accepted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use protoquic_core::ApplicationError;

use crate::connection::SharedConnection;
use crate::port::Port;
use crate::wait::{News, Patience, Waiter, Watched};
use crate::{Error, Result};

/// One listener.
#[derive(Debug)]
pub struct SharedListener {
    /// Where it lives.
    pub port: Arc<Port>,
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections may wait to be accepted; clients beyond that are refused.
    pub backlog: usize,
    /// What changes.
    pub state: Watched<ListenerState>,
}

/// What changes about a listener.
#[derive(Debug, Default)]
pub struct ListenerState {
    /// How long calls of threads wait.
    pub patience: Patience,
    /// Connections that can be used and that nobody has accepted yet.
    pub pending: VecDeque<Arc<SharedConnection>>,
    /// Connections whose handshake is going on.
    pub handshaking: usize,
    /// Why there will be no more.
    pub end: Option<Error>,
}

impl SharedListener {
    /// Takes the next connection.
    pub fn accept(&self, waiter: impl Waiter) -> Poll<Result<Arc<SharedConnection>>> {
        waiter.until(&self.state, News::IN, |state| match state.pending.pop_front() {
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

    /// Has somebody accept this connection, if anybody still does.
    pub(crate) fn offer(&self, connection: Arc<SharedConnection>) -> bool {
        self.state.change(|state| {
            state.handshaking -= 1;
            if state.end.is_none() {
                state.pending.push_back(connection);
            }
            state.end.is_none()
        })
    }

    /// No more will be accepted.
    pub fn close(&self, why: Error) {
        let left = self.state.change(|state| {
            state.end.get_or_insert(why);
            std::mem::take(&mut state.pending)
        });
        for connection in left {
            connection.close(ApplicationError(0), "nobody accepts it", true);
        }
    }
}
