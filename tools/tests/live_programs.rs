//! `quic_live_server` and `quic_live_client` as people run them: over the loopback, with files, a
//! pipe and commands. What is sent and when is tested in virtual time, in `live.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use protoquic_tools::certificate;
use protoquic_tools::live::{Codec, SyntheticVideo, VideoSpec};

const SERVER: &str = env!("CARGO_BIN_EXE_quic_live_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_quic_live_client");

/// A folder with a certificate and a video.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let made = certificate::self_made().unwrap();
        std::fs::write(folder.join("cert.pem"), made.pem).unwrap();
        std::fs::write(folder.join("key.pem"), made.key_pem).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    fn video(&self, frames: usize) -> Vec<u8> {
        let spec = VideoSpec { codec: Codec::H264, frames, ..VideoSpec::default() };
        let bytes = SyntheticVideo::new(1, spec).bytes().to_vec();
        std::fs::write(self.path("video.h264"), &bytes).unwrap();
        bytes
    }

    fn serve(&self, arguments: &[&str]) -> Server {
        let mut child = Command::new(SERVER)
            .args(["-a", "127.0.0.1", "-p", "0", "-c", &self.path("cert.pem")])
            .args(["-k", &self.path("key.pem")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
        let port = line.trim().rsplit(':').next().unwrap().to_owned();
        let rest = std::thread::spawn(move || said.lines().map_while(Result::ok).collect());
        Server { child, port, rest: Some(rest) }
    }

    fn client(&self, server: &Server, arguments: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.args(["-a", "127.0.0.1", "-p", &server.port, "-c", &self.path("cert.pem")]);
        command.args(arguments);
        command
    }

    fn watch(&self, server: &Server, arguments: &[&str]) -> Output {
        let output = self.client(server, arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    }
}

struct Server {
    child: Child,
    port: String,
    rest: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Server {
    /// Waits for its end. Returns what it said.
    fn end(mut self) -> String {
        let status = self.child.wait().unwrap();
        let said = self.rest.take().unwrap().join().unwrap().join("\n");
        assert!(status.success(), "{said}");
        said
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
fn standard_output_is_the_video_and_nothing_else_in_every_mode() {
    let place = Place::new("stdout");
    let video = place.video(40);
    for mode in ["stream", "frames", "datagrams"] {
        let server = place.serve(&["-i", &place.path("video.h264"), "-f", "100", "-r", "2"]);
        let output = place.watch(&server, &["--mode", mode, "--parity", "20"]);
        assert!(output.stdout == [&video[..], &video].concat(), "{mode}");
        let said = text(&output.stderr);
        assert!(said.contains("H.264, 100.000 frames a second"), "{said}");
        assert!(said.contains("on-time%") && said.contains("80 of 80 frames sent"), "{said}");
        let said = server.end();
        assert!(
            said.contains(&format!("mode {mode}")) && said.contains("80 frames sent"),
            "{said}"
        );
    }
}

#[test]
fn several_viewers_have_a_file_each_and_the_numbers_are_written_down() {
    let place = Place::new("files");
    let video = place.video(40);
    let input = place.path("video.h264");
    let log = place.path("server.log");
    let server = place.serve(&["-i", &input, "-f", "100", "--viewers", "3", "-l", &log]);
    let names = ["out.h264", "client.log", "frames.csv", "plot.svg"].map(|name| place.path(name));
    let [out, log, csv, plot] = &names;
    let arguments = ["--mode", "frames", "--viewers", "3", "-o", out, "-l", log, "--csv", csv];
    let output = place.watch(&server, &[&arguments[..], &["--plot", plot, "--quiet"]].concat());
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    server.end();
    for number in 0..3 {
        assert!(place.read(&format!("out.h264.{number}")) == video, "viewer {number}");
    }
    let csv = place.text("frames.csv");
    assert_eq!(csv.lines().count(), 1 + 3 * 40);
    assert!(csv.lines().next().unwrap().starts_with("viewer,sequence,number,kind,bytes,due_ms"));
    assert!(csv.contains("\n2,39,39,disposable,"), "{csv}");
    assert!(place.text("plot.svg").contains("mode frames, 3 viewers"));
    assert!(place.text("client.log").contains("viewer 2: connected"));
    let said = place.text("server.log");
    assert!(said.contains("viewer 3: watches from frame 0 on; mode frames"), "{said}");
}

#[test]
fn a_video_is_taken_from_a_pipe_and_commands_from_another() {
    let place = Place::new("pipe");
    let video = place.video(100);
    let mut server = place.serve(&["-i", "-", "-f", "50"]);
    let mut input = server.child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(&video));
    let mut client = place.client(&server, &["--interactive", "-o", &place.path("out")]);
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut commands = client.stdin.take().unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut await_line = |what: &str| said.any(|line| line.contains(what));
    assert!(await_line("50.000 frames a second"));
    commands.write_all(b"skip disposable\nbitrate 9000\nnonsense\n").unwrap();
    assert!(await_line("no bitrate, skip disposable"));
    assert!(await_line("bitrate 9000 kbit/s, skip disposable"));
    commands.write_all(b"pause\n").unwrap();
    assert!(await_line("paused"));
    commands.write_all(b"resume\n").unwrap();
    assert!(await_line("bitrate 9000 kbit/s, skip disposable"));
    commands.write_all(b"quit\n").unwrap();
    assert!(await_line("in total, mode stream"));
    assert!(client.wait().unwrap().success());
    feeder.join().unwrap().unwrap();
    let said = server.end();
    assert!(said.contains("; 4 requests") && !said.contains("Pause"), "{said}");
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let place = Place::new("errors");
    std::fs::write(place.path("video.mp4"), b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2").unwrap();
    std::fs::write(place.path("empty.h265"), b"").unwrap();
    let refuse = |program: &str, arguments: &[&str], why: &str| {
        let output = Command::new(program).args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(output.stdout.is_empty());
    };
    refuse(SERVER, &["-i", &place.path("video.mp4")], "not with an Annex B start code");
    refuse(SERVER, &["-i", &place.path("empty.h265")], "the file is empty");
    refuse(SERVER, &["-i", &place.path("missing.h265")], "cannot open");
    refuse(SERVER, &["-i", "-", "-f", "0"], "0.1 to 1000 frames a second");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let busy = format!("quic_live_server: cannot listen on 127.0.0.1:{port}: Address already");
    refuse(SERVER, &["-i", "-", "-a", "127.0.0.1", "-p", &port], &busy);
    refuse(CLIENT, &["--mode", "pigeon"], "it is stream, frames or datagrams");
    let any = "--disable-certificate-verification";
    refuse(CLIENT, &[any, "-p", "0"], "no server is at 127.0.0.1:0: give the port");
    refuse(CLIENT, &[any, "--plot", &place.path("no/such.svg")], "cannot write");
    refuse(CLIENT, &["-c", &place.path("missing.pem")], "cannot read certificates");
    let server = place.serve(&["-i", "-"]);
    let other = certificate::self_made().unwrap();
    std::fs::write(place.path("other.pem"), other.pem).unwrap();
    let wrong = ["-a", "127.0.0.1", "-p", &server.port, "-c", &place.path("other.pem")];
    refuse(CLIENT, &wrong, "the connection ended early");
    refuse(CLIENT, &wrong, "; give the file of the server's certificate");
}
