//! What one ACK frame or one expiry of the loss timer adds up to, before the congestion controller
//! hears of it; and the loss episodes by which spurious reactions are recognised.

use std::ops::Range;

use crate::congestion::{AckedPacket, LostPacket};
use crate::rare::Blank;
use crate::recovery::{RecoveryStats, SentPacket};
use crate::time::Time;
use crate::types::Ecn;

/// Sums over the packets that one event settles.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Packets in flight sent up to then do not let the window grow.
    pub(super) growth_barrier: Option<Time>,
    pub(super) wants_packets: bool,
    pub(super) newly_acked: u32,
    pub(super) ack_eliciting_acked: bool,
    /// The newest acknowledged packet: its number, when it was sent, and whether on this path.
    pub(super) newest_acked: Option<(u64, Time, bool)>,
    pub(super) acked_bytes: u64,
    pub(super) acked_bytes_for_growth: u64,
    pub(super) newest_in_flight_acked: Option<Time>,
    pub(super) acked_ect0: u64,
    pub(super) acked_ect1: u64,
    pub(super) newly_lost: u32,
    pub(super) lost_bytes: u64,
    pub(super) newest_lost_sent: Option<Time>,
    pub(super) persistent_congestion: bool,
    pub(super) spurious: u32,
    pub(super) acked: Vec<AckedPacket>,
    pub(super) lost: Vec<LostPacket>,
}

impl Tally {
    /// Everything zero, memory kept.
    pub(super) fn begin(&mut self, growth_barrier: Option<Time>, wants_packets: bool) {
        let (mut acked, mut lost) =
            (std::mem::take(&mut self.acked), std::mem::take(&mut self.lost));
        acked.clear();
        lost.clear();
        *self = Self { growth_barrier, wants_packets, acked, lost, ..Self::default() };
    }

    /// These were acknowledged, at least one: a packet, or packets of a train.
    pub(super) fn on_acked<F>(
        &mut self,
        numbers: Range<u64>,
        packet: &SentPacket<F>,
        same_path: bool,
    ) {
        let count = numbers.end - numbers.start;
        self.newly_acked += count as u32;
        self.ack_eliciting_acked |= packet.ack_eliciting;
        self.newest_acked = Some((numbers.end - 1, packet.time_sent, same_path));
        if !same_path {
            return;
        }
        match packet.ecn {
            Ecn::Ect0 => self.acked_ect0 += count,
            Ecn::Ect1 => self.acked_ect1 += count,
            Ecn::NotEct | Ecn::Ce => {}
        }
        if !packet.in_flight {
            return;
        }
        let bytes = u64::from(packet.size) * count;
        self.acked_bytes += bytes;
        if self.growth_barrier.is_none_or(|barrier| packet.time_sent > barrier) {
            self.acked_bytes_for_growth += bytes;
        }
        self.newest_in_flight_acked = Some(packet.time_sent);
        if self.wants_packets {
            self.acked.extend(numbers.map(|number| AckedPacket {
                packet_number: number,
                bytes: packet.size,
                time_sent: packet.time_sent,
                delivery: packet.delivery_of(number),
            }));
        }
    }

    /// A packet in flight on this path, and no MTU probe, was lost.
    pub(super) fn on_congestion_loss<F>(&mut self, number: u64, packet: &SentPacket<F>) {
        self.lost_bytes += u64::from(packet.size);
        self.newest_lost_sent = self.newest_lost_sent.max(Some(packet.time_sent));
        self.lost.push(LostPacket {
            packet_number: number,
            bytes: packet.size,
            time_sent: packet.time_sent,
            delivery: packet.delivery_of(number),
        });
    }
}

impl Blank for Tally {
    const BLANK: &'static Self = &Self {
        growth_barrier: None,
        wants_packets: false,
        newly_acked: 0,
        ack_eliciting_acked: false,
        newest_acked: None,
        acked_bytes: 0,
        acked_bytes_for_growth: 0,
        newest_in_flight_acked: None,
        acked_ect0: 0,
        acked_ect1: 0,
        newly_lost: 0,
        lost_bytes: 0,
        newest_lost_sent: None,
        persistent_congestion: false,
        spurious: 0,
        acked: Vec::new(),
        lost: Vec::new(),
    };
}

/// The losses since the latest reduction of the window: when all of them prove spurious, so was
/// the reduction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Episode {
    id: u32,
    start: Option<Time>,
    lost: u32,
    spurious: u32,
    undoable: bool,
}

impl Episode {
    /// The episode of packets whose fate is nobody's concern; no episode ever has it.
    pub(super) const NONE: u32 = u32::MAX;

    /// A packet sent at `sent` was lost at `now`: it begins an episode if it was sent after the
    /// present one began (RFC 9002 §7.3.2). Returns the episode it belongs to.
    pub(super) fn on_lost(&mut self, now: Time, sent: Time, stats: &mut RecoveryStats) -> u32 {
        if self.start.is_none_or(|start| sent > start) {
            *self = Self {
                id: (self.id + 1) % Self::NONE,
                start: Some(now),
                lost: 0,
                spurious: 0,
                undoable: true,
            };
            stats.loss_episodes += 1;
        }
        self.lost += 1;
        self.id
    }

    /// A lost packet of episode `id` arrived.
    pub(super) fn on_spurious(&mut self, id: u32) {
        self.spurious += u32::from(id == self.id);
    }

    /// There was a reason besides the losses: they alone do not undo it.
    pub(super) fn on_other_congestion(&mut self) {
        self.undoable = false;
    }

    /// Whether the reduction has just proved unfounded; true once.
    pub(super) fn take_undo(&mut self) -> bool {
        let undo = self.undoable && self.lost > 0 && self.spurious == self.lost;
        if undo {
            self.undoable = false;
            self.start = None;
        }
        undo
    }
}
