//! `LossTolerant` from end to end: what the option gains on a path that loses packets by chance, and
//! that a queue which overflows is still given way to.

use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::{
    CongestionControl, LossTolerance, LossTolerantFactory, SendAlgorithmFactory,
};
use protoquic_tests::sim::{Experiment, FlowResult, LinkConfig};

const RTT: Duration = Duration::from_millis(20);

fn cubic() -> Arc<dyn SendAlgorithmFactory> {
    Arc::new(CongestionControl::CubicStrict)
}

fn tolerant() -> Arc<dyn SendAlgorithmFactory> {
    let tolerance = LossTolerance::from_percent(5).expect("in range");
    Arc::new(LossTolerantFactory { inner: cubic(), tolerance })
}

fn line() -> LinkConfig {
    LinkConfig::with_rate(50_000_000, RTT / 2)
}

fn run(experiment: &Experiment) -> Vec<FlowResult> {
    let outcome = experiment.run();
    println!("seed {}: {:?}", experiment.seed, outcome.flows);
    outcome.flows
}

fn alone(controller: Arc<dyn SendAlgorithmFactory>, line: LinkConfig) -> (Experiment, FlowResult) {
    let experiment = Experiment::one(controller, line);
    let flow = run(&experiment)[0];
    (experiment, flow)
}

#[test]
fn losses_by_chance_do_not_hold_the_window_down() {
    let (_, plain) = alone(cubic(), line().losing(0.01));
    let (experiment, flow) = alone(tolerant(), line().losing(0.01));
    assert!(flow.goodput > 4.0 * plain.goodput, "{flow:?} {plain:?}");
    assert!(flow.goodput > 0.85 * experiment.limit(), "{flow:?}");
}

#[test]
fn more_losses_than_are_tolerated_are_answered() {
    let (experiment, flow) = alone(tolerant(), line().losing(0.15));
    assert!(flow.goodput < 0.3 * experiment.limit(), "{flow:?}");
}

#[test]
fn a_full_queue_is_given_way_to() {
    // A queue of one bandwidth-delay product is what the RTT tells of.
    let (experiment, flow) = alone(tolerant(), line());
    let (_, plain) = alone(cubic(), line());
    assert!(flow.goodput > 0.95 * experiment.limit(), "{flow:?}");
    assert!(flow.stats.packets_lost <= 2 * plain.stats.packets_lost + 10, "{flow:?} {plain:?}");
}

#[test]
fn it_shares_a_queue_with_others() {
    let mut experiment = Experiment::one(cubic(), line());
    experiment.flows.push(tolerant());
    experiment.warm_up = Duration::from_secs(10);
    experiment.measured = Duration::from_secs(30);
    let flows = run(&experiment);
    let share = flows[1].goodput / (flows[0].goodput + flows[1].goodput);
    assert!((0.35..=0.65).contains(&share), "{share}");
}
