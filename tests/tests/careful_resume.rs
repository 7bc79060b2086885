//! Careful resume (draft-ietf-tsvwg-careful-resume) from end to end: what the option gains on a path
//! that is what it was, and what it costs where that is not so.

use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::{
    CarefulResumeFactory, CongestionControl, SavedParameters, SendAlgorithmFactory,
};
use protoquic_tests::sim::{Experiment, LinkConfig, Outcome};

const RTT: Duration = Duration::from_millis(100);

/// What a connection over 100 Mbit/s and 100 ms remembers.
fn resuming() -> Arc<dyn SendAlgorithmFactory> {
    let saved = SavedParameters { window: 1_250_000, rtt: RTT };
    Arc::new(CarefulResumeFactory { inner: Arc::new(CongestionControl::Cubic), saved })
}

/// The first so many milliseconds on a link.
fn beginning(
    controller: Arc<dyn SendAlgorithmFactory>,
    megabits: u64,
    rtt: Duration,
    millis: u64,
) -> (Experiment, Outcome) {
    let line = LinkConfig::with_rate(megabits * 1_000_000, rtt / 2);
    let mut experiment = Experiment::one(controller, line);
    experiment.warm_up = Duration::ZERO;
    experiment.measured = Duration::from_millis(millis);
    let outcome = experiment.run();
    (experiment, outcome)
}

#[test]
fn the_same_path_is_used_from_the_second_round_trip() {
    let (_, resumed) = beginning(resuming(), 100, RTT, 800);
    let (_, plain) = beginning(Arc::new(CongestionControl::Cubic), 100, RTT, 800);
    let (resumed, plain) = (resumed.flows[0], plain.flows[0]);
    assert!(resumed.goodput > 3.0 * plain.goodput, "{resumed:?} {plain:?}");
    assert_eq!(resumed.stats.packets_lost, 0);
}

#[test]
fn a_path_that_has_become_narrow_is_not_flooded() {
    // Half of 1.25 MB at once on a path that holds 62 kB, and as much in its queue.
    let (experiment, outcome) = beginning(resuming(), 5, RTT, 8000);
    let flow = outcome.flows[0];
    assert!(flow.goodput > 0.8 * experiment.limit(), "{flow:?}");
    assert!(flow.stats.packets_lost < 500, "{flow:?}");
}

#[test]
fn a_path_with_another_round_trip_is_another_path() {
    let rtt = Duration::from_millis(30);
    let (_, resumed) = beginning(resuming(), 100, rtt, 300);
    let (_, plain) = beginning(Arc::new(CongestionControl::Cubic), 100, rtt, 300);
    let (resumed, plain) = (resumed.flows[0].goodput, plain.flows[0].goodput);
    assert!((resumed / plain - 1.0).abs() < 0.01, "{resumed} {plain}");
}
