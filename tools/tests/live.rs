//! Live video between the server's sessions and viewers, in virtual time, over lines that lose and
//! delay: what is shown, when, and what becomes of what is late. The programs themselves run in
//! `live_programs.rs`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protoquic::congestion::CongestionControl;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{
    Config, Direction, FnFactory, Refuse, ServerConfig, Session, SessionContext, SessionHost,
    Stream, StreamContext, StreamId,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::sim::{Client, ClientSpec, Handle, LinkConfig, NodeId, Server, Simulator};
use protoquic_tests::tls;
use protoquic_tools::live::{
    ALPN, AccessUnit, Broadcast, BroadcastConfig, Codec, Counts, FrameHeader, FrameKind,
    FrameRecord, ListSource, Mode, Outcome, Request, Say, Skip, SyntheticVideo, VideoSpec, Viewer,
    ViewerPlan, live_factory, server_transport, viewer_transport,
};

const MODES: [Mode; 3] = [Mode::Stream, Mode::Frames, Mode::Datagrams];
const DEADLINE: Duration = Duration::from_millis(150);

/// A server with its broadcast, and viewers around it.
struct Scene {
    sim: Simulator,
    router: NodeId,
    at: SocketAddr,
    _endpoint: Handle<Server>,
    said: Rc<RefCell<Vec<String>>>,
    viewers: Vec<Watching>,
}

/// All the video, in time, for nobody.
fn plain_plan() -> ViewerPlan {
    ViewerPlan {
        mode: Mode::Stream,
        deadline: DEADLINE,
        parity: 0,
        requests: Vec::new(),
        recover: false,
        duration: None,
        say: Rc::new(|_| {}),
        show: Box::new(|_, _| true),
        record: Box::new(|_| {}),
    }
}

/// A viewer and what it has seen.
struct Watching {
    client: Handle<Client<Viewer>>,
    shown: Rc<RefCell<BytesMut>>,
    records: Rc<RefCell<Vec<FrameRecord>>>,
}

impl Scene {
    fn new(seed: u64, frames: &[AccessUnit], interval: Duration, viewers: usize) -> Self {
        println!("seed {seed}");
        let mut sim = Simulator::new(seed);
        let at = SocketAddr::from(([10, 0, 0, 1], 4433));
        let (server, router) = (sim.add_host(&[at.ip()]), sim.add_router());
        let near = LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() };
        sim.connect(server, router, &near);
        let source = Box::new(ListSource::new(frames));
        let broadcast = Broadcast::new(source, BroadcastConfig { interval, viewers });
        let said = Rc::new(RefCell::new(Vec::new()));
        let lines = Rc::clone(&said);
        let say: Say = Rc::new(move |line| lines.borrow_mut().push(line.to_owned()));
        let congestion = Arc::new(CongestionControl::Bbr);
        let transport = Arc::new(Config { congestion, ..server_transport() });
        let config = ServerConfig { transport, tls: tls::server(&[ALPN]) };
        let factory = live_factory(config, Rc::new(RefCell::new(broadcast)), say);
        let factories: Vec<Box<dyn protoquic::SessionFactory>> = vec![Box::new(factory)];
        let endpoint = sim.add_server(server, at, DispatcherConfig::default(), factories);
        Self { sim, router, at, _endpoint: endpoint, said, viewers: Vec::new() }
    }

    /// Another viewer, on a line of its own.
    fn watch(&mut self, line: &LinkConfig, change: impl FnOnce(&mut ViewerPlan)) -> usize {
        let local = SocketAddr::from(([10, 0, 1, 1 + self.viewers.len() as u8], 5000));
        let host = self.sim.add_host(&[local.ip()]);
        self.sim.connect(self.router, host, line);
        let (shown, records) = (Rc::<RefCell<BytesMut>>::default(), Rc::default());
        let (show, record) = (Rc::clone(&shown), Rc::<RefCell<Vec<FrameRecord>>>::clone(&records));
        let mut plan = ViewerPlan {
            show: Box::new(move |frame, _| {
                show.borrow_mut().extend_from_slice(&frame);
                true
            }),
            record: Box::new(move |frame| record.borrow_mut().push(*frame)),
            ..plain_plan()
        };
        change(&mut plan);
        let config = Arc::new(viewer_transport());
        let spec = ClientSpec { config, ..ClientSpec::new(local, self.at, &[ALPN]) };
        let client = self.sim.add_client(host, spec, Viewer::new(plan));
        self.viewers.push(Watching { client, shown, records });
        self.viewers.len() - 1
    }

    fn viewer(&self, at: usize) -> &Viewer {
        self.sim.get(self.viewers[at].client).visitor().session()
    }

    fn request(&mut self, at: usize, request: Request) {
        let (client, now) = (self.viewers[at].client, self.sim.now());
        let host = self.sim.get_mut(client).visitor_mut();
        host.enter(now, |viewer, cx| viewer.request(request, cx));
        self.sim.kick(client.id());
    }

    fn run_for(&mut self, milliseconds: u64) {
        self.sim.run_for(Duration::from_millis(milliseconds));
    }

    /// Until all have seen the end.
    fn run(&mut self) {
        let clients: Vec<_> = self.viewers.iter().map(|viewer| viewer.client).collect();
        let ended = self.sim.run_until(Duration::from_mins(5), |sim| {
            clients.iter().all(|at| sim.get(*at).visitor().session().outcome().is_some())
        });
        assert!(ended, "the video does not end");
        for at in 0..self.viewers.len() {
            assert_eq!(self.viewer(at).outcome(), Some(&Ok(())), "viewer {at}");
        }
    }

    fn counts(&self, at: usize) -> Counts {
        self.viewer(at).measure().counts()
    }

    fn shown(&self, at: usize) -> Bytes {
        self.viewers[at].shown.borrow().clone().freeze()
    }

    fn records(&self, at: usize) -> Vec<FrameRecord> {
        self.viewers[at].records.borrow().clone()
    }
}

