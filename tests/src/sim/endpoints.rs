//! Servers and clients of QUIC as actors of the simulator, with any session factory and any
//! session: [`Simulator::add_server`], [`Simulator::add_client`]. This file must not know their
//! protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use protoquic::connection::{Config, RandomConnectionIds};
use protoquic::dispatcher::{Dispatcher, DispatcherConfig, DispatcherSetup};
use protoquic::readers::VirtualHelper;
use protoquic::{
    ClientSetup, Connection, Observer, PacketWriter, PathAddress, SeededRandom, Session,
    SessionFactory, SessionHost, SingleHost,
};

use super::actor::{Endpoint, SimWriter};
use super::simulator::{Handle, Simulator};
use super::topology::NodeId;

/// A server: a dispatcher with its sessions.
pub type Server = Endpoint<Dispatcher>;
/// A client with its one session.
pub type Client<S> = Endpoint<SingleHost<S>>;

/// What a client starts from.
pub struct ClientSpec {
    /// Its own address.
    pub local: SocketAddr,
    /// Where the server is, as the client knows it.
    pub server: SocketAddr,
    /// The transport's settings.
    pub config: Arc<Config>,
    /// Roots and ALPN.
    pub tls: Arc<rustls::ClientConfig>,
    /// The name that the server must prove.
    pub server_name: String,
    /// A token of an earlier connection; may be empty.
    pub token: Bytes,
    /// Who watches.
    pub observer: Option<Box<dyn Observer>>,
}

impl std::fmt::Debug for ClientSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSpec")
            .field("local", &self.local)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl ClientSpec {
    /// A client with default settings that believes the [test certificate](crate::tls).
    pub fn new(local: SocketAddr, server: SocketAddr, alpn: &[&[u8]]) -> Self {
        Self {
            local,
            server,
            config: Arc::new(Config::default()),
            tls: crate::tls::client(alpn),
            server_name: "localhost".to_owned(),
            token: Bytes::new(),
            observer: None,
        }
    }
}

impl Simulator {
    /// A server on this host.
    pub fn add_server(
        &mut self,
        node: NodeId,
        address: SocketAddr,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Handle<Server> {
        let helper = Box::new(VirtualHelper::new(self.time(), self.dice().number()));
        self.add_actor(node, address, |writer| {
            Endpoint::new(Dispatcher::new(DispatcherSetup {
                config,
                writer: Box::new(writer),
                helper,
                ids: Box::new(RandomConnectionIds::new(8)),
                factories,
                observers: None,
            }))
        })
    }

    /// A client on this host. It begins its handshake at once.
    pub fn add_client<S: Session>(
        &mut self,
        node: NodeId,
        spec: ClientSpec,
        session: S,
    ) -> Handle<Client<S>> {
        self.add_client_with(node, spec, session, |writer| Box::new(writer))
    }

    /// A client whose writer is wrapped.
    pub fn add_client_with<S: Session>(
        &mut self,
        node: NodeId,
        spec: ClientSpec,
        session: S,
        wrap: impl FnOnce(SimWriter) -> Box<dyn PacketWriter>,
    ) -> Handle<Client<S>> {
        let random = Box::new(SeededRandom::new(self.dice().number()));
        let ClientSpec { local, server, config, tls, server_name, token, observer } = spec;
        let setup = ClientSetup {
            config,
            tls,
            server_name: server_name.try_into().expect("the server's name is a name"),
            path: PathAddress::new(local, server),
            token,
            random,
            observer,
        };
        let connection = Connection::client(self.now(), setup).expect("the settings are valid");
        let host = SessionHost::new(connection, session);
        self.add_actor(node, local, |writer| Endpoint::new(SingleHost::new(host, wrap(writer))))
    }
}
