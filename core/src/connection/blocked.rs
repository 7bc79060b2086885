//! [`BlockedReminder`]: has a sender that the peer's limits hold back say so again from time to time
//! while nothing else is on its way (RFC 9000 §4.1). So the connection does not fall idle while it
//! waits, and a peer that owes a higher limit is reminded of it. This file must not know which limit
//! it is.

use std::time::Duration;

use crate::time::Time;

#[derive(Debug)]
pub(super) struct BlockedReminder {
    /// When the peer last had reason to answer.
    since: Time,
    /// How often the peer was reminded since it last raised a limit.
    repeats: u32,
}

impl BlockedReminder {
    pub(super) const fn new(now: Time) -> Self {
        Self { since: now, repeats: 0 }
    }

    /// Something was sent that the peer will answer.
    pub(super) const fn on_ack_eliciting_sent(&mut self, now: Time) {
        self.since = now;
    }

    /// No limit holds anything back.
    pub(super) const fn on_unblocked(&mut self) {
        self.repeats = 0;
    }

    /// When a blocked sender with nothing in flight should speak. Ever more rarely, but three times
    /// in an idle timeout at least.
    pub(super) fn deadline(&self, pto: Duration, idle_timeout: Option<Duration>) -> Time {
        let most = idle_timeout.map_or(MAX_INTERVAL, |timeout| (timeout / 3).min(MAX_INTERVAL));
        let interval = FIRST_INTERVAL.max(3 * pto) * (1 << self.repeats.min(MAX_DOUBLINGS));
        self.since + interval.min(most.max(pto))
    }

    /// It is said again.
    pub(super) const fn on_deadline(&mut self, now: Time) {
        self.since = now;
        self.repeats = self.repeats.saturating_add(1);
    }
}

/// The first reminder comes no sooner.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
/// And later ones no more rarely.
const MAX_INTERVAL: Duration = Duration::from_secs(15);
/// Intervals double so often.
const MAX_DOUBLINGS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const PTO: Duration = Duration::from_millis(100);

    #[test]
    fn reminders_become_rare_but_an_idle_timeout_sees_three() {
        let mut reminder = BlockedReminder::new(Time::ZERO);
        let (mut now, mut intervals) = (Time::ZERO, Vec::new());
        for _ in 0..8 {
            let next = reminder.deadline(PTO, Some(Duration::from_secs(6)));
            intervals.push((next - now).as_millis());
            reminder.on_deadline(next);
            now = next;
        }
        assert_eq!(intervals, [300, 600, 1200, 2000, 2000, 2000, 2000, 2000]);
        reminder.on_unblocked();
        assert_eq!(reminder.deadline(PTO, None) - now, 3 * PTO);
    }

    #[test]
    fn what_is_sent_meanwhile_puts_it_off() {
        let mut reminder = BlockedReminder::new(Time::ZERO);
        reminder.on_ack_eliciting_sent(Time::from_millis(1000));
        assert_eq!(reminder.deadline(PTO, None), Time::from_millis(1300));
    }
}
