//! [`Crowd`]: many connections of one process on one socket. It must not know what they do.

use std::net::SocketAddr;
use std::time::Duration;

use protoquic::dispatcher::{ClientPool, Ended};
use protoquic::readers::{EventLoop, SocketOptions};
use protoquic::{Session, SessionContext, SessionHost, Time};

use crate::ending::one_ended_early;
use crate::endpoint::{self, ClientOptions};

/// A pool with its event loop.
pub(super) struct Crowd<'a, S: Session> {
    options: &'a ClientOptions,
    pub(super) event_loop: EventLoop,
    pub(super) pool: ClientPool<S>,
    local: SocketAddr,
}

impl<'a, S: Session> Crowd<'a, S> {
    pub(super) fn open(options: &'a ClientOptions) -> Result<Self, String> {
        Self::open_with(options, &SocketOptions::default())
    }

    /// For so many connections that all receive much at the same time. Clients elsewhere have a socket
    /// each: what these share holds two batches for each of them, what a server sends in a turn that
    /// comes late.
    pub(super) fn open_for_bulk(
        options: &'a ClientOptions,
        connections: usize,
    ) -> Result<Self, String> {
        let socket = SocketOptions::default();
        let share = connections.saturating_mul(2 * MAX_BATCH).min(MAX_RECEIVE_BUFFER);
        let receive_buffer = socket.receive_buffer.max(share);
        Self::open_with(options, &SocketOptions { receive_buffer, ..socket })
    }

    fn open_with(options: &'a ClientOptions, socket: &SocketOptions) -> Result<Self, String> {
        let from = protoquic::readers::connectable_from(options.address);
        let (mut event_loop, writer, local) = endpoint::open_with(from, socket)?;
        event_loop.set_busy_poll(options.busy_poll);
        let pool = ClientPool::new(writer, options.config.client_connection_id_length);
        Ok(Self { options, event_loop, pool, local })
    }

    pub(super) fn connect(&mut self, make: impl FnOnce(Time) -> S) -> Result<(), String> {
        let now = self.event_loop.now();
        let connection = self.options.connection(now, self.local)?;
        self.pool.add(SessionHost::new(connection, make(now)));
        Ok(())
    }

    /// Makes so many connections, until all have completed their handshakes.
    pub(super) fn assemble(
        &mut self,
        connections: usize,
        mut make: impl FnMut(Time) -> S,
        is_connected: impl Fn(&S) -> bool,
    ) -> Result<(), String> {
        loop {
            let connected = self.pool.sessions().filter(|session| is_connected(session)).count();
            if connected == connections {
                return Ok(());
            }
            // More at a time would only overflow the server's socket.
            for _ in self.pool.len()..connections.min(connected + AT_A_TIME) {
                self.connect(&mut make)?;
            }
            self.turn()?;
            if let Some(Ended { reason, .. }) = self.pool.take_ended().pop() {
                return Err(one_ended_early(&reason));
            }
        }
    }

    /// Has all of them begin, and waits until all have ended.
    pub(super) fn run(
        &mut self,
        begin: impl FnMut(&mut S, &mut SessionContext<'_, S>),
    ) -> Result<Vec<Ended<S>>, String> {
        let now = self.event_loop.now();
        self.pool.enter_all(now, begin);
        let mut ended = Vec::new();
        while !self.pool.is_empty() {
            self.turn()?;
            ended.append(&mut self.pool.take_ended());
        }
        Ok(ended)
    }

    pub(super) fn turn(&mut self) -> Result<(), String> {
        let wait = Some(Duration::from_millis(100));
        let turned = self.event_loop.run_once(&mut self.pool, wait);
        turned.map_err(|error| format!("the socket failed: {error}"))
    }
}

/// How many connections are being made at the same time.
pub(super) const AT_A_TIME: usize = 64;
/// A batch of datagrams has at most so many bytes.
const MAX_BATCH: usize = 64 << 10;
/// What the kernel is asked to hold at most.
const MAX_RECEIVE_BUFFER: usize = 128 << 20;
