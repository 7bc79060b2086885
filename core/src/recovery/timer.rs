//! The loss detection timer (RFC 9002 §6.2, §A.8, §A.9): when to look for losses or send probes.

use std::time::Duration;

use crate::recovery::{FrameSink, Recovery};
use crate::time::Time;
use crate::types::{EcnCounts, Space};

/// A probe timeout, however often doubled, is not longer than this, unless it begins longer.
const MAX_BACKED_OFF_PTO: Duration = Duration::from_mins(1);
/// After so many probe timeouts ECN marks are suspected (RFC 9000 §A.4).
const ECN_TEST_PTOS: u32 = 3;

/// What the connection must do now that the timer expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAction {
    /// Nothing: the deadline was not reached, or has moved.
    None,
    /// Packets were declared lost and handed over.
    LossDetected,
    /// Send so many ack-eliciting packets in this space, the window and pacing notwithstanding
    /// (RFC 9002 §6.2.4), with new data, or the data of the oldest unacknowledged packets, or PING.
    Probe {
        /// Where.
        space: Space,
        /// How many: 2, or 1 if nothing is in flight and the server may be waiting for bytes.
        packets: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Loss(Space),
    Probe(Space, u8),
}

impl<F> Recovery<F> {
    /// When [`Self::on_deadline`] is due; `None` if nothing is awaited.
    pub fn deadline(&self) -> Option<Time> {
        self.next_expiry().map(|(time, _)| time)
    }

    /// The time has come, or not yet: to be called whenever the deadline may have passed. Lost
    /// packets go to `sink`.
    pub fn on_deadline(&mut self, now: Time, sink: &mut impl FrameSink<F>) -> TimeoutAction {
        match self.next_expiry() {
            Some((time, Expiry::Loss(space))) if time <= now => {
                let prior_in_flight = self.bytes_in_flight;
                self.begin_tally();
                self.detect_losses(now, space, sink);
                self.report(now, prior_in_flight, false, EcnCounts::default());
                TimeoutAction::LossDetected
            }
            Some((time, Expiry::Probe(space, packets))) if time <= now => {
                self.pto_count = self.pto_count.saturating_add(1);
                self.deadlock_base = now;
                self.probe_timeout_at = now;
                self.stats.probe_timeouts += 1;
                if self.pto_count >= ECN_TEST_PTOS {
                    self.ecn.on_test_period_over();
                }
                self.algorithm.on_retransmission_timeout(now);
                TimeoutAction::Probe { space, packets }
            }
            _ => TimeoutAction::None,
        }
    }

    /// The probe timeout of 1-RTT packets, without backoff (RFC 9002 §6.2.1). Three of these are
    /// the length of many other timers.
    pub fn pto(&self) -> Duration {
        self.rtt.pto_base() + self.max_ack_delay
    }

    /// How many probe timeouts expired in a row.
    pub const fn pto_count(&self) -> u32 {
        self.pto_count
    }

    /// RFC 9002 §A.8, SetLossDetectionTimer.
    fn next_expiry(&self) -> Option<(Time, Expiry)> {
        let losses = Space::ALL.into_iter().filter_map(|space| {
            let time = self.ledgers.get(space)?.loss_time()?;
            Some((time, Expiry::Loss(space)))
        });
        losses.min_by_key(|(time, _)| *time).or_else(|| {
            if self.handshake.at_anti_amplification_limit {
                return None; // nothing could be sent
            }
            self.next_probe().or_else(|| self.deadlock_probe())
        })
    }

    /// RFC 9002 §A.8, GetPtoTimeAndSpace.
    fn next_probe(&self) -> Option<(Time, Expiry)> {
        let probes = Space::ALL.into_iter().filter_map(|space| {
            let ledger = self.ledgers.get(space)?;
            let pto = match space {
                // RFC 9002 §6.2.1: not before the peer is known to be able to acknowledge
                Space::Application if !self.handshake.confirmed => return None,
                Space::Application => self.pto(),
                _ => self.rtt.pto_base(),
            };
            if !ledger.has_ack_eliciting() {
                return None;
            }
            // A probe that could not be sent (a full writer, an unproven address) must not expire
            // again at once.
            let since = ledger.last_ack_eliciting_sent().max(self.probe_timeout_at);
            Some((since + self.backed_off(pto), Expiry::Probe(space, 2)))
        });
        probes.min_by_key(|(time, _)| *time)
    }

    /// RFC 9002 §6.2.2.1: a server at its anti-amplification limit cannot send; a client that has
    /// nothing to be acknowledged must give it something.
    ///
    /// Likewise a client whose 1-RTT packets fill the window while its last handshake messages are
    /// lost: those wait for room, which only a server that has them will make, and §6.2.1 gives
    /// 1-RTT packets no timer yet.
    fn deadlock_probe(&self) -> Option<(Time, Expiry)> {
        let begun = self.stats.packets_sent > 0;
        let unconfirmed = self.role.is_client()
            && !self.handshake.confirmed
            && self.has_ack_eliciting_in_flight(Space::Application);
        if !begun || self.handshake.peer_completed_address_validation && !unconfirmed {
            return None;
        }
        let space =
            if self.handshake.has_handshake_keys { Space::Handshake } else { Space::Initial };
        let time = self.deadlock_base + self.backed_off(self.rtt.pto_base());
        Some((time, Expiry::Probe(space, 1)))
    }

    fn backed_off(&self, pto: Duration) -> Duration {
        let doublings = self.pto_count.min(self.config.max_pto_doublings).min(16);
        pto.saturating_mul(1 << doublings).min(MAX_BACKED_OFF_PTO.max(pto))
    }
}
