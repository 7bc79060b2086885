//! BBR's states, seen at a bottleneck: draft-ietf-ccwg-bbr §5.3.

use std::time::Duration;

use super::link::{Link, World};
use super::throughput::algorithm;
use crate::congestion::CongestionControl;

fn world(link: Link) -> World {
    let mut world = World::new(link);
    world.add(algorithm(CongestionControl::Bbr));
    world
}

fn phase(world: &World) -> &'static str {
    world.flows[0].recovery.algorithm().phase()
}

fn window(world: &World) -> u64 {
    world.flows[0].recovery.algorithm().congestion_window()
}

/// Runs a millisecond at a time for so long; the phases gone through, in order.
fn phases(world: &mut World, time: Duration) -> Vec<&'static str> {
    let end = world.now + time;
    let mut phases = vec![phase(world)];
    while world.now < end {
        world.run(Duration::from_millis(1));
        if phases.last() != Some(&phase(world)) {
            phases.push(phase(world));
        }
    }
    phases
}

/// Runs until a phase begins, at most a minute.
fn run_to(world: &mut World, wanted: &str) {
    for _ in 0..60_000 {
        if phase(world) == wanted {
            return;
        }
        world.run(Duration::from_millis(1));
    }
    panic!("{wanted} is not reached from {}", phase(world));
}

#[test]
fn startup_drains_and_then_probes_in_cycles() {
    let mut world = world(Link::new(20, 40));
    let seen = phases(&mut world, Duration::from_secs(6));
    let expected = [
        "startup",
        "drain",
        "probe_bw_cruise", // Down is over at once: Drain has done its work
        "probe_bw_refill",
        "probe_bw_up",
        "probe_bw_down",
        "probe_bw_cruise",
        "probe_bw_refill",
    ];
    assert_eq!(seen[..expected.len()], expected);
}

#[test]
fn the_estimate_is_the_links_rate() {
    let mut world = world(Link::new(20, 40));
    world.run(Duration::from_secs(5));
    let estimate = world.flows[0].recovery.algorithm().bandwidth_estimate().unwrap();
    let mbit = estimate.as_bytes_per_second() as f64 / 125_000.0;
    assert!((19.0..21.0).contains(&mbit), "{mbit}");
}

#[test]
fn a_deep_queue_is_not_filled() {
    // Startup fills it; what follows must not: cubic would hold all of the 400 ms.
    let mut world = world(Link { queue_bdp: 10.0, ..Link::new(20, 40) });
    world.run(Duration::from_secs(3));
    world.longest_wait = Duration::ZERO;
    world.run(Duration::from_secs(10));
    assert!(world.longest_wait < Duration::from_millis(40), "{:?}", world.longest_wait);
}

#[test]
fn startup_ends_when_a_shallow_queue_overflows() {
    let mut world = world(Link { queue_bdp: 0.05, ..Link::new(100, 40) });
    run_to(&mut world, "drain");
    let bdp = 500_000;
    assert!(window(&world) < 3 * bdp, "{}", window(&world));
    world.run(Duration::from_secs(3));
    let before = *world.flows[0].recovery.stats();
    let since = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(10));
    let stats = world.flows[0].recovery.stats();
    let lost = (stats.packets_lost - before.packets_lost) as f64;
    let sent = (stats.packets_sent - before.packets_sent) as f64;
    assert!(lost / sent < 0.02, "{lost} of {sent}");
    assert!(world.share(0, since.0, since.1) > 0.8);
}

#[test]
fn startup_ends_when_most_packets_are_marked() {
    // A queue without end, that marks from 1 ms on.
    let mark_above = Some(Duration::from_millis(1));
    let mut marked = world(Link { queue_bdp: 100.0, mark_above, ..Link::new(100, 40) });
    run_to(&mut marked, "drain");
    let mut unmarked = world(Link { queue_bdp: 100.0, ..Link::new(100, 40) });
    run_to(&mut unmarked, "drain");
    assert!(marked.now < unmarked.now, "{:?} {:?}", marked.now, unmarked.now);
}

