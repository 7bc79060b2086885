//! [`Slot`]: a ledger's record of a packet, or of a train of packets that left one behind the other
//! and differ only in what follows from their place. One bit for each says whether it is open; so a
//! train costs little more to enter and to settle than a packet, and holes in it cost no more than
//! these bits. This file must not know when a packet is lost.

use std::ops::Range;

use crate::recovery::SentPacket;

/// The most packets of a train.
pub const MAX_TRAIN: u32 = u64::BITS;

#[derive(Debug)]
pub(super) struct Slot<F> {
    packet: SentPacket<F>,
    count: u32,
    /// So many at the front are done with: the losses among them were reported.
    passed: u32,
    /// Bit n is set while packet n of the train is open: neither acknowledged nor lost.
    open: u64,
}

impl<F> Slot<F> {
    /// `count` packets, at least one and at most [`MAX_TRAIN`], all of them open.
    pub(super) fn new(packet: SentPacket<F>, count: u32) -> Self {
        debug_assert!((1..=MAX_TRAIN).contains(&count), "{count} packets in a train");
        Self { packet, count, passed: 0, open: ones(count) }
    }

    /// What is remembered of them.
    pub(super) const fn packet(&self) -> &SentPacket<F> {
        &self.packet
    }

    /// The number of the first packet that is not done with.
    pub(super) fn first(&self) -> u64 {
        self.packet.number + u64::from(self.passed)
    }

    /// One past the number of the last packet.
    pub(super) fn end(&self) -> u64 {
        self.packet.number + u64::from(self.count)
    }

    /// How many packets are open.
    pub(super) const fn open_count(&self) -> u32 {
        self.open.count_ones()
    }

    /// The lowest number that is open.
    pub(super) fn first_open(&self) -> Option<u64> {
        (self.open != 0).then(|| self.number_of(self.open.trailing_zeros()))
    }

    /// The numbers that are open, rising.
    pub(super) fn open_numbers(&self) -> impl Iterator<Item = u64> {
        let mut open = self.open;
        std::iter::from_fn(move || {
            let at = (open != 0).then(|| open.trailing_zeros())?;
            open &= open - 1;
            Some(self.number_of(at))
        })
    }

    /// Closes the open packets from `first` to `last` and hands them over, rising: as many at once
    /// as follow one another.
    pub(super) fn close(
        &mut self,
        first: u64,
        last: u64,
        mut on_closed: impl FnMut(Range<u64>, &SentPacket<F>),
    ) {
        let start = first.saturating_sub(self.packet.number).min(u64::from(self.count)) as u32;
        let end = (last + 1).saturating_sub(self.packet.number).min(u64::from(self.count)) as u32;
        let mut closing = self.open & ones(end) & !ones(start);
        self.open &= !closing;
        while closing != 0 {
            let from = closing.trailing_zeros();
            let to = from + (closing >> from).trailing_ones();
            closing &= !ones(to);
            on_closed(self.number_of(from)..self.number_of(to), &self.packet);
        }
    }

    /// Passes what is closed at the front. Whether there was anything.
    pub(super) fn pass_closed(&mut self) -> bool {
        let before =
            std::mem::replace(&mut self.passed, self.open.trailing_zeros().min(self.count));
        self.passed > before
    }

    /// Closes and passes the first packet that is open.
    pub(super) fn pass_open(&mut self) {
        self.passed = (self.open.trailing_zeros() + 1).min(self.count);
        self.open &= !ones(self.passed);
    }

    fn number_of(&self, at: u32) -> u64 {
        self.packet.number + u64::from(at)
    }
}

/// So many low bits.
const fn ones(count: u32) -> u64 {
    match 1_u64.checked_shl(count) {
        Some(bit) => bit - 1,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Ecn;

    fn slot(number: u64, count: u32) -> Slot<()> {
        let packet = SentPacket { number, ..SentPacket::ack_eliciting(1200, Ecn::NotEct, ()) };
        Slot::new(packet, count)
    }

    /// The first and the last number of each stretch.
    fn close(slot: &mut Slot<()>, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut closed = Vec::new();
        slot.close(first, last, |numbers, _| closed.push((numbers.start, numbers.end - 1)));
        closed
    }

    #[test]
    fn what_is_closed_is_handed_over_once_in_stretches() {
        let mut slot = slot(100, 64);
        assert_eq!(close(&mut slot, 0, 99), []);
        assert_eq!(close(&mut slot, 164, u64::MAX - 1), []);
        assert_eq!(close(&mut slot, 110, 119), [(110, 119)]);
        assert_eq!(close(&mut slot, 163, 500), [(163, 163)]);
        assert_eq!(close(&mut slot, 105, 125), [(105, 109), (120, 125)]);
        assert_eq!(slot.open_count(), 64 - 22);
        assert_eq!(close(&mut slot, 0, 1000), [(100, 104), (126, 162)]);
        assert_eq!((slot.open_count(), slot.first_open()), (0, None));
    }

    #[test]
    fn a_whole_train_is_one_stretch() {
        for count in [1, 2, 63, 64] {
            let mut slot = slot(7, count);
            assert_eq!(slot.end(), 7 + u64::from(count));
            assert_eq!(slot.open_numbers().count(), count as usize);
            assert_eq!(close(&mut slot, 0, 100), [(7, 6 + u64::from(count))]);
            assert!(slot.pass_closed() && !slot.pass_closed());
            assert_eq!(slot.first(), slot.end());
        }
    }

    #[test]
    fn a_train_is_passed_from_the_front() {
        let mut slot = slot(10, 64);
        assert!(!slot.pass_closed());
        slot.pass_open();
        assert_eq!((slot.first(), slot.first_open()), (11, Some(11)));
        assert!(!slot.pass_closed(), "passed already");
        close(&mut slot, 12, 15);
        slot.pass_open();
        assert_eq!((slot.first(), slot.first_open()), (12, Some(16)));
        assert!(slot.pass_closed());
        assert_eq!(slot.first(), 16);
        assert_eq!(slot.open_numbers().next(), Some(16));
        (16..74).for_each(|_| slot.pass_open());
        assert_eq!((slot.first(), slot.first_open()), (74, None));
    }
}
