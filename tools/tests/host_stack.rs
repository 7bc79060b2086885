//! `quic_echo`, `vcl_test_server` and `vcl_test_client` as people run them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const QUIC_ECHO: &str = env!("CARGO_BIN_EXE_quic_echo");
const QCHAT_SERVER: &str = env!("CARGO_BIN_EXE_qchat_server");
const VCL_SERVER: &str = env!("CARGO_BIN_EXE_vcl_test_server");
const VCL_CLIENT: &str = env!("CARGO_BIN_EXE_vcl_test_client");

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    port: String,
    _out: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}");
        let port = line.trim().rsplit(':').next().unwrap().to_owned();
        Self { child, port, _out: out }
    }

    fn quic_echo(arguments: &[&str]) -> Self {
        let listen = ["server", "uri", "quic://127.0.0.1/0"];
        Self::start(QUIC_ECHO, &[&listen[..], arguments].concat())
    }

    fn echo(&self, arguments: &[&str]) -> Output {
        let uri = format!("quic://127.0.0.1/{}", self.port);
        Command::new(QUIC_ECHO).args(["client", "uri", &uri]).args(arguments).output().unwrap()
    }

    fn vcl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(VCL_CLIENT);
        command.args(["-p", "QUIC"]).args(arguments).args(["127.0.0.1", &self.port]);
        command.output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failure(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_phase_is_timed_and_every_byte_verified() {
    let server = Server::quic_echo(&[]);
    let text = shown(&server.echo(&["nclient", "2/4", "bytes", "100K", "test-bytes"]));
    let line = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    for (phase, amount) in [
        ("connect", "2 connections"),
        ("open", "8 streams"),
        ("transfer", "819200 bytes"),
        ("close", "2 connections"),
        ("connect:close", "819200 bytes"),
    ] {
        let line = line(phase);
        assert!(line.contains(" ms ") && line.contains(amount), "{line}");
    }
    assert!(text.contains("every byte verified"), "{text}");
}

#[test]
fn options_have_dashes_or_not_and_figures_can_be_json() {
    let server = Server::quic_echo(&[]);
    let span = ["--nclient", "3", "--bytes=1000", "time", "open:transfer", "--json"];
    let output = server.echo(&span);
    let json = shown(&output);
    assert!(json.starts_with("{\"connections\":3,\"streams\":1,\"bytes\":1000,\"verified\":false"));
    let figure = |name: &str| {
        let text = json.split(&format!("\"{name}\":")).nth(1).unwrap();
        text.split([',', '}']).next().unwrap().parse::<f64>().unwrap()
    };
    let sum = figure("open_s") + figure("transfer_s");
    assert!((figure("span_s") - sum).abs() < 1e-5, "{json}");
    let log = server.echo(&["log", "1"]);
    let said = String::from_utf8_lossy(&log.stderr).into_owned();
    for phase in ["connect", "open", "transfer", "close"] {
        assert!(said.contains(&format!("{phase} done after")), "{said}");
    }
}

#[test]
fn connections_are_shared_by_threads() {
    let server = Server::quic_echo(&[]);
    let many = ["nclient", "50/4", "bytes", "5000", "threads", "3", "test-bytes"];
    let text = shown(&server.echo(&many));
    assert!(text.contains("200 streams") && text.contains("every byte verified"), "{text}");
}

#[test]
fn streams_beyond_the_servers_limit_are_served_in_turn() {
    let server = Server::quic_echo(&["streams", "3"]);
    let text = shown(&server.echo(&["nclient", "2/10", "bytes", "5000", "test-bytes"]));
    assert!(text.contains("100000 bytes"), "{text}");
}

#[test]
fn any_echo_will_do_and_none_is_told() {
    let chat = Server::start(QCHAT_SERVER, &["--listen", "127.0.0.1:0"]);
    shown(&chat.echo(&["alpn", "qchat", "nclient", "2/2"]));
    let said = failure(&chat.echo(&["nclient", "2/2"]));
    assert!(said.contains("a connection ended early"), "{said}");
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("quic://127.0.0.1/{}", silent.local_addr().unwrap().port());
    let output =
        Command::new(QUIC_ECHO).args(["client", "uri", &uri, "wait", "1"]).output().unwrap();
    let said = failure(&output);
    assert!(said.contains("connect: nothing happened for 1 s"), "{said}");
    assert!(failure(&chat.echo(&["nclient", "0/1"])).contains("N/M"));
}

#[test]
fn the_blocking_pair_tests_every_kind_of_stream() {
    let server = Server::start(VCL_SERVER, &["-p", "QUIC", "--address", "127.0.0.1", "0"]);
    let few = ["-N", "100", "-T", "10000", "-s", "3"];
    let echo = shown(&server.vcl(&few));
    let all = "3000000 bytes sent";
    assert!(echo.starts_with("echo: 3 streams, ") && echo.contains(all), "{echo}");
    assert!(echo.contains("3000000 received and verified"), "{echo}");
    let one_way = shown(&server.vcl(&[&["-U"], &few[..]].concat()));
    assert!(one_way.starts_with("unidirectional: 3") && one_way.contains(all), "{one_way}");
    assert!(one_way.contains("verified by the server"), "{one_way}");
    let both = shown(&server.vcl(&[&["-B"], &few[..]].concat()));
    assert!(both.starts_with("bidirectional: 3 ") && both.contains("3000000 received"), "{both}");
}

#[test]
fn the_blocking_pair_says_what_is_wrong() {
    let said = failure(&Command::new(VCL_CLIENT).args(["127.0.0.1", "0"]).output().unwrap());
    assert!(said.contains("invalid value '0' for '<PORT>'"), "{said}");
    let server = Server::start(VCL_SERVER, &["--address", "127.0.0.1", "0"]);
    let taken = Command::new(VCL_SERVER).args(["--address", "127.0.0.1", &server.port]).output();
    assert!(!failure(&taken.unwrap()).is_empty());
    let tcp = Command::new(VCL_CLIENT).args(["-p", "TCP", "127.0.0.1", "1"]).output().unwrap();
    assert!(failure(&tcp).contains("QUIC is the only protocol here"));
    // An echo of another protocol.
    let other = Server::quic_echo(&[]);
    assert!(failure(&other.vcl(&[])).contains("the connection is over"));
}
