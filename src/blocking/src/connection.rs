//! [`SharedConnection`]: what threads and the I/O thread know of a connection: its phase, the
//! streams that wait to be accepted, datagrams, and the orders that threads leave.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ApplicationError, DatagramError, Direction, StreamId};

use crate::poll::Readiness;
use crate::port::Port;
use crate::stream::{Origin, SharedStream};
use crate::wait::{Patience, Watched};
use crate::{Error, Result};

/// One connection.
#[derive(Debug)]
pub(crate) struct SharedConnection {
    /// Names it on its port.
    pub(crate) number: u64,
    pub(crate) port: Arc<Port>,
    /// How long its streams are delivered after it was closed.
    pub(crate) linger: Duration,
    pub(crate) state: Watched<ConnectionState>,
}

#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) patience: Patience,
    pub(crate) phase: Phase,
    pub(crate) peer: SocketAddr,
    pub(crate) alpn: Option<Vec<u8>>,
    /// The peer's streams that nobody has accepted yet.
    pub(crate) incoming: VecDeque<Arc<SharedStream>>,
    /// Datagrams that nobody has taken yet.
    pub(crate) datagrams: VecDeque<Bytes>,
    /// The largest datagram that can be sent now, in bytes.
    pub(crate) max_datagram: Option<usize>,
    /// What threads want of the I/O thread.
    pub(crate) orders: Vec<Order>,
    /// How many datagrams are among them.
    pub(crate) waiting_datagrams: usize,
    /// The I/O thread has been told that there are orders, and has not yet looked.
    pub(crate) is_woken: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Connecting,
    Established,
    Over(Error),
}

/// What a thread wants of the I/O thread.
#[derive(Debug)]
pub(crate) enum Order {
    Open(Arc<SharedStream>),
    /// Something of this stream has changed.
    Look(StreamId),
    Datagram(Bytes),
    Close {
        code: ApplicationError,
        reason: String,
        at_once: bool,
    },
}

impl SharedConnection {
    pub(crate) fn new(
        number: u64,
        port: Arc<Port>,
        peer: SocketAddr,
        linger: Duration,
        patience: Patience,
    ) -> Arc<Self> {
        let state = ConnectionState {
            patience,
            phase: Phase::Connecting,
            peer,
            alpn: None,
            incoming: VecDeque::new(),
            datagrams: VecDeque::new(),
            max_datagram: None,
            orders: Vec::new(),
            waiting_datagrams: 0,
            is_woken: false,
        };
        Arc::new(Self { number, port, linger, state: Watched::new(state) })
    }

    pub(crate) fn order(&self, order: Order) {
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
    pub(crate) fn wait_established(&self) -> Result<()> {
        let wait = self.state.with(|state| state.patience.for_writing());
        self.state.wait(wait, |state| match &state.phase {
            Phase::Connecting => None,
            Phase::Established => Some(Ok(())),
            Phase::Over(error) => Some(Err(error.clone())),
        })
    }

    /// Begins to open a stream.
    pub(crate) fn open(self: &Arc<Self>, direction: Direction) -> Result<Arc<SharedStream>> {
        let (phase, patience) = self.state.with(|state| (state.phase.clone(), state.patience));
        if let Phase::Over(error) = phase {
            return Err(error);
        }
        let stream = SharedStream::new(Arc::clone(self), direction, patience, Origin::Ours);
        self.order(Order::Open(Arc::clone(&stream)));
        // The connection may have ended between the look and the order.
        if let Phase::Over(error) = self.state.with(|state| state.phase.clone()) {
            stream.state.change(|state| state.fail(&error));
        }
        Ok(stream)
    }

    /// Takes the next stream that the peer has opened.
    pub(crate) fn accept(&self) -> Result<Arc<SharedStream>> {
        let wait = self.state.with(|state| state.patience.for_reading());
        let stream = self.state.wait(wait, |state| match state.incoming.pop_front() {
            Some(stream) => Some(Ok(stream)),
            None => match &state.phase {
                Phase::Over(error) => Some(Err(error.clone())),
                _ => None,
            },
        })?;
        stream.on_accepted();
        Ok(stream)
    }

    pub(crate) fn send_datagram(&self, data: &[u8]) -> Result<()> {
        let wait = self.state.with(|state| state.patience.for_writing());
        let wake = self.state.wait(wait, |state| {
            match (&state.phase, state.max_datagram) {
                (Phase::Over(error), _) => return Some(Err(error.clone())),
                (Phase::Connecting, _) => return None,
                (Phase::Established, Some(max)) if data.len() <= max => {}
                (Phase::Established, Some(max)) => {
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
            state.orders.push(Order::Datagram(Bytes::copy_from_slice(data)));
            Some(Ok(!std::mem::replace(&mut state.is_woken, true)))
        })?;
        if wake {
            self.port.wake_connection(self.number);
        }
        Ok(())
    }

    pub(crate) fn receive_datagram(&self) -> Result<Bytes> {
        let wait = self.state.with(|state| state.patience.for_reading());
        self.state.wait(wait, |state| match state.datagrams.pop_front() {
            Some(data) => Some(Ok(data)),
            None => match &state.phase {
                Phase::Over(error) => Some(Err(error.clone())),
                _ => None,
            },
        })
    }

    /// Ends it: at once, or when what was written to its streams is delivered.
    pub(crate) fn close(&self, code: ApplicationError, reason: &str, at_once: bool) {
        self.order(Order::Close { code, reason: reason.to_owned(), at_once });
    }

    /// Waits until it is over.
    pub(crate) fn wait_closed(&self) -> Result<Error> {
        let wait = self.state.with(|state| state.patience.for_reading());
        self.state.wait(wait, |state| match &state.phase {
            Phase::Over(error) => Some(Ok(error.clone())),
            _ => None,
        })
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.state.with(|state| {
            let closed = matches!(state.phase, Phase::Over(_));
            Readiness {
                readable: closed || !state.incoming.is_empty(),
                writable: !matches!(state.phase, Phase::Connecting),
                datagram: closed || !state.datagrams.is_empty(),
                closed,
            }
        })
    }
}

/// How many datagrams wait in each direction. Of those that come, the oldest are dropped first; who
/// sends waits.
pub(crate) const MAX_DATAGRAMS: usize = 1024;
