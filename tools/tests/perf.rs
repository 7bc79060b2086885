//! `quic_perf` as its users run it: every mode against a server of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

const PERF: &str = env!("CARGO_BIN_EXE_quic_perf");

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        Self::run(PERF, &[&["server", "--listen", "127.0.0.1:0"], options].concat())
    }

    fn run(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.strip_prefix("listening on ").expect(&line).trim().to_owned();
        Self { child, address }
    }

    fn client(&self, options: &[&str]) -> Output {
        let mut command = Command::new(PERF);
        command.args(["client", "--json", "--connect", &self.address]).args(options);
        command.output().expect("the program runs")
    }

    /// Runs a client; its one line of JSON.
    fn measure(&self, options: &[&str]) -> String {
        let output = self.client(options);
        let text = String::from_utf8(output.stdout).expect("JSON is text");
        assert!(output.status.success(), "{options:?}: {text}");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number that a line of JSON has under this name.
fn number(json: &str, name: &str) -> f64 {
    let key = format!("\"{name}\":");
    let (_, rest) = json.split_once(&key).unwrap_or_else(|| panic!("no {name} in {json}"));
    let end = rest.find([',', '}']).expect("a value ends");
    rest[..end].parse().unwrap_or_else(|_| panic!("{name} is no number in {json}"))
}

#[test]
fn bulk_transfers_move_what_was_asked_for() {
    let server = Server::start();
    for mode in ["down", "up"] {
        for streams in ["1", "50"] {
            let options = ["--mode", mode, "--bytes", "20000000", "--streams", streams];
            let json = server.measure(&options);
            assert!(json.contains("\"bytes\":20000000,") && number(&json, "gbps") > 0.0, "{json}");
        }
    }
}

#[test]
fn request_loops_count_requests_and_their_latency() {
    let server = Server::start();
    let json = server.measure(&["--mode", "rps", "--secs", "0.3", "--streams", "20"]);
    assert!(number(&json, "requests") >= 20.0, "{json}");
    assert!(number(&json, "p99_us") >= number(&json, "median_us"), "{json}");
}

#[test]
fn many_connections_work_at_the_same_time() {
    let server = Server::start();
    let options = ["--mode", "rps", "--secs", "0.3", "--connections", "50", "--streams", "2"];
    let json = server.measure(&options);
    assert!(json.contains("\"connections\":50,") && number(&json, "requests") >= 100.0, "{json}");
    for mode in ["down", "up"] {
        let json = server.measure(&["--mode", mode, "--bytes", "20000000", "--connections", "40"]);
        assert!(json.contains("\"bytes\":20000000,") && number(&json, "gbps") > 0.0, "{json}");
    }
}

#[test]
fn handshakes_are_counted() {
    let server = Server::start();
    let json = server.measure(&["--mode", "hs", "--secs", "0.3", "--connections", "8"]);
    assert!(number(&json, "handshakes") >= 8.0, "{json}");
    assert!(json.contains("\"resumed\":0,"), "{json}");
    let options = ["--mode", "hs", "--resume", "--secs", "0.3", "--connections", "1"];
    let json = server.measure(&options);
    let (all, resumed) = (number(&json, "handshakes"), number(&json, "resumed"));
    assert!(all > 1.0 && resumed >= all - 1.0, "all but the first resume: {json}");
}

#[test]
fn tickets_of_one_worker_hold_for_all() {
    let server = Server::with(&["--workers", "3"]);
    let options = ["--mode", "hs", "--resume", "--secs", "0.5", "--connections", "1"];
    let json = server.measure(&options);
    let (all, resumed) = (number(&json, "handshakes"), number(&json, "resumed"));
    assert!(all > 10.0 && resumed >= all - 1.0, "all but the first resume: {json}");
}

#[test]
fn workers_share_connections_that_come_by_one_socket() {
    let server = Server::with(&["--workers", "2"]);
    let options = ["--mode", "rps", "--secs", "0.3", "--connections", "50"];
    let json = server.measure(&options);
    assert!(number(&json, "requests") >= 50.0, "{json}");
    let options = ["--mode", "down", "--bytes", "20000000", "--connections", "50"];
    let json = server.measure(&options);
    assert!(json.contains("\"bytes\":20000000,"), "{json}");
}

#[test]
fn idle_connections_all_get_their_answer() {
    let server = Server::start();
    let json = server.measure(&["--mode", "idle", "--secs", "0.1", "--connections", "100"]);
    assert!(json.contains("\"connections\":100,"), "{json}");
    #[cfg(unix)]
    assert!(number(&json, "cpu_seconds") > 0.0 && number(&json, "peak_memory") > 1e6, "{json}");
}

#[test]
fn without_a_server_there_is_an_error() {
    let mut command = Command::new(PERF);
    command.args(["client", "--connect", "127.0.0.1:1", "--mode", "rps"]);
    let output = command.output().expect("the program runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("ended early"), "{output:?}");
}

#[test]
fn files_are_fetched_over_http3() {
    let server =
        Server::run(env!("CARGO_BIN_EXE_quic_simple_server"), &["--listen", "127.0.0.1:0"]);
    let options = ["--bytes", "5000000", "--http3", "/5000000", "--streams", "2"];
    let json = server.measure(&options);
    assert!(json.contains("\"bytes\":10000000,") && number(&json, "gbps") > 0.0, "{json}");
    let options = [
        "--mode",
        "rps",
        "--bytes",
        "1000",
        "--http3",
        "/1000",
        "--streams",
        "20",
        "--secs",
        "0.3",
    ];
    let json = server.measure(&options);
    assert!(number(&json, "requests") >= 20.0, "{json}");
    assert!(number(&json, "p99_us") >= number(&json, "median_us"), "{json}");
    for (path, why) in [("/999", "999 of 1000 bytes"), ("/nothing/here", "404")] {
        let output = server.client(&["--mode", "rps", "--bytes", "1000", "--http3", path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{path}: {said}");
    }
}
