//! The rules of server push (RFC 9114 §4.6), each against a peer that writes any bytes: first our
//! client against servers, then our server against clients.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use protoquic::http::{
    ALPN, Backend, CachedResponse, Http3ClientSession, Http3Code as Code, Http3Config,
    MemoryBackend, PromiseAnswer, PushDropped, PushHandler, PushId, RequestFailure,
};
use protoquic::{Direction, FnFactory, Host, Role, SessionHost, StreamId};
use protoquic_tests::http3::{
    CONTROL, Collector, GET, Outcome, ask, data, factory, frame, headers, server_config, varint,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi, uni};

/// What became of pushes at a client that takes every one.
#[derive(Clone, Debug, Default)]
struct Takes {
    taken: Rc<RefCell<Vec<Rc<RefCell<Outcome>>>>>,
    dropped: Rc<RefCell<Vec<(u64, PushDropped)>>>,
    keeps: bool,
    /// The request is sent when what the server opens on its own has come.
    asks_late: bool,
}

impl PushHandler for Takes {
    fn on_promise(&mut self, _push: PushId, _request: &Request<()>) -> PromiseAnswer {
        let handler = Collector::default();
        self.taken.borrow_mut().push(Rc::clone(&handler.outcome));
        if self.keeps { PromiseAnswer::Keep } else { PromiseAnswer::Take(Box::new(handler)) }
    }

    fn on_dropped(&mut self, push: PushId, why: PushDropped) {
        self.dropped.borrow_mut().push((push.as_u64(), why));
    }
}

struct Run {
    seen: Rc<RefCell<Seen>>,
    pushes: Takes,
    outcome: Rc<RefCell<Outcome>>,
}

impl Run {
    fn close_code(&self) -> Option<Code> {
        self.seen.borrow().close_code().map(Code)
    }

    /// What our control stream said after its SETTINGS.
    fn has_sent(&self, wanted: &[u8]) -> bool {
        let seen = self.seen.borrow();
        let control = seen.data.values().find(|data| data.starts_with(&[0, 4]));
        control.is_some_and(|data| data.windows(wanted.len()).any(|window| window == wanted))
    }

    /// How the client stopped the push stream.
    fn stop(&self) -> Option<Code> {
        self.seen.borrow().stops.values().next().copied().map(Code)
    }

    /// The client went on as if nothing had been.
    #[track_caller]
    fn is_well(&self) {
        assert_eq!(self.seen.borrow().closed, None);
        assert!(self.outcome.borrow().complete, "{:?}", self.outcome.borrow());
    }
}

/// Our client, which allows two pushes, asks a server that opens these streams and answers this.
fn against_client(
    pushes: Takes,
    scripts: impl IntoIterator<Item = Script>,
    answer: Vec<u8>,
    time: Duration,
) -> Run {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let scripts: Vec<_> = scripts.into_iter().collect();
    let shared = Rc::clone(&seen);
    let server = FnFactory::new(&[ALPN], server_config(), move |connection| {
        let mut peer = RawPeer::new(scripts.clone());
        peer.answers.push_back(bidi(answer.clone()));
        peer.seen = Rc::clone(&shared);
        Box::new(SessionHost::new(connection, peer)) as Box<dyn Host>
    });
    let mut net = Net::new(1, Link::default(), server);
    let config = Http3Config {
        max_pushes: 2,
        push_timeout: Duration::from_secs(5),
        max_held_push: 1000,
        ..Http3Config::default()
    };
    let mut session = Http3ClientSession::new(config);
    session.set_push_handler(Box::new(pushes.clone()));
    net.connect_simply(ALPN, session);
    if pushes.asks_late {
        net.run_for(Duration::from_millis(500));
    }
    let request = Request::get("https://localhost/").body(()).unwrap();
    let (_, outcome) = ask(&mut net, 0, request);
    net.run_for(time);
    Run { seen, pushes, outcome }
}

