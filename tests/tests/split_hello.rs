//! ClientHellos that come in parts: what has come is acknowledged before there is a connection
//! (RFC 9000 §13.2.1), and the connection that then begins goes on from there.

use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{Frame, PacketType};
use protoquic::{Ecn, ServerConfig};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

const MOMENT: Duration = Duration::from_millis(100);

/// A server, and a client that has sent the first hundred bytes of its ClientHello.
fn begun(mark: Ecn) -> (Net<EchoClient>, Evil) {
    begun_with(DispatcherConfig::default(), mark)
}

fn begun_with(dispatcher: DispatcherConfig, mark: Ecn) -> (Net<EchoClient>, Evil) {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let factory = Box::new(echo_factory(config));
    let mut net = Net::with_dispatcher(5, Link::default(), dispatcher, vec![factory]);
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    evil.mark = mark;
    let hello = evil.hello();
    let part = bytes_of(&Frame::Crypto { offset: 0, data: &hello[..100] });
    evil.send(&mut net, PacketType::Initial, &part);
    evil.run(&mut net, MOMENT);
    (net, evil)
}

fn acks(evil: &Evil) -> usize {
    evil.count(|frame| matches!(frame, Frame::Ack(_)))
}

#[test]
fn a_part_of_a_client_hello_is_acknowledged() {
    // RFC 9000 §13.2.1: Initial packets are acknowledged at once.
    let (_, evil) = begun(Ecn::NotEct);
    assert_eq!((acks(&evil), evil.datagrams), (1, 1));
}

#[test]
fn the_connection_goes_on_from_what_was_acknowledged() {
    // RFC 9000 §7.2: from the same connection ID. §12.3: with other packet numbers.
    let (mut net, mut evil) = begun(Ecn::NotEct);
    let hello = evil.hello();
    let named = evil.peer_id;
    let rest = bytes_of(&Frame::Crypto { offset: 100, data: &hello[100..] });
    evil.send(&mut net, PacketType::Initial, &rest);
    // Before a probe timeout: what comes under a number that was used is dropped, and sent again then.
    let soon = Duration::from_millis(500);
    assert!(evil.run_until(&mut net, soon, Evil::is_confirmed), "{evil:?}");
    assert_eq!((evil.close(), evil.peer_id), (None, named));
    let mut numbers: Vec<_> =
        evil.seen.iter().map(|seen| (seen.space as u8, seen.number)).collect();
    let len = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), len, "a packet number was used twice");
}

#[test]
fn its_marks_are_reported() {
    // RFC 9000 §13.4.1: else the client takes the path to be unfit for ECN.
    let (_, evil) = begun(Ecn::Ect0);
    let reported = |frame: &Frame<'_>| match frame {
        Frame::Ack(ack) => ack.ecn.is_some_and(|counts| counts.ect0 == 1),
        _ => false,
    };
    assert!(evil.has_seen(reported));
}

#[test]
fn it_is_acknowledged_a_limited_number_of_times() {
    // What is not kept is not acknowledged either: this many would be.
    let dispatcher = DispatcherConfig { max_buffered_packets: 100, ..DispatcherConfig::default() };
    let (mut net, mut evil) = begun_with(dispatcher, Ecn::NotEct);
    for _ in 0..40 {
        evil.send(&mut net, PacketType::Initial, &bytes_of(&Frame::Ping));
        evil.run(&mut net, MOMENT);
    }
    assert_eq!(acks(&evil), 16);
    assert!(evil.received_bytes <= 3600);
}
