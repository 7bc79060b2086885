//! What hastens a handshake whose packets get lost: signs that the peer misses something are acted
//! upon before a timeout, and probes take along what is in flight in the other packet number spaces
//! (RFC 9002 §6.2.3, §6.2.4). This file must not know when a timeout is.

use std::time::Duration;

use super::Connection;
use crate::time::Time;
use crate::types::{Role, Space};
use crate::wire::PacketType;

/// How often a connection hurried, and when last.
#[derive(Debug, Default)]
pub(super) struct Hurry {
    count: u8,
    last: Option<Time>,
}

impl Hurry {
    /// Whether to hurry now.
    fn begin(&mut self, now: Time) -> bool {
        let soon = self.last.is_some_and(|last| now < last + MIN_PAUSE);
        // RFC 9002 §6.2.3: a limited number of times, or two ends would go on for ever.
        if soon || self.count >= MAX_HURRIES {
            return false;
        }
        self.count += 1;
        self.last = Some(now);
        true
    }
}

impl Connection {
    /// An Initial or Handshake packet that asks for an acknowledgement has come: from a peer that had
    /// nothing more to say, unless it misses what is under way to it (RFC 9002 §6.2.3).
    pub(super) fn on_eliciting_handshake_packet(&mut self, now: Time, space: Space) {
        let missed = match (self.role, space) {
            (Role::Server, Space::Initial) => self.recovery.has_ack_eliciting_in_flight(space),
            // A client has answered the whole flight of the server with its Finished. What comes
            // sooner than a round trip after that may have left before it arrived.
            (Role::Client, Space::Handshake) => {
                let answered = self.recovery.last_ack_eliciting_in_flight(space);
                answered.is_some_and(|sent| now >= sent + self.recovery.rtt().smoothed())
            }
            _ => false,
        };
        if missed {
            self.hurry(now, space);
        }
    }

    /// A packet has come before its keys. A client to which this happens misses the server's Initial
    /// packets (RFC 9002 §6.2.3).
    pub(super) fn on_packet_before_keys(&mut self, now: Time, ty: PacketType) {
        let late = matches!(ty, PacketType::Handshake | PacketType::OneRtt);
        if self.role == Role::Client && late && !self.keys.handshake_was_available() {
            self.hurry(now, Space::Initial);
        }
    }

    fn hurry(&mut self, now: Time, space: Space) {
        if self.hurry.begin(now) {
            self.probes[space as usize] = 1;
        }
    }

    /// RFC 9002 §6.2.4: with a probe goes what the oldest packets of the other spaces hold, in the
    /// same datagram if there is room. Whether there may be more to say now.
    pub(super) fn take_along_with_probes(&mut self, now: Time) -> bool {
        if self.handshake_confirmed || self.probes == [0; 3] {
            return false;
        }
        for space in Space::ALL {
            let is_saying = self.spaces[space as usize].crypto.wants_to_send();
            if self.keys.can_seal(space) && !is_saying {
                self.requeue_oldest(now, space, 1);
            }
        }
        true
    }
}

/// How often a connection hurries, at most.
const MAX_HURRIES: u8 = 4;
/// The packets of one flight, or the two probes of a timeout, are one sign and not several.
const MIN_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends() {
        let (mut hurry, mut now, mut count) = (Hurry::default(), Time::ZERO, 0);
        for _ in 0..100 {
            count += u32::from(hurry.begin(now));
            assert!(!hurry.begin(now), "once for one sign");
            now += Duration::from_secs(1);
        }
        assert_eq!(count, u32::from(MAX_HURRIES));
    }
}
