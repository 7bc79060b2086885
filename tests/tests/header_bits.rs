//! What the first byte of a packet shows to who carries it: the latency spin bit (RFC 9000 §17.4) and
//! the QUIC bit (RFC 9287), as a tap on the network sees them.

use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::crypto::offer_early_data;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{FIXED_BIT, Frame, LONG_FORM_BIT, PacketType, SPIN_BIT};
use protoquic::{ServerConfig, TransportErrorCode};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_with};
use protoquic_tests::net::{Link, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory, source_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);
const GREASE_QUIC_BIT: u64 = 0x2ab2;

fn server(transport: Config) -> ServerConfig {
    ServerConfig { transport: Arc::new(transport), tls: tls::server(&[b"echo"]) }
}

fn greasing(grease_quic_bit: bool) -> Config {
    Config { grease_quic_bit, ..Config::default() }
}

/// A network whose dispatcher and sessions take any QUIC bit, or none but one.
fn net_greasing(grease_quic_bit: bool) -> EchoNet {
    let config = DispatcherConfig { grease_quic_bit, ..DispatcherConfig::default() };
    let factory = echo_factory(server(greasing(grease_quic_bit)));
    let mut net = Net::with_dispatcher(9, Link::default(), config, vec![Box::new(factory)]);
    net.tap = Some(Vec::new());
    net
}

fn run(net: &mut EchoNet, config: Config) {
    let tls = tls::client(&[b"echo"]);
    net.connect(Arc::new(config), tls, EchoClient::new(1, 300_000), |writer| Box::new(writer));
    assert!(net.run_until(SECOND * 30, |net| net.clients[0].session().is_done()));
}

/// The first bytes that one end sent, in order.
fn first_bytes(net: &EchoNet, by_server: bool) -> Vec<u8> {
    let sent = net.tap.iter().flatten();
    let ours = sent.filter(|one| (one.from == server_address()) == by_server);
    ours.map(|one| one.data[0]).collect()
}

#[test]
fn the_quic_bit_is_zero_now_and_then_both_ways_when_both_ends_said_so() {
    // RFC 9287 §3.1
    let mut net = net_greasing(true);
    run(&mut net, greasing(true));
    for by_server in [false, true] {
        let short: Vec<u8> = first_bytes(&net, by_server)
            .into_iter()
            .filter(|byte| byte & LONG_FORM_BIT == 0)
            .collect();
        let cleared = short.iter().filter(|byte| **byte & FIXED_BIT == 0).count();
        assert!(cleared * 4 > short.len() && cleared * 4 < short.len() * 3, "{cleared}");
    }
    let first = first_bytes(&net, false)[0];
    assert_ne!(first & FIXED_BIT, 0, "the client did not know yet");
}

#[test]
fn the_quic_bit_is_one_towards_a_peer_that_said_nothing() {
    // RFC 9287 §3: never without knowing that the peer supports it.
    for (client, by_server) in [(true, false), (false, true)] {
        let mut net = net_greasing(!client);
        run(&mut net, greasing(client));
        let bytes = first_bytes(&net, by_server);
        assert!(bytes.iter().all(|byte| byte & FIXED_BIT != 0), "server: {by_server}");
    }
}

#[test]
fn what_is_remembered_of_a_server_does_not_allow_a_zero() {
    // RFC 9287 §3.1: before the server's parameters have come a zero would need a token of NEW_TOKEN,
    // of the last seven days; a ticket's parameters do not do.
    let mut tls = (*tls::server(&[b"echo"])).clone();
    offer_early_data(&mut tls, 100);
    let config = Config { early_data: true, ..greasing(true) };
    let server = ServerConfig { transport: Arc::new(config.clone()), tls: Arc::new(tls) };
    let dispatcher = DispatcherConfig { grease_quic_bit: true, ..DispatcherConfig::default() };
    let factory = Box::new(echo_factory(server));
    let mut net: EchoNet = Net::with_dispatcher(9, Link::default(), dispatcher, vec![factory]);
    let (config, tls) = (Arc::new(config), tls::client(&[b"echo"]));
    for visit in 0..4 {
        net.tap = Some(Vec::new());
        let session = EchoClient::early(2, 8_000);
        net.connect(config.clone(), tls.clone(), session, |writer| Box::new(writer));
        assert!(net.run_until(SECOND * 30, |net| net.clients[visit].session().is_done()));
        let tap = net.tap.iter().flatten();
        let first = tap.take_while(|sent| sent.from != server_address());
        let bits: Vec<_> = first.map(|sent| sent.data[0] & FIXED_BIT).collect();
        assert!(visit == 0 || bits.len() > 5, "there is early data");
        assert!(bits.iter().all(|bit| *bit != 0));
        net.run_for(SECOND);
    }
}

