//! Sessions and streams end to end, over good and bad networks, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::{CloseReason, ServerConfig};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

fn server_config() -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) }
}

fn run(seed: u64, link: Link, streams: u64, bytes: usize) -> Net<EchoClient> {
    println!("seed {seed}");
    let mut net = Net::new(seed, link, echo_factory(server_config()));
    net.connect_simply(b"echo", EchoClient::new(streams, bytes));
    let done = net.run_until(Duration::from_mins(5), |net| net.clients[0].session().is_done());
    let closed = &net.clients[0].session().closed;
    assert!(
        done,
        "seed {seed}: {} streams done, closed: {closed:?}",
        net.clients[0].session().done
    );
    net
}

#[test]
fn a_stream_comes_back_whole() {
    let mut net = run(1, Link::default(), 1, 1000);
    net.run_for(Duration::from_secs(1));
    assert!(net.server.is_idle(), "the server forgets a closed connection");
    assert!(matches!(net.clients[0].close_reason(), Some(CloseReason::Application { .. })));
}

#[test]
fn a_handshake_takes_one_round_trip() {
    let link = Link { delay: Duration::from_millis(50), ..Link::default() };
    let net = run(2, link, 1, 10);
    // One for the handshake, one for the echo; the client's delay for certificates is none.
    assert_eq!((net.now - protoquic::Time::from_millis(1000)).as_millis(), 200);
}

#[test]
fn a_hundred_streams_and_ten_megabytes_come_back_whole() {
    run(3, Link::default(), 100, 100_000);
}

#[test]
fn a_stream_of_many_send_buffers_comes_back_whole() {
    // The server asks `writable` and writes no more than that: room must be told of.
    run(4, Link::default(), 1, 20_000_000);
}

#[test]
fn every_byte_survives_loss_reordering_and_duplication() {
    for seed in 10..20 {
        let link = Link { loss: 50, reorder: 100, duplicate: 50, ..Link::default() };
        run(seed, link, 3, 300_000);
    }
}

#[test]
fn corrupted_packets_are_dropped_and_repaired() {
    for seed in 30..35 {
        run(seed, Link { corrupt: 50, ..Link::default() }, 2, 200_000);
    }
}

#[test]
fn heavy_loss_delays_but_does_not_break() {
    for seed in 40..60 {
        run(seed, Link { loss: 300, ..Link::default() }, 1, 5_000);
    }
}
