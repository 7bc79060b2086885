//! How connections live and end: timeouts, closes, changes of address, of connection IDs, of keys
//! and of packet sizes, seen from outside. Here is what the suites share.

mod brief;
mod ends;
mod ids;
mod moves;
mod packets;
mod retry;
mod version_negotiation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic::{CloseReason, ServerConfig};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);

fn net_on(link: Link) -> EchoNet {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    Net::new(41, link, echo_factory(config))
}

fn net() -> EchoNet {
    net_on(Link::default())
}

fn connect(net: &mut EchoNet, config: Config, session: EchoClient) {
    net.connect(Arc::new(config), tls::client(&[b"echo"]), session, |writer| Box::new(writer));
}

fn is_done(net: &EchoNet) -> bool {
    net.clients[0].session().is_done()
}

/// Why the first client's connection ended.
fn end(net: &EchoNet) -> Option<&CloseReason> {
    net.clients[0].close_reason()
}

/// A connection that has echoed something and stays open.
fn established(config: Config) -> EchoNet {
    let mut net = net();
    connect(&mut net, config, EchoClient::patient(1, 1000));
    assert!(net.run_until(SECOND * 5, is_done));
    net
}

fn evil_client(net: &mut EchoNet) -> Evil {
    let mut evil = Evil::client(net, 5000, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(net));
    evil.run(net, SECOND / 5);
    evil
}

const ELSEWHERE: ([u8; 4], u16) = ([10, 66, 0, 1], 443);

/// A client whose first Initial has arrived in the mailbox of nobody's address.
fn lonely_client() -> (EchoNet, SocketAddr) {
    let mut net = net();
    let address = SocketAddr::from(ELSEWHERE);
    net.open_mailbox(address);
    let config = Arc::new(Config::default());
    let tls = tls::client(&[b"echo"]);
    net.connect_to(address, config, tls, EchoClient::patient(1, 100), |writer| Box::new(writer));
    net.run_for(SECOND / 50);
    (net, address)
}

/// An attacker as the server of a client of ours.
fn evil_server() -> (EchoNet, Evil) {
    let (mut net, address) = lonely_client();
    let mut evil = Evil::server(&mut net, address, b"echo", &parameters());
    evil.run(&mut net, SECOND / 5);
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    evil.run(&mut net, SECOND / 5);
    assert!(evil.is_confirmed(), "{:?}", end(&net));
    (net, evil)
}
