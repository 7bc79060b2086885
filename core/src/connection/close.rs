//! [`Lifecycle`]: open, closing, draining, over (RFC 9000 §10.2). Keeps the datagram that says
//! goodbye and decides how often to repeat it. This file must not know how it was built.

use std::time::Duration;

use bytes::Bytes;

use crate::error::CloseReason;
use crate::rare::{Blank, Rare};
use crate::time::Time;

/// Where a connection is in its life.
///
/// ```text
/// Open --we close--> Closing --peer closes--> Draining --3 PTO--> Over
///   |                   '------------3 PTO-------------------------^
///   |--peer closes / stateless reset--> Draining
///   '--idle, handshake too slow, write failed--> Over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Closing,
    Draining,
    Over,
}

#[derive(Debug)]
pub(super) struct Lifecycle {
    state: State,
    /// The farewell has to be built and sent, or sent again.
    pending: bool,
    end: Rare<End>,
}

/// How a connection ends.
#[derive(Debug, Default)]
struct End {
    reason: Option<CloseReason>,
    /// When closing or draining ends.
    deadline: Option<Time>,
    farewell: Option<Bytes>,
    /// Packets received while closing, and after how many the farewell was repeated last.
    heard: u32,
    answered: u32,
}

impl Blank for End {
    const BLANK: &'static Self =
        &Self { reason: None, deadline: None, farewell: None, heard: 0, answered: 0 };
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self { state: State::Open, pending: false, end: Rare::NONE }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn reason(&self) -> Option<&CloseReason> {
        self.end.reason.as_ref()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.end.deadline
    }

    /// We close: the farewell is to be sent, and repeated to who goes on talking
    /// (RFC 9000 §10.2.1). The first reason stays.
    pub(super) fn close(&mut self, now: Time, reason: CloseReason, pto: Duration) {
        if self.is_open() {
            self.state = State::Closing;
            self.end.reason = Some(reason);
            self.pending = true;
            // RFC 9000 §10.2: at least three times the PTO.
            self.end.deadline = Some(now + 3 * pto);
        }
    }

    /// The peer closed or lost its state: nothing more is sent (RFC 9000 §10.2.2).
    pub(super) fn drain(&mut self, now: Time, reason: CloseReason, pto: Duration) {
        if matches!(self.state, State::Open | State::Closing) {
            if self.is_open() {
                self.end.deadline = Some(now + 3 * pto);
            }
            self.state = State::Draining;
            self.end.reason.get_or_insert(reason);
            self.pending = false;
            self.end.farewell = None;
        }
    }

    /// The connection is forgotten without a word (RFC 9000 §10.1).
    pub(super) fn forget(&mut self, reason: CloseReason) {
        self.state = State::Over;
        self.end.reason.get_or_insert(reason);
        self.end.deadline = None;
        self.pending = false;
    }

    pub(super) fn on_deadline(&mut self, now: Time) {
        if self.end.deadline.is_some_and(|deadline| deadline <= now) {
            self.state = State::Over;
            self.end.deadline = None;
            self.pending = false;
        }
    }

    /// A packet came in while closing: every doubling of their number earns one answer
    /// (RFC 9000 §10.2.1).
    pub(super) fn on_packet_while_closing(&mut self) {
        if self.state == State::Closing {
            self.end.heard = self.end.heard.saturating_add(1);
            if self.end.heard >= self.end.answered.saturating_mul(2).max(1) {
                self.end.answered = self.end.heard;
                self.pending = true;
            }
        }
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.pending
    }

    pub(super) fn farewell(&self) -> Option<&Bytes> {
        self.end.farewell.as_ref()
    }

    pub(super) fn on_farewell_built(&mut self, datagram: Bytes) {
        self.end.farewell = Some(datagram);
    }

    pub(super) fn on_farewell_sent(&mut self) {
        self.pending = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing() -> Lifecycle {
        let mut life = Lifecycle::new();
        life.close(Time::ZERO, CloseReason::IdleTimeout, Duration::from_secs(1));
        life.on_farewell_built(Bytes::from_static(b"bye"));
        life.on_farewell_sent();
        life
    }

    #[test]
    fn a_closing_end_answers_ever_more_rarely() {
        // RFC 9000 §10.2.1
        let mut life = closing();
        let answers = (0..1000)
            .filter(|_| {
                life.on_packet_while_closing();
                let pending = life.wants_to_send();
                life.on_farewell_sent();
                pending
            })
            .count();
        assert_eq!(answers, 10);
    }

    #[test]
    fn closing_lasts_three_ptos_and_draining_sends_nothing() {
        let mut life = closing();
        life.on_packet_while_closing();
        life.drain(Time::ZERO, CloseReason::StatelessReset, Duration::from_secs(9));
        assert!(!life.wants_to_send() && life.farewell().is_none());
        assert_eq!(life.reason(), Some(&CloseReason::IdleTimeout), "the first reason stays");
        life.on_deadline(Time::from_millis(2999));
        assert_eq!(life.state(), State::Draining);
        life.on_deadline(Time::from_millis(3000));
        assert_eq!(life.state(), State::Over);
    }
}
