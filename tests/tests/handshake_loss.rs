//! Handshakes whose packets get lost: what is repeated, and how soon (RFC 9002 §6.2.3, §6.2.4).

use std::sync::Arc;
use std::time::Duration;

use protoquic::wire::{LongType, PacketHeader, parse_header};
use protoquic::{Config, ServerConfig, Time};
use protoquic_tests::net::{Link, Net, Tapped, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const CLEAR: u64 = 0;
const CUT: u64 = 1000;

fn net(seed: u64, link: Link) -> EchoNet {
    net_with(seed, link, Config::default())
}

fn net_with(seed: u64, link: Link, server: Config) -> EchoNet {
    let transport = Arc::new(server);
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(seed, link, echo_factory(config));
    net.tap = Some(Vec::new());
    net
}

/// A client that takes the RTT to be this, so that its probe timeout is three times as much.
fn connect(net: &mut EchoNet, initial_rtt: Duration) {
    let config = Arc::new(Config { initial_rtt, ..Config::default() });
    let tls = tls::client(&[b"echo"]);
    net.connect(config, tls, EchoClient::new(1, 1000), |writer| Box::new(writer));
}

fn is_done(net: &EchoNet) -> bool {
    net.clients[0].session().is_done()
}

/// The ClientHello arrives, what the server answers does not. Returns when that was.
fn lose_the_servers_flight(net: &mut EchoNet) -> Time {
    net.link.loss = CUT;
    assert!(net.run_until(Duration::from_secs(1), |net| from_server(net).count() > 0));
    net.link.loss = CLEAR;
    net.now
}

fn from_server(net: &EchoNet) -> impl Iterator<Item = &Tapped> {
    net.tap.iter().flatten().filter(|tapped| tapped.from == server_address())
}

/// The types of the long headers in a datagram.
fn long_types(mut data: &[u8]) -> Vec<LongType> {
    let mut types = Vec::new();
    while let Ok(PacketHeader::Long(long)) = parse_header(data, 8) {
        types.push(long.ty);
        data = &data[long.packet_len..];
    }
    types
}

#[test]
fn each_probe_of_a_server_has_its_initial_and_its_handshake_data() {
    // RFC 9002 §6.2.4: data of the other spaces goes along, in the same datagram.
    let mut net = net(1, Link::default());
    connect(&mut net, Duration::from_secs(5));
    let lost = lose_the_servers_flight(&mut net);
    net.run_for(Duration::from_millis(1005));
    let probes: Vec<_> = from_server(&net).filter(|tapped| tapped.at > lost).collect();
    assert_eq!(probes.len(), 2, "two packets for a timeout");
    for probe in probes {
        assert_eq!(long_types(&probe.data), [LongType::Initial, LongType::Handshake]);
    }
}

#[test]
fn a_client_that_asks_again_is_answered_before_the_timeout() {
    // RFC 9002 §6.2.3
    let mut net = net(1, Link::default());
    connect(&mut net, Duration::from_millis(20));
    let lost = lose_the_servers_flight(&mut net);
    assert!(net.run_until(Duration::from_millis(500), is_done), "it waited for the timeout");
    let after: Vec<_> = from_server(&net).filter(|tapped| tapped.at > lost).collect();
    assert_eq!(long_types(&after[0].data), [LongType::Initial, LongType::Handshake]);
}

#[test]
fn a_server_that_is_asked_for_ever_answers_a_few_times() {
    // RFC 9002 §6.2.3: a limited number of times.
    let mut net = net(1, Link::default());
    connect(&mut net, Duration::from_millis(20));
    lose_the_servers_flight(&mut net);
    let hello = net.tap.iter().flatten().find(|tapped| tapped.to == server_address());
    let (from, hello) = hello.map(|tapped| (tapped.from, tapped.data.clone())).unwrap();
    let before = from_server(&net).count();
    net.link.loss = CUT; // nobody hears the server any more
    let mut now = net.now;
    net.run_for(Duration::from_millis(1));
    for _ in 0..20 {
        now += Duration::from_millis(20);
        net.inject(from, server_address(), hello.clone());
        net.run_for(now - net.now);
    }
    assert!(from_server(&net).count() - before <= 4, "duplicates are no reason to repeat");
}

#[test]
fn a_client_that_gets_handshake_packets_first_asks_at_once() {
    // RFC 9002 §6.2.3
    let mut net = net(1, Link { loss: CUT, ..Link::default() });
    connect(&mut net, Duration::from_millis(333));
    net.link.loss = CLEAR;
    let hello = net.tap.iter().flatten().next().unwrap();
    let Ok(PacketHeader::Long(long)) = parse_header(&hello.data, 8) else { unreachable!() };
    let (client, id) = (hello.from, long.source);
    // The server's, as far as can be told without keys.
    let mut packet = vec![0xe0, 0, 0, 0, 1, 8];
    packet.extend(id.as_bytes());
    packet.extend([0, 0x40, 100]);
    packet.extend([7; 100]);
    net.inject(server_address(), client, packet);
    assert!(net.run_until(Duration::from_millis(500), is_done), "it waited for the timeout");
}

#[test]
fn a_client_that_is_sent_handshake_data_again_repeats_its_finished_before_the_timeout() {
    // RFC 9002 §6.2.3: of an RTT of 1 s the client makes a probe timeout of 3 s; the server, which
    // has no sample yet, repeats its flight after 1.8 s.
    let slow = Duration::from_millis(500);
    let server = Config { initial_rtt: Duration::from_millis(600), ..Config::default() };
    let mut net = net_with(1, Link { delay: slow, ..Link::default() }, server);
    connect(&mut net, Duration::from_secs(5));
    let is_answered = |net: &EchoNet| {
        let mut sent = net.tap.iter().flatten().filter(|tapped| tapped.to == server_address());
        sent.any(|tapped| long_types(&tapped.data).contains(&LongType::Handshake))
    };
    net.run_for(slow + slow / 2);
    net.link.loss = CUT; // the server's flight is under way, and the answer to it gets lost
    assert!(net.run_until(Duration::from_secs(1), is_answered));
    let lost = net.now;
    net.link = Link::default();
    assert!(net.run_until(Duration::from_millis(2900), is_done), "it waited for its timeout");
    assert!(net.now > lost + 2 * slow, "a packet that may have left before is no sign");
}

#[test]
fn a_third_of_all_packets_may_be_lost() {
    // What the slowest of them take is bounded by how often both ends try, not by luck alone.
    let (mut slow, mut worst) = (0, Duration::ZERO);
    for seed in 0..300 {
        let delay = Duration::from_millis(15);
        let mut net = net(seed, Link { delay, loss: 300, ..Link::default() });
        net.tap = None;
        connect(&mut net, Duration::from_millis(333));
        let start = net.now;
        let done = net.run_until(Duration::from_mins(1), is_done);
        assert!(done, "seed {seed}: {:?}", net.clients[0].session().closed);
        let took = net.now - start;
        worst = worst.max(took);
        slow += u32::from(took > Duration::from_secs(3));
    }
    println!("{slow} of 300 took more than 3 s, the longest {worst:?}");
    assert!(slow <= 45, "{slow} of 300 took more than 3 s");
}
