//! [`SentLedger`]: the packets of one packet number space that are neither acknowledged nor lost.
//!
//! Slots lie in the order of packet numbers, one for a packet or for a train of them. Packets are
//! settled (acknowledged, lost) and a settled prefix is dropped; since a packet is lost once a packet
//! a few numbers later is acknowledged, no more than those settled slots lie behind an open one after
//! an ACK, and an ACK costs time in proportion to what it newly settles, however sparse its ranges
//! are. The ledger must not know RTTs, windows or timers.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use crate::error::TransportError;
use crate::recovery::loss::{LossRun, Thresholds};
use crate::recovery::slot::Slot;
use crate::recovery::{FrameSink, SentPacket};
use crate::time::Time;

/// Skipped numbers that are remembered after the packets around them are settled.
const MAX_SKIPPED: usize = 32;
/// Lost packets that are remembered in case they arrive after all.
const MAX_LOST: usize = 128;
/// Packets not in flight that are kept whatever else is open; twice as many before old ones go.
const MIN_ACK_ONLY: usize = 32;

/// One packet number space's sent packets.
#[derive(Debug)]
pub struct SentLedger<F> {
    next: u64,
    largest_acked: Option<u64>,
    slots: VecDeque<Slot<F>>,
    open: OpenCounts,
    skipped: VecDeque<u64>,
    lost: VecDeque<LostRecord>,
    run: LossRun,
    last_eliciting_sent: Time,
    loss_time: Option<Time>,
}

/// How many packets of a kind are open.
#[derive(Clone, Copy, Debug, Default)]
struct OpenCounts {
    eliciting: usize,
    /// Not in flight.
    ack_only: usize,
}

/// A lost packet that may still be acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostRecord {
    pub(super) number: u64,
    pub(super) sent: Time,
    /// Which loss episode of the connection it belongs to.
    pub(super) episode: u32,
    expires: Time,
}

impl<F> Default for SentLedger<F> {
    fn default() -> Self {
        Self {
            next: 0,
            largest_acked: None,
            slots: VecDeque::new(),
            open: OpenCounts::default(),
            skipped: VecDeque::new(),
            lost: VecDeque::new(),
            run: LossRun::default(),
            last_eliciting_sent: Time::ZERO,
            loss_time: None,
        }
    }
}

impl<F> SentLedger<F> {
    /// The number of the packet to be sent next.
    pub const fn next_packet_number(&self) -> u64 {
        self.next
    }

    /// The largest number the peer has acknowledged.
    pub const fn largest_acked(&self) -> Option<u64> {
        self.largest_acked
    }

    /// Whether an ack-eliciting packet is open.
    pub const fn has_ack_eliciting(&self) -> bool {
        self.open.eliciting > 0
    }

    /// When the latest ack-eliciting packet was sent.
    pub const fn last_ack_eliciting_sent(&self) -> Time {
        self.last_eliciting_sent
    }

    /// When the next packet is lost by the passing of time.
    pub const fn loss_time(&self) -> Option<Time> {
        self.loss_time
    }

    /// How many slots are in use; a measure of memory.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no packet is open.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Leaves the next number out. An ACK of it proves that the peer acknowledges what it has not
    /// received (RFC 9000 §21.4). Returns the number.
    pub fn skip(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.skipped.len() == MAX_SKIPPED {
            self.skipped.pop_front();
        }
        self.skipped.push_back(number);
        number
    }

    /// Enters a packet under the next number, or a train of `count` under the next numbers.
    pub fn push(&mut self, mut packet: SentPacket<F>, count: u32) {
        if packet.ack_eliciting {
            self.open.eliciting += count as usize;
            self.last_eliciting_sent = packet.time_sent;
        }
        if !packet.in_flight {
            self.open.ack_only += count as usize;
            self.bound_ack_only();
        }
        packet.number = self.next;
        self.next += u64::from(count);
        self.slots.push_back(Slot::new(packet, count));
    }

    /// Checks one range of an ACK frame (RFC 9000 §13.1).
    pub fn check_range(&self, range: &RangeInclusive<u64>) -> Result<(), TransportError> {
        let (first, last) = (*range.start(), *range.end());
        if last >= self.next {
            return Err(TransportError::protocol_violation(format!(
                "ACK of packet {last}, but the next to be sent is {}",
                self.next
            )));
        }
        let at = self.skipped.partition_point(|&number| number < first);
        match self.skipped.get(at) {
            Some(&number) if number <= last => Err(TransportError::protocol_violation(format!(
                "ACK of packet {number}, which was never sent"
            ))),
            _ => Ok(()),
        }
    }

    /// The lowest number of which an ACK can change anything.
    pub(super) fn lowest_relevant(&self) -> u64 {
        let open = self.slots.front().map_or(self.next, Slot::first);
        self.lost.front().map_or(open, |lost| lost.number.min(open))
    }

    /// Notes that `number` is acknowledged; whether it is the largest so far.
    pub(super) fn raise_largest_acked(&mut self, number: u64) -> bool {
        let larger = self.largest_acked.is_none_or(|largest| number > largest);
        if larger {
            self.largest_acked = Some(number);
        }
        larger
    }

