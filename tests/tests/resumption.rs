//! Resumption and 0-RTT in virtual time: accepted, rejected, lost, reordered, after a Retry and
//! replayed (RFC 9001 §4.6, RFC 9000 §7.4.1).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::crypto::{ServerSecret, offer_early_data, tickets_from_secret};
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::wire::{Frame, PacketType};
use protoquic::{
    CloseReason, EarlyData, EarlyDataGuard, MemorySessionCache, ServerConfig, Session,
    SessionCache, SessionHost, TransportErrorCode,
};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::filter::{Fate, FilterWriter, is_initial, is_zero_rtt};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, Factory, echo_factory};
use protoquic_tests::raw::{RawPeer, bidi};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);
const ROUND_TRIP: Duration = Duration::from_millis(20);

fn early() -> Config {
    Config { early_data: true, ..Config::default() }
}

fn server_tls() -> rustls::ServerConfig {
    let mut tls = (*tls::server(&[b"echo"])).clone();
    offer_early_data(&mut tls, 100);
    tls
}

/// A server and the settings with which clients come.
struct World<S: Session = EchoClient> {
    net: Net<S>,
    server: ServerConfig,
    client: Arc<Config>,
    client_tls: Arc<rustls::ClientConfig>,
}

impl World {
    /// Both ends want early data.
    fn new() -> Self {
        Self::with(early(), DispatcherConfig::default())
    }

    fn with(transport: Config, dispatcher: DispatcherConfig) -> Self {
        let server = ServerConfig { transport: Arc::new(transport), tls: Arc::new(server_tls()) };
        let factory = Box::new(echo_factory(server.clone()));
        let net = Net::with_dispatcher(5, Link::default(), dispatcher, vec![factory]);
        Self { net, server, client: Arc::new(early()), client_tls: tls::client(&[b"echo"]) }
    }

    fn restart(&mut self, server: ServerConfig) {
        let factory = Box::new(echo_factory(server.clone()));
        self.server = server;
        self.net.restart_server(DispatcherConfig::default(), vec![factory]);
    }

    /// Sends so many bytes on each of two streams.
    fn connect(&mut self, total: usize) -> usize {
        self.connect_through(total, |_| Fate::Pass)
    }

    fn connect_through(
        &mut self,
        total: usize,
        fate: impl FnMut(&[u8]) -> Fate + 'static,
    ) -> usize {
        let mut session = EchoClient::early(2, total);
        session.close_when_done = false;
        let (config, tls) = (self.client.clone(), self.client_tls.clone());
        self.net.connect(config, tls, session, |writer| Box::new(FilterWriter::new(writer, fate)))
    }

    /// A first connection, from which a ticket is left.
    fn warm_up(&mut self) {
        let client = self.connect(100);
        assert!(self.finish(client) > ROUND_TRIP);
        assert_eq!(self.early_data(client), EarlyData::None);
        assert!(!self.is_resumed(client));
        self.net.run_for(SECOND);
    }

    /// How long until everything came back.
    #[track_caller]
    fn finish(&mut self, client: usize) -> Duration {
        let start = self.net.now;
        let done = |net: &Net<EchoClient>| net.clients[client].session().is_done();
        let closed = |net: &Net<EchoClient>| net.clients[client].session().closed.clone();
        assert!(self.net.run_until(SECOND * 30, done), "{:?}", closed(&self.net));
        self.net.now - start
    }

    fn early_data(&self, client: usize) -> EarlyData {
        self.net.clients[client].host().connection().early_data()
    }

    fn is_resumed(&self, client: usize) -> bool {
        self.net.clients[client].host().connection().is_resumed()
    }

    fn settled(&self, client: usize) -> Option<bool> {
        self.net.clients[client].session().early_settled
    }
}

#[test]
fn a_second_connection_sends_no_certificates() {
    let mut world = World::with(Config::default(), DispatcherConfig::default());
    world.warm_up();
    let client = world.connect(100);
    let took = world.finish(client);
    assert_eq!((world.is_resumed(client), world.early_data(client)), (true, EarlyData::Rejected));
    assert_eq!(took, 2 * ROUND_TRIP);
}

