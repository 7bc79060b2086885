//! Random and mutated datagrams into a server and a client in one process: no panic, and what they
//! keep stays bounded. `PROTOQUIC_FUZZ_ROUNDS` sets how many datagrams, `PROTOQUIC_FUZZ_SEED` which.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protoquic::connection::{Config, RandomConnectionIds};
use protoquic::dispatcher::{Dispatcher, DispatcherConfig, DispatcherSetup};
use protoquic::readers::{TimerWheel, VirtualHelper, VirtualTime};
use protoquic::writers::{RecordedPacket, Recording, RecordingWriter};
use protoquic::{
    AlarmFactory, ClientSetup, Connection, Ecn, EventLoopVisitor, PathAddress, RandomGenerator,
    ReceivedPacket, SeededRandom, ServerConfig, SessionHost, SingleHost,
};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

struct Pair {
    time: VirtualTime,
    random: SeededRandom,
    server: Dispatcher,
    server_sent: Recording,
    server_alarms: TimerWheel,
    client: SingleHost<EchoClient>,
    client_sent: Recording,
    client_alarms: TimerWheel,
    connections: u64,
    corpus: Vec<Vec<u8>>,
}

fn server_address() -> SocketAddr {
    ([10, 0, 0, 1], 443).into()
}

impl Pair {
    fn new(seed: u64) -> Self {
        let time = VirtualTime::default();
        let server_sent = Recording::default();
        let transport = Arc::new(Config::default());
        let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
        let server = Dispatcher::new(DispatcherSetup {
            config: DispatcherConfig::default(),
            writer: Box::new(RecordingWriter::alone(server_sent.clone())),
            helper: Box::new(VirtualHelper::new(time.clone(), seed)),
            ids: Box::new(RandomConnectionIds::new(8)),
            factories: vec![Box::new(echo_factory(config))],
            observers: None,
        });
        let client_sent = Recording::default();
        let client = connect(&time, &client_sent, seed);
        let (server_alarms, client_alarms) = (TimerWheel::default(), TimerWheel::default());
        let random = SeededRandom::new(seed);
        let (connections, corpus) = (0, Vec::new());
        Self {
            time,
            random,
            server,
            server_sent,
            server_alarms,
            client,
            client_sent,
            client_alarms,
            connections,
            corpus,
        }
    }

    /// One exchange of real datagrams, with bad ones among them.
    fn round(&mut self) -> u64 {
        let step = Duration::from_micros(self.random.next_u64() % 20_000);
        self.time.advance(step);
        let mut sent = 0;
        turn(&mut self.client, &mut self.client_alarms, &self.time);
        for packet in self.client_sent.take() {
            sent += self.deliver(&packet, true);
        }
        turn(&mut self.server, &mut self.server_alarms, &self.time);
        for packet in self.server_sent.take() {
            sent += self.deliver(&packet, false);
        }
        for _ in 0..20 {
            let noise = self.noise();
            let to_server = self.random.next_u64().is_multiple_of(2);
            self.inject(noise, to_server);
            sent += 1;
        }
        if self.client.close_reason().is_some() || self.random.next_u64().is_multiple_of(200) {
            self.connections += 1;
            self.client_alarms = TimerWheel::default();
            self.client = connect(&self.time, &self.client_sent, self.connections);
        }
        sent
    }

    /// Delivers a packet, most times, and mutations of it.
    fn deliver(&mut self, packet: &RecordedPacket, to_server: bool) -> u64 {
        if self.corpus.len() < 500 {
            self.corpus.push(packet.data.clone());
        } else {
            let at = self.random.next_u64() as usize % self.corpus.len();
            self.corpus[at].clone_from(&packet.data);
        }
        let mutations = self.random.next_u64() % 4;
        for _ in 0..mutations {
            let mutated = mutate(packet.data.clone(), &mut self.random);
            self.inject(mutated, to_server);
        }
        if !self.random.next_u64().is_multiple_of(20) {
            self.inject(packet.data.clone(), to_server);
        }
        mutations + 1
    }

