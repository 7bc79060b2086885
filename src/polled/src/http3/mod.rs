//! [`Http3`]: HTTP/3 on a polled connection. The exchanges are those of `protoquic_core::http`; what
//! its handlers are called with is put on a [`Board`](board::Board), from which it is polled. This
//! room must not know HTTP/3's wire formats.

mod board;
mod client;
mod connection;
mod server;

use std::rc::Rc;

use protoquic_core::http::{Http3ClientSession, Http3ServerSession};
use protoquic_core::{
    ApplicationError, Connection as Machine, Host, Notice, PacketWriter, ReceivedPacket,
    SessionHost, Time,
};

use crate::outbox::Full;
use crate::{Application, Config};
use board::SharedBoard;
pub use connection::Http3Event;
use server::Requests;

/// HTTP/3.
#[derive(Debug)]
pub struct Http3 {
    side: Side,
    board: SharedBoard,
    /// Something has come that handlers have not been called for.
    is_fresh: bool,
}

#[derive(Debug)]
enum Side {
    Client(SessionHost<Http3ClientSession>),
    Server(SessionHost<Http3ServerSession<Requests>>),
}

impl Http3 {
    fn host(&self) -> &dyn Host {
        match &self.side {
            Side::Client(host) => host,
            Side::Server(host) => host,
        }
    }

    fn host_mut(&mut self) -> &mut dyn Host {
        match &mut self.side {
            Side::Client(host) => host,
            Side::Server(host) => host,
        }
    }

    /// Calls the handlers that are due. Nothing is written.
    fn call_handlers(&mut self, now: Time) {
        if std::mem::take(&mut self.is_fresh) {
            self.host_mut().run_turn(now, &mut Full);
        }
    }

    /// Has the handler of an exchange called.
    fn wake(&mut self, now: Time, id: u64) {
        self.is_fresh = true;
        match &mut self.side {
            Side::Client(host) => host.enter(now, |session, cx| {
                let request = self.board.borrow().request(id);
                if let Some(stream) = request.and_then(|request| session.stream_of(request)) {
                    cx.wake_stream(stream);
                }
            }),
            Side::Server(host) => host.enter(now, |_, cx| {
                cx.wake_stream(protoquic_core::StreamId::from_raw(id));
            }),
        }
    }
}

impl Application for Http3 {
    fn client(connection: Machine, config: &Config) -> Self {
        let session = Http3ClientSession::new(config.http3().clone());
        let side = Side::Client(SessionHost::new(connection, session));
        Self { side, board: SharedBoard::default(), is_fresh: true }
    }

    fn server(connection: Machine, config: &Config) -> Self {
        let board = SharedBoard::default();
        let backend = Requests::new(Rc::clone(&board));
        let session = Http3ServerSession::new(backend, config.http3().clone());
        Self { side: Side::Server(SessionHost::new(connection, session)), board, is_fresh: true }
    }

    fn with_connection<R>(&mut self, now: Time, f: impl FnOnce(&mut Machine) -> R) -> R {
        self.is_fresh = true;
        match &mut self.side {
            Side::Client(host) => host.enter(now, |_, cx| f(cx.connection())),
            Side::Server(host) => host.enter(now, |_, cx| f(cx.connection())),
        }
    }
}

impl Host for Http3 {
    fn process_packet(&mut self, packet: ReceivedPacket) {
        self.is_fresh = true;
        self.host_mut().process_packet(packet);
    }

    fn on_alarm(&mut self, now: Time) {
        self.is_fresh = true;
        self.host_mut().on_alarm(now);
    }

    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter) {
        self.is_fresh = false;
        self.host_mut().run_turn(now, writer);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.host().next_deadline()
    }

    fn pop_notice(&mut self) -> Option<Notice> {
        self.host_mut().pop_notice()
    }

    fn is_write_blocked(&self) -> bool {
        self.host().is_write_blocked()
    }

    fn shut_down(&mut self, now: Time) {
        self.is_fresh = true;
        self.host_mut().shut_down(now);
    }

    fn wake(&mut self) {
        self.host_mut().wake();
    }

    fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.is_fresh = true;
        self.host_mut().close(now, code, reason);
    }

    fn connection(&self) -> &Machine {
        self.host().connection()
    }
}
