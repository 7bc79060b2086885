//! [`AckRequest`]: what a peer asks of our acknowledgements (draft-ietf-quic-ack-frequency §4), and
//! when reordering is worth one under it (§6.2). This file must not know frames or timers.

use std::time::Duration;

use crate::recovery::AckRanges;

/// A peer's wish for how often its 1-RTT packets are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRequest {
    /// So many ack-eliciting packets may go unacknowledged.
    pub threshold: u64,
    /// An acknowledgement waits so long at most.
    pub max_ack_delay: Duration,
    /// Reordering by so many packets is answered at once; 0 for never.
    pub reordering: u64,
}

impl AckRequest {
    /// Whether an ack-eliciting packet is, or shows, reordering beyond the threshold, which is not 1.
    /// `largest` is the largest ack-eliciting number, `reported` the largest that an ACK frame told.
    pub(super) fn is_reordered(
        &self,
        number: u64,
        largest: u64,
        reported: Option<u64>,
        ranges: &AckRanges,
    ) -> bool {
        // Ranges that would be forgotten before they were ever told (§6).
        if ranges.len() >= AckRanges::MAX {
            return true;
        }
        if self.reordering == 0 {
            return false;
        }
        // "Largest Reported Missing": the sender can have declared lost what is not above it.
        let settled = reported.and_then(|reported| reported.checked_sub(self.reordering));
        if settled.is_some_and(|settled| number <= settled) {
            return true;
        }
        let missing = ranges.first_missing_above(settled);
        missing.is_some_and(|missing| missing < largest && largest - missing >= self.reordering)
    }
}

#[cfg(test)]
mod tests {
    use crate::recovery::{AckPolicy, AckRequest, AckTracker};
    use crate::time::Time;
    use crate::types::{Ecn, Space};
    use std::time::Duration;

    fn tracker(threshold: u64, reordering: u64) -> AckTracker {
        let mut tracker = AckTracker::new(Space::Application, &AckPolicy::default());
        let max_ack_delay = Duration::from_millis(100);
        tracker.set_request(AckRequest { threshold, max_ack_delay, reordering });
        tracker
    }

    /// Which of these packets are acknowledged at once.
    fn acked(tracker: &mut AckTracker, numbers: &[u64]) -> Vec<u64> {
        let mut acked = Vec::new();
        for &number in numbers {
            tracker.on_packet_received(Time::ZERO, number, true, Ecn::NotEct);
            if tracker.should_ack_now() {
                tracker.on_ack_sent(false);
                acked.push(number);
            }
        }
        acked
    }

    #[test]
    fn one_more_than_the_threshold_is_acknowledged() {
        let all: Vec<u64> = (0..12).collect();
        assert_eq!(acked(&mut tracker(3, 0), &all), [3, 7, 11]);
        assert_eq!(acked(&mut tracker(0, 0), &all[..3]), [0, 1, 2]);
        let mut patient = tracker(1000, 0);
        assert_eq!(acked(&mut patient, &all), []);
        assert_eq!(patient.ack_deadline(), Some(Time::from_millis(100)));
        patient.set_min_rtt(Duration::from_millis(8));
        assert_eq!(patient.ack_deadline(), Some(Time::from_millis(100)), "as it was asked for");
    }

    #[test]
    fn the_tables_of_the_draft_hold() {
        // §6.2.1
        assert_eq!(acked(&mut tracker(1000, 3), &[0, 1, 3, 4, 5, 8, 9, 10]), [5, 9, 10]);
        assert_eq!(acked(&mut tracker(1000, 5), &[0, 1, 3, 5, 6, 7, 8, 9]), [7, 9]);
    }

    #[test]
    fn no_threshold_no_answer_to_reordering_and_one_is_the_old_rule() {
        let numbers = [0, 1, 5, 3, 9, 2];
        assert_eq!(acked(&mut tracker(1000, 0), &numbers), []);
        assert_eq!(acked(&mut tracker(1000, 1), &numbers), [5, 3, 9, 2]);
    }

    #[test]
    fn a_packet_that_the_sender_has_given_up_is_acknowledged_at_once() {
        let mut tracker = tracker(1000, 3);
        assert_eq!(acked(&mut tracker, &[0, 2, 3, 4, 5, 6]), [4]);
        assert_eq!(acked(&mut tracker, &[1]), [1], "1 <= 4 - 3");
    }

    #[test]
    fn only_the_first_of_several_marks_is_urgent() {
        // §6.3
        for (threshold, expected) in [(10, vec![1, 4]), (1, vec![1, 2, 4, 5])] {
            let mut tracker = tracker(threshold, 0);
            let mut urgent = Vec::new();
            for (number, ecn) in
                (0..).zip([Ecn::Ect0, Ecn::Ce, Ecn::Ce, Ecn::Ect0, Ecn::Ce, Ecn::Ce])
            {
                tracker.on_packet_received(Time::ZERO, number, true, ecn);
                if tracker.should_ack_now() {
                    urgent.push(number);
                }
                tracker.on_ack_sent(false);
            }
            assert_eq!(urgent, expected);
        }
    }

    #[test]
    fn no_range_is_forgotten_before_it_was_told() {
        let mut tracker = tracker(1 << 60, 0);
        let holes: Vec<u64> = (0..1000).map(|n| 2 * n).collect();
        let first = acked(&mut tracker, &holes)[0];
        assert!(first <= 2 * 64, "{first}");
    }
}
