//! [`CoDel`]: the control law of RFC 8289, which says of each datagram that leaves a queue whether to
//! signal congestion by it. This file must not know queues.

use std::time::Duration;

use protoquic::Time;

/// The control law of RFC 8289 §5.
#[derive(Debug, Default)]
pub(super) struct CoDel {
    /// When the wait will have been too long for an interval.
    first_above: Option<Time>,
    dropping: bool,
    next: Time,
    count: u32,
    last_count: u32,
}

impl CoDel {
    /// Whether this datagram is to be dropped or marked.
    pub(super) fn signals(
        &mut self,
        now: Time,
        wait: Duration,
        idle: bool,
        target: Duration,
        interval: Duration,
    ) -> bool {
        let over = self.is_over(now, wait < target || idle, interval);
        if self.dropping {
            self.dropping = over;
            if over && now >= self.next {
                self.count += 1;
                self.next += law(interval, self.count);
                return true;
            }
            return false;
        }
        if over {
            self.dropping = true;
            let since = self.count.saturating_sub(self.last_count);
            let recent = now.saturating_since(self.next) < 16 * interval;
            self.count = if since > 1 && recent { since } else { 1 };
            self.last_count = self.count;
            self.next = now + law(interval, self.count);
        }
        over
    }

    fn is_over(&mut self, now: Time, fine: bool, interval: Duration) -> bool {
        if fine {
            self.first_above = None;
            return false;
        }
        let first = *self.first_above.get_or_insert(now + interval);
        now >= first
    }
}

/// The time to the next signal shrinks with the square root of their number.
fn law(interval: Duration, count: u32) -> Duration {
    interval.div_f64(f64::from(count).sqrt())
}

/// With less than a packet behind it, a line is not congested (RFC 8289 §5.4).
pub(super) const MAX_CODEL_IDLE_BYTES: usize = 1500;
