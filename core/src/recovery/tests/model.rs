//! A random history of sending, skipping, acknowledging and waiting, against a model that keeps
//! every packet in a map and applies RFC 9002 §6.1 literally.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::harness::{APP, Peer};
use crate::helper::{RandomGenerator, SeededRandom};
use crate::time::Time;

#[derive(Default)]
struct Model {
    open: BTreeMap<u64, Time>,
    skipped: BTreeSet<u64>,
    largest: Option<u64>,
    acked: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Model {
    fn ack(&mut self, range: &RangeInclusive<u64>) {
        self.largest = self.largest.max(Some(*range.end()));
        let acked: Vec<u64> = self.open.range(range.clone()).map(|(&n, _)| n).collect();
        for number in acked {
            self.open.remove(&number);
            self.acked.insert(number);
        }
    }

    fn detect_losses(&mut self, now: Time, peer: &Peer) {
        let Some(largest) = self.largest else { return };
        let delay = peer.recovery.reordering().loss_delay(peer.recovery.rtt());
        let packets = peer.recovery.reordering().packet_threshold();
        self.open.retain(|&number, &mut sent| {
            let lost = number < largest && (number + packets <= largest || sent + delay <= now);
            if lost {
                self.lost.insert(number);
            }
            !lost
        });
    }

    fn matches(&self, peer: &Peer) -> bool {
        let acked: BTreeSet<u64> = peer.fates.acked.iter().copied().collect();
        let lost: BTreeSet<u64> = peer.fates.lost.iter().copied().collect();
        acked.len() == peer.fates.acked.len()
            && lost.len() == peer.fates.lost.len()
            && acked == self.acked
            && lost == self.lost
            && peer.recovery.bytes_in_flight() == 1200 * self.open.len() as u64
    }
}

fn random_ack(
    random: &mut SeededRandom,
    next: u64,
    skipped: &BTreeSet<u64>,
) -> Vec<RangeInclusive<u64>> {
    let (mut ranges, mut top) = (Vec::new(), next);
    while top > 0 && ranges.len() < 8 {
        let last = top - 1 - (random.next_u64() % 4).min(top - 1);
        let mut first = last - (random.next_u64() % 12).min(last);
        if let Some(&hole) = skipped.range(first..=last).next_back() {
            first = hole + 1; // an honest peer
        }
        if first > last {
            top = last;
            continue;
        }
        ranges.push(first..=last);
        top = first.saturating_sub(1);
    }
    ranges
}

fn run(seed: u64) {
    let mut random = SeededRandom::new(seed);
    let (mut peer, mut model) = (Peer::new(), Model::default());
    for step in 0..400 {
        let newly = match random.next_u64() % 10 {
            8.. => {
                let count = 1 + random.next_u64() % 64;
                let first = peer.recovery.next_packet_number(APP);
                model.open.extend((first..first + count).map(|number| (number, peer.now)));
                peer.send_train(count as u32);
                0
            }
            0..4 => {
                for _ in 0..random.next_u64() % 12 {
                    model.open.insert(peer.recovery.next_packet_number(APP), peer.now);
                    peer.send();
                }
                0
            }
            4 => {
                model.skipped.insert(peer.recovery.skip_packet_number(APP));
                while model.skipped.len() > 32 {
                    model.skipped.pop_first();
                }
                0
            }
            5 => {
                peer.wait(random.next_u64() % 50);
                0
            }
            _ => {
                let next = peer.recovery.next_packet_number(APP);
                let ranges = random_ack(&mut random, next, &model.skipped);
                for range in &ranges {
                    model.ack(range);
                }
                peer.ack(&ranges).newly_acked
            }
        };
        if newly > 0 {
            model.detect_losses(peer.now, &peer);
        } else if let Some(loss) = peer.recovery.ledgers.get(APP).unwrap().loss_time()
            && loss <= peer.now
        {
            peer.recovery.on_deadline(peer.now, &mut peer.fates);
            model.detect_losses(peer.now, &peer);
        }
        assert!(model.matches(&peer), "seed {seed}, step {step}");
    }
}

#[test]
fn a_random_history_matches_the_model() {
    for seed in 0..300 {
        run(seed);
    }
}
