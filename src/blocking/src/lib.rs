//! Blocking sockets over QUIC, for programs made of threads: connect, accept, read, write, close.
//!
//! Two faces of one thing. [`App`] has the calls of a host stack: everything is a 64-bit [`Handle`],
//! as sockets are file descriptors. [`Listener`], [`Connection`] and [`Stream`] own a handle each
//! and close it when they are dropped; streams are [`std::io::Read`] and [`std::io::Write`]. Any
//! thread may use any of them at any time, [`App::poll`] waits for many at once, and every wait can
//! have a timeout or be none at all.
//!
//! An I/O thread for each listener, and one for all client connections of an address family, run
//! the same event loop, dispatcher and sessions as the rest of protoquic: `protoquic-io-thread` is
//! that. This crate must not know packets or sockets.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use protoquic_blocking::{App, Connection, Direction, Settings};
//!
//! # fn main() -> std::io::Result<()> {
//! let app = App::new();
//! let settings = Settings::new().trust_any_certificate();
//! let connection = Connection::connect(&app, settings, "quic://127.0.0.1/1234")?;
//! let mut stream = connection.open(Direction::Bidirectional)?;
//! stream.write_all(b"hello")?;
//! stream.finish()?;
//! let mut echo = Vec::new();
//! stream.read_to_end(&mut echo)?;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod app;
mod handle;
mod owned;
mod poll;
mod uri;

pub use app::App;
pub use handle::Handle;
pub use owned::{Connection, Listener, Stream};
pub use poll::{Interest, PollEntry, Readiness};
pub use protoquic_core::{ApplicationError, CloseReason, Direction};
pub use protoquic_io_thread::{DEFAULT_ALPN, Error, Result, Settings};
