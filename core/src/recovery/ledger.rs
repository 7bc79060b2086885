//! [`SentLedger`]: the packets of one packet number space that are neither acknowledged nor lost.
//!
//! Slots lie in the order of packet numbers. Packets are settled (acknowledged, lost) and a settled
//! prefix is dropped; since a packet is lost once a packet a few numbers later is acknowledged, no
//! more than those settled slots lie behind an open one after an ACK, and an ACK costs time in
//! proportion to what it newly settles, however sparse its ranges are. The ledger must not know
//! RTTs, windows or timers.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::error::TransportError;
use crate::recovery::loss::{LossRun, Thresholds};
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
    /// Open packets that are ack-eliciting.
    eliciting: usize,
    /// Open packets that are not in flight.
    ack_only: usize,
    skipped: VecDeque<u64>,
    lost: VecDeque<LostRecord>,
    run: LossRun,
    last_eliciting_sent: Time,
    loss_time: Option<Time>,
}

#[derive(Debug)]
struct Slot<F> {
    number: u64,
    /// `None` once it is settled.
    packet: Option<SentPacket<F>>,
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
            eliciting: 0,
            ack_only: 0,
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
        self.eliciting > 0
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

    /// Enters a packet under the next number.
    pub fn push(&mut self, packet: SentPacket<F>) {
        if packet.ack_eliciting {
            self.eliciting += 1;
            self.last_eliciting_sent = packet.time_sent;
        }
        if !packet.in_flight {
            self.ack_only += 1;
            self.bound_ack_only();
        }
        let number = self.next;
        self.next += 1;
        self.slots.push_back(Slot { number, packet: Some(packet) });
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
        let open = self.slots.front().map_or(self.next, |slot| slot.number);
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

    /// Settles the open packets from `first` to `last` as acknowledged.
    pub(super) fn take_acked(
        &mut self,
        first: u64,
        last: u64,
        mut on_acked: impl FnMut(u64, SentPacket<F>),
    ) {
        let mut at = self.position(first);
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.number > last {
                break;
            }
            let number = slot.number;
            if let Some(packet) = slot.packet.take() {
                self.forget(&packet);
                on_acked(number, packet);
            }
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
        mut on_lost: impl FnMut(u64, SentPacket<F>, &mut LossRun) -> u32,
    ) {
        self.loss_time = None;
        let Some(largest) = self.largest_acked else {
            return;
        };
        while let Some(slot) = self.slots.front() {
            match &slot.packet {
                None => self.run.reset(),
                // Packets are sent in order: the first that is not lost ends the lost ones.
                Some(packet) if !thresholds.is_lost(slot.number, packet.time_sent, largest) => {
                    break;
                }
                Some(_) => {}
            }
            if let Some(Slot { number, packet: Some(packet) }) = self.slots.pop_front() {
                self.forget(&packet);
                let sent = packet.time_sent;
                let episode = on_lost(number, packet, &mut self.run);
                self.remember_lost(LostRecord { number, sent, episode, expires });
            }
        }
        let before_largest = self.slots.iter().take_while(|slot| slot.number < largest);
        self.loss_time = before_largest
            .filter_map(|slot| slot.packet.as_ref())
            .find(|packet| packet.in_flight)
            .map(|packet| packet.time_sent + thresholds.delay);
    }

    /// Forgets the lost packets that are not expected any more.
    pub(super) fn expire_lost(&mut self, now: Time) {
        while self.lost.front().is_some_and(|lost| lost.expires <= now) {
            self.lost.pop_front();
        }
    }

    /// The open ack-eliciting packets, oldest first.
    pub fn ack_eliciting_mut(&mut self) -> impl Iterator<Item = (u64, &mut SentPacket<F>)> {
        self.slots
            .iter_mut()
            .filter_map(|slot| Some((slot.number, slot.packet.as_mut()?)))
            .filter(|(_, packet)| packet.ack_eliciting)
    }

    /// All open packets, oldest first.
    pub(super) fn packets(&self) -> impl Iterator<Item = &SentPacket<F>> {
        self.slots.iter().filter_map(|slot| slot.packet.as_ref())
    }

    /// Hands all open packets over as lost and begins anew, but with the next number.
    pub(super) fn abandon(&mut self, space: crate::Space, sink: &mut impl FrameSink<F>) {
        for slot in std::mem::take(&mut self.slots) {
            if let Some(packet) = slot.packet {
                sink.on_packet_lost(space, slot.number, packet);
            }
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

    /// The index of the first slot whose number is not below `number`. Without holes in the
    /// numbers it is found at once.
    fn position(&self, number: u64) -> usize {
        let Some(front) = self.slots.front() else {
            return 0;
        };
        let guess = usize::try_from(number.saturating_sub(front.number)).unwrap_or(usize::MAX);
        match self.slots.get(guess) {
            Some(slot) if slot.number == number || guess == 0 => guess,
            _ => self.slots.partition_point(|slot| slot.number < number),
        }
    }

    fn forget(&mut self, packet: &SentPacket<F>) {
        self.eliciting -= usize::from(packet.ack_eliciting);
        self.ack_only -= usize::from(!packet.in_flight);
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
        let in_flight = self.slots.len().saturating_sub(self.ack_only);
        if self.ack_only <= 2 * MIN_ACK_ONLY + in_flight {
            return;
        }
        let mut surplus = self.ack_only - MIN_ACK_ONLY;
        self.slots.retain(|slot| {
            let drop = match &slot.packet {
                Some(packet) => !packet.in_flight && surplus > 0,
                None => false,
            };
            surplus -= usize::from(drop);
            !drop
        });
        self.ack_only = MIN_ACK_ONLY + surplus;
    }
}
