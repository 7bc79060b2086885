//! Prague on links whose queue marks by its length at once (the L4S queue of RFC 9332): the link is
//! full and the queue is not. Where nothing marks, the table of `congestion.rs` has it.

use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::CongestionControl;
use protoquic_tests::sim::{Aqm, EcnTreatment, Experiment, LinkConfig, Outcome};

const RTT: Duration = Duration::from_millis(20);
const MARK_ABOVE: Duration = Duration::from_millis(2);

/// So many flows of Prague on 50 Mbit/s.
fn marking(flows: usize) -> Experiment {
    let mut line = LinkConfig::with_rate(50_000_000, RTT / 2);
    line.queue.aqm = Aqm::Step { threshold: MARK_ABOVE };
    let mut experiment = Experiment::one(Arc::new(CongestionControl::Prague), line);
    experiment.back.queue.aqm = Aqm::DropTail;
    experiment.flows = vec![experiment.flows[0].clone(); flows];
    experiment.stagger = Duration::from_secs(1);
    experiment
}

fn total(outcome: &Outcome) -> f64 {
    outcome.flows.iter().map(|flow| flow.goodput).sum()
}

#[test]
fn the_link_is_full_and_the_queue_is_short() {
    let experiment = marking(1);
    let outcome = experiment.run();
    let (flow, share) = (&outcome.flows[0], total(&outcome) / experiment.limit());
    let queueing = flow.stats.smoothed_rtt.saturating_sub(RTT);
    println!("{share:.3} of the link, queue {queueing:?}, {:?}", outcome.line);
    assert!(share > 0.93, "{share:.3}");
    assert!(queueing < 2 * MARK_ABOVE, "{queueing:?}");
    assert!(outcome.line.marked > 100 && outcome.line.queue_full == 0);
    // RFC 9331 §4.1: without ECT(1) the queue could mark nothing.
    assert_eq!(flow.stats.packets_lost, 0);
}

#[test]
fn the_classic_response_to_such_marks_leaves_the_link_empty() {
    let mut classic = marking(1);
    classic.flows = vec![Arc::new(CongestionControl::NewReno)];
    assert!(total(&classic.run()) < 0.9 * total(&marking(1).run()));
}

#[test]
fn two_flows_share() {
    let experiment = marking(2);
    let outcome = experiment.run();
    let first = outcome.flows[0].goodput * 100.0 / total(&outcome);
    println!("{first:.1} %");
    assert!((40.0..=60.0).contains(&first), "{first:.1} % for the first");
    assert!(total(&outcome) > 0.93 * experiment.limit());
}

#[test]
fn a_path_that_clears_marks_is_no_l4s_path_and_losses_count() {
    // RFC 9000 §13.4.2: validation fails, packets go unmarked, the queue overflows as any does.
    let mut experiment = marking(1);
    experiment.line.ecn = EcnTreatment::Bleach;
    let outcome = experiment.run();
    assert!(outcome.line.queue_full > 0);
    assert!(total(&outcome) > 0.93 * experiment.limit());
}
