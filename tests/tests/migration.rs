//! Connection migration (RFC 9000 §9): clients that move, clients whose NAT moves them, and those
//! who only seem to move, seen from outside in virtual time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::{Config, MigrationError, PreferredAddresses};
use protoquic::wire::{Frame, PacketType};
use protoquic::{ConnectionId, PathAddress, ResetToken, ServerConfig, StreamId};
use protoquic_tests::evil::{Evil, bytes_of, unchanged};
use protoquic_tests::evil_hello::{Parameters, parameters, parameters_with};
use protoquic_tests::net::{Link, Net, Tapped, server_address};
use protoquic_tests::protocols::{EchoClient, PathNews, echo_factory, pattern, source_factory};
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

fn patient(streams: u64, bytes: usize) -> EchoClient {
    let mut session = EchoClient::new(streams, bytes);
    session.close_when_done = false;
    session
}

fn connect(net: &mut EchoNet, config: Config, session: EchoClient) {
    net.connect(Arc::new(config), tls::client(&[b"echo"]), session, |writer| Box::new(writer));
}

/// A confirmed connection with this much to echo.
fn running(mut net: EchoNet, config: Config, bytes: usize) -> EchoNet {
    connect(&mut net, config, patient(1, bytes));
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

// The client moves.

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
    let frames: Vec<_> = protoquic::wire::FrameIter::new(first).flatten().collect();
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
    connect(&mut net, Config::default(), patient(1, 1000));
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
        connect(&mut net, Config::default(), patient(2, 1_000_000));
        net.run_until(SECOND * 5, |net| net.clients[0].host().connection().is_confirmed());
        net.add_client_address(0, away(1));
        net.run_for(50 * MS);
        migrate(&mut net, away(1)).unwrap();
        assert!(net.run_until(SECOND * 60, is_done), "seed {n}");
        assert_eq!(in_use(&net), away(1), "seed {n}");
    }
}

// The server follows.

/// The IDs that the server gave out.
fn ids_given(evil: &Evil) -> Vec<ConnectionId> {
    let packets = evil.seen.iter();
    let frames = packets.flat_map(|p| protoquic::wire::FrameIter::new(&p.payload).flatten());
    let ids = frames.filter_map(|frame| match frame {
        Frame::NewConnectionId { id, .. } => Some(id),
        _ => None,
    });
    ids.collect()
}

