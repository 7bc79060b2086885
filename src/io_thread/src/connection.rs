//! [`SharedConnection`]: what an application and the I/O thread know of a connection: its phase, the
//! streams that wait to be accepted, datagrams, and the orders that the application leaves.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ApplicationError, ConnectionStats, DatagramError, Direction, StreamId};

use crate::port::Port;
use crate::stream::{Origin, SharedStream};
use crate::wait::{News, Patience, Waiter, Watched};
use crate::{Error, Result};

/// One connection.
#[derive(Debug)]
pub struct SharedConnection {
    /// Names it on its port.
    pub number: u64,
    /// Where it lives.
    pub port: Arc<Port>,
    /// How long its streams are delivered after it was closed.
    pub linger: Duration,
    /// What changes.
    pub state: Watched<ConnectionState>,
}

/// What changes about a connection.
#[derive(Debug)]
pub struct ConnectionState {
    /// How long calls of threads wait.
    pub patience: Patience,
    /// How far it has come.
    pub phase: Phase,
    /// What became of early data.
    pub early: EarlyOutcome,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The application protocol that was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The peer's streams that nobody has accepted yet: bidirectional ones, and unidirectional
    /// ones, with the order in which all of them came.
    pub incoming: [VecDeque<(u64, Arc<SharedStream>)>; 2],
    /// How many streams the peer has opened.
    pub arrivals: u64,
    /// Streams that were opened for somebody who had gone, for the next who opens one.
    pub kept: [Vec<Arc<SharedStream>>; 2],
    /// Datagrams that nobody has taken yet.
    pub datagrams: VecDeque<Bytes>,
    /// The largest datagram that can be sent now, in bytes.
    pub max_datagram: Option<usize>,
    /// Its statistics, and how many times they were looked up.
    pub stats: (u64, ConnectionStats),
    /// It was told to end, and whether at once.
    pub is_to_end: Option<bool>,
    /// What the application wants of the I/O thread.
    pub orders: Vec<Order>,
    /// How many datagrams are among them.
    pub waiting_datagrams: usize,
    /// The I/O thread has been told that there are orders, and has not yet looked.
    pub is_woken: bool,
}

/// How far a connection has come.
#[derive(Clone, Debug)]
pub enum Phase {
    /// The handshake is going on.
    Connecting,
    /// Likewise, and early data can be sent, or has come.
    Early,
    /// The handshake is complete.
    Established,
    /// It has ended.
    Over(Error),
}

/// What became of early data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyOutcome {
    /// There is none.
    #[default]
    None,
    /// The server has not said.
    Undecided,
    /// The server has taken it.
    Accepted,
    /// The server has not taken it; it was sent again after the handshake.
    Rejected,
}

/// What an application wants of the I/O thread.
#[derive(Debug)]
pub enum Order {
    /// A stream is to be opened.
    Open(Arc<SharedStream>),
    /// Something of this stream has changed.
    Look(StreamId),
    /// A datagram is to be sent.
    Datagram(Bytes),
    /// The statistics are asked for.
    Stats,
    /// The connection is to end.
    Close {
        /// What the peer is told.
        code: ApplicationError,
        /// In words.
        reason: String,
        /// Whether what was written to its streams is not delivered first.
        at_once: bool,
    },
}

/// Where things of a direction are kept.
pub(crate) const fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Bidirectional => 0,
        Direction::Unidirectional => 1,
    }
}

