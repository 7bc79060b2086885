//! Clients that move to another address of theirs (RFC 9000 §9.2).

use std::net::SocketAddr;
use std::sync::Arc;

use protoquic::connection::{Config, MigrationError};
use protoquic::wire::{Frame, FrameIter, PacketType};
use protoquic::{ConnectionId, ResetToken, ServerConfig};
use protoquic_tests::evil::bytes_of;
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, PathNews, echo_factory};
use protoquic_tests::tls;

use crate::server::{evil_server, evil_with_ids, ids_given};
use crate::{
    MS, SECOND, away, connect, destination, home, in_use, is_done, migrate, net, net_with, news,
    path, probe, running, sent_from, sent_to,
};

#[test]
fn a_client_moves_once_the_new_path_is_proven() {
    // RFC 9000 §9.2, §8.2
    let mut net = running(net(), Config::default(), 10_000_000);
    net.add_client_address(0, away(1));
    net.tap = Some(Vec::new());
    assert_eq!(migrate(&mut net, away(1)), Ok(()));
    net.run_for(15 * MS);
    assert_eq!(in_use(&net), home(), "not before it is");
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(news(&net), [PathNews::Validated(path(away(1))), PathNews::Changed(path(away(1)))]);
    let here = sent_from(&net, home());
    let there = sent_from(&net, away(1));
    assert_eq!(there[0].data.len(), 1200, "RFC 9000 §8.2.1");
    assert!(there.len() > 1000, "the transfer went on there");
    let last = here.last().unwrap().at;
    assert!(last < there[0].at + 60 * MS, "and ended here");
}

#[test]
fn the_ids_of_two_paths_have_nothing_in_common() {
    // RFC 9000 §9.5, in both directions
    let mut net = running(net(), Config::default(), 5_000_000);
    net.add_client_address(0, away(1));
    net.tap = Some(Vec::new());
    migrate(&mut net, away(1)).unwrap();
    assert!(net.run_until(SECOND * 30, is_done));
    for (here, there) in [
        (sent_from(&net, home()), sent_from(&net, away(1))),
        (sent_to(&net, home()), sent_to(&net, away(1))),
    ] {
        assert!(there.iter().all(|b| here.iter().all(|a| destination(a) != destination(b))));
        assert!(!there.is_empty());
    }
}

#[test]
fn the_server_answers_on_the_path_it_was_asked_on_and_asks_back() {
    // RFC 9000 §8.2.2, §9.3
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    evil.address = elsewhere;
    evil.peer_id = ids_given(&evil)[0];
    let challenge = bytes_of(&Frame::PathChallenge([7; 8]));
    let packet = evil.seal_to(PacketType::OneRtt, &challenge, 0, 1200);
    evil.seen.clear();
    evil.send_datagram(&mut net, packet);
    evil.run(&mut net, 60 * MS);
    let first = &evil.seen[0].payload;
    let frames: Vec<_> = FrameIter::new(first).flatten().collect();
    assert!(frames.contains(&Frame::PathResponse([7; 8])));
    assert!(frames.iter().any(|frame| matches!(frame, Frame::PathChallenge(_))));
    assert!(frames.iter().all(Frame::is_probing), "nothing but a probe: {frames:?}");
    assert!(first.len() > 1150, "RFC 9000 §8.2.2: {}", first.len());
}

#[test]
fn a_path_that_is_only_probed_is_not_used() {
    // RFC 9000 §9.1
    let mut net = running(net(), Config::default(), 10_000_000);
    net.add_client_address(0, away(1));
    net.tap = Some(Vec::new());
    probe(&mut net, away(1)).unwrap();
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(news(&net), [PathNews::Validated(path(away(1)))]);
    assert_eq!(in_use(&net), home());
    assert!(sent_to(&net, away(1)).len() < 5, "the server did not follow the probe");
    // Proven already, it is taken at once.
    migrate(&mut net, away(1)).unwrap();
    assert_eq!(in_use(&net), away(1));
}

#[test]
fn a_path_without_an_answer_is_given_up() {
    // RFC 9000 §8.2.4
    let mut net = running(net(), Config::default(), 1_000_000);
    net.tap = Some(Vec::new());
    let begun = net.now;
    migrate(&mut net, away(9)).unwrap();
    net.add_client_address(0, away(9));
    net.remove_address(away(9));
    assert!(net.run_until(SECOND * 10, |net| !news(net).is_empty()));
    assert_eq!(news(&net), [PathNews::Failed(path(away(9)))]);
    assert_eq!(net.now - begun, 2997 * MS, "three PTO of a path without samples");
    assert_eq!(in_use(&net), home());
    assert!(net.run_until(SECOND * 30, is_done));
}

#[test]
fn a_lost_challenge_is_repeated_with_other_data() {
    // RFC 9000 §8.2.1
    let mut net = running(net(), Config::default(), 1000);
    net.tap = Some(Vec::new());
    net.add_client_address(0, away(1));
    net.link.loss = 1000;
    migrate(&mut net, away(1)).unwrap();
    net.run_for(300 * MS);
    let tries = sent_from(&net, away(1)).len();
    assert!((3..6).contains(&tries), "{tries}: it backs off as the PTO does");
    net.link.loss = 0;
    net.run_for(SECOND * 2);
    assert_eq!(in_use(&net), away(1));
}

