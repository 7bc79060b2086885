//! What watches a connection sees: why nothing is being sent, each answer brought about, and what a
//! qlog file says of a connection's life.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use protoquic::connection::{Change, Config, ConnectionStart, PlainPacket, SendStatus, Stage};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::{Frame, PacketType};
use protoquic::writers::{BlockSwitch, BlockingWriter};
use protoquic::{
    ApplicationError, CloseReason, EventLoopVisitor, Observer, ObserverFactory, Role, ServerConfig,
    SessionFactory, Time,
};
use protoquic_qlog::{QlogDirectory, QlogObserver};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory, source_factory};
use protoquic_tests::tls;
use qlog::events::EventData;
use qlog::events::quic::QuicFrame;
use qlog::reader::{Event, QlogSeqReader};

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);

/// What an observer was told, in order.
#[derive(Debug, Default)]
struct Told {
    started: Vec<ConnectionStart>,
    statuses: Vec<SendStatus>,
    stages: Vec<Stage>,
    sent: Vec<PacketType>,
    streams_sent: usize,
    closed: Vec<CloseReason>,
}

#[derive(Clone, Debug, Default)]
struct Recorder(Rc<RefCell<Told>>);

impl Observer for Recorder {
    fn on_connection_started(&mut self, _now: Time, start: &ConnectionStart) {
        self.0.borrow_mut().started.push(*start);
    }

    fn on_packet_sent(&mut self, _now: Time, packet: &PlainPacket<'_>) {
        let is_stream = |frame: &Frame<'_>| matches!(frame, Frame::Stream { .. });
        let frames = packet.frames().map(|frame| frame.expect("we write frames that can be read"));
        let mut told = self.0.borrow_mut();
        told.streams_sent += frames.filter(is_stream).count();
        told.sent.push(packet.ty);
    }

    fn on_change(&mut self, _now: Time, change: &Change<'_>) {
        match *change {
            Change::Stage(stage) => self.0.borrow_mut().stages.push(stage),
            Change::SendStatus(status) => self.0.borrow_mut().statuses.push(status),
            _ => {}
        }
    }

    fn on_connection_closed(&mut self, _now: Time, reason: &CloseReason) {
        self.0.borrow_mut().closed.push(reason.clone());
    }
}

impl ObserverFactory for Recorder {
    fn create_observer(&mut self, _start: &ConnectionStart) -> Option<Box<dyn Observer>> {
        Some(Box::new(self.clone()))
    }
}

impl Recorder {
    fn has_seen(&self, like: impl Fn(&SendStatus) -> bool) -> bool {
        self.0.borrow().statuses.iter().any(like)
    }

    fn last(&self) -> Option<SendStatus> {
        self.0.borrow().statuses.last().copied()
    }
}

fn server(transport: Config) -> ServerConfig {
    ServerConfig { transport: Arc::new(transport), tls: tls::server(&[b"echo"]) }
}

fn net_with(link: Link, factory: impl SessionFactory + 'static) -> EchoNet {
    Net::new(77, link, factory)
}

fn connect(net: &mut EchoNet, config: Config, session: EchoClient) {
    net.connect(Arc::new(config), tls::client(&[b"echo"]), session, |writer| Box::new(writer));
}

/// A client that asks for so many bytes of one stream.
fn download(bytes: usize) -> EchoClient {
    let mut session = EchoClient::new(1, bytes);
    session.downloads = true;
    session
}

/// A client that echoes a little and stays.
fn patient() -> EchoClient {
    EchoClient::patient(1, 1000)
}

/// What a server is held back by that is asked for this many bytes.
fn download_from(transport: Config, client: Config, bytes: usize) -> Recorder {
    let recorder = Recorder::default();
    let mut net = net_with(Link::default(), source_factory(server(transport)));
    net.server.set_observers(Box::new(recorder.clone()));
    connect(&mut net, client, download(bytes));
    assert!(net.run_until(SECOND * 30, |net| net.clients[0].session().is_done()));
    recorder
}

