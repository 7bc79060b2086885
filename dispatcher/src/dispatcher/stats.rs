//! [`DispatcherStats`]: what a dispatcher has done, or several together. Nothing here counts.

use std::iter::Sum;
use std::ops::Add;

/// What a dispatcher has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatcherStats {
    /// Sessions made.
    pub sessions_created: u64,
    /// Sessions that live.
    pub sessions: usize,
    /// Sessions whose handshake is not complete.
    pub handshaking: usize,
    /// Clients that wait for the rest of their ClientHello, or for their turn to have a session.
    pub buffered: usize,
    /// Closed connections that are still remembered.
    pub time_wait: usize,
    /// Datagrams dropped without an answer.
    pub dropped: u64,
    /// Datagrams handed over to another worker of the port, whose they are.
    pub handed_over: u64,
    /// Datagrams that were dropped because that worker had more to do than it could.
    pub hand_over_drops: u64,
    /// Datagrams that other workers handed over to this one.
    pub taken_over: u64,
}

impl Add for DispatcherStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sessions_created: self.sessions_created + other.sessions_created,
            sessions: self.sessions + other.sessions,
            handshaking: self.handshaking + other.handshaking,
            buffered: self.buffered + other.buffered,
            time_wait: self.time_wait + other.time_wait,
            dropped: self.dropped + other.dropped,
            handed_over: self.handed_over + other.handed_over,
            hand_over_drops: self.hand_over_drops + other.hand_over_drops,
            taken_over: self.taken_over + other.taken_over,
        }
    }
}

/// What the workers of a port have done together.
impl Sum for DispatcherStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
