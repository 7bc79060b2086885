//! [`App`]: the calls of a host stack on handles. What each kind of handle can do is a table here;
//! how it is done is in the objects' files.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{ApplicationError, Direction};
use protoquic_io_thread::{
    Deadline, Patience, Ports, SharedConnection, SharedListener, SharedStream, Wait, finished,
    open_socket, park,
};

use crate::handle::{Fresh, Handle, Object, Table};
use crate::poll::{PollEntry, Watch, look};
use crate::uri::Place;
use crate::{Error, Result, Settings};

/// An application: its handles and its I/O threads. Clones are the same application. When the last
/// is dropped, with all that was made of it, its connections deliver what was written, as long as
/// they linger, and its threads end.
#[derive(Clone, Debug, Default)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    table: Table,
    ports: Ports,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ports.stop_and_join();
    }
}

impl App {
    /// An application with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle, to be connected or to listen.
    pub fn create(&self) -> Handle {
        self.inner.table.insert(Object::Fresh(Fresh::default()))
    }

    /// A handle with these settings.
    pub fn create_with(&self, settings: Settings) -> Handle {
        let fresh = Fresh { settings: Box::new(settings), ..Fresh::default() };
        self.inner.table.insert(Object::Fresh(fresh))
    }

    /// Sets the certificate chain, in PEM, of a handle that is neither connected nor listening.
    pub fn add_cert(&self, handle: Handle, pem: &[u8]) -> Result<()> {
        self.fresh(handle, |fresh| {
            fresh.settings.set_certificate(pem);
            Ok(())
        })
    }

    /// Likewise the private key.
    pub fn add_key(&self, handle: Handle, pem: &[u8]) -> Result<()> {
        self.fresh(handle, |fresh| {
            fresh.settings.set_key(pem);
            Ok(())
        })
    }

