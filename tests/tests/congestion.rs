//! The congestion controllers on simulated links, beside what the links can carry, compared with
//! the table in `tests/snapshots/congestion.md`.
//!
//! `PROTOQUIC_SIM_FULL=1` measures all links, not only the cheap ones (use a release build);
//! `PROTOQUIC_SIM_UPDATE=1` writes what was measured into the table instead of comparing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protoquic::congestion::{CongestionControl, SendAlgorithmFactory};
use protoquic_tests::sim::{Experiment, LinkConfig, Outcome, Row, Table};

type Controller = (&'static str, Arc<dyn SendAlgorithmFactory>);

/// A new controller is one more line.
fn controllers() -> Vec<Controller> {
    vec![
        ("newreno", Arc::new(CongestionControl::NewReno)),
        ("cubic", Arc::new(CongestionControl::Cubic)),
        ("cubic-strict", Arc::new(CongestionControl::CubicStrict)),
        ("bbr", Arc::new(CongestionControl::Bbr)),
        ("prague", Arc::new(CongestionControl::Prague)),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    megabits: u64,
    rtt_millis: u64,
    /// Of a thousand datagrams.
    loss: u32,
}

fn grid() -> Vec<Cell> {
    let mut grid = Vec::new();
    for megabits in [10, 100, 1000] {
        for rtt_millis in [10, 50, 100, 300] {
            for loss in [0, 1, 10, 50] {
                grid.push(Cell { megabits, rtt_millis, loss });
            }
        }
    }
    grid
}

impl Cell {
    /// Whether a debug build measures it in no time.
    fn is_cheap(self) -> bool {
        let fast = self.megabits == 100 && self.rtt_millis <= 50 && self.loss <= 10;
        self.loss != 1 && (self.megabits == 10 || fast)
    }

    fn rtt(self) -> Duration {
        Duration::from_millis(self.rtt_millis)
    }

    fn experiment(self, controller: Arc<dyn SendAlgorithmFactory>) -> Experiment {
        let rtt = self.rtt();
        let line = LinkConfig::with_rate(self.megabits * 1_000_000, rtt / 2);
        let mut experiment =
            Experiment::one(controller, line.losing(f64::from(self.loss) / 1000.0));
        // Long enough to leave the beginning behind: what is asked is what a controller holds.
        experiment.warm_up = (50 * rtt).max(Duration::from_secs(3));
        experiment.measured = (50 * rtt).max(Duration::from_secs(5));
        if self.loss > 0 {
            experiment.lost_packets = ENOUGH_LOSSES;
        }
        if self.loss > 0 && self.megabits == 1000 {
            // Losses hold back what is read, and so the growth of a window of many megabytes.
            experiment.warm_up = (80 * rtt).max(experiment.warm_up);
        }
        experiment.seed = 1;
        experiment
    }

    fn row(self, controller: Controller) -> Row {
        let experiment = self.experiment(controller.1);
        let outcome = experiment.run();
        let scenario = [
            format!("{} Mbit/s", self.megabits),
            format!("{} ms", self.rtt_millis),
            format!("{} %", f64::from(self.loss) / 10.0),
            controller.0.to_owned(),
        ];
        Row::new(&scenario, experiment.limit(), &outcome.flows[0])
    }
}

/// After so many losses their luck has evened out.
const ENOUGH_LOSSES: u64 = 100;

/// Does all of the work, two pieces at a time; the results are in the order of the work.
fn in_pairs<T: Sync, R: Send>(work: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(piece) = work.get(at)
        {
            results.push((at, run(piece)));
        }
        results
    };
    let mut results = std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let mut results = worker();
        results.extend(other.join().expect("no experiment panics"));
        results
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The rows of all cells.
fn measure(cells: &[Cell]) -> Vec<(Cell, Row)> {
    let work: Vec<(Cell, Controller)> = cells
        .iter()
        .flat_map(|cell| controllers().into_iter().map(|controller| (*cell, controller)))
        .collect();
    in_pairs(&work, |(cell, controller)| (*cell, cell.row(controller.clone())))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

fn kept() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots/congestion.md")
}

const HEADING: &str = "\
# Congestion controllers on simulated links

One upload through one bottleneck: its bandwidth, the round trip, random loss towards the server; a
queue of one bandwidth-delay product. *limit* is what the link carries if packets are nothing but UDP
payload of 1452 bytes, *goodput* the stream data that the server read, after 50 round trips (at least
3 s) of warm-up, for 50 more (at least 5 s, and with loss until 100 packets were lost or 40 times as
long; at 1000 Mbit/s with loss the warm-up is 80 round trips); *worst* and *best tenth* are of 50
round trips or 5 s, *resent* is the share of packets that were declared lost, of the whole run.

Made by `PROTOQUIC_SIM_FULL=1 PROTOQUIC_SIM_UPDATE=1 cargo test --release -p protoquic-tests --test
congestion`. Each test run compares: a share may differ by 3 points, or by 35 % of itself on links with
loss, where one lost packet more changes everything after it.
";

/// What a controller must hold of a link without loss, in hundredths.
const WITHOUT_LOSS: f64 = 95.0;

#[test]
fn each_controller_beside_the_limit_of_the_link() {
    let full = is_set("PROTOQUIC_SIM_FULL");
    let cells: Vec<Cell> = grid().into_iter().filter(|cell| full || cell.is_cheap()).collect();
    let measured = measure(&cells);
    let mut table = Table::new(&["bandwidth", "RTT", "loss", "controller"]);
    table.rows = measured.iter().map(|(_, row)| row.clone()).collect();
    println!("{}", table.to_markdown());
    if is_set("PROTOQUIC_SIM_UPDATE") {
        assert!(full, "the kept table has all links: set PROTOQUIC_SIM_FULL=1 too");
        table.keep(&kept(), HEADING).expect("the table can be written");
    }
    let slow: Vec<_> = measured
        .iter()
        .filter(|(cell, row)| row.share() < least(*cell, row))
        .map(|(_, row)| format!("{}: {:.1} %", row.scenario.join(", "), row.share()))
        .collect();
    assert!(slow.is_empty(), "less than it should be: {slow:#?}");
    let text = std::fs::read_to_string(kept()).expect("the kept table is there");
    let differences = table.differences(&text, |share| (0.35 * share).min(100.0 - share).max(3.0));
    assert!(differences.is_empty(), "see HEADING for how to keep a new table: {differences:#?}");
}

/// What a controller must hold of a link, in hundredths.
fn least(cell: Cell, row: &Row) -> f64 {
    let is_bbr = row.scenario.last().is_some_and(|name| name == "bbr");
    if cell.loss == 0 {
        WITHOUT_LOSS
    } else if is_bbr && cell.loss <= 10 {
        BBR_WITH_LOSS
    } else {
        0.0
    }
}

/// What BBR must hold of a link with random loss of up to 1 %, in hundredths.
const BBR_WITH_LOSS: f64 = 85.0;

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let cell = Cell { megabits: 10, rtt_millis: 50, loss: 10 };
    let run = |seed| {
        let mut experiment = cell.experiment(Arc::new(CongestionControl::Cubic));
        experiment.seed = seed;
        format!("{:?}", experiment.run())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn packets_out_of_order_are_not_taken_for_congestion() {
    // RFC 9002 §6.1: the thresholds adapt, and what was reduced for nothing is undone.
    let shares = in_pairs(&controllers(), |(name, controller)| {
        let cell = Cell { megabits: 20, rtt_millis: 40, loss: 0 };
        let mut experiment = cell.experiment(controller.clone());
        (experiment.line.reorder, experiment.line.reorder_delay) = (0.01, cell.rtt() / 4);
        let outcome = experiment.run();
        (*name, outcome.flows[0], outcome.flows[0].goodput * 100.0 / experiment.limit())
    });
    for (name, flow, share) in shares {
        println!("{name}: {share:.1} %, {} spurious losses", flow.stats.spurious_losses);
        assert!(flow.stats.spurious_losses > 0, "{name}");
        assert!(share > 90.0, "{name}: {share:.1} %");
    }
}

/// Two flows of CUBIC on 20 Mbit/s, the second two seconds late.
fn two_flows(rtt_millis: u64, seed: u64) -> (Experiment, Outcome) {
    let cell = Cell { megabits: 20, rtt_millis, loss: 0 };
    let mut experiment = cell.experiment(Arc::new(CongestionControl::Cubic));
    experiment.flows.push(Arc::new(CongestionControl::Cubic));
    // Without any jitter the phases of the two lock, and one always finds the queue full.
    experiment.line.jitter = Duration::from_micros(200);
    experiment.stagger = Duration::from_secs(2);
    experiment.warm_up = Duration::from_secs(30);
    experiment.measured = Duration::from_mins(1);
    experiment.seed = seed;
    let outcome = experiment.run();
    (experiment, outcome)
}

#[test]
fn two_cubic_flows_share_a_link() {
    let seeds = if is_set("PROTOQUIC_SIM_FULL") { 10 } else { 3 };
    let work: Vec<(u64, u64)> =
        [20, 100].into_iter().flat_map(|rtt| (1..=seeds).map(move |seed| (rtt, seed))).collect();
    let shares = in_pairs(&work, |&(rtt_millis, seed)| {
        let (experiment, outcome) = two_flows(rtt_millis, seed);
        let total: f64 = outcome.flows.iter().map(|flow| flow.goodput).sum();
        assert!(total > 0.95 * experiment.limit());
        let first = outcome.flows[0].goodput * 100.0 / total;
        println!("{rtt_millis} ms, seed {seed}: {first:.1} : {:.1}", 100.0 - first);
        first
    });
    // One run has time for a few periods of CUBIC only, so that a share of one seed is luck.
    for (shares, rtt_millis) in shares.chunks(seeds as usize).zip([20, 100]) {
        let first = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((40.0..=60.0).contains(&first), "{rtt_millis} ms: {first:.1} % for the first");
    }
}