fn taking(scripts: impl IntoIterator<Item = Script>, answer: Vec<u8>) -> Run {
    against_client(Takes::default(), scripts, answer, Duration::from_secs(2))
}

fn asking_late(scripts: impl IntoIterator<Item = Script>, answer: Vec<u8>) -> Run {
    let late = Takes { asks_late: true, ..Takes::default() };
    against_client(late, scripts, answer, Duration::from_secs(2))
}

/// A promise of a request with these fields.
fn promise_of(push: u64, fields: &[(&str, &str)]) -> Vec<u8> {
    let framed = headers(fields);
    let section = &framed[if framed[1] < 64 { 2 } else { 3 }..];
    frame(5, &[&varint(push)[..], section].concat())
}

fn promise(push: u64, path: &str) -> Vec<u8> {
    promise_of(push, &[GET[0], GET[1], GET[2], (":path", path)])
}

fn ok() -> Vec<u8> {
    headers(&[(":status", "200")])
}

/// A push stream with this response.
fn push_stream(push: u64, response: &[u8]) -> Script {
    uni([&varint(1)[..], &varint(push), response].concat()).ending(End::Fin)
}

fn page(promises: &[Vec<u8>]) -> Vec<u8> {
    [&promises.concat()[..], &ok(), &data(b"page")].concat()
}

#[test]
fn promises_come_anywhere_between_frames_and_before_or_after_their_streams() {
    let style = push_stream(0, &[ok(), data(b"style")].concat());
    let script = push_stream(1, &[ok(), data(b"script"), headers(&[("a", "b")])].concat());
    let answer =
        [promise(1, "/s.js"), ok(), data(b"pa"), promise(0, "/s.css"), data(b"ge")].concat();
    let scripts = || [uni(CONTROL), style.clone(), script.clone()];
    for run in [taking(scripts(), answer.clone()), asking_late(scripts(), answer)] {
        run.is_well();
        let taken = run.pushes.taken.borrow();
        let bodies: Vec<_> = taken.iter().map(|one| one.borrow().body.clone()).collect();
        assert_eq!(bodies, [&b"script"[..], b"style"]);
        assert!(taken.iter().all(|one| one.borrow().complete));
        assert_eq!(taken[0].borrow().trailers.as_ref().unwrap()["a"], "b");
    }
}

#[test]
fn push_ids_are_within_the_limit() {
    // RFC 9114 §4.6, §7.2.5, §7.2.3: of two, the largest ID is 1.
    let answer = page(&[promise(2, "/x")]);
    assert_eq!(taking([uni(CONTROL)], answer).close_code(), Some(Code::ID_ERROR));
    let run = taking([uni(CONTROL), push_stream(2, &ok())], page(&[]));
    assert_eq!(run.close_code(), Some(Code::ID_ERROR));
    let cancel = uni([&CONTROL[..], &frame(3, &[2])].concat());
    assert_eq!(taking([cancel], page(&[])).close_code(), Some(Code::ID_ERROR));
}

#[test]
fn the_limit_is_told_and_rises_as_pushes_end() {
    // RFC 9114 §7.2.7
    let run = taking([uni(CONTROL)], page(&[]));
    assert!(run.has_sent(&frame(0x0d, &[1])) && !run.has_sent(&frame(0x0d, &[2])));
    let run = taking([uni(CONTROL), push_stream(1, &ok())], page(&[promise(1, "/x")]));
    run.is_well();
    assert!(run.has_sent(&frame(0x0d, &[2])));
}

#[test]
fn a_push_has_one_stream() {
    // RFC 9114 §6.2.2
    let twice = [uni(CONTROL), push_stream(0, &ok()), push_stream(0, &ok())];
    assert_eq!(taking(twice, page(&[])).close_code(), Some(Code::ID_ERROR));
}