    /// Changes all settings of a handle that is neither connected nor listening.
    pub fn configure(
        &self,
        handle: Handle,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<()> {
        self.fresh(handle, |fresh| {
            *fresh.settings = change(std::mem::take(&mut *fresh.settings));
            Ok(())
        })
    }

    fn fresh<R>(&self, handle: Handle, f: impl FnOnce(&mut Fresh) -> Result<R>) -> Result<R> {
        self.inner.table.update(handle, |object| match object {
            Object::Fresh(fresh) => f(fresh),
            _ => Err(IN_USE),
        })
    }

    /// Gives the handle an address to listen on, `quic://HOST/PORT`; port 0 is a free one.
    pub fn bind(&self, handle: Handle, uri: &str) -> Result<SocketAddr> {
        let address = Place::parse(uri)?.resolve()?;
        self.fresh(handle, |fresh| {
            let socket = open_socket(address)?;
            let address = socket.local_addr().map_err(|error| Error::system(&error))?;
            fresh.bound = Some(socket);
            Ok(address)
        })
    }

    /// Listens; at most `backlog` connections wait to be accepted, clients beyond that are refused.
    pub fn listen(&self, handle: Handle, backlog: usize) -> Result<()> {
        let fresh = self.look_fresh(handle)?;
        let socket = fresh
            .bound
            .clone()
            .ok_or(Error::Unsuitable("the handle is not bound to an address"))?;
        let ports = &self.inner.ports;
        let listener = ports.listen(&fresh.settings, fresh.patience, socket, backlog)?;
        let became = self.turn_into(handle, Object::Listener(Arc::clone(&listener)));
        if became.is_err() {
            end_listener(&listener);
        }
        became
    }

    /// What is known of a handle that is neither connected nor listening.
    fn look_fresh(&self, handle: Handle) -> Result<Fresh> {
        match self.inner.table.get(handle)? {
            Object::Fresh(fresh) => Ok(fresh),
            _ => Err(IN_USE),
        }
    }

    /// Makes something of a handle, unless another thread was faster.
    fn turn_into(&self, handle: Handle, what: Object) -> Result<()> {
        self.inner.table.update(handle, |object| match object {
            Object::Fresh(_) => {
                *object = what;
                Ok(())
            }
            _ => Err(IN_USE),
        })
    }

    /// Connects to `quic://HOST/PORT`, and waits until that is done. In non-blocking mode it only
    /// begins to: the handle becomes writable.
    pub fn connect(&self, handle: Handle, uri: &str) -> Result<()> {
        let Fresh { settings, patience, .. } = self.look_fresh(handle)?;
        let place = Place::parse(uri)?;
        let server = place.resolve()?;
        let client = settings.client()?;
        let name = settings.expected_name().unwrap_or(&place.host);
        let order = self.inner.ports.prepare(&client, server, name, patience)?;
        let connection = Arc::clone(&order.connection);
        self.turn_into(handle, Object::Connection(Arc::clone(&connection)))?;
        order.begin();
        or_later(finished(connection.wait_established(patience.for_writing())))
    }

    /// Makes of a handle a stream of the connection, which carries data both ways, and waits until
    /// the peer allows it. In non-blocking mode it only begins to.
    pub fn stream_connect(&self, handle: Handle, connection: Handle) -> Result<()> {
        self.stream_connect_as(handle, connection, Direction::Bidirectional)
    }

    /// As [`stream_connect`](Self::stream_connect), in either direction: data goes both ways or only
    /// to the peer.
    pub fn stream_connect_as(
        &self,
        handle: Handle,
        connection: Handle,
        direction: Direction,
    ) -> Result<()> {
        let connection = self.connection(connection)?;
        self.look_fresh(handle)?;
        let patience = connection.state.with(|state| state.patience);
        let stream = connection.open(direction, patience)?;
        let became = self.turn_into(handle, Object::Stream(Arc::clone(&stream)));
        if became.is_err() {
            stream.close();
        }
        became?;
        or_later(finished(stream.wait_open(patience.for_writing())).map(drop))
    }

    /// Takes what waits: a connection from a listener, a stream that the peer has opened from a
    /// connection.
    pub fn accept(&self, handle: Handle) -> Result<Handle> {
        let object = match self.inner.table.get(handle)? {
            Object::Listener(listener) => {
                let wait = listener.state.with(|state| state.patience.for_reading());
                Object::Connection(finished(listener.accept(wait))?)
            }
            Object::Connection(connection) => {
                let wait = reading(&connection);
                Object::Stream(finished(connection.accept(wait, None))?)
            }
            Object::Stream(_) | Object::Fresh(_) => {
                return Err(Error::Unsuitable("nothing can be accepted from this handle"));
            }
        };
        Ok(self.inner.table.insert(object))
    }

    /// Whether the handle is a connection: streams can be both opened on it and accepted from it.
    pub fn is_connectable_listener(&self, handle: Handle) -> Result<bool> {
        Ok(matches!(self.inner.table.get(handle)?, Object::Connection(_)))
    }

    /// Reads from a stream what has come, at least a byte; 0 at its end.
    pub fn read(&self, handle: Handle, buffer: &mut [u8]) -> Result<usize> {
        let stream = self.stream(handle)?;
        let wait = stream.state.with(|state| state.patience.for_reading());
        stream.read(wait, buffer)
    }

    /// Writes to a stream as much as there is room for, at least a byte.
    pub fn write(&self, handle: Handle, data: &[u8]) -> Result<usize> {
        let stream = self.stream(handle)?;
        let wait = stream.state.with(|state| state.patience.for_writing());
        finished(stream.write(wait, data))
    }

    /// Ends a stream's sending part: the peer reads to the end of what was written.
    pub fn finish(&self, handle: Handle) -> Result<()> {
        self.stream(handle)?.finish()
    }

    /// Waits until the peer has all of a stream that was finished. (Its QUIC has it; whether its
    /// application has read it, only the peer's answer can tell.)
    pub fn wait_delivered(&self, handle: Handle) -> Result<()> {
        let stream = self.stream(handle)?;
        let wait = stream.state.with(|state| state.patience.for_writing());
        finished(stream.wait_delivered(wait))
    }

    /// Abandons a stream's sending part.
    pub fn reset(&self, handle: Handle, code: ApplicationError) -> Result<()> {
        self.stream(handle)?.reset(code)
    }

    /// Tells the peer that no more of a stream will be read.
    pub fn stop(&self, handle: Handle, code: ApplicationError) -> Result<()> {
        self.stream(handle)?.stop(code)
    }

    /// Sends a datagram on a connection. It may be lost.
    pub fn send_datagram(&self, handle: Handle, data: &[u8]) -> Result<()> {
        let connection = self.connection(handle)?;
        let wait = connection.state.with(|state| state.patience.for_writing());
        finished(connection.send_datagram(wait, &Bytes::copy_from_slice(data)))
    }

    /// Receives a datagram of a connection into the buffer; what does not fit is cut off. Returns its
    /// length.
    pub fn receive_datagram(&self, handle: Handle, buffer: &mut [u8]) -> Result<usize> {
        let connection = self.connection(handle)?;
        let data = finished(connection.receive_datagram(reading(&connection)))?;
        let len = data.len().min(buffer.len());
        buffer[..len].copy_from_slice(&data[..len]);
        Ok(data.len())
    }

    /// The longest datagram that can be sent now, in bytes; none if the peer takes none.
    pub fn max_datagram_size(&self, handle: Handle) -> Result<Option<usize>> {
        Ok(self.connection(handle)?.state.with(|state| state.max_datagram))
    }

    /// Closes a handle. A stream is ended in order and read no more; a connection is ended once its
    /// streams are delivered, or after its linger time; a listener's connections live on. Does not
    /// wait for any of it.
    pub fn close(&self, handle: Handle) -> Result<()> {
        match self.inner.table.remove(handle)? {
            Object::Fresh(_) => {}
            Object::Listener(listener) => end_listener(&listener),
            Object::Connection(connection) => {
                connection.close(ApplicationError(0), "", false);
            }
            Object::Stream(stream) => stream.close(),
        }
        Ok(())
    }

    /// Ends a connection, with a code and a reason for the peer: once its streams are delivered, or
    /// at once. The handle stays, to be closed.
    pub fn shut_down(
        &self,
        handle: Handle,
        code: ApplicationError,
        reason: &str,
        at_once: bool,
    ) -> Result<()> {
        self.connection(handle)?.close(code, reason, at_once);
        Ok(())
    }

    /// Waits until a connection is over, and says why it is.
    pub fn wait_closed(&self, handle: Handle) -> Result<Error> {
        let connection = self.connection(handle)?;
        finished(connection.wait_closed(reading(&connection)))
    }

    /// The peer's address.
    pub fn peer_address(&self, handle: Handle) -> Result<SocketAddr> {
        Ok(self.connection(handle)?.state.with(|state| state.peer))
    }

    /// The application protocol that was agreed on, once it was.
    pub fn alpn(&self, handle: Handle) -> Result<Option<Vec<u8>>> {
        Ok(self.connection(handle)?.state.with(|state| state.alpn.clone()))
    }

    /// Where a listener listens.
    pub fn local_address(&self, handle: Handle) -> Result<SocketAddr> {
        match self.inner.table.get(handle)? {
            Object::Listener(listener) => Ok(listener.address),
            _ => Err(Error::Unsuitable("only a listener has an address of its own")),
        }
    }

    /// How long accepting and reading wait; for ever if `None`. What is accepted or opened inherits
    /// it.
    pub fn set_read_timeout(&self, handle: Handle, timeout: Option<Duration>) -> Result<()> {
        self.set_patience(handle, |patience| patience.read = timeout)
    }

    /// How long connecting and writing wait.
    pub fn set_write_timeout(&self, handle: Handle, timeout: Option<Duration>) -> Result<()> {
        self.set_patience(handle, |patience| patience.write = timeout)
    }

    /// Whether calls that would have to wait fail instead, with [`Error::WouldBlock`].
    pub fn set_nonblocking(&self, handle: Handle, nonblocking: bool) -> Result<()> {
        self.set_patience(handle, |patience| patience.nonblocking = nonblocking)
    }

    fn set_patience(&self, handle: Handle, f: impl FnOnce(&mut Patience)) -> Result<()> {
        self.inner.table.update(handle, |object| {
            match object {
                Object::Fresh(fresh) => f(&mut fresh.patience),
                Object::Listener(listener) => listener.state.with(|state| f(&mut state.patience)),
                Object::Connection(shared) => shared.state.with(|state| f(&mut state.patience)),
                Object::Stream(stream) => stream.state.with(|state| f(&mut state.patience)),
            }
            Ok(())
        })
    }

    /// Waits until any of these is ready, at most so long, and fills in what each is ready for.
    /// Returns how many are; 0 when the time is over.
    pub fn poll(&self, entries: &mut [PollEntry], timeout: Option<Duration>) -> Result<usize> {
        let get = |entry: &PollEntry| self.inner.table.get(entry.handle);
        let objects = entries.iter().map(get).collect::<Result<Vec<_>>>()?;
        let ready = look(entries, &objects);
        if ready > 0 || timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Ok(ready);
        }
        let deadline = Deadline::new(timeout);
        let mut watch = Watch::new(&objects);
        loop {
            watch.arm(); // a change before this is seen, one after it ends the sleep
            let ready = look(entries, &objects);
            match deadline.left() {
                _ if ready > 0 => return Ok(ready),
                Ok(left) => park(left),
                Err(_) => return Ok(0),
            }
        }
    }

    /// How many handles there are.
    pub fn handles(&self) -> usize {
        self.inner.table.len()
    }

    fn stream(&self, handle: Handle) -> Result<Arc<SharedStream>> {
        match self.inner.table.get(handle)? {
            Object::Stream(stream) => Ok(stream),
            _ => Err(Error::Unsuitable("the handle is not a stream")),
        }
    }

    fn connection(&self, handle: Handle) -> Result<Arc<SharedConnection>> {
        match self.inner.table.get(handle)? {
            Object::Connection(connection) => Ok(connection),
            _ => Err(Error::Unsuitable("the handle is not a connection")),
        }
    }
}

/// Nothing more is accepted; what was lives on.
fn end_listener(listener: &SharedListener) {
    listener.close(Error::BadHandle);
    listener.port.close();
}

fn reading(connection: &SharedConnection) -> Wait {
    connection.state.with(|state| state.patience.for_reading())
}

/// A handle is used once.
const IN_USE: Error = Error::Unsuitable("the handle is connected or listening already");

/// What was only begun in non-blocking mode is no failure.
fn or_later(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::WouldBlock) => Ok(()),
        other => other,
    }
}
