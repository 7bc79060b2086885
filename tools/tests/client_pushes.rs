//! What the client takes of pushes, from servers that push without end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::http::ALPN;
use protoquic::{Config, FnFactory, Host, SessionHost};
use protoquic_tests::http3::{CONTROL, GET, data, frame, headers, server_config, varint};
use protoquic_tests::raw::{End, RawPeer, Script, bidi, uni};
use protoquic_tests::tls;
use protoquic_tools::client::{
    Destination, FetchOptions, Outcome, PushLimits, RequestBody, fetch_all,
};
use protoquic_tools::endpoint::ServerEndpoint;

/// A server that promises `/0`, `/1` and so on, and begins these bodies without an end.
struct Pusher {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pusher {
    fn start(bodies: &[usize]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let (until, bodies) = (Arc::clone(&is_over), bodies.to_vec());
        let thread = std::thread::spawn(move || {
            let mut server = endpoint(bodies);
            tell.send(server.address().port()).unwrap();
            while !until.load(Ordering::SeqCst) {
                server.run_once(Some(Duration::from_millis(10))).unwrap();
            }
        });
        Self { port: told.recv().unwrap(), is_over, thread: Some(thread) }
    }

    fn fetch(&self, folder: &Path, push_limits: PushLimits) -> Outcome {
        let url = Uri::from_static("https://localhost/");
        let options = FetchOptions {
            address: ([127, 0, 0, 1], self.port).into(),
            local: None,
            server_name: "localhost".try_into().unwrap(),
            config: Arc::new(Config::default()),
            tls: tls::client(&[ALPN]),
            qlog: None,
            method: None,
            headers: HeaderMap::new(),
            body: RequestBody::None,
            destination: Destination::at(folder, 2).unwrap(),
            quiet: true,
            timeout: None,
            update_keys: false,
            pushes: 10,
            push_limits,
        };
        fetch_all(&[url], &options).unwrap().remove(0)
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn endpoint(bodies: Vec<usize>) -> ServerEndpoint {
    let factory = FnFactory::new(&[ALPN], server_config(), move |connection| {
        let numbers = 0..bodies.len() as u64;
        let promises = numbers.clone().flat_map(promise);
        let answer: Vec<u8> = promises.chain(headers(&[(":status", "200")])).collect();
        let pushes = numbers.zip(&bodies).map(|(number, len)| push(number, *len));
        let mut peer = RawPeer::new(std::iter::once(uni(CONTROL)).chain(pushes));
        peer.answers.push_back(bidi(answer));
        Box::new(SessionHost::new(connection, peer)) as Box<dyn Host>
    });
    let address = ([127, 0, 0, 1], 0).into();
    ServerEndpoint::bind(address, DispatcherConfig::default(), vec![Box::new(factory)]).unwrap()
}

fn promise(number: u64) -> Vec<u8> {
    let framed = headers(&[GET[0], GET[1], GET[2], (":path", &format!("/{number}"))]);
    let section = &framed[if framed[1] < 64 { 2 } else { 3 }..];
    frame(5, &[&varint(number)[..], section].concat())
}

fn push(number: u64, len: usize) -> Script {
    let head = headers(&[(":status", "200")]);
    let stream = [&[1][..], &varint(number), &head, &data(&vec![b'x'; len])].concat();
    uni(stream).ending(End::Open)
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pushes-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn pushes_that_do_not_end_are_given_up() {
    let (server, out) = (Pusher::start(&[5, 5]), folder("time"));
    let limits = PushLimits { time: Duration::from_millis(300), ..PushLimits::default() };
    assert_eq!(server.fetch(&out, limits), Ok(StatusCode::OK));
    assert_eq!(std::fs::read(out.join("1")).unwrap(), b"xxxxx");
}

#[test]
fn pushes_of_too_many_bytes_are_cancelled() {
    let (server, out) = (Pusher::start(&[300_000]), folder("bytes"));
    let limits = PushLimits { bytes: 100_000, time: FOREVER, ..PushLimits::default() };
    assert_eq!(server.fetch(&out, limits), Ok(StatusCode::OK));
    assert!(std::fs::metadata(out.join("0")).unwrap().len() <= 100_000);
}

#[test]
fn too_many_pushes_are_refused() {
    let (server, out) = (Pusher::start(&[5, 300_000, 5]), folder("number"));
    let limits = PushLimits { pushes: 1, time: Duration::from_millis(300), bytes: 1000 };
    assert_eq!(server.fetch(&out, limits), Ok(StatusCode::OK));
    assert!(out.join("0").exists() && !out.join("1").exists() && !out.join("2").exists());
}

/// As long as a test may take: it would not end by itself.
const FOREVER: Duration = Duration::from_hours(1);
