//! What an ACK frame does (RFC 9002 §A.7): settles packets, samples the RTT, checks ECN, finds
//! losses, and tells the congestion controller once.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::congestion::CongestionEvent;
use crate::error::TransportError;
use crate::recovery::ecn::EcnReport;
use crate::recovery::loss::{Thresholds, persistent_congestion_duration};
use crate::recovery::tally::Episode;
use crate::recovery::{FrameSink, Recovery};
use crate::time::Time;
use crate::types::{EcnCounts, Space};

/// A lost packet is remembered for so many probe timeouts, in case it arrives after all.
const SPURIOUS_PTOS: u32 = 3;

/// What an ACK frame changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckSummary {
    /// Packets newly acknowledged.
    pub newly_acked: u32,
    /// The largest number among them.
    pub largest_newly_acked: Option<u64>,
    /// Whether one of them was ack-eliciting.
    pub ack_eliciting_acked: bool,
    /// Whether the RTT was sampled.
    pub rtt_updated: bool,
    /// Packets declared lost.
    pub newly_lost: u32,
    /// Packets acknowledged that had been declared lost.
    pub spurious_losses: u32,
    /// Whether persistent congestion was established (RFC 9002 §7.6).
    pub persistent_congestion: bool,
    /// Packets newly reported as marked CE.
    pub ce_marks: u64,
}

impl<F> Recovery<F> {
    /// An ACK frame arrived. Its `ranges` come newest first; `ack_delay` is already scaled by the
    /// peer's exponent.
    ///
    /// Packets go to `sink` in rising order, acknowledged ones before lost ones. An ACK of a packet
    /// that was not sent is a PROTOCOL_VIOLATION, and then nothing is changed (RFC 9000 §13.1).
    pub fn on_ack_received(
        &mut self,
        now: Time,
        space: Space,
        ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
        ack_delay: Duration,
        ecn: Option<EcnCounts>,
        sink: &mut impl FrameSink<F>,
    ) -> Result<AckSummary, TransportError> {
        let Some(largest) = self.collect_ranges(space, ranges)? else {
            return Ok(AckSummary::default());
        };
        let raised = self.ledger(space).raise_largest_acked(largest);
        let prior_in_flight = self.bytes_in_flight;
        self.begin_tally();
        self.settle_acked(now, space, sink);
        self.settle_spurious(now, space);
        if self.tally.newly_acked == 0 {
            return Ok(self.summary(false, 0));
        }
        let rtt_updated = self.sample_rtt(now, space, largest, ack_delay);
        let marks = if raised { self.check_ecn(space, ecn) } else { EcnCounts::default() };
        self.detect_losses(now, space, sink);
        if space == Space::Handshake {
            // RFC 9002 §6.2.2.1: proof that the server has validated our address
            self.handshake.peer_completed_address_validation = true;
        }
        if self.handshake.peer_completed_address_validation {
            self.pto_count = 0; // RFC 9002 §6.2.1
        }
        self.deadlock_base = now;
        self.report(now, prior_in_flight, rtt_updated, marks);
        Ok(self.summary(rtt_updated, marks.ce))
    }

    /// Checks all ranges and keeps those that can change something. Returns the largest number.
    fn collect_ranges(
        &mut self,
        space: Space,
        ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
    ) -> Result<Option<u64>, TransportError> {
        let ledger = &*self.ledgers.get_mut(space);
        let lowest = ledger.lowest_relevant();
        let mut largest = None;
        self.ranges.clear();
        for range in ranges {
            ledger.check_range(&range)?;
            let (first, last) = range.into_inner();
            largest = largest.max(Some(last));
            if last >= lowest && first <= last {
                self.ranges.push((first.max(lowest), last));
            }
        }
        Ok(largest)
    }

    pub(super) fn begin_tally(&mut self) {
        let barrier = self.algorithm.recovery_start();
        self.tally.begin(barrier, self.algorithm.wants_packets());
    }

    fn settle_acked(&mut self, now: Time, space: Space, sink: &mut impl FrameSink<F>) {
        let (ledger, tally) = (self.ledgers.get_mut(space), &mut *self.tally);
        for &(first, last) in self.ranges.iter().rev() {
            ledger.take_acked(first, last, |numbers, packet| {
                let same_path = packet.path == self.path;
                if same_path && packet.in_flight {
                    let bytes = u64::from(packet.size) * (numbers.end - numbers.start);
                    self.bytes_in_flight -= bytes;
                    let newest = packet.delivery_of(numbers.end - 1);
                    self.delivery.on_packets_acked(now, packet.time_sent, bytes, &newest);
                }
                tally.on_acked(numbers.clone(), packet, same_path);
                sink.on_packets_acked(space, numbers, packet);
            });
        }
        self.stats.packets_acked += u64::from(tally.newly_acked);
    }

    fn settle_spurious(&mut self, now: Time, space: Space) {
        let delay = self.reordering.loss_delay(&self.rtt);
        let ledger = self.ledgers.get_mut(space);
        ledger.expire_lost(now);
        let largest = ledger.largest_acked().unwrap_or(0);
        for &(first, last) in self.ranges.iter().rev() {
            ledger.take_spurious(first, last, |lost| {
                self.tally.spurious += 1;
                self.episode.on_spurious(lost.episode);
                let behind = largest.saturating_sub(lost.number);
                self.reordering.on_spurious_loss(behind, lost.sent + delay <= now);
            });
        }
        self.stats.spurious_losses += u64::from(self.tally.spurious);
        if self.tally.spurious > 0 && self.episode.take_undo() {
            self.algorithm.on_spurious_loss(now);
            self.update_pacing(now);
        }
    }

