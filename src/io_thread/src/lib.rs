//! Sessions on I/O threads, and what these share with the threads and tasks of an application: the
//! machine under the blocking and the asynchronous API. A call leaves an order and waits for news; the
//! I/O thread, an event loop with its dispatcher or pool of clients, obeys and tells. This crate must
//! not know packets, handles or runtimes.
//!
//! It is no interface for applications: use `protoquic::blocking` or `protoquic::asynchronous`.

#![forbid(unsafe_code)]

mod buffers;
mod client_port;
mod connection;
mod error;
mod listener;
mod openings;
mod port;
mod ports;
mod server_port;
mod session;
mod settings;
mod stream;
mod wait;

pub use buffers::SendQueue;
pub use client_port::ConnectOrder;
pub use connection::{ConnectionState, EarlyOutcome, Order, Phase, SharedConnection};
pub use error::Error;
pub use listener::{ListenerState, SharedListener};
pub use openings::Openings;
pub use port::{Inbox, Port, open_socket};
pub use ports::Ports;
pub use settings::{ClientSettings, DEFAULT_ALPN, Settings};
pub use stream::{MAX_RECEIVED, MAX_UNSENT, Origin, ReadEnd, SharedStream, StreamState};
pub use wait::{
    Deadline, News, Patience, Seat, Turn, Wait, Waiter, Watched, finished, park, thread_waker,
};

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;
