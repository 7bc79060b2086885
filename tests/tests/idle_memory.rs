//! How much memory a server keeps for a connection that has nothing to do. A file of its own, for
//! it counts every allocation of the process.

use std::rc::Rc;
use std::time::Duration;

use dhat::{Alloc, HeapStats, Profiler};
use http::{Request, StatusCode};
use protoquic::http::{ALPN, Http3ClientSession, Http3Config, MemoryBackend};
use protoquic_tests::http3::{Collector, factory};
use protoquic_tests::net::{Link, Net};

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

const CONNECTIONS: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

/// What the server frees with its sessions, for each of them.
fn memory_of_a_session(net: &mut Net<Http3ClientSession>) -> usize {
    net.clients.clear();
    assert_eq!(net.server.stats().sessions, CONNECTIONS);
    let before = HeapStats::get().curr_bytes;
    net.server.forget_everything();
    (before - HeapStats::get().curr_bytes) / CONNECTIONS
}

/// As many clients, each with a request that was answered so long ago.
fn after(silence: Duration) -> usize {
    let mut backend = MemoryBackend::new();
    backend.add_simple_response("localhost", "/", StatusCode::OK, "x".repeat(1000));
    let mut net = Net::new(4, Link::default(), factory(backend));
    let mut outcomes = Vec::new();
    for _ in 0..CONNECTIONS {
        let session = Http3ClientSession::new(Http3Config::default());
        let client = net.connect_simply(ALPN, session);
        let handler = Box::new(Collector::default());
        outcomes.push(Rc::clone(&handler.outcome));
        let request = Request::get("https://localhost/").body(()).expect("it is well formed");
        let sent = net.clients[client]
            .enter(net.now, |session, cx| session.send_request(cx, request, handler));
        assert!(sent.is_ok());
    }
    net.kick();
    assert!(net.run_until(SECOND, |_| outcomes.iter().all(|outcome| outcome.borrow().is_over())));
    net.run_for(silence);
    memory_of_a_session(&mut net)
}

#[test]
fn an_idle_connection_gives_memory_back() {
    let _counting = Profiler::builder().testing().build();
    let (busy, idle) = (after(SECOND / 20), after(3 * SECOND));
    println!("a session takes {busy} bytes after a request, {idle} when it is idle");
    assert!(busy <= 20 * 1024, "{busy} bytes: the handshake's go when it is over");
    assert!(idle <= 8 * 1024, "{idle} bytes");
    assert!(idle * 3 < busy * 2, "{idle} of {busy} bytes");
}