    /// Settles the open packets from `first` to `last` as acknowledged. Those of a train that
    /// follow one another are handed over together.
    pub(super) fn take_acked(
        &mut self,
        first: u64,
        last: u64,
        mut on_acked: impl FnMut(Range<u64>, &SentPacket<F>),
    ) {
        let mut at = self.position(first);
        while let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.packet().number <= last) {
            slot.close(first, last, |numbers, packet| {
                self.open.forget(packet, (numbers.end - numbers.start) as usize);
                on_acked(numbers, packet);
            });
            at += 1;
        }
    }

    /// Forgets the lost packets from `first` to `last`, which have arrived after all.
    pub(super) fn take_spurious(
        &mut self,
        first: u64,
        last: u64,
        mut on_spurious: impl FnMut(LostRecord),
    ) {
        let at = self.lost.partition_point(|lost| lost.number < first);
        while self.lost.get(at).is_some_and(|lost| lost.number <= last) {
            if let Some(lost) = self.lost.remove(at) {
                on_spurious(lost);
            }
        }
    }

    /// Settles the packets that are lost by now, oldest first, and finds the next loss time
    /// (RFC 9002 §A.10). `on_lost` returns the loss episode that a packet belongs to; the packet is
    /// remembered until `expires`, in case it arrives after all.
    pub(super) fn take_lost(
        &mut self,
        thresholds: &Thresholds,
        expires: Time,
        mut on_lost: impl FnMut(u64, &SentPacket<F>, &mut LossRun) -> u32,
    ) {
        self.loss_time = None;
        let Some(largest) = self.largest_acked else {
            return;
        };
        while let Some(slot) = self.slots.front_mut() {
            if slot.pass_closed() {
                self.run.reset();
            }
            let Some(number) = slot.first_open() else {
                self.slots.pop_front();
                continue;
            };
            let sent = slot.packet().time_sent;
            // Packets are sent in order: the first that is not lost ends the lost ones.
            if !thresholds.is_lost(number, sent, largest) {
                break;
            }
            slot.pass_open();
            self.open.forget(slot.packet(), 1);
            let episode = on_lost(number, slot.packet(), &mut self.run);
            self.remember_lost(LostRecord { number, sent, episode, expires });
        }
        let before_largest = self.slots.iter().take_while(|slot| slot.first() < largest);
        self.loss_time = before_largest
            .filter(|slot| slot.first_open().is_some_and(|number| number < largest))
            .find(|slot| slot.packet().in_flight)
            .map(|slot| slot.packet().time_sent + thresholds.delay);
    }

    /// Forgets the lost packets that are not expected any more.
    pub(super) fn expire_lost(&mut self, now: Time) {
        while self.lost.front().is_some_and(|lost| lost.expires <= now) {
            self.lost.pop_front();
        }
    }

    /// The open ack-eliciting packets, oldest first.
    pub fn ack_eliciting(&self) -> impl Iterator<Item = (u64, &SentPacket<F>)> {
        self.packets().filter(|(_, packet)| packet.ack_eliciting)
    }

    /// All open packets, oldest first.
    pub(super) fn packets(&self) -> impl Iterator<Item = (u64, &SentPacket<F>)> {
        self.slots.iter().flat_map(|slot| slot.open_numbers().map(|number| (number, slot.packet())))
    }

    /// Hands all open packets over as lost and begins anew, but with the next number.
    pub(super) fn abandon(&mut self, space: crate::Space, sink: &mut impl FrameSink<F>) {
        for (number, packet) in self.packets() {
            sink.on_packet_lost(space, number, packet);
        }
        *self = Self {
            next: self.next,
            largest_acked: self.largest_acked,
            skipped: std::mem::take(&mut self.skipped),
            ..Self::default()
        };
    }

    /// Gives memory back that a burst needed and an idle connection does not.
    pub fn release_memory(&mut self) {
        self.slots.shrink_to(0);
        self.lost.shrink_to(0);
        self.skipped.shrink_to(0);
    }

    /// The index of the first slot that does not end below `number`. Without trains, or holes in
    /// the numbers, it is found at once.
    fn position(&self, number: u64) -> usize {
        let Some(front) = self.slots.front() else {
            return 0;
        };
        if number < front.end() {
            return 0;
        }
        let guess = usize::try_from(number - front.packet().number).unwrap_or(usize::MAX);
        match self.slots.get(guess) {
            Some(slot) if slot.packet().number == number => guess,
            _ => self.slots.partition_point(|slot| slot.end() <= number),
        }
    }

    fn remember_lost(&mut self, record: LostRecord) {
        if self.lost.len() == MAX_LOST {
            self.lost.pop_front();
        }
        self.lost.push_back(record);
    }

    /// A peer that never acknowledges our acknowledgements must not make us remember them all.
    /// Old ones are dropped unreported: nothing depends on their fate.
    fn bound_ack_only(&mut self) {
        let in_flight = self.slots.len().saturating_sub(self.open.ack_only);
        if self.open.ack_only <= 2 * MIN_ACK_ONLY + in_flight {
            return;
        }
        let mut surplus = self.open.ack_only - MIN_ACK_ONLY;
        self.slots.retain(|slot| {
            let open = slot.open_count() as usize;
            let drop = !slot.packet().in_flight && (1..=surplus).contains(&open);
            surplus -= if drop { open } else { 0 };
            !drop
        });
        self.open.ack_only = MIN_ACK_ONLY + surplus;
    }
}

impl OpenCounts {
    /// So many packets like this one were settled.
    fn forget<F>(&mut self, packet: &SentPacket<F>, count: usize) {
        self.eliciting -= if packet.ack_eliciting { count } else { 0 };
        self.ack_only -= if packet.in_flight { 0 } else { count };
    }
}