fn video(seed: u64, spec: VideoSpec) -> SyntheticVideo {
    SyntheticVideo::new(seed, spec)
}

fn clean() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() }
}

/// 50 ms and 2 % loss, each way.
fn lossy() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(50), ..LinkConfig::default() }.losing(0.02)
}

const INTERVAL: Duration = Duration::from_millis(40);

#[test]
fn without_loss_every_viewer_has_the_video_byte_for_byte_in_every_mode() {
    for (seed, codec) in [(1, Codec::H264), (2, Codec::H265)] {
        let video = video(seed, VideoSpec { codec, sets_once: true, ..VideoSpec::default() });
        let mut scene = Scene::new(seed, video.frames(), INTERVAL, 7);
        for mode in MODES {
            for parity in [0, 30] {
                scene.watch(&clean(), |plan| {
                    (plan.mode, plan.parity) = (mode, parity);
                });
            }
        }
        scene.watch(&clean(), |plan| plan.recover = true);
        scene.run();
        for at in 0..7 {
            assert!(scene.shown(at) == video.bytes(), "viewer {at}");
            let counts = scene.counts(at);
            assert_eq!((counts.on_time, counts.frames()), (40, 40), "viewer {at}");
        }
    }
}

#[test]
fn frames_come_in_the_time_of_the_clock() {
    let video = video(3, VideoSpec { frames: 50, ..VideoSpec::default() });
    for mode in MODES {
        let mut scene = Scene::new(3, video.frames(), INTERVAL, 1);
        scene.watch(&clean(), |plan| plan.mode = mode);
        scene.run();
        for (record, number) in scene.records(0).iter().zip(0_u64..) {
            assert_eq!((record.number, record.due), (Some(number), number * 40_000), "{mode}");
            // 20 ms on the way; the first frames also wait for the congestion window.
            let latency = record.latency.unwrap();
            assert!((19_000..70_000).contains(&latency), "{mode} frame {number}: {latency}");
            assert!(number < 10 || latency < 25_000, "{mode} frame {number}: {latency}");
        }
    }
}

