//! [`Endpoint`]: where connections come from: those that it makes, or those that it accepts.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use protoquic_core::ApplicationError;
use protoquic_io_thread::{
    ClientSettings, Patience, Ports, Seat, SharedListener, Turn, open_socket,
};

use crate::connection::Owner;
use crate::wait::call;
use crate::{Connection, Error, Result, Settings};

/// A client's or a server's end of many connections. Clones are the same endpoint. When the last is
/// dropped no more connections come from it; those there are go on.
///
/// It has an I/O thread with a socket for its server, or for its clients of each address family.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ports: Ports,
    client: Option<ClientSettings>,
    listener: Option<Arc<SharedListener>>,
    is_closed: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.close(CLOSED);
        }
        for port in self.ports.running() {
            port.close();
        }
    }
}

impl Endpoint {
    /// How many connections wait to be accepted, unless [`server_with_backlog`] says otherwise.
    ///
    /// [`server_with_backlog`]: Self::server_with_backlog
    pub const DEFAULT_BACKLOG: usize = 1024;

    /// An endpoint that makes connections, all with these settings. Fails if they cannot be used.
    pub fn client(settings: &Settings) -> Result<Self> {
        Ok(Self::new(Ports::default(), Some(settings.client()?), None))
    }

    /// An endpoint that listens on this address; port 0 is a free one. Fails if the settings cannot
    /// be used, or the address is taken.
    pub fn server(address: SocketAddr, settings: &Settings) -> Result<Self> {
        Self::server_with_backlog(address, settings, Self::DEFAULT_BACKLOG)
    }

    /// As [`server`](Self::server); at most `backlog` connections wait to be accepted, clients beyond
    /// that are refused.
    pub fn server_with_backlog(
        address: SocketAddr,
        settings: &Settings,
        backlog: usize,
    ) -> Result<Self> {
        let ports = Ports::default();
        let socket = open_socket(address)?;
        let listener = ports.listen(settings, Patience::default(), socket, backlog)?;
        Ok(Self::new(ports, None, Some(listener)))
    }

    fn new(
        ports: Ports,
        client: Option<ClientSettings>,
        listener: Option<Arc<SharedListener>>,
    ) -> Self {
        let is_closed = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { ports, client, listener, is_closed }) }
    }

    /// Where a server listens; none for a client, whose connections have the system's choice.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.inner.listener.as_ref().map(|listener| listener.address)
    }

    /// Begins a connection to a server, which must prove to be `server_name`: a name or an address.
    /// Fails if that is neither, or on an endpoint that does not make connections.
    pub fn connect(&self, server: SocketAddr, server_name: &str) -> Result<Connecting> {
        let Some(client) = &self.inner.client else {
            return Err(Error::Unsuitable("this endpoint is a server: it makes no connections"));
        };
        if self.inner.is_closed.load(Ordering::Acquire) {
            return Err(CLOSED);
        }
        let patience = Patience::default();
        let order = self.inner.ports.prepare(client, server, server_name, patience)?;
        let owner = Owner::new(Arc::clone(&order.connection));
        order.begin();
        if self.inner.is_closed.load(Ordering::Acquire) {
            owner.shared.close(ApplicationError(0), "", true); // it was closed meanwhile
            return Err(CLOSED);
        }
        Ok(Connecting { owner, seat: Seat::default() })
    }

    /// The next connection of a client whose handshake is complete, or that has sent early data if the
    /// settings allow it. Fails once the endpoint is closed, or on one that does not accept.
    ///
    /// Cancel-safe: a connection is handed out or stays in the queue.
    pub async fn accept(&self) -> Result<Connection> {
        let Some(listener) = &self.inner.listener else {
            return Err(Error::Unsuitable("this endpoint is a client: it accepts no connections"));
        };
        let shared = call(&listener.state, |turn| listener.accept(turn)).await?;
        Ok(Connection(Owner::new(shared)))
    }

    /// Closes all connections at once, and makes and accepts no more. Every wait on any of them ends
    /// with an error. Follow it with [`wait_idle`](Self::wait_idle), so that the peers get to know.
    pub fn close(&self, code: ApplicationError, reason: &str) {
        self.inner.is_closed.store(true, Ordering::Release);
        if let Some(listener) = &self.inner.listener {
            listener.close(CLOSED);
        }
        for port in self.inner.ports.running() {
            port.close_all(code, reason);
        }
    }

    /// Waits until all connections are over and their peers have been told. They need not have been
    /// closed: those that nobody holds any more end by themselves once their data is delivered. A
    /// program that ends without this may leave data undelivered.
    pub async fn wait_idle(&self) {
        for port in self.inner.ports.running() {
            let _ = call(port.live(), |turn| port.wait_idle(turn)).await; // never an error
        }
    }
}

/// What calls on a closed endpoint fail with.
const CLOSED: Error = Error::Unsuitable("the endpoint is closed");

/// A connection that is being made: a future of it. Dropped, it is given up.
#[derive(Debug)]
pub struct Connecting {
    owner: Arc<Owner>,
    seat: Seat,
}

impl Connecting {
    /// The connection, as soon as anything can be sent on it: with a remembered session, and
    /// [`Settings::early_data`], that is at once (0-RTT). Otherwise it is when it is established.
    ///
    /// **Early data can be replayed** by whoever sees the packets: write only what does no harm when it
    /// is done twice (RFC 9001 §9.2). If the server does not take it, it is sent again after the
    /// handshake by itself. [`Connection::established`] waits for that,
    /// [`Connection::early_data`] says what became of it.
    pub async fn early(self) -> Result<Connection> {
        let shared = &self.owner.shared;
        call(&shared.state, |turn| shared.wait_early(turn)).await?;
        Ok(Connection(Arc::clone(&self.owner)))
    }
}

impl Future for Connecting {
    type Output = Result<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { owner, seat } = &mut *self;
        let turn = Turn { waker: cx.waker(), seat };
        owner.shared.wait_established(turn).map_ok(|()| Connection(Arc::clone(owner)))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.owner.shared.state.leave(&mut self.seat);
    }
}