#[test]
fn status_says_that_the_congestion_window_is_full() {
    let transport = Config { pacing: false, ..Config::default() };
    let recorder = download_from(transport, Config::default(), 500_000);
    let full = |status: &SendStatus| match *status {
        SendStatus::CongestionBlocked { window, in_flight } => in_flight + 1500 > window,
        _ => false,
    };
    assert!(recorder.has_seen(full), "{recorder:?}");
    let paced = |status: &SendStatus| matches!(status, SendStatus::Pacing { .. });
    assert!(!recorder.has_seen(paced));
}

#[test]
fn status_says_until_when_pacing_holds_back() {
    let recorder = download_from(Config::default(), Config::default(), 500_000);
    let paced = |status: &SendStatus| matches!(status, SendStatus::Pacing { .. });
    assert!(recorder.has_seen(paced), "{recorder:?}");
}

#[test]
fn status_tells_the_connections_limit_from_a_streams() {
    let mut client = Config::default();
    client.streams.max_data = 3000;
    let recorder = download_from(Config::default(), client.clone(), 50_000);
    let connection = SendStatus::ConnectionFlowControl { limit: 3000 };
    assert!(recorder.has_seen(|status| *status == connection), "{recorder:?}");

    client.streams.max_data = 1 << 20;
    client.streams.max_stream_data_bidi_local = 3000;
    let recorder = download_from(Config::default(), client, 50_000);
    let stream =
        |status: &SendStatus| matches!(status, SendStatus::StreamFlowControl { limit: 3000, .. });
    assert!(recorder.has_seen(stream), "{recorder:?}");
    let connection =
        |status: &SendStatus| matches!(status, SendStatus::ConnectionFlowControl { .. });
    assert!(!recorder.has_seen(connection));
}

#[test]
fn status_says_that_the_application_does_not_write() {
    let recorder = Recorder::default();
    let mut transport = Config::default();
    transport.streams.max_stream_data_bidi_remote = 3000; // then it waits for more to echo
    let mut net = net_with(Link::default(), echo_factory(server(transport)));
    net.server.set_observers(Box::new(recorder.clone()));
    connect(&mut net, Config::default(), EchoClient::new(1, 6000));
    assert!(net.run_until(SECOND * 30, |net| net.clients[0].session().is_done()));
    let waits = SendStatus::ApplicationNotWriting { streams: 1 };
    assert!(recorder.has_seen(|status| *status == waits), "{recorder:?}");
}

#[test]
fn status_goes_from_handshake_over_nothing_to_send_to_closed() {
    let recorder = Recorder::default();
    let mut net = net_with(Link::default(), echo_factory(server(Config::default())));
    net.next_observer = Some(Box::new(recorder.clone()));
    let session = patient();
    connect(&mut net, Config::default(), session);
    assert_eq!(recorder.last(), Some(SendStatus::Handshake));
    assert!(net.run_until(SECOND * 5, |net| net.clients[0].session().is_done()));
    net.run_for(SECOND);
    assert_eq!(recorder.last(), Some(SendStatus::NothingToSend));
    let now = net.now;
    net.clients[0].close(now, ApplicationError(7), "enough");
    net.kick();
    net.run_for(SECOND * 10);
    assert_eq!(recorder.last(), Some(SendStatus::Closed));
    let told = recorder.0.borrow();
    let stages =
        [Stage::Handshake, Stage::Established, Stage::Confirmed, Stage::Closing, Stage::Over];
    assert_eq!(told.stages, stages);
    assert_eq!(told.closed.len(), 1);
    assert!(matches!(told.closed[0], CloseReason::Application { code: ApplicationError(7), .. }));
    assert!(told.streams_sent > 0 && told.sent[0] == PacketType::Initial);
    assert_eq!((told.started.len(), told.started[0].role), (1, Role::Client));
}

#[test]
fn status_says_that_the_writer_is_full() {
    let recorder = Recorder::default();
    let switch = BlockSwitch::default();
    let mut net = net_with(Link::default(), echo_factory(server(Config::default())));
    net.next_observer = Some(Box::new(recorder.clone()));
    let writer_switch = switch.clone();
    switch.set(true);
    let tls = tls::client(&[b"echo"]);
    net.connect(Arc::new(Config::default()), tls, EchoClient::new(1, 1000), move |writer| {
        Box::new(BlockingWriter::new(writer, writer_switch))
    });
    assert_eq!(recorder.last(), Some(SendStatus::WriterBlocked));
    switch.set(false);
    let now = net.now;
    net.clients[0].on_can_write(now);
    assert!(net.run_until(SECOND * 5, |net| net.clients[0].session().is_done()));
    assert_ne!(recorder.last(), Some(SendStatus::WriterBlocked));
}

