//! The programs as their users run them: real processes, real sockets, loopback, no fixed ports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use protoquic::Config;
use protoquic::crypto::{ClientTls, ServerTrust};
use protoquic::http::{ALPN, ClientExchange, Http3ClientSession, Http3Config, ResponseHandler};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions};

/// A server that ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_quic_simple_server"))
            .args(["--port", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address: SocketAddr = first.strip_prefix("listening on ").unwrap().parse().unwrap();
        // The rest is read so that the server never writes to a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port: address.port() }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Its resident memory, in bytes.
    fn memory(&self) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quic_simple_client")).args(options).output().unwrap()
}

/// A client that believes any certificate.
fn fetch(options: &[&str]) -> Output {
    client(&[&["--disable_certificate_verification", "--quiet"], options].concat())
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The one line that a failed program says.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_embedded_site_is_served() {
    let server = Server::start(&[]);
    let output = fetch(&[&server.url("/")]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("protoquic is running"));
}

#[test]
fn generated_bytes_and_echo_come_back_whole() {
    let server = Server::start(&[]);
    assert_eq!(fetch(&[&server.url("/5000000")]).stdout.len(), 5_000_000);
    let body = folder("echo").join("body");
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| ((n * 31) >> 7) as u8).collect();
    std::fs::write(&body, &bytes).unwrap();
    let output = fetch(&["--body_file", body.to_str().unwrap(), &server.url("/echo")]);
    assert!(output.status.success() && output.stdout == bytes);
}

#[test]
fn files_are_served_and_saved() {
    let from = folder("site");
    std::fs::write(from.join("a.txt"), "the first").unwrap();
    std::fs::write(from.join("b.txt"), "the second").unwrap();
    let server = Server::start(&["--quic_response_cache_dir", from.to_str().unwrap()]);
    let to = folder("saved");
    let urls = [server.url("/a.txt"), server.url("/b.txt")];
    assert!(fetch(&["--output", to.to_str().unwrap(), &urls[0], &urls[1]]).status.success());
    assert_eq!(std::fs::read(to.join("b.txt")).unwrap(), b"the second");
    let missing = fetch(&[&server.url("/c.txt")]);
    assert!(complaint(&missing).contains("404"));
}

#[test]
fn a_hundred_requests_share_a_connection_and_retry_works() {
    let server = Server::start(&["--retry"]);
    let output = fetch(&["--num_requests", "100", "--drop_response_body", &server.url("/10000")]);
    assert!(output.status.success());
}

#[test]
fn bad_input_is_told_in_one_clear_line() {
    let server = Server::start(&[]);
    let unknown = complaint(&client(&[&server.url("/")]));
    assert!(unknown.contains("certificate"), "{unknown}");
    let scheme = complaint(&fetch(&["http://localhost/"]));
    assert!(scheme.contains("https"), "{scheme}");
    let url = complaint(&fetch(&["not a url"]));
    assert!(url.contains("not a URL"), "{url}");
    let host = complaint(&fetch(&["https://no-such-host.invalid/"]));
    assert!(host.contains("cannot find the host"), "{host}");
    let run = |options: &[&str]| {
        let program = env!("CARGO_BIN_EXE_quic_simple_server");
        complaint(&Command::new(program).args(options).output().unwrap())
    };
    let busy = run(&["--port", &server.port.to_string()]);
    assert!(busy.contains("another program has this port"), "{busy}");
    let unreadable = run(&["--certificate_file", "/nowhere", "--key_file", "/nowhere"]);
    assert!(unreadable.contains("cannot read"), "{unreadable}");
    for text in [unknown, scheme, url, host, busy, unreadable] {
        assert!(text.lines().count() <= 2, "{text}");
    }
}

#[test]
fn a_certificate_and_another_ones_key_are_refused() {
    let place = folder("mismatch");
    let write = |name: &str| {
        let made = protoquic_tools::certificate::self_made().unwrap();
        let (cert, key) = (place.join(format!("{name}.pem")), place.join(format!("{name}.key")));
        std::fs::write(&cert, &made.pem).unwrap();
        std::fs::write(&key, &made.key_pem).unwrap();
        (cert, key)
    };
    let ((cert, _), (_, key)) = (write("one"), write("two"));
    let output = Command::new(env!("CARGO_BIN_EXE_quic_simple_server"))
        .arg("--certificate_file")
        .arg(&cert)
        .arg("--key_file")
        .arg(&key)
        .output()
        .unwrap();
    let complaint = complaint(&output);
    assert!(complaint.contains("does not belong to the certificate"), "{complaint}");
}

/// Notes that its response came whole.
struct Note(Rc<Cell<usize>>);

impl ResponseHandler for Note {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        assert_eq!(response.status(), 200);
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_thousand_connections_at_once_get_their_answers() {
    const CONNECTIONS: usize = 1000;
    let server = Server::start(&[]);
    let tls = ClientTls {
        provider: None,
        trust: ServerTrust::AnyCertificate,
        alpn: vec![ALPN.to_vec()],
        identity: None,
        key_log: false,
    };
    let options = ClientOptions {
        server_name: "localhost".try_into().unwrap(),
        address: ([127, 0, 0, 1], server.port).into(),
        config: Arc::new(Config::default()),
        tls: Arc::new(tls.build().unwrap()),
    };
    assert!(fetch(&[&server.url("/")]).status.success()); // whatever is made once is made
    let before = server.memory();
    let done = Rc::new(Cell::new(0));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let session = |_| Http3ClientSession::new(Http3Config::default());
        let mut client = ClientEndpoint::connect(options.clone(), session).unwrap();
        let handler = Box::new(Note(done.clone()));
        let request = Request::get(server.url("/1000")).body(()).unwrap();
        client.enter(|session, cx| session.send_request(cx, request, handler)).unwrap();
        client.run_once(Some(Duration::ZERO)).unwrap();
        clients.push(client);
    }
    for _ in 0..10_000 {
        if done.get() == CONNECTIONS {
            break;
        }
        for client in &mut clients {
            client.run_once(Some(Duration::ZERO)).unwrap();
            assert!(client.close_reason().is_none(), "{:?}", client.close_reason());
        }
    }
    assert_eq!(done.get(), CONNECTIONS);
    let each = server.memory().saturating_sub(before) / CONNECTIONS;
    println!("the server keeps {each} bytes for each of {CONNECTIONS} connections");
    assert!(each < 100_000, "{each} bytes for a connection");
}
