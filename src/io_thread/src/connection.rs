//! [`SharedConnection`]: what an application and the I/O thread know of a connection: its phase, the
//! streams that wait to be accepted, datagrams, and the orders that the application leaves.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ApplicationError, ConnectionStats, DatagramError, Direction, StreamId};

use crate::openings::Openings;
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
    /// Streams that wait to be opened: bidirectional ones, and unidirectional ones.
    pub openings: [Openings; 2],
    /// Datagrams that nobody has taken yet.
    pub datagrams: VecDeque<Bytes>,
    /// The largest datagram that can be sent now, in bytes.
    pub max_datagram: Option<usize>,
    /// Its statistics, and how many times they were looked up.
    pub stats: (u64, ConnectionStats),
    /// The statistics are asked for.
    pub wants_stats: bool,
    /// It was told to end, and whether at once.
    pub is_to_end: Option<bool>,
    /// What else the application wants of the I/O thread.
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
    /// Something of this stream has changed.
    Look(StreamId),
    /// A datagram is to be sent.
    Datagram(Bytes),
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
            openings: Default::default(),
            datagrams: VecDeque::new(),
            max_datagram: None,
            stats: Default::default(),
            wants_stats: false,
            is_to_end: None,
            orders: Vec::new(),
            waiting_datagrams: 0,
            is_woken: false,
        };
        Arc::new(Self { number, port, linger, state: Watched::new(state) })
    }

    /// Leaves an order.
    pub fn order(&self, order: Order) {
        let _ = self.leave(|state| state.orders.push(order)); // fails if nobody is there to obey
    }

    /// Changes what the I/O thread is to find when it looks next, and has it look. Fails if the
    /// connection is over.
    pub(crate) fn leave<R>(&self, f: impl FnOnce(&mut ConnectionState) -> R) -> Result<()> {
        let is_asleep = self.state.with(|state| {
            if let Some(end) = state.end() {
                return end;
            }
            f(state);
            Ok(!std::mem::replace(&mut state.is_woken, true))
        });
        if is_asleep? {
            self.port.wake_connection(self.number);
        }
        Ok(())
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
        let stream = SharedStream::new(Arc::clone(self), direction, patience, Origin::Ours);
        self.leave(|state| state.openings[slot(direction)].push(Arc::clone(&stream)))?;
        Ok(stream)
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

    /// It is over: nobody obeys any more, and nobody who waits to open a stream will get one.
    pub(crate) fn end(&self, error: &Error) {
        let unopened = self.state.change(|state| {
            state.phase = Phase::Over(error.clone());
            state.orders = Vec::new();
            state.openings.each_mut().map(Openings::take_all)
        });
        for stream in unopened.into_iter().flatten() {
            stream.state.change(|state| state.fail(error));
        }
    }

    /// Waits until it is over.
    pub fn wait_closed(&self, waiter: impl Waiter) -> Poll<Result<Error>> {
        waiter.until(&self.state, News::ALL, |state| state.end::<()>()?.err().map(Ok))
    }

    /// Asks for the statistics. The answer has a higher number than this.
    pub fn ask_stats(&self) -> u64 {
        let number = self.state.with(|state| state.stats.0);
        let _ = self.leave(|state| state.wants_stats = true); // fails if there will be no others
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
pub(crate) mod tests {
    use super::*;
    use crate::port::open_socket;
    use crate::wait::{Wait, finished};

    /// A connection whose I/O thread looks no more.
    pub(crate) fn unheard() -> Arc<SharedConnection> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (port, thread) = crate::port::start("test", open_socket(any).unwrap(), drop).unwrap();
        thread.join().unwrap();
        SharedConnection::new(0, port, any, Duration::ZERO, Patience::default())
    }

    /// An application may drop such calls faster than an I/O thread can look at them.
    #[test]
    fn calls_that_nobody_waits_for_any_more_leave_no_work() {
        let connection = unheard();
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            for _ in 0..3 {
                connection.open(direction, Patience::default()).unwrap().abandon();
                connection.open(direction, Patience::default()).unwrap().close();
                connection.ask_stats();
            }
        }
        connection.state.with(|state| {
            assert!(state.openings.iter().all(Openings::is_empty), "{:?}", state.openings);
            assert!(state.orders.is_empty(), "{:?}", state.orders);
        });
    }

    #[test]
    fn closing_again_leaves_no_work() {
        let connection = unheard();
        let orders = || connection.state.with(|state| state.orders.len());
        for at_once in [false, false, false, true, false, true] {
            connection.close(ApplicationError(0), "", at_once);
        }
        assert_eq!(orders(), 2, "first in order, then at once");
    }

    #[test]
    fn a_connection_that_ends_leaves_nobody_waiting_to_open() {
        let connection = unheard();
        let stream = connection.open(Direction::Bidirectional, Patience::default()).unwrap();
        connection.end(&Error::BadHandle);
        assert_eq!(finished(stream.wait_open(Wait::Never)), Err(Error::BadHandle));
        assert!(connection.open(Direction::Bidirectional, Patience::default()).is_err());
    }
}
