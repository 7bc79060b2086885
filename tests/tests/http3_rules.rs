//! The rules of HTTP/3 and what breaking them costs a client: a peer that writes any bytes against
//! our server. Contains h3spec's list for HTTP/3 servers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use protoquic::http::{ALPN, Http3Code as Code, Http3Config, MemoryBackend};
use protoquic::{CloseReason, Direction, RandomGenerator, Role, SeededRandom, StreamId};
use protoquic_tests::http3::{CONTROL, GET, data, factory, factory_with, frame, headers, varint};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi, uni};

fn backend() -> MemoryBackend {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/", StatusCode::OK, "hello");
    backend.generate_bytes(true);
    backend.echo("/echo");
    backend
}

/// Lets a peer run these scripts against our server for so long.
fn against_server_for(
    config: Http3Config,
    time: Duration,
    scripts: impl IntoIterator<Item = Script>,
) -> Rc<RefCell<Seen>> {
    let mut net = Net::new(1, Link::default(), factory_with(backend(), config));
    let peer = RawPeer::new(scripts);
    let seen = Rc::clone(&peer.seen);
    net.connect_simply(ALPN, peer);
    net.run_for(time);
    seen
}

fn against_server(scripts: impl IntoIterator<Item = Script>) -> Rc<RefCell<Seen>> {
    against_server_for(Http3Config::default(), Duration::from_secs(2), scripts)
}

/// The server closes the connection with this code.
#[track_caller]
fn server_closes(code: Code, scripts: impl IntoIterator<Item = Script>) {
    let seen = against_server(scripts);
    let closed = seen.borrow().close_code().map(Code);
    assert_eq!(closed, Some(code), "{:?}", seen.borrow().closed);
}

/// The server resets the first request with this code and does nothing to the connection.
#[track_caller]
fn server_resets(code: Code, request: Vec<u8>) {
    let seen = against_server([uni(CONTROL), bidi(request)]);
    let seen = seen.borrow();
    assert_eq!(seen.resets.get(&request_stream(0)).copied().map(Code), Some(code), "{seen:?}");
    assert!(seen.closed.is_none());
}

/// The server answers the first request.
#[track_caller]
fn server_answers(body: &[u8], scripts: impl IntoIterator<Item = Script>) {
    let seen = against_server(scripts);
    let seen = seen.borrow();
    let data = &seen.data[&request_stream(0)];
    assert!(data.ends_with(body) && seen.finished.contains(&request_stream(0)), "{seen:?}");
    assert!(seen.closed.is_none());
}

fn request_stream(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Bidirectional, index)
}

fn get() -> Vec<u8> {
    headers(&GET)
}

fn get_with(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&GET, more].concat())
}

/// A POST to /echo with these fields more.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = GET;
    fields[0].1 = "POST";
    fields[3].1 = "/echo";
    headers(&[&fields, more].concat())
}

/// A control stream that goes on like this.
fn control(more: &[u8]) -> Script {
    uni([&CONTROL, more].concat())
}

mod h3spec {
    //! The checks of h3spec 0.1.13, by their numbers.
    use super::*;

