//! [`Fifo`]: datagrams in the order in which they came, with the times at which they did. This file
//! must not know what decides over them.

use std::collections::VecDeque;
use std::time::Duration;

use protoquic::Time;

use super::codel::MAX_CODEL_IDLE_BYTES;
use super::datagram::Datagram;

#[derive(Debug, Default)]
pub(super) struct Fifo {
    waiting: VecDeque<(Time, Box<Datagram>)>,
    bytes: usize,
}

impl Fifo {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so little waits that the line is not congested.
    pub(super) fn is_idle(&self) -> bool {
        self.bytes < MAX_CODEL_IDLE_BYTES
    }

    /// How long the first has waited.
    pub(super) fn wait(&self, now: Time) -> Duration {
        self.waiting.front().map_or(Duration::ZERO, |(since, _)| now.saturating_since(*since))
    }

    /// The size of the first.
    pub(super) fn first_size(&self) -> usize {
        self.waiting.front().map_or(0, |(_, datagram)| datagram.ip_size())
    }

    pub(super) fn push(&mut self, now: Time, datagram: Box<Datagram>) {
        self.bytes += datagram.ip_size();
        self.waiting.push_back((now, datagram));
    }

    pub(super) fn pop(&mut self) -> Option<(Time, Box<Datagram>)> {
        let (since, datagram) = self.waiting.pop_front()?;
        self.bytes -= datagram.ip_size();
        Some((since, datagram))
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Time, Box<Datagram>)> + '_ {
        self.bytes = 0;
        self.waiting.drain(..)
    }
}
