//! Random networks and mixes of everything, each from a seed, with what must always hold checked.
//! `PROTOQUIC_SIM_SEED=n` replays one seed, with `PROTOQUIC_SIM_TRACE=1` datagram by datagram;
//! `PROTOQUIC_SIM_SEEDS=n` sets how many are tried, `PROTOQUIC_SIM_FIRST=n` from which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use protoquic_tests::sim::fuzz::{Plan, Summary, run, run_captured};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn play(seed: u64) -> Result<Summary, u64> {
    catch_unwind(AssertUnwindSafe(|| run(&Plan::new(seed)))).map_err(|_| {
        println!("seed {seed}: violated. PROTOQUIC_SIM_SEED={seed} replays it");
        seed
    })
}

#[test]
fn whatever_happens_what_must_hold_holds() {
    if let Some(seed) = number("PROTOQUIC_SIM_SEED") {
        let plan = Plan::new(seed);
        println!("{plan:#?}");
        let trace = number("PROTOQUIC_SIM_TRACE").is_some();
        let summary = run_captured(&plan, move |seen| {
            if trace {
                println!("{seen:?}");
            }
        });
        println!("seed {seed}: {summary:?}");
        return;
    }
    let first = number("PROTOQUIC_SIM_FIRST").unwrap_or(1);
    let end = first + number("PROTOQUIC_SIM_SEEDS").unwrap_or(120);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Summary::default(), Vec::new()));
    let worker = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < end
        {
            let result = play(seed);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(summary) => total.0.add(&summary),
                Err(seed) => total.1.push(seed),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(worker);
        scope.spawn(worker);
    });
    let (summary, violated) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("seeds {first} to {}: {summary:?}", end - 1);
    assert!(violated.is_empty(), "{} seeds violated: {violated:?}", violated.len());
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 1..30 {
        let [one, other] = [(); 2].map(|()| run(&Plan::new(seed)));
        assert_eq!(one, other, "seed {seed}");
    }
}