    #[test]
    fn s01_data_before_headers() {
        server_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL), bidi([data(b""), get()].concat())]);
    }

    #[test]
    fn s02_duplicate_method() {
        server_resets(Code::MESSAGE_ERROR, get_with(&[(":method", "GET")]));
    }

    #[test]
    fn s03_missing_authority() {
        server_resets(Code::MESSAGE_ERROR, headers(&[GET[0], GET[1], GET[3]]));
    }

    #[test]
    fn s04_prohibited_pseudo_header_field() {
        server_resets(Code::MESSAGE_ERROR, get_with(&[(":foo", "bar")]));
    }

    #[test]
    fn s05_pseudo_header_field_after_another() {
        let fields = [GET[0], GET[1], GET[2], ("foo", "bar"), GET[3]];
        server_resets(Code::MESSAGE_ERROR, headers(&fields));
    }

    #[test]
    fn s06_max_push_id_before_settings() {
        server_closes(Code::MISSING_SETTINGS, [uni([0, 0x0d, 1, 0])]);
    }

    #[test]
    fn s07_to_s09_frames_that_are_not_of_the_control_stream() {
        for ty in [0, 1, 4] {
            server_closes(Code::FRAME_UNEXPECTED, [control(&frame(ty, b""))]);
        }
    }

    #[test]
    fn s10_http2_settings() {
        let settings = b"\x40\x02\x40\xc8\x01\x50\x00\x06\x80\x00\x80\x00";
        let mut stream = vec![0];
        stream.extend(frame(4, settings));
        server_closes(Code::SETTINGS_ERROR, [uni(stream)]);
    }

    #[test]
    fn duplicate_settings() {
        let settings = b"\x07\x40\x64\x01\x50\x00\x06\x80\x00\x80\x00\x07\x40\x64";
        let mut stream = vec![0];
        stream.extend(frame(4, settings));
        server_closes(Code::SETTINGS_ERROR, [uni(stream)]);
    }

    #[test]
    fn s11_cancel_push_on_a_request_stream() {
        let stream = [get(), frame(3, b"")].concat();
        server_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL), bidi(post_then(&stream))]);
    }

    #[test]
    fn s12_static_index_99() {
        let section = [0, 0, 0xc0 | 0x3f, 99 - 0x3f];
        server_closes(Code::QPACK_DECOMPRESSION_FAILED, [uni(CONTROL), bidi(frame(1, &section))]);
    }

    #[test]
    fn s13_set_dynamic_table_capacity_beyond_the_limit() {
        let capacity = b"\x02\x3f\xe1\xc7\xaf\xa0\x25";
        server_closes(Code::QPACK_ENCODER_STREAM_ERROR, [uni(CONTROL), uni(&capacity[..])]);
    }

    #[test]
    fn s15_insert_count_increment_of_zero() {
        server_closes(Code::QPACK_DECODER_STREAM_ERROR, [uni(CONTROL), uni([3, 0])]);
    }

    #[test]
    fn s14_critical_streams_closed() {
        for ty in [&CONTROL[..], &[2], &[3]] {
            for end in [End::Fin, End::LateReset(0x100)] {
                server_closes(Code::CLOSED_CRITICAL_STREAM, [uni(ty).ending(end)]);
            }
        }
    }

    /// Frames behind a header section that the server reads on after.
    fn post_then(stream: &[u8]) -> Vec<u8> {
        let head = post(&[]);
        [&head, &stream[get().len()..]].concat()
    }
}

#[test]
fn a_well_formed_request_is_answered() {
    server_answers(b"hello", [uni(CONTROL), bidi(get())]);
}

#[test]
fn a_request_does_not_wait_for_settings() {
    server_answers(b"hello", [bidi(get())]);
}

#[test]
fn reserved_frames_streams_and_settings_are_ignored() {
    let grease = frame(0x1f * 7 + 0x21, b"whatever");
    let settings = frame(4, &[varint(0x1f * 9 + 0x21), vec![5]].concat());
    let control = uni([&[0][..], &settings, &grease].concat());
    let unknown = uni([varint(0x1f * 3 + 0x21), vec![0xff; 100]].concat());
    let request = [&grease[..], &get(), &grease].concat();
    server_answers(b"hello", [control, unknown, bidi(request)]);
}

#[test]
fn a_stream_of_unknown_type_is_stopped() {
    let seen = against_server([uni(CONTROL), uni([0x21, 1, 2, 3])]);
    let stream = StreamId::new(Role::Client, Direction::Unidirectional, 1);
    assert_eq!(seen.borrow().stops.get(&stream), Some(&Code::STREAM_CREATION_ERROR.0));
}

#[test]
fn every_critical_stream_comes_once() {
    for first in [&CONTROL[..], &[2], &[3]] {
        server_closes(Code::STREAM_CREATION_ERROR, [uni(first), uni(first)]);
    }
}

