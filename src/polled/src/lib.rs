//! The sans-IO level of protoquic: QUIC as a machine that is asked. Datagrams and times are put in,
//! datagrams and a timeout come out; streams, datagrams and HTTP/3 exchanges are read and written
//! between. Sockets, timers and loops are the caller's.
//!
//! | object | what it is |
//! |---|---|
//! | [`Config`] | settings, certificates, protocols; shared by many connections |
//! | [`connect`] | makes a [`Client`]: one connection, with its own way in and out |
//! | [`Listener`] | all connections of a server's port, with what comes before there is one |
//! | [`Connection`] | one connection, as both of them lend it |
//! | [`Streams`], [`Http3`] | what runs on it: bare streams and datagrams, or HTTP/3 |
//!
//! The loop of either side is the same:
//!
//! 1. `recv` every datagram that the socket has; `on_timeout` if the timeout has passed;
//! 2. look at what has come (`poll`, `readable`, `stream_recv`), write what there is to say;
//! 3. `send` until it says [`Error::Done`], and give each datagram to the socket;
//! 4. wait for the socket, but no longer than `timeout`.
//!
//! ```
//! use protoquic_core::{Direction, PathAddress, Time};
//! use protoquic_polled::{Config, Error, Listener, ListenerEvent, RecvInfo, Streams, connect};
//! # let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
//! # let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//!
//! let mut config = Config::new(&[b"shout"]);
//! config.set_identity(cert.as_bytes(), key.as_bytes());
//! config.trust_any_certificate(true); // a server of our own
//!
//! let now = Time::from_millis(1000); // from your clock
//! let (here, there) = ("127.0.0.1:5000".parse().unwrap(), "127.0.0.1:443".parse().unwrap());
//! let mut server = Listener::<Streams>::new(&config)?;
//! let mut client = connect::<Streams>(&config, "localhost", PathAddress::new(here, there), now)?;
//!
//! let mut buffer = [0; 1500];
//! let mut answer = Vec::new();
//! while answer.is_empty() {
//!     while let Ok(sent) = client.send(&mut buffer, now) {
//!         server.recv(&mut buffer[..sent.len], &RecvInfo::new(PathAddress::new(there, here), now))?;
//!     }
//!     while let Some(event) = server.poll(now) {
//!         if let ListenerEvent::Ready(key) = event
//!             && let Some(connection) = server.connection(key)
//!         {
//!             for id in connection.readable() {
//!                 let (len, fin) = connection.stream_recv(id, &mut buffer)?;
//!                 let loud = buffer[..len].to_ascii_uppercase();
//!                 connection.stream_send(id, &loud, fin)?;
//!             }
//!         }
//!     }
//!     while let Ok(sent) = server.send(&mut buffer, now) {
//!         client.recv(&mut buffer[..sent.len], &RecvInfo::new(PathAddress::new(here, there), now))?;
//!     }
//!     if client.is_established() && client.stats().packets_sent < 5 {
//!         let id = client.stream_open(Direction::Bidirectional)?;
//!         client.stream_send(id, b"hello", true)?;
//!     }
//!     for id in client.readable() {
//!         let (len, _fin) = client.stream_recv(id, &mut buffer)?;
//!         answer.extend_from_slice(&buffer[..len]);
//!     }
//! }
//! assert_eq!(answer, b"HELLO");
//! # Ok::<(), Error>(())
//! ```
//!
//! Nothing here reads a clock: every call that has to do with time is told it. All times of a
//! connection must come from the same clock.

#![forbid(unsafe_code)]

mod application;
mod arrivals;
mod client;
mod config;
mod connection;
mod error;
mod event;
mod http3;
mod listener;
mod outbox;
mod streams;

pub use application::Application;
pub use arrivals::RecvInfo;
pub use client::{Client, connect, connect_watched, server_name};
pub use config::Config;
pub use connection::Connection;
pub use error::{Error, Result};
pub use event::Event;
pub use http3::{Http3, Http3Event};
pub use listener::{ConnectionKey, Listener, ListenerEvent};
pub use outbox::SendInfo;
pub use streams::{MAX_EVENTS, Streams};
