//! What a peer may not do, and what it can have us keep.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::{Config, DatagramOptions};
use protoquic::http::{ALPN, Http3ClientSession, Http3Code as Code, Http3Config};
use protoquic::{Direction, Role, ServerConfig, SessionHost, StreamId};
use protoquic_tests::http3::{CONTROL, data, frame, headers, varint};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::Factory;
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi, uni};
use protoquic_tests::tls;

use super::{Sessions, on, server, transport};

/// The start of a control stream with the settings of a client that takes part.
pub(super) fn control() -> Script {
    let settings = [varint(0x08), vec![1, 0x33, 1], varint(0xc671_706a), vec![5]].concat();
    uni([vec![0], frame(4, &settings)].concat())
}

pub(super) fn connect(path: &str) -> Script {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ];
    bidi(headers(&fields)).ending(End::Open)
}

/// A CONNECT with these capsules.
fn saying(path: &str, capsules: &[u8], end: End) -> Script {
    let Script { bytes, .. } = connect(path);
    bidi([bytes, data(capsules)].concat()).ending(end)
}

/// A stream of a session, with this content.
pub(super) fn in_session(direction: Direction, session: u64, text: &[u8]) -> Script {
    let front = if direction == Direction::Bidirectional { 0x41 } else { 0x54 };
    let bytes = [&varint(front)[..], &varint(session), text].concat();
    Script { direction, bytes, end: End::Fin }
}

pub(super) fn request(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Bidirectional, index)
}

fn client_uni(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Unidirectional, index)
}

/// A client that runs these scripts at our server.
fn against(http: Http3Config, scripts: Vec<Script>) -> (Rc<RefCell<Seen>>, Rc<Sessions>) {
    against_for(http, scripts, Duration::from_secs(2))
}

fn against_for(
    http: Http3Config,
    scripts: Vec<Script>,
    time: Duration,
) -> (Rc<RefCell<Seen>>, Rc<Sessions>) {
    let (factory, sessions) = server(http);
    let mut net = Net::new(1, Link::default(), factory);
    let peer = RawPeer::new(scripts);
    let seen = Rc::clone(&peer.seen);
    net.connect(Arc::new(transport()), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(time);
    (seen, sessions)
}

/// The code with which our server resets a session.
fn session_reset(path: &str, capsules: &[u8], end: End) -> Option<u64> {
    let (seen, sessions) = against(on(), vec![control(), saying(path, capsules, end)]);
    assert_eq!(seen.borrow().close_code(), None);
    assert_eq!(sessions.player.log.borrow().ends.len(), 1);
    seen.borrow().resets.get(&request(0)).copied()
}

#[test]
fn streams_that_come_before_their_session_wait_for_it() {
    // §4.5
    let early = vec![
        control(),
        in_session(Direction::Bidirectional, 4, b"both ways"),
        in_session(Direction::Unidirectional, 4, b"one way"),
        connect("/echo"),
    ];
    let (seen, _) = against(on(), early);
    let seen = seen.borrow();
    assert_eq!(seen.close_code(), None);
    assert_eq!(seen.data[&request(0)], b"both ways");
    let answer = seen.data.values().any(|data| data.ends_with(b"one way"));
    assert!(answer, "{:?}", seen.data);
}

#[test]
fn a_request_for_a_session_waits_for_the_settings() {
    // §3.1
    let (seen, sessions) = against(on(), vec![connect("/play"), control()]);
    assert_eq!(seen.borrow().close_code(), None);
    assert!(sessions.player.log.borrow().is_ready);
    // And not for ever.
    let (seen, sessions) = against_for(on(), vec![connect("/play")], Duration::from_secs(12));
    assert_eq!(seen.borrow().resets.get(&request(0)), Some(&Code::REQUEST_REJECTED.0));
    assert!(!sessions.player.log.borrow().is_ready);
}

#[test]
fn who_takes_no_part_gets_no_session() {
    // §3.1
    let (seen, sessions) = against(on(), vec![uni(CONTROL), connect("/play")]);
    assert_eq!(seen.borrow().resets.get(&request(0)), Some(&Code::MESSAGE_ERROR.0));
    assert!(!sessions.player.log.borrow().is_ready);
}

#[test]
fn the_settings_of_draft_02_do_as_well() {
    let settings = [varint(0x08), vec![1, 0x33, 1], varint(0x2b60_3742), vec![1]].concat();
    let control = uni([vec![0], frame(4, &settings)].concat());
    let (_, sessions) = against(on(), vec![control, connect("/play")]);
    assert!(sessions.player.log.borrow().is_ready);
}

#[test]
fn sessions_beyond_the_limit_are_rejected() {
    // §3.4
    let many = [vec![control()], vec![connect("/echo"); 5]].concat();
    let (seen, _) = against(on(), many);
    let resets = seen.borrow().resets.clone();
    assert_eq!(resets, [3, 4].map(|n| (request(n), Code::REQUEST_REJECTED.0)).into());
}

#[test]
fn a_stream_names_a_session_or_the_connection_ends() {
    // §4: 1 to 3 are no requests, and 4 million are more than may be.
    for session in [1, 2, 3, 4_000_000] {
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            let (seen, _) = against(on(), vec![control(), in_session(direction, session, b"x")]);
            let code = seen.borrow().close_code();
            assert_eq!(code, Some(Code::ID_ERROR.0), "{session} {direction:?}");
        }
    }
}

