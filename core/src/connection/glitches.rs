//! [`GlitchBudget`]: how much that is legal and useless a peer may send: empty and repeated frames,
//! limits that are no news. An honest peer never comes near it: the more useful work is done, the more
//! is borne beside it (otherwise after ngtcp2's budget of the same shape). This file must not know
//! what is a glitch.

use super::Connection;
use crate::error::TransportError;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct GlitchBudget {
    /// Glitches that are forgiven by now.
    forgiven: u64,
    /// When they were counted, in milliseconds. This and the next are the lower bits only: what is
    /// left out when they run over is forgiven later.
    since: u32,
    /// The useful work that was done by then.
    progress: u32,
}

impl GlitchBudget {
    pub(super) fn new(now: Time) -> Self {
        Self { forgiven: 0, since: millis(now), progress: 0 }
    }

    /// The streams have counted `total` glitches so far, and done so many units of useful work.
    pub(super) fn check(
        &mut self,
        now: Time,
        total: u64,
        progress: u64,
    ) -> Result<(), TransportError> {
        if total <= self.forgiven + BURST {
            return Ok(());
        }
        let (now, progress) = (millis(now), progress as u32);
        let earned = u64::from(now.wrapping_sub(self.since)) * PER_SECOND / 1000;
        let done = u64::from(progress.wrapping_sub(self.progress));
        self.forgiven = self.forgiven.saturating_add(earned + done).min(total);
        (self.since, self.progress) = (now, progress);
        if total <= self.forgiven + BURST {
            return Ok(());
        }
        Err(TransportError::protocol_violation(format!(
            "{total} useless frames; {BURST} at once and {PER_SECOND} a second are borne"
        )))
    }
}

const fn millis(time: Time) -> u32 {
    (time.as_nanos() / 1_000_000) as u32
}

impl Connection {
    /// Whether the peer still keeps to its budget.
    pub(super) fn check_glitches(&mut self, now: Time) -> Result<(), TransportError> {
        self.glitches.check(now, self.streams.glitches(), self.streams.progress())
    }
}

const BURST: u64 = 10_000;
const PER_SECOND: u64 = 330;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_borne_and_a_flood_is_not() {
        let mut budget = GlitchBudget::new(Time::ZERO);
        assert!(budget.check(Time::ZERO, BURST, 0).is_ok());
        assert!(budget.check(Time::from_millis(1000), BURST + PER_SECOND, 0).is_ok());
        assert!(budget.check(Time::from_millis(1000), BURST + PER_SECOND + 1, 0).is_err());
    }

    #[test]
    fn who_does_much_may_do_some_of_it_in_vain() {
        let mut budget = GlitchBudget::new(Time::ZERO);
        for total in 0..10 * BURST {
            assert!(budget.check(Time::ZERO, total, total).is_ok(), "{total}");
        }
        let total = 11 * BURST - 1; // the last of the work counts once
        assert!(budget.check(Time::ZERO, total, 10 * BURST - 1).is_ok());
        assert!(budget.check(Time::ZERO, total + 1, 10 * BURST - 1).is_err());
    }
}
