//! The interop endpoints as the runner runs them: environment variables in, files and an exit code
//! out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use protoquic_tools::certificate;

const SERVER: &str = env!("CARGO_BIN_EXE_quic_interop_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_quic_interop_client");

/// A folder of a test's own, with what the runner mounts.
struct Bench {
    root: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interop_{name}"));
        let _ = fs::remove_dir_all(&root);
        for folder in ["www", "certs", "downloads"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let own = certificate::self_made().unwrap();
        fs::write(root.join("certs/cert.pem"), own.pem).unwrap();
        fs::write(root.join("certs/priv.key"), own.key_pem).unwrap();
        Self { root }
    }

    fn file(&self, name: &str, len: usize) {
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        fs::write(self.root.join("www").join(name), bytes).unwrap();
    }

    fn server(&self, case: &str) -> Server {
        // Somebody else may take it before the server does; the kernel gives others first.
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(SERVER)
            .env("PREFERRED_PORT", free.to_string())
            .envs([("ROLE", "server"), ("TESTCASE", case), ("LISTEN", "127.0.0.1:0")])
            .env("WWW", self.root.join("www"))
            .env("CERTS", self.root.join("certs"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        Server { child, port, _out: out }
    }

    fn client(&self, case: &str, port: u16, names: &[&str]) -> Output {
        let urls: Vec<_> =
            names.iter().map(|name| format!("https://127.0.0.1:{port}/{name}")).collect();
        Command::new(CLIENT)
            .envs([("ROLE", "client"), ("TESTCASE", case), ("REQUESTS", &urls.join(" "))])
            .env("DOWNLOADS", self.root.join("downloads"))
            .env("SSLKEYLOGFILE", self.root.join("keys.log"))
            .output()
            .unwrap()
    }

    /// What came is what was there, and nothing else.
    fn check(&self, names: &[&str]) {
        for name in names {
            let came = fs::read(self.root.join("downloads").join(name)).unwrap();
            assert!(came == fs::read(self.root.join("www").join(name)).unwrap(), "{name} differs");
        }
        assert_eq!(fs::read_dir(self.root.join("downloads")).unwrap().count(), names.len());
    }

    /// How many connections the key log tells of.
    fn handshakes(&self) -> usize {
        let keys = fs::read_to_string(self.root.join("keys.log")).unwrap();
        keys.lines().filter(|line| line.starts_with("SERVER_HANDSHAKE_TRAFFIC_SECRET")).count()
    }
}

struct Server {
    child: Child,
    port: u16,
    _out: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a case with these files, and checks them and the number of connections.
fn run(
    bench: &str,
    server_case: &str,
    client_case: &str,
    files: &[(&str, usize)],
    handshakes: usize,
) -> Bench {
    let bench = Bench::new(bench);
    for (name, len) in files {
        bench.file(name, *len);
    }
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    let server = bench.server(server_case);
    let output = bench.client(client_case, server.port, &names);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bench.check(&names);
    assert_eq!(bench.handshakes(), handshakes);
    bench
}

#[test]
fn unsupported_cases_end_with_127() {
    for program in [CLIENT, SERVER] {
        let output = Command::new(program).env("TESTCASE", "xkqzvbnw").output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{program}");
        let output = Command::new(program).env_remove("TESTCASE").output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{program}");
    }
}

#[test]
fn transfer_fetches_all_files_on_one_connection() {
    let files = [("a", 200_000), ("b", 300_000), ("c", 0), ("d", 1)];
    run("transfer", "transfer", "transfer", &files, 1);
}

#[test]
fn many_files_go_beyond_the_stream_limit() {
    let names: Vec<_> = (0..300).map(|n| format!("file{n}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 32)).collect();
    run("many", "transfer", "transfer", &files, 1);
}

#[test]
fn chacha20_and_keyupdate_and_retry_fetch_theirs() {
    run("chacha20", "chacha20", "chacha20", &[("a", 100_000)], 1);
    run("keyupdate", "transfer", "keyupdate", &[("a", 1_000_000)], 1);
    run("retry", "retry", "retry", &[("a", 10_000)], 1);
}

#[test]
fn multiconnect_makes_a_connection_for_each_file() {
    run("multiconnect", "multiconnect", "multiconnect", &[("a", 10), ("b", 10), ("c", 10)], 3);
}

#[test]
fn resumption_makes_two_connections() {
    run("resumption", "resumption", "resumption", &[("a", 5000), ("b", 10_000)], 2);
}

#[test]
fn zerortt_asks_in_early_data() {
    let bench = run("zerortt", "zerortt", "zerortt", &[("a", 5000), ("b", 32), ("c", 32)], 2);
    let keys = fs::read_to_string(bench.root.join("keys.log")).unwrap();
    assert!(keys.contains("CLIENT_EARLY_TRAFFIC_SECRET"));
}

#[test]
fn v2_fetches_its_file() {
    run("v2", "v2", "v2", &[("a", 1000)], 1);
}

#[test]
fn connectionmigration_fetches_its_file_while_moving() {
    run("migration", "connectionmigration", "transfer", &[("a", 1_000_000)], 1);
}

#[test]
fn http3_fetches_over_http3() {
    run("http3", "http3", "http3", &[("a", 5000), ("b", 10_000), ("c", 500_000)], 1);
}

#[test]
fn a_file_that_is_not_there_fails_the_client() {
    let bench = Bench::new("missing");
    let server = bench.server("transfer");
    let output = bench.client("transfer", server.port, &["nothing"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_simulators_probe_is_answered_with_version_negotiation() {
    let bench = Bench::new("probe");
    let server = bench.server("handshake");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut probe = vec![0; 1207];
    probe[..5].copy_from_slice(b"\xc0WAIT");
    socket.send_to(&probe, ("127.0.0.1", server.port)).unwrap();
    let mut answer = [0; 1500];
    let len = socket.recv(&mut answer).unwrap();
    assert!(len > 7);
    assert_eq!((answer[0] & 0x80, &answer[1..5], &answer[5..7]), (0x80, &[0; 4][..], &[0; 2][..]));
}