#[test]
fn streams_of_sessions_that_are_over_or_never_were_are_refused() {
    // §4.5, §5
    let get = headers(&protoquic_tests::http3::GET);
    let close = frame(0x2843, &[0; 4]);
    let gone = vec![
        control(),
        bidi(get),
        saying("/echo", &close, End::Fin),
        in_session(Direction::Bidirectional, 0, b"x"),
        in_session(Direction::Bidirectional, 4, b"x"),
    ];
    let (seen, _) = against(on(), gone);
    let seen = seen.borrow();
    for stream in [2, 3] {
        let code = Some(&Code::WEBTRANSPORT_SESSION_GONE.0);
        assert_eq!(seen.resets.get(&request(stream)), code, "{:?}", seen.resets);
    }
    assert_eq!(seen.close_code(), None);
}

#[test]
fn only_so_many_streams_wait_for_sessions() {
    // §4.5
    let unknown = in_session(Direction::Unidirectional, 8, b"x").ending(End::Open);
    let (seen, _) = against(on(), [vec![control()], vec![unknown; 80]].concat());
    let seen = seen.borrow();
    let refused = Code::WEBTRANSPORT_BUFFERED_STREAM_REJECTED.0;
    assert_eq!(seen.stops.values().filter(|code| **code == refused).count(), 80 - 64);
    assert!(seen.stops.contains_key(&client_uni(80)) && !seen.stops.contains_key(&client_uni(64)));
    assert_eq!(seen.close_code(), None);
}

#[test]
fn a_signal_is_the_beginning_of_a_stream() {
    // §4.2
    let late = [headers(&protoquic_tests::http3::GET), vec![0x40, 0x41, 0]].concat();
    let (seen, _) = against(on(), vec![control(), bidi(late)]);
    assert_eq!(seen.borrow().close_code(), Some(Code::FRAME_ERROR.0));
}

#[test]
fn without_the_setting_there_are_no_sessions_streams() {
    let none = Http3Config { webtransport_sessions: 0, ..on() };
    let scripts = vec![
        control(),
        in_session(Direction::Unidirectional, 4, b"x").ending(End::Open),
        // An unknown frame without payload, then nothing.
        in_session(Direction::Bidirectional, 0, b""),
    ];
    let (seen, _) = against(none, scripts);
    let seen = seen.borrow();
    assert_eq!(seen.stops.get(&client_uni(1)), Some(&Code::STREAM_CREATION_ERROR.0));
    assert_eq!(seen.resets.get(&request(0)), Some(&Code::REQUEST_INCOMPLETE.0));
    assert_eq!(seen.close_code(), None);
}

#[test]
fn a_close_is_well_formed_and_the_last_thing() {
    // §5
    let close = |len: usize| frame(0x2843, &vec![b'x'; len]);
    let malformed = Some(Code::MESSAGE_ERROR.0);
    assert_eq!(session_reset("/play", &close(4 + 1025), End::Open), malformed);
    assert_eq!(session_reset("/play", &close(3), End::Open), malformed);
    assert_eq!(session_reset("/play", &close(9)[..5], End::Fin), malformed);
    assert_eq!(session_reset("/play", &[close(9), vec![0, 0]].concat(), End::Open), malformed);
    assert_eq!(session_reset("/play", &close(4 + 1024), End::Fin), None);
}

#[test]
fn unknown_capsules_are_passed_over() {
    // RFC 9297 §3.2
    let unknown = frame(0x1234_5678, &[7; 3000]);
    let drain = frame(0x78ae, &[]);
    let script = saying("/play", &[unknown, drain].concat(), End::Open);
    let (_, sessions) = against(on(), vec![control(), script]);
    let log = sessions.player.log.borrow();
    assert_eq!((log.drains, log.ends.len()), (1, 0));
}