#[test]
fn who_joins_late_starts_at_a_key_frame_with_the_parameter_sets() {
    let spec = VideoSpec { frames: 60, key_distance: 20, sets_once: true, ..VideoSpec::default() };
    let video = video(4, spec);
    let frames = video.frames();
    for mode in MODES {
        let mut scene = Scene::new(4, frames, INTERVAL, 1);
        scene.watch(&clean(), |plan| plan.mode = mode);
        scene.run_for(1500); // the first key frame has passed
        scene.watch(&clean(), |plan| plan.mode = mode);
        scene.run();
        assert!(scene.shown(0) == video.bytes(), "{mode}: the first viewer has all");
        let late = scene.shown(1);
        let sets = &frames[0].parameter_sets;
        assert!(late.starts_with(sets), "{mode}: parameter sets come first");
        let from = if scene.records(1)[0].number == Some(20) { 20 } else { 40 };
        assert_eq!(scene.records(1)[0].kind, Some(FrameKind::Key), "{mode}");
        let rest: Vec<u8> = frames[from..].iter().flat_map(|unit| unit.bytes.to_vec()).collect();
        assert!(late[sets.len()..] == rest, "{mode}: and then the video from frame {from} on");
        assert_eq!(scene.counts(1).on_time, 60 - from as u64, "{mode}");
    }
}

#[test]
fn deadlines_and_datagrams_beat_one_stream_through_loss() {
    // 60 frames a second of about 2.5 Mbit/s.
    let (frames, interval) = (1200, Duration::from_secs(1) / 60);
    let spec = VideoSpec { frames, key_distance: 120, frame_size: 5000, ..VideoSpec::default() };
    let video = video(5, spec);
    let mut on_time = Vec::new();
    for (mode, parity) in
        [(Mode::Stream, 0), (Mode::Frames, 0), (Mode::Datagrams, 0), (Mode::Datagrams, 30)]
    {
        let mut sum = 0;
        for seed in 1..=4 {
            let mut scene = Scene::new(seed, video.frames(), interval, 1);
            scene.watch(&lossy(), |plan| (plan.mode, plan.parity) = (mode, parity));
            scene.run();
            let counts = scene.counts(0);
            println!("{mode} with {parity} % parity: {counts:?}");
            assert_eq!(counts.frames(), frames as u64, "{mode}: each frame is accounted for");
            sum += counts.on_time;
        }
        on_time.push(sum);
    }
    let [stream, frames, plain, parity] = on_time[..] else { unreachable!() };
    assert!(frames > stream, "{on_time:?}");
    assert!(parity > frames && parity > plain && parity > 4700, "{on_time:?}");
}

#[test]
fn late_frames_are_dropped_whole_and_what_is_shown_is_whole_frames() {
    // 60 frames a second, half as much again as the line carries.
    let spec = VideoSpec { frames: 600, key_distance: 30, ..VideoSpec::default() };
    let video = video(6, spec);
    let line = LinkConfig::with_rate(700_000, Duration::from_millis(20));
    for mode in [Mode::Frames, Mode::Datagrams] {
        let mut scene = Scene::new(6, video.frames(), Duration::from_secs(1) / 60, 1);
        scene.watch(&line, |plan| plan.mode = mode);
        scene.run();
        let counts = scene.counts(0);
        println!("{mode}: {counts:?}");
        assert_eq!(counts.frames(), 600, "{mode}");
        assert!(counts.lost > 100 && counts.on_time > 60, "{mode}: {counts:?}");
        let came = scene.records(0).into_iter().filter(|record| record.outcome != Outcome::Lost);
        let whole: Vec<u8> = came
            .flat_map(|record| video.frames()[record.number.unwrap() as usize].bytes.to_vec())
            .collect();
        assert!(scene.shown(0) == whole, "{mode}");
    }
}

