//! Many streams over many connections from many threads, with timeouts and closes at random: nothing
//! hangs, nothing is lost, nothing stays. `STREAMS=10000 CONNECTIONS=100` is the full size; debug
//! builds do a tenth of it unless told otherwise. `SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{LONG, connect, listen, pattern};
use protoquic_blocking::{App, ApplicationError, Connection, Direction, Stream};
use protoquic_core::{RandomGenerator, SeededRandom};

const THREADS: usize = 8;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What one thread does, and counts.
struct Worker {
    random: SeededRandom,
    /// Bytes that came back, each checked.
    echoed: usize,
    /// Streams whose echo was whole.
    whole: usize,
    /// Streams that were abandoned.
    abandoned: usize,
    timeouts: usize,
}

impl Worker {
    fn below(&mut self, limit: usize) -> usize {
        self.random.next_u64() as usize % limit
    }

    fn run(&mut self, connections: &[Connection], next: &AtomicUsize, streams: usize) {
        while next.fetch_add(1, Ordering::Relaxed) < streams {
            let connection = &connections[self.below(connections.len())];
            let stream = connection.open(Direction::Bidirectional).unwrap();
            self.use_stream(stream);
        }
    }

    fn use_stream(&mut self, stream: Stream) {
        let timeout = Duration::from_micros(1 + self.below(3000) as u64);
        stream.set_read_timeout(Some(timeout)).unwrap();
        stream.set_write_timeout(Some(timeout)).unwrap();
        let data = pattern(self.below(40_000), self.below(251));
        let until = if self.below(10) == 0 { self.below(data.len() + 1) } else { usize::MAX };
        let (mut sent, mut echo) = (0, Vec::new());
        let mut buffer = vec![0; 1 + self.below(20_000)];
        let mut finished = false;
        while sent + echo.len() < until {
            if sent < data.len() {
                let piece = &data[sent..data.len().min(sent + 1 + self.below(20_000))];
                sent += self.unless_late((&stream).write(piece)).unwrap_or(0);
            } else if !finished {
                stream.finish().unwrap();
                finished = true;
            }
            match self.unless_late((&stream).read(&mut buffer)) {
                Some(0) => break,
                Some(len) => echo.extend_from_slice(&buffer[..len]),
                None => {}
            }
        }
        assert!(data.starts_with(&echo), "a byte is wrong or out of place");
        self.echoed += echo.len();
        if until == usize::MAX {
            assert_eq!(echo.len(), data.len(), "a byte is lost");
            self.whole += 1;
        } else {
            self.abandoned += 1;
            match self.below(3) {
                0 => stream.reset(ApplicationError(1)).unwrap_or(()),
                1 => stream.stop(ApplicationError(2)).unwrap(),
                _ => {} // dropped as it is
            }
        }
    }

    fn unless_late(&mut self, result: std::io::Result<usize>) -> Option<usize> {
        match result {
            Ok(len) => Some(len),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                self.timeouts += 1;
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends everything back, a thread for each connection and one stream after the other in turns.
fn serve(connection: &Connection) {
    std::thread::scope(|scope| {
        while let Ok(stream) = connection.accept() {
            scope.spawn(move || {
                stream.set_read_timeout(Some(LONG)).unwrap();
                stream.set_write_timeout(Some(LONG)).unwrap();
                // An error: the client has abandoned it, or its connection.
                if std::io::copy(&mut &stream, &mut &stream).is_ok() {
                    let _ = stream.finish();
                } else {
                    let _ = stream.reset(ApplicationError(3));
                }
            });
        }
    });
}

#[test]
fn no_deadlock_no_leak_no_lost_byte() {
    let scale = if cfg!(debug_assertions) { 10 } else { 1 };
    let streams = number("STREAMS", 10_000 / scale);
    let count = number("CONNECTIONS", 100 / scale);
    let seed = number("SEED", std::process::id() as usize);
    println!("SEED={seed} STREAMS={streams} CONNECTIONS={count}");
    let (server, client) = (App::new(), App::new());
    let (listener, uri) = listen(&server);
    let connections: Vec<_> = (0..count).map(|_| connect(&client, &uri)).collect();
    let accepted: Vec<_> = (0..count).map(|_| listener.accept().unwrap()).collect();
    let next = AtomicUsize::new(0);
    let mut totals = [0; 4];
    std::thread::scope(|scope| {
        for connection in &accepted {
            scope.spawn(|| serve(connection));
        }
        let work = |thread: usize| {
            let random = SeededRandom::new((seed * THREADS + thread) as u64);
            let (connections, next) = (&connections, &next);
            scope.spawn(move || {
                let mut worker = Worker { random, echoed: 0, whole: 0, abandoned: 0, timeouts: 0 };
                worker.run(connections, next, streams);
                [worker.echoed, worker.whole, worker.abandoned, worker.timeouts]
            })
        };
        let workers: Vec<_> = (0..THREADS).map(work).collect();
        for worker in workers {
            for (total, own) in totals.iter_mut().zip(worker.join().unwrap()) {
                *total += own;
            }
        }
        assert_eq!(client.handles(), count, "only the connections are left");
        // Half of the connections are closed by the client, half by the server.
        for (at, connection) in connections.iter().enumerate() {
            let closing = if at % 2 == 0 { connection } else { &accepted[at] };
            let at_once = at % 4 < 2;
            closing.shut_down(ApplicationError(0), "done", at_once).unwrap();
        }
        for connection in connections.iter().chain(&accepted) {
            connection.wait_closed().unwrap();
        }
    });
    let [echoed, whole, abandoned, timeouts] = totals;
    println!("{whole} streams whole, {abandoned} abandoned, {echoed} bytes, {timeouts} timeouts");
    assert_eq!(whole + abandoned, streams);
    assert!(timeouts > 0, "no wait was ever too short");
    drop((connections, accepted, listener));
    assert_eq!((client.handles(), server.handles()), (0, 0));
}
