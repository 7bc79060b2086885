//! [`Listener`], [`Connection`] and [`Stream`]: handles that are closed when they are dropped.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use protoquic_core::{ApplicationError, Direction};

use crate::app::App;
use crate::handle::Handle;
use crate::{Error, Result, Settings};

/// A handle and its application.
#[derive(Debug)]
struct Owned {
    app: App,
    handle: Handle,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.app.close(self.handle); // an error: somebody has closed it by its handle
    }
}

/// Methods that all three have.
macro_rules! common {
    ($name:ident) => {
        impl $name {
            /// Its handle, for [`App::poll`] and the other calls. It is closed with this object.
            pub fn handle(&self) -> Handle {
                self.0.handle
            }

            /// Its application.
            pub fn app(&self) -> &App {
                &self.0.app
            }

            /// See [`App::set_read_timeout`].
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
                self.0.app.set_read_timeout(self.0.handle, timeout)
            }

            /// See [`App::set_write_timeout`].
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
                self.0.app.set_write_timeout(self.0.handle, timeout)
            }

            /// See [`App::set_nonblocking`].
            pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
                self.0.app.set_nonblocking(self.0.handle, nonblocking)
            }
        }
    };
}

/// Accepts connections.
#[derive(Debug)]
pub struct Listener(Owned);

common!(Listener);

impl Listener {
    /// Listens on `quic://HOST/PORT`, with [`DEFAULT_BACKLOG`](Self::DEFAULT_BACKLOG).
    pub fn bind(app: &App, settings: Settings, uri: &str) -> Result<Self> {
        let handle = app.create_with(settings);
        let made = Self(Owned { app: app.clone(), handle });
        app.bind(handle, uri)?;
        app.listen(handle, Self::DEFAULT_BACKLOG)?;
        Ok(made)
    }

    /// How many connections wait to be accepted.
    pub const DEFAULT_BACKLOG: usize = 1024;

    /// Where it listens.
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.0.app.local_address(self.0.handle)
    }

    /// The next connection.
    pub fn accept(&self) -> Result<Connection> {
        let handle = self.0.app.accept(self.0.handle)?;
        Ok(Connection(Owned { app: self.0.app.clone(), handle }))
    }
}

/// A connection. Dropped, it ends once its streams are delivered.
#[derive(Debug)]
pub struct Connection(Owned);

common!(Connection);

impl Connection {
    /// Connects to `quic://HOST/PORT`.
    pub fn connect(app: &App, settings: Settings, uri: &str) -> Result<Self> {
        let handle = app.create_with(settings);
        let made = Self(Owned { app: app.clone(), handle });
        app.connect(handle, uri)?;
        Ok(made)
    }

    /// Opens a stream, as soon as the peer allows it.
    pub fn open(&self, direction: Direction) -> Result<Stream> {
        let handle = self.0.app.create();
        let made = Stream(Owned { app: self.0.app.clone(), handle });
        self.0.app.stream_connect_as(handle, self.0.handle, direction)?;
        Ok(made)
    }

    /// The next stream that the peer has opened.
    pub fn accept(&self) -> Result<Stream> {
        let handle = self.0.app.accept(self.0.handle)?;
        Ok(Stream(Owned { app: self.0.app.clone(), handle }))
    }

    /// See [`App::send_datagram`].
    pub fn send_datagram(&self, data: &[u8]) -> Result<()> {
        self.0.app.send_datagram(self.0.handle, data)
    }

    /// See [`App::receive_datagram`].
    pub fn receive_datagram(&self, buffer: &mut [u8]) -> Result<usize> {
        self.0.app.receive_datagram(self.0.handle, buffer)
    }

    /// See [`App::max_datagram_size`].
    pub fn max_datagram_size(&self) -> Result<Option<usize>> {
        self.0.app.max_datagram_size(self.0.handle)
    }

    /// The peer's address.
    pub fn peer_address(&self) -> Result<SocketAddr> {
        self.0.app.peer_address(self.0.handle)
    }

    /// See [`App::alpn`].
    pub fn alpn(&self) -> Result<Option<Vec<u8>>> {
        self.0.app.alpn(self.0.handle)
    }

    /// See [`App::shut_down`].
    pub fn shut_down(&self, code: ApplicationError, reason: &str, at_once: bool) -> Result<()> {
        self.0.app.shut_down(self.0.handle, code, reason, at_once)
    }

    /// See [`App::wait_closed`].
    pub fn wait_closed(&self) -> Result<Error> {
        self.0.app.wait_closed(self.0.handle)
    }
}

/// A stream. Dropped, it ends in order: what was written is still delivered.
///
/// It can be read and written by several threads at once, through a reference.
#[derive(Debug)]
pub struct Stream(Owned);

common!(Stream);

impl Stream {
    /// See [`App::finish`].
    pub fn finish(&self) -> Result<()> {
        self.0.app.finish(self.0.handle)
    }

    /// See [`App::wait_delivered`].
    pub fn wait_delivered(&self) -> Result<()> {
        self.0.app.wait_delivered(self.0.handle)
    }

    /// See [`App::reset`].
    pub fn reset(&self, code: ApplicationError) -> Result<()> {
        self.0.app.reset(self.0.handle, code)
    }

    /// See [`App::stop`].
    pub fn stop(&self, code: ApplicationError) -> Result<()> {
        self.0.app.stop(self.0.handle, code)
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.app.read(self.0.handle, buffer)?)
    }
}

impl Write for &Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(self.0.app.write(self.0.handle, data)?)
    }

    /// What is written is on its way; see [`Stream::wait_delivered`] to know that it has arrived.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
