//! [`PeerConnectionIds`]: the connection IDs that the peer issued to us (RFC 9000 §5.1). Chooses
//! the one to send with, retires what the peer wants retired, and knows the stateless reset tokens
//! that come with them. Everything is bounded by `active_connection_id_limit`.

use std::collections::VecDeque;

use crate::error::TransportError;
use crate::types::{ConnectionId, ResetToken};

#[derive(Clone, Copy, Debug)]
struct Known {
    sequence: u64,
    id: ConnectionId,
    token: Option<ResetToken>,
    /// Packets were sent to it, on one path.
    used: bool,
}

#[derive(Debug)]
pub(super) struct PeerConnectionIds {
    /// In the order of their sequence numbers.
    known: VecDeque<Known>,
    /// The sequence number of the one in use on the active path; it is among the known.
    active: u64,
    /// How many we advertised to keep.
    limit: usize,
    retire_prior_to: u64,
    /// What is retired and of which the peer is not known to have heard.
    retired: VecDeque<Retired>,
    seen: SeenSequences,
}

#[derive(Clone, Copy, Debug)]
struct Retired {
    sequence: u64,
    /// A RETIRE_CONNECTION_ID is to be sent, for the first time or again.
    owed: bool,
}

impl PeerConnectionIds {
    pub(super) fn new(first: ConnectionId, limit: u64) -> Self {
        Self {
            known: VecDeque::from([Known { sequence: 0, id: first, token: None, used: true }]),
            active: 0,
            limit: limit as usize,
            retire_prior_to: 0,
            retired: VecDeque::new(),
            seen: SeenSequences::default(),
        }
    }

    /// The ID to send packets to on the active path.
    pub(super) fn current(&self) -> &ConnectionId {
        self.id(self.active).expect("the active ID is kept among the known")
    }

    /// The sequence number of [`Self::current`].
    pub(super) fn active_sequence(&self) -> u64 {
        self.active
    }

    /// The ID with this sequence number, unless it was retired.
    pub(super) fn id(&self, sequence: u64) -> Option<&ConnectionId> {
        self.known.iter().find(|known| known.sequence == sequence).map(|known| &known.id)
    }

    /// Whether it knows an ID with this sequence number.
    pub(super) fn knows(&self, sequence: u64) -> bool {
        self.id(sequence).is_some()
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.known.shrink_to_fit();
        self.retired.shrink_to_fit();
    }

    /// Whether the peer wants no connection IDs in its packets.
    pub(super) fn are_empty(&self) -> bool {
        self.current().is_empty()
    }

    /// An ID that was on no path yet, for a new one (RFC 9000 §9.5). None if there is no other, and
    /// none if the peer uses zero-length IDs, which would link all paths.
    pub(super) fn take_unused(&mut self) -> Option<u64> {
        let unused = self.known.iter_mut().find(|known| !known.used)?;
        unused.used = true;
        Some(unused.sequence)
    }

    /// The active path uses this ID from now on.
    pub(super) fn use_for_active(&mut self, sequence: u64) {
        if self.knows(sequence) {
            self.active = sequence;
        }
    }

    /// The path that used this ID is gone: retires it (RFC 9000 §5.1.2).
    pub(super) fn release(&mut self, sequence: u64) {
        let at = self.known.iter().position(|known| known.sequence == sequence);
        if let Some(at) = at
            && sequence != self.active
        {
            self.known.remove(at);
            self.retired.push_back(Retired { sequence, owed: true });
        }
    }

    /// The peer's first packet named its own ID, or a Retry did (RFC 9000 §7.2).
    pub(super) fn replace_first(&mut self, id: ConnectionId) {
        if let Some(first) = self.known.front_mut() {
            first.id = id;
        }
    }

    /// The server's `stateless_reset_token` parameter belongs to sequence number 0.
    pub(super) fn set_first_token(&mut self, token: ResetToken) {
        if let Some(first) = self.known.iter_mut().find(|known| known.sequence == 0) {
            first.token = Some(token);
        }
    }

    /// The ID of the server's preferred address has sequence number 1 (RFC 9000 §5.1.1).
    pub(super) fn add_preferred(&mut self, id: ConnectionId, token: ResetToken) {
        self.seen.insert(1);
        self.known.push_back(Known { sequence: 1, id, token: Some(token), used: false });
    }

