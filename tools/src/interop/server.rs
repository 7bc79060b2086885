//! The interop server: both protocols on one port, set up for its test case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use protoquic::connection::{Config, PreferredAddresses};
use protoquic::crypto::{Identity, ServerTls, offer_early_data};
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::http::{ALPN, Backend, Http3Config, Http3ServerFactory, MemoryBackend};
use protoquic::wire::Version;
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
    /// The port that clients are asked to come to, where the case is about that.
    pub preferred_port: u16,
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
    let at_two_ports = plan.case == ServerCase::ConnectionMigration;
    let mut server = if at_two_ports {
        ServerEndpoint::bind_at_two_ports(plan.listen, plan.preferred_port, limits, factories)?
    } else {
        ServerEndpoint::bind(plan.listen, limits, factories)?
    };
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
    let mut tls = tls.build().map_err(|error| certificate::explain_tls_error(&error))?;
    let early_data = plan.case == ServerCase::ZeroRtt;
    if early_data {
        offer_early_data(&mut tls, MAX_TICKETS);
    }
    let mut transport = Config {
        handshake_timeout: super::client::HANDSHAKE_TIMEOUT,
        early_data,
        ..Config::default()
    };
    match plan.case {
        ServerCase::Version2 => transport.preferred_versions = vec![Version::V2],
        ServerCase::ConnectionMigration => transport.preferred_address = preferred_address(plan)?,
        _ => {}
    }
    Ok(ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) })
}

/// The preferred port at the address listened at, or at all addresses that others reach us at.
fn preferred_address(plan: &ServerPlan) -> Result<PreferredAddresses, String> {
    let port = plan.preferred_port;
    let addresses = match plan.listen.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => (Some(ip), None),
        IpAddr::V6(ip) if !ip.is_unspecified() => (None, Some(ip)),
        _ => own_addresses(),
    };
    if addresses == (None, None) {
        return Err("this machine has no address that clients could be asked to come to".into());
    }
    Ok(PreferredAddresses {
        ipv4: addresses.0.map(|ip| SocketAddrV4::new(ip, port)),
        ipv6: addresses.1.map(|ip| SocketAddrV6::new(ip, port, 0, 0)),
    })
}

/// Where packets to far away would come from; no packet is sent to find out. The far addresses are
/// those of documentation (RFC 5737 §3, RFC 3849).
fn own_addresses() -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let from = |any: IpAddr, far: IpAddr| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((far, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let ipv4 = from(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let ipv6 = from(Ipv6Addr::UNSPECIFIED.into(), far.into());
    let ipv4 = ipv4.and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
    (ipv4, ipv6.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }))
}

/// How many tickets it remembers: a case makes no more than two connections.
const MAX_TICKETS: usize = 256;