/// A client with three IDs for the server to use, and another address for it.
fn evil_with_ids(net: &mut EchoNet, parameters: Parameters) -> (Evil, SocketAddr) {
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
fn ask(net: &mut EchoNet, evil: &mut Evil, stream: u64, bytes: usize) {
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
    net.run_for(SECOND * 5);
    assert!(net.take_mail(elsewhere).is_empty());
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
fn evil_server(net: &mut EchoNet, address: SocketAddr, parameters: &Parameters) -> Evil {
    net.open_mailbox(address);
    let (config, tls) = (Arc::new(Config::default()), tls::client(&[b"echo"]));
    net.connect_to(address, config, tls, patient(0, 0), |writer| Box::new(writer));
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
    net.run_for(SECOND / 10);
    assert!(net.take_mail(evil.address).is_empty());
    evil.address = address;
    evil.run(&mut net, SECOND);
    assert!(!evil.has_seen(|frame| matches!(frame, Frame::PathResponse(_))));
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

// The server prefers another address.

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
        connect(&mut net, Config::default(), patient(1, 5_000_000));
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
    }
}

#[test]
fn a_client_goes_to_an_ipv6_address_with_one_of_its_own() {
    // RFC 9000 §9.6.1
    let mut net = net_preferring(&[preferred_v6()], Config::default());
    connect(&mut net, Config::default(), patient(1, 5_000_000));
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
    connect(&mut net, config, patient(1, 100_000));
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!(peer_in_use(&net), server_address());
}

#[test]
fn a_client_remains_where_it_was_if_the_preferred_address_is_dead() {
    // RFC 9000 §9.6.1
    let mut net = net_preferring(&[preferred_v4()], Config::default());
    net.remove_address(preferred_v4());
    connect(&mut net, Config::default(), patient(1, 5_000_000));
    assert!(net.run_until(SECOND * 30, is_done));
    net.run_for(SECOND * 4);
    assert_eq!(news(&net), [PathNews::Failed(PathAddress::new(home(), preferred_v4()))]);
    assert_eq!(peer_in_use(&net), server_address());
}

#[test]
fn a_client_moves_on_from_the_preferred_address() {
    // RFC 9000 §18.2: `disable_active_migration` is about the address of the handshake.
    let server = Config { disable_active_migration: true, ..Config::default() };
    let mut net = net_preferring(&[preferred_v4()], server);
    connect(&mut net, Config::default(), patient(1, 20_000_000));
    net.add_client_address(0, away(1));
    net.run_for(200 * MS);
    assert_eq!(migrate(&mut net, away(1)), Ok(()));
    assert!(net.run_until(SECOND * 30, is_done));
    assert_eq!((in_use(&net), peer_in_use(&net)), (away(1), preferred_v4()));
}

#[test]
fn a_lossy_link_leads_to_the_preferred_address_too() {
    for n in 1..=10 {
        let mut net = net_preferring(&[preferred_v4()], Config::default());
        net.link = Link { loss: 100, delay: Duration::from_millis(5 + n), ..Link::default() };
        connect(&mut net, Config::default(), patient(1, 200_000));
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

// The path dies.

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
    net.connect_to(address, config, tls, patient(1, 10), |writer| Box::new(writer));
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

// Figures.

/// Runs to the end, doing something every so often. Returns the longest time in which the client
/// received nothing, in PTO.
fn longest_stall(net: &mut EchoNet, every: Duration, mut f: impl FnMut(&mut EchoNet, u16)) -> f64 {
    let (mut received, mut since, mut worst) = (0, net.now, 0.0f64);
    let (mut next, mut n) = (net.now + every, 0);
    while !is_done(net) {
        net.run_for(5 * MS);
        let client = &net.clients[0];
        if client.session().received > received {
            (received, since) = (client.session().received, net.now);
        }
        let pto = client.host().connection().pto().as_secs_f64();
        worst = worst.max((net.now - since).as_secs_f64() / pto);
        assert!(net.now - since < SECOND * 20, "{received} bytes after {n} moves");
        if net.now >= next {
            f(net, n);
            (next, n) = (next + every, n + 1);
        }
    }
    worst
}

/// A client of 100 MB in about ten seconds, for windows hold it back.
fn hundred_megabytes(downloads: bool, link: Link) -> EchoNet {
    let mut config = Config::default();
    config.streams.max_data = 200_000;
    config.streams.max_connection_window = 200_000;
    let transport = Arc::new(config.clone());
    let server = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = if downloads {
        Net::new(77, link, source_factory(server))
    } else {
        Net::new(77, link, echo_factory(server))
    };
    let mut session = patient(4, 25_000_000);
    session.downloads = downloads;
    connect(&mut net, config, session);
    net
}

#[test]
fn a_hundred_megabytes_through_a_nat_that_rebinds_every_second() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let mut rebound = 0;
        let worst = longest_stall(&mut net, SECOND, |net, n| {
            net.rebind(0, ([10, 0, 1, 1], 20_000 + n).into());
            rebound += 1;
        });
        println!("downloads {downloads}: {rebound} rebindings, longest stall {worst:.2} PTO");
        assert!(rebound >= 8, "{rebound}");
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_hundred_megabytes_through_a_nat_that_gives_another_address_every_second() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let worst = longest_stall(&mut net, SECOND, |net, n| {
            net.rebind(0, ([10, 0, 3, n as u8], 20_000).into());
        });
        println!("downloads {downloads}: longest stall {worst:.2} PTO");
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_hundred_megabytes_through_three_migrations() {
    for downloads in [false, true] {
        let mut net = hundred_megabytes(downloads, Link::default());
        let worst = longest_stall(&mut net, SECOND * 2, |net, n| {
            let n = n as u8 + 1;
            if n <= 3 {
                net.add_client_address(0, away(n));
                migrate(net, away(n)).unwrap();
            }
        });
        println!("downloads {downloads}: longest stall {worst:.2} PTO");
        let moves = news(&net).iter().filter(|news| matches!(news, PathNews::Changed(_))).count();
        assert_eq!(moves, 3);
        assert!(worst <= 3.0, "a stall of {worst} PTO");
    }
}

#[test]
fn a_rebinding_at_any_moment_of_the_beginning_is_survived() {
    for ms in (20..200).step_by(3) {
        let mut net = net();
        connect(&mut net, Config::default(), patient(1, 2_000_000));
        net.run_until(SECOND, |net| net.clients[0].host().connection().is_established());
        net.run_for(Duration::from_millis(ms - 20));
        net.rebind(0, ([10, 0, 1, 1], 20_000).into());
        assert!(net.run_until(SECOND * 20, is_done), "after {} ms", ms - 20);
    }
}