    /// Whether the end of a datagram is the token of an ID that packets were sent to
    /// (RFC 9000 §10.3.1). Every token is compared, so that the time does not tell which one
    /// matched.
    pub(super) fn is_reset_token(&self, candidate: &ResetToken) -> bool {
        let matches = |known: &Known| {
            known.used & known.token.as_ref().is_some_and(|token| token == candidate)
        };
        self.known.iter().fold(false, |found, known| found | matches(known))
    }

    /// Handles NEW_CONNECTION_ID (RFC 9000 §19.15); the frame's own bounds are already checked.
    pub(super) fn on_new_connection_id(
        &mut self,
        sequence: u64,
        retire_prior_to: u64,
        id: ConnectionId,
        token: ResetToken,
    ) -> Result<(), TransportError> {
        if self.current().is_empty() {
            return Err(TransportError::protocol_violation(
                "NEW_CONNECTION_ID from a peer that uses zero-length connection IDs",
            ));
        }
        self.check_not_reused(sequence, &id, &token)?;
        match self.seen.insert(sequence) {
            Sighting::New if sequence >= self.retire_prior_to => {
                let at = self.known.partition_point(|known| known.sequence < sequence);
                self.known.insert(at, Known { sequence, id, token: Some(token), used: false });
            }
            // RFC 9000 §19.15: below what is retired already: retire it at once.
            Sighting::New => self.owe(sequence)?,
            // It may be new to us, and the peer waits until it is retired. If it is not, then to retire
            // it again does no harm (§19.16).
            Sighting::TooOld if !self.is_kept(sequence) => self.owe(sequence)?,
            // A frame that comes again, late, must not bring an ID back that was retired meanwhile.
            Sighting::Again | Sighting::TooOld => {}
        }
        self.retire_prior(retire_prior_to)?;
        self.check_retired()?;
        if self.known.len() > self.limit {
            return Err(TransportError::connection_id_limit(format!(
                "{} connection IDs issued, {} allowed",
                self.known.len(),
                self.limit
            )));
        }
        Ok(())
    }

    /// RFC 9000 §19.15: one sequence number means one ID and token, and one ID one sequence number.
    fn check_not_reused(
        &self,
        sequence: u64,
        id: &ConnectionId,
        token: &ResetToken,
    ) -> Result<(), TransportError> {
        let clashes = |known: &Known| {
            let same_sequence = known.sequence == sequence;
            let same_id = known.id == *id;
            let same_token = known.token.as_ref().is_none_or(|known| known == token);
            same_sequence != same_id || (same_sequence && !same_token)
        };
        if self.known.iter().any(clashes) {
            return Err(TransportError::protocol_violation(format!(
                "NEW_CONNECTION_ID reuses sequence {sequence} or its connection ID {id} for another"
            )));
        }
        Ok(())
    }

    fn retire_prior(&mut self, retire_prior_to: u64) -> Result<(), TransportError> {
        if retire_prior_to <= self.retire_prior_to {
            return Ok(());
        }
        self.retire_prior_to = retire_prior_to;
        while let Some(first) = self.known.front()
            && first.sequence < retire_prior_to
        {
            if self.known.len() == 1 {
                return Err(TransportError::protocol_violation(format!(
                    "retire_prior_to {retire_prior_to} leaves no connection ID to use"
                )));
            }
            let sequence = first.sequence;
            self.known.pop_front();
            self.owe(sequence)?;
        }
        if !self.knows(self.active) {
            // One that is on no path, or else one that another path has to do without.
            let taken = self.take_unused();
            self.active = taken.unwrap_or_else(|| self.known.back().map_or(0, |k| k.sequence));
        }
        Ok(())
    }

    /// How many IDs are kept: to be used, or because the peer has still to hear that they are not.
    pub(super) fn kept(&self) -> usize {
        self.known.len() + self.retired.len()
    }

    /// The most that are kept: what may be retired, the last that came, and those given up since.
    pub(super) fn most_kept(&self) -> usize {
        (MAX_RETIRED_PER_ID + 2) * self.limit
    }

    /// RFC 9000 §5.1.2: whoever gives new IDs for those that paths have used up, and never
    /// acknowledges that they are retired, would have us remember more and more of them.
    fn check_retired(&self) -> Result<(), TransportError> {
        let retired = self.retired.len();
        if retired <= MAX_RETIRED_PER_ID * self.limit {
            return Ok(());
        }
        Err(TransportError::connection_id_limit(format!(
            "a new connection ID while {retired} retirements are not acknowledged"
        )))
    }