#[test]
fn clients_do_not_push() {
    server_closes(Code::STREAM_CREATION_ERROR, [uni(CONTROL), uni([1, 0])]);
    let promise = [post(&[]), frame(5, &[0, 0, 0])].concat();
    server_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL), bidi(promise)]);
}

#[test]
fn push_ids_keep_their_rules() {
    server_closes(Code::ID_ERROR, [control(&[frame(0x0d, &[5]), frame(0x0d, &[4])].concat())]);
    server_closes(Code::ID_ERROR, [control(&[frame(0x0d, &[5]), frame(3, &[1])].concat())]);
}

#[test]
fn goaway_of_a_client_does_not_grow() {
    server_closes(Code::ID_ERROR, [control(&[frame(7, &[3]), frame(7, &[4])].concat())]);
    server_answers(b"hello", [control(&[frame(7, &[4]), frame(7, &[3])].concat()), bidi(get())]);
}

#[test]
fn frames_of_http2_and_of_control_streams_are_unexpected() {
    for ty in [2, 6, 8, 9, 4, 7, 0x0d] {
        let request = [post(&[]), frame(ty, &[0])].concat();
        server_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL), bidi(request)]);
    }
}

#[test]
fn nothing_comes_after_the_trailers() {
    let trailers = headers(&[("a", "b")]);
    for last in [data(b"x"), headers(&[("c", "d")])] {
        let request = [post(&[]), data(b"x"), trailers.clone(), last].concat();
        server_closes(Code::FRAME_UNEXPECTED, [uni(CONTROL), bidi(request)]);
    }
    let request = [post(&[]), data(b"x"), trailers].concat();
    let seen = against_server([uni(CONTROL), bidi(request)]);
    assert!(seen.borrow().finished.contains(&request_stream(0)));
}

#[test]
fn trailers_are_validated() {
    server_resets(Code::MESSAGE_ERROR, [post(&[]), headers(&[(":path", "/")])].concat());
}

#[test]
fn a_stream_does_not_end_inside_a_frame() {
    let whole = post(&[]);
    for cut in 1..whole.len() {
        server_closes(Code::FRAME_ERROR, [uni(CONTROL), bidi(&whole[..cut])]);
    }
    let mut truncated = [post(&[]), data(b"body")].concat();
    truncated.pop();
    server_closes(Code::FRAME_ERROR, [uni(CONTROL), bidi(truncated)]);
}

#[test]
fn a_stream_does_not_end_without_a_request() {
    server_resets(Code::REQUEST_INCOMPLETE, vec![]);
    server_resets(Code::REQUEST_INCOMPLETE, frame(0x21, b"grease"));
}

#[test]
fn content_length_is_the_length_of_the_content() {
    for (length, body) in [("3", "body"), ("5", "body"), ("0", "x"), ("1", "")] {
        let request = [post(&[("content-length", length)]), data(body.as_bytes())].concat();
        server_resets(Code::MESSAGE_ERROR, request);
    }
    server_resets(Code::MESSAGE_ERROR, post(&[("content-length", "4")]));
    for (length, body) in [("4", "body"), ("0", "")] {
        let request = [post(&[("content-length", length)]), data(body.as_bytes())].concat();
        server_answers(body.as_bytes(), [uni(CONTROL), bidi(request)]);
    }
}

#[test]
fn large_header_sections_are_answered_with_431() {
    let config = || Http3Config { max_field_section_size: 1000, ..Http3Config::default() };
    let large = get_with(&[("x", &"y".repeat(2000))]);
    let many = get_with(&[("x", "y"); 40]); // small encoded, large as it counts
    for request in [large, many] {
        let scripts = [uni(CONTROL), bidi(request), bidi(get())];
        let seen = against_server_for(config(), Duration::from_secs(2), scripts);
        let seen = seen.borrow();
        assert!(seen.closed.is_none() && seen.finished.contains(&request_stream(0)));
        assert!(!seen.data[&request_stream(0)].ends_with(b"hello"));
        assert!(seen.data[&request_stream(1)].ends_with(b"hello"), "{seen:?}");
    }
}

