//! [`EcnValidator`]: whether a path carries ECN marks faithfully (RFC 9000 §13.4.2, §A.4).

use crate::types::{Ecn, EcnCounts, Space};

/// Packets that are marked to test a path (RFC 9000 §A.4).
const TEST_PACKETS: u32 = 10;

/// What is known of the path (RFC 9000 §A.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnState {
    /// The first packets are being marked.
    Testing,
    /// Enough were marked to tell; their fate is awaited.
    Unknown,
    /// Marks arrive: every packet is marked.
    Capable,
    /// Marks do not arrive, or ECN is off: no packet is marked.
    Failed,
}

/// One path's validation, over the counts of three packet number spaces.
#[derive(Clone, Debug)]
pub struct EcnValidator {
    state: EcnState,
    /// Of Initial and Handshake, from when something is sent there.
    handshake: Option<Box<[SpaceCounts; 2]>>,
    application: SpaceCounts,
    tested: u32,
    tested_lost: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct SpaceCounts {
    /// What the peer reported last.
    reported: EcnCounts,
    sent_ect0: u64,
    sent_ect1: u64,
}

/// What an ACK frame says about ECN.
#[derive(Clone, Copy, Debug)]
pub(super) struct EcnReport {
    /// Its counts, if it has any.
    pub(super) counts: Option<EcnCounts>,
    /// Packets of the present path that it newly acknowledges and that were sent with ECT(0).
    pub(super) acked_ect0: u64,
    /// Likewise with ECT(1).
    pub(super) acked_ect1: u64,
}

impl EcnValidator {
    /// A validator for a new path, or one that keeps ECN off.
    pub fn new(enabled: bool) -> Self {
        Self {
            state: if enabled { EcnState::Testing } else { EcnState::Failed },
            handshake: None,
            application: SpaceCounts::default(),
            tested: 0,
            tested_lost: 0,
        }
    }

    /// The path is a new one: test again. The peer's counts go on (they are per space).
    pub fn on_new_path(&mut self, enabled: bool) {
        let (handshake, application) = (self.handshake.take(), self.application);
        *self = Self { handshake, application, ..Self::new(enabled) };
    }

    /// Nothing will be sent or acknowledged in the handshake's spaces any more.
    pub(super) fn forget_handshake(&mut self) {
        self.handshake = None;
    }

    fn counts(&mut self, space: Space) -> &mut SpaceCounts {
        match space {
            Space::Application => &mut self.application,
            Space::Initial => &mut self.handshake.get_or_insert_default()[0],
            Space::Handshake => &mut self.handshake.get_or_insert_default()[1],
        }
    }

    /// What is known of the path.
    pub const fn state(&self) -> EcnState {
        self.state
    }

    /// What the next packet should be marked with.
    pub const fn codepoint(&self) -> Ecn {
        match self.state {
            EcnState::Testing | EcnState::Capable => Ecn::Ect0,
            EcnState::Unknown | EcnState::Failed => Ecn::NotEct,
        }
    }

    /// So many packets were sent with this codepoint.
    pub fn on_packets_sent(&mut self, space: Space, ecn: Ecn, count: u64) {
        let counts = self.counts(space);
        match ecn {
            Ecn::Ect0 => counts.sent_ect0 += count,
            Ecn::Ect1 => counts.sent_ect1 += count,
            Ecn::NotEct | Ecn::Ce => return,
        }
        if self.state == EcnState::Testing {
            self.tested = self.tested.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            if self.tested >= TEST_PACKETS {
                self.state = EcnState::Unknown;
            }
        }
    }

    /// A packet of this path was lost. When all the marked ones are, the marks may be the reason
    /// (RFC 9000 §13.4.2).
    pub fn on_packet_lost(&mut self, ecn: Ecn) {
        if ecn != Ecn::NotEct {
            self.tested_lost = self.tested_lost.saturating_add(1);
            if self.state == EcnState::Unknown && self.tested_lost >= self.tested {
                self.state = EcnState::Failed;
            }
        }
    }

    /// The timer of probes expired for the third time in a row: marks may be black-holed
    /// (RFC 9000 §A.4 tests for a period of 3 PTO).
    pub fn on_test_period_over(&mut self) {
        if self.state == EcnState::Testing {
            self.state = EcnState::Unknown;
        }
    }