#[test]
fn status_says_that_an_unproven_address_has_had_its_share() {
    let recorder = Recorder::default();
    let mut net = net_with(Link::default(), echo_factory(server(Config::default())));
    net.server.set_observers(Box::new(recorder.clone()));
    connect(&mut net, Config::default(), EchoClient::new(1, 1000));
    net.replace_by_mailbox(0); // nothing more comes from it
    net.run_for(SECOND * 8);
    let limited = |status: &SendStatus| match *status {
        SendStatus::AmplificationLimited { allowance } => allowance < 1200,
        _ => false,
    };
    assert!(recorder.has_seen(limited), "{recorder:?}");
}

#[test]
fn a_silent_end_is_told_too() {
    let recorder = Recorder::default();
    let mut net = net_with(Link::default(), echo_factory(server(Config::default())));
    net.next_observer = Some(Box::new(recorder.clone()));
    let session = patient();
    let config = Config { idle_timeout: SECOND * 3, ..Config::default() };
    connect(&mut net, config, session);
    net.run_for(SECOND * 10);
    assert_eq!(recorder.0.borrow().closed, [CloseReason::IdleTimeout]);
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics in a write").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// The file read back: its header's group, who wrote it, and its events in order.
    fn read(&self) -> (String, String, Vec<(f64, EventData)>) {
        let bytes = self.0.lock().expect("no test panics in a write").clone();
        read_qlog(&bytes)
    }
}

fn read_qlog(bytes: &[u8]) -> (String, String, Vec<(f64, EventData)>) {
    let records = bytes.split(|byte| *byte == 0x1e).count() - 1;
    let reader = QlogSeqReader::new(Box::new(bytes)).expect("a header");
    let trace = reader.qlog.trace.clone();
    let group = trace.common_fields.and_then(|common| common.group_id).expect("a group");
    let by = format!("{:?}", trace.vantage_point.expect("somebody wrote it").ty);
    let events: Vec<_> = reader
        .map(|event| match event {
            Event::Qlog(event) => (event.time, event.data),
            Event::Json(event) => panic!("qlog does not know {event:?}"),
        })
        .collect();
    assert_eq!(events.len() + 1, records, "every record can be read");
    (group, by, events)
}

impl ObserverFactory for Memory {
    fn create_observer(&mut self, _start: &ConnectionStart) -> Option<Box<dyn Observer>> {
        Some(Box::new(QlogObserver::new(self.clone())))
    }
}

fn position(events: &[(f64, EventData)], like: impl Fn(&EventData) -> bool) -> usize {
    events.iter().position(|(_, event)| like(event)).expect("there is such an event")
}