#[test]
fn a_promise_that_is_repeated_is_the_same() {
    // RFC 9114 §7.2.5
    let run = taking([uni(CONTROL)], page(&[promise(0, "/x"), promise(0, "/x")]));
    run.is_well();
    assert_eq!(run.pushes.taken.borrow().len(), 1);
    let run = taking([uni(CONTROL)], page(&[promise(0, "/x"), promise(0, "/y")]));
    assert_eq!(run.close_code(), Some(Code::GENERAL_PROTOCOL_ERROR));
}

#[test]
fn promises_belong_on_request_streams() {
    // RFC 9114 §7.2.5
    let control = uni([&CONTROL[..], &promise(0, "/x")].concat());
    assert_eq!(taking([control], page(&[])).close_code(), Some(Code::FRAME_UNEXPECTED));
    let nested = push_stream(0, &[promise(1, "/y"), ok()].concat());
    let run = taking([uni(CONTROL), nested], page(&[promise(0, "/x")]));
    assert_eq!(run.close_code(), Some(Code::FRAME_UNEXPECTED));
    let run = taking([uni(CONTROL)], page(&[frame(5, &[])]));
    assert_eq!(run.close_code(), Some(Code::FRAME_ERROR));
}

#[test]
fn what_must_not_be_promised_is_cancelled_and_not_used() {
    // RFC 9114 §4.6
    let with = |index: usize, value: &'static str| {
        let mut fields = GET;
        fields[index].1 = value;
        fields.to_vec()
    };
    let unfit = [
        with(0, "POST"),
        with(0, "OPTIONS"),
        with(1, "http"),
        with(2, "elsewhere"),
        with(2, "localhost:444"),
        [&GET[..], &[("content-length", "1")]].concat(),
        [&GET[..], &[("Upper", "case")]].concat(),
    ];
    for fields in unfit {
        let stream = push_stream(0, &[ok(), data(b"evil")].concat());
        for (scripts, is_first) in [(vec![uni(CONTROL)], false), (vec![uni(CONTROL), stream], true)]
        {
            let run = asking_late(scripts, page(&[promise_of(0, &fields)]));
            run.is_well();
            assert!(run.pushes.taken.borrow().is_empty(), "{fields:?}");
            assert_eq!(*run.pushes.dropped.borrow(), [(0, PushDropped::Unfit)], "{fields:?}");
            // RFC 9114 §7.2.3: CANCEL_PUSH while there is no stream.
            assert_eq!(run.has_sent(&frame(3, &[0])), !is_first, "{fields:?}");
        }
    }
}

#[test]
fn what_is_promised_twice_under_two_ids_is_cancelled_once() {
    let run = taking([uni(CONTROL)], page(&[promise(0, "/x"), promise(1, "/x")]));
    run.is_well();
    assert!(run.has_sent(&frame(3, &[1])) && !run.has_sent(&frame(3, &[0])));
}

#[test]
fn a_push_that_is_cancelled_before_its_promise_is_not_used() {
    // RFC 9114 §7.2.3
    let control = uni([&CONTROL[..], &frame(3, &[0])].concat());
    let run = asking_late([control], page(&[promise(0, "/x")]));
    run.is_well();
    assert!(run.pushes.taken.borrow().is_empty());
    assert!(run.has_sent(&frame(0x0d, &[2])), "the ID is used up");
}

#[test]
fn cancel_push_belongs_on_the_control_stream() {
    // RFC 9114 §7.2.3
    let run = taking([uni(CONTROL)], [ok(), frame(3, &[0])].concat());
    assert_eq!(run.close_code(), Some(Code::FRAME_UNEXPECTED));
}

#[test]
fn a_push_without_a_promise_is_given_up_in_time() {
    // RFC 9114 §4.6
    let stream = push_stream(0, &ok()).ending(End::Open);
    let early = taking([uni(CONTROL), stream.clone()], page(&[]));
    assert_eq!(early.stop(), None);
    let time = Duration::from_secs(8);
    let run = against_client(Takes::default(), [uni(CONTROL), stream], page(&[]), time);
    run.is_well();
    assert_eq!(run.stop(), Some(Code::REQUEST_CANCELLED));
    assert_eq!(*run.pushes.dropped.borrow(), [(0, PushDropped::Expired)]);
}

