//! The programs as people run them: built binaries, real sockets, what they print and how they end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use protoquic::http::{ALPN, ClientExchange, Http3ClientSession, Http3Config, ResponseHandler};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions};

const SERVER: &str = env!("CARGO_BIN_EXE_quic_simple_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_quic_simple_client");
const PERF: &str = env!("CARGO_BIN_EXE_quic_perf");
const ANY: &str = "--disable_certificate_verification";

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    port: u16,
    /// The lines that it printed after its address. Open, so that it can print.
    _out: BufReader<ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        Self::start_program(Command::new(SERVER).args(["--port", "0"]).args(arguments))
    }

    fn start_program(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("listening on "), "{line}");
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port, _out: out }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Its resident memory, in bytes.
    #[cfg(target_os = "linux")]
    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
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

fn client(arguments: &[&str]) -> Output {
    Command::new(CLIENT).args(arguments).output().unwrap()
}

/// The body that a successful fetch brings.
fn fetch(arguments: &[&str]) -> Vec<u8> {
    let output = client(&[&[ANY, "--quiet"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// The one line with which a program says why it failed.
fn failure(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tools").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A certificate for localhost and its key, in files of this folder.
fn certificate(folder: &std::path::Path, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |kind: &str, pem: String| {
        let path = folder.join(format!("{name}.{kind}"));
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    (write("crt", made.cert.pem()), write("key", made.signing_key.serialize_pem()))
}

#[test]
fn serves_its_own_site_to_whoever_comes_without_a_folder() {
    let server = Server::start(&[]);
    assert!(text(&fetch(&[&server.url("/")])).contains("<h1>protoquic is running</h1>"));
    assert!(text(&fetch(&[&server.url("/logo.svg")])).starts_with("<svg"));
    let head = client(&[ANY, "--method", "HEAD", &server.url("/style.css")]);
    assert!(head.stdout.is_empty());
    assert!(text(&head.stderr).contains("HTTP/3 200 OK\ncontent-type: text/css\ncontent-length: "));
    let refused = client(&[ANY, "--quiet", "--method", "DELETE", &server.url("/")]);
    assert!(failure(&refused).contains("405 Method Not Allowed"));
    let missing = client(&[ANY, "--quiet", &server.url("/no/such")]);
    assert!(failure(&missing).contains("404 Not Found"));
}

#[test]
fn fifty_megabytes_come_whole() {
    let server = Server::start(&["--retry"]);
    assert_eq!(fetch(&[&server.url("/50000000")]).len(), 50_000_000);
}

#[test]
fn five_megabytes_come_back_as_they_were_sent() {
    let server = Server::start(&[]);
    let file = folder("echo").join("body");
    let body: Vec<u8> =
        (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&file, &body).unwrap();
    let echo = server.url("/echo");
    assert!(
        fetch(&["--body_file", file.to_str().unwrap(), &echo]) == body,
        "other bytes came back"
    );
    assert_eq!(fetch(&["--body", "spoken", &echo]), b"spoken");
    assert_eq!(fetch(&["--body_hex", "00fF10", &echo]), [0, 255, 16]);
}

#[test]
fn windows_are_chosen_by_name() {
    let file = folder("windows").join("body");
    let body = vec![b'w'; 3_000_000];
    fs::write(&file, &body).unwrap();
    for (of_server, of_client) in
        [("simple-server", "chrome-client"), ("chrome-client", "simple-server")]
    {
        let server = Server::start(&["--windows", of_server]);
        let (path, echo) = (file.to_str().unwrap(), server.url("/echo"));
        assert!(fetch(&["--windows", of_client, "--body_file", path, &echo]) == body);
    }
    let wrong = client(&["--windows", "large", "https://localhost/"]);
    assert!(text(&wrong.stderr).contains("adaptive, chrome-client, simple-server"));
}

#[test]
fn a_client_connects_from_where_it_is_told_to() {
    let server = Server::start(&[]);
    let url = server.url("/1000");
    assert_eq!(fetch(&["--bind_to_address", "127.0.0.1:0", &url]).len(), 1000);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let output = client(&[ANY, "--quiet", "--bind_to_address", &taken, &url]);
    assert!(failure(&output).contains(&taken));
    let output = client(&[ANY, "--quiet", "--bind_to_address", "[::1]:0", &url]);
    assert!(failure(&output).contains("one of them is IPv6"));
}

#[test]
fn a_hundred_requests_share_a_connection() {
    let server = Server::start(&[]);
    let url = server.url("/10000");
    assert_eq!(fetch(&["--num_requests", "100", &url]).len(), 1_000_000);
    let apart = ["--num_requests", "5", "--one_connection_per_request", &url];
    assert_eq!(fetch(&apart).len(), 50_000);
    let other_host = format!("https://127.0.0.1:{}/77", server.port);
    assert_eq!(fetch(&[&url, &other_host]).len(), 10_077);
}

#[test]
fn a_folder_takes_a_file_for_each_response() {
    let server = Server::start(&[]);
    let out = folder("output").join("made");
    let output = ["--output", out.to_str().unwrap()];
    fetch(&[&output[..], &[&server.url("/5"), &server.url("/6"), &server.url("/5")]].concat());
    let len = |name: &str| fs::metadata(out.join(name)).unwrap().len();
    assert_eq!((len("5"), len("6"), len("5.1")), (5, 6, 5));
}

#[test]
fn plain_files_are_served_and_nothing_beside_them() {
    let root = folder("files");
    let site = root.join("site");
    fs::create_dir_all(site.join("sub")).unwrap();
    fs::write(root.join("secret"), "no").unwrap();
    fs::write(site.join("a b.css"), "p { }").unwrap();
    fs::write(site.join("sub/index.html"), "index").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("secret"), site.join("link")).unwrap();
    let server = Server::start(&["--quic_response_cache_dir", site.to_str().unwrap()]);
    assert_eq!(fetch(&[&server.url("/a%20b.css")]), b"p { }");
    assert_eq!(fetch(&[&server.url("/sub/")]), b"index");
    let output = client(&[ANY, &server.url("/a%20b.css")]);
    assert!(text(&output.stderr).contains("content-type: text/css\ncontent-length: 5\n"));
    let moved = client(&[ANY, &server.url("/sub")]);
    assert!(text(&moved.stderr).contains("location: /sub/\n"), "{}", text(&moved.stderr));
    for path in ["/../secret", "/%2e%2e/secret", "/link", "/5"] {
        let output = client(&[ANY, "--quiet", &server.url(path)]);
        assert!(failure(&output).contains("404 Not Found"), "{path}");
    }
    let later = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_hours(600_000));
    let headers = format!("if-modified-since: {later}");
    let fresh = client(&[ANY, "--headers", &headers, &server.url("/sub/")]);
    assert!(text(&fresh.stderr).contains("304 Not Modified") && fresh.stdout.is_empty());
    assert_eq!(fetch(&["--body", "x", &server.url("/echo")]), b"x");
}

#[test]
fn recorded_sites_push_what_they_name() {
    let site = folder("pushes");
    fs::create_dir_all(site.join("localhost")).unwrap();
    let head = "HTTP/1.1 200 OK\r\nX-Push-Url: /style.css\r\n\r\n";
    fs::write(site.join("localhost/index.html"), format!("{head}home")).unwrap();
    fs::write(site.join("localhost/style.css"), "HTTP/1.1 200 OK\r\n\r\nstyle").unwrap();
    let server = Server::start(&["--quic_response_cache_dir", site.to_str().unwrap()]);
    let (url, out) = (server.url("/"), folder("pushed"));
    let output = client(&[ANY, "--push", "5", "--output", out.to_str().unwrap(), &url]);
    let line = format!("push 0: GET {url}style.css: 200 OK, 5 bytes\n");
    assert!(text(&output.stderr).contains(&line), "{}", text(&output.stderr));
    assert_eq!(fs::read(out.join("style.css")).unwrap(), b"style");
    assert_eq!(fs::read(out.join("index.html")).unwrap(), b"home");
    assert!(!text(&client(&[ANY, &url]).stderr).contains("push"));
}

#[test]
fn recorded_sites_are_served_by_host() {
    let site = folder("recorded");
    fs::create_dir_all(site.join("www.example.org")).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/x-recorded\r\nTransfer-Encoding: chunked\r\n";
    fs::write(site.join("www.example.org/index.html"), format!("{head}\r\nhome")).unwrap();
    let original = "X-Original-Url: https://elsewhere.example/q?a=1\r\n";
    fs::write(site.join("www.example.org/q"), format!("{head}{original}\r\nquery")).unwrap();
    let folder = site.to_str().unwrap();
    let server =
        Server::start(&["--quic_response_cache_dir", folder, "--generate_dynamic_responses"]);
    let port = server.port.to_string();
    let to = ["--host", "127.0.0.1", "--port", &port];
    assert_eq!(fetch(&[&to[..], &["https://www.example.org/"]].concat()), b"home");
    assert_eq!(fetch(&[&to[..], &["https://elsewhere.example/q?a=1"]].concat()), b"query");
    assert_eq!(fetch(&[&server.url("/9")]).len(), 9);
    let shown = client(&[&to[..], &[ANY, "https://www.example.org/"]].concat());
    assert!(text(&shown.stderr).contains("content-type: text/x-recorded\n"));
}

#[test]
fn what_a_session_cache_remembers_spares_the_retry() {
    let folder = folder("session_cache");
    let (cache, secret) = (folder.join("cache"), folder.join("secret"));
    let (cache, secret) = (cache.to_str().unwrap(), secret.to_str().unwrap());
    let retries = |log: &PathBuf| {
        let mut program = Command::new(SERVER);
        program.args(["--port", "0", "--retry", "--secret_file", secret]);
        program.env("RUST_LOG", "protoquic_dispatcher=trace");
        let server = Server::start_program(program.stderr(fs::File::create(log).unwrap()));
        fetch(&["--session_cache", cache, &server.url("/")]);
        fs::read_to_string(log).unwrap().matches("stateless answer").count()
    };
    assert_eq!(retries(&folder.join("first")), 1);
    let remembered = fs::read_to_string(cache).unwrap();
    let line = remembered.lines().nth(1).unwrap();
    assert!(line.starts_with("localhost 6833:"), "HTTP settings: {line}");
    assert!(line.split(' ').count() >= 3, "a token: {line}");
    assert_eq!(retries(&folder.join("second")), 0, "of another server with the same secret");
    assert_ne!(fs::read_to_string(cache).unwrap(), remembered, "no token is used twice");
}

#[test]
fn connections_one_after_another_resume_and_send_early_data() {
    let url = |server: &Server| server.url("/");
    let run = |server: &Server, options: &[&str]| {
        let common = [ANY, "--num_requests", "2", "--one_connection_per_request"];
        let output = client(&[&common, options, &[&url(server)]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let said = run(&Server::start(&["--early_data"]), &["--early_data"]);
    assert!(said.contains("the session was resumed, early data was accepted"), "{said}");
    let said = run(&Server::start(&[]), &[]);
    assert!(said.contains("the session was resumed\n"), "{said}");
}

#[test]
fn certificates_are_believed_only_from_known_authorities() {
    let folder = folder("certificates");
    let (certificate, key) = certificate(&folder, "one");
    let server = Server::start(&["--certificate_file", &certificate, "--key_file", &key]);
    let known = client(&["--quiet", "--ca_file", &certificate, &server.url("/12")]);
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert_eq!(known.stdout.len(), 12);
    let (other, _) = self::certificate(&folder, "other");
    let unknown = client(&["--quiet", "--ca_file", &other, &server.url("/12")]);
    let said = failure(&unknown);
    assert!(said.contains("the certificate of localhost is not to be trusted"), "{said}");
    let wrong_name = format!("https://127.0.0.1:{}/", server.port);
    let misnamed = client(&["--quiet", "--ca_file", &certificate, &wrong_name]);
    assert!(failure(&misnamed).contains("the certificate of 127.0.0.1 is not to be trusted"));
}

#[test]
fn the_server_says_in_one_line_why_it_cannot_start() {
    let folder = folder("bad_server");
    let (certificate, _) = certificate(&folder, "one");
    let (_, other_key) = self::certificate(&folder, "other");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = |arguments: &[&str]| failure(&Command::new(SERVER).args(arguments).output().unwrap());
    let files = |certificate: &str, key: &str| {
        run(&["--port", "0", "--certificate_file", certificate, "--key_file", key])
    };
    assert!(files("/no/such.pem", &other_key).contains("/no/such.pem"));
    assert!(files(&certificate, "/no/such.key").contains("/no/such.key"));
    assert!(files(&other_key, &certificate).contains("certificate"));
    assert!(files(&certificate, &other_key).contains("does not belong to the certificate"));
    assert!(run(&["--port", &port]).contains("another program has this port"));
    assert!(run(&["--port", "0", "--quic_response_cache_dir", "/no/such"]).contains("/no/such"));
}

#[test]
fn the_client_says_in_one_line_why_it_cannot_fetch() {
    let run = |arguments: &[&str]| failure(&client(&[&[ANY, "--quiet"], arguments].concat()));
    assert!(run(&["http://localhost/"]).contains("HTTP/3 has https, not http"));
    assert!(run(&["localhost"]).contains("must begin with https://"));
    assert!(run(&["https:///path"]).contains("not a URL"));
    assert!(run(&["https://no.such.host.invalid/"]).contains("cannot find the host"));
    assert!(run(&["https://localhost/", "--headers", "nonsense"]).contains("nonsense"));
    assert!(run(&["https://localhost/", "--body_hex", "xy"]).contains("--body_hex"));
    assert!(run(&["https://localhost/", "--body_file", "/no/such"]).contains("/no/such"));
    let no_authorities = client(&["https://localhost/", "--ca_file", "/no/such"]);
    assert!(failure(&no_authorities).contains("/no/such"));
}

#[test]
fn a_server_of_another_protocol_is_told_from_a_silent_one() {
    let perf = ["server", "--listen", "127.0.0.1:0"];
    let server = Server::start_program(Command::new(PERF).args(perf));
    let refused = client(&[ANY, "--quiet", &server.url("/")]);
    assert!(failure(&refused).contains("does not speak h3"));
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let impatient = client(&[ANY, "--quiet", "--timeout", "1", &url]);
    assert!(failure(&impatient).contains("1 s"), "{}", text(&impatient.stderr));
    let patient = client(&[ANY, "--quiet", &url]);
    assert!(failure(&patient).contains("within 10 s; is an HTTP/3 server listening there?"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_lets_running_requests_end() {
    let mut server = Server::start(&[]);
    let mut running = Command::new(CLIENT)
        .args([ANY, "--quiet", &server.url("/300000000")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    let mut len = out.fill_buf().unwrap().len() as u64;
    out.consume(len as usize);
    server.interrupt();
    len += std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    assert_eq!(len, 300_000_000);
    assert!(running.wait().unwrap().success());
    assert!(server.child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_stops_the_server_at_once() {
    let mut command = Command::new(SERVER);
    let mut server = Server::start_program(command.args(["--port", "0"]).stderr(Stdio::piped()));
    // A request without an end: nobody takes what the client brings.
    let mut running = Command::new(CLIENT)
        .args([ANY, "--quiet", &server.url("/100000000000")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    assert!(!out.fill_buf().unwrap().is_empty());
    server.interrupt();
    let mut line = String::new();
    BufReader::new(server.child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("draining"), "{line}");
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the request");
    server.interrupt();
    assert!(server.child.wait().unwrap().success());
    running.kill().unwrap();
    running.wait().unwrap();
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

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_connections_at_once_get_their_answers() {
    const CONNECTIONS: usize = 1000;
    let server = Server::start(&[]);
    let address = ([127, 0, 0, 1], server.port).into();
    let options = ClientOptions::believing_anyone(address, ALPN).unwrap();
    fetch(&[&server.url("/")]); // whatever is made once is made
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