#[test]
fn the_streams_of_a_session_end_with_it() {
    // §5
    let stream = in_session(Direction::Bidirectional, 0, b"x").ending(End::Open);
    let (factory, _) = server(on());
    let mut net = Net::new(1, Link::default(), factory);
    let peer = RawPeer::new([control(), connect("/echo"), stream]);
    let seen = Rc::clone(&peer.seen);
    net.connect(Arc::new(transport()), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        cx.connection().stream_finish(request(0)).unwrap();
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    let seen = seen.borrow();
    let gone = Some(&Code::WEBTRANSPORT_SESSION_GONE.0);
    assert_eq!((seen.resets.get(&request(1)), seen.stops.get(&request(1))), (gone, gone));
    assert!(seen.finished.contains(&request(0)) && seen.close_code().is_none());
}

#[test]
fn floods_of_streams_and_datagrams_are_bounded() {
    let (factory, sessions) = server(on());
    let mut net = Net::new(1, Link::default(), factory);
    let flood = [
        vec![control(), connect("/play")],
        vec![in_session(Direction::Unidirectional, 0, b""); 3000],
        vec![in_session(Direction::Bidirectional, 0, b""); 3000],
    ];
    let peer = RawPeer::new(flood.concat());
    let seen = Rc::clone(&peer.seen);
    net.connect(Arc::new(transport()), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    for _ in 0..20 {
        let now = net.now;
        net.clients[0].enter(now, |_, cx| {
            for _ in 0..100 {
                let _ = cx.send_datagram(vec![0; 1000].into(), DatagramOptions::default());
            }
        });
        net.kick();
        net.run_for(Duration::from_secs(1));
    }
    assert_eq!(seen.borrow().close_code(), None, "an honest session has as many");
    let log = sessions.player.log.borrow();
    assert!(log.incoming.len() >= 3000 && !log.datagrams.is_empty(), "{}", log.incoming.len());
}

#[test]
fn streams_that_are_cancelled_at_once_are_not_for_free() {
    let cancelled = in_session(Direction::Bidirectional, 0, b"").ending(End::Cancel(1));
    let scripts = [vec![control(), connect("/play")], vec![cancelled; 3000]].concat();
    let (seen, _) = against_for(on(), scripts, Duration::from_secs(5));
    assert_eq!(seen.borrow().close_code(), Some(Code::EXCESSIVE_LOAD.0));
}

#[test]
fn streams_for_nobody_are_not_for_free() {
    let get = bidi(headers(&protoquic_tests::http3::GET));
    let gone = in_session(Direction::Unidirectional, 0, b"");
    let scripts = [vec![control(), get], vec![gone; 11_000]].concat();
    let (seen, _) = against_for(on(), scripts, Duration::from_mins(1));
    assert_eq!(seen.borrow().close_code(), Some(Code::EXCESSIVE_LOAD.0));
}

/// A server that writes any bytes, at our client, which has asked for a session.
fn client_against(scripts: Vec<Script>) -> Rc<RefCell<Seen>> {
    let seen: Rc<RefCell<Seen>> = Rc::default();
    let config = ServerConfig { transport: Arc::new(transport()), tls: tls::server(&[ALPN]) };
    let noted = Rc::clone(&seen);
    let factory = Factory::new(&[ALPN], config, move |connection| {
        let mut peer = RawPeer::new(scripts.clone());
        peer.seen = Rc::clone(&noted);
        Box::new(SessionHost::new(connection, peer))
    });
    let mut net = Net::new(1, Link::default(), factory);
    let session = Http3ClientSession::new(on());
    let client: Config = transport();
    net.connect(Arc::new(client), tls::client(&[ALPN]), session, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(2));
    seen
}

#[test]
fn a_server_opens_bidirectional_streams_for_sessions_only() {
    // RFC 9114 §6.1, draft-ietf-webtrans-http3-07 §4.2
    let get = Script { direction: Direction::Bidirectional, ..bidi(vec![1, 0]) };
    let seen = client_against(vec![control(), get]);
    assert_eq!(seen.borrow().close_code(), Some(Code::STREAM_CREATION_ERROR.0));
    // A session that the client has not asked for.
    let seen = client_against(vec![control(), in_session(Direction::Bidirectional, 0, b"x")]);
    assert_eq!(seen.borrow().close_code(), Some(Code::ID_ERROR.0));
}