#[test]
fn a_client_does_not_move_before_the_handshake_is_confirmed() {
    // RFC 9000 §9
    let mut net = net();
    connect(&mut net, Config::default(), EchoClient::patient(1, 1000));
    net.add_client_address(0, away(1));
    assert_eq!(migrate(&mut net, away(1)), Err(MigrationError::NotConfirmed));
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(migrate(&mut net, away(1)), Ok(()));
    assert_eq!(migrate(&mut net, ([0u16; 8], 1).into()), Err(MigrationError::AddressFamily));
    assert_eq!(migrate(&mut net, home()), Err(MigrationError::SamePath));
}

#[test]
fn a_client_does_not_move_where_the_server_forbids_it() {
    // RFC 9000 §18.2
    let config = Config { disable_active_migration: true, ..Config::default() };
    let mut net = running(net_with(config, Link::default()), Config::default(), 1000);
    assert_eq!(migrate(&mut net, away(1)), Err(MigrationError::Disabled));
    assert_eq!(probe(&mut net, away(1)), Err(MigrationError::Disabled));
}

#[test]
fn a_client_without_unused_ids_stays() {
    // RFC 9000 §9.5
    let mut net = running(net(), Config::default(), 1000);
    for n in 1..=3 {
        assert_eq!(probe(&mut net, away(n)), Ok(()));
    }
    assert_eq!(probe(&mut net, away(4)), Err(MigrationError::NoConnectionId));
    net.run_for(SECOND * 4);
    assert_eq!(news(&net).len(), 3, "all have failed");
    assert_eq!(probe(&mut net, away(4)), Ok(()), "their IDs were retired, others came");
}

#[test]
fn a_client_moves_again_and_again() {
    let mut net = running(net(), Config::default(), 20_000_000);
    for n in 1..=6 {
        net.add_client_address(0, away(n));
        migrate(&mut net, away(n)).unwrap();
        net.run_for(300 * MS);
        assert_eq!(in_use(&net), away(n));
    }
    assert!(net.run_until(SECOND * 60, is_done));
}

#[test]
fn a_client_moves_on_when_its_old_path_is_dead() {
    let mut net = running(net(), Config::default(), 10_000_000);
    net.add_client_address(0, away(1));
    net.remove_address(home());
    migrate(&mut net, away(1)).unwrap();
    let before = net.clients[0].session().received;
    net.run_for(200 * MS);
    assert!(net.clients[0].session().received > before);
    assert!(net.run_until(SECOND * 30, is_done));
}

#[test]
fn a_move_succeeds_on_lossy_links() {
    let link = Link { loss: 50, reorder: 50, duplicate: 20, ..Link::default() };
    for n in 1..=10 {
        let mut net = Net::new(
            n,
            link,
            echo_factory(ServerConfig {
                transport: Arc::new(Config::default()),
                tls: tls::server(&[b"echo"]),
            }),
        );
        connect(&mut net, Config::default(), EchoClient::patient(2, 1_000_000));
        net.run_until(SECOND * 5, |net| net.clients[0].host().connection().is_confirmed());
        net.add_client_address(0, away(1));
        net.run_for(50 * MS);
        migrate(&mut net, away(1)).unwrap();
        assert!(net.run_until(SECOND * 60, is_done), "seed {n}");
        assert_eq!(in_use(&net), away(1), "seed {n}");
    }
}

#[test]
fn a_client_that_has_nothing_to_say_shows_that_it_has_moved() {
    // RFC 9000 §9.2: what only probes moves nobody.
    let mut net = net();
    let address = SocketAddr::from(([10, 66, 0, 1], 443));
    let mut evil = evil_server(&mut net, address, &parameters());
    let (id, reset_token) = (ConnectionId::new(&[9; 8]).unwrap(), ResetToken([7; 16]));
    let (sequence, retire_prior_to) = (1, 0);
    let given = Frame::NewConnectionId { sequence, retire_prior_to, id, reset_token };
    evil.send_frame(&mut net, &given);
    evil.run(&mut net, SECOND);
    net.add_client_address(0, away(1));
    migrate(&mut net, away(1)).unwrap();
    evil.seen.clear();
    evil.run(&mut net, SECOND / 10);
    let packets = evil.seen.iter();
    let mut frames = packets.flat_map(|packet| FrameIter::new(&packet.payload).flatten());
    let challenge = frames.find_map(|frame| match frame {
        Frame::PathChallenge(data) => Some(data),
        _ => None,
    });
    evil.peer = away(1);
    evil.send_frame(&mut net, &Frame::PathResponse(challenge.expect("it is asked for")));
    evil.seen.clear();
    evil.run(&mut net, 50 * MS);
    assert!(evil.has_seen(|frame| matches!(frame, Frame::Ping)));
}
