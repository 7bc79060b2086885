//! Prague on links whose queue marks by its length at once (the L4S queue of RFC 9332): the link is
//! full and the queue is not; and beside CUBIC, through queues that are managed in one way or
//! another. Where nothing marks, the table of `congestion.rs` has it.

use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::CongestionControl;
use protoquic_tests::sim::{Aqm, EcnTreatment, Experiment, LinkConfig, Outcome, Row, Table};

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

/// Prague and CUBIC side by side on 50 Mbit/s whose queue is managed in this way.
fn beside_cubic(management: &str) -> (Experiment, Outcome) {
    let mut experiment = marking(1);
    // Room for 100 ms of waiting.
    experiment.line.queue.bytes = 625_000;
    experiment.line.queue.aqm = Aqm::named(management).expect("it is one of the known");
    experiment.flows.push(Arc::new(CongestionControl::Cubic));
    experiment.warm_up = Duration::from_secs(10);
    experiment.measured = Duration::from_secs(20);
    let outcome = experiment.run();
    (experiment, outcome)
}

fn queueing(outcome: &Outcome) -> [Duration; 2] {
    [0, 1].map(|flow| outcome.flows[flow].stats.smoothed_rtt.saturating_sub(RTT))
}

#[test]
fn dual_queues_give_prague_a_short_queue_and_no_more_than_its_part() {
    let (experiment, outcome) = beside_cubic("dualpi2");
    let [prague, cubic] = queueing(&outcome);
    let share = outcome.flows[0].goodput * 100.0 / total(&outcome);
    println!("{share:.1} % for Prague, queue {prague:?} and {cubic:?}, {:?}", outcome.line);
    assert!(total(&outcome) > 0.93 * experiment.limit());
    // It could be half. Ten packets at once, on an ACK, are more than the step allows.
    assert!((15.0..=60.0).contains(&share), "{share:.1} % for Prague");
    // RFC 9332 §A.1: a step of 1 ms for the one, a target of 15 ms for the other.
    assert!(prague < Duration::from_millis(3), "{prague:?}");
    assert!((5..=30).contains(&cubic.as_millis()), "{cubic:?}");
    assert_eq!((outcome.line.managed, outcome.line.queue_full), (0, 0));
}

#[test]
fn fair_queues_share_evenly_and_are_short_for_each() {
    let (experiment, outcome) = beside_cubic("fq-codel");
    let share = outcome.flows[0].goodput * 100.0 / total(&outcome);
    let queues = queueing(&outcome);
    println!("{share:.1} % for Prague, queues {queues:?}, {:?}", outcome.line);
    assert!((45.0..=55.0).contains(&share), "{share:.1} % for Prague");
    assert!(queues.iter().all(|wait| *wait < Duration::from_millis(20)), "{queues:?}");
    assert!(total(&outcome) > 0.9 * experiment.limit());
}

/// The kept table says what each management makes of the two.
#[test]
fn the_table_of_managed_queues_is_what_it_was() {
    let mut table = Table::new(&["queue", "controller", "waiting"]);
    for management in ["droptail", "codel", "fq-codel", "dualpi2"] {
        let (experiment, outcome) = beside_cubic(management);
        let flows = ["prague", "cubic"].iter().zip(&outcome.flows).zip(queueing(&outcome));
        for ((name, flow), wait) in flows {
            // In steps that small changes seldom cross.
            let wait = format!(
                "{} ms",
                [0, 2, 5, 10, 20, 40, 80]
                    .into_iter()
                    .rfind(|step| u128::from(*step) <= wait.as_millis())
                    .map_or_else(String::new, |step: u32| format!("over {step}"))
            );
            let scenario = [management.to_owned(), (*name).to_owned(), wait];
            table.rows.push(Row::new(&scenario, experiment.limit(), flow));
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/aqm.md");
    if std::env::var_os("PROTOQUIC_SIM_UPDATE").is_some() {
        table.keep(path.as_ref(), HEADING).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differences = table.differences(&kept, |_| 4.0);
    assert!(differences.is_empty(), "{differences:#?}\n{}", table.to_markdown());
}

const HEADING: &str = "\
# Managed queues

Prague and CUBIC side by side through 50 Mbit/s with a round trip of 20 ms and room for 100 ms of
waiting, 20 s of it: what a queue without management, CoDel (RFC 8289), FQ-CoDel (RFC 8290) and
DualPI2 (RFC 9332) make of them. *waiting* is what the queue adds to the smoothed round trip in the
end. Columns as in `congestion.md`; *share* is of the whole link.

Made by `PROTOQUIC_SIM_UPDATE=1 cargo test -p protoquic-tests --test l4s`. Each test run compares: a
share may differ by 4 points.
";
