//! The interop client: divides the files among connections as its test case wants, and runs one
//! connection after another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use protoquic::crypto::{ClientTls, ring_provider};
use protoquic::readers::BusyPoll;
use protoquic::wire::Version;
use protoquic::{ApplicationError, Config, MemorySessionCache, SessionCache};
use protoquic_qlog::QlogDirectory;
use rustls::CipherSuite;
use rustls_pki_types::ServerName;

use super::downloads::{Download, Downloads};
use super::environment::Protocol;
use super::hq_client::HqClient;
use super::test_case::ClientCase;
use crate::client::{Destination, FetchOptions, PushLimits, RequestBody, fetch_all};
use crate::endpoint::{ClientEndpoint, ClientOptions, resolve};
use crate::trust::server_trust;

/// What the client is to do.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The test case.
    pub case: ClientCase,
    /// The files.
    pub downloads: Downloads,
    /// The protocol.
    pub protocol: Protocol,
    /// Certificates to believe, in PEM; any certificate is believed without, as the runner's are
    /// made anew for each run.
    pub ca_file: Option<PathBuf>,
    /// Where each connection has a qlog file, if anywhere.
    pub qlog: Option<QlogDirectory>,
}

/// Fetches everything. The error is a line for a person.
pub fn run_client(plan: &ClientPlan) -> Result<(), String> {
    let client = Client::new(plan)?;
    let files = &plan.downloads.files;
    match plan.case {
        ClientCase::MultiConnect => {
            for file in files {
                client.fetch(std::slice::from_ref(file), false)?;
            }
            Ok(())
        }
        ClientCase::Resumption | ClientCase::ZeroRtt => {
            let (first, rest) = files.split_at(1);
            client.fetch(first, true)?;
            client.fetch(rest, false)
        }
        ClientCase::Transfer
        | ClientCase::ChaCha20
        | ClientCase::KeyUpdate
        | ClientCase::Version2
        | ClientCase::Http3 => client.fetch(files, false),
    }
}

/// What all connections have in common.
struct Client<'a> {
    plan: &'a ClientPlan,
    address: SocketAddr,
    server_name: ServerName<'static>,
    /// Shared with its cache, so that a later connection finds the tickets of an earlier one.
    config: Arc<Config>,
    tls: Arc<rustls::ClientConfig>,
}

impl<'a> Client<'a> {
    fn new(plan: &'a ClientPlan) -> Result<Self, String> {
        let Downloads { host, port, .. } = &plan.downloads;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(name)
            .map_err(|error| format!("{host} is no name of a server: {error}"))?;
        let resumes = matches!(plan.case, ClientCase::Resumption | ClientCase::ZeroRtt);
        let cache = || Arc::new(MemorySessionCache::new()) as Arc<dyn SessionCache>;
        let mut config = Config {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            early_data: plan.case == ClientCase::ZeroRtt,
            session_cache: resumes.then(cache),
            ..Config::default()
        };
        if plan.case == ClientCase::Version2 {
            config.preferred_versions = vec![Version::V2];
        }
        if config.early_data {
            // Whatever is not early counts against the client, probes for the path's MTU too.
            config.max_packet_size = config.initial_packet_size;
        }
        Ok(Self {
            plan,
            address: resolve(host, *port)?,
            server_name,
            config: Arc::new(config),
            tls: Arc::new(client_tls(plan)?),
        })
    }

    /// Fetches these on one connection. If another is to resume it, stays for the tickets.
    fn fetch(&self, files: &[Download], stay: bool) -> Result<(), String> {
        match self.plan.protocol {
            Protocol::Hq => self.fetch_hq(files, stay),
            Protocol::H3 => self.fetch_h3(files),
        }
    }

    fn fetch_hq(&self, files: &[Download], stay: bool) -> Result<(), String> {
        let update = self.plan.case == ClientCase::KeyUpdate;
        let session = |_| HqClient::new(files).updating_keys(update);
        let options = ClientOptions {
            server_name: self.server_name.clone(),
            address: self.address,
            config: Arc::clone(&self.config),
            tls: Arc::clone(&self.tls),
            qlog: self.plan.qlog.clone(),
            busy_poll: BusyPoll::default(),
        };
        let mut endpoint = ClientEndpoint::connect(options, session)?;
        let outcome = loop {
            endpoint.run_once(Some(LOOK_AGAIN))?;
            if let Some(outcome) = endpoint.session().outcome() {
                break outcome;
            }
        };
        let until = endpoint.now() + if stay { TICKETS_WITHIN } else { Duration::ZERO };
        while endpoint.now() < until {
            endpoint.run_once(Some(LOOK_AGAIN))?;
        }
        endpoint.close(ApplicationError(0), "");
        while endpoint.close_reason().is_none() {
            endpoint.run_once(Some(LOOK_AGAIN))?;
        }
        outcome
    }

    fn fetch_h3(&self, files: &[Download]) -> Result<(), String> {
        let urls: Vec<Uri> = files.iter().map(|file| file.url.clone()).collect();
        let options = FetchOptions {
            local: None,
            address: self.address,
            server_name: self.server_name.clone(),
            config: Arc::clone(&self.config),
            tls: Arc::clone(&self.tls),
            qlog: self.plan.qlog.clone(),
            method: None,
            headers: HeaderMap::new(),
            body: RequestBody::None,
            destination: Destination::at(&self.plan.downloads.folder, urls.len())?,
            quiet: true,
            timeout: None,
            pushes: 0,
            push_limits: PushLimits::default(),
            update_keys: self.plan.case == ClientCase::KeyUpdate,
        };
        for (url, outcome) in urls.iter().zip(fetch_all(&urls, &options)?) {
            match outcome {
                Ok(status) if status.is_success() => {}
                Ok(status) => return Err(format!("{url}: the server answered {status}")),
                Err(failure) => return Err(format!("{url}: {failure}")),
            }
        }
        Ok(())
    }
}

fn client_tls(plan: &ClientPlan) -> Result<rustls::ClientConfig, String> {
    let trust = server_trust(plan.ca_file.is_none(), plan.ca_file.as_deref())?;
    let mut provider = ring_provider();
    if plan.case == ClientCase::ChaCha20 {
        let only = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        Arc::make_mut(&mut provider).cipher_suites.retain(|suite| suite.suite() == only);
    }
    let alpn = match plan.protocol {
        Protocol::Hq => super::HQ_ALPN,
        Protocol::H3 => protoquic::http::ALPN,
    };
    let tls = ClientTls {
        provider: Some(provider),
        trust,
        alpn: vec![alpn.to_vec()],
        identity: None,
        key_log: true,
    };
    tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))
}

/// The runner's networks lose a third of all packets; it gives a test a minute or more.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(50);
/// How long to wait for session tickets after the last file.
const TICKETS_WITHIN: Duration = Duration::from_millis(200);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
