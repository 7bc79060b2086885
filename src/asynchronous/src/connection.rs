//! [`Connection`]: opens and accepts streams, carries datagrams, is closed.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use protoquic_core::{ApplicationError, ConnectionStats, Direction};
use protoquic_io_thread::{EarlyOutcome, Phase, SharedConnection, SharedStream, Wait, finished};

use crate::opening::Opening;
use crate::wait::call;
use crate::{Error, RecvStream, Result, SendStream};

/// What all objects of a connection hold: when the last is gone, so is the connection.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<SharedConnection>,
}

/// A stream, and what keeps its connection.
pub(crate) type Owned = (Arc<Owner>, Arc<SharedStream>);

impl Owner {
    pub(crate) fn new(shared: Arc<SharedConnection>) -> Arc<Self> {
        Arc::new(Self { shared })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close(ApplicationError(0), "", false);
    }
}

/// A connection. Clones are the same one. When the last of them and of its streams is dropped, it is
/// closed with code 0 as soon as what was written is delivered, or after its
/// [linger time](crate::Settings::linger).
#[derive(Clone, Debug)]
pub struct Connection(pub(crate) Arc<Owner>);

impl Connection {
    /// Opens a stream that carries data both ways, as soon as the peer allows it. The peer knows of it
    /// when something is written.
    ///
    /// Cancel-safe: a stream that was opened in vain is what the next call returns.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream)> {
        Ok(halves(self.open(Direction::Bidirectional).await?))
    }

    /// Opens a stream that carries data to the peer. Otherwise as [`open_bi`](Self::open_bi).
    pub async fn open_uni(&self) -> Result<SendStream> {
        let (owner, stream) = self.open(Direction::Unidirectional).await?;
        Ok(SendStream::new(owner, stream))
    }

    async fn open(&self, direction: Direction) -> Result<Owned> {
        let mut opening = Opening::new(&self.0, direction)?;
        poll_fn(|cx| opening.poll(cx)).await
    }

    /// The next stream of the peer that carries data both ways.
    ///
    /// Cancel-safe: a stream is handed out or stays in the queue.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream)> {
        Ok(halves((Arc::clone(&self.0), self.accept(Direction::Bidirectional).await?)))
    }

    /// The next stream of the peer that only brings data. Cancel-safe as
    /// [`accept_bi`](Self::accept_bi).
    pub async fn accept_uni(&self) -> Result<RecvStream> {
        let stream = self.accept(Direction::Unidirectional).await?;
        Ok(RecvStream::new(Arc::clone(&self.0), stream))
    }

    async fn accept(&self, direction: Direction) -> Result<Arc<SharedStream>> {
        let shared = &self.0.shared;
        call(&shared.state, |turn| shared.accept(turn, Some(direction))).await
    }

    /// Sends a datagram, as soon as there is room in the queue. It may be lost (RFC 9221). Fails if it
    /// is longer than [`max_datagram_size`](Self::max_datagram_size).
    ///
    /// Cancel-safe: it is queued or not.
    pub async fn send_datagram(&self, data: Bytes) -> Result<()> {
        let shared = &self.0.shared;
        call(&shared.state, |turn| shared.send_datagram(turn, &data)).await
    }

    /// As [`send_datagram`](Self::send_datagram), but fails with [`Error::WouldBlock`] if the queue is
    /// full.
    pub fn try_send_datagram(&self, data: &Bytes) -> Result<()> {
        finished(self.0.shared.send_datagram(Wait::Never, data))
    }

    /// The next datagram that comes. Of those that nobody takes, the newest 1024 are kept.
    ///
    /// Cancel-safe: a datagram is handed out or stays in the queue.
    pub async fn receive_datagram(&self) -> Result<Bytes> {
        let shared = &self.0.shared;
        call(&shared.state, |turn| shared.receive_datagram(turn)).await
    }

    /// The longest datagram that can be sent now, in bytes; none if the peer takes none, or before the
    /// connection is established.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.0.shared.state.with(|state| state.max_datagram)
    }

    /// The peer's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.0.shared.state.with(|state| state.peer)
    }

    /// The application protocol that was agreed on, once it was.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.0.shared.state.with(|state| state.alpn.clone())
    }

    /// Waits until the handshake is complete; it need not be on a connection from
    /// [`Connecting::early`](crate::Connecting::early), or on a server's that has early data.
    pub async fn established(&self) -> Result<()> {
        let shared = &self.0.shared;
        call(&shared.state, |turn| shared.wait_established(turn)).await
    }

    /// What became of a client's early data.
    pub fn early_data(&self) -> EarlyOutcome {
        self.0.shared.state.with(|state| state.early)
    }

    /// Counters of the connection and its path's state. Once it is over they are those of the last
    /// call.
    pub async fn stats(&self) -> Result<ConnectionStats> {
        let shared = &self.0.shared;
        let number = shared.ask_stats();
        call(&shared.state, |turn| shared.wait_stats(turn, number)).await
    }

    /// Closes the connection at once, with a code and a reason for the peer. What was written and not
    /// delivered is lost; every call on the connection and its streams fails from then on.
    pub fn close(&self, code: ApplicationError, reason: &str) {
        self.0.shared.close(code, reason, true);
    }

    /// Closes the connection once what was written to its streams is delivered, or after its
    /// [linger time](crate::Settings::linger). Its streams are finished; no more are opened or taken
    /// from the peer.
    pub fn shut_down(&self, code: ApplicationError, reason: &str) {
        self.0.shared.close(code, reason, false);
    }

    /// Waits until the connection is over, and says why it is.
    pub async fn closed(&self) -> Error {
        let shared = &self.0.shared;
        let ended = call(&shared.state, |turn| shared.wait_closed(turn)).await;
        ended.unwrap_or_else(|error| error)
    }

    /// Why the connection is over, if it is.
    pub fn close_reason(&self) -> Option<Error> {
        self.0.shared.state.with(|state| match &state.phase {
            Phase::Over(error) => Some(error.clone()),
            _ => None,
        })
    }
}

fn halves((owner, stream): Owned) -> (SendStream, RecvStream) {
    let send = SendStream::new(Arc::clone(&owner), Arc::clone(&stream));
    (send, RecvStream::new(owner, stream))
}