#[test]
fn connect_is_answered_with_501() {
    let seen = against_server([
        uni(CONTROL),
        bidi(headers(&[(":method", "CONNECT"), (":authority", "localhost:443")])),
    ]);
    assert!(seen.borrow().finished.contains(&request_stream(0)));
    assert!(seen.borrow().closed.is_none());
}

#[test]
fn a_header_section_that_takes_too_long_is_rejected() {
    let request = bidi(&get()[..10]).ending(End::Open);
    let scripts = [uni(CONTROL), request];
    let seen = against_server_for(Http3Config::default(), Duration::from_secs(12), scripts);
    let reset = seen.borrow().resets.get(&request_stream(0)).copied();
    assert_eq!(reset, Some(Code::REQUEST_REJECTED.0));
    assert!(seen.borrow().closed.is_none());
}

/// A request whose header section refers to the first entry of the dynamic table, which may not have
/// come: Required Insert Count 1, Base 1 (RFC 9204 §4.5.1), then that entry for `foo`.
fn referring_get() -> Vec<u8> {
    let plain = get();
    let section = [&[2, 0][..], &plain[4..], &[0x80]].concat();
    frame(1, &section)
}

/// An encoder stream that sets a capacity and inserts `foo: bar`.
const ENCODER: &[u8] = b"\x02\x3f\x45\x43foo\x03bar";

#[test]
fn a_header_section_waits_for_the_dynamic_table() {
    // The request is sent first, the encoder stream after it, in packets of their own.
    server_answers(b"hello", [uni(CONTROL), bidi(referring_get()), uni(ENCODER)]);
}

#[test]
fn a_header_section_does_not_wait_for_ever() {
    let scripts = [uni(CONTROL), bidi(referring_get())];
    let seen = against_server_for(Http3Config::default(), Duration::from_secs(12), scripts);
    let reset = seen.borrow().resets.get(&request_stream(0)).copied();
    assert_eq!(reset, Some(Code::REQUEST_REJECTED.0));
}

#[test]
fn no_more_streams_are_blocked_than_were_allowed() {
    let allowed = Http3Config::default().qpack_blocked_streams as usize;
    let scripts = |count| (0..count).map(|_| bidi(referring_get()));
    server_closes(Code::QPACK_DECOMPRESSION_FAILED, scripts(allowed + 1));
    let seen = against_server(scripts(allowed));
    assert!(seen.borrow().closed.is_none());
}

#[test]
fn incomplete_header_sections_share_a_limit() {
    let config = Http3Config { max_buffered_sections: 10_000, ..Http3Config::default() };
    let partial = frame(1, &[0; 3000]);
    let scripts = (0..10).map(|_| bidi(&partial[..2000]).ending(End::Open));
    let seen = against_server_for(config, Duration::from_secs(2), scripts);
    let resets: Vec<_> = seen.borrow().resets.values().copied().collect();
    assert!(!resets.is_empty() && resets.len() < 10, "{resets:?}");
    assert!(resets.iter().all(|code| *code == Code::EXCESSIVE_LOAD.0));
}

#[test]
fn rapid_reset_ends_the_connection() {
    let head = get();
    for end in [End::Reset(0x10c), End::Cancel(0x10c)] {
        let scripts = (0..2000).map(|_| bidi(&head[..5]).ending(end));
        server_closes(Code::EXCESSIVE_LOAD, scripts);
    }
    let malformed = get_with(&[("content-length", "5")]);
    server_closes(Code::EXCESSIVE_LOAD, (0..2000).map(|_| bidi(malformed.clone())));
}

#[test]
fn frames_without_use_end_the_connection() {
    let control = control(&frame(0x21, b"").repeat(20_000));
    server_closes(Code::EXCESSIVE_LOAD, [control]);
    let empty = [post(&[]), data(b"").repeat(20_000)].concat();
    server_closes(Code::EXCESSIVE_LOAD, [uni(CONTROL), bidi(empty)]);
}

