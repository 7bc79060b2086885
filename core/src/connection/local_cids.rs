//! [`LocalConnectionIds`]: the connection IDs that we issued to the peer (RFC 9000 §5.1). Keeps as
//! many active as the peer wants and we allow; each is announced once, again if lost, and replaced
//! when retired. This file must not know routing: it reports what came into and went out of use.

use std::collections::VecDeque;

use super::cid_generator::ConnectionIdGenerator;
use super::event::Event;
use crate::error::TransportError;
use crate::helper::RandomGenerator;
use crate::types::ConnectionId;

/// One ID in use.
#[derive(Clone, Copy, Debug)]
struct Issued {
    sequence: u64,
    id: ConnectionId,
    /// NEW_CONNECTION_ID has to be sent (again).
    pending: bool,
}

/// What a NEW_CONNECTION_ID frame has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) sequence: u64,
    pub(super) id: ConnectionId,
}

#[derive(Debug)]
pub(super) struct LocalConnectionIds {
    generator: Box<dyn ConnectionIdGenerator>,
    issued: VecDeque<Issued>,
    next_sequence: u64,
    /// How many the peer keeps, as far as we go along.
    peer_limit: usize,
    /// How many of those it is to have now.
    limit: usize,
    pending: usize,
    /// Those below were told to the peer, once at least.
    first_unsent: u64,
}

impl LocalConnectionIds {
    /// Starts with the ID of the handshake, sequence number 0 (RFC 9000 §5.1.1).
    pub(super) fn new(first: ConnectionId, generator: Box<dyn ConnectionIdGenerator>) -> Self {
        let issued = VecDeque::from([Issued { sequence: 0, id: first, pending: false }]);
        Self {
            generator,
            issued,
            next_sequence: 1,
            peer_limit: 1,
            limit: 1,
            pending: 0,
            first_unsent: 1,
        }
    }

    /// The ID of the handshake.
    pub(super) fn is_empty_id(&self) -> bool {
        self.generator.connection_id_length() == 0
    }

    pub(super) fn length(&self) -> usize {
        self.generator.connection_id_length()
    }

