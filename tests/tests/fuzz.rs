//! Nothing that the network can send makes a server or a client panic, loop or grow without bound.
//!
//! `PROTOQUIC_FUZZ_ROUNDS` sets how many datagrams each test sends (300,000 in all by default; ten
//! million take a few minutes), `PROTOQUIC_FUZZ_SEED` where they come from. The seed is printed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::wire::PacketType;
use protoquic::{ConnectionId, RandomGenerator, Role, SeededRandom, ServerConfig, SessionFactory};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::mangle::{below, mangle, noise, soup};
use protoquic_tests::net::{Link, Net, server_address};
use protoquic_tests::protocols::echo_factory;
use protoquic_tests::raw::{RawPeer, bidi, uni};
use protoquic_tests::tls;

type RawNet = Net<RawPeer>;

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    let seed = number_from("PROTOQUIC_FUZZ_SEED", 1);
    println!("PROTOQUIC_FUZZ_SEED={seed}");
    seed
}

const MAX_TIME_WAIT: usize = 500;
const MAX_SESSIONS: usize = 100;

fn net(seed: u64) -> RawNet {
    let transport = Arc::new(Config { idle_timeout: Duration::from_secs(20), ..Config::default() });
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let factories: Vec<Box<dyn SessionFactory>> = vec![Box::new(echo_factory(config))];
    let config = DispatcherConfig {
        max_time_wait: MAX_TIME_WAIT,
        max_sessions: MAX_SESSIONS,
        address_validation: AddressValidation::UnderLoad { handshakes: MAX_SESSIONS / 4 },
        ..DispatcherConfig::default()
    };
    Net::with_dispatcher(seed, Link::default(), config, factories)
}

fn random_id(random: &mut SeededRandom) -> ConnectionId {
    ConnectionId::new(&random.next_u64().to_be_bytes()).expect("eight bytes")
}

/// A client of our server, somewhere in its handshake or after it.
fn new_attacker(net: &mut RawNet, random: &mut SeededRandom) -> Evil {
    let port = 20_000 + below(random, 64) as u16;
    let mut evil = Evil::client(net, port, b"echo", &parameters(), unchanged());
    evil.redirect(random_id(random), Vec::new());
    if below(random, 4) > 0 {
        evil.handshake(net);
    } else if below(random, 2) > 0 {
        evil.start(net);
        evil.run(net, Duration::from_millis(22));
    }
    evil
}

/// One of the packets that an attacker's keys can make.
fn sealed_soup(evil: &mut Evil, random: &mut SeededRandom) -> Vec<u8> {
    let types = [PacketType::Initial, PacketType::Handshake, PacketType::OneRtt];
    let ty = types.into_iter().rev().find(|ty| evil.has_keys(*ty) && below(random, 8) > 0);
    let ty = ty.unwrap_or(PacketType::Initial);
    let space = ty.space() as usize;
    if below(random, 50) == 0 {
        evil.next_number[space] += random.next_u64() >> (32 + below(random, 32));
        evil.next_number[space] = evil.next_number[space].min((1 << 62) - 10);
    }
    let bits = if below(random, 200) == 0 { 0x08 } else { 0 };
    evil.seal(ty, &soup(random), bits)
}

fn attack(net: &mut RawNet, evil: &mut Evil, random: &mut SeededRandom, to: SocketAddr) {
    let datagram = match below(random, 10) {
        0..=2 => noise(random, &evil.peer_id),
        3..=4 => {
            let packet = sealed_soup(evil, random);
            mangle(random, &packet)
        }
        5 => {
            // Coalesced with another.
            let mut first = sealed_soup(evil, random);
            first.extend(sealed_soup(evil, random));
            first
        }
        _ => sealed_soup(evil, random),
    };
    let from = if below(random, 20) == 0 {
        SocketAddr::from(([10, 6, 6, below(random, 4) as u8], random.next_u64() as u16))
    } else {
        evil.address
    };
    net.inject(from, to, datagram);
}