#[test]
fn a_push_that_nobody_wants_is_held_for_a_time_and_up_to_a_size() {
    let keeps = || Takes { keeps: true, ..Takes::default() };
    let answer = page(&[promise(0, "/x")]);
    let stream = |len| push_stream(0, &[ok(), data(&vec![0; len])].concat()).ending(End::Open);
    let long = Duration::from_secs(8);
    let run = against_client(keeps(), [uni(CONTROL), stream(500)], answer.clone(), long);
    run.is_well();
    assert_eq!(*run.pushes.dropped.borrow(), [(0, PushDropped::Expired)]);
    let short = Duration::from_secs(2);
    let run = against_client(keeps(), [uni(CONTROL), stream(5000)], answer.clone(), short);
    run.is_well();
    assert_eq!(run.stop(), Some(Code::REQUEST_CANCELLED));
    assert_eq!(*run.pushes.dropped.borrow(), [(0, PushDropped::TooLarge)]);
    // Without a stream, the server is told.
    let run = against_client(keeps(), [uni(CONTROL)], answer, long);
    run.is_well();
    assert!(run.has_sent(&frame(3, &[0])));
}

#[test]
fn a_malformed_pushed_response_costs_its_stream() {
    // RFC 9114 §4.1.2
    let bad = push_stream(0, &headers(&[("x", "y")])).ending(End::Open);
    let run = taking([uni(CONTROL), bad], page(&[promise(0, "/x")]));
    run.is_well();
    assert_eq!(run.stop(), Some(Code::MESSAGE_ERROR));
    let taken = run.pushes.taken.borrow();
    assert!(matches!(&taken[0].borrow().failure, Some(RequestFailure::Message(_))));
    let none = push_stream(0, &[]);
    let run = taking([uni(CONTROL), none], page(&[promise(0, "/x")]));
    run.is_well();
    assert!(run.pushes.taken.borrow()[0].borrow().failure.is_some());
}

#[test]
fn a_push_stream_that_ends_before_its_id_is_no_error() {
    // RFC 9114 §6.2
    let cut = uni([1]).ending(End::Fin);
    taking([uni(CONTROL), cut], page(&[])).is_well();
}

/// A page with a large image and a small one; another without any.
fn site() -> MemoryBackend {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/large", StatusCode::OK, vec![7; 3_000_000]);
    backend.add_simple_response("localhost", "/small", StatusCode::OK, "small");
    let pushes = ["large", "small"];
    let pushes = pushes.map(|name| Uri::try_from(format!("https://localhost/{name}")).unwrap());
    let head = Response::new(());
    let page =
        CachedResponse { head, body: "page".into(), pushes: pushes.to_vec(), ..Default::default() };
    backend.add_response("localhost", "/", page);
    backend
}

/// A client that runs these scripts against our server.
fn against_server(
    backend: impl Backend + 'static,
    scripts: impl IntoIterator<Item = Script>,
) -> Rc<RefCell<Seen>> {
    let mut net = Net::new(1, Link::default(), factory(backend));
    let peer = RawPeer::new(scripts);
    let seen = Rc::clone(&peer.seen);
    net.connect_simply(ALPN, peer);
    net.run_for(Duration::from_secs(2));
    seen
}

fn control(frames: &[Vec<u8>]) -> Script {
    uni([&CONTROL[..], &frames.concat()].concat())
}

fn request_stream() -> StreamId {
    StreamId::new(Role::Client, Direction::Bidirectional, 0)
}

