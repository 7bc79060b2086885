//! Servers whose clients move or seem to (RFC 9000 §9.3).

use std::net::SocketAddr;
use std::sync::Arc;

use protoquic::connection::Config;
use protoquic::wire::{Frame, PacketType};
use protoquic::{ConnectionId, ResetToken, Space, StreamId};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{Parameters, parameters, parameters_with};
use protoquic_tests::net::{Link, server_address};
use protoquic_tests::protocols::{EchoClient, pattern};
use protoquic_tests::tls;

use crate::{EchoNet, MS, SECOND, away, home, in_use, is_done, migrate, net, net_with, running};

/// The IDs that the server gave out.
pub(crate) fn ids_given(evil: &Evil) -> Vec<ConnectionId> {
    let packets = evil.seen.iter();
    let frames = packets.flat_map(|p| protoquic::wire::FrameIter::new(&p.payload).flatten());
    let ids = frames.filter_map(|frame| match frame {
        Frame::NewConnectionId { id, .. } => Some(id),
        _ => None,
    });
    ids.collect()
}

/// A client with three IDs for the server to use, and another address for it.
pub(crate) fn evil_with_ids(net: &mut EchoNet, parameters: Parameters) -> (Evil, SocketAddr) {
    let mut evil = Evil::client(net, 5000, b"echo", &parameters, unchanged());
    assert!(evil.handshake(net));
    for sequence in 1..4 {
        let id = ConnectionId::new(&[0xe0 + sequence as u8; 8]).expect("eight bytes");
        let reset_token = ResetToken([sequence as u8; 16]);
        let frame = Frame::NewConnectionId { sequence, retire_prior_to: 0, id, reset_token };
        evil.send_frame(net, &frame);
    }
    evil.run(net, SECOND / 2);
    let elsewhere = SocketAddr::from(([10, 0, 9, 10], 5001));
    net.open_mailbox(elsewhere);
    (evil, elsewhere)
}

/// Has the server echo this much, starting now.
pub(crate) fn ask(net: &mut EchoNet, evil: &mut Evil, stream: u64, bytes: usize) {
    let id = StreamId::from_raw(stream);
    evil.send_frame(net, &Frame::Stream { id, offset: 0, fin: true, data: &pattern(bytes, 1) });
}

#[test]
fn a_path_that_is_not_proven_is_left_again() {
    // RFC 9000 §9.3.2
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    let home = evil.address;
    evil.address = elsewhere;
    ask(&mut net, &mut evil, 0, 500);
    evil.acknowledges = false;
    net.run_for(SECOND);
    let there = net.take_mail(elsewhere);
    assert!(!there.is_empty(), "it was followed");
    net.take_mail(home);
    net.run_for(SECOND * 5);
    assert!(!net.take_mail(home).is_empty(), "and is called where it was proven to be");
    net.take_mail(elsewhere);
    net.take_mail(home);
    net.run_for(SECOND * 15);
    assert!(net.take_mail(elsewhere).is_empty());
    assert!(!net.take_mail(home).is_empty(), "and is sent there what it has not acknowledged");
}

#[test]
fn who_seems_to_have_moved_is_asked_where_it_was() {
    // RFC 9000 §9.3.3
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    let home = evil.address;
    let packet = evil.seal(PacketType::OneRtt, &bytes_of(&Frame::Ping), 0);
    net.take_mail(home);
    net.inject(elsewhere, server_address(), packet);
    evil.seen.clear();
    evil.run(&mut net, 100 * MS);
    assert!(evil.has_seen(|frame| matches!(frame, Frame::PathChallenge(_))));
    net.take_mail(elsewhere);
    ask(&mut net, &mut evil, 0, 900);
    evil.run(&mut net, SECOND);
    let answered =
        |frame: &Frame<'_>| matches!(frame, Frame::Stream { data, .. } if !data.is_empty());
    assert!(evil.has_seen(answered), "a newer packet from there brings the server back");
}

