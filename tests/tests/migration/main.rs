//! Connection migration (RFC 9000 §9): clients that move, clients whose NAT moves them, and those
//! who only seem to move, seen from outside in virtual time. Here is what the suites share.

mod client;
mod dying_path;
mod figures;
mod preferred_address;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::{Config, MigrationError};
use protoquic::{PathAddress, ServerConfig};
use protoquic_tests::net::{Link, Net, Tapped, server_address};
use protoquic_tests::protocols::{EchoClient, PathNews, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn net_with(server: Config, link: Link) -> EchoNet {
    let transport = Arc::new(server);
    Net::new(77, link, echo_factory(ServerConfig { transport, tls: tls::server(&[b"echo"]) }))
}

fn net() -> EchoNet {
    net_with(Config::default(), Link::default())
}

fn connect(net: &mut EchoNet, config: Config, session: EchoClient) {
    net.connect(Arc::new(config), tls::client(&[b"echo"]), session, |writer| Box::new(writer));
}

/// A confirmed connection with this much to echo.
fn running(mut net: EchoNet, config: Config, bytes: usize) -> EchoNet {
    connect(&mut net, config, EchoClient::patient(1, bytes));
    assert!(net.run_until(SECOND, |net| net.clients[0].host().connection().is_confirmed()));
    net.run_for(100 * MS);
    net
}

fn is_done(net: &EchoNet) -> bool {
    net.clients[0].session().is_done()
}

fn home() -> SocketAddr {
    ([10, 0, 1, 1], 10_000).into()
}

/// Another address of the first client's.
fn away(n: u8) -> SocketAddr {
    ([10, 0, 2, n], 10_000).into()
}

fn path(local: SocketAddr) -> PathAddress {
    PathAddress::new(local, server_address())
}

fn migrate(net: &mut EchoNet, to: SocketAddr) -> Result<(), MigrationError> {
    let now = net.now;
    let result = net.clients[0].enter(now, |_, cx| cx.connection().migrate(now, to));
    net.kick();
    result
}

fn probe(net: &mut EchoNet, to: SocketAddr) -> Result<(), MigrationError> {
    let now = net.now;
    let result = net.clients[0].enter(now, |_, cx| cx.connection().probe_path(now, to));
    net.kick();
    result
}

fn news(net: &EchoNet) -> &[PathNews] {
    &net.clients[0].session().paths
}

/// What the first client's connection runs over.
fn in_use(net: &EchoNet) -> SocketAddr {
    net.clients[0].host().connection().path().local
}

/// The destination connection ID of a short header's packet; every end here uses eight bytes.
fn destination(tapped: &Tapped) -> &[u8] {
    &tapped.data[1..9]
}

fn sent_from(net: &EchoNet, from: SocketAddr) -> Vec<&Tapped> {
    net.tap.iter().flatten().filter(|tapped| tapped.from == from).collect()
}

fn sent_to(net: &EchoNet, to: SocketAddr) -> Vec<&Tapped> {
    net.tap.iter().flatten().filter(|tapped| tapped.to == to).collect()
}
