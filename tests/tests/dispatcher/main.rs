//! What a dispatcher does with datagrams that belong to no session: the order of its decisions and
//! its limits, seen from the network. Here is what the suites share.

mod endings;
mod hellos;
mod stateless;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{ServerConfig, SessionFactory};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Mail, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);
const CONNECTION_REFUSED: u64 = 0x02;

fn server_config(alpn: &[u8]) -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[alpn]) }
}

fn factories() -> Vec<Box<dyn SessionFactory>> {
    vec![Box::new(echo_factory(server_config(b"echo")))]
}

fn net(config: DispatcherConfig) -> EchoNet {
    Net::with_dispatcher(11, Link::default(), config, factories())
}

fn evil(net: &mut EchoNet, port: u16) -> Evil {
    Evil::client(net, port, b"echo", &parameters(), unchanged())
}

/// What the server answers to this datagram from this port.
fn answers(net: &mut EchoNet, port: u16, datagram: &[u8]) -> Vec<Mail> {
    let address = SocketAddr::from(([10, 0, 7, 7], port));
    net.open_mailbox(address);
    net.inject(address, server_address(), datagram.to_vec());
    net.run_for(SECOND / 10);
    net.take_mail(address)
}

/// A long header of this version, padded to this size.
fn long_header(version: u32, destination: &[u8], source: &[u8], size: usize) -> Vec<u8> {
    let mut packet = vec![0xc3];
    packet.extend(version.to_be_bytes());
    for id in [destination, source] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.resize(size, 0xaa);
    packet
}

fn close_code(net: &mut EchoNet, evil: &mut Evil) -> Option<u64> {
    evil.wait_for_close(net).map(|close| close.code)
}
