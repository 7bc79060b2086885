//! Release times: a writer that can hold packets until their time (as SO_TXTIME has the kernel do)
//! is given them ahead of time, at the pacer's times and in their order.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::{OutgoingPacket, PacketWriter, PathAddress, Time, WriteResult};
use protoquic_tests::datagrams::{ALPN, DatagramPeer, Log, config, factory, open_bulk};
use protoquic_tests::net::{Link, Net, WireWriter};
use protoquic_tests::tls;

/// Says that it holds packets; the wire below does.
struct HoldingWriter {
    inner: WireWriter,
    /// The release times of all packets.
    times: Rc<RefCell<Vec<Option<Time>>>>,
}

impl PacketWriter for HoldingWriter {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        self.times.borrow_mut().push(packet.release_time);
        self.inner.write_packet(packet)
    }

    fn next_write_location(&mut self, path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        self.inner.next_write_location(path, size)
    }

    fn supports_ecn(&self) -> bool {
        self.inner.supports_ecn()
    }

    fn supports_release_time(&self) -> bool {
        true
    }
}

struct Run {
    /// What the client's writer was told.
    times: Vec<Option<Time>>,
    /// When the client's packets left.
    left: Vec<Time>,
    /// How many times the client sent although nothing had come: its pacer woke it.
    rounds: usize,
    smoothed_rtt: Duration,
    lost: u64,
}

/// A client sends 3 MB with a writer that holds packets, or with one that does not.
fn run(holds: bool) -> Run {
    let log = Rc::new(RefCell::new(Log::default()));
    let link = Link { delay: Duration::from_millis(20), ..Link::default() };
    let mut net = Net::new(5, link, factory(config(), &log));
    let times = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&times);
    net.connect(Arc::new(config()), tls::client(&[ALPN]), DatagramPeer::default(), |inner| {
        if holds { Box::new(HoldingWriter { inner, times: seen }) } else { Box::new(inner) }
    });
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    let id = net.clients[0].enter(now, |_, cx| open_bulk(cx, 3_000_000));
    net.tap = Some(Vec::new());
    times.borrow_mut().clear();
    let mut rounds = BTreeSet::new();
    net.kick();
    let (mut sent, mut received) = (0, 0);
    net.run_until(Duration::from_secs(10), |net| {
        let stats = net.clients[0].host().connection().stats();
        let has_sent = std::mem::replace(&mut sent, stats.packets_sent) != stats.packets_sent;
        let count = stats.packets_received;
        if std::mem::replace(&mut received, count) == count && has_sent {
            rounds.insert(net.now);
        }
        net.clients[0].host().connection().stream_stats().streams_closed == 1
    });
    assert_eq!(log.borrow().streams[&id].0, 3_000_000);
    let client = net.clients[0].host().connection();
    let stats = client.stats();
    let tapped = net.tap.take().expect("it was set");
    let left = tapped.iter().filter(|packet| packet.to.port() == 443).map(|packet| packet.at);
    let left = left.collect();
    let times = times.borrow().clone();
    Run {
        times,
        left,
        rounds: rounds.len(),
        smoothed_rtt: stats.smoothed_rtt,
        lost: stats.packets_lost,
    }
}

#[test]
fn a_writer_that_holds_packets_is_told_when_they_leave() {
    let run = run(true);
    let held = run.times.iter().flatten().count();
    assert!(held > 1000, "{held} of {} were held", run.times.len());
    assert!(run.left.is_sorted(), "packets keep their order");
}

#[test]
fn a_writer_that_does_not_hold_packets_is_told_nothing_ahead() {
    let run = run(false);
    assert!(run.times.is_empty() && run.left.is_sorted());
}

#[test]
fn planning_ahead_wakes_the_sender_less_often() {
    let (with, without) = (run(true), run(false));
    println!("woken by the pacer {} and {} times", with.rounds, without.rounds);
    assert!(with.rounds < without.rounds);
    let (first, last) = (with.left[0], with.left[with.left.len() - 1]);
    let (first_without, last_without) = (without.left[0], without.left[without.left.len() - 1]);
    assert!(last - first <= (last_without - first_without) * 11 / 10, "no slower");
}

#[test]
fn the_time_that_a_packet_is_held_is_not_taken_for_the_path_s() {
    let run = run(true);
    let rtt = run.smoothed_rtt;
    assert!((40..42).contains(&rtt.as_millis()), "{rtt:?}");
    assert_eq!(run.lost, 0);
}
