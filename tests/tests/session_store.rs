//! Sessions of a server in a store of its owner's: clients resume them with early data after a
//! restart and at another server, and nobody twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protoquic::connection::{Config, EarlyData};
use protoquic::crypto::{MemorySessionStore, offer_early_data_from};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{FnFactory, MemorySessionCache, ServerConfig, SessionFactory, SessionHost};
use protoquic_tests::filter::{Fate, FilterWriter};
use protoquic_tests::net::{Link, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::raw::{RawPeer, bidi};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);

fn early() -> Config {
    Config { early_data: true, ..Config::default() }
}

/// A server of these settings whose sessions are in this store.
fn server(transport: Config, store: &Arc<MemorySessionStore>) -> ServerConfig {
    let mut tls = (*tls::server(&[b"echo"])).clone();
    offer_early_data_from(&mut tls, store.clone(), transport.early_terms().as_bytes());
    ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) }
}

fn factories(config: ServerConfig) -> Vec<Box<dyn SessionFactory>> {
    vec![Box::new(echo_factory(config))]
}

struct World {
    net: Net<EchoClient>,
    store: Arc<MemorySessionStore>,
    client: Arc<Config>,
    tls: Arc<rustls::ClientConfig>,
}

impl World {
    /// A server, and a client that has been there once.
    fn new() -> Self {
        let store = Arc::new(MemorySessionStore::new(100));
        let dispatcher = DispatcherConfig::default();
        let config = factories(server(early(), &store));
        let net = Net::with_dispatcher(7, Link::default(), dispatcher, config);
        let session_cache = Some(Arc::new(MemorySessionCache::new()) as _);
        let client = Arc::new(Config { session_cache, ..early() });
        let mut world = Self { net, store, client, tls: tls::client(&[b"echo"]) };
        let (early, resumed) = world.visit();
        assert!(early == EarlyData::None && !resumed);
        world
    }

    /// All that the server's process knew is gone, but for the store.
    fn restart(&mut self, transport: Config) {
        let config = server(transport, &self.store);
        self.net.restart_server(DispatcherConfig::default(), factories(config));
    }

    /// A connection; what became of early data, and whether it resumed a session.
    fn visit(&mut self) -> (EarlyData, bool) {
        let session = EchoClient::early(1, 1000);
        let (config, tls) = (self.client.clone(), self.tls.clone());
        let client = self.net.connect(config, tls, session, |writer| Box::new(writer));
        let done = |net: &Net<EchoClient>| net.clients[client].session().is_done();
        assert!(self.net.run_until(SECOND * 10, done), "every byte comes back in any case");
        self.net.run_for(SECOND);
        let connection = self.net.clients[client].host().connection();
        (connection.early_data(), connection.is_resumed())
    }
}

#[test]
fn early_data_is_accepted_after_a_restart() {
    let mut world = World::new();
    let kept = world.store.len();
    assert!(kept > 0);
    world.restart(early());
    assert_eq!(world.visit(), (EarlyData::Accepted, true));
    world.restart(early());
    assert_eq!(world.visit(), (EarlyData::Accepted, true), "with a ticket of the second server");
}

#[test]
fn another_store_knows_no_session() {
    let mut world = World::new();
    world.store = Arc::new(MemorySessionStore::new(100));
    world.restart(early());
    assert_eq!(world.visit(), (EarlyData::Rejected, false));
}

#[test]
fn a_server_that_promises_less_after_a_restart_takes_no_early_data() {
    // RFC 9000 §7.4.1
    let mut world = World::new();
    let mut less = early();
    less.streams.max_data /= 2;
    world.restart(less);
    assert_eq!(world.visit(), (EarlyData::Rejected, false));
}

/// A server whose peers count the streams that clients open.
fn counting(
    store: &Arc<MemorySessionStore>,
    count: &Arc<AtomicU64>,
) -> Vec<Box<dyn SessionFactory>> {
    let count = count.clone();
    let factory = FnFactory::new(&[b"echo"], server(early(), store), move |connection| {
        let count = count.clone();
        let mut peer = RawPeer::new([]);
        peer.on_stream = Some(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        Box::new(SessionHost::new(connection, peer))
    });
    vec![Box::new(factory)]
}

#[test]
fn early_data_that_is_replayed_to_another_server_is_not_taken() {
    // RFC 8446 §8.1: the other server has a guard of its own, which has seen nothing.
    let (store, count) = (Arc::new(MemorySessionStore::new(100)), Arc::new(AtomicU64::new(0)));
    let dispatcher = DispatcherConfig::default();
    let mut net = Net::with_dispatcher(6, Link::default(), dispatcher, counting(&store, &count));
    let (client_tls, transport) = (tls::client(&[b"echo"]), Arc::new(early()));
    net.connect(transport.clone(), client_tls.clone(), RawPeer::new([]), |w| Box::new(w));
    net.run_for(SECOND);
    let flight = Arc::new(Mutex::new(Vec::new()));
    let copy = flight.clone();
    let fate = move |datagram: &[u8]| {
        copy.lock().unwrap().push(datagram.to_vec());
        Fate::Pass
    };
    let peer = RawPeer { is_early: true, ..RawPeer::new([bidi("request")]) };
    net.connect(transport, client_tls, peer, |w| Box::new(FilterWriter::new(w, fate)));
    let flight = flight.lock().unwrap().clone();
    net.run_for(SECOND / 100);
    for copy in 0..5 {
        net.restart_server(DispatcherConfig::default(), counting(&store, &count));
        for datagram in &flight {
            let from = ([10, 0, 7, copy + 1], 4000).into();
            net.inject(from, server_address(), datagram.clone());
        }
        net.run_for(SECOND / 50);
        assert_eq!(net.server.stats().sessions_created, 1, "the replay is heard");
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
