//! Draws the network of a plan: lines with their faults, and when NATs rebind and nothing passes.
//! This file must not know who uses it.

use std::time::Duration;

use super::super::dice::Dice;
use super::super::link::{Corruption, EcnTreatment, LinkConfig};
use super::super::loss::{GilbertElliott, Loss};
use super::super::queue::{Aqm, QueueConfig};
use super::plan::millis;

/// Of any order of magnitude from `low` to `high`.
pub(super) fn magnitude(dice: &mut Dice, low: f64, high: f64) -> f64 {
    low * (high / low).powf(dice.unit())
}

pub(super) fn trunk_line(dice: &mut Dice) -> LinkConfig {
    let bandwidth = magnitude(dice, 1e6, 2e8) as u64;
    let delay = Duration::from_secs_f64(magnitude(dice, 0.0005, 0.15));
    let mut line = LinkConfig::with_rate(bandwidth, delay);
    line.queue = queue(dice, line.queue);
    spoil(&mut line, dice);
    line
}

pub(super) fn access_line(dice: &mut Dice) -> LinkConfig {
    let delay = Duration::from_secs_f64(magnitude(dice, 0.0001, 0.05));
    let mut line = LinkConfig { delay, ..LinkConfig::default() };
    if dice.chance(0.3) {
        spoil(&mut line, dice);
    }
    line
}

fn queue(dice: &mut Dice, plain: QueueConfig) -> QueueConfig {
    let aqm = match dice.below(8) {
        0 => Aqm::CoDel { target: millis(5), interval: millis(100) },
        1 => Aqm::Step { threshold: millis(2) },
        2 => Aqm::FqCoDel { target: millis(5), interval: millis(100) },
        3 => Aqm::DualPi2 { target: millis(15), step: millis(1) },
        _ => Aqm::DropTail,
    };
    match dice.below(4) {
        0 => QueueConfig { aqm, ..QueueConfig::packets(dice.between(5, 200) as usize) },
        _ => QueueConfig { aqm, ..plain },
    }
}

/// Gives a line some faults, none of them too bad to be overcome.
fn spoil(line: &mut LinkConfig, dice: &mut Dice) {
    if dice.chance(0.4) {
        line.loss.push(Loss::Random(magnitude(dice, 0.0005, 0.08)));
    }
    if dice.chance(0.2) {
        let (share, burst) = (magnitude(dice, 0.001, 0.03), dice.between(2, 3) as f64);
        // Bad times are counted in datagrams: who sends one at a time must get through them too.
        let chain = GilbertElliott { loss_bad: 0.6, ..GilbertElliott::bursts(share, burst) };
        line.loss.push(Loss::GilbertElliott(chain));
    }
    if dice.chance(0.3) {
        line.jitter = line.delay.mul_f64(dice.unit());
    }
    if dice.chance(0.3) {
        line.reorder = magnitude(dice, 0.001, 0.2);
        line.reorder_delay = line.delay.mul_f64(magnitude(dice, 0.1, 3.0));
    }
    if dice.chance(0.2) {
        line.duplicate = magnitude(dice, 0.001, 0.2);
    }
    if dice.chance(0.2) {
        // Nothing protects a Version Negotiation packet from being changed on its way.
        line.corruption = Corruption {
            rate: magnitude(dice, 0.001, 0.05),
            spares_version_negotiation: true,
            ..line.corruption
        };
    }
    line.ecn = match dice.below(12) {
        0 => EcnTreatment::Bleach,
        1 => EcnTreatment::MarkAll,
        2 => EcnTreatment::Drop,
        _ => EcnTreatment::Carry,
    };
    line.mtu = match dice.below(5) {
        0 => dice.between(1248, 1500) as usize,
        1 => 9000,
        _ => 1500,
    };
}

/// Not so often that no path can ever be proven.
pub(super) fn rebindings(dice: &mut Dice) -> Vec<(Duration, bool)> {
    let mut at = Duration::ZERO;
    (0..dice.below(4))
        .map(|_| {
            at += millis(dice.between(3000, 10_000));
            (at, dice.chance(0.4))
        })
        .collect()
}

/// Far enough apart that a probe timeout gets through between them.
pub(super) fn blackouts(dice: &mut Dice) -> Vec<(Duration, Duration)> {
    if !dice.chance(0.25) {
        return Vec::new();
    }
    let mut at = Duration::ZERO;
    (0..dice.between(1, 3))
        .map(|_| {
            at += millis(dice.between(500, 4000));
            let length = millis(dice.between(50, 3000));
            let blackout = (at, length);
            at += length + Duration::from_secs(15);
            blackout
        })
        .collect()
}
