//! [`SessionFactory`]: makes the session for an accepted connection (Chromium:
//! QuicDispatcher::CreateQuicSession). One port may serve several protocols, each with a factory of
//! its own, chosen by ALPN.

use std::sync::Arc;

use super::Host;
use crate::connection::{Config, Connection};

/// What the client asked for, read from its ClientHello before any key was agreed; not yet
/// authenticated.
#[derive(Clone, Copy, Debug)]
pub struct ClientHelloInfo<'a> {
    /// The host name of the SNI extension.
    pub server_name: Option<&'a str>,
    /// The application protocols offered, most wanted first.
    pub alpn: &'a [Vec<u8>],
}

/// A session that a factory will not make. The client gets CONNECTION_REFUSED with this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject(pub String);

/// What every connection of a server has in common.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The transport's settings and limits.
    pub transport: Arc<Config>,
    /// Certificates, cipher suites, ALPN.
    pub tls: Arc<rustls::ServerConfig>,
}

/// Makes sessions of one kind.
pub trait SessionFactory {
    /// The application protocols that it serves, most wanted first. A dispatcher with several
    /// factories gives a client to the first factory that serves one of the client's protocols.
    fn alpn(&self) -> &[Vec<u8>];

    /// The settings for a connection that asks for this. Called before the connection is made.
    fn server_config(&mut self, hello: &ClientHelloInfo<'_>) -> ServerConfig;

    /// The session for this connection, in its host. Called once for each accepted connection,
    /// after its first flight was read and before it is processed.
    fn create_session(
        &mut self,
        connection: Connection,
        hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject>;
}

/// A factory whose sessions all come from one function.
///
/// ```no_run
/// use protoquic_core::{FnFactory, SessionHost};
/// # use protoquic_core::{Refuse, ServerConfig, Session, SessionContext, Stream, StreamContext, StreamId};
/// # struct Echo;
/// # struct EchoStream;
/// # impl Session for Echo {
/// #     type Stream = EchoStream;
/// #     fn create_incoming_stream(&mut self, _: StreamId, _: &mut SessionContext<'_, Self>) -> Result<EchoStream, Refuse> { Ok(EchoStream) }
/// # }
/// # impl Stream<Echo> for EchoStream { fn on_data_available(&mut self, _: &mut StreamContext<'_, Echo>) {} }
/// # fn config() -> ServerConfig { unreachable!() }
/// let factory = FnFactory::new(&[b"echo"], config(), |connection| {
///     Box::new(SessionHost::new(connection, Echo))
/// });
/// ```
pub struct FnFactory<F> {
    alpn: Vec<Vec<u8>>,
    config: ServerConfig,
    make: F,
}

impl<F> std::fmt::Debug for FnFactory<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnFactory").field("alpn", &self.alpn).finish_non_exhaustive()
    }
}

impl<F: FnMut(Connection) -> Box<dyn Host>> FnFactory<F> {
    /// A factory for these protocols, most wanted first, with these settings.
    pub fn new(alpn: &[&[u8]], config: ServerConfig, make: F) -> Self {
        Self { alpn: alpn.iter().map(|alpn| alpn.to_vec()).collect(), config, make }
    }
}

impl<F: FnMut(Connection) -> Box<dyn Host>> SessionFactory for FnFactory<F> {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.config.clone()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        Ok((self.make)(connection))
    }
}
