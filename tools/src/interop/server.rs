//! The interop server: both protocols on one port, set up for its test case.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use protoquic::connection::Config;
use protoquic::crypto::{Identity, ServerTls};
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::http::{ALPN, Backend, Http3Config, Http3ServerFactory, MemoryBackend};
use protoquic::{ServerConfig, SessionFactory};
use protoquic_qlog::QlogDirectory;

use super::test_case::ServerCase;
use super::{HQ_ALPN, hq_factory};
use crate::certificate;
use crate::endpoint::ServerEndpoint;
use crate::server::{FileBackend, SiteBackend};

/// What the server is to be.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// The test case.
    pub case: ServerCase,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder it serves.
    pub www: PathBuf,
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Where each connection has a qlog file, if anywhere.
    pub qlog: Option<QlogDirectory>,
}

/// Puts the server on its port. The error is a line for a person.
pub fn bind_server(plan: &ServerPlan) -> Result<ServerEndpoint, String> {
    let files = FileBackend::new(&plan.www)?;
    let memory = MemoryBackend::new();
    let backend: Arc<dyn Backend> = Arc::new(SiteBackend { files: Some(files), memory });
    let h3 = Http3ServerFactory::new(backend, server_config(plan, ALPN)?, Http3Config::default());
    let hq = hq_factory(server_config(plan, HQ_ALPN)?, &plan.www);
    let factories: Vec<Box<dyn SessionFactory>> = vec![Box::new(hq), Box::new(h3)];
    let mut limits = DispatcherConfig::default();
    if plan.case == ServerCase::Retry {
        limits.address_validation = AddressValidation::Always;
    }
    let mut server = ServerEndpoint::bind(plan.listen, limits, factories)?;
    server.write_qlog(plan.qlog.clone());
    Ok(server)
}

fn server_config(plan: &ServerPlan, alpn: &[u8]) -> Result<ServerConfig, String> {
    let Identity { chain, key } = certificate::load_identity(&plan.certificate, &plan.key)?;
    let tls = ServerTls {
        provider: None,
        identity: Identity { chain, key },
        alpn: vec![alpn.to_vec()],
        client_verifier: None,
        key_log: true,
    };
    let tls = tls.build().map_err(|error| certificate::explain_tls_error(&error))?;
    let transport =
        Config { handshake_timeout: super::client::HANDSHAKE_TIMEOUT, ..Config::default() };
    Ok(ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) })
}
