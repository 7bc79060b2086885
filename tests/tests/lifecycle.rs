//! How connections live and end: timeouts, closes, changes of address, of connection IDs, of keys
//! and of packet sizes, seen from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::wire::Frame;
use protoquic::{
    ApplicationError, CloseReason, ConnectionId, Direction, Ecn, ResetToken, ServerConfig, Space,
    StreamId,
};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::{parameters, parameters_with};
use protoquic_tests::http3::varint;
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

fn patient(streams: u64, bytes: usize) -> EchoClient {
    let mut session = EchoClient::new(streams, bytes);
    session.close_when_done = false;
    session
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
    connect(&mut net, config, patient(1, 1000));
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
    net.connect_to(address, config, tls, patient(1, 100), |writer| Box::new(writer));
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

#[test]
fn the_smaller_idle_timeout_ends_the_connection_in_silence() {
    // RFC 9000 §10.1
    let mut net = established(Config { idle_timeout: SECOND * 5, ..Config::default() });
    net.run_for(SECOND * 4);
    assert_eq!((end(&net), net.server.is_idle()), (None, false));
    net.run_for(SECOND * 2);
    assert_eq!(end(&net), Some(&CloseReason::IdleTimeout));
    assert!(net.server.is_idle(), "the server heard of the client's timeout");
}

#[test]
fn keep_alive_keeps_both_ends() {
    let mut net = established(Config { keep_alive: Some(SECOND * 10), ..Config::default() });
    net.run_for(SECOND * 600);
    assert_eq!((end(&net), net.server.is_idle()), (None, false));
}

#[test]
fn nobody_answers_and_the_handshake_times_out() {
    let (mut net, _) = lonely_client();
    net.run_for(SECOND * 9);
    assert_eq!(end(&net), None);
    net.run_for(SECOND * 2);
    assert_eq!(end(&net), Some(&CloseReason::HandshakeTimeout));
}

#[test]
fn a_clients_close_reaches_the_server() {
    let (mut net, mut evil) = evil_server();
    let now = net.now;
    net.clients[0].close(now, ApplicationError(77), "enough");
    net.kick();
    let close = evil.wait_for_close(&mut net).expect("it says goodbye");
    assert_eq!((close.application, close.code, close.space), (true, 77, Space::Application));
}

#[test]
fn a_close_before_the_handshake_shows_nothing_of_the_application() {
    // RFC 9000 §10.2.3
    let (mut net, address) = lonely_client();
    let mut evil = Evil::server(&mut net, address, b"echo", &parameters());
    let now = net.now;
    net.clients[0].close(now, ApplicationError(77), "secret");
    net.kick();
    let close = evil.wait_for_close(&mut net).expect("it says goodbye");
    assert_eq!((close.application, close.code), (false, 0x0c));
    let secret = |packet: &[u8]| packet.windows(6).any(|bytes| bytes == b"secret");
    assert!(!evil.seen.iter().any(|packet| secret(&packet.payload)));
}

#[test]
fn a_servers_close_reaches_its_clients() {
    let mut net = established(Config::default());
    let now = net.now;
    net.server.close_all(now, ApplicationError(5), "going");
    net.kick();
    net.run_for(SECOND);
    let Some(CloseReason::PeerApplication { code, reason }) = end(&net) else {
        panic!("{:?}", end(&net));
    };
    assert_eq!((*code, &reason[..]), (ApplicationError(5), &b"going"[..]));
}

#[test]
fn a_draining_client_is_silent() {
    // RFC 9000 §10.2.2
    let (mut net, mut evil) = evil_server();
    evil.send(&mut net, protoquic::wire::PacketType::OneRtt, &[0x1c, 0, 0, 0]);
    net.run_for(SECOND / 50);
    net.take_mail(evil.address);
    let before = evil.datagrams;
    for _ in 0..20 {
        evil.send_frame(&mut net, &Frame::Ping);
    }
    evil.run(&mut net, SECOND * 5);
    assert_eq!(evil.datagrams, before);
    assert!(matches!(end(&net), Some(CloseReason::PeerTransport(_))));
}

#[test]
fn a_closing_client_repeats_itself_ever_more_rarely() {
    // RFC 9000 §10.2.1
    let (mut net, mut evil) = evil_server();
    let now = net.now;
    net.clients[0].close(now, ApplicationError(0), "");
    net.kick();
    let before = evil.datagrams;
    for _ in 0..100 {
        evil.send_frame(&mut net, &Frame::Ping);
        evil.run(&mut net, SECOND / 2000);
    }
    evil.run(&mut net, SECOND / 25);
    let count = evil.datagrams - before;
    assert!((2..=9).contains(&count), "{count} closes for 100 packets");
}

#[test]
fn a_transfer_survives_a_new_port_and_a_new_address() {
    // RFC 9000 §9
    for address in [([10, 0, 1, 1], 23_456), ([10, 0, 55, 5], 10_000)] {
        let mut net = net();
        connect(&mut net, Config::default(), patient(2, 5_000_000));
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
    connect(&mut net, Config { keep_alive, ..Config::default() }, patient(2, 5_000_000));
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
    connect(&mut net, Config::default(), patient(1, 3_000_000));
    net.run_for(SECOND / 4);
    net.link.loss = 1000;
    net.run_for(SECOND * 8);
    net.link.loss = 0;
    assert!(net.run_until(SECOND * 30, is_done), "{:?}", end(&net));
}

mod version_negotiation {
    use super::*;
    use protoquic::SeededRandom;
    use protoquic::wire::{PacketHeader, Version, parse_header, write_version_negotiation};

    /// Answers the client's Initial with these versions, and ends after a second.
    fn after_negotiation(versions: &[Version], mirrored: bool) -> Option<CloseReason> {
        let (mut net, address) = lonely_client();
        let mail = net.take_mail(address).swap_remove(0);
        let Ok(PacketHeader::Long(header)) = parse_header(&mail.data, 0) else {
            panic!("a long header");
        };
        let mut out = Vec::new();
        let other = ConnectionId::new(&[1; 16]).expect("16 bytes");
        let from = if mirrored { header.destination } else { other };
        let (to, from) = (header.source.as_bytes(), from.as_bytes());
        write_version_negotiation(&mut out, to, from, versions, &mut SeededRandom::new(1));
        net.inject(address, mail.from, out);
        net.run_for(SECOND);
        end(&net).cloned()
    }

    #[test]
    fn without_our_version_ends_the_attempt() {
        // RFC 9000 §6.2
        let reason = after_negotiation(&[Version(0xff00_001d)], true);
        let Some(CloseReason::VersionMismatch { offered }) = reason else { panic!("{reason:?}") };
        assert!(offered.contains(&0xff00_001d));
    }

    #[test]
    fn with_our_version_is_ignored() {
        // RFC 9000 §6.2
        assert_eq!(after_negotiation(&[Version(0xff00_001d), Version::V1], true), None);
    }

    #[test]
    fn for_another_connection_is_ignored() {
        // RFC 8999 §6
        assert_eq!(after_negotiation(&[Version(0xff00_001d)], false), None);
    }
}

mod retry {
    use super::*;
    use protoquic::SeededRandom;
    use protoquic::crypto::retry_integrity_tag;
    use protoquic::wire::{PacketHeader, Version, parse_header, write_retry};
    use protoquic_tests::net::Mail;

    struct Attempt {
        net: EchoNet,
        address: SocketAddr,
        from: SocketAddr,
        local: ConnectionId,
        original: ConnectionId,
    }

    fn ids(mail: &Mail) -> (ConnectionId, ConnectionId, Vec<u8>) {
        let Ok(PacketHeader::Long(header)) = parse_header(&mail.data, 0) else {
            panic!("a long header");
        };
        (header.destination, header.source, header.token.to_vec())
    }

    fn attempt() -> Attempt {
        let (mut net, address) = lonely_client();
        let mail = net.take_mail(address).swap_remove(0);
        let (original, local, _) = ids(&mail);
        Attempt { net, address, from: mail.from, local, original }
    }

    impl Attempt {
        /// Sends a Retry; the destination and the token of what the client sends soon after.
        fn retry(
            &mut self,
            source: &ConnectionId,
            token: &[u8],
            spoil: u8,
        ) -> Option<(ConnectionId, Vec<u8>)> {
            let mut out = Vec::new();
            let random = &mut SeededRandom::new(1);
            write_retry(&mut out, Version::V1, &self.local, source, token, random);
            let tag = retry_integrity_tag(Version::V1, &self.original, &out);
            out.extend(tag);
            *out.last_mut().expect("the tag") ^= spoil;
            self.net.inject(self.address, self.from, out);
            self.net.run_for(SECOND / 20);
            let mail = self.net.take_mail(self.address);
            mail.last().map(|mail| (ids(mail).0, ids(mail).2))
        }
    }

    fn id(n: u8) -> ConnectionId {
        ConnectionId::new(&[n; 8]).expect("8 bytes")
    }

    #[test]
    fn is_answered_with_its_token_to_its_source() {
        // RFC 9000 §17.2.5.2
        assert_eq!(attempt().retry(&id(7), b"token", 0), Some((id(7), b"token".to_vec())));
    }

    #[test]
    fn with_a_bad_tag_is_ignored() {
        assert_eq!(attempt().retry(&id(7), b"token", 1), None);
    }

    #[test]
    fn from_the_clients_own_choice_of_id_is_ignored() {
        // RFC 9000 §17.2.5.1
        let mut attempt = attempt();
        let original = attempt.original;
        assert_eq!(attempt.retry(&original, b"token", 0), None);
    }

    #[test]
    fn is_followed_once() {
        // RFC 9000 §17.2.5.2
        let mut attempt = attempt();
        assert!(attempt.retry(&id(7), b"token", 0).is_some());
        let other = Some((id(8), b"other".to_vec()));
        assert_ne!(attempt.retry(&id(8), b"other", 0), other);
        attempt.original = id(7);
        assert_ne!(attempt.retry(&id(8), b"other", 0), other);
    }

    #[test]
    fn that_the_parameters_deny_ends_the_handshake() {
        // RFC 9000 §7.3: an attacker made the Retry, the server knows nothing of it.
        let mut attempt = attempt();
        assert!(attempt.retry(&id(7), b"token", 0).is_some());
        attempt.net.run_for(SECOND);
        let address = attempt.address;
        let mut net = attempt.net;
        let parameters = parameters_with(0, attempt.original.as_bytes());
        let mut evil = Evil::server(&mut net, address, b"echo", &parameters);
        let close = evil.wait_for_close(&mut net).expect("the client notices");
        assert_eq!(close.code, 0x08);
    }
}

#[test]
fn a_server_issues_as_many_ids_as_the_client_keeps() {
    // RFC 9000 §5.1.1
    let mut net = net();
    for (port, limit, issued) in [(5001, 2, 1), (5002, 3, 2), (5003, 4, 3), (5004, 100, 3)] {
        let parameters = parameters_with(0x0e, &varint(limit));
        let mut evil = Evil::client(&mut net, port, b"echo", &parameters, unchanged());
        assert!(evil.handshake(&mut net));
        evil.run(&mut net, SECOND);
        let count = evil.count(|frame| matches!(frame, Frame::NewConnectionId { .. }));
        assert_eq!(count, issued, "limit {limit}");
    }
}

/// The IDs that the other side gave to the attacker.
fn given_ids(evil: &Evil) -> Vec<(u64, ConnectionId)> {
    let frames = |payload| protoquic::wire::FrameIter::new(payload).flatten();
    let frames = evil.seen.iter().flat_map(|packet| frames(&packet.payload));
    frames
        .filter_map(|frame| match frame {
            Frame::NewConnectionId { sequence, id, .. } => Some((sequence, id)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_retired_id_is_replaced_and_no_longer_known() {
    // RFC 9000 §5.1.2
    let mut net = net();
    let mut evil = evil_client(&mut net);
    let first = evil.peer_id;
    evil.peer_id = given_ids(&evil)[0].1;
    evil.send_frame(&mut net, &Frame::RetireConnectionId { sequence: 0 });
    evil.run(&mut net, SECOND);
    assert_eq!(given_ids(&evil).iter().map(|(n, _)| *n).max(), Some(4));
    assert_eq!(evil.close(), None);
    evil.peer_id = first;
    evil.send_frame(&mut net, &Frame::PathChallenge([4; 8]));
    evil.run(&mut net, SECOND);
    assert!(!evil.has_seen(|frame| matches!(frame, Frame::PathResponse(_))));
}

#[test]
fn a_client_goes_on_with_a_new_id_when_told_to() {
    // RFC 9000 §5.1.2, §19.15
    let (mut net, mut evil) = evil_server();
    let id = ConnectionId::new(&[0xdd; 8]).unwrap();
    let reset_token = ResetToken([2; 16]);
    evil.run(&mut net, SECOND / 2);
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 1, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    let mail = net.take_mail(evil.address);
    assert!(mail.iter().all(|mail| mail.data[1..9] == [0xdd; 8]) && !mail.is_empty());
    evil.local_id = id;
    net.run_for(SECOND);
    evil.run(&mut net, SECOND);
    assert!(evil.has_seen(|f| matches!(f, Frame::RetireConnectionId { sequence: 0 })));
}

#[test]
fn a_reset_token_of_a_new_id_ends_the_connection() {
    // RFC 9000 §10.3.1
    let (mut net, mut evil) = evil_server();
    let id = ConnectionId::new(&[0xdd; 8]).unwrap();
    let reset_token = ResetToken([2; 16]);
    let reset = [&[0x41; 30][..], &[2; 16]].concat();
    evil.send_datagram(&mut net, reset.clone());
    net.run_for(SECOND / 10);
    assert_eq!(end(&net), None, "the token is not known yet");
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 0, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    evil.send_datagram(&mut net, reset.clone());
    net.run_for(SECOND / 10);
    assert_eq!(end(&net), None, "nothing was sent to this ID");
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 1, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    evil.send_datagram(&mut net, reset);
    net.run_for(SECOND);
    assert_eq!(end(&net), Some(&CloseReason::StatelessReset));
}

#[test]
fn the_packet_size_rises_to_what_the_path_carries() {
    // RFC 9000 §14.3, RFC 8899
    for (mtu, low, high) in [(1500, 1452, 1452), (1300, 1260, 1300), (1200, 1200, 1200)] {
        let mut net = net_on(Link { mtu, ..Link::default() });
        connect(&mut net, Config::default(), patient(1, 2_000_000));
        assert!(net.run_until(SECOND * 30, is_done));
        net.run_for(SECOND * 10);
        let size = net.clients[0].host().connection().stats().packet_size;
        assert!((low..=high).contains(&size), "{size} on a path of {mtu}");
    }
}

#[test]
fn a_path_that_shrinks_is_noticed() {
    // RFC 8899 §4.3
    let mut net = net();
    connect(&mut net, Config::default(), patient(1, 20_000_000));
    net.run_for(SECOND / 4);
    assert_eq!(net.clients[0].host().connection().stats().packet_size, 1452);
    assert!(!is_done(&net), "there is something left to do");
    net.link.mtu = 1300;
    assert!(net.run_until(SECOND * 25, is_done), "{:?}", end(&net));
}

#[test]
fn an_end_that_reports_no_marks_gets_none() {
    // RFC 9000 §13.4.2
    let (mut net, mut evil) = evil_server();
    assert!(evil.seen.iter().any(|packet| packet.ecn == Ecn::Ect0), "the path is tested");
    evil.run(&mut net, SECOND);
    let before = evil.seen.len();
    let now = net.now;
    net.clients[0].enter(now, |_, cx| cx.connection().ping());
    net.kick();
    evil.run(&mut net, SECOND);
    assert!(evil.seen.len() > before);
    assert!(evil.seen[before..].iter().all(|packet| packet.ecn == Ecn::NotEct));
}

#[test]
fn received_marks_are_reported() {
    // RFC 9000 §13.4.1
    let mut net = net();
    let mut evil = evil_client(&mut net);
    for mark in [Ecn::Ect0, Ecn::Ect0, Ecn::Ce] {
        evil.mark = mark;
        evil.send_frame(&mut net, &Frame::Ping);
        evil.mark = Ecn::NotEct;
    }
    evil.run(&mut net, SECOND);
    let reported = |frame: &Frame<'_>| match frame {
        Frame::Ack(ack) => ack.ecn.is_some_and(|ecn| (ecn.ect0, ecn.ect1, ecn.ce) == (2, 0, 1)),
        _ => false,
    };
    assert!(evil.has_seen(reported));
}

#[test]
fn a_key_update_is_followed() {
    // RFC 9001 §6.2
    let mut net = net();
    let mut evil = evil_client(&mut net);
    for round in 0..5 {
        evil.update_keys();
        let id = StreamId::new(protoquic::Role::Client, Direction::Bidirectional, round);
        let data = &[b'0' + round as u8; 4][..];
        evil.send_frame(&mut net, &Frame::Stream { id, offset: 0, fin: true, data });
        let echo = |f: &Frame<'_>| matches!(f, Frame::Stream { data: d, .. } if *d == data);
        assert!(evil.run_until(&mut net, SECOND, |evil| evil.has_seen(echo)), "round {round}");
        evil.run(&mut net, SECOND);
    }
    assert_eq!(evil.close(), None);
}

#[test]
fn a_transfer_survives_key_updates() {
    let mut net = net();
    connect(&mut net, Config::default(), patient(1, 5_000_000));
    let mut updates = 0;
    for _ in 0..20 {
        net.run_for(SECOND / 20);
        let now = net.now;
        updates +=
            u32::from(net.clients[0].enter(now, |_, cx| cx.connection().initiate_key_update()));
    }
    assert!(updates >= 3, "{updates} updates");
    assert!(net.run_until(SECOND * 30, is_done), "{:?}", end(&net));
}