#[test]
fn a_qlog_file_tells_the_life_of_a_connection_in_order() {
    let (ours, theirs) = (Memory::default(), Memory::default());
    let link = Link { loss: 30, ..Link::default() };
    let mut net = net_with(link, source_factory(server(Config::default())));
    net.server.set_observers(Box::new(theirs.clone()));
    net.next_observer = Some(Box::new(QlogObserver::new(ours.clone())));
    connect(&mut net, Config::default(), download(500_000));
    assert!(net.run_until(SECOND * 60, |net| net.clients[0].session().is_done()));
    net.run_for(SECOND * 10);
    let (group, by, events) = ours.read();
    let (their_group, their_by, their_events) = theirs.read();
    assert_eq!((by.as_str(), their_by.as_str()), ("Client", "Server"));
    assert_eq!(group, their_group, "the two ends' files belong together");

    for events in [&events, &their_events] {
        assert!(events.is_sorted_by(|one, next| one.0 <= next.0), "time goes on");
        let started =
            position(events, |event| matches!(event, EventData::QuicConnectionStarted(_)));
        let set = |event: &EventData| matches!(event, EventData::QuicParametersSet(_));
        let parameters = position(events, set);
        let sent = position(events, |event| matches!(event, EventData::QuicPacketSent(_)));
        let received = position(events, |event| matches!(event, EventData::QuicPacketReceived(_)));
        let closed = position(events, |event| matches!(event, EventData::QuicConnectionClosed(_)));
        assert_eq!(started, 0);
        assert!(started < parameters && parameters < sent.min(received));
        assert!(closed > sent.max(received));
        assert_eq!(events.iter().filter(|event| set(&event.1)).count(), 2, "both ends'");
        position(events, |event| matches!(event, EventData::QuicMetricsUpdated(_)));
        position(events, |event| matches!(event, EventData::QuicCongestionStateUpdated(_)));
        position(events, |event| matches!(event, EventData::QuicConnectionStateUpdated(_)));
        position(events, |event| matches!(event, EventData::QuicConnectionDataBlockedUpdated(_)));
        position(events, |event| matches!(event, EventData::QuicMtuUpdated(_)));
    }
    let lost = |event: &EventData| matches!(event, EventData::QuicPacketLost(_));
    position(&their_events, lost);
    let mut bytes = 0;
    for (_, event) in &their_events {
        if let EventData::QuicPacketSent(packet) = event {
            let frames = packet.frames.as_ref().expect("frames are written");
            assert!(!frames.is_empty() && packet.header.packet_number.is_some());
            bytes += frames.iter().map(stream_bytes).sum::<u64>();
        }
    }
    assert!(bytes >= 500_000, "every byte is accounted for");
}

fn stream_bytes(frame: &QuicFrame) -> u64 {
    match frame {
        QuicFrame::Stream { raw: Some(raw), .. } => raw.payload_length.unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn key_updates_and_moves_are_in_the_file() {
    let ours = Memory::default();
    let theirs = Memory::default();
    let mut net = net_with(Link::default(), echo_factory(server(Config::default())));
    net.server.set_observers(Box::new(theirs.clone()));
    net.next_observer = Some(Box::new(QlogObserver::new(ours.clone())));
    let session = patient();
    let config = Config { keep_alive: Some(SECOND), ..Config::default() };
    connect(&mut net, config, session);
    net.run_for(SECOND * 2);
    let now = net.now;
    assert!(net.clients[0].enter(now, |_, cx| cx.connection().initiate_key_update()));
    net.run_for(SECOND * 2);
    net.rebind(0, ([10, 0, 9, 9], 4000).into());
    net.run_for(SECOND * 3);
    for (memory, moved) in [(ours, false), (theirs, true)] {
        let (_, _, events) = memory.read();
        let count = |like: fn(&EventData) -> bool| events.iter().filter(|(_, e)| like(e)).count();
        assert_eq!(count(|event| matches!(event, EventData::QuicKeyUpdated(_))), 2);
        let moves = count(|event| matches!(event, EventData::QuicMigrationStateUpdated(_)));
        assert_eq!(moves > 0, moved);
    }
}

#[test]
fn a_folder_gets_a_file_for_each_end_of_each_connection() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qlog_files");
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    let directory =
        QlogDirectory::new(&folder, || SystemTime::UNIX_EPOCH).expect("the folder can be made");
    let mut net = Net::with_dispatcher(
        5,
        Link::default(),
        DispatcherConfig::default(),
        vec![Box::new(echo_factory(server(Config::default())))],
    );
    net.server.set_observers(Box::new(directory.clone()));
    for index in 0..3 {
        net.next_observer = Some(Box::new(directory.observer()));
        connect(&mut net, Config::default(), EchoClient::new(1, 1000));
        assert!(net.run_until(SECOND * 9, |net| net.clients[index].session().is_done()));
    }
    drop(net);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 6);
    for pair in names.chunks(2) {
        let group = pair[0].strip_suffix("_client.sqlog").expect("a client's");
        assert_eq!(pair[1], format!("{group}_server.sqlog"));
        let bytes = fs::read(folder.join(&pair[1])).expect("it can be read");
        assert_eq!(read_qlog(&bytes).0, group);
    }
}