/// The push IDs of push streams, and how many bytes each has.
fn pushed(seen: &Seen) -> Vec<(u8, usize)> {
    let uni = seen.data.iter().filter(|(id, _)| id.direction() == Direction::Unidirectional);
    let pushes = uni.filter(|(_, data)| data.first() == Some(&1));
    pushes.map(|(_, data)| (data[1], data.len())).collect()
}

fn promises(seen: &Seen) -> usize {
    // The first frames of the answer: promises of less than 64 bytes come before HEADERS.
    let mut rest = &seen.data[&request_stream()][..];
    let mut count = 0;
    while rest[0] == 5 {
        count += 1;
        rest = &rest[2 + usize::from(rest[1])..];
    }
    assert_eq!(rest[0], 1);
    count
}

fn max_push_id(id: u8) -> Vec<u8> {
    frame(0x0d, &[id])
}

#[test]
fn a_server_pushes_within_the_clients_limit_and_promises_first() {
    // RFC 9114 §4.6, §7.2.7
    for (frames, expected) in [
        (vec![], 0),
        (vec![max_push_id(0)], 1),
        (vec![max_push_id(1)], 2),
        (vec![max_push_id(9)], 2),
    ] {
        let seen = against_server(site(), [control(&frames), bidi(headers(&GET))]);
        let seen = seen.borrow();
        assert_eq!(promises(&seen), expected);
        let ids: Vec<_> = pushed(&seen).iter().map(|(id, _)| usize::from(*id)).collect();
        assert_eq!(ids, (0..expected).collect::<Vec<_>>());
        assert!(seen.closed.is_none() && seen.finished.contains(&request_stream()));
    }
}

#[test]
fn a_push_that_the_client_cancels_is_abandoned() {
    // RFC 9114 §7.2.3, §5.2. The client reads nothing, so the large push is not over.
    let whole = against_server(site(), [control(&[max_push_id(1)]), bidi(headers(&GET))]);
    assert!(whole.borrow().resets.is_empty());
    for (refusal, expected) in
        [(frame(3, &[0]), 1), (frame(3, &[1]), 0), (frame(7, &[0]), 1), (frame(7, &[1]), 0)]
    {
        assert_eq!(resets_after(&refusal), vec![Code::REQUEST_CANCELLED; expected]);
    }
}

/// How our server resets pushes when the client refuses some of them.
fn resets_after(refusal: &[u8]) -> Vec<Code> {
    let mut net = Net::new(1, Link::default(), factory(site()));
    let mut peer = RawPeer::new([control(&[max_push_id(1)]), bidi(headers(&GET))]);
    peer.is_deaf = true;
    let seen = Rc::clone(&peer.seen);
    net.connect_simply(ALPN, peer);
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        // Our control stream is the first that we opened.
        let control = StreamId::new(Role::Client, Direction::Unidirectional, 0);
        cx.write_all_to(control, refusal.to_vec().into()).unwrap();
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    let seen = seen.borrow();
    assert!(seen.closed.is_none());
    seen.resets.values().copied().map(Code).collect()
}

#[test]
fn what_was_not_promised_is_not_cancelled_or_prioritized() {
    // RFC 9114 §7.2.3, RFC 9218 §7.2
    for unpromised in [frame(3, &[2]), frame(0xf0701, b"\x02u=1")] {
        let frames = [max_push_id(5), unpromised];
        let seen = against_server(site(), [bidi(headers(&GET)), control(&frames)]);
        assert_eq!(seen.borrow().close_code().map(Code), Some(Code::ID_ERROR));
    }
}

#[test]
fn a_client_that_goes_away_is_promised_nothing_more() {
    // RFC 9114 §5.2
    let seen =
        against_server(site(), [control(&[max_push_id(5), frame(7, &[9])]), bidi(headers(&GET))]);
    let seen = seen.borrow();
    assert_eq!((promises(&seen), pushed(&seen).len()), (0, 0));
    assert!(seen.finished.contains(&request_stream()) && seen.closed.is_none());
}
