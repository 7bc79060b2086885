//! One measurement from its beginning to its result: connections, their sessions and the event loop
//! that drives them. What a mode measures is in the session's file; how it is printed, in `report`.

use std::time::Duration;

use protoquic::dispatcher::Ended;
use protoquic::{CloseReason, ConnectionStats};

use super::client::{PerfClient, PerfReport, PerfWork};
use super::crowd::{AT_A_TIME, Crowd};
use super::loops::{Latency, LoopEnd, LoopWork, PerfLoops, new_latency};
use crate::ending::one_ended_early;
use crate::endpoint::{ClientEndpoint, ClientOptions};

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
    let work = LoopWork { loops, response, end: LoopEnd::After(time), held: false };
    let latency = new_latency();
    let make = |now| PerfLoops::new(now, work).measuring(&latency);
    let mut client = ClientEndpoint::connect(options, make)?;
    while client.close_reason().is_none() {
        client.run_once(Some(Duration::from_secs(1)))?;
    }
    let stats = client.host().host().connection().stats();
    let session = client.session();
    if let Some(failure) = session.failure() {
        return Err(failure.to_owned());
    }
    Ok(Requests {
        count: session.requests(),
        elapsed: session.elapsed(),
        setup: session.setup().unwrap_or_default(),
        median: quantile(&latency, 0.5),
        p99: quantile(&latency, 0.99),
        stats,
    })
}

/// The latency that so many of one request stay below.
pub(super) fn quantile(latency: &Latency, part: f64) -> Duration {
    Duration::from_micros(latency.borrow().value_at_quantile(part))
}

/// What handshakes came to.
#[derive(Clone, Copy, Debug)]
pub struct Handshakes {
    /// How many were completed.
    pub count: u64,
    /// How many of them resumed a session.
    pub resumed: u64,
    /// In how much time.
    pub elapsed: Duration,
}

/// Makes connections, `parallel` at a time, for some time. Each is closed as soon as its handshake is
/// complete; if it asks first, once it has an answer of one byte, and then it has a ticket too.
pub fn handshakes(
    options: &ClientOptions,
    parallel: usize,
    asks: bool,
    time: Duration,
) -> Result<Handshakes, String> {
    let (loops, end) = (u64::from(asks), LoopEnd::After(Duration::ZERO));
    let work = LoopWork { loops, response: loops, end, held: false };
    let mut crowd: Crowd<'_, PerfLoops> = Crowd::open(options)?;
    let begin = crowd.event_loop.now();
    let (mut count, mut resumed) = (0, 0);
    loop {
        // A few in each turn: their first flights go out together, before the next ones' are made.
        for _ in crowd.pool.len()..parallel.min(crowd.pool.len() + BEGUN_TOGETHER) {
            if crowd.event_loop.now() - begin < time {
                crowd.connect(|now| PerfLoops::new(now, work))?;
            }
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

/// How many connections are begun in one turn at most.
const BEGUN_TOGETHER: usize = 4;

/// Makes connections with one request each, and keeps them open for some time after the last
/// answer; `on_ready` hears how long it took until there.
pub fn idle(
    options: &ClientOptions,
    connections: usize,
    response: u64,
    time: Duration,
    mut on_ready: impl FnMut(Duration),
) -> Result<(), String> {
    let work = LoopWork { loops: 1, response, end: LoopEnd::Stay, held: false };
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
