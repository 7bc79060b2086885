//! A test that swaps the packet writer: the client's loses every tenth packet, and no byte is lost.
//! The whole runs in virtual time, without a network; copy it for a protocol of your own.

use std::sync::Arc;
use std::time::Duration;

use protoquic::writers::{BlockingWriter, DroppingWriter, LimitedMtuWriter, ReorderingWriter};
use protoquic::{Config, PacketWriter, ServerConfig};
use protoquic_tests::net::{Link, Net, WireWriter};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

/// Echoes 300 kB through a client whose writer is wrapped.
fn survives(wrap: impl FnOnce(WireWriter) -> Box<dyn PacketWriter>) {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport: transport.clone(), tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(1, Link::default(), echo_factory(config));
    net.connect(transport, tls::client(&[b"echo"]), EchoClient::new(1, 300_000), wrap);
    let done = net.run_until(Duration::from_mins(1), |net| net.clients[0].session().is_done());
    assert!(done, "closed: {:?}", net.clients[0].session().closed);
}

#[test]
fn every_tenth_packet_may_be_lost() {
    survives(|writer| Box::new(DroppingWriter::every_nth(writer, 10)));
}

#[test]
fn the_first_three_packets_may_be_lost() {
    survives(|writer| Box::new(DroppingWriter::first(writer, 3)));
}

#[test]
fn packets_may_come_in_another_order() {
    survives(|writer| Box::new(ReorderingWriter::new(writer, 200, 5, 1)));
}

#[test]
fn large_packets_may_vanish_or_be_refused() {
    survives(|writer| Box::new(LimitedMtuWriter::swallowing(writer, 1300)));
    survives(|writer| Box::new(LimitedMtuWriter::refusing(writer, 1300)));
}

#[test]
fn the_socket_may_be_full_now_and_then() {
    survives(|writer| Box::new(BlockingWriter::every_nth(writer, 50)));
}

/// RFC 9002 §6.2.4: a probe carries data where there is some. The ClientHello is lost, and so is the
/// first of the two probes after a second; the other one begins the handshake.
#[test]
fn both_probes_carry_the_client_hello() {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport: transport.clone(), tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(1, Link::default(), echo_factory(config));
    let client =
        net.connect(transport, tls::client(&[b"echo"]), EchoClient::new(1, 1000), |writer| {
            Box::new(DroppingWriter::first(writer, 2))
        });
    let done = net.run_until(Duration::from_secs(2), |net| net.clients[client].session().is_done());
    assert!(done, "the handshake waited for the next timeout");
}
