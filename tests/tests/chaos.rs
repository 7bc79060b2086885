//! Chaos protection: a client's first flight in pieces, as the network and a server see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protoquic::connection::Config;
use protoquic::crypto::{open_payload, unprotect_header};
use protoquic::wire::{Frame, FrameIter, PacketHeader, Version, parse_header};
use protoquic::{Role, ServerConfig};
use protoquic_tests::evil::{has_version, keys_of};
use protoquic_tests::net::{Link, Net, Tapped, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);

fn connect(seed: u64, link: Link, client: Config, server: Config) -> EchoNet {
    let config = ServerConfig { transport: Arc::new(server), tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(seed, link, echo_factory(config));
    net.tap = Some(Vec::new());
    let (tls, session) = (tls::client(&[b"echo"]), EchoClient::new(1, 1000));
    net.connect(Arc::new(client), tls, session, |writer| Box::new(writer));
    net
}

fn chaotic() -> Config {
    Config { chaos_protection: true, ..Config::default() }
}

/// A frame of an Initial packet: CRYPTO with its offset and length, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Crypto(u64, u64),
    Ping,
    Padding,
    Other,
}

/// The frames of the Initial packet that this datagram of a client begins with.
fn frames(datagram: &[u8]) -> Vec<Seen> {
    let Ok(PacketHeader::Long(header)) = parse_header(datagram, 0) else { panic!("an Initial") };
    let keys = keys_of(header.version, &header.destination, Role::Server);
    let mut packet = BytesMut::from(&datagram[..header.packet_len]);
    let (_, number, len) =
        unprotect_header(&*keys.remote.header, &mut packet, header.pn_offset).expect("ours");
    let start = header.pn_offset + len;
    let len = open_payload(&*keys.remote.packet, &mut packet, start, number).expect("authentic");
    let seen = FrameIter::new(&packet[start..start + len]).map(|frame| match frame {
        Ok(Frame::Crypto { offset, data }) => Seen::Crypto(offset, data.len() as u64),
        Ok(Frame::Ping) => Seen::Ping,
        Ok(Frame::Padding(_)) => Seen::Padding,
        _ => Seen::Other,
    });
    seen.collect()
}

/// The frames of the datagrams of a client's first flight.
fn first_flight(net: &EchoNet) -> Vec<Vec<Seen>> {
    net.tap.iter().flatten().map(|sent| frames(&sent.data)).collect()
}

#[test]
fn the_client_hello_is_in_shuffled_pieces_over_two_full_datagrams() {
    let (mut shuffled, mut between) = (0, 0);
    for seed in 0..40 {
        let net = connect(seed, Link::default(), chaotic(), Config::default());
        let flight = first_flight(&net);
        assert_eq!(flight.len(), 2, "seed {seed}");
        assert!(net.tap.iter().flatten().all(|sent| sent.data.len() >= 1200));
        let mut pieces = Vec::new();
        for frames in &flight {
            let is_crypto = |seen: &&Seen| matches!(seen, Seen::Crypto(..));
            assert!(frames.iter().any(|seen| is_crypto(&seen)) && !frames.contains(&Seen::Other));
            between += frames
                .windows(3)
                .filter(|three| is_crypto(&&three[0]) && !is_crypto(&&three[1]))
                .count();
            pieces.extend(frames.iter().filter_map(|seen| match *seen {
                Seen::Crypto(offset, len) => Some((offset, len)),
                _ => None,
            }));
        }
        assert!(pieces.len() >= 3, "seed {seed}: {pieces:?}");
        shuffled += usize::from(!pieces.is_sorted());
        pieces.sort_unstable();
        let mut end = 0;
        for (offset, len) in pieces {
            assert_eq!(offset, end, "seed {seed}: every byte once");
            end += len;
        }
    }
    assert!(shuffled >= 30 && between >= 40, "{shuffled} {between}");
}

#[test]
fn a_plain_client_hello_is_in_one_piece() {
    let net = connect(1, Link::default(), Config::default(), Config::default());
    let flight = first_flight(&net);
    assert_eq!(flight.len(), 1);
    assert!(matches!(flight[0][..], [Seen::Crypto(0, _), Seen::Padding]));
}

#[test]
fn chaos_reaches_the_server_whatever_the_network_does_to_it() {
    for seed in 0..40 {
        let link = Link { loss: 150, reorder: 300, duplicate: 50, ..Link::default() };
        let mut net = connect(seed, link, chaotic(), Config::default());
        let done = net.run_until(SECOND * 60, |net| net.clients[0].session().is_done());
        assert!(done, "seed {seed}");
    }
}

#[test]
fn a_client_that_begins_again_in_another_version_is_chaotic_again() {
    let server = Config { versions: vec![Version::V2], ..Config::default() };
    let config = ServerConfig { transport: Arc::new(server), tls: tls::server(&[b"echo"]) };
    let limits = protoquic::dispatcher::DispatcherConfig {
        versions: vec![Version::V2],
        ..protoquic::dispatcher::DispatcherConfig::default()
    };
    let factory = echo_factory(config);
    let mut net: EchoNet =
        Net::with_dispatcher(3, Link::default(), limits, vec![Box::new(factory)]);
    net.tap = Some(Vec::new());
    let (tls, session) = (tls::client(&[b"echo"]), EchoClient::new(1, 1000));
    net.connect(Arc::new(chaotic()), tls, session, |writer| Box::new(writer));
    assert!(net.run_until(SECOND * 5, |net| net.clients[0].session().is_done()));
    let is_second =
        |sent: &&Tapped| sent.from != server_address() && has_version(&sent.data, Version::V2.0);
    let second: Vec<_> = net.tap.iter().flatten().filter(is_second).take(2).collect();
    let pieces = second.iter().flat_map(|sent| frames(&sent.data));
    assert!(pieces.filter(|seen| matches!(seen, Seen::Crypto(..))).count() >= 3);
    assert_eq!(net.clients[0].host().connection().version(), Version::V2);
}
