//! The server's preferred address (RFC 9000 §9.6).

use std::net::SocketAddr;
use std::time::Duration;

use protoquic::connection::{Config, MigrationError, PreferredAddresses};
use protoquic::wire::Frame;
use protoquic::{ConnectionId, PathAddress};
use protoquic_tests::evil::Evil;
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, server_address};
use protoquic_tests::protocols::{EchoClient, PathNews};

use crate::server::{ask, evil_with_ids, ids_given};
use crate::{
    EchoNet, MS, SECOND, away, connect, destination, home, in_use, is_done, migrate, net_with,
    news, sent_from, sent_to,
};

fn preferred_v4() -> SocketAddr {
    ([10, 0, 0, 2], 4433).into()
}

fn preferred_v6() -> SocketAddr {
    ([0xfd00, 0, 0, 0, 0, 0, 0, 1], 443).into()
}

/// A network whose server prefers these addresses.
fn net_preferring(addresses: &[SocketAddr], server: Config) -> EchoNet {
    let mut preferred_address = PreferredAddresses::default();
    for address in addresses {
        match *address {
            SocketAddr::V4(v4) => preferred_address.ipv4 = Some(v4),
            SocketAddr::V6(v6) => preferred_address.ipv6 = Some(v6),
        }
    }
    let mut net = net_with(Config { preferred_address, ..server }, Link::default());
    for address in addresses {
        net.add_server_address(*address);
    }
    net
}

fn peer_in_use(net: &EchoNet) -> SocketAddr {
    net.clients[0].host().connection().peer_address()
}

#[test]
fn a_client_goes_where_the_server_prefers_to_be() {
    // RFC 9000 §9.6.1; a server that forbids other moves may prefer an address (§18.2).
    for disable_active_migration in [false, true] {
        let server = Config { disable_active_migration, ..Config::default() };
        let mut net = net_preferring(&[preferred_v4(), preferred_v6()], server);
        net.tap = Some(Vec::new());
        connect(&mut net, Config::default(), EchoClient::patient(1, 5_000_000));
        assert!(net.run_until(SECOND * 30, is_done));
        assert_eq!(peer_in_use(&net), preferred_v4());
        let there = sent_to(&net, preferred_v4());
        let before: Vec<_> = sent_to(&net, server_address());
        let before = before.iter().filter(|tapped| tapped.data[0] & 0x80 == 0);
        let mut ids: Vec<_> = before.map(|tapped| destination(tapped).to_vec()).collect();
        ids.dedup();
        assert!(there.iter().all(|tapped| !ids.contains(&destination(tapped).to_vec())));
        assert!(sent_from(&net, preferred_v4()).len() > 1000);
        // Nothing but probes comes from there before the client has come (RFC 9000 §9.6.2).
        let first_back = sent_from(&net, preferred_v4())[0];
        assert!(first_back.at > there[0].at && first_back.data.len() == 1200);
        // The first of its probes is answered: the server has an ID of the client for the new path.
        assert!(first_back.at - there[0].at < net.link.delay * 2);
    }
}

#[test]
fn a_client_goes_to_an_ipv6_address_with_one_of_its_own() {
    // RFC 9000 §9.6.1
    let mut net = net_preferring(&[preferred_v6()], Config::default());
    connect(&mut net, Config::default(), EchoClient::patient(1, 5_000_000));
    let local: SocketAddr = ([0xfd00, 0, 0, 0, 0, 0, 1, 1], 9999).into();
    net.add_client_address(0, local);
    net.run_for(100 * MS);
    assert_eq!(peer_in_use(&net), server_address(), "not with an IPv4 socket");
    let now = net.now;
    let go = |to| {
        move |_: &mut EchoClient, cx: &mut protoquic::SessionContext<'_, EchoClient>| {
            cx.connection().migrate_to_preferred_address(now, to)
        }
    };
    let nowhere = net.clients[0].enter(now, go(away(1)));
    assert_eq!(nowhere, Err(MigrationError::NoPreferredAddress));
    assert_eq!(net.clients[0].enter(now, go(local)), Ok(()));
    net.kick();
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!((in_use(&net), peer_in_use(&net)), (local, preferred_v6()));
}

#[test]
fn a_client_may_ignore_what_the_server_prefers() {
    let mut net = net_preferring(&[preferred_v4()], Config::default());
    let config = Config { follow_preferred_address: false, ..Config::default() };
    connect(&mut net, config, EchoClient::patient(1, 100_000));
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(peer_in_use(&net), server_address());
}

#[test]
fn a_client_remains_where_it_was_if_the_preferred_address_is_dead() {
    // RFC 9000 §9.6.1
    let mut net = net_preferring(&[preferred_v4()], Config::default());
    net.remove_address(preferred_v4());
    connect(&mut net, Config::default(), EchoClient::patient(1, 5_000_000));
    assert!(net.run_until(SECOND * 30, is_done));
    net.run_for(SECOND * 4);
    assert_eq!(news(&net), [PathNews::Failed(PathAddress::new(home(), preferred_v4()))]);
    assert_eq!(peer_in_use(&net), server_address());
}