impl ConnectionState {
    /// Why it is over.
    fn end<R>(&self) -> Option<Result<R>> {
        match &self.phase {
            Phase::Over(error) => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// The next stream to be accepted, of this direction or of either.
    fn next_incoming(&mut self, direction: Option<Direction>) -> Option<Arc<SharedStream>> {
        let number = |at: usize| self.incoming[at].front().map_or(u64::MAX, |(number, _)| *number);
        let at = match direction {
            Some(direction) => slot(direction),
            None => usize::from(number(1) < number(0)),
        };
        self.incoming[at].pop_front().map(|(_, stream)| stream)
    }

    /// Whether any stream waits to be accepted.
    pub fn has_incoming(&self) -> bool {
        self.incoming.iter().any(|queue| !queue.is_empty())
    }
}

impl SharedConnection {
    /// A connection that is being made.
    pub fn new(
        number: u64,
        port: Arc<Port>,
        peer: SocketAddr,
        linger: Duration,
        patience: Patience,
    ) -> Arc<Self> {
        let state = ConnectionState {
            patience,
            phase: Phase::Connecting,
            early: EarlyOutcome::None,
            peer,
            alpn: None,
            incoming: Default::default(),
            arrivals: 0,
            kept: Default::default(),
            datagrams: VecDeque::new(),
            max_datagram: None,
            stats: Default::default(),
            is_to_end: None,
            orders: Vec::new(),
            waiting_datagrams: 0,
            is_woken: false,
        };
        Arc::new(Self { number, port, linger, state: Watched::new(state) })
    }

    /// Leaves an order.
    pub fn order(&self, order: Order) {
        let wake = self.state.with(|state| {
            if matches!(state.phase, Phase::Over(_)) {
                return false; // nobody is there to obey
            }
            state.orders.push(order);
            !std::mem::replace(&mut state.is_woken, true)
        });
        if wake {
            self.port.wake_connection(self.number);
        }
    }

    /// Waits until it is established.
    pub fn wait_established(&self, waiter: impl Waiter) -> Poll<Result<()>> {
        waiter.until(&self.state, News::OUT, |state| match &state.phase {
            Phase::Connecting | Phase::Early => None,
            Phase::Established => Some(Ok(())),
            Phase::Over(error) => Some(Err(error.clone())),
        })
    }

    /// Waits until early data can be sent, or until it is established.
    pub fn wait_early(&self, waiter: impl Waiter) -> Poll<Result<()>> {
        waiter.until(&self.state, News::OUT, |state| match &state.phase {
            Phase::Connecting => None,
            Phase::Early | Phase::Established => Some(Ok(())),
            Phase::Over(error) => Some(Err(error.clone())),
        })
    }

    /// Begins to open a stream.
    pub fn open(
        self: &Arc<Self>,
        direction: Direction,
        patience: Patience,
    ) -> Result<Arc<SharedStream>> {
        let kept = self.state.with(|state| match state.end() {
            Some(end) => end,
            None => Ok(state.kept[slot(direction)].pop()),
        });
        if let Some(stream) = kept? {
            return Ok(stream);
        }
        let stream = SharedStream::new(Arc::clone(self), direction, patience, Origin::Ours);
        self.order(Order::Open(Arc::clone(&stream)));
        // The connection may have ended between the look and the order.
        if let Some(Err(error)) = self.state.with(|state| state.end::<()>()) {
            stream.state.change(|state| state.fail(&error));
        }
        Ok(stream)
    }

    /// Keeps a stream that was opened in vain for the next who opens one. The stream is dropped if
    /// the connection is over.
    pub(crate) fn keep(&self, stream: Arc<SharedStream>) {
        self.state.with(|state| {
            if state.end::<()>().is_none() {
                state.kept[slot(stream.direction)].push(stream);
            }
        });
    }

    /// Takes the next stream that the peer has opened, of this direction or of either.
    pub fn accept(
        &self,
        waiter: impl Waiter,
        direction: Option<Direction>,
    ) -> Poll<Result<Arc<SharedStream>>> {
        let stream =
            waiter.until(&self.state, News::IN, |state| match state.next_incoming(direction) {
                Some(stream) => Some(Ok(stream)),
                None => state.end(),
            });
        stream.map_ok(|stream| {
            stream.on_accepted();
            stream
        })
    }

    /// One of the peer's streams was reset and is over, which makes room for another: nobody shall have
    /// to accept it, or the peer could make the queue as long as it likes.
    pub(crate) fn withdraw(&self, stream: &Arc<SharedStream>) {
        let is_another = |(_, other): &(u64, Arc<SharedStream>)| !Arc::ptr_eq(other, stream);
        self.state.with(|state| state.incoming[slot(stream.direction)].retain(is_another));
    }

    /// Sends a datagram once there is room in the queue.
    pub fn send_datagram(&self, waiter: impl Waiter, data: &Bytes) -> Poll<Result<()>> {
        let sent = waiter.until(&self.state, News::OUT, |state| {
            match (&state.phase, state.max_datagram) {
                (Phase::Over(error), _) => return Some(Err(error.clone())),
                (Phase::Connecting | Phase::Early, None) => return None,
                (_, Some(max)) if data.len() <= max => {}
                (_, Some(max)) => {
                    return Some(Err(Error::Datagram(DatagramError::TooLarge(max))));
                }
                (Phase::Established, None) => {
                    return Some(Err(Error::Datagram(DatagramError::NotSupported)));
                }
            }
            if state.waiting_datagrams >= MAX_DATAGRAMS {
                return None;
            }
            state.waiting_datagrams += 1;
            state.orders.push(Order::Datagram(data.clone()));
            Some(Ok(!std::mem::replace(&mut state.is_woken, true)))
        });
        sent.map_ok(|wake| {
            if wake {
                self.port.wake_connection(self.number);
            }
        })
    }

    /// Takes the next datagram that has come.
    pub fn receive_datagram(&self, waiter: impl Waiter) -> Poll<Result<Bytes>> {
        waiter.until(&self.state, News::IN, |state| match state.datagrams.pop_front() {
            Some(data) => Some(Ok(data)),
            None => state.end(),
        })
    }

    /// Ends it: at once, or when what was written to its streams is delivered.
    pub fn close(&self, code: ApplicationError, reason: &str, at_once: bool) {
        let is_news = self.state.with(|state| {
            let is_news = state.is_to_end.is_none_or(|was_at_once| at_once && !was_at_once);
            state.is_to_end = state.is_to_end.max(Some(at_once));
            is_news
        });
        if is_news {
            self.order(Order::Close { code, reason: reason.to_owned(), at_once });
        }
    }

    /// Waits until it is over.
    pub fn wait_closed(&self, waiter: impl Waiter) -> Poll<Result<Error>> {
        waiter.until(&self.state, News::ALL, |state| state.end::<()>()?.err().map(Ok))
    }

    /// Asks for the statistics. The answer has a higher number than this.
    pub fn ask_stats(&self) -> u64 {
        let number = self.state.with(|state| state.stats.0);
        self.order(Order::Stats);
        number
    }

    /// Waits for statistics of a higher number than this. Those of a connection that is over are the
    /// last that were looked up.
    pub fn wait_stats(&self, waiter: impl Waiter, number: u64) -> Poll<Result<ConnectionStats>> {
        waiter.until(&self.state, News::OUT, |state| {
            let is_there = state.stats.0 > number || matches!(state.phase, Phase::Over(_));
            is_there.then_some(Ok(state.stats.1))
        })
    }
}

/// How many datagrams wait in each direction. Of those that come, the oldest are dropped first; who
/// sends waits.
pub(crate) const MAX_DATAGRAMS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port;

    #[test]
    fn orders_that_say_nothing_new_are_not_left() {
        let here = "127.0.0.1:0".parse().unwrap();
        let (port, thread) = port::start("test", port::open_socket(here).unwrap(), drop).unwrap();
        thread.join().unwrap(); // nobody obeys
        let patience = Patience::default();
        let connection = SharedConnection::new(1, port, here, Duration::ZERO, patience);
        let orders = || connection.state.with(|state| state.orders.len());
        for _ in 0..100 {
            connection.close(ApplicationError(0), "", false);
        }
        assert_eq!(orders(), 1);
        for at_once in [true, false, true] {
            connection.close(ApplicationError(0), "", at_once);
        }
        assert_eq!(orders(), 2);
    }
}
