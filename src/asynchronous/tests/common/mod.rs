//! What the tests of the futures share: a pair that is connected, on real sockets, and either runtime
//! to run a test on.

#![allow(dead_code, clippy::missing_panics_doc, reason = "not every test uses all of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use protoquic_asynchronous::{Connection, Endpoint, Settings};

/// No test takes longer: it fails instead of hanging.
const LONG: Duration = Duration::from_mins(2);

/// Runs a test on each runtime.
#[macro_export]
macro_rules! on_both_runtimes {
    ($($name:ident),+ $(,)?) => {
        mod on_tokio {
            $(#[test] fn $name() { $crate::common::on_tokio(super::$name()); })+
        }
        mod on_smol {
            $(#[test] fn $name() { $crate::common::on_smol(super::$name()); })+
        }
    };
}

pub(crate) fn on_tokio<R>(test: impl Future<Output = R>) -> R {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, test).await.expect("it takes too long") })
}

pub(crate) fn on_smol<R>(test: impl Future<Output = R>) -> R {
    let late = async {
        smol::Timer::after(LONG).await;
        panic!("it takes too long")
    };
    smol::block_on(smol::future::or(test, late))
}

/// Starts a task on the runtime that this runs on.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::spawn(task);
    } else {
        smol::spawn(task).detach();
    }
}

/// A certificate for localhost and its key, in PEM.
pub(crate) fn identity() -> (&'static str, &'static str) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    let (certificate, key) = MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    (certificate, key)
}

pub(crate) fn server_settings() -> Settings {
    let (certificate, key) = identity();
    Settings::new().identity(certificate, key)
}

pub(crate) fn client_settings() -> Settings {
    Settings::new().authorities(identity().0)
}

pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A client's connection and the server's of it, with their endpoints.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) clients: Endpoint,
    pub(crate) servers: Endpoint,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(server_settings(), client_settings()).await
    }

    pub(crate) async fn with(server: Settings, client: Settings) -> Self {
        let servers = Endpoint::server(ANY_PORT, &server).unwrap();
        let clients = Endpoint::client(&client).unwrap();
        let (client, server) = meet(&clients, &servers).await;
        Self { client, server, clients, servers }
    }
}

pub(crate) async fn meet(clients: &Endpoint, servers: &Endpoint) -> (Connection, Connection) {
    let connecting = clients.connect(servers.local_address().unwrap(), "localhost").unwrap();
    let (client, server) = smol::future::zip(connecting, servers.accept()).await;
    (client.unwrap(), server.unwrap())
}

/// Bytes that show where they belong.
pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) % 251) as u8).collect()
}