#[test]
fn marks_on_most_packets_lower_the_window() {
    let cruising = |mark_above| {
        let mut world = world(Link { mark_above, ..Link::new(20, 40) });
        world.run(Duration::from_secs(3));
        run_to(&mut world, "probe_bw_refill");
        run_to(&mut world, "probe_bw_cruise");
        world.run(Duration::from_millis(500));
        window(&world)
    };
    let (marked, unmarked) = (cruising(Some(Duration::ZERO)), cruising(None));
    assert!(marked < unmarked * 3 / 4, "{marked} {unmarked}");
}

#[test]
fn a_queue_that_others_fill_is_probed_for_its_rtt_every_five_seconds() {
    let mut world = world(Link { queue_bdp: 4.0, ..Link::new(20, 40) });
    world.run(Duration::from_secs(3));
    world.add(algorithm(CongestionControl::Cubic));
    world.run(Duration::from_secs(5));
    let mut probes = 0;
    for _ in 0..2 {
        run_to(&mut world, "probe_rtt");
        world.run(Duration::from_millis(300));
        probes += 1;
        assert!(window(&world) <= 100_000, "half a BDP: {}", window(&world));
        run_to(&mut world, "probe_bw_cruise");
    }
    assert!(probes == 2 && world.now < World::START + Duration::from_secs(25));
}

#[test]
fn after_a_pause_the_sender_is_paced() {
    let mut world = world(Link::new(20, 40));
    world.run(Duration::from_secs(3));
    world.flows[0].backlog = Some(0);
    world.run(Duration::from_secs(3));
    world.flows[0].largest_burst = 0;
    world.flows[0].backlog = None;
    world.longest_wait = Duration::ZERO;
    world.run(Duration::from_millis(100));
    let burst = world.flows[0].largest_burst;
    assert!(burst <= 200_000 / 8 + 1200, "{burst}");
    assert!(world.longest_wait < Duration::from_millis(30), "{:?}", world.longest_wait);
}

#[test]
fn an_application_that_sends_little_does_not_lower_the_estimate() {
    let mut world = world(Link::new(20, 40));
    world.run(Duration::from_secs(3));
    for _ in 0..200 {
        world.flows[0].backlog = Some(12_000); // 2 Mbit/s
        world.run(Duration::from_millis(50));
    }
    let estimate = world.flows[0].recovery.algorithm().bandwidth_estimate().unwrap();
    let mbit = estimate.as_bytes_per_second() as f64 / 125_000.0;
    assert!(mbit > 18.0, "{mbit}");
}

#[test]
fn a_link_that_slows_down_is_followed() {
    let mut world = world(Link::new(100, 40));
    world.run(Duration::from_secs(5));
    world.link.mbit = 10;
    world.run(Duration::from_secs(15));
    let (since, before) = (world.now, world.flows[0].delivered);
    world.longest_wait = Duration::ZERO;
    world.run(Duration::from_secs(10));
    assert!(world.share(0, since, before) > 0.85);
    let estimate = world.flows[0].recovery.algorithm().bandwidth_estimate().unwrap();
    assert!(estimate.as_bytes_per_second() < 1_500_000, "{estimate}");
}

#[test]
fn a_link_that_speeds_up_is_followed() {
    let mut world = world(Link::new(10, 40));
    world.run(Duration::from_secs(5));
    world.link.mbit = 100;
    world.run(Duration::from_secs(15));
    let (since, before) = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(10));
    assert!(world.share(0, since, before) > 0.85);
}

#[test]
fn a_dead_link_leaves_the_minimum_window_and_recovers() {
    let mut world = world(Link::new(20, 40));
    world.run(Duration::from_secs(3));
    world.link.loss = 10_000;
    world.run(Duration::from_secs(3));
    world.link.loss = 0;
    let mut least = u64::MAX;
    for _ in 0..3000 {
        world.run(Duration::from_millis(1));
        least = least.min(window(&world));
    }
    // RFC 9002 §7.6.2
    assert_eq!(world.flows[0].recovery.stats().persistent_congestions, 1);
    assert!(least <= 4 * 1200, "{least}");
    let (since, before) = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(3));
    assert!(world.share(0, since, before) > 0.9);
}

#[test]
fn reordering_is_not_taken_for_congestion() {
    let mut world = world(Link { reorder: Some((50, 8)), ..Link::new(20, 40) });
    world.run(Duration::from_secs(3));
    let (since, before) = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(10));
    assert!(world.flows[0].recovery.stats().spurious_losses > 0);
    assert!(world.share(0, since, before) > 0.93);
}
