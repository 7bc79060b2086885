//! [`IdleTimer`]: forgets a connection that has gone silent, and keeps one alive that should not
//! (RFC 9000 §10.1). This file must not know packets.

use std::time::Duration;

use crate::time::Time;

#[derive(Debug)]
pub(super) struct IdleTimer {
    /// The smaller of both ends' timeouts; `None` if neither wants one.
    timeout: Option<Duration>,
    keep_alive: Option<Duration>,
    /// The last time that counts as activity.
    active: Time,
    /// The last time that a packet was received.
    received: Time,
    /// Whether an ack-eliciting packet was sent since one was last received.
    sent_since_receive: bool,
    /// Whether a keep-alive is out.
    kept_alive: bool,
    /// Whether the connection has fallen idle since a packet was received.
    is_idle: bool,
}

impl IdleTimer {
    pub(super) fn new(now: Time, ours: Duration, keep_alive: Option<Duration>) -> Self {
        Self {
            timeout: (!ours.is_zero()).then_some(ours),
            keep_alive,
            active: now,
            received: now,
            sent_since_receive: false,
            kept_alive: false,
            is_idle: false,
        }
    }

    /// The peer's `max_idle_timeout`; zero means that it has none.
    pub(super) fn set_peer_timeout(&mut self, theirs: Duration) {
        if !theirs.is_zero() {
            self.timeout = Some(self.timeout.map_or(theirs, |ours| ours.min(theirs)));
        }
    }

    pub(super) fn on_packet_received(&mut self, now: Time) {
        self.active = now;
        self.received = now;
        self.sent_since_receive = false;
        self.kept_alive = false;
        self.is_idle = false;
    }

    /// When the connection counts as idle: nothing has come for a while, and no answer to what was
    /// sent last would still be under way.
    pub(super) fn idle_deadline(&self, pto: Duration) -> Option<Time> {
        (!self.is_idle).then_some(self.received + IDLE_AFTER.max(2 * pto))
    }

    pub(super) fn on_idle(&mut self) {
        self.is_idle = true;
    }

    /// RFC 9000 §10.1: only the first ack-eliciting packet after one was received counts.
    pub(super) fn on_ack_eliciting_sent(&mut self, now: Time) {
        if !std::mem::replace(&mut self.sent_since_receive, true) {
            self.active = now;
        }
    }

    /// How long the connection may be silent; `None` for ever.
    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When the connection is to be forgotten; never before three PTOs (RFC 9000 §10.1).
    pub(super) fn deadline(&self, pto: Duration) -> Option<Time> {
        self.timeout.map(|timeout| self.active + timeout.max(3 * pto))
    }

    /// When a PING is due to keep the connection alive.
    pub(super) fn keep_alive_deadline(&self) -> Option<Time> {
        self.keep_alive.filter(|_| !self.kept_alive).map(|interval| self.received + interval)
    }

    pub(super) fn on_keep_alive(&mut self) {
        self.kept_alive = true;
    }
}

/// After how long a silence memory is given back: longer than a busy connection's pauses.
const IDLE_AFTER: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_smaller_timeout_holds_and_zero_means_none() {
        // RFC 9000 §10.1
        let mut timer = IdleTimer::new(Time::ZERO, 30 * SECOND, None);
        timer.set_peer_timeout(Duration::ZERO);
        assert_eq!(timer.deadline(SECOND), Some(Time::ZERO + 30 * SECOND));
        timer.set_peer_timeout(10 * SECOND);
        assert_eq!(timer.deadline(SECOND), Some(Time::ZERO + 10 * SECOND));
        assert_eq!(timer.deadline(5 * SECOND), Some(Time::ZERO + 15 * SECOND), "three PTOs");
        assert_eq!(IdleTimer::new(Time::ZERO, Duration::ZERO, None).deadline(SECOND), None);
    }

    #[test]
    fn only_the_first_send_after_a_receive_restarts_it() {
        let mut timer = IdleTimer::new(Time::ZERO, 30 * SECOND, None);
        timer.on_ack_eliciting_sent(Time::ZERO + SECOND);
        timer.on_ack_eliciting_sent(Time::ZERO + 9 * SECOND);
        assert_eq!(timer.deadline(SECOND), Some(Time::ZERO + 31 * SECOND));
    }

    #[test]
    fn a_connection_falls_idle_once_for_each_silence() {
        let mut timer = IdleTimer::new(Time::ZERO, 30 * SECOND, None);
        assert_eq!(timer.idle_deadline(SECOND / 20), Some(Time::ZERO + IDLE_AFTER));
        timer.on_idle();
        assert_eq!(timer.idle_deadline(SECOND / 10), None);
        timer.on_packet_received(Time::ZERO + 6 * SECOND);
        assert_eq!(timer.idle_deadline(SECOND), Some(Time::ZERO + 8 * SECOND), "two PTOs");
    }

    #[test]
    fn one_keep_alive_is_sent_for_each_silence() {
        let mut timer = IdleTimer::new(Time::ZERO, 30 * SECOND, Some(5 * SECOND));
        assert_eq!(timer.keep_alive_deadline(), Some(Time::ZERO + 5 * SECOND));
        timer.on_keep_alive();
        assert_eq!(timer.keep_alive_deadline(), None);
        timer.on_packet_received(Time::ZERO + 6 * SECOND);
        assert_eq!(timer.keep_alive_deadline(), Some(Time::ZERO + 11 * SECOND));
    }
}
