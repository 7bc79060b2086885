//! Measurements of many connections that are active at the same time: all are made first, then all
//! begin. How a figure is printed is not known here.

use std::time::Duration;

use protoquic::ConnectionStats;

use super::client::{PerfClient, PerfReport, PerfWork};
use super::crowd::Crowd;
use super::loops::{LoopEnd, LoopWork, PerfLoops, new_latency};
use super::run::{Bulk, Requests, quantile};
use crate::endpoint::ClientOptions;

/// What bulk transfers over many connections came to.
#[derive(Clone, Copy, Debug)]
pub struct ManyBulk {
    /// Bytes received by all.
    pub received: u64,
    /// Bytes sent by all.
    pub sent: u64,
    /// How long it took to make the connections.
    pub setup: Duration,
    /// From there to the end of the last one.
    pub transfer: Duration,
    /// The connections' counters, added up.
    pub stats: ConnectionStats,
}

impl From<Bulk> for ManyBulk {
    fn from(one: Bulk) -> Self {
        let PerfReport { received, sent, setup, transfer } = one.report;
        Self { received, sent, setup, transfer, stats: one.stats }
    }
}

/// Does `work` on each of so many connections. `on_ready` hears when all are there, before they
/// begin, and how long that took.
pub fn bulk_on_many(
    options: &ClientOptions,
    connections: usize,
    work: PerfWork,
    on_ready: impl FnOnce(Duration),
) -> Result<ManyBulk, String> {
    let work = PerfWork { held: true, ..work };
    let mut crowd: Crowd<'_, PerfClient> = Crowd::open_for_bulk(options, connections)?;
    let started = crowd.event_loop.now();
    crowd.assemble(connections, |now| PerfClient::new(now, work), PerfClient::is_connected)?;
    let begun = crowd.event_loop.now();
    let setup = begun - started;
    on_ready(setup);
    let ended = crowd.run(PerfClient::begin)?;
    let transfer = crowd.event_loop.now() - begun;
    let mut all =
        ManyBulk { received: 0, sent: 0, setup, transfer, stats: ConnectionStats::default() };
    for one in ended {
        let session = one.host.session();
        let report = session.report().unwrap_or_else(|| Err("a connection did nothing".into()))?;
        all.received += report.received;
        all.sent += report.sent;
        add(&mut all.stats, &one.host.connection().stats());
    }
    Ok(all)
}

/// Runs `loops` request loops on each of so many connections for some time. `on_ready` as with
/// [`bulk_on_many`].
pub fn requests_on_many(
    options: &ClientOptions,
    connections: usize,
    loops: u64,
    response: u64,
    time: Duration,
    on_ready: impl FnOnce(Duration),
) -> Result<Requests, String> {
    let work = LoopWork { loops, response, end: LoopEnd::After(time), held: true };
    let latency = new_latency();
    let mut crowd: Crowd<'_, PerfLoops> = Crowd::open(options)?;
    let started = crowd.event_loop.now();
    let make = |now| PerfLoops::new(now, work).measuring(&latency);
    crowd.assemble(connections, make, |session| session.setup().is_some())?;
    let setup = crowd.event_loop.now() - started;
    on_ready(setup);
    let ended = crowd.run(PerfLoops::begin)?;
    let (median, p99) = (quantile(&latency, 0.5), quantile(&latency, 0.99));
    let (mut count, mut elapsed) = (0, Duration::ZERO);
    let mut stats = ConnectionStats::default();
    for one in ended {
        let session = one.host.session();
        if let Some(failure) = session.failure() {
            return Err(failure.to_owned());
        }
        count += session.requests();
        elapsed = elapsed.max(session.elapsed());
        add(&mut stats, &one.host.connection().stats());
    }
    Ok(Requests { count, elapsed, setup, median, p99, stats })
}

/// Adds up what can be added; of a packet's size the largest is kept.
fn add(all: &mut ConnectionStats, one: &ConnectionStats) {
    all.datagrams_received += one.datagrams_received;
    all.bytes_received += one.bytes_received;
    all.packets_received += one.packets_received;
    all.packets_dropped += one.packets_dropped;
    all.packets_sent += one.packets_sent;
    all.bytes_sent += one.bytes_sent;
    all.packets_lost += one.packets_lost;
    all.spurious_losses += one.spurious_losses;
    all.packet_size = all.packet_size.max(one.packet_size);
}