/// What this process holds, where the system tells (Linux).
fn resident_kilobytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_server_survives_random_and_mutated_datagrams() {
    let seed = seed();
    let rounds = number_from("PROTOQUIC_FUZZ_ROUNDS", 200_000);
    let mut random = SeededRandom::new(seed);
    let mut net = net(seed);
    let mut evil = new_attacker(&mut net, &mut random);
    let mut sessions = 0;
    let mut memory = Vec::new();
    for round in 0..rounds {
        if round.is_multiple_of((rounds / 10).max(1)) {
            memory.extend(resident_kilobytes());
        }
        attack(&mut net, &mut evil, &mut random, server_address());
        if below(&mut random, 10) == 0 {
            net.run_for(Duration::from_millis(1));
        }
        if below(&mut random, 60) == 0 {
            net.take_mail(evil.address);
            net.strays.clear();
            evil = new_attacker(&mut net, &mut random);
            let stats = net.server.stats();
            sessions = sessions.max(stats.sessions);
            assert!(stats.sessions <= MAX_SESSIONS, "seed {seed}, round {round}: {stats:?}");
            assert!(stats.time_wait <= MAX_TIME_WAIT, "seed {seed}, round {round}: {stats:?}");
            assert!(stats.handshaking <= stats.sessions, "seed {seed}, round {round}: {stats:?}");
        }
    }
    println!("at most {sessions} sessions; {:?}", net.server.stats());
    println!("kilobytes of memory after each tenth: {memory:?}");
    if rounds >= 1_000_000
        && let [_, _, settled, .., last] = memory[..]
    {
        assert!(last < settled + 2048, "seed {seed}: memory grows: {memory:?}");
    }
    net.run_for(Duration::from_mins(1));
    assert!(net.server.is_idle(), "seed {seed}: all sessions end: {:?}", net.server.stats());
    let mut honest = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    assert!(honest.handshake(&mut net), "seed {seed}: the server still serves");
}

/// Puts a client of ours before an attacker that plays its server.
fn new_victim(net: &mut RawNet, random: &mut SeededRandom, n: u8) -> Evil {
    let address = SocketAddr::from(([10, 66, 0, n], 443));
    net.open_mailbox(address);
    let config = Arc::new(Config {
        idle_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
        ..Config::default()
    });
    let session = RawPeer::new([bidi(vec![1; 5000]), uni(vec![2; 5000]), bidi(vec![3; 50])]);
    net.connect_to(address, config, tls::client(&[b"echo"]), session, |writer| Box::new(writer));
    net.run_for(Duration::from_millis(11));
    let mut evil = Evil::server(net, address, b"echo", &parameters());
    if below(random, 4) > 0 {
        evil.run(net, Duration::from_millis(60));
    }
    evil
}

#[test]
fn a_client_survives_random_and_mutated_datagrams() {
    let seed = seed();
    let rounds = number_from("PROTOQUIC_FUZZ_ROUNDS", 100_000);
    let mut random = SeededRandom::new(seed ^ 0xc11e);
    let mut net = net(seed);
    let mut count = 0;
    let mut evil = new_victim(&mut net, &mut random, count);
    assert_eq!(evil.role, Role::Server);
    for _ in 0..rounds {
        let to = evil.peer;
        attack(&mut net, &mut evil, &mut random, to);
        if below(&mut random, 10) == 0 {
            net.run_for(Duration::from_millis(1));
        }
        if below(&mut random, 60) == 0 {
            count += 1;
            if count == 20 {
                net.run_for(Duration::from_secs(30));
                let closed = net.clients.iter().all(|client| client.close_reason().is_some());
                assert!(closed, "seed {seed}: every client ends");
                net = self::net(random.next_u64() >> 40);
                count = 0;
            }
            evil = new_victim(&mut net, &mut random, count);
        }
    }
}
