//! Endpoints on real sockets: [`ServerEndpoint`], a dispatcher with its event loop, and
//! [`ClientEndpoint`], one session with its own. They put the shelf's objects together as most
//! programs want them; nothing here that a program could not do itself.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::{ConnectionIdGenerator, RandomConnectionIds};
use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::dispatcher::{Dispatcher, DispatcherConfig, DispatcherSetup, WorkerPlace};
use protoquic::readers::{
    BatchReader, BufferedRandom, BusyPoll, EventLoop, SocketOptions, SystemClock, SystemHelper,
    Waker, bind, buffered_ring_provider, connectable_from,
};
use protoquic::writers::{ByPortWriter, GsoBatchWriter};
use protoquic::{
    ApplicationError, ClientSetup, CloseReason, Config, Connection, Observer, PacketReader,
    PacketWriter, PathAddress, ServerConfig, Session, SessionContext, SessionFactory, SessionHost,
    SingleHost, Time,
};
use protoquic_qlog::QlogDirectory;
use rustls_pki_types::ServerName;

use crate::certificate;

/// A server on a port.
#[derive(Debug)]
pub struct ServerEndpoint {
    event_loop: EventLoop,
    dispatcher: Dispatcher,
    address: SocketAddr,
}

impl ServerEndpoint {
    /// Listens on this address with these kinds of sessions. The error is a line for a person.
    pub fn bind(
        address: SocketAddr,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Result<Self, String> {
        let (event_loop, writer, address) = open(address)?;
        Ok(Self::assemble(event_loop, writer, address, config, factories))
    }

    /// As [`bind`](Self::bind), and at another port too: that of a preferred address.
    pub fn bind_at_two_ports(
        address: SocketAddr,
        other_port: u16,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Result<Self, String> {
        let (mut event_loop, writer, address) = open(address)?;
        let other = SocketAddr::new(address.ip(), other_port);
        let (socket, reader, other_writer) = open_socket(other).map_err(|e| e.to_string())?;
        event_loop.add_socket(socket, reader).map_err(|error| error.to_string())?;
        let writer = Box::new(ByPortWriter::new(writer, other_writer, other_port));
        Ok(Self::assemble(event_loop, writer, address, config, factories))
    }

    /// As [`bind`](Self::bind), on a socket that is bound already and may be one of several of its
    /// port.
    pub fn on_socket(
        socket: UdpSocket,
        place: WorkerPlace,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Result<Self, String> {
        let make = || {
            let (socket, reader, writer) = prepare(socket)?;
            let address = socket.local_addr()?;
            Ok((EventLoop::new(socket, reader, SystemClock::new())?, writer, address))
        };
        let (event_loop, writer, address) = make().map_err(|e: std::io::Error| e.to_string())?;
        if place.count() == 1 {
            return Ok(Self::assemble(event_loop, writer, address, config, factories));
        }
        let ids = place.connection_ids(SERVER_ID_LENGTH).map_err(|error| error.to_string())?;
        let waker = event_loop.waker();
        place.set_wake(move || {
            let _ = waker.take_turn(); // the loop also turns every second
        });
        let mut made =
            Self::assemble_with(event_loop, writer, address, config, factories, Box::new(ids));
        made.dispatcher.set_worker(place);
        Ok(made)
    }

    fn assemble(
        event_loop: EventLoop,
        writer: Box<dyn PacketWriter>,
        address: SocketAddr,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Self {
        let ids = Box::new(RandomConnectionIds::new(SERVER_ID_LENGTH));
        Self::assemble_with(event_loop, writer, address, config, factories, ids)
    }

    fn assemble_with(
        event_loop: EventLoop,
        writer: Box<dyn PacketWriter>,
        address: SocketAddr,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
        ids: Box<dyn ConnectionIdGenerator>,
    ) -> Self {
        let dispatcher = Dispatcher::new(DispatcherSetup {
            config,
            writer,
            helper: Box::new(SystemHelper::new(event_loop.clock())),
            ids,
            factories,
            observers: None,
        });
        Self { event_loop, dispatcher, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The time now, by its event loop's clock.
    pub fn now(&self) -> Time {
        self.event_loop.now()
    }

    /// What wakes it from another thread.
    pub fn waker(&self) -> Waker {
        self.event_loop.waker()
    }

    /// Whether its event loop polls before it sleeps ([`EventLoop::set_busy_poll`]).
    pub fn set_busy_poll(&mut self, rule: BusyPoll) {
        self.event_loop.set_busy_poll(rule);
    }

    /// Its dispatcher.
    pub fn dispatcher(&mut self) -> &mut Dispatcher {
        &mut self.dispatcher
    }

    /// From now on new connections have a file in this folder, if there is one.
    pub fn write_qlog(&mut self, folder: Option<QlogDirectory>) {
        if let Some(folder) = folder {
            self.dispatcher.set_observers(Box::new(folder));
        }
    }

    /// One turn of its event loop, waiting at most so long.
    pub fn run_once(&mut self, max_wait: Option<Duration>) -> Result<(), String> {
        self.event_loop
            .run_once(&mut self.dispatcher, max_wait)
            .map_err(|error| format!("the socket on {} failed: {error}", self.address))
    }

    /// Refuses new clients and has the sessions end.
    pub fn drain(&mut self) {
        let now = self.event_loop.now();
        self.dispatcher.stop_accepting_new_connections(now);
    }

    /// Closes every session at once.
    pub fn close_all(&mut self, code: ApplicationError, reason: &str) {
        let now = self.event_loop.now();
        self.dispatcher.close_all(now, code, reason);
    }
}

/// A server's settings with defaults and a self-made certificate, for one application protocol.
/// For examples and tests.
pub fn self_made_server(alpn: &[u8]) -> Result<ServerConfig, String> {
    let tls = server_tls(None, alpn)?;
    Ok(ServerConfig { transport: Arc::new(Config::default()), tls: Arc::new(tls) })
}

/// A server's TLS for one application protocol, with the chain and the key of these PEM files, or
/// a self-made certificate. The error is a line for a person.
pub fn server_tls(
    files: Option<(&PathBuf, &PathBuf)>,
    alpn: &[u8],
) -> Result<rustls::ServerConfig, String> {
    let identity = match files {
        Some((chain, key)) => certificate::load_identity(chain, key)?,
        None => certificate::self_made()?.identity,
    };
    let alpn = vec![alpn.to_vec()];
    let provider = Some(buffered_ring_provider());
    let tls = ServerTls { provider, identity, alpn, client_verifier: None, key_log: true };
    tls.build().map_err(|error| certificate::explain_tls_error(&error))
}

/// What a client connects with.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The name that the server must prove.
    pub server_name: ServerName<'static>,
    /// Where it is.
    pub address: SocketAddr,
    /// The transport's settings.
    pub config: Arc<Config>,
    /// TLS's settings.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where the connection has a qlog file, if anywhere.
    pub qlog: Option<QlogDirectory>,
    /// Whether its event loop polls before it sleeps ([`EventLoop::set_busy_poll`]).
    pub busy_poll: BusyPoll,
}

impl ClientOptions {
    /// Defaults, for one application protocol. Believes any certificate: for examples and tests,
    /// where both ends are one's own.
    pub fn believing_anyone(address: SocketAddr, alpn: &[u8]) -> Result<Self, String> {
        let (trust, alpn) = (ServerTrust::AnyCertificate, vec![alpn.to_vec()]);
        let provider = Some(buffered_ring_provider());
        let tls = ClientTls { provider, trust, alpn, identity: None, key_log: true };
        let tls = tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let (config, tls) = (Arc::new(Config::default()), Arc::new(tls));
        let server_name = ServerName::from(address.ip());
        Ok(Self { server_name, address, config, tls, qlog: None, busy_poll: BusyPoll::default() })
    }

    /// A connection from a socket at this address. The error is a line for a person.
    pub fn connection(&self, now: Time, local: SocketAddr) -> Result<Connection, String> {
        if self.address.port() == 0 {
            return Err(format!("no server is at {}: give the port it listens on", self.address));
        }
        let qlog = self.qlog.as_ref();
        let setup = ClientSetup {
            config: Arc::clone(&self.config),
            tls: Arc::clone(&self.tls),
            server_name: self.server_name.clone(),
            path: PathAddress::new(local, self.address),
            token: Bytes::new(),
            random: Box::new(BufferedRandom),
            observer: qlog.map(|folder| Box::new(folder.observer()) as Box<dyn Observer>),
        };
        Connection::client(now, setup).map_err(|error| error.to_string())
    }
}

/// A client's session on a socket of its own.
#[derive(Debug)]
pub struct ClientEndpoint<S: Session> {
    event_loop: EventLoop,
    host: SingleHost<S>,
}

impl<S: Session> ClientEndpoint<S> {
    /// Begins to connect. `make` is given the time now.
    pub fn connect(options: ClientOptions, make: impl FnOnce(Time) -> S) -> Result<Self, String> {
        let local = connectable_from(options.address);
        Self::connect_from(local, options, make)
    }

    /// As [`connect`](Self::connect), from this address and port; 0 is any port.
    pub fn connect_from(
        local: SocketAddr,
        options: ClientOptions,
        make: impl FnOnce(Time) -> S,
    ) -> Result<Self, String> {
        let address = options.address;
        if local.is_ipv4() != address.is_ipv4() {
            return Err(format!("{address} cannot be reached from {local}: one of them is IPv6"));
        }
        let (mut event_loop, writer, local) = open(local)?;
        event_loop.set_busy_poll(options.busy_poll);
        let now = event_loop.now();
        let connection = options.connection(now, local)?;
        let host = SingleHost::new(SessionHost::new(connection, make(now)), writer);
        Ok(Self { event_loop, host })
    }

    /// The session.
    pub fn session(&self) -> &S {
        self.host.session()
    }

    /// The host.
    pub fn host(&self) -> &SingleHost<S> {
        &self.host
    }

    /// Why the connection ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.host.close_reason()
    }

    /// The time now, by its event loop's clock.
    pub fn now(&self) -> Time {
        self.event_loop.now()
    }

    /// Runs `f` with the session and its context.
    pub fn enter<R>(&mut self, f: impl FnOnce(&mut S, &mut SessionContext<'_, S>) -> R) -> R {
        let now = self.event_loop.now();
        self.host.enter(now, f)
    }

    /// Begins to close the connection.
    pub fn close(&mut self, code: ApplicationError, reason: &str) {
        let now = self.event_loop.now();
        self.host.close(now, code, reason);
    }

    /// What wakes it from another thread.
    pub fn waker(&self) -> Waker {
        self.event_loop.waker()
    }

    /// One turn of its event loop, waiting at most so long.
    pub fn run_once(&mut self, max_wait: Option<Duration>) -> Result<(), String> {
        self.event_loop
            .run_once(&mut self.host, max_wait)
            .map_err(|error| format!("the socket failed: {error}"))
    }
}

pub(crate) fn open(
    address: SocketAddr,
) -> Result<(EventLoop, Box<dyn PacketWriter>, SocketAddr), String> {
    open_with(address, &SocketOptions::default())
}

pub(crate) fn open_with(
    address: SocketAddr,
    options: &SocketOptions,
) -> Result<(EventLoop, Box<dyn PacketWriter>, SocketAddr), String> {
    let make = || {
        let (socket, reader, writer) = prepare(bind(address, options)?)?;
        let local = socket.local_addr()?;
        let event_loop = EventLoop::new(socket, reader, SystemClock::new())?;
        Ok((event_loop, writer, local))
    };
    make().map_err(|error: std::io::Error| error.to_string())
}

/// A socket, who reads it and who writes to it.
type Opened = (Arc<UdpSocket>, Box<dyn PacketReader>, Box<dyn PacketWriter>);

fn open_socket(address: SocketAddr) -> std::io::Result<Opened> {
    prepare(bind(address, &SocketOptions::default())?)
}

fn prepare(socket: UdpSocket) -> std::io::Result<Opened> {
    let socket = Arc::new(socket);
    let reader = BatchReader::new(socket.clone())?;
    let writer = GsoBatchWriter::new(socket.clone())?;
    Ok((socket, Box::new(reader), Box::new(writer)))
}

/// The first address of a host, IPv4 before IPv6 where both are there.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot find the host {host}: {error}"))?
        .collect();
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    ipv4.or(addresses.first()).copied().ok_or_else(|| format!("the host {host} has no address"))
}

/// The length of a server's connection IDs, in bytes.
const SERVER_ID_LENGTH: usize = 8;
