//! Long transfers over paths that move, and how long they stall.

use std::sync::Arc;
use std::time::Duration;

use protoquic::ServerConfig;
use protoquic::connection::Config;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, PathNews, echo_factory, source_factory};
use protoquic_tests::tls;

use crate::{EchoNet, MS, SECOND, away, connect, is_done, migrate, net, news};

/// Runs to the end, doing something every so often. Returns the longest time in which the client
/// received nothing, in PTO.
fn longest_stall(net: &mut EchoNet, every: Duration, mut f: impl FnMut(&mut EchoNet, u16)) -> f64 {
    let (mut received, mut since, mut worst) = (0, net.now, 0.0f64);
    let (mut next, mut n) = (net.now + every, 0);
    while !is_done(net) {
        net.run_for(5 * MS);
        let client = &net.clients[0];
        if client.session().received > received {
            (received, since) = (client.session().received, net.now);
        }
        let pto = client.host().connection().pto().as_secs_f64();
        worst = worst.max((net.now - since).as_secs_f64() / pto);
        assert!(net.now - since < SECOND * 20, "{received} bytes after {n} moves");
        if net.now >= next {
            f(net, n);
            (next, n) = (next + every, n + 1);
        }
    }
    worst
}

/// A client of 100 MB in about ten seconds, for windows hold it back.
fn hundred_megabytes(downloads: bool, link: Link) -> EchoNet {
    let mut config = Config::default();
    config.streams.max_data = 200_000;
    config.streams.max_connection_window = 200_000;
    let transport = Arc::new(config.clone());
    let server = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = if downloads {
        Net::new(77, link, source_factory(server))
    } else {
        Net::new(77, link, echo_factory(server))
    };
    let mut session = EchoClient::patient(4, 25_000_000);
    session.downloads = downloads;
    connect(&mut net, config, session);
    net
}

#[test]
fn a_hundred_megabytes_through_a_nat_that_rebinds_every_second() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let mut rebound = 0;
        let worst = longest_stall(&mut net, SECOND, |net, n| {
            net.rebind(0, ([10, 0, 1, 1], 20_000 + n).into());
            rebound += 1;
        });
        println!("downloads {downloads}: {rebound} rebindings, longest stall {worst:.2} PTO");
        assert!(rebound >= 8, "{rebound}");
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_hundred_megabytes_through_a_nat_that_gives_another_address_every_second() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let worst = longest_stall(&mut net, SECOND, |net, n| {
            net.rebind(0, ([10, 0, 3, n as u8], 20_000).into());
        });
        println!("downloads {downloads}: longest stall {worst:.2} PTO");
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_hundred_megabytes_through_three_migrations() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let worst = longest_stall(&mut net, SECOND * 2, |net, n| {
            let n = n as u8 + 1;
            if n <= 3 {
                net.add_client_address(0, away(n));
                migrate(net, away(n)).unwrap();
            }
        });
        println!("downloads {downloads}: longest stall {worst:.2} PTO");
        let moves = news(&net).iter().filter(|news| matches!(news, PathNews::Changed(_))).count();
        assert_eq!(moves, 3);
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_rebinding_at_any_moment_of_the_beginning_is_survived() {
    for ms in (20..200).step_by(3) {
        let mut net = net();
        connect(&mut net, Config::default(), EchoClient::patient(1, 2_000_000));
        net.run_until(SECOND, |net| net.clients[0].host().connection().is_established());
        net.run_for(Duration::from_millis(ms - 20));
        net.rebind(0, ([10, 0, 1, 1], 20_000).into());
        assert!(net.run_until(SECOND * 20, is_done), "after {} ms", ms - 20);
    }
}
