//! Telling the peer that its limits hold us back (RFC 9000 §4.1, §4.6): once for every limit as it is
//! reached, and again when somebody asks for it. This file must not know the time.

use super::frames::ControlKind;
use super::limits::LocalStreams;
use super::scheduler::Place;
use super::send_part::Outlook;
use super::stream::Controls;
use super::{Streams, slot};
use crate::types::Direction;

impl Streams {
    /// Whether a limit of the peer's holds back data, or a stream that was to be opened.
    pub fn is_blocked(&self) -> bool {
        self.peer_known
            && !self.closed
            && (self.scheduler.first_held().is_some()
                || !self.blocked.is_empty()
                || self.local.iter().any(LocalStreams::is_blocked))
    }

    /// Tells the peer again what holds us back: the frame that raised a limit, or the peer's memory
    /// of us, may have been lost. Of streams, a few tell; that is enough to be remembered.
    pub fn repeat_blocked(&mut self) {
        if !self.is_blocked() {
            return;
        }
        if self.scheduler.first_held().is_some() {
            self.owe(ControlKind::DataBlocked);
        }
        for dir in [Direction::Bidirectional, Direction::Unidirectional] {
            if self.local[slot(dir)].is_blocked() {
                self.owe(ControlKind::StreamsBlocked(dir));
            }
        }
        let mut next = self.blocked.front();
        for _ in 0..MAX_REPEATED {
            let Some(key) = next else { break };
            next = self.blocked.after(&mut self.table.slab, key);
            self.order(key, Controls::BLOCKED);
        }
    }

    /// Notes which limit holds a stream back, if one does, and tells the peer once for every limit.
    pub(super) fn note_blocked(&mut self, key: usize, outlook: Outlook, place: Option<Place>) {
        if outlook == Outlook::Blocked {
            self.blocked.push_back(&mut self.table.slab, key);
        } else {
            self.blocked.remove(&mut self.table.slab, key);
        }
        if !self.peer_known {
            return;
        }
        // RFC 9000 §4.1
        if place == Some(Place::Held) && self.send_window.block() {
            self.owe(ControlKind::DataBlocked);
        }
        if outlook == Outlook::Blocked && self.send_part(key).window.block() {
            self.order(key, Controls::BLOCKED);
        }
    }
}

/// How many streams say again that they are blocked, at a time.
const MAX_REPEATED: usize = 8;