#[test]
fn a_slow_viewer_of_one_stream_misses_frames_up_to_key_frames() {
    let spec = VideoSpec { frames: 250, frame_size: 10_000, ..VideoSpec::default() };
    let video = video(7, spec);
    let mut scene = Scene::new(7, video.frames(), INTERVAL, 2);
    let slow = LinkConfig::with_rate(1_200_000, Duration::from_millis(20));
    scene.watch(&slow, |_| {});
    scene.watch(&clean(), |_| {});
    scene.run();
    assert!(scene.shown(1) == video.bytes(), "the other viewer is not held up");
    let records = scene.records(0);
    let counts = scene.counts(0);
    println!("{counts:?}");
    assert!(counts.skipped > 50 && counts.lost == 0, "{counts:?}");
    for pair in records.windows(2) {
        let gap = pair[1].number.unwrap() - pair[0].number.unwrap();
        assert!(gap == 1 || pair[1].kind == Some(FrameKind::Key), "{pair:?}");
    }
    // What waits is never older than a second, and what is in the window after it.
    let worst = records.iter().map(|record| record.latency.unwrap()).max().unwrap();
    assert!(worst < 3_500_000, "{worst}");
}

#[test]
fn the_server_obeys_its_viewer() {
    let spec = VideoSpec { frames: 400, ..VideoSpec::default() };
    let video = video(8, spec);
    let kinds_of = |records: &[FrameRecord]| {
        records.iter().map(|record| record.kind.unwrap()).collect::<Vec<_>>()
    };
    for mode in MODES {
        let mut scene = Scene::new(8, video.frames(), INTERVAL, 1);
        scene.watch(&clean(), |plan| plan.mode = mode);
        scene.run_for(2500);
        scene.request(0, Request::Pause);
        scene.run_for(100);
        let before = scene.records(0).len();
        scene.run_for(2000);
        assert_eq!(scene.records(0).len(), before, "{mode}: paused");
        scene.request(0, Request::Resume);
        scene.run_for(600);
        let resumed = scene.records(0)[before];
        assert_eq!(resumed.kind, Some(FrameKind::Key), "{mode}: goes on with a key frame");
        scene.request(0, Request::Skip(Skip::AllButKeys));
        scene.run_for(100);
        let before = scene.records(0).len();
        scene.run_for(2000);
        let keys = kinds_of(&scene.records(0)[before..]);
        assert_eq!(keys, [FrameKind::Key; 5], "{mode}: one in ten");
        scene.request(0, Request::Skip(Skip::Disposable));
        scene.run_for(500);
        let before = scene.records(0).len();
        scene.run_for(1000);
        let kinds = kinds_of(&scene.records(0)[before..]);
        assert!(kinds.len() > 10 && !kinds.contains(&FrameKind::Disposable), "{mode}: {kinds:?}");
        scene.request(0, Request::KeyFrame);
        scene.run_for(60);
        let before = scene.records(0).len();
        scene.run_for(450);
        let next = scene.records(0).get(before).map(|record| record.kind);
        assert_eq!(next, Some(Some(FrameKind::Key)), "{mode}");
        let said = scene.said.borrow().join("\n");
        assert!(!said.contains("KeyFrame"), "{mode}: who asks without end fills no log: {said}");
    }
}

#[test]
fn a_bitrate_that_is_asked_for_is_kept() {
    let spec = VideoSpec { frames: 500, frame_size: 4000, ..VideoSpec::default() };
    let video = video(9, spec); // about 1 Mbit/s
    let mut scene = Scene::new(9, video.frames(), INTERVAL, 2);
    scene.watch(&clean(), |plan| plan.requests = vec![Request::Bitrate(500_000)]);
    scene.watch(&clean(), |_| {});
    scene.run();
    let rate = |at| 8 * scene.counts(at).bytes / 20;
    println!("{} and {} bit/s", rate(0), rate(1));
    assert!(rate(1) > 900_000 && (350_000..=530_000).contains(&rate(0)));
}