#[test]
fn a_client_answers_a_challenge_on_its_path_with_more_than_a_probe() {
    // RFC 9000 §9.3.3
    let mut net = net();
    let address = SocketAddr::from(([10, 66, 0, 1], 443));
    let mut evil = evil_server(&mut net, address, &parameters());
    evil.seen.clear();
    let challenge = bytes_of(&Frame::PathChallenge([5; 8]));
    let packet = evil.seal_to(PacketType::OneRtt, &challenge, 0, 1200);
    evil.send_datagram(&mut net, packet);
    evil.run(&mut net, 100 * MS);
    let answer = evil.seen.iter().find(|packet| {
        let mut frames = protoquic::wire::FrameIter::new(&packet.payload).flatten();
        frames.any(|frame| frame == Frame::PathResponse([5; 8]))
    });
    let answer = answer.expect("a response");
    let mut frames = protoquic::wire::FrameIter::new(&answer.payload).flatten();
    assert!(frames.any(|frame| !frame.is_probing()));
    assert!(answer.payload.len() > 1150, "RFC 9000 §8.2.2");
}

/// A server of this test's at this address, with a client of ours that has completed the handshake.
pub(crate) fn evil_server(net: &mut EchoNet, address: SocketAddr, parameters: &Parameters) -> Evil {
    net.open_mailbox(address);
    let (config, tls) = (Arc::new(Config::default()), tls::client(&[b"echo"]));
    net.connect_to(address, config, tls, EchoClient::patient(0, 0), |writer| Box::new(writer));
    net.run_for(SECOND / 10);
    let mut evil = Evil::server(net, address, b"echo", parameters);
    assert!(evil.handshake(net));
    evil.send_frame(net, &Frame::HandshakeDone);
    evil.run(net, SECOND / 5);
    evil
}

#[test]
fn a_client_is_deaf_to_strange_servers() {
    // RFC 9000 §9
    let mut net = net();
    let address = SocketAddr::from(([10, 66, 0, 1], 443));
    let mut evil = evil_server(&mut net, address, &parameters());
    evil.address = ([10, 66, 0, 2], 443).into();
    net.open_mailbox(evil.address);
    evil.send_frame(&mut net, &Frame::PathChallenge([5; 8]));
    let strange = evil.next_number[Space::Application as usize] - 1;
    net.run_for(SECOND / 10);
    assert!(net.take_mail(evil.address).is_empty());
    evil.address = address;
    evil.send_frame(&mut net, &Frame::Ping);
    evil.run(&mut net, SECOND);
    assert!(!evil.has_seen(|frame| matches!(frame, Frame::PathResponse(_))));
    let acknowledges = |frame: &Frame<'_>| match frame {
        Frame::Ack(ack) => ack.ranges().any(|range| range.contains(&strange)),
        _ => false,
    };
    assert!(!evil.has_seen(acknowledges));
}

#[test]
fn an_old_packet_from_elsewhere_moves_nobody() {
    // RFC 9000 §9.3
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    let old = evil.seal(PacketType::OneRtt, &bytes_of(&Frame::Ping), 0);
    evil.send_frame(&mut net, &Frame::Ping);
    evil.run(&mut net, 50 * MS);
    net.inject(elsewhere, server_address(), old);
    net.run_for(SECOND);
    assert!(net.take_mail(elsewhere).is_empty());
}

#[test]
fn the_first_datagram_on_a_new_path_is_a_challenge() {
    // RFC 9000 §9.3
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    evil.seen.clear();
    evil.address = elsewhere;
    ask(&mut net, &mut evil, 0, 1000);
    evil.run(&mut net, 60 * MS);
    let mut frames = protoquic::wire::FrameIter::new(&evil.seen[0].payload).flatten();
    assert!(frames.any(|frame| matches!(frame, Frame::PathChallenge(_))));
}

#[test]
fn a_challenge_that_was_too_small_is_made_again() {
    // RFC 9000 §8.2.1: the limit of three times what came keeps the first one small.
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    evil.seen.clear();
    evil.address = elsewhere;
    evil.send_frame(&mut net, &Frame::Ping);
    evil.run(&mut net, 40 * MS);
    let challenge = |evil: &Evil| {
        evil.seen.iter().rev().find_map(|packet| {
            protoquic::wire::FrameIter::new(&packet.payload).flatten().find_map(|f| match f {
                Frame::PathChallenge(data) => Some((data, packet.payload.len())),
                _ => None,
            })
        })
    };
    let (first, small) = challenge(&evil).expect("a challenge");
    assert!(small < 200, "{small}");
    evil.send_frame(&mut net, &Frame::PathResponse(first));
    evil.run(&mut net, 60 * MS);
    let (second, full) = challenge(&evil).expect("another");
    assert!(second != first && full > 1150, "{full}");
}