#[test]
fn a_client_at_the_preferred_address_still_hears_the_original_one() {
    // RFC 9000 §9.6.2: there a server remains that has no proof of the client at the preferred one.
    let mut net = net_preferring(&[preferred_v4()], Config::default());
    connect(&mut net, Config::default(), EchoClient::patient(1, 5_000_000));
    let has_moved = |net: &EchoNet| peer_in_use(net) == preferred_v4();
    assert!(net.run_until(SECOND * 5, has_moved));
    // Nothing that the client sends arrives from now on, its proof included. The server's probe
    // timeouts go on, long after the client has done with the path to the original address.
    net.remove_address(preferred_v4());
    net.run_for(SECOND * 5);
    let heard = |net: &EchoNet| net.clients[0].host().connection().stats().packets_received;
    let before = heard(&net);
    net.run_for(SECOND * 10);
    assert!(heard(&net) > before && peer_in_use(&net) == preferred_v4());
}

#[test]
fn a_client_moves_on_from_the_preferred_address() {
    // RFC 9000 §18.2: `disable_active_migration` is about the address of the handshake.
    let server = Config { disable_active_migration: true, ..Config::default() };
    let mut net = net_preferring(&[preferred_v4()], server);
    connect(&mut net, Config::default(), EchoClient::patient(1, 20_000_000));
    net.add_client_address(0, away(1));
    net.run_for(200 * MS);
    assert_eq!(migrate(&mut net, away(1)), Ok(()));
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!((in_use(&net), peer_in_use(&net)), (away(1), preferred_v4()));
}

#[test]
fn who_moves_on_the_way_to_the_preferred_address_arrives_at_both() {
    // RFC 9000 §9.6.3
    for preferred_first in [false, true] {
        let mut net = net_preferring(&[preferred_v4()], Config::default());
        let config = Config { follow_preferred_address: preferred_first, ..Config::default() };
        connect(&mut net, config, EchoClient::patient(1, 5_000_000));
        net.add_client_address(0, away(1));
        assert!(net.run_until(SECOND, |net| net.clients[0].host().connection().is_confirmed()));
        if preferred_first {
            net.run_for(MS);
        }
        assert_eq!(migrate(&mut net, away(1)), Ok(()));
        if !preferred_first {
            net.run_for(MS);
            let now = net.now;
            let went = net.clients[0]
                .enter(now, |_, cx| cx.connection().migrate_to_preferred_address(now, home()));
            assert_eq!(went, Ok(()));
            net.kick();
        }
        assert!(net.run_until(SECOND * 30, is_done));
        assert_eq!((in_use(&net), peer_in_use(&net)), (away(1), preferred_v4()));
    }
}

#[test]
fn a_lossy_link_leads_to_the_preferred_address_too() {
    for n in 1..=10 {
        let mut net = net_preferring(&[preferred_v4()], Config::default());
        net.link = Link { loss: 100, delay: Duration::from_millis(5 + n), ..Link::default() };
        connect(&mut net, Config::default(), EchoClient::patient(1, 200_000));
        assert!(net.run_until(SECOND * 60, is_done), "delay {}", 5 + n);
        net.run_for(SECOND * 3);
        assert_eq!(peer_in_use(&net), preferred_v4(), "delay {}", 5 + n);
    }
}

/// A client that is given the preferred address, and the ID for it.
fn evil_at_preferring(net: &mut EchoNet) -> (Evil, ConnectionId) {
    let (evil, _) = evil_with_ids(net, parameters());
    let known = ids_given(&evil);
    // The server has given sequence numbers 2 and 3; the dispatcher knows 1 by the parameters.
    assert_eq!(known.len(), 2);
    let id = known[0];
    (evil, id)
}

#[test]
fn a_server_uses_its_preferred_address_when_the_client_is_proven_to_be_there() {
    // RFC 9000 §9.6.2
    let mut net = net_preferring(&[preferred_v4()], Config::default());
    let (mut evil, id) = evil_at_preferring(&mut net);
    net.tap = Some(Vec::new());
    let (first, old_id) = (evil.peer, evil.peer_id);
    (evil.peer, evil.peer_id) = (preferred_v4(), id);
    evil.seen.clear();
    ask(&mut net, &mut evil, 0, 1000);
    evil.run(&mut net, 200 * MS);
    assert!(evil.has_seen(|frame| matches!(frame, Frame::Stream { .. })), "it is answered");
    let there = sent_from(&net, preferred_v4());
    assert!(there.iter().all(|tapped| tapped.data.len() == 1200), "by probes from there only");
    let challenge = evil.seen.iter().rev().find_map(|packet| {
        let mut frames = protoquic::wire::FrameIter::new(&packet.payload).flatten();
        frames.find_map(|frame| match frame {
            Frame::PathChallenge(data) => Some(data),
            _ => None,
        })
    });
    evil.send_frame(&mut net, &Frame::PathResponse(challenge.expect("it asks for a proof")));
    evil.run(&mut net, 200 * MS);
    net.tap = Some(Vec::new());
    ask(&mut net, &mut evil, 4, 1000);
    evil.run(&mut net, 200 * MS);
    assert!(!sent_from(&net, preferred_v4()).is_empty());
    assert!(sent_from(&net, first).is_empty(), "from now on from there only");
    // What comes to the old address now is dropped.
    evil.seen.clear();
    (evil.peer, evil.peer_id) = (first, old_id);
    ask(&mut net, &mut evil, 8, 1000);
    evil.run(&mut net, 200 * MS);
    assert!(!evil.has_seen(|frame| matches!(frame, Frame::Stream { .. })));
}
