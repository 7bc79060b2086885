//! The budgets that a peer's legal but useless doings use up: [`GlitchBudget`] for oddities and
//! [`CancelBudget`] for requests that are started and abandoned ("rapid reset"). Both end in
//! H3_EXCESSIVE_LOAD (RFC 9114 §10.5).

use std::time::Duration;

use crate::time::Time;

/// A bucket of glitches that fills up slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct GlitchBudget {
    left: u64,
    refilled: Time,
}

impl Default for GlitchBudget {
    fn default() -> Self {
        Self { left: Self::BURST, refilled: Time::ZERO }
    }
}

impl GlitchBudget {
    /// As many at once are forgiven; a peer that sends reserved frames for a hobby stays far below.
    const BURST: u64 = 10_000;
    /// And as many per second for ever.
    const PER_SECOND: u64 = 330;
    /// And as many for each exchange: a reserved frame, and an empty DATA frame that ends the message.
    const PER_EXCHANGE: u64 = 2;

    /// A request began, either way: the more useful work is done, the more is borne beside it.
    pub(super) fn on_request(&mut self) {
        self.left = (self.left + Self::PER_EXCHANGE).min(Self::BURST);
    }

    /// Counts one; false when there is no more to forgive.
    pub(super) fn spend(&mut self, now: Time) -> bool {
        let seconds = now.saturating_since(self.refilled).as_secs();
        if seconds > 0 {
            self.refilled = now;
            let more = seconds.saturating_mul(Self::PER_SECOND);
            self.left = self.left.saturating_add(more).min(Self::BURST);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// How many of the latest requests were abandoned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CancelBudget {
    began: Time,
    requests: u64,
    cancelled: u64,
}

impl CancelBudget {
    /// The window in which requests are counted.
    const WINDOW: Duration = Duration::from_secs(10);
    /// As many may be cancelled in a window whatever their share: a browser that leaves a page.
    const FREE: u64 = 1000;

    /// A request began.
    pub(super) fn on_request(&mut self, now: Time) {
        self.roll(now);
        self.requests += 1;
    }

    /// A request was cancelled by the peer, or by us for a fault of the peer. False if that is too
    /// many: more than 1000 and more than 90 % of the requests in 10 s.
    pub(super) fn on_cancelled(&mut self, now: Time) -> bool {
        self.roll(now);
        self.cancelled += 1;
        self.cancelled <= Self::FREE || self.cancelled * 10 <= self.requests * 9
    }

    fn roll(&mut self, now: Time) {
        if now.saturating_since(self.began) >= Self::WINDOW {
            *self = Self { began: now, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rapid_reset_runs_out_of_budget_and_honest_load_does_not() {
        let now = Time::from_millis(20_000);
        let mut hostile = CancelBudget::default();
        let mut honest = CancelBudget::default();
        let mut refused_at = None;
        for n in 1..=5000_u64 {
            hostile.on_request(now);
            honest.on_request(now);
            if !hostile.on_cancelled(now) {
                refused_at.get_or_insert(n);
            }
            if n % 2 == 0 {
                assert!(honest.on_cancelled(now));
            }
        }
        assert_eq!(refused_at, Some(1001));
        assert!(hostile.on_cancelled(now + Duration::from_secs(11)));
    }

    #[test]
    fn glitches_are_forgiven_at_a_rate() {
        let mut budget = GlitchBudget::default();
        let now = Time::from_millis(100);
        let free = (0..20_000).take_while(|_| budget.spend(now)).count();
        assert_eq!(free, 10_000);
        let later = (0..20_000).take_while(|_| budget.spend(now + Duration::from_secs(2))).count();
        assert_eq!(later, 660);
    }

    #[test]
    fn who_asks_much_may_grease_each_request() {
        let mut budget = GlitchBudget::default();
        let now = Time::from_millis(100);
        for request in 0..50_000 {
            budget.on_request();
            assert!(budget.spend(now) && budget.spend(now), "{request}");
        }
        budget.on_request();
        assert_eq!((0..20_000).take_while(|_| budget.spend(now)).count(), 10_000);
    }
}
