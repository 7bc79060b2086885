//! [`Connection`]: what every polled connection can be asked and told, whatever runs on it. How
//! datagrams get in and out is not its business: a [`Client`](crate::Client) or a
//! [`Listener`](crate::Listener) owns it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use protoquic_core::connection::MigrationError;
use protoquic_core::streams::StreamsStats;
use protoquic_core::wire::Version;
use protoquic_core::{
    ApplicationError, CloseReason, Connection as Machine, ConnectionStats, Host, Notice,
    PacketWriter, PathAddress, ReceivedPacket, Role, SendStatus, Time,
};

use crate::{Application, Error, Result, Streams};

/// One connection. A [`Client`](crate::Client) is one; a [`Listener`](crate::Listener) lends those
/// that it has accepted.
#[derive(Debug)]
pub struct Connection<A: Application = Streams> {
    pub(crate) app: A,
    /// The last time that was told.
    pub(crate) now: Time,
    /// Something was told to it and not yet written.
    pub(crate) is_dirty: bool,
    /// On a server: where to tell its listener that there is news.
    news: Option<Reporter>,
}

/// What the connections of a listener report to it.
#[derive(Debug)]
pub(crate) enum News {
    Ready(u64),
    Closed(u64, CloseReason),
}

/// Where they do.
pub(crate) type NewsDesk = Rc<RefCell<VecDeque<News>>>;

#[derive(Debug)]
struct Reporter {
    number: u64,
    desk: NewsDesk,
    /// `Ready` waits there already.
    has_reported: bool,
}

impl<A: Application> Connection<A> {
    pub(crate) fn new(app: A, now: Time) -> Self {
        Self { app, now, is_dirty: true, news: None }
    }

    pub(crate) fn reporting(mut self, number: u64, desk: NewsDesk) -> Self {
        self.news = Some(Reporter { number, desk, has_reported: false });
        self
    }

    /// Its owner is about to look: the next news are to be reported again.
    pub(crate) fn on_looked_at(&mut self) {
        if let Some(news) = &mut self.news {
            news.has_reported = false;
        }
    }

    pub(crate) fn report(&mut self) {
        if let Some(news) = &mut self.news
            && !std::mem::replace(&mut news.has_reported, true)
        {
            news.desk.borrow_mut().push_back(News::Ready(news.number));
        }
    }

    /// Lends the machine, for what will have to be written.
    pub(crate) fn change<R>(&mut self, f: impl FnOnce(&mut Machine) -> R) -> R {
        self.is_dirty = true;
        self.app.with_connection(self.now, f)
    }

    fn machine(&self) -> &Machine {
        self.app.connection()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.machine().role()
    }

    /// The QUIC version in use.
    pub fn version(&self) -> Version {
        self.machine().version()
    }

    /// Whether the handshake is complete and the connection is not closing.
    pub fn is_established(&self) -> bool {
        self.machine().is_established()
    }

    /// Whether the handshake is confirmed (RFC 9001 §4.1.2).
    pub fn is_confirmed(&self) -> bool {
        self.machine().is_confirmed()
    }

    /// Whether the connection is closing, draining or over.
    pub fn is_closed(&self) -> bool {
        self.machine().is_closed()
    }

    /// Whether nothing will ever be sent again: it can be dropped.
    pub fn is_drained(&self) -> bool {
        self.machine().is_drained()
    }

    /// Whether TLS resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.machine().is_resumed()
    }

    /// Why the connection ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.machine().close_reason()
    }

    /// The application protocol that was agreed on; empty before.
    pub fn alpn(&self) -> &[u8] {
        self.machine().alpn().unwrap_or_default()
    }

    /// On a server: the host name that the client asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.machine().server_name()
    }

    /// The peer's certificates in DER, its own first; none before it has shown any.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        let chain = self.machine().peer_certificates().unwrap_or_default();
        chain.iter().map(AsRef::as_ref)
    }

    /// The addresses that the connection runs between.
    pub fn path(&self) -> PathAddress {
        *self.machine().path()
    }

    /// Counters, and the state of the path now.
    pub fn stats(&self) -> ConnectionStats {
        self.machine().stats()
    }

    /// What its streams did so far.
    pub fn stream_stats(&self) -> StreamsStats {
        self.machine().stream_stats()
    }

    /// Why nothing is being sent.
    pub fn send_status(&self) -> SendStatus {
        self.machine().send_status(self.now)
    }

    /// Closes the connection with an application error code, at once: what was written and is not
    /// acknowledged may be lost. Does nothing if it is closed already.
    pub fn close(&mut self, code: u64, reason: &str) {
        let now = self.now;
        self.change(|machine| machine.close(now, ApplicationError(code), reason));
        self.report();
    }

    /// Has a PING sent, to see whether the peer is still there.
    pub fn ping(&mut self) {
        self.change(Machine::ping);
    }

    /// On a client: probes the path from another address of ours (RFC 9000 §9.1). With bare streams,
    /// an event tells how it went.
    pub fn probe_path(&mut self, local: SocketAddr) -> Result<()> {
        let now = self.now;
        self.change(|machine| machine.probe_path(now, local)).map_err(no_path)
    }

    /// On a client: moves to another address of ours as soon as the path from there is proven
    /// (RFC 9000 §9.2); [`path`](Self::path) changes then.
    pub fn migrate(&mut self, local: SocketAddr) -> Result<()> {
        let now = self.now;
        self.change(|machine| machine.migrate(now, local)).map_err(no_path)
    }
}

fn no_path(error: MigrationError) -> Error {
    match error {
        MigrationError::NotConfirmed | MigrationError::NotClient => Error::WrongState,
        MigrationError::Disabled => Error::NotSupported,
        MigrationError::NoConnectionId | MigrationError::TooManyPaths => Error::QueueFull,
        other => Error::Invalid(other.to_string()),
    }
}

impl<A: Application> Host for Connection<A> {
    fn process_packet(&mut self, packet: ReceivedPacket) {
        self.now = packet.received;
        self.is_dirty = true;
        self.app.process_packet(packet);
        self.report();
    }

    fn on_alarm(&mut self, now: Time) {
        self.now = now;
        self.is_dirty = true;
        self.app.on_alarm(now);
        self.report();
    }

    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter) {
        self.now = now;
        self.is_dirty = false;
        self.app.run_turn(now, writer);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.app.next_deadline()
    }

    fn pop_notice(&mut self) -> Option<Notice> {
        let notice = self.app.pop_notice();
        if let (Some(Notice::Closed { reason, .. }), Some(news)) = (&notice, &self.news) {
            news.desk.borrow_mut().push_back(News::Closed(news.number, reason.clone()));
        }
        notice
    }

    fn is_write_blocked(&self) -> bool {
        self.app.is_write_blocked()
    }

    fn shut_down(&mut self, now: Time) {
        self.now = now;
        self.is_dirty = true;
        self.app.shut_down(now);
    }

    fn wake(&mut self) {
        self.app.wake();
    }

    fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.now = now;
        self.is_dirty = true;
        self.app.close(now, code, reason);
    }

    fn connection(&self) -> &Machine {
        self.app.connection()
    }
}
