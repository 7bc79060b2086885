//! One measurement from its beginning to its result: connections, their sessions and the event loop
//! that drives them. What a mode measures is in the session's file; how it is printed, in `report`.

use std::net::SocketAddr;
use std::time::Duration;

use protoquic::dispatcher::{ClientPool, Ended};
use protoquic::readers::EventLoop;
use protoquic::{CloseReason, ConnectionStats, Session, SessionHost, Time};

use super::client::{PerfClient, PerfReport, PerfWork};
use super::loops::{LoopEnd, LoopWork, PerfLoops};
use crate::ending::one_ended_early;
use crate::endpoint::{self, ClientEndpoint, ClientOptions};

/// What a bulk transfer came to.
#[derive(Debug)]
pub struct Bulk {
    /// Bytes and times.
    pub report: PerfReport,
    /// The connection's counters.
    pub stats: ConnectionStats,
}

/// Transfers bytes over one connection.
pub fn bulk(options: ClientOptions, work: PerfWork) -> Result<Bulk, String> {
    let mut client = ClientEndpoint::connect(options, |now| PerfClient::new(now, work))?;
    loop {
        client.run_once(Some(Duration::from_secs(1)))?;
        if let Some(report) = client.session().report()
            && client.close_reason().is_some()
        {
            let stats = client.host().host().connection().stats();
            return Ok(Bulk { report: report?, stats });
        }
    }
}

/// What request loops came to.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// How many were answered.
    pub count: u64,
    /// In how much time.
    pub elapsed: Duration,
    /// How long the handshake took.
    pub setup: Duration,
    /// The latencies of which half, and 99 of 100, requests stayed below.
    pub median: Duration,
    /// See above.
    pub p99: Duration,
    /// The connection's counters.
    pub stats: ConnectionStats,
}

/// Runs request loops on one connection for some time.
pub fn requests(
    options: ClientOptions,
    loops: u64,
    response: u64,
    time: Duration,
) -> Result<Requests, String> {
    let work = LoopWork { loops, response, end: LoopEnd::After(time) };
    let mut client = ClientEndpoint::connect(options, |now| PerfLoops::new(now, work))?;
    while client.close_reason().is_none() {
        client.run_once(Some(Duration::from_secs(1)))?;
    }
    let stats = client.host().host().connection().stats();
    let session = client.session();
    if let Some(failure) = session.failure() {
        return Err(failure.to_owned());
    }
    let latency = |quantile| {
        let micros = session.latency().map_or(0, |l| l.value_at_quantile(quantile));
        Duration::from_micros(micros)
    };
    Ok(Requests {
        count: session.requests(),
        elapsed: session.elapsed(),
        setup: session.setup().unwrap_or_default(),
        median: latency(0.5),
        p99: latency(0.99),
        stats,
    })
}

/// What handshakes came to.
#[derive(Clone, Copy, Debug)]
pub struct Handshakes {
    /// How many were confirmed.
    pub count: u64,
    /// How many of them resumed a session.
    pub resumed: u64,
    /// In how much time.
    pub elapsed: Duration,
}

/// Makes connections, `parallel` at a time, and closes each once it is confirmed, for some time.
pub fn handshakes(
    options: &ClientOptions,
    parallel: usize,
    time: Duration,
) -> Result<Handshakes, String> {
    let work = LoopWork { loops: 0, response: 0, end: LoopEnd::Stay };
    let mut crowd: Crowd<'_, PerfLoops> = Crowd::open(options)?;
    let begin = crowd.event_loop.now();
    let (mut count, mut resumed) = (0, 0);
    loop {
        // One in each turn: its first flight goes out before the next one's is made.
        if crowd.pool.len() < parallel && crowd.event_loop.now() - begin < time {
            crowd.connect(|now| PerfLoops::new(now, work))?;
        }
        crowd.turn()?;
        for Ended { host, reason } in crowd.pool.take_ended() {
            match reason {
                CloseReason::Application { .. } if host.session().is_done() => {
                    count += 1;
                    resumed += u64::from(host.connection().is_resumed());
                }
                other => return Err(one_ended_early(&other)),
            }
        }
        let elapsed = crowd.event_loop.now() - begin;
        if crowd.pool.is_empty() && elapsed >= time {
            return Ok(Handshakes { count, resumed, elapsed });
        }
    }
}

/// Makes connections with one request each, and keeps them open for some time after the last
/// answer; `on_ready` hears how long it took until there.
pub fn idle(
    options: &ClientOptions,
    connections: usize,
    response: u64,
    time: Duration,
    mut on_ready: impl FnMut(Duration),
) -> Result<(), String> {
    let work = LoopWork { loops: 1, response, end: LoopEnd::Stay };
    let mut crowd: Crowd<'_, PerfLoops> = Crowd::open(options)?;
    let begin = crowd.event_loop.now();
    let mut ready = None;
    loop {
        let now = crowd.event_loop.now();
        let answered = crowd.pool.sessions().filter(|session| session.is_done()).count();
        if answered == connections {
            let since = *ready.get_or_insert_with(|| {
                on_ready(now - begin);
                now
            });
            if now - since >= time {
                return Ok(());
            }
        }
        // More at a time would only overflow the server's socket.
        let wanted = connections.min(answered + AT_A_TIME);
        for _ in crowd.pool.len()..wanted {
            crowd.connect(|now| PerfLoops::new(now, work))?;
        }
        crowd.turn()?;
        if let Some(Ended { reason, .. }) = crowd.pool.take_ended().pop() {
            return Err(one_ended_early(&reason));
        }
    }
}

/// A pool with its event loop.
struct Crowd<'a, S: Session> {
    options: &'a ClientOptions,
    event_loop: EventLoop,
    pool: ClientPool<S>,
    local: SocketAddr,
}

impl<'a, S: Session> Crowd<'a, S> {
    fn open(options: &'a ClientOptions) -> Result<Self, String> {
        let from = protoquic::readers::connectable_from(options.address);
        let (event_loop, writer, local) = endpoint::open(from)?;
        let pool = ClientPool::new(writer, options.config.client_connection_id_length);
        Ok(Self { options, event_loop, pool, local })
    }

    fn connect(&mut self, make: impl FnOnce(Time) -> S) -> Result<(), String> {
        let now = self.event_loop.now();
        let connection = self.options.connection(now, self.local)?;
        self.pool.add(SessionHost::new(connection, make(now)));
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        let wait = Some(Duration::from_millis(100));
        let turned = self.event_loop.run_once(&mut self.pool, wait);
        turned.map_err(|error| format!("the socket failed: {error}"))
    }
}

/// How many connections of an idle crowd are being made at the same time.
const AT_A_TIME: usize = 64;