    /// RFC 9002 §5.1: only if the largest acknowledged packet is newly so, and an ack-eliciting
    /// packet is. §5.3 says how far the peer's ack delay is believed.
    fn sample_rtt(&mut self, now: Time, space: Space, largest: u64, ack_delay: Duration) -> bool {
        let Some((number, sent, same_path)) = self.tally.newest_acked else {
            return false;
        };
        if number != largest || !self.tally.ack_eliciting_acked || !same_path {
            return false;
        }
        let ack_delay = match space {
            Space::Initial => Duration::ZERO,
            _ if self.handshake.confirmed => ack_delay.min(self.max_ack_delay),
            _ => ack_delay,
        };
        self.rtt.on_sample(now, now - sent, ack_delay);
        true
    }

    fn check_ecn(&mut self, space: Space, counts: Option<EcnCounts>) -> EcnCounts {
        let report = EcnReport {
            counts,
            acked_ect0: self.tally.acked_ect0,
            acked_ect1: self.tally.acked_ect1,
        };
        let marks = self.ecn.on_ack(space, &report);
        self.stats.ce_marks += marks.ce;
        marks
    }

    /// RFC 9002 §A.10, and §7.6 for persistent congestion.
    pub(super) fn detect_losses(&mut self, now: Time, space: Space, sink: &mut impl FrameSink<F>) {
        self.reordering.forget_if_quiet();
        let thresholds = Thresholds {
            now,
            packets: self.reordering.packet_threshold(),
            delay: self.reordering.loss_delay(&self.rtt),
        };
        let episodes = self.stats.loss_episodes;
        let persistent = persistent_congestion_duration(&self.rtt, self.max_ack_delay);
        let expires = now + (self.rtt.pto_base() + self.max_ack_delay) * SPURIOUS_PTOS;
        let first_sample = self.rtt.first_sample();
        let (tally, ecn) = (&mut *self.tally, &mut self.ecn);
        let (episode, stats) = (&mut self.episode, &mut self.stats);
        let delivery = &mut self.delivery;
        let ledger = self.ledgers.get_mut(space);
        ledger.take_lost(&thresholds, expires, |number, packet, run| {
            tally.newly_lost += 1;
            stats.packets_lost += 1;
            stats.bytes_lost += u64::from(packet.size);
            let mut belongs_to = Episode::NONE;
            if packet.in_flight && packet.path == self.path {
                self.bytes_in_flight -= u64::from(packet.size);
                ecn.on_packet_lost(packet.ecn);
                if !packet.mtu_probe {
                    tally.on_congestion_loss(number, packet);
                    delivery.on_packet_lost(packet.size);
                    belongs_to = episode.on_lost(now, packet.time_sent, stats);
                }
                // RFC 9002 §7.6.2: only packets sent after the first RTT sample
                let sampled = first_sample.is_some_and(|first| packet.time_sent > first);
                if packet.ack_eliciting && sampled && !packet.mtu_probe {
                    run.on_lost(packet.time_sent);
                    if run.duration() > persistent {
                        tally.persistent_congestion = true;
                        run.reset();
                    }
                }
            }
            sink.on_packet_lost(space, number, packet);
            belongs_to
        });
        if self.stats.loss_episodes > episodes {
            self.reordering.on_loss_episode();
        }
    }

    /// Tells the congestion controller, and has the pacer follow it.
    pub(super) fn report(
        &mut self,
        now: Time,
        prior_in_flight: u64,
        rtt_updated: bool,
        marks: EcnCounts,
    ) {
        let rate_sample = self.delivery.take_sample(self.rtt.min());
        let tally = &*self.tally;
        if tally.acked_bytes > 0 || tally.lost_bytes > 0 || marks.ce > 0 {
            self.algorithm.on_congestion_event(&CongestionEvent {
                now,
                rtt: &self.rtt,
                rtt_updated,
                prior_in_flight,
                bytes_in_flight: self.bytes_in_flight,
                acked_bytes: tally.acked_bytes,
                acked_bytes_for_growth: tally.acked_bytes_for_growth,
                newest_acked_sent: tally.newest_in_flight_acked,
                lost_bytes: tally.lost_bytes,
                newest_lost_sent: tally.newest_lost_sent,
                ce_count: marks.ce,
                ect_count: marks.ect0.saturating_add(marks.ect1),
                rate_sample,
                total_delivered: self.delivery.delivered(),
                total_lost: self.delivery.lost(),
                acked: &tally.acked,
                lost: &tally.lost,
            });
        }
        if marks.ce > 0 || tally.persistent_congestion {
            self.episode.on_other_congestion();
        }
        if tally.persistent_congestion {
            self.stats.persistent_congestions += 1;
            self.algorithm.on_persistent_congestion(now);
            self.rtt.on_persistent_congestion();
        }
        self.update_pacing(now);
    }

    fn summary(&self, rtt_updated: bool, ce_marks: u64) -> AckSummary {
        AckSummary {
            newly_acked: self.tally.newly_acked,
            largest_newly_acked: self.tally.newest_acked.map(|(number, ..)| number),
            ack_eliciting_acked: self.tally.ack_eliciting_acked,
            rtt_updated,
            newly_lost: self.tally.newly_lost,
            spurious_losses: self.tally.spurious,
            persistent_congestion: self.tally.persistent_congestion,
            ce_marks,
        }
    }
}
