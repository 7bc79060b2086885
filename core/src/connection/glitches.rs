//! [`GlitchBudget`]: how much that is legal and useless a peer may send: empty and repeated frames,
//! limits that are no news. An honest peer never comes near it (after ngtcp2's budget of the same
//! shape).

use crate::error::TransportError;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct GlitchBudget {
    /// Glitches that are forgiven by now.
    forgiven: u64,
    since: Time,
}

impl GlitchBudget {
    pub(super) fn new(now: Time) -> Self {
        Self { forgiven: 0, since: now }
    }

    /// The streams have counted `total` glitches so far.
    pub(super) fn check(&mut self, now: Time, total: u64) -> Result<(), TransportError> {
        if total <= self.forgiven + BURST {
            return Ok(());
        }
        let earned = (now - self.since).as_nanos() as u64 / 1_000_000 * PER_SECOND / 1000;
        self.forgiven = self.forgiven.saturating_add(earned).min(total);
        self.since = now;
        if total <= self.forgiven + BURST {
            return Ok(());
        }
        Err(TransportError::protocol_violation(format!(
            "{total} useless frames; {BURST} at once and {PER_SECOND} a second are borne"
        )))
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
        assert!(budget.check(Time::ZERO, BURST).is_ok());
        assert!(budget.check(Time::from_millis(1000), BURST + PER_SECOND).is_ok());
        assert!(budget.check(Time::from_millis(1000), BURST + PER_SECOND + 1).is_err());
    }
}
