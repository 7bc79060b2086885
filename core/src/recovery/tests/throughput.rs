//! What each congestion controller makes of a bottleneck: the share of the link it uses.

use std::time::Duration;

use super::link::{Link, World};
use crate::congestion::{AlgorithmParams, CongestionControl, SendAlgorithm, SendAlgorithmFactory};

pub(super) fn algorithm(kind: CongestionControl) -> Box<dyn SendAlgorithm> {
    kind.create(&AlgorithmParams { now: World::START, max_datagram_size: 1200 })
}

/// The share that one flow uses of a link over half a minute after its first ten seconds.
fn share(kind: CongestionControl, link: Link) -> f64 {
    let mut world = World::new(link);
    world.add(algorithm(kind));
    world.run(Duration::from_secs(10));
    let (since, before) = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(30));
    world.share(0, since, before)
}

const LINKS: [(u64, u64); 7] =
    [(10, 10), (10, 50), (10, 300), (100, 10), (100, 50), (100, 300), (1000, 10)];

fn check(kind: CongestionControl, loss: u64, least: f64) {
    for (mbit, rtt_ms) in LINKS {
        let share = share(kind, Link { loss, ..Link::new(mbit, rtt_ms) });
        assert!(share >= least, "{kind:?} uses {share:.3} of {mbit} Mbit/s at {rtt_ms} ms");
    }
}

#[test]
fn bbr_uses_95_percent_of_a_link_without_loss() {
    check(CongestionControl::Bbr, 0, 0.95);
}

#[test]
fn bbr_uses_85_percent_of_a_link_that_loses_one_packet_in_a_hundred() {
    check(CongestionControl::Bbr, 100, 0.85);
}

#[test]
fn cubic_uses_95_percent_of_a_link_without_loss() {
    check(CongestionControl::Cubic, 0, 0.95);
}

#[test]
fn two_flows_share_a_link() {
    for (kind, most) in [(CongestionControl::Cubic, 0.6), (CongestionControl::Bbr, 0.7)] {
        let mut world = World::new(Link::new(50, 40));
        world.add(algorithm(kind));
        world.run(Duration::from_secs(5));
        world.add(algorithm(kind));
        world.run(Duration::from_secs(20)); // they converge
        let before = [world.flows[0].delivered, world.flows[1].delivered];
        world.run(Duration::from_mins(1));
        let [a, b] = [0, 1].map(|flow| (world.flows[flow].delivered - before[flow]) as f64);
        let larger = a.max(b) / (a + b);
        assert!(larger <= most, "{kind:?} {larger:.2}");
    }
}

#[test]
fn a_pause_leaves_no_burst_behind() {
    // RFC 9002 §7.7, §7.8
    for kind in [CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Bbr] {
        let mut world = World::new(Link::new(100, 40));
        world.add(algorithm(kind));
        world.run(Duration::from_secs(5));
        world.flows[0].backlog = Some(0);
        world.run(Duration::from_secs(5));
        let window = world.flows[0].recovery.algorithm().congestion_window();
        world.flows[0].largest_burst = 0;
        world.flows[0].backlog = None;
        world.run(Duration::from_millis(100));
        let burst = world.flows[0].largest_burst;
        assert!(burst <= 65 * 1200 && burst <= window / 4, "{kind:?} {burst} of {window}");
    }
}

#[test]
fn a_window_the_application_does_not_use_does_not_grow() {
    // RFC 9002 §7.8
    for kind in [CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Bbr] {
        let mut world = World::new(Link::new(100, 40));
        world.add(algorithm(kind));
        for _ in 0..100 {
            world.flows[0].backlog = Some(6000);
            world.run(Duration::from_millis(50));
        }
        let window = world.flows[0].recovery.algorithm().congestion_window();
        assert!(window <= 50_000, "{kind:?} {window}");
    }
}

#[test]
fn reordering_costs_a_loss_based_algorithm_little() {
    // RFC 9002 §6.1: the thresholds adapt, and what was taken for loss is undone.
    let mut world = World::new(Link { reorder: Some((50, 8)), ..Link::new(20, 40) });
    world.add(algorithm(CongestionControl::Cubic));
    world.run(Duration::from_secs(20));
    let stats = world.flows[0].recovery.stats();
    assert!((1..20).contains(&stats.spurious_losses), "{stats:?}");
    assert!(world.share(0, World::START, 0) > 0.9);
}

#[test]
fn prague_keeps_a_marking_queue_short_and_the_link_busy() {
    // RFC 9331 §4.3: a step at 2 ms
    let mark_above = Some(Duration::from_millis(2));
    let mut world = World::new(Link { queue_bdp: 5.0, mark_above, ..Link::new(100, 20) });
    world.add(algorithm(CongestionControl::Prague));
    world.run(Duration::from_secs(10));
    let (since, before) = (world.now, world.flows[0].delivered);
    world.longest_wait = Duration::ZERO;
    world.run(Duration::from_secs(20));
    assert!(world.share(0, since, before) > 0.95, "{}", world.share(0, since, before));
    assert!(world.longest_wait < Duration::from_millis(8), "{:?}", world.longest_wait);
    assert_eq!(world.flows[0].recovery.stats().packets_lost, 0);
}