#[test]
fn early_data_is_answered_in_one_round_trip() {
    // RFC 9001 §4.6.1
    let mut world = World::new();
    world.warm_up();
    let client = world.connect(100);
    assert_eq!(world.early_data(client), EarlyData::Offered);
    assert_eq!(world.finish(client), ROUND_TRIP);
    assert_eq!((world.is_resumed(client), world.early_data(client)), (true, EarlyData::Accepted));
    assert_eq!(world.settled(client), Some(true));
}

#[test]
fn each_connection_leaves_tickets_for_the_next() {
    let mut world = World::new();
    world.warm_up();
    for _ in 0..10 {
        let client = world.connect(5000);
        world.finish(client);
        assert_eq!(world.early_data(client), EarlyData::Accepted);
        world.net.run_for(SECOND / 10);
    }
}

#[test]
fn a_ticket_is_given_for_a_ticket_and_two_for_none() {
    // RFC 8446 §4.6.1: several are for connections side by side.
    let mut world = World::new();
    let cache = Arc::new(MemorySessionCache::new());
    world.client = Arc::new(Config { session_cache: Some(cache.clone()), ..early() });
    world.warm_up();
    for given in [2, 1, 1] {
        let mut tickets: Vec<_> = std::iter::from_fn(|| cache.take_ticket("localhost")).collect();
        assert_eq!(tickets.len(), given);
        cache.put_ticket("localhost", tickets.remove(0));
        let client = world.connect(100);
        world.finish(client);
        assert!(world.is_resumed(client));
        world.net.run_for(SECOND / 10);
    }
}

#[test]
fn nothing_is_sent_early_unless_the_settings_say_so() {
    // RFC 9001 §9.2: the default is safe, at either end.
    let mut world = World::new();
    world.warm_up();
    world.client = Arc::new(Config::default());
    let client = world.connect(100);
    assert_eq!(world.early_data(client), EarlyData::None);
    assert_eq!(world.finish(client), 2 * ROUND_TRIP);
    assert_eq!((world.is_resumed(client), world.settled(client)), (true, None));
}

#[test]
fn nothing_is_sent_early_unless_the_session_does() {
    let mut world = World::new();
    world.warm_up();
    let (config, tls) = (world.client.clone(), world.client_tls.clone());
    let zero_rtt = Arc::new(Mutex::new(0));
    let count = zero_rtt.clone();
    let fate = move |datagram: &[u8]| {
        *count.lock().expect("nobody panics") += usize::from(is_zero_rtt(datagram));
        Fate::Pass
    };
    let session = EchoClient::new(1, 5000);
    world.net.connect(config, tls, session, |w| Box::new(FilterWriter::new(w, fate)));
    assert_eq!(world.finish(1), 2 * ROUND_TRIP);
    assert_eq!(*zero_rtt.lock().expect("nobody panics"), 0);
}

#[test]
fn rejected_early_data_is_sent_again_from_the_start() {
    // RFC 9001 §4.6.2: a server without the ticket's other half.
    let mut world = World::new();
    world.warm_up();
    let transport = world.server.transport.clone();
    world.restart(ServerConfig { transport, tls: Arc::new(server_tls()) });
    let client = world.connect(3000);
    assert_eq!(world.finish(client), 2 * ROUND_TRIP, "neither lost nor late");
    assert_eq!((world.is_resumed(client), world.early_data(client)), (false, EarlyData::Rejected));
    assert_eq!(world.settled(client), Some(false));
    assert_eq!(world.net.clients[client].host().connection().stats().packets_lost, 0);
}

#[test]
fn lost_early_data_is_sent_again() {
    let mut world = World::new();
    world.warm_up();
    let client =
        world.connect_through(
            7000,
            |datagram| {
                if is_zero_rtt(datagram) { Fate::Drop } else { Fate::Pass }
            },
        );
    world.finish(client);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
}

