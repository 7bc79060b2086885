//! Datagrams that arrive together are processed together, and nobody can tell: the same seed makes the
//! same traffic, whether they are delivered in batches or one by one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::{ConnectionStats, ServerConfig, Time};
use protoquic_tests::net::{Link, Net, Tapped};
use protoquic_tests::protocols::{EchoClient, source_factory};
use protoquic_tests::tls;

/// What could be seen of a download.
#[derive(Debug, PartialEq)]
struct Trace {
    /// How long the datagrams of the handshake were, which differs with its signature.
    handshake: Vec<usize>,
    /// Every other datagram: when it was sent, by whom, and how long it is.
    datagrams: Vec<(Time, SocketAddr, usize)>,
    stats: ConnectionStats,
}

fn download(seed: u64, link: Link, streams: u64, bytes: usize, coalesces: bool) -> Trace {
    println!("seed {seed}, {streams} streams, {link:?}, in batches: {coalesces}");
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(seed, link, source_factory(config));
    net.coalesces = coalesces;
    net.tap = Some(Vec::new());
    let mut session = EchoClient::patient(streams, bytes);
    session.downloads = true;
    net.connect_simply(b"echo", session);
    let done = net.run_until(Duration::from_mins(5), |net| net.clients[0].session().is_done());
    assert!(done, "seed {seed}: {:?}", net.clients[0].session().closed);
    let stats = net.clients[0].host().connection().stats();
    let tapped = net.tap.take().expect("it was set above");
    let (handshake, others): (Vec<Tapped>, Vec<Tapped>) =
        tapped.into_iter().partition(|sent| sent.data[0] & 0x80 != 0);
    Trace {
        handshake: handshake.iter().map(|sent| sent.data.len()).collect(),
        datagrams: others.iter().map(|sent| (sent.at, sent.from, sent.data.len())).collect(),
        stats,
    }
}

/// Compares both ways until so many pairs had handshakes of the same length.
fn compare(link: impl Fn(u64) -> Link, streams: u64, bytes: usize) {
    let mut compared = 0;
    for seed in 0..200 {
        let together = download(seed, link(seed), streams, bytes, true);
        let one_by_one = download(seed, link(seed), streams, bytes, false);
        if together.handshake == one_by_one.handshake {
            assert_eq!(together.stats, one_by_one.stats, "seed {seed}");
            assert!(together == one_by_one, "seed {seed}: the traffic differs");
            compared += 1;
        }
        if compared == 8 {
            return;
        }
    }
    panic!("of 200 pairs only {compared} had like handshakes");
}

#[test]
fn batches_make_no_difference_to_a_download() {
    compare(|_| Link::default(), 1, 2_000_000);
}

#[test]
fn batches_make_no_difference_to_many_streams_at_once() {
    compare(|_| Link::default(), 7, 200_000);
}

#[test]
fn batches_make_no_difference_where_packets_are_lost_late_or_doubled() {
    let link = |seed| Link {
        loss: seed % 3 * 10,
        reorder: seed % 5 * 10,
        duplicate: seed % 7 * 10,
        ..Link::default()
    };
    compare(link, 2, 400_000);
}