    fn noise(&mut self) -> Vec<u8> {
        if !self.corpus.is_empty() && !self.random.next_u64().is_multiple_of(3) {
            let at = self.random.next_u64() as usize % self.corpus.len();
            return mutate(self.corpus[at].clone(), &mut self.random);
        }
        let mut bytes = vec![0; self.random.next_u64() as usize % 1500];
        self.random.fill(&mut bytes);
        if let Some(first) = bytes.first_mut()
            && self.random.next_u64().is_multiple_of(2)
        {
            *first |= 0xc0;
            let len = bytes.len().min(6);
            bytes[1.min(len)..len].copy_from_slice(&[0, 0, 0, 1, 8][..len.saturating_sub(1)]);
        }
        bytes
    }

    fn inject(&mut self, data: Vec<u8>, to_server: bool) {
        let port = 10_000 + (self.random.next_u64() % 3) as u16;
        let client = SocketAddr::from(([10, 0, 1, 1], port));
        let (local, peer) =
            if to_server { (server_address(), client) } else { (client, server_address()) };
        let packet = ReceivedPacket {
            path: PathAddress::new(local, peer),
            ecn: Ecn::from_bits(self.random.next_u64() as u8),
            received: self.time.now(),
            data: BytesMut::from(&data[..]),
        };
        let visitor: &mut dyn EventLoopVisitor =
            if to_server { &mut self.server } else { &mut self.client };
        visitor.on_packet(packet);
    }
}

fn connect(time: &VirtualTime, sent: &Recording, seed: u64) -> SingleHost<EchoClient> {
    let path = PathAddress::new(([10, 0, 1, 1], 10_000).into(), server_address());
    let setup = ClientSetup {
        config: Arc::new(Config::default()),
        tls: tls::client(&[b"echo"]),
        server_name: "localhost".try_into().expect("localhost is a name"),
        path,
        token: Bytes::new(),
        random: Box::new(SeededRandom::new(seed ^ 0xc11e)),
        observer: None,
    };
    let connection = Connection::client(time.now(), setup).expect("the settings are valid");
    let mut session = EchoClient::new(3, 5_000);
    session.close_when_done = !seed.is_multiple_of(3);
    let writer = Box::new(RecordingWriter::alone(sent.clone()));
    SingleHost::new(SessionHost::new(connection, session), writer)
}

fn turn(visitor: &mut dyn EventLoopVisitor, alarms: &mut TimerWheel, time: &VirtualTime) {
    let now = time.now();
    while let Some(owner) = alarms.pop_expired(now) {
        visitor.on_alarm(owner, now);
    }
    visitor.on_turn_end(now, alarms);
}

fn mutate(mut bytes: Vec<u8>, random: &mut SeededRandom) -> Vec<u8> {
    for _ in 0..=random.next_u64() % 4 {
        if bytes.is_empty() {
            break;
        }
        let at = random.next_u64() as usize % bytes.len();
        match random.next_u64() % 5 {
            0 => bytes[at] ^= 1 << (random.next_u64() % 8),
            1 => bytes[at] = random.next_u64() as u8,
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..),
            // Headers are where decisions are made.
            _ => {
                let front = at % bytes.len().min(60);
                bytes[front] = random.next_u64() as u8;
            }
        }
    }
    bytes.truncate(3000);
    bytes
}

#[test]
fn no_datagram_panics_and_what_is_kept_is_bounded() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("PROTOQUIC_FUZZ_ROUNDS").unwrap_or(100_000);
    let seed = number("PROTOQUIC_FUZZ_SEED").unwrap_or(1);
    println!("seed {seed}");
    let mut pair = Pair::new(seed);
    let mut sent = 0;
    while sent < rounds {
        sent += pair.round();
        let stats = pair.server.stats();
        assert!(stats.sessions < 20_000, "seed {seed}: {stats:?}");
        assert!(stats.time_wait <= 20_000, "seed {seed}: {stats:?}");
    }
    let stats = pair.server.stats();
    println!("{sent} datagrams, {} connections, {stats:?}", pair.connections);
    assert!(stats.sessions_created > 10, "seed {seed}: the good packets still get through");
}
