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