#[test]
fn who_does_not_mind_takes_any_quic_bit_from_the_first_packet_on() {
    // RFC 9287 §3
    let mut net = net_greasing(true);
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.header_bits = FIXED_BIT;
    assert!(evil.handshake(&mut net), "its Initial packets, too, had a zero");
    let ping = bytes_of(&Frame::Ping);
    let before = evil.count(|frame| matches!(frame, Frame::Ack(_)));
    evil.send(&mut net, PacketType::OneRtt, &ping);
    evil.run(&mut net, SECOND / 5);
    assert!(evil.count(|frame| matches!(frame, Frame::Ack(_))) > before);
    assert_eq!(evil.close(), None);
}

#[test]
fn who_has_not_said_so_drops_packets_whose_quic_bit_is_zero() {
    // RFC 9000 §17.2, §17.3.1
    let mut net = net_greasing(false);
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.header_bits = FIXED_BIT;
    assert!(!evil.handshake(&mut net));
    assert_eq!(net.server.stats().sessions_created, 0);

    let mut evil = Evil::client(&mut net, 5001, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(&mut net));
    evil.run(&mut net, SECOND / 5);
    evil.header_bits = FIXED_BIT;
    evil.send_frame(&mut net, &Frame::HandshakeDone); // an error, if it was read
    evil.run(&mut net, SECOND / 5);
    assert_eq!(evil.close(), None, "it was not read");
    evil.header_bits = 0;
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    assert!(evil.wait_for_close(&mut net).is_some());
}

#[test]
fn the_parameter_of_the_quic_bit_has_no_value() {
    // RFC 9287 §3
    let mut net = net_greasing(true);
    let with_value = parameters_with(GREASE_QUIC_BIT, &[1]);
    let mut evil = Evil::client(&mut net, 5000, b"echo", &with_value, unchanged());
    evil.handshake(&mut net);
    let close = evil.wait_for_close(&mut net).expect("it is refused");
    assert_eq!(close.code, TransportErrorCode::TRANSPORT_PARAMETER_ERROR.0);
}

/// How often the spin bit of one end's 1-RTT packets changed, and how many packets there were.
fn turns(net: &EchoNet, by_server: bool) -> (usize, usize) {
    let bytes = first_bytes(net, by_server);
    let short: Vec<bool> = bytes
        .iter()
        .filter(|byte| **byte & LONG_FORM_BIT == 0)
        .map(|byte| byte & SPIN_BIT != 0)
        .collect();
    (short.windows(2).filter(|pair| pair[0] != pair[1]).count(), short.len())
}

/// For each of twenty connections: the turns of each end's spin bit, its packets, and how many round
/// trips there were.
fn twenty_downloads(spin_bit: bool) -> Vec<([(usize, usize); 2], usize)> {
    let download = |seed: u64| {
        let config = Config { spin_bit, ..Config::default() };
        let mut net = Net::new(seed, Link::default(), source_factory(server(config.clone())));
        net.tap = Some(Vec::new());
        let mut session = EchoClient::new(1, 2_000_000);
        session.downloads = true;
        let tls = tls::client(&[b"echo"]);
        net.connect(Arc::new(config), tls, session, |writer| Box::new(writer));
        let start = net.now;
        assert!(net.run_until(SECOND * 30, |net| net.clients[0].session().is_done()));
        let trips = net.now.saturating_since(start).as_millis() / 20;
        ([turns(&net, false), turns(&net, true)], trips as usize)
    };
    (100..120).map(download).collect()
}

#[test]
fn the_spin_bit_turns_once_in_a_round_trip_on_most_connections() {
    // RFC 9000 §17.4
    let mut spinning = 0;
    for (ends, trips) in twenty_downloads(true) {
        let steady = |(turns, _): (usize, usize)| turns * 2 >= trips && turns <= trips + 1;
        spinning += usize::from(ends.into_iter().all(steady));
    }
    assert!((12..=20).contains(&spinning), "{spinning} of 20 spin");
}

#[test]
fn the_spin_bit_tells_nothing_if_it_is_off() {
    // RFC 9000 §17.4: random values
    for (ends, trips) in twenty_downloads(false) {
        for (turns, packets) in ends {
            assert!(turns * 3 > packets && turns > trips * 2, "{turns} turns of {packets}");
        }
    }
}