#[test]
fn early_data_waits_for_the_client_hello() {
    // RFC 9001 §5.7: the Initial is overtaken by all the 0-RTT packets of the flight.
    let mut world = World::new();
    world.warm_up();
    let mut first = true;
    let client = world.connect_through(3000, move |datagram| {
        let hold = std::mem::take(&mut first) && is_initial(datagram);
        if hold { Fate::After(4) } else { Fate::Pass }
    });
    assert_eq!(world.finish(client), ROUND_TRIP);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
}

#[test]
fn early_data_survives_a_retry() {
    // RFC 9000 §17.2.5.3
    let dispatcher = DispatcherConfig {
        address_validation: AddressValidation::Always,
        ..DispatcherConfig::default()
    };
    let mut world = World::with(early(), dispatcher);
    world.warm_up();
    let client = world.connect(3000);
    assert_eq!(world.finish(client), 2 * ROUND_TRIP, "one more than without");
    assert_eq!(world.early_data(client), EarlyData::Accepted);
}

#[test]
fn a_token_of_the_cache_spares_the_retry_once() {
    // RFC 9000 §8.1.3
    let dispatcher = DispatcherConfig {
        address_validation: AddressValidation::Always,
        ..DispatcherConfig::default()
    };
    let mut world = World::with(early(), dispatcher);
    let cache = Arc::new(MemorySessionCache::new());
    world.client = Arc::new(Config { session_cache: Some(cache.clone()), ..early() });
    world.warm_up();
    let client = world.connect(3000);
    assert_eq!(world.finish(client), ROUND_TRIP);
    assert_eq!(world.early_data(client), EarlyData::Accepted);
    world.net.run_for(SECOND);
    let tokens = std::iter::from_fn(|| cache.take_token("localhost")).count();
    assert_eq!(tokens, 1, "two were given, one was used");
}

#[test]
fn a_server_that_accepts_early_data_and_takes_limits_back_is_in_error() {
    // RFC 9000 §7.4.1
    for shrink in [
        (|config: &mut Config| config.streams.max_data /= 2) as fn(&mut Config),
        |config| config.streams.max_stream_data_bidi_local /= 2,
        |config| config.streams.max_stream_data_bidi_remote /= 2,
        |config| config.streams.max_stream_data_uni /= 2,
        |config| config.streams.max_streams_bidi /= 2,
        |config| config.streams.max_streams_uni /= 2,
        |config| config.active_connection_id_limit -= 1,
    ] {
        let mut world = World::new();
        world.warm_up();
        let mut config = (*world.server.transport).clone();
        config.early_data_guard = Arc::new(EarlyDataGuard::default());
        shrink(&mut config);
        let tls = world.server.tls.clone();
        world.restart(ServerConfig { transport: Arc::new(config), tls });
        let client = world.connect(100);
        world.net.run_for(SECOND);
        let closed = &world.net.clients[client].session().closed;
        let Some(CloseReason::Transport(error)) = closed else { panic!("{closed:?}") };
        assert_eq!(error.code(), TransportErrorCode::PROTOCOL_VIOLATION);
    }
}

#[test]
fn a_server_that_has_taken_limits_back_rejects_early_data() {
    // RFC 9000 §7.4.1, draft-ietf-quic-reliable-stream-reset §3
    let changes: [fn(&mut Config); 2] =
        [|config| config.streams.max_streams_bidi = 1, |config| config.reset_stream_at = false];
    for change in changes {
        let mut world = World::new();
        world.warm_up();
        let mut config = (*world.server.transport).clone();
        change(&mut config);
        let tls = world.server.tls.clone();
        world.restart(ServerConfig { transport: Arc::new(config), tls });
        let client = world.connect(100);
        world.finish(client);
        let outcome = (world.is_resumed(client), world.early_data(client));
        assert_eq!(outcome, (true, EarlyData::Rejected));
    }
}