    /// Whether it is in use, or its retirement is under way.
    fn is_kept(&self, sequence: u64) -> bool {
        self.knows(sequence) || self.retired.iter().any(|retired| retired.sequence == sequence)
    }

    fn owe(&mut self, sequence: u64) -> Result<(), TransportError> {
        // RFC 9000 §5.1.2: the number of unacknowledged retirements may be limited.
        if self.retired.len() >= 2 * self.limit {
            return Err(TransportError::connection_id_limit(format!(
                "{} retirements are still unacknowledged",
                self.retired.len()
            )));
        }
        self.retired.push_back(Retired { sequence, owed: true });
        Ok(())
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.retired.iter().any(|retired| retired.owed)
    }

    /// The next sequence number to retire; the frame counts as sent.
    pub(super) fn next_retirement(&mut self) -> Option<u64> {
        let retired = self.retired.iter_mut().find(|retired| retired.owed)?;
        retired.owed = false;
        Some(retired.sequence)
    }

    pub(super) fn on_acked(&mut self, sequence: u64) {
        self.retired.retain(|retired| retired.sequence != sequence);
    }

    /// A frame was lost, or is repeated by a probe. Of several copies one that arrives is enough.
    pub(super) fn on_lost(&mut self, sequence: u64) {
        let lost = self.retired.iter_mut().find(|retired| retired.sequence == sequence);
        if let Some(lost) = lost {
            lost.owed = true;
        }
    }
}

/// Which sequence numbers have come. Far fewer are under way at a time than it tells apart.
#[derive(Debug)]
struct SeenSequences {
    newest: u64,
    /// Bit n: `newest` - n has come.
    before: u128,
}

/// Whether a sequence number has come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sighting {
    New,
    Again,
    /// It is not remembered.
    TooOld,
}

impl Default for SeenSequences {
    /// The first ID comes with the handshake.
    fn default() -> Self {
        Self { newest: 0, before: 1 }
    }
}

impl SeenSequences {
    fn insert(&mut self, sequence: u64) -> Sighting {
        if sequence > self.newest {
            let shift = u32::try_from(sequence - self.newest).unwrap_or(u32::MAX);
            self.before = self.before.checked_shl(shift).unwrap_or(0) | 1;
            self.newest = sequence;
            return Sighting::New;
        }
        let age = self.newest - sequence;
        if age >= u64::from(u128::BITS) {
            return Sighting::TooOld;
        }
        let is_new = self.before & (1 << age) == 0;
        self.before |= 1 << age;
        if is_new { Sighting::New } else { Sighting::Again }
    }
}

