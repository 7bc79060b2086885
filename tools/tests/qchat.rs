//! `qchat_server` and `qchat_client` as people run them, and the server's sessions against clients
//! that do what the program never would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{
    Direction, FnFactory, Refuse, Session, SessionContext, SessionFactory, SessionHost, Stream,
    StreamContext, StreamError, StreamId,
};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint, self_made_server};
use protoquic_tools::qchat::server::chat_factory;
use protoquic_tools::qchat::{ALPN, Message};

const SERVER: &str = env!("CARGO_BIN_EXE_qchat_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_qchat_client");

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    port: String,
    out: BufReader<ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(SERVER)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
        let port = line.trim().rsplit(':').next().unwrap().to_owned();
        Self { child, port, out }
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.args(["--port", &self.port, "--disable_certificate_verification"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// A client that echoes so many bytes, when its stream has begun.
    #[cfg(unix)]
    fn start_echo(&mut self, bytes: &str) -> Child {
        let running = self
            .client(&["--bytes", bytes])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.lines_until("new stream 0");
        running
    }

    fn lines_until(&mut self, what: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            lines.push(self.line());
            if lines.last().unwrap().contains(what) {
                return lines;
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    #[cfg(unix)]
    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_echo_comes_back_and_both_ends_tell_what_happens() {
    let mut server = Server::start(&[]);
    let output = server.run(&["--host", "localhost", "--msg", "hello over quic\n"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "hello over quic\n");
    let said = text(&output.stderr);
    let place = |what: &str| said.find(what).unwrap_or_else(|| panic!("no {what} in {said}"));
    assert!(place("connected") < place("all 16 bytes sent"), "{said}");
    assert!(place("shutting down") < place("closed: closed by us"), "{said}");
    place("16 bytes came back in");
    let lines = server.lines_until("closed:").join("\n");
    for what in ["accepted from 127.0.0.1", "connected with TLS13", "new stream 0"] {
        assert!(lines.contains(&format!("connection 1: {what}")), "{lines}");
    }
    assert!(lines.contains("stream 0: 16 bytes sent back"), "{lines}");
    assert!(lines.contains("shutting down\nconnection 1: closed: closed by the peer"), "{lines}");
}

#[test]
fn who_comes_again_sends_its_message_as_early_data() {
    let server = Server::start(&[]);
    let said = text(&server.run(&["--times", "3"]).stderr);
    assert_eq!(said.matches("early data taken").count(), 2, "{said}");
    assert_eq!(said.matches("with early data").count(), 2, "{said}");
    let said = text(&server.run(&["--times", "2", "--no_early_data"]).stderr);
    assert!(!said.contains("early data"), "{said}");
    let server = Server::start(&["--no_early_data"]);
    let output = server.run(&["--times", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("with early data"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_echo_of_any_length_takes_constant_memory() {
    let server = Server::start(&["--quiet"]);
    let run = |bytes| {
        let output = server.run(&["--bytes", bytes]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let whole = format!("{bytes} bytes came back");
        assert!(text(&output.stderr).contains(&whole), "{}", text(&output.stderr));
    };
    run("30000000");
    let before = server.memory();
    run("120000000");
    let grown = server.memory() - before;
    println!("the server's peak grew by {grown} bytes");
    assert!(grown < 5_000_000, "{grown} bytes");
}

#[cfg(unix)]
#[test]
fn a_server_that_shuts_down_lets_the_echo_end() {
    let mut server = Server::start(&[]);
    let running = server.start_echo("100000000");
    server.interrupt();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("100000000 bytes came back"));
    assert!(server.child.wait().unwrap().success());
    let mut rest = String::new();
    server.out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("shutting down"), "{rest}");
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_aborts_the_echo() {
    let mut server = Server::start(&[]);
    let running = server.start_echo("100000000000");
    server.interrupt();
    server.lines_until("shutting down");
    server.interrupt();
    assert!(server.child.wait().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("the connection ended early: closed by the peer"), "{said}");
}

#[test]
fn a_server_of_another_protocol_is_named_as_such() {
    let alpn = b"tahcq";
    let mut server = endpoint(FnFactory::new(&[alpn], self_made_server(alpn).unwrap(), |c| {
        Box::new(SessionHost::new(c, Mute))
    }));
    let said = said_by_client_of(&mut server, &["--wait", "60"]);
    assert!(said.contains("the server there speaks another protocol than this program"), "{said}");
}

#[test]
fn no_times_are_too_few() {
    let output = Command::new(CLIENT).args(["--times", "0"]).output().unwrap();
    assert!(!output.status.success(), "it did nothing and called it a success");
}

#[test]
fn a_client_can_abandon_its_stream() {
    let mut server = Server::start(&[]);
    let output = server.run(&["--bytes", "1000000000", "--abort_after", "100000"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = server.lines_until("sent back");
    assert!(lines.last().unwrap().ends_with("aborted by the client"), "{lines:?}");
}

#[test]
fn typed_lines_come_back_with_their_round_trip_times() {
    let server = Server::start(&[]);
    let mut client = server
        .client(&["--interactive"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keys = client.stdin.take().unwrap();
    let mut shown = BufReader::new(client.stdout.take().unwrap());
    for typed in ["first", "", "a third one, ünïcode"] {
        writeln!(keys, "{typed}").unwrap();
        let mut line = String::new();
        shown.read_line(&mut line).unwrap();
        let (time, echo) = line.trim_end_matches('\n').split_once(" ms  ").unwrap();
        assert_eq!(echo, typed);
        assert!(time.trim().parse::<f64>().unwrap() > 0.0, "{line}");
    }
    write!(keys, "no end of line").unwrap();
    drop(keys);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("ms  no end of line\n"), "{rest}");
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_silent_connection_is_closed_after_the_idle_timeout() {
    let mut server = Server::start(&["--idle_timeout", "1"]);
    let mut client = server
        .client(&["--interactive"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let keys = client.stdin.take(); // nobody types
    let lines = server.lines_until("closed:");
    assert!(lines.last().unwrap().contains("idle for too long"), "{lines:?}");
    assert!(!client.wait().unwrap().success());
    drop(keys);
}

/// What a client says that fails at this server, which is run until then.
fn said_by_client_of(server: &mut ServerEndpoint, arguments: &[&str]) -> String {
    let port = server.address().port().to_string();
    let mut client = Command::new(CLIENT)
        .args(["--port", &port, "--disable_certificate_verification"])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = loop {
        server.run_once(Some(Duration::from_millis(20))).unwrap();
        if let Some(status) = client.try_wait().unwrap() {
            break status;
        }
    };
    assert!(!status.success());
    let mut said = String::new();
    client.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_client_waits_no_longer_than_it_was_told() {
    let mut server = endpoint(FnFactory::new(&[ALPN], self_made_server(ALPN).unwrap(), |c| {
        Box::new(SessionHost::new(c, Mute))
    }));
    let said = said_by_client_of(&mut server, &["--wait", "0.3"]);
    assert!(said.contains("no echo came for 0.3 s"), "{said}");
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&lines);
    let say = Rc::new(move |line: &str| kept.borrow_mut().push(line.to_owned()));
    let mut server = endpoint(chat_factory(self_made_server(ALPN).unwrap(), say));
    let options = ClientOptions::believing_anyone(server.address(), ALPN).unwrap();
    let hoarder = Hoarder { message: Message::pattern(100_000_000), ..Hoarder::default() };
    let mut client = ClientEndpoint::connect(options, |_| hoarder).unwrap();
    // Until nothing moves any more.
    let (mut still, mut before) = (0, 0);
    while still < 50 {
        server.run_once(Some(Duration::from_millis(2))).unwrap();
        client.run_once(Some(Duration::from_millis(2))).unwrap();
        still = if client.session().sent == before && before > 0 { still + 1 } else { 0 };
        before = client.session().sent;
    }
    // Two receive windows of 1 MiB, two send buffers of 256 KiB.
    println!("{before} bytes were written before the echo was read");
    assert!(before < 4_000_000, "{before}");
    client.enter(|session, cx| {
        session.reads = true;
        cx.wake_stream(StreamId::from_raw(0));
    });
    while client.session().read < 10_000_000 {
        server.run_once(Some(Duration::ZERO)).unwrap();
        client.run_once(Some(Duration::ZERO)).unwrap();
        assert!(client.close_reason().is_none(), "{:?}", client.close_reason());
    }
}

#[test]
fn no_more_streams_than_were_allowed() {
    let server = Server::start(&["--streams", "3"]);
    let address = format!("127.0.0.1:{}", server.port).parse().unwrap();
    let options = ClientOptions::believing_anyone(address, ALPN).unwrap();
    let mut client = ClientEndpoint::connect(options, |_| Hoarder::default()).unwrap();
    while !client.host().host().connection().is_established() {
        client.run_once(None).unwrap();
    }
    let opened = client.enter(|_, cx| {
        let mut open = |direction| cx.open_stream(direction, |_| HoarderStream);
        let more = [open(Direction::Bidirectional), open(Direction::Bidirectional)];
        assert!(more.iter().all(Result::is_ok), "with the hoarder's own these are three");
        [open(Direction::Bidirectional), open(Direction::Unidirectional)]
    });
    assert_eq!(opened, [Err(StreamError::LimitReached); 2]);
}

fn endpoint(factory: impl SessionFactory + 'static) -> ServerEndpoint {
    let limits = DispatcherConfig::default();
    ServerEndpoint::bind("127.0.0.1:0".parse().unwrap(), limits, vec![Box::new(factory)]).unwrap()
}

/// A server that takes everything and says nothing.
struct Mute;

struct MuteStream;

impl Session for Mute {
    type Stream = MuteStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<MuteStream, Refuse> {
        Ok(MuteStream)
    }
}

impl Stream<Mute> for MuteStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Mute>) {
        while cx.read().is_some() {}
    }
}

/// A client that sends and sends, and does not read until it is told to.
struct Hoarder {
    message: Message,
    sent: u64,
    reads: bool,
    read: u64,
}

struct HoarderStream;

impl Default for Hoarder {
    fn default() -> Self {
        Self { message: Message::text(Bytes::new()), sent: 0, reads: false, read: 0 }
    }
}

impl Session for Hoarder {
    type Stream = HoarderStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<HoarderStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        cx.open_stream(Direction::Bidirectional, |_| HoarderStream).unwrap();
    }
}

impl Stream<Hoarder> for HoarderStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Hoarder>) {
        while cx.session().reads {
            let Some(data) = cx.read() else { break };
            let session = cx.session();
            assert!(session.message.matches(session.read, &data), "after {} bytes", session.read);
            session.read += data.len() as u64;
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Hoarder>) {
        loop {
            let session = cx.session();
            let mut piece = session.message.piece(session.sent, usize::MAX);
            let taken = cx.write(&mut piece).unwrap();
            cx.session().sent += taken as u64;
            if taken == 0 {
                return;
            }
        }
    }
}
