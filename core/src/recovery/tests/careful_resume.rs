//! Careful resume at a bottleneck (draft-ietf-tsvwg-careful-resume §3): what it gains on the path
//! that was remembered, and that it gives way on another.

use std::time::Duration;

use super::link::{Link, World};
use super::throughput::algorithm;
use crate::congestion::{CarefulResume, CongestionControl, SavedParameters, SendAlgorithm};

/// 100 Mbit/s at 100 ms hold 1.25 MB.
const LINK: Link = Link::new(100, 100);
const WINDOW: u64 = 1_250_000;

fn resumed(inner: CongestionControl, window: u64, rtt_ms: u64) -> Box<dyn SendAlgorithm> {
    let saved = SavedParameters { window, rtt: Duration::from_millis(rtt_ms) };
    Box::new(CarefulResume::new(algorithm(inner), saved, 1200))
}

fn world(link: Link, algorithm: Box<dyn SendAlgorithm>) -> World {
    let mut world = World::new(link);
    world.add(algorithm);
    world
}

fn phases(world: &mut World, time: Duration) -> Vec<&'static str> {
    let end = world.now + time;
    let mut phases = Vec::new();
    while world.now < end {
        let phase = world.flows[0].recovery.algorithm().phase();
        if phases.last() != Some(&phase) {
            phases.push(phase);
        }
        world.run(Duration::from_millis(1));
    }
    phases
}

const RECONNAISSANCE: &str = "careful_resume_reconnaissance";
const UNVALIDATED: &str = "careful_resume_unvalidated";
const VALIDATING: &str = "careful_resume_validating";
const SAFE_RETREAT: &str = "careful_resume_safe_retreat";

#[test]
fn a_path_that_is_still_the_same_is_used_at_once() {
    for kind in [CongestionControl::NewReno, CongestionControl::Cubic] {
        let mut slow = world(LINK, algorithm(kind));
        let mut fast = world(LINK, resumed(kind, WINDOW, 100));
        slow.run(Duration::from_millis(700));
        fast.run(Duration::from_millis(700));
        let (slow, fast) = (slow.flows[0].delivered, fast.flows[0].delivered);
        assert!(fast > 3 * slow, "{kind:?}: {fast} and {slow}");
        let seen = phases(&mut world(LINK, resumed(kind, WINDOW, 100)), Duration::from_secs(1));
        assert_eq!(seen[..4], [RECONNAISSANCE, UNVALIDATED, VALIDATING, "slow_start"]);
    }
}

#[test]
fn the_jump_is_half_of_the_saved_window_and_paced() {
    // Draft §3.2
    let mut world = world(LINK, resumed(CongestionControl::Cubic, WINDOW, 100));
    world.run(Duration::from_millis(130));
    assert_eq!(world.flows[0].recovery.algorithm().phase(), UNVALIDATED);
    assert_eq!(world.flows[0].recovery.algorithm().congestion_window(), WINDOW / 2);
    let before = world.flows[0].sent;
    world.run(Duration::from_millis(45));
    let sent = world.flows[0].sent - before;
    assert!(sent < WINDOW / 2 * 6 / 10, "{sent}"); // half of it in half an RTT
}

#[test]
fn another_rtt_is_another_path() {
    // Draft §3.1
    for (link, saved_ms) in [(Link::new(100, 40), 100), (LINK, 9)] {
        let mut world = world(link, resumed(CongestionControl::Cubic, WINDOW, saved_ms));
        let seen = phases(&mut world, Duration::from_secs(1));
        assert!(!seen.contains(&UNVALIDATED), "{seen:?}");
    }
}

#[test]
fn a_path_that_has_become_narrow_is_retreated_from() {
    // Draft §3.4
    let link = Link::new(5, 100);
    let mut world = world(link, resumed(CongestionControl::Cubic, WINDOW, 100));
    let seen = phases(&mut world, Duration::from_secs(3));
    assert_eq!(seen[..4], [RECONNAISSANCE, UNVALIDATED, VALIDATING, SAFE_RETREAT]);
    let window = world.flows[0].recovery.algorithm().congestion_window();
    assert!(window < 250_000, "twice what the path holds: {window}");
    let (since, before) = (world.now, world.flows[0].delivered);
    world.run(Duration::from_secs(5));
    assert!(world.share(0, since, before) > 0.9);
}

#[test]
fn an_application_without_much_to_send_does_not_jump() {
    // Draft §3.1
    let mut world = world(LINK, resumed(CongestionControl::Cubic, WINDOW, 100));
    for _ in 0..20 {
        world.flows[0].backlog = Some(2400);
        world.run(Duration::from_millis(100));
    }
    let window = world.flows[0].recovery.algorithm().congestion_window();
    assert!(window < 30_000, "{window}");
}