#[test]
fn a_server_that_is_told_of_no_credit_keeps_little() {
    // A client that asks for much and reads nothing.
    let mut net = Net::new(3, Link::default(), factory(backend()));
    let mut path = GET;
    path[3].1 = "/100000000";
    let mut peer = RawPeer::new((0..50).map(|_| bidi(headers(&path))));
    peer.is_deaf = true;
    net.connect_simply(ALPN, peer);
    net.run_for(Duration::from_secs(5));
    assert!(net.delivered < 20_000, "{} datagrams", net.delivered);
}

#[test]
fn a_server_shuts_down_in_two_steps() {
    let mut backend = backend();
    backend.set_response_delay("localhost", "/", Duration::from_secs(3));
    let mut net = Net::new(4, Link::default(), factory(backend));
    let peer = RawPeer::new([uni(CONTROL), bidi(get())]);
    let seen = Rc::clone(&peer.seen);
    net.connect_simply(ALPN, peer);
    net.run_for(Duration::from_millis(200));
    let now = net.now;
    net.server.stop_accepting_new_connections(now);
    net.kick();
    let late_request = |net: &mut Net<RawPeer>| {
        let now = net.now;
        net.clients[0].enter(now, |session, cx| {
            session.scripts.push_back(bidi(get()));
            session.run(cx);
        });
        net.kick();
    };
    // Between the two GOAWAY frames a request is accepted, after them it is not.
    net.run_for(Duration::from_millis(100));
    late_request(&mut net);
    net.run_for(Duration::from_millis(500));
    late_request(&mut net);
    net.run_for(Duration::from_millis(500));
    let resets: Vec<_> = seen.borrow().resets.clone().into_iter().collect();
    assert_eq!(resets, [(request_stream(2), Code::REQUEST_REJECTED.0)]);
    let first = frame(7, &varint((1 << 62) - 4));
    let goaways = [first, frame(7, &varint(8))].concat();
    assert!(seen.borrow().data.values().any(|data| data.ends_with(&goaways)));
    assert!(seen.borrow().closed.is_none());
    net.run_for(Duration::from_secs(4));
    for index in 0..2 {
        assert!(seen.borrow().data[&request_stream(index)].ends_with(b"hello"));
    }
    assert_eq!(seen.borrow().close_code().map(Code), Some(Code::NO_ERROR));
}

#[test]
fn random_bytes_on_random_streams_harm_nobody() {
    for seed in 1000..1300 {
        println!("seed {seed}");
        let mut random = SeededRandom::new(seed);
        let mut scripts = vec![];
        for _ in 0..random.next_u64() % 8 {
            let mut bytes = vec![0; (random.next_u64() % 300) as usize];
            random.fill(&mut bytes);
            // Small numbers are types and lengths that mean something.
            for byte in &mut bytes {
                *byte &= if random.next_u64().is_multiple_of(2) { 0x07 } else { 0xff };
            }
            let start: &[&[u8]] = &[&[], &CONTROL, &[2], &[3], &[0, 4]];
            let start = start[random.next_u64() as usize % start.len()];
            let script = match random.next_u64() % 2 {
                0 => uni([start, &bytes].concat()),
                _ => bidi([&get(), &bytes[..]].concat()),
            };
            let ends = [End::Open, End::Fin, End::Reset(1), End::Cancel(2), End::LateReset(3)];
            scripts.push(script.ending(ends[random.next_u64() as usize % ends.len()]));
        }
        let mut net = Net::new(seed, Link::default(), factory(backend()));
        net.connect_simply(ALPN, RawPeer::new(scripts));
        net.run_for(Duration::from_secs(20));
        let connection = net.clients[0].host().connection();
        // Whatever happened was said in HTTP/3's codes.
        if let Some(reason) = connection.close_reason() {
            let CloseReason::PeerApplication { code, .. } = reason else { panic!("{reason}") };
            assert!(Code(code.0).name().is_some(), "seed {seed}: {reason}");
        }
    }
}