#[test]
fn a_moving_client_is_not_listened_to_where_that_is_forbidden() {
    // RFC 9000 §18.2
    let config = Config { disable_active_migration: true, ..Config::default() };
    let mut net = net_with(config, Link::default());
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters());
    let known = evil.peer_id;
    evil.address = elsewhere;
    evil.peer_id = ids_given(&evil)[0];
    evil.send_frame(&mut net, &Frame::Ping);
    net.run_for(SECOND);
    assert!(net.take_mail(elsewhere).is_empty(), "not even a stateless reset");
    evil.peer_id = known;
    evil.send_frame(&mut net, &Frame::Ping);
    net.run_for(SECOND);
    assert!(!net.take_mail(elsewhere).is_empty(), "a NAT's new binding is something else");
}

#[test]
fn a_server_says_that_it_forbids_migration() {
    // RFC 9000 §18.2
    let config = Config { disable_active_migration: true, ..Config::default() };
    let net = running(net_with(config, Link::default()), Config::default(), 1000);
    assert!(net.clients[0].host().connection().peer_parameters().disable_active_migration);
}

#[test]
fn a_client_without_ids_to_spare_cannot_be_answered_elsewhere() {
    // RFC 9000 §9.5: one ID is not used towards two addresses.
    let mut net = net();
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(&mut net));
    evil.run(&mut net, SECOND / 2);
    let elsewhere = SocketAddr::from(([10, 0, 9, 10], 5001));
    net.open_mailbox(elsewhere);
    evil.address = elsewhere;
    evil.peer_id = ids_given(&evil)[0];
    evil.send_frame(&mut net, &Frame::PathChallenge([1; 8]));
    net.run_for(SECOND);
    assert!(net.take_mail(elsewhere).is_empty());
}

#[test]
fn a_client_with_ids_of_no_length_is_followed() {
    // RFC 9000 §9.5: there is nothing to tell paths apart by.
    let config = Config { client_connection_id_length: 0, ..Config::default() };
    let mut net = running(net(), config, 5_000_000);
    net.add_client_address(0, away(1));
    migrate(&mut net, away(1)).unwrap();
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(in_use(&net), away(1));
}

#[test]
fn copies_from_elsewhere_do_not_lead_a_transfer_astray() {
    // RFC 9000 §9.3.3: an attacker that is faster than the client.
    let mut net = running(net(), Config::default(), 5_000_000);
    net.tap = Some(Vec::new());
    let spoofed = SocketAddr::from(([10, 66, 0, 66], 6666));
    net.open_mailbox(spoofed);
    let (mut copied, mut got) = (0, 0);
    for _ in 0..200 {
        net.run_for(2 * MS);
        for tapped in net.tap.replace(Vec::new()).unwrap() {
            if tapped.from == home() {
                copied += tapped.data.len();
                net.link.delay = 5 * MS;
                net.inject(spoofed, server_address(), tapped.data);
                net.link.delay = 10 * MS;
            }
        }
        got += net.take_mail(spoofed).iter().map(|mail| mail.data.len()).sum::<usize>();
    }
    assert!(got > 0 && got <= 3 * copied, "{got} bytes for {copied}");
    net.tap = None;
    assert!(net.run_until(SECOND * 60, is_done));
}

#[test]
fn an_answer_is_never_larger_than_three_times_the_question() {
    // RFC 9000 §8.2.2: from an address that is not proven
    let mut net = net();
    let (mut evil, elsewhere) = evil_with_ids(&mut net, parameters_with(0x0e, &[4]));
    evil.address = elsewhere;
    evil.peer_id = ids_given(&evil)[0];
    let packet = evil.seal(PacketType::OneRtt, &bytes_of(&Frame::PathChallenge([7; 8])), 0);
    let asked = packet.len();
    evil.send_datagram(&mut net, packet);
    net.run_for(SECOND * 3);
    let answered: usize = net.take_mail(elsewhere).iter().map(|mail| mail.data.len()).sum();
    assert!(answered > 0 && answered <= 3 * asked, "{answered} for {asked}");
}
