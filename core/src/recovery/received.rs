//! [`AckTracker`]: which packets of one space were received, and when to acknowledge them
//! (RFC 9000 §13.2). It must not know frames' contents or how packets are written.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::recovery::{AckPolicy, AckRanges, AckRequest};
use crate::time::Time;
use crate::types::{Ecn, EcnCounts, Space};

/// After so many packets with nothing but ACK frames, the peer is asked for an acknowledgement of
/// them, so that ranges can be forgotten (RFC 9000 §13.2.4).
const MAX_ACK_ONLY_PACKETS: u32 = 31;
/// An acknowledgement is held back for this share of the shortest RTT, if that is less than
/// max_ack_delay.
const DELAY_SHARE: u32 = 4;
/// It is not worth a timer to hold an acknowledgement back for less.
const MIN_DELAY: Duration = Duration::from_millis(1);

/// The received packets of one packet number space.
#[derive(Clone, Debug)]
pub struct AckTracker {
    policy: AckPolicy,
    immediate: bool,
    ranges: AckRanges,
    /// When the packet with the largest number arrived.
    largest_time: Time,
    largest_eliciting: Option<u64>,
    /// Ack-eliciting packets since the latest ACK, and when the first of them arrived.
    unacked_eliciting: u32,
    first_unacked: Time,
    ack_now: bool,
    eliciting_received: u64,
    delay: Duration,
    ecn: EcnCounts,
    ack_only_sent: u32,
    /// What the peer asked for, if it did.
    request: Option<AckRequest>,
    /// The peer asks for an ACK of the packet at hand.
    asked_now: bool,
    /// The largest number that an ACK frame of ours reported.
    largest_reported: Option<u64>,
    /// The packet received last was marked CE.
    was_ce: bool,
}

impl AckTracker {
    /// Nothing received yet. Only 1-RTT packets (and 0-RTT ones with them) may be acknowledged
    /// late (RFC 9000 §13.2.1).
    pub const fn new(space: Space, policy: &AckPolicy) -> Self {
        Self {
            policy: *policy,
            immediate: !matches!(space, Space::Application),
            ranges: AckRanges::EMPTY,
            largest_time: Time::ZERO,
            largest_eliciting: None,
            unacked_eliciting: 0,
            first_unacked: Time::ZERO,
            ack_now: false,
            eliciting_received: 0,
            delay: policy.max_ack_delay,
            ecn: EcnCounts { ect0: 0, ect1: 0, ce: 0 },
            ack_only_sent: 0,
            request: None,
            asked_now: false,
            largest_reported: None,
            was_ce: false,
        }
    }

    /// Whether a packet was received before, or is so old that it must be taken as such
    /// (RFC 9000 §12.3). To be asked after its protection is removed.
    pub fn is_duplicate(&self, number: u64) -> bool {
        self.ranges.contains(number)
    }

    /// A packet was processed. A duplicate changes nothing.
    pub fn on_packet_received(&mut self, now: Time, number: u64, ack_eliciting: bool, ecn: Ecn) {
        let largest_before = self.ranges.largest();
        if !self.ranges.insert(number) {
            return;
        }
        if largest_before.is_none_or(|largest| number > largest) {
            self.largest_time = now;
        }
        self.count_marks(ecn, 1);
        if ack_eliciting {
            self.on_ack_eliciting(now, number, 1, ecn);
        }
        self.was_ce = ecn == Ecn::Ce;
    }

    /// As many calls of [`Self::on_packet_received`] for ack-eliciting packets with consecutive
    /// numbers, of which the first is above all that were received, at one time.
    pub fn on_run_received(&mut self, now: Time, first: u64, packets: u64, ecn: Ecn) {
        self.on_packet_received(now, first, true, ecn);
        let more = packets.saturating_sub(1);
        if more == 0 {
            return;
        }
        self.ranges.extend_newest(more);
        self.count_marks(ecn, more);
        // The threshold is another for the first packets of all.
        let early = self.policy.initial_packets.saturating_sub(self.eliciting_received).min(more);
        for (number, packets) in [(first + early, early), (first + more, more - early)] {
            if packets > 0 {
                self.on_ack_eliciting(now, number, packets, ecn);
            }
        }
    }

