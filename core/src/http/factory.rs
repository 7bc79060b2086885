//! [`Http3ServerFactory`]: HTTP/3 sessions for a dispatcher, all on one backend.

use std::sync::Arc;

use super::ALPN;
use super::backend::Backend;
use super::config::Http3Config;
use super::server::Http3ServerSession;
use crate::connection::Connection;
use crate::session::{ClientHelloInfo, Host, Reject, ServerConfig, SessionFactory, SessionHost};

/// Makes an [`Http3ServerSession`] of every connection that asks for `h3`.
#[derive(Clone, Debug)]
pub struct Http3ServerFactory<B> {
    backend: B,
    http: Arc<Http3Config>,
    server: ServerConfig,
    alpn: [Vec<u8>; 1],
}

impl<B: Backend + Clone> Http3ServerFactory<B> {
    /// Sessions on clones of this backend (an `Rc` or `Arc`, usually). The TLS settings of `server`
    /// must offer [`ALPN`].
    pub fn new(backend: B, server: ServerConfig, http: impl Into<Arc<Http3Config>>) -> Self {
        Self { backend, http: http.into(), server, alpn: [ALPN.to_vec()] }
    }
}

impl<B: Backend + Clone + 'static> SessionFactory for Http3ServerFactory<B> {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.server.clone()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        let session = Http3ServerSession::new(self.backend.clone(), Arc::clone(&self.http));
        Ok(Box::new(SessionHost::new(connection, session)))
    }
}