    /// Whether a packet with this destination is ours.
    pub(super) fn contains(&self, id: &ConnectionId) -> bool {
        self.issued.iter().any(|issued| issued.id == *id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.issued.iter().map(|issued| issued.id)
    }

    /// The ID of the preferred address has sequence number 1 and is announced in the transport
    /// parameters (RFC 9000 §5.1.1).
    pub(super) fn add_preferred(&mut self, id: ConnectionId, events: &mut VecDeque<Event>) {
        debug_assert_eq!(self.next_sequence, 1, "it comes before all others");
        self.issued.push_back(Issued { sequence: 1, id, pending: false });
        self.next_sequence = 2;
        self.first_unsent = 2;
        events.push_back(Event::ConnectionIdIssued(id));
    }

    /// Whether one was announced with a preferred address; as long as there are no others.
    pub(super) fn has_preferred(&self) -> bool {
        self.next_sequence > 1
    }

    /// The peer keeps up to `limit` IDs, and is given one to move with at once. The others follow when
    /// it has acknowledged that: many connections are over by then, and each ID costs both ends. If one end
    /// `will_move`, to a preferred address, all are given: it may move otherwise on the way.
    pub(super) fn set_peer_limit(&mut self, limit: u64, will_move: bool) {
        // RFC 9000 §5.1.1: who uses zero-length IDs issues none.
        if !self.is_empty_id() {
            self.peer_limit = limit.min(MAX_ISSUED as u64) as usize;
            self.limit = if will_move { self.peer_limit } else { self.peer_limit.min(2) };
        }
    }

    /// The peer has got an announcement: from now on it is given as many as it keeps, or as we allow.
    pub(super) fn on_acked(&mut self) {
        self.limit = self.peer_limit;
    }

    /// Makes the IDs that the peer lacks, when they can be announced.
    pub(super) fn fill(&mut self, random: &mut dyn RandomGenerator, events: &mut VecDeque<Event>) {
        while self.issued.len() < self.limit {
            let id = self.generator.generate(random);
            self.issued.push_back(Issued { sequence: self.next_sequence, id, pending: true });
            self.next_sequence += 1;
            self.pending += 1;
            events.push_back(Event::ConnectionIdIssued(id));
        }
    }

    /// The peer retires an ID; `used` is the one its packet was sent to (RFC 9000 §19.16).
    pub(super) fn on_retire(
        &mut self,
        sequence: u64,
        used: &ConnectionId,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TransportError> {
        // RFC 9000 §19.16: one greater than any that was sent. It would also have us make new IDs as
        // fast as it guesses numbers.
        if sequence >= self.first_unsent {
            return Err(TransportError::protocol_violation(format!(
                "RETIRE_CONNECTION_ID for sequence {sequence}, which was never sent"
            )));
        }
        if self.is_empty_id() {
            return Err(TransportError::protocol_violation(
                "RETIRE_CONNECTION_ID from a peer that was given a zero-length connection ID",
            ));
        }
        let Some(at) = self.issued.iter().position(|issued| issued.sequence == sequence) else {
            return Ok(()); // a repeated frame
        };
        if self.issued[at].id == *used {
            return Err(TransportError::protocol_violation(format!(
                "RETIRE_CONNECTION_ID for sequence {sequence}, which carried the frame"
            )));
        }
        if let Some(retired) = self.issued.remove(at) {
            self.pending -= usize::from(retired.pending);
            events.push_back(Event::ConnectionIdRetired(retired.id));
        }
        Ok(())
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.pending > 0 || self.issued.len() < self.limit
    }

    /// The next ID to announce; it counts as announced.
    pub(super) fn next_announcement(&mut self) -> Option<Announcement> {
        let issued = self.issued.iter_mut().find(|issued| issued.pending)?;
        issued.pending = false;
        self.pending -= 1;
        let Issued { sequence, id, .. } = *issued;
        self.first_unsent = self.first_unsent.max(sequence + 1);
        Some(Announcement { sequence, id })
    }

    pub(super) fn on_lost(&mut self, sequence: u64) {
        let found = self.issued.iter_mut().find(|issued| issued.sequence == sequence);
        if let Some(issued) = found
            && !issued.pending
        {
            issued.pending = true;
            self.pending += 1;
        }
    }
}

/// How many IDs of ours are in use at a time, at most.
const MAX_ISSUED: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::cid_generator::RandomConnectionIds;
    use super::*;
    use crate::helper::SeededRandom;

    fn ids() -> (LocalConnectionIds, SeededRandom, VecDeque<Event>) {
        let mut random = SeededRandom::new(1);
        let mut generator = RandomConnectionIds::new(8);
        let first = generator.generate(&mut random);
        (LocalConnectionIds::new(first, Box::new(generator)), random, VecDeque::new())
    }

    #[test]
    fn fills_to_the_peers_limit_but_not_beyond_our_own() {
        let (mut ids, mut random, mut events) = ids();
        ids.set_peer_limit(1000, false);
        ids.fill(&mut random, &mut events);
        assert_eq!(events.len(), 1, "the others are for connections that last");
        ids.on_acked();
        ids.fill(&mut random, &mut events);
        assert_eq!(events.len(), MAX_ISSUED - 1);
        let announced: Vec<_> = std::iter::from_fn(|| ids.next_announcement()).collect();
        assert_eq!(announced.iter().map(|a| a.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_lost_announcement_is_repeated_until_its_id_is_retired() {
        let (mut ids, mut random, mut events) = ids();
        ids.set_peer_limit(2, false);
        ids.fill(&mut random, &mut events);
        let first = ids.next_announcement();
        ids.on_lost(1);
        assert_eq!(ids.next_announcement(), first);
        ids.on_retire(1, &ConnectionId::EMPTY, &mut events).unwrap();
        ids.fill(&mut random, &mut events);
        ids.on_lost(1);
        assert_eq!(ids.next_announcement().map(|a| a.sequence), Some(2), "only the replacement");
    }

    #[test]
    fn retiring_what_was_never_issued_is_a_violation() {
        // RFC 9000 §19.16
        let (mut ids, _, mut events) = ids();
        let error = ids.on_retire(1, &ConnectionId::EMPTY, &mut events).unwrap_err();
        assert_eq!(error.code(), crate::TransportErrorCode::PROTOCOL_VIOLATION);
    }

    #[test]
    fn retiring_what_was_issued_and_not_sent_is_a_violation() {
        // RFC 9000 §19.16
        let (mut ids, mut random, mut events) = ids();
        ids.set_peer_limit(3, false);
        ids.on_acked();
        ids.fill(&mut random, &mut events);
        assert_eq!(ids.next_announcement().map(|a| a.sequence), Some(1));
        let mut retire = |ids: &mut LocalConnectionIds, sequence| {
            ids.on_retire(sequence, &ConnectionId::EMPTY, &mut events)
        };
        assert!(retire(&mut ids, 1).is_ok());
        assert!(retire(&mut ids, 2).is_err());
    }

    #[test]
    fn retiring_the_id_that_carries_the_frame_is_a_violation() {
        // RFC 9000 §19.16
        let (mut ids, _, mut events) = ids();
        let used = ids.ids().next().unwrap();
        assert!(ids.on_retire(0, &used, &mut events).is_err());
    }
}