    /// An ACK frame that raised the largest acknowledged number; others must not fail validation
    /// (RFC 9000 §13.4.2.1). Returns what was newly counted, as far as it can be believed.
    pub(super) fn on_ack(&mut self, space: Space, report: &EcnReport) -> EcnCounts {
        let marked = report.acked_ect0 + report.acked_ect1;
        let increase = self.counts(space).increase(report);
        match increase {
            _ if self.state == EcnState::Failed => EcnCounts::default(),
            Some(_) if marked == 0 && report.counts.is_none() => EcnCounts::default(),
            None => {
                self.state = EcnState::Failed;
                EcnCounts::default()
            }
            Some(increase) => {
                if marked > 0 {
                    self.state = EcnState::Capable;
                }
                increase
            }
        }
    }
}

impl SpaceCounts {
    /// What was newly counted; `None` if it cannot be true (RFC 9000 §13.4.2.1).
    fn increase(&mut self, report: &EcnReport) -> Option<EcnCounts> {
        let Some(counts) = report.counts else {
            let marked = report.acked_ect0 + report.acked_ect1;
            return (marked == 0).then(EcnCounts::default);
        };
        let old = std::mem::replace(&mut self.reported, counts);
        let increase = EcnCounts {
            ect0: counts.ect0.checked_sub(old.ect0)?,
            ect1: counts.ect1.checked_sub(old.ect1)?,
            ce: counts.ce.checked_sub(old.ce)?,
        };
        let enough = increase.ect0.saturating_add(increase.ce) >= report.acked_ect0
            && increase.ect1.saturating_add(increase.ce) >= report.acked_ect1;
        let possible = counts.ect0 <= self.sent_ect0
            && counts.ect1 <= self.sent_ect1
            && counts.ce <= self.sent_ect0 + self.sent_ect1;
        (enough && possible).then_some(increase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space::Application;

    fn sent(packets: u32) -> EcnValidator {
        let mut ecn = EcnValidator::new(true);
        for _ in 0..packets {
            let codepoint = ecn.codepoint();
            ecn.on_packets_sent(SPACE, codepoint, 1);
        }
        ecn
    }

    fn ack(ecn: &mut EcnValidator, acked: u64, counts: Option<(u64, u64, u64)>) -> EcnCounts {
        let counts = counts.map(|(ect0, ect1, ce)| EcnCounts { ect0, ect1, ce });
        let report = EcnReport { counts, acked_ect0: acked, acked_ect1: 0 };
        ecn.on_ack(SPACE, &report)
    }

    #[test]
    fn ten_packets_are_marked_until_marks_are_known_to_arrive() {
        // RFC 9000 §A.4
        let mut ecn = sent(12);
        assert_eq!((ecn.state(), ecn.codepoint()), (EcnState::Unknown, Ecn::NotEct));
        ack(&mut ecn, 5, Some((5, 0, 0)));
        assert_eq!((ecn.state(), ecn.codepoint()), (EcnState::Capable, Ecn::Ect0));
    }

    #[test]
    fn counts_that_cannot_be_true_fail_validation() {
        // RFC 9000 §13.4.2.1
        let bad: [Option<(u64, u64, u64)>; 5] = [
            None,             // counts are missing
            Some((4, 0, 0)),  // fewer than acknowledged
            Some((11, 0, 0)), // more than were sent
            Some((5, 1, 0)),  // a codepoint never sent
            Some((0, 0, 11)), // more CE than were sent
        ];
        for counts in bad {
            let mut ecn = sent(10);
            ack(&mut ecn, 5, counts);
            assert_eq!(ecn.state(), EcnState::Failed, "{counts:?}");
            assert_eq!(ecn.codepoint(), Ecn::NotEct);
        }
        let mut ecn = sent(10);
        ack(&mut ecn, 5, Some((5, 0, 0)));
        ack(&mut ecn, 1, Some((4, 0, 2)));
        assert_eq!(ecn.state(), EcnState::Failed, "counts that fall");
    }

    #[test]
    fn ce_marks_count_as_received_and_are_reported_once() {
        let mut ecn = sent(10);
        assert_eq!(ack(&mut ecn, 5, Some((3, 0, 2))).ce, 2);
        assert_eq!(ack(&mut ecn, 1, Some((4, 0, 2))).ce, 0);
    }

    #[test]
    fn losing_every_marked_packet_fails_validation() {
        let mut ecn = sent(10);
        (0..9).for_each(|_| ecn.on_packet_lost(Ecn::Ect0));
        assert_eq!(ecn.state(), EcnState::Unknown);
        ecn.on_packet_lost(Ecn::Ect0);
        assert_eq!(ecn.state(), EcnState::Failed);
    }

    #[test]
    fn a_new_path_is_tested_again() {
        let mut ecn = sent(10);
        ack(&mut ecn, 1, None);
        ecn.on_new_path(true);
        assert_eq!(ecn.codepoint(), Ecn::Ect0);
        ecn.on_packets_sent(SPACE, Ecn::Ect0, 1);
        ack(&mut ecn, 1, Some((1, 0, 0)));
        assert_eq!(ecn.state(), EcnState::Capable);
    }
}
