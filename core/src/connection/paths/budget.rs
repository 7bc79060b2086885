//! [`MigrationBudget`]: how often a peer's packets may lead us to addresses that it has not proven.
//! Copies of its packets sent from elsewhere lead there too (RFC 9000 §9.3.2, §9.3.3). This file
//! must not know addresses.

use std::time::Duration;

use crate::time::Time;

#[derive(Debug)]
pub(super) struct MigrationBudget {
    left: u32,
    /// Since when the next move has been growing back.
    since: Time,
}

impl MigrationBudget {
    pub(super) fn new() -> Self {
        Self { left: MAX_MOVES_IN_A_ROW, since: Time::ZERO }
    }

    /// Takes one move; false if there is none left for now.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let grown = now.saturating_since(self.since).as_micros() / MOVE_INTERVAL.as_micros();
        if grown > 0 {
            self.since = now;
            let grown = u32::try_from(grown).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(grown).min(MAX_MOVES_IN_A_ROW);
        }
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

/// How many times in a row an unproven address is followed.
const MAX_MOVES_IN_A_ROW: u32 = 16;
/// After so long one more is.
const MOVE_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_run_out_and_grow_back() {
        let mut budget = MigrationBudget::new();
        let now = Time::from_millis(1000);
        assert_eq!((0..100).filter(|_| budget.take(now)).count(), 16);
        assert!(!budget.take(now + MOVE_INTERVAL / 2));
        assert!(budget.take(now + MOVE_INTERVAL) && !budget.take(now + MOVE_INTERVAL));
    }
}