/// Keeps every ticket for ever, as no server should.
#[derive(Debug, Default)]
struct Hoarder(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl rustls::server::StoresServerSessions for Hoarder {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.lock().expect("nobody panics").push((key, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.0.lock().expect("nobody panics");
        kept.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// How often a server's application sees a request whose datagrams come `1 + copies` times, the
/// copies from elsewhere.
fn executions(tls: rustls::ServerConfig, copies: usize) -> usize {
    let server = ServerConfig { transport: Arc::new(early()), tls: Arc::new(tls) };
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let factory = Factory::new(&[b"echo"], server, move |connection| {
        let count = count.clone();
        let mut peer = RawPeer::new([]);
        peer.on_stream = Some(Box::new(move || *count.lock().expect("nobody panics") += 1));
        Box::new(SessionHost::new(connection, peer))
    });
    let mut net = Net::new(6, Link::default(), factory);
    let client_tls = tls::client(&[b"echo"]);
    let transport = Arc::new(early());
    net.connect(transport.clone(), client_tls.clone(), RawPeer::new([]), |w| Box::new(w));
    net.run_for(SECOND);
    let flight = Arc::new(Mutex::new(Vec::new()));
    let copy = flight.clone();
    let fate = move |datagram: &[u8]| {
        copy.lock().expect("nobody panics").push(datagram.to_vec());
        Fate::Pass
    };
    let peer = RawPeer { is_early: true, ..RawPeer::new([bidi("request")]) };
    net.connect(transport, client_tls, peer, |w| Box::new(FilterWriter::new(w, fate)));
    let flight = flight.lock().expect("nobody panics").clone();
    net.run_for(SECOND / 100);
    for copy in 0..copies {
        for datagram in &flight {
            let from = ([10, 0, 7, (copy % 250) as u8 + 1], 4000 + copy as u16).into();
            net.inject(from, protoquic_tests::net::server_address(), datagram.clone());
        }
        net.run_for(SECOND / 50);
        net.server.forget_everything(); // so that the connection ID is no obstacle
    }
    *seen.lock().expect("nobody panics")
}

#[test]
fn replayed_early_data_is_not_executed_again() {
    // RFC 9001 §9.2, RFC 8446 §8: by tickets that are used once, and by the register.
    assert_eq!(executions(server_tls(), 30), 1);
    let mut tls = server_tls();
    tls.session_storage = Arc::new(Hoarder::default());
    assert_eq!(executions(tls, 30), 1);
}

/// An attacker that resumes, with its ClientHello sent.
fn resuming_attacker(world: &mut World) -> Evil {
    let mut tls = (*tls::client(&[b"echo"])).clone();
    tls.enable_early_data = true;
    let tls = Arc::new(tls);
    let net = &mut world.net;
    let mut first = Evil::client_with(net, 5000, tls.clone(), &parameters(), unchanged());
    assert!(first.handshake(net));
    first.run(net, SECOND / 10);
    let mut evil = Evil::client_with(net, 5001, tls, &parameters(), unchanged());
    evil.start(net);
    evil
}

#[test]
fn frames_that_have_no_place_in_early_data_are_violations() {
    // RFC 9000 §12.5, RFC 9001 §8.3 (h3spec's item 34)
    let ack = protoquic_tests::evil::ack_frame(0, 0);
    let frames = [
        vec![6, 0, 2, 0, 0],
        ack,
        bytes_of(&Frame::HandshakeDone),
        bytes_of(&Frame::PathResponse([1; 8])),
    ];
    for frame in &frames {
        let mut world = World::new();
        let mut evil = resuming_attacker(&mut world);
        evil.send(&mut world.net, PacketType::ZeroRtt, frame);
        let close = evil.wait_for_close(&mut world.net).map(|close| close.code);
        assert_eq!(close, Some(TransportErrorCode::PROTOCOL_VIOLATION.0), "{frame:?}");
    }
}

#[test]
fn a_server_that_takes_no_early_data_does_not_look_at_it() {
    // RFC 9001 §4.6.2
    let mut world = World::with(Config::default(), DispatcherConfig::default());
    let mut evil = resuming_attacker(&mut world);
    evil.send(&mut world.net, PacketType::ZeroRtt, &[6, 0, 1, 0]);
    evil.run(&mut world.net, SECOND);
    assert_eq!(evil.close(), None);
}

#[test]
fn early_keys_are_kept_for_three_ptos() {
    // RFC 9001 §4.9.3. Without a measured RTT three PTO are 3.1 s.
    let mut world = World::new();
    let mut evil = resuming_attacker(&mut world);
    let challenge = |mark| bytes_of(&Frame::PathChallenge([mark; 8]));
    let held = [1, 2].map(|mark| evil.seal(PacketType::ZeroRtt, &challenge(mark), 0));
    evil.run(&mut world.net, SECOND / 20);
    assert!(evil.is_confirmed(), "{:?}", evil.close());
    evil.send_frame(&mut world.net, &Frame::Ping);
    evil.acknowledges = false; // or the server forgets which numbers it has not seen
    let waits = [SECOND / 10, SECOND * 3];
    let mut answered = held.into_iter().zip(waits).map(|(packet, wait)| {
        evil.run(&mut world.net, wait);
        evil.send_datagram(&mut world.net, packet);
        evil.run(&mut world.net, SECOND / 5);
        [1, 2].map(|mark| evil.has_seen(|frame| *frame == Frame::PathResponse([mark; 8])))
    });
    assert_eq!(answered.next(), Some([true, false]), "it was only reordered");
    assert_eq!(answered.next(), Some([true, false]), "too late");
}

#[test]
fn over_bad_links_every_byte_arrives_once_whatever_becomes_of_early_data() {
    for seed in 0..300 {
        let mut world = World::new();
        world.net = Net::with_dispatcher(
            seed,
            Link::default(),
            DispatcherConfig::default(),
            vec![Box::new(echo_factory(world.server.clone()))],
        );
        world.warm_up();
        let delay = Duration::from_millis(10);
        world.net.link =
            Link { delay, loss: 100, reorder: 200, duplicate: 50, corrupt: 20, mtu: 1500 };
        if seed % 3 == 0 {
            let transport = world.server.transport.clone();
            world.restart(ServerConfig { transport, tls: Arc::new(server_tls()) });
        }
        let client = world.connect(20_000);
        world.finish(client);
        assert_ne!(world.early_data(client), EarlyData::Offered, "seed {seed}");
    }
}

#[test]
fn with_a_secret_tokens_and_tickets_outlive_the_server() {
    // RFC 9000 §8.1.3, §10.3.2; RFC 8446 §2.2
    let start = |world: &mut World, secret| {
        let secret = ServerSecret::new(secret);
        let mut tls = (*tls::server(&[b"echo"])).clone();
        tickets_from_secret(&mut tls, &secret);
        let transport = Arc::new(Config::default());
        world.server = ServerConfig { transport, tls: Arc::new(tls) };
        let dispatcher = DispatcherConfig {
            address_validation: AddressValidation::Always,
            secret: Some(secret),
            ..DispatcherConfig::default()
        };
        let factory = Box::new(echo_factory(world.server.clone()));
        world.net.change_server_seed();
        world.net.restart_server(dispatcher, vec![factory]);
    };
    let mut world = World::new();
    let cache = Arc::new(MemorySessionCache::new());
    world.client = Arc::new(Config { session_cache: Some(cache), ..Config::default() });
    start(&mut world, [1; 32]);
    let first = world.connect(100);
    assert_eq!(world.finish(first), 3 * ROUND_TRIP, "with a Retry");
    world.net.run_for(SECOND);
    start(&mut world, [1; 32]);
    let second = world.connect(100);
    assert_eq!(world.finish(second), 2 * ROUND_TRIP, "without one");
    assert!(world.is_resumed(second));
    // The first connection is gone, and is told so by a reset that it believes.
    world.net.clients[first].enter(world.net.now, |_, cx| cx.connection().ping());
    world.net.kick();
    world.net.run_for(SECOND);
    let closed = &world.net.clients[first].session().closed;
    assert_eq!(closed, &Some(CloseReason::StatelessReset));
    start(&mut world, [2; 32]);
    let third = world.connect(100);
    assert_eq!(world.finish(third), 3 * ROUND_TRIP, "another secret");
    assert!(!world.is_resumed(third));
}
