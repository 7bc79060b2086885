//! Clients that are moved in the middle of a transfer, and networks that fail for a while.

use protoquic_tests::protocols::EchoClient;
use std::net::SocketAddr;

use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic::{ConnectionId, ResetToken};

use super::{SECOND, connect, end, evil_client, is_done, net};

#[test]
fn a_transfer_survives_a_new_port_and_a_new_address() {
    // RFC 9000 §9
    for address in [([10, 0, 1, 1], 23_456), ([10, 0, 55, 5], 10_000)] {
        let mut net = net();
        connect(&mut net, Config::default(), EchoClient::patient(2, 5_000_000));
        net.run_for(SECOND / 10);
        assert!(!is_done(&net), "there is something left to do");
        net.rebind(0, address.into());
        assert!(net.run_until(SECOND * 30, is_done), "{address:?}");
    }
}

#[test]
fn a_transfer_survives_one_rebinding_after_another() {
    let mut net = net();
    // A client that only waits cannot be found by its server: it has to show itself.
    let keep_alive = Some(SECOND);
    connect(
        &mut net,
        Config { keep_alive, ..Config::default() },
        EchoClient::patient(2, 5_000_000),
    );
    for n in 0..20 {
        net.run_for(SECOND / 10);
        net.rebind(0, ([10, 0, 1, n % 3], 20_000 + u16::from(n)).into());
    }
    assert!(net.run_until(SECOND * 60, is_done), "{:?}", end(&net));
}

#[test]
fn a_moved_client_is_called_by_another_id() {
    // RFC 9000 §9.5
    let mut net = net();
    let mut evil = evil_client(&mut net);
    let other = ConnectionId::new(&[0xee; 8]).unwrap();
    let reset_token = ResetToken([1; 16]);
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 0, id: other, reset_token };
    evil.send_frame(&mut net, &frame);
    evil.run(&mut net, SECOND / 5);
    let elsewhere = SocketAddr::from(([10, 0, 9, 10], 5001));
    net.open_mailbox(elsewhere);
    evil.address = elsewhere;
    evil.send_frame(&mut net, &Frame::Ping);
    net.run_for(SECOND / 5);
    let mail = net.take_mail(elsewhere);
    assert!(!mail.is_empty());
    assert!(mail.iter().all(|mail| &mail.data[1..9] == other.as_bytes()));
}

#[test]
fn an_outage_is_overcome() {
    let mut net = net();
    connect(&mut net, Config::default(), EchoClient::patient(1, 3_000_000));
    net.run_for(SECOND / 4);
    net.link.loss = 1000;
    net.run_for(SECOND * 8);
    net.link.loss = 0;
    assert!(net.run_until(SECOND * 30, is_done), "{:?}", end(&net));
}