#[test]
fn a_viewer_that_recovers_sees_no_frame_that_needs_a_lost_one() {
    let spec = VideoSpec { frames: 300, frame_size: 6000, ..VideoSpec::default() };
    let video = video(10, spec);
    let mut scene = Scene::new(10, video.frames(), INTERVAL, 1);
    let answers = Rc::new(Cell::new(0));
    let count = Rc::clone(&answers);
    scene.watch(&lossy(), |plan| {
        (plan.mode, plan.recover) = (Mode::Datagrams, true);
        plan.say =
            Rc::new(move |line| count.set(count.get() + i32::from(line.contains("has set"))));
    });
    scene.run();
    let asked = answers.get();
    println!("asked {asked} times; {:?}", scene.counts(0));
    assert!(asked > 3 && scene.counts(0).skipped > 0);
}

#[test]
fn who_watches_for_a_while_leaves_and_the_others_go_on() {
    let video = video(11, VideoSpec { frames: 100, ..VideoSpec::default() });
    let mut scene = Scene::new(11, video.frames(), INTERVAL, 2);
    scene.watch(&clean(), |plan| plan.duration = Some(Duration::from_secs(2)));
    scene.watch(&clean(), |_| {});
    scene.run();
    assert!((20..45).contains(&scene.counts(0).on_time), "{:?}", scene.counts(0));
    assert!(scene.shown(1) == video.bytes());
}

/// Sends short frames, and never says what time it is.
struct Timeless;
struct TimelessStream;

impl Session for Timeless {
    type Stream = TimelessStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<TimelessStream, Refuse> {
        let mut video = BytesMut::new();
        for sequence in 0..3000 {
            let kind = FrameKind::Reference;
            FrameHeader { sequence, number: sequence, due: 0, kind, len: 1 }.write(&mut video);
            video.extend_from_slice(b"x");
        }
        let id = cx.open_stream(Direction::Unidirectional, |_| TimelessStream);
        let sent = id.and_then(|id| cx.write_all_to(id, video.freeze()));
        sent.expect("a viewer allows the stream");
        Ok(TimelessStream)
    }
}

impl Stream<Timeless> for TimelessStream {
    fn on_data_available(&mut self, _cx: &mut StreamContext<'_, Timeless>) {}
}

#[test]
fn what_waits_for_a_comparison_of_clocks_is_bounded() {
    let transport = Arc::new(server_transport());
    let config = ServerConfig { transport, tls: tls::server(&[ALPN]) };
    let factory = FnFactory::new(&[ALPN], config, |c| Box::new(SessionHost::new(c, Timeless)));
    let mut net = Net::new(7, Link::default(), factory);
    let shown = Rc::new(RefCell::new(0));
    let count = Rc::clone(&shown);
    let viewer = Viewer::new(ViewerPlan {
        show: Box::new(move |_, _| {
            *count.borrow_mut() += 1;
            true
        }),
        ..plain_plan()
    });
    net.connect(Arc::new(viewer_transport()), tls::client(&[ALPN]), viewer, |w| Box::new(w));
    net.run_for(Duration::from_secs(5));
    assert!(*shown.borrow() > 2000, "{} of 3000 frames are shown", shown.borrow());
}

/// Connects, and asks for nothing.
struct Silent;

impl Session for Silent {
    type Stream = TimelessStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<TimelessStream, Refuse> {
        Ok(TimelessStream)
    }
}

impl Stream<Silent> for TimelessStream {
    fn on_data_available(&mut self, _cx: &mut StreamContext<'_, Silent>) {}
}

#[test]
fn who_never_asks_for_the_video_has_to_leave() {
    let config =
        ServerConfig { transport: Arc::new(server_transport()), tls: tls::server(&[ALPN]) };
    let source = Box::new(ListSource::new(&[]));
    let broadcast = Broadcast::new(source, BroadcastConfig { interval: INTERVAL, viewers: 1 });
    let factory = live_factory(config, Rc::new(RefCell::new(broadcast)), Rc::new(|_| {}));
    let mut net = Net::new(8, Link::default(), factory);
    let transport = Arc::new(viewer_transport());
    net.connect(transport, tls::client(&[ALPN]), Silent, |w| Box::new(w));
    net.run_for(Duration::from_secs(9));
    assert!(net.clients[0].close_reason().is_none());
    net.run_for(Duration::from_secs(3));
    let why = net.clients[0].close_reason().map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("the video was not asked for"), "{why}");
}
