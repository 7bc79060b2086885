//! The client: a thread for each stream, and figures at the end.

use std::fmt;
use std::io::{self, Read as _};
use std::thread;
use std::time::Duration;

use protoquic::blocking::{Connection, Direction};
use protoquic::readers::SystemClock;
use protoquic::{Clock as _, Time};

use super::{Header, Mode, Pattern};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct TestPlan {
    /// What the streams are for.
    pub mode: Mode,
    /// How many there are at once.
    pub streams: usize,
    /// How many writes each makes.
    pub writes: u64,
    /// How many bytes each write has.
    pub write_size: usize,
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub struct TestReport {
    plan: TestPlan,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received, every one verified.
    pub received: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let rate = |bytes: u64| bytes as f64 / seconds / 1e6;
        let TestPlan { mode, streams, .. } = self.plan;
        let (sent, received) = (self.sent, self.received);
        write!(f, "{}: {streams} streams, {sent} bytes sent ", mode.name())?;
        write!(f, "({:.1} MB/s), ", rate(sent))?;
        if mode == Mode::OneWay {
            write!(f, "verified by the server, ")?;
        } else {
            write!(f, "{received} received and verified ({:.1} MB/s), ", rate(received))?;
        }
        write!(f, "{seconds:.3} s")
    }
}

/// Runs a test on this connection.
pub fn run(connection: &Connection, plan: TestPlan) -> io::Result<TestReport> {
    let (clock, pattern) = (SystemClock::new(), Pattern::default());
    let started: Time = clock.now();
    let bytes = plan.writes * plan.write_size as u64;
    thread::scope(|scope| {
        let test = || test_stream(connection, plan, bytes, &pattern);
        let streams: Vec<_> = (0..plan.streams).map(|_| scope.spawn(test)).collect();
        let join = |stream: thread::ScopedJoinHandle<'_, io::Result<()>>| {
            stream.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        };
        streams.into_iter().map(join).collect::<io::Result<Vec<()>>>()
    })?;
    let sent = bytes * plan.streams as u64;
    if plan.mode == Mode::OneWay {
        confirm(connection, plan, bytes)?;
    }
    let received = if plan.mode == Mode::OneWay { 0 } else { sent };
    Ok(TestReport { plan, sent, received, elapsed: clock.now() - started })
}

fn test_stream(
    connection: &Connection,
    plan: TestPlan,
    bytes: u64,
    pattern: &Pattern,
) -> io::Result<()> {
    let one_way = plan.mode == Mode::OneWay;
    let direction = if one_way { Direction::Unidirectional } else { Direction::Bidirectional };
    let stream = &connection.open(direction)?;
    Header { mode: plan.mode, bytes }.write(&mut { stream })?;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            pattern.write(&mut { stream }, bytes, plan.write_size)?;
            Ok::<_, io::Error>(stream.finish()?)
        });
        if !one_way {
            pattern.verify(&mut { stream }, bytes, BUFFER)?;
        }
        writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

/// The server tells what each stream brought, on a stream of its own.
fn confirm(connection: &Connection, plan: TestPlan, bytes: u64) -> io::Result<()> {
    for _ in 0..plan.streams {
        let mut answer = [0; 8];
        connection.accept()?.read_exact(&mut answer)?;
        let got = u64::from_be_bytes(answer);
        if got != bytes {
            return Err(super::wrong(format!("{got} of {bytes} bytes reached the server")));
        }
    }
    Ok(())
}

/// How much is read at a time, in bytes.
const BUFFER: usize = 64 * 1024;
