//! What there is to say: asks the mechanisms whether a packet of a space would hold anything, and
//! whether anybody would hear of its loss. This file must not know how packets are built.

use super::Connection;
use crate::recovery::EcnState;
use crate::time::Time;
use crate::types::{Ecn, Space};

impl Connection {
    /// What the next datagram is marked with. An ACK alone is not acknowledged: if its mark made it
    /// disappear, nobody would learn of it. So it does not test a path (RFC 9000 §13.4.2).
    pub(super) fn mark(&self, eliciting: bool) -> Ecn {
        let proven = self.recovery.ecn_state() == EcnState::Capable;
        if proven || (eliciting && Space::ALL.into_iter().any(|space| self.has_to_elicit(space))) {
            self.recovery.ecn_codepoint()
        } else {
            Ecn::NotEct
        }
    }

    /// Whether a packet of this space has anything to say. Exact: if so, one is not empty.
    pub(super) fn wants(&self, now: Time, space: Space, eliciting: bool) -> bool {
        if !self.keys.can_seal(space) {
            return false;
        }
        let state = self.space_of(space);
        if state.acks.ack_deadline().is_some_and(|deadline| deadline <= now) {
            return true;
        }
        eliciting && self.has_to_elicit(space)
    }

    /// Whether there is something to say in this space that asks for an acknowledgement.
    fn has_to_elicit(&self, space: Space) -> bool {
        self.keys.can_seal(space)
            && (self.probes[space as usize] > 0
                || self.space_of(space).crypto.wants_to_send()
                || (space == Space::Application && self.application_wants_to_send()))
    }

    fn application_wants_to_send(&self) -> bool {
        self.pending.any()
            || self.local_cids.wants_to_send()
            || self.peer_cids.wants_to_send()
            || self.ack_frequency.wants_to_send()
            || (self.may_send_data()
                && (self.streams.wants_to_send() || self.datagrams.wants_to_send()))
    }
}
