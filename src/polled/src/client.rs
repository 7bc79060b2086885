//! [`Client`]: a connection of a client, with its own way in and out. This file must not know what
//! runs on it.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;
use protoquic_core::{
    ClientSetup, Connection as Machine, Host as _, Observer, PathAddress, SystemRandom, Time,
};
use rustls_pki_types::ServerName;

use crate::arrivals::{Arrivals, RecvInfo};
use crate::outbox::{Outbox, SendInfo};
use crate::{Application, Config, Connection, Error, Result, Streams};

/// A client's connection: a [`Connection`], and where its datagrams go in and come out.
#[derive(Debug)]
pub struct Client<A: Application = Streams> {
    connection: Connection<A>,
    arrivals: Arrivals,
    outbox: Outbox,
}

/// Begins a connection to the server of this name, from where to where `path` says; an unspecified
/// local address leaves the choice to the host. Its first datagrams wait for
/// [`send`](Client::send).
///
/// # Errors
///
/// [`Error::Invalid`] for a name that is none, or settings that are out of their range.
pub fn connect<A: Application>(
    config: &Config,
    server_name: &str,
    path: PathAddress,
    now: Time,
) -> Result<Client<A>> {
    connect_watched(config, server_name, path, now, None)
}

/// As [`connect`], with somebody who watches, a qlog writer say.
pub fn connect_watched<A: Application>(
    config: &Config,
    server_name: &str,
    path: PathAddress,
    now: Time,
    observer: Option<Box<dyn Observer>>,
) -> Result<Client<A>> {
    let server_name = self::server_name(server_name)?;
    let (transport, tls) = config.client()?;
    let setup = ClientSetup {
        config: transport,
        tls,
        server_name,
        path,
        token: Bytes::new(),
        random: Box::new(SystemRandom),
        observer,
    };
    let machine = Machine::client(now, setup).map_err(|error| Error::Invalid(error.to_string()))?;
    let connection = Connection::new(A::client(machine, config), now);
    Ok(Client { connection, arrivals: Arrivals::default(), outbox: Outbox::default() })
}

/// Reads a server's name or address.
pub fn server_name(name: &str) -> Result<ServerName<'static>> {
    let bad_name = |_| Error::Invalid(format!("{name:?} is no name of a server"));
    ServerName::try_from(name.to_owned()).map_err(bad_name)
}

impl<A: Application> Client<A> {
    /// Takes a datagram that has arrived, or a batch of them ([`RecvInfo::segment`]). What does not
    /// belong to the connection is dropped and counted
    /// ([`packets_dropped`](protoquic_core::ConnectionStats::packets_dropped)).
    pub fn recv(&mut self, data: &[u8], info: &RecvInfo) -> Result<()> {
        let connection = &mut self.connection;
        self.arrivals.deliver(data, info, |packet| connection.process_packet(packet))
    }

    /// Puts the next datagram into `out`. [`Error::Done`] if there is none now.
    pub fn send(&mut self, out: &mut [u8], now: Time) -> Result<SendInfo> {
        self.send_batch(out, 1, now)
    }

    /// Puts as many datagrams as fit, `max` at most, one behind the other: all of one size, but for
    /// the last, which may be shorter. For `UDP_SEGMENT`. [`Error::Done`] if there is none now.
    pub fn send_batch(&mut self, out: &mut [u8], max: usize, now: Time) -> Result<SendInfo> {
        if self.outbox.is_empty() {
            self.connection.run_turn(now, &mut self.outbox);
            while self.connection.pop_notice().is_some() {} // its state says the same
        }
        self.outbox.take(out, max)
    }

    /// How long to wait for the socket before [`on_timeout`](Self::on_timeout) is to be called;
    /// `None`: for ever. Zero as long as there may be something to [`send`](Self::send).
    pub fn timeout(&self, now: Time) -> Option<Duration> {
        if self.connection.is_dirty || !self.outbox.is_empty() {
            return Some(Duration::ZERO);
        }
        self.connection.next_deadline().map(|deadline| deadline.saturating_since(now))
    }

    /// The timeout has passed. Harmless if it has not.
    pub fn on_timeout(&mut self, now: Time) {
        if self.connection.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.on_alarm(now);
        }
    }
}

impl<A: Application> Deref for Client<A> {
    type Target = Connection<A>;

    fn deref(&self) -> &Connection<A> {
        &self.connection
    }
}

impl<A: Application> DerefMut for Client<A> {
    fn deref_mut(&mut self) -> &mut Connection<A> {
        &mut self.connection
    }
}
