//! CUBIC by default, which tells random losses from those of a full queue: what it gains beside
//! CUBIC to the letter, and that it takes nothing from it where there is a queue.

use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::CongestionControl;
use protoquic_tests::sim::{Experiment, FlowResult, LinkConfig, QueueConfig};

const RTT: Duration = Duration::from_millis(20);
const SEEDS: u64 = 5;

/// The median of the flows that come of five seeds.
fn alone(controller: CongestionControl, rate: u64, loss: f64) -> (FlowResult, f64) {
    let line = LinkConfig::with_rate(rate, RTT / 2).losing(loss);
    let mut experiment = Experiment::one(Arc::new(controller), line);
    let mut flows: Vec<FlowResult> = (1..=SEEDS)
        .map(|seed| {
            experiment.seed = seed;
            experiment.run().flows[0]
        })
        .collect();
    flows.sort_by(|a, b| a.goodput.total_cmp(&b.goodput));
    let all: Vec<_> = flows.iter().map(|flow| (flow.goodput / 1e6).round()).collect();
    println!("{controller:?}, {loss}: {all:?} Mbit/s with seeds 1 to {SEEDS}, sorted");
    (flows[flows.len() / 2], experiment.limit())
}

#[test]
fn random_losses_do_not_hold_the_window_down() {
    let (strict, _) = alone(CongestionControl::CubicStrict, 50_000_000, 0.01);
    let (ours, limit) = alone(CongestionControl::Cubic, 50_000_000, 0.01);
    assert!(ours.goodput > 3.0 * strict.goodput, "{ours:?} {strict:?}");
    assert!(ours.goodput > 0.5 * limit, "{ours:?} of {limit}");
}

#[test]
fn losses_without_end_are_answered() {
    let (strict, _) = alone(CongestionControl::CubicStrict, 50_000_000, 0.1);
    let (ours, _) = alone(CongestionControl::Cubic, 50_000_000, 0.1);
    assert!(ours.goodput < 1.5 * strict.goodput, "{ours:?} {strict:?}");
}

/// A line that flows share, of 20 ms.
struct Shared {
    rate: u64,
    /// In bandwidth-delay products.
    queue: f64,
    /// Every second is of the default, the others keep to the letter.
    flows: usize,
    ours_first: bool,
}

impl Shared {
    /// What the default gets of all, if each flow should get as much: the mean of several seeds.
    fn share(&self, seeds: u64) -> f64 {
        let product = self.rate as f64 / 8.0 * RTT.as_secs_f64();
        let mut line = LinkConfig::with_rate(self.rate, RTT / 2);
        line.queue = QueueConfig::bytes((product * self.queue) as usize);
        // Without any jitter the phases of flows lock, and one always finds the queue full.
        line.jitter = Duration::from_micros(200);
        let is_ours = |flow: usize| flow.is_multiple_of(2) == self.ours_first;
        let controller = |flow: usize| {
            let strict = CongestionControl::CubicStrict;
            Arc::new(if is_ours(flow) { CongestionControl::Cubic } else { strict })
        };
        let mut experiment = Experiment::one(controller(0), line);
        experiment.flows.extend((1..self.flows).map(|flow| controller(flow) as _));
        experiment.stagger = Duration::from_secs(2);
        experiment.warm_up = Duration::from_secs(6) + experiment.stagger * self.flows as u32;
        experiment.measured = Duration::from_secs(20);
        let shares: Vec<f64> = (1..=seeds)
            .map(|seed| {
                experiment.seed = seed;
                let flows = experiment.run().flows;
                let all: f64 = flows.iter().map(|flow| flow.goodput).sum();
                let ours = flows.iter().enumerate().filter(|(flow, _)| is_ours(*flow));
                ours.map(|(_, flow)| flow.goodput).sum::<f64>() / all
            })
            .collect();
        let Self { rate, queue, flows, ours_first } = self;
        println!(
            "{flows} flows of {rate} bit/s, queue {queue}, ours first: {ours_first}: {shares:.2?}"
        );
        shares.iter().sum::<f64>() / shares.len() as f64
    }
}

/// A full run has more lines and seeds.
fn is_full() -> bool {
    std::env::var_os("PROTOQUIC_SIM_FULL").is_some_and(|value| value == "1")
}

#[test]
fn where_there_is_a_queue_it_takes_nothing_from_another() {
    let rates: &[u64] = if is_full() { &[20_000_000, 100_000_000] } else { &[20_000_000] };
    for &rate in rates {
        for queue in [0.06, 0.125, 0.25, 0.5, 1.0] {
            for ours_first in [true, false] {
                let share = Shared { rate, queue, flows: 2, ours_first }.share(SEEDS);
                assert!((0.42..=0.58).contains(&share), "{rate} {queue} {ours_first}: {share}");
            }
        }
    }
}

#[test]
fn among_eight_it_takes_nothing_from_the_others() {
    let seeds = if is_full() { SEEDS } else { 1 };
    for queue in [0.125, 0.25, 0.5, 1.0] {
        let all = Shared { rate: 100_000_000, queue, flows: 8, ours_first: true };
        let share = all.share(seeds);
        assert!((0.42..=0.58).contains(&share), "{queue}: {share}");
    }
    // A queue too short for the RTT to tell of is taken for chance, where windows are small.
    let shallow = Shared { rate: 100_000_000, queue: 0.06, flows: 8, ours_first: true };
    let share = shallow.share(seeds);
    assert!((0.42..=0.85).contains(&share), "{share}");
}