/// How many retirements may be unacknowledged when a new ID comes, for each ID that we may have at a
/// time. RFC 9000 §5.1.2 asks for twice as many at least.
const MAX_RETIRED_PER_ID: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportErrorCode as Code;

    fn id(n: u64) -> ConnectionId {
        ConnectionId::new(&n.to_be_bytes()).unwrap()
    }

    fn token(n: u64) -> ResetToken {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        ResetToken(bytes)
    }

    fn give(ids: &mut PeerConnectionIds, n: u64, prior: u64) -> Result<(), TransportError> {
        ids.on_new_connection_id(n, prior, id(n), token(n))
    }

    #[test]
    fn retires_what_the_peer_wants_retired_and_moves_on() {
        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 1, 0).unwrap();
        give(&mut ids, 2, 1).unwrap();
        assert_eq!(*ids.current(), id(1));
        assert_eq!(ids.next_retirement(), Some(0));
        ids.on_lost(0);
        assert_eq!(ids.next_retirement(), Some(0), "a lost frame is repeated");
        ids.on_lost(0);
        ids.on_lost(0);
        assert_eq!(ids.next_retirement(), Some(0));
        assert_eq!(ids.next_retirement(), None, "once for two lost copies");
        ids.on_acked(0);
        ids.on_lost(0);
        assert!(!ids.wants_to_send(), "one of the copies has arrived");
        assert!(ids.is_reset_token(&token(1)) && !ids.is_reset_token(&token(2)));
    }

    #[test]
    fn more_ids_than_allowed_are_an_error() {
        // RFC 9000 §5.1.1
        let mut ids = PeerConnectionIds::new(id(0), 3);
        give(&mut ids, 1, 0).unwrap();
        give(&mut ids, 2, 0).unwrap();
        give(&mut ids, 2, 0).unwrap(); // a repeated frame is none
        assert_eq!(give(&mut ids, 3, 0).unwrap_err().code(), Code::CONNECTION_ID_LIMIT_ERROR);
    }

    #[test]
    fn a_sequence_number_means_one_id_only() {
        // RFC 9000 §19.15
        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 1, 0).unwrap();
        let other_id = ids.on_new_connection_id(1, 0, id(9), token(1));
        let other_token = ids.on_new_connection_id(1, 0, id(1), token(9));
        let other_sequence = ids.on_new_connection_id(2, 0, id(1), token(1));
        for result in [other_id, other_token, other_sequence] {
            assert_eq!(result.unwrap_err().code(), Code::PROTOCOL_VIOLATION);
        }
    }

    #[test]
    fn a_frame_that_comes_again_does_not_bring_a_retired_id_back() {
        // RFC 9000 §5.1.2
        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 2, 0).unwrap();
        assert_eq!(ids.take_unused(), Some(2));
        ids.release(2);
        assert_eq!(ids.next_retirement(), Some(2));
        give(&mut ids, 2, 0).unwrap();
        ids.on_acked(2);
        give(&mut ids, 2, 0).unwrap();
        assert_eq!(ids.take_unused(), None);
        give(&mut ids, 1, 0).unwrap();
        assert_eq!(ids.take_unused(), Some(1), "an older one that was only late is as good");
    }

    #[test]
    fn an_id_that_is_far_older_than_the_newest_is_retired_too() {
        // RFC 9000 §19.15, beyond what is remembered
        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 1000, 1000).unwrap();
        assert_eq!(ids.next_retirement(), Some(0));
        for _ in 0..2 {
            give(&mut ids, 500, 0).unwrap();
        }
        assert_eq!((ids.next_retirement(), ids.next_retirement()), (Some(500), None), "once");
        ids.on_acked(500);

        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 1, 0).unwrap();
        give(&mut ids, 1000, 0).unwrap();
        give(&mut ids, 1, 0).unwrap();
        assert!(ids.knows(1) && !ids.wants_to_send(), "what is in use stays");
        let old = (2..20).map(|n| give(&mut ids, n, 0)).find_map(Result::err);
        assert_eq!(old.unwrap().code(), Code::CONNECTION_ID_LIMIT_ERROR, "a flood is cut off");
    }

    #[test]
    fn a_flood_of_retirements_is_cut_off() {
        // RFC 9000 §5.1.2, on both ways to owe a frame
        let mut ids = PeerConnectionIds::new(id(0), 4);
        let rising = (1..20).map(|n| give(&mut ids, n, n)).find_map(Result::err);
        assert_eq!(rising.unwrap().code(), Code::CONNECTION_ID_LIMIT_ERROR);

        let mut ids = PeerConnectionIds::new(id(0), 4);
        give(&mut ids, 100, 100).unwrap();
        let below = (1..20).map(|n| give(&mut ids, n, 0)).find_map(Result::err);
        assert_eq!(below.unwrap().code(), Code::CONNECTION_ID_LIMIT_ERROR);
    }

    #[test]
    fn ids_that_paths_use_up_are_not_kept_without_end() {
        // RFC 9000 §5.1.2, with a peer that acknowledges nothing
        let mut ids = PeerConnectionIds::new(id(0), 4);
        let use_up = |ids: &mut PeerConnectionIds, n| -> Result<(), TransportError> {
            give(ids, n, 0)?;
            let taken = ids.take_unused().unwrap();
            ids.release(taken);
            assert!(ids.kept() <= ids.most_kept());
            Ok(())
        };
        let refused = (1..100).find_map(|n| use_up(&mut ids, n).err().map(|error| (n, error)));
        let (at, error) = refused.unwrap();
        assert_eq!(error.code(), Code::CONNECTION_ID_LIMIT_ERROR);
        assert!(at > 2 * 4, "after {at}");
    }

    #[test]
    fn zero_length_ids_cannot_be_replaced() {
        // RFC 9000 §19.15
        let mut ids = PeerConnectionIds::new(ConnectionId::EMPTY, 4);
        assert_eq!(give(&mut ids, 1, 0).unwrap_err().code(), Code::PROTOCOL_VIOLATION);
    }
}
