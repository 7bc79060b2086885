//! Paths that die under a connection, and clients that fall silent.

use std::net::SocketAddr;
use std::sync::Arc;

use protoquic::StreamId;
use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic_tests::evil::Evil;
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::protocols::{EchoClient, PathNews, pattern};
use protoquic_tests::tls;

use crate::{EchoNet, SECOND, is_done, net, news, running};

#[test]
fn a_session_hears_of_a_dying_path_and_of_its_recovery() {
    let mut net = running(net(), Config::default(), 20_000_000);
    net.link.loss = 1000;
    net.run_for(SECOND);
    assert_eq!(news(&net), [PathNews::Degrading]);
    assert!(net.clients[0].take_path_degrading() && !net.clients[0].take_path_degrading());
    net.link.loss = 0;
    net.run_for(SECOND * 5);
    assert_eq!(news(&net)[1], PathNews::Recovered);
    assert!(net.run_until(SECOND * 60, is_done));
}

#[test]
fn a_client_that_only_listens_shows_itself_once_when_it_grows_quiet() {
    // Behind a NAT's new binding nobody else could tell the server where the client is.
    let mut net = net();
    let address = SocketAddr::from(([10, 66, 0, 1], 443));
    net.open_mailbox(address);
    let (config, tls) = (Arc::new(Config::default()), tls::client(&[b"echo"]));
    net.connect_to(address, config, tls, EchoClient::patient(1, 10), |writer| Box::new(writer));
    net.run_for(SECOND / 10);
    let mut evil = Evil::server(&mut net, address, b"echo", &parameters());
    assert!(evil.handshake(&mut net));
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    evil.run(&mut net, SECOND);
    let (id, data) = (StreamId::from_raw(0), pattern(10, 0));
    let pings = |evil: &mut Evil, net: &mut EchoNet, frame: &Frame<'_>| {
        evil.seen.clear();
        evil.send_frame(net, frame);
        evil.run(net, SECOND * 3);
        evil.count(|frame| matches!(frame, Frame::Ping))
    };
    let begin = Frame::Stream { id, offset: 0, fin: false, data: &data[..5] };
    assert_eq!(pings(&mut evil, &mut net, &begin), 1, "there is more to come");
    let end = Frame::Stream { id, offset: 5, fin: true, data: &data[5..] };
    assert_eq!(pings(&mut evil, &mut net, &end), 0, "there is not");
}