    /// Whether an ACK frame should be sent without waiting. To be asked once the packets at hand
    /// are processed, so that a batch is acknowledged once (RFC 9000 §13.2.2).
    pub const fn should_ack_now(&self) -> bool {
        self.ack_now
    }

    /// Whether something ack-eliciting is not acknowledged yet: a packet sent for other reasons
    /// should carry an ACK frame.
    pub const fn has_unacked(&self) -> bool {
        self.unacked_eliciting > 0
    }

    /// When an ACK frame must be sent at the latest; `None` if none is owed.
    pub fn ack_deadline(&self) -> Option<Time> {
        if self.ack_now {
            Some(self.first_unacked)
        } else {
            self.has_unacked().then(|| self.first_unacked + self.delay)
        }
    }

    /// The received numbers, newest range first; at most [`AckRanges::MAX`] ranges.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + Clone + '_ {
        self.ranges.iter()
    }

    /// The largest received number.
    pub fn largest(&self) -> Option<u64> {
        self.ranges.largest()
    }

    /// How long ago the packet with the largest number arrived: the ACK frame's delay.
    pub fn ack_delay(&self, now: Time) -> Duration {
        now - self.largest_time
    }

    /// The marks seen; `None` while there are none, so that a plain ACK frame will do.
    pub fn ecn_counts(&self) -> Option<EcnCounts> {
        (self.ecn != EcnCounts::default()).then_some(self.ecn)
    }

    /// An ACK frame with all [`Self::ranges`] was sent, in a packet that is ack-eliciting or not.
    pub fn on_ack_sent(&mut self, packet_is_ack_eliciting: bool) {
        self.unacked_eliciting = 0;
        self.ack_now = false;
        self.largest_reported = self.ranges.largest();
        self.ack_only_sent =
            if packet_is_ack_eliciting { 0 } else { self.ack_only_sent.saturating_add(1) };
    }

    /// The peer acknowledged a packet of ours whose ACK frame went up to `largest`: what it
    /// acknowledged need not be repeated (RFC 9000 §13.2.4).
    pub fn on_ack_acked(&mut self, largest: u64) {
        self.ranges.remove_through(largest);
    }

    /// Whether the next packet with an ACK frame should also carry a PING, because the peer has
    /// not been asked to acknowledge for long (RFC 9000 §13.2.4).
    pub const fn wants_ack_eliciting(&self) -> bool {
        self.ack_only_sent >= MAX_ACK_ONLY_PACKETS
    }

    /// The path's shortest RTT is known: a quarter of it bounds how long acknowledgements are held
    /// back, so that the peer's small windows do not wait for max_ack_delay.
    pub fn set_min_rtt(&mut self, min_rtt: Duration) {
        let share = (min_rtt / DELAY_SHARE).max(MIN_DELAY);
        self.delay = match self.request {
            Some(request) => request.max_ack_delay,
            None => self.policy.max_ack_delay.min(share),
        };
    }

    /// The peer asks for another frequency, which holds at once
    /// (draft-ietf-quic-ack-frequency §4).
    pub const fn set_request(&mut self, request: AckRequest) {
        self.delay = request.max_ack_delay;
        self.request = Some(request);
    }

    /// The peer asks for an ACK of the packet being processed (§5 of the draft).
    pub const fn request_now(&mut self) {
        self.asked_now = true;
    }

    fn count_marks(&mut self, ecn: Ecn, packets: u64) {
        match ecn {
            Ecn::Ect0 => self.ecn.ect0 += packets,
            Ecn::Ect1 => self.ecn.ect1 += packets,
            Ecn::Ce => self.ecn.ce += packets,
            Ecn::NotEct => {}
        }
    }

    /// So many packets that follow on each other came, the last of them with this number.
    fn on_ack_eliciting(&mut self, now: Time, number: u64, packets: u64, ecn: Ecn) {
        if self.unacked_eliciting == 0 {
            self.first_unacked = now;
        }
        self.unacked_eliciting =
            self.unacked_eliciting.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX));
        self.eliciting_received += packets;
        let asked = std::mem::take(&mut self.asked_now);
        self.ack_now |= self.immediate || asked || self.is_due(number, ecn);
        self.largest_eliciting = self.largest_eliciting.max(Some(number));
    }

    /// Whether an ack-eliciting packet has to be acknowledged at once.
    fn is_due(&self, number: u64, ecn: Ecn) -> bool {
        if let Some(request) = &self.request {
            let unacked = u64::from(self.unacked_eliciting);
            let new_ce = ecn == Ecn::Ce && (!self.was_ce || request.threshold <= 1);
            let reordered = if request.reordering == 1 {
                self.is_out_of_order(number)
            } else {
                let largest = self.largest_eliciting.max(Some(number)).unwrap_or(number);
                request.is_reordered(number, largest, self.largest_reported, &self.ranges)
            };
            return unacked > request.threshold || new_ce || reordered;
        }
        let early = self.eliciting_received <= self.policy.initial_packets;
        let threshold = if early { self.policy.initial_threshold } else { self.policy.threshold };
        self.unacked_eliciting >= threshold
            || ecn == Ecn::Ce // RFC 9000 §13.2.1
            || self.is_out_of_order(number)
    }

    /// RFC 9000 §13.2.1: below a received ack-eliciting packet, or beyond a gap after it.
    fn is_out_of_order(&self, number: u64) -> bool {
        let start_of_newest = self.ranges.start_of_newest().unwrap_or(0);
        match self.largest_eliciting {
            Some(largest) => number < largest || start_of_newest > largest + 1,
            None => start_of_newest > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    const fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn tracker() -> AckTracker {
        AckTracker::new(Space::Application, &AckPolicy::default())
    }

    /// Receives ack-eliciting packets; after which of them an ACK is wanted.
    fn acks(tracker: &mut AckTracker, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut acks = Vec::new();
        for number in numbers {
            tracker.on_packet_received(ms(number), number, true, Ecn::NotEct);
            if tracker.should_ack_now() {
                tracker.on_ack_sent(false);
                acks.push(number);
            }
        }
        acks
    }

    #[test]
    fn every_second_packet_is_acknowledged_at_first_and_every_tenth_later() {
        // RFC 9000 §13.2.2
        let acks = acks(&mut tracker(), 0..200);
        assert_eq!(acks[..3], [1, 3, 5]);
        assert_eq!(acks[50..], [109, 119, 129, 139, 149, 159, 169, 179, 189, 199]);
    }

    #[test]
    fn a_run_counts_as_its_packets_one_by_one() {
        for seed in 0..300 {
            let mut random = SeededRandom::new(seed);
            let policy = AckPolicy { initial_packets: 40, ..AckPolicy::default() };
            let mut one_by_one = AckTracker::new(Space::Application, &policy);
            if seed % 2 == 1 {
                let max_ack_delay = Duration::from_millis(5);
                let (threshold, reordering) = (random.next_u64() % 8, random.next_u64() % 4);
                one_by_one.set_request(AckRequest { threshold, max_ack_delay, reordering });
            }
            one_by_one.on_packet_received(ms(0), 0, true, Ecn::NotEct);
            let mut together = one_by_one.clone();
            for round in 1..40 {
                let gap = (random.next_u64() % 4).saturating_sub(2);
                let first = together.largest().unwrap() + 1 + gap;
                let (packets, ecn) =
                    (1 + random.next_u64() % 12, Ecn::from_bits(random.next_u64() as u8));
                together.on_run_received(ms(round), first, packets, ecn);
                for number in first..first + packets {
                    one_by_one.on_packet_received(ms(round), number, true, ecn);
                }
                assert_eq!(format!("{together:?}"), format!("{one_by_one:?}"), "seed {seed}");
                if random.next_u64().is_multiple_of(2) {
                    together.on_ack_sent(false);
                    one_by_one.on_ack_sent(false);
                }
            }
        }
    }

    #[test]
    fn handshake_packets_are_acknowledged_at_once() {
        // RFC 9000 §13.2.1
        let mut tracker = AckTracker::new(Space::Handshake, &AckPolicy::default());
        assert_eq!(acks(&mut tracker, [0, 1]), [0, 1]);
    }

    #[test]
    fn gaps_late_packets_and_ce_are_acknowledged_at_once() {
        // RFC 9000 §13.2.1
        let mut tracker = tracker();
        assert_eq!(acks(&mut tracker, 0..4), [1, 3]);
        assert_eq!(acks(&mut tracker, [6]), [6]);
        assert_eq!(acks(&mut tracker, [7]), []); // the gap is reported already
        assert_eq!(acks(&mut tracker, [5]), [5]);
        tracker.on_packet_received(ms(8), 8, true, Ecn::Ce);
        assert!(tracker.should_ack_now());
        assert_eq!(tracker.ecn_counts().map(|counts| counts.ce), Some(1));
    }

    #[test]
    fn a_single_packet_is_acknowledged_within_max_ack_delay() {
        let mut tracker = tracker();
        tracker.on_packet_received(ms(5), 0, true, Ecn::NotEct);
        assert!(!tracker.should_ack_now());
        assert_eq!(tracker.ack_deadline(), Some(ms(30)));
        tracker.set_min_rtt(Duration::from_millis(40));
        assert_eq!(tracker.ack_deadline(), Some(ms(15)));
        tracker.set_min_rtt(Duration::from_micros(40));
        assert_eq!(tracker.ack_deadline(), Some(ms(6)));
        tracker.on_ack_sent(false);
        assert_eq!(tracker.ack_deadline(), None);
    }

    #[test]
    fn packets_that_do_not_elicit_acks_are_never_acknowledged_on_their_own() {
        // RFC 9000 §13.2.1: or two endpoints would acknowledge acknowledgements for ever
        let mut tracker = tracker();
        for number in [0, 1, 5, 3] {
            tracker.on_packet_received(ms(0), number, false, Ecn::Ce);
        }
        assert!(!tracker.should_ack_now() && !tracker.has_unacked());
        assert_eq!(tracker.ack_deadline(), None);
        assert_eq!(tracker.ranges().len(), 3);
    }

    #[test]
    fn acknowledged_acknowledgements_are_forgotten() {
        // RFC 9000 §13.2.4
        let mut tracker = tracker();
        acks(&mut tracker, [0, 1, 4, 5, 8]);
        tracker.on_ack_acked(4);
        assert_eq!(tracker.ranges().collect::<Vec<_>>(), [8..=8, 5..=5]);
        assert!(tracker.is_duplicate(2) && !tracker.is_duplicate(6));
    }

    #[test]
    fn a_peer_that_never_acknowledges_acks_is_asked_every_32() {
        let mut tracker = tracker();
        for _ in 0..31 {
            assert!(!tracker.wants_ack_eliciting());
            tracker.on_ack_sent(false);
        }
        assert!(tracker.wants_ack_eliciting());
        tracker.on_ack_sent(true);
        assert!(!tracker.wants_ack_eliciting());
    }

    #[test]
    fn the_delay_is_that_of_the_largest_number() {
        let mut tracker = tracker();
        tracker.on_packet_received(ms(10), 3, true, Ecn::NotEct);
        tracker.on_packet_received(ms(12), 2, true, Ecn::NotEct);
        assert_eq!(tracker.ack_delay(ms(15)), Duration::from_millis(5));
        assert_eq!(tracker.ack_delay(ms(1)), Duration::ZERO);
    }

    #[test]
    fn a_million_packets_with_gaps_hold_64_ranges() {
        let mut tracker = tracker();
        for number in (0..2_000_000).step_by(2) {
            tracker.on_packet_received(ms(number), number, true, Ecn::NotEct);
        }
        assert_eq!(tracker.ranges().len(), AckRanges::MAX);
    }
}
