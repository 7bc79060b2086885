//! [`Paths`]: the addresses the connection runs between, and the proof that the peer is there
//! (RFC 9000 §8, §9). Keeps the anti-amplification limit, answers and makes path challenges, and
//! follows a peer whose address changes. This file must not know packets or keys.

use std::collections::VecDeque;
use std::time::Duration;

use crate::helper::RandomGenerator;
use crate::time::Time;
use crate::types::PathAddress;

/// One path and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) address: PathAddress,
    validated: bool,
    received: u64,
    sent: u64,
    challenge: Option<Challenge>,
}

#[derive(Clone, Debug)]
struct Challenge {
    data: [u8; 8],
    pending: bool,
    deadline: Time,
}

impl Path {
    fn new(address: PathAddress, validated: bool) -> Self {
        Self { address, validated, received: 0, sent: 0, challenge: None }
    }

    /// How many bytes may be sent: three times what was received until the peer has proven its
    /// address (RFC 9000 §8.1).
    pub(super) fn allowance(&self) -> usize {
        if self.validated {
            return usize::MAX;
        }
        (AMPLIFICATION_FACTOR * self.received).saturating_sub(self.sent) as usize
    }

    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

/// A PATH_RESPONSE to send, to where the challenge came from (RFC 9000 §8.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) address: PathAddress,
    pub(super) data: [u8; 8],
    /// The size of the datagram that asked: the answer is not to be more than three times it.
    pub(super) asked_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Paths {
    active: Path,
    /// The path before an unproven change of address, to return to if the proof fails.
    previous: Option<Path>,
    responses: VecDeque<Response>,
}

impl Paths {
    pub(super) fn new(address: PathAddress, validated: bool) -> Self {
        Self { active: Path::new(address, validated), previous: None, responses: VecDeque::new() }
    }

    pub(super) fn active(&self) -> &Path {
        &self.active
    }

    pub(super) fn active_mut(&mut self) -> &mut Path {
        &mut self.active
    }

    /// Counts a datagram towards the anti-amplification limit of its path.
    pub(super) fn on_datagram(&mut self, address: &PathAddress, bytes: usize) {
        let paths = [Some(&mut self.active), self.previous.as_mut()];
        if let Some(path) = paths.into_iter().flatten().find(|path| path.address == *address) {
            path.received += bytes as u64;
        }
    }

    pub(super) fn is_active(&self, address: &PathAddress) -> bool {
        self.active.address.peer == address.peer
    }

    /// Learns our own address once packets tell it.
    pub(super) fn set_local(&mut self, address: &PathAddress) {
        if self.active.address.local.ip().is_unspecified() {
            self.active.address.local = address.local;
        }
    }

    /// The peer proved its address by other means: a Handshake packet or a token
    /// (RFC 9000 §8.1).
    pub(super) fn validate_active(&mut self) {
        self.active.validated = true;
    }

    pub(super) fn on_challenge(&mut self, address: PathAddress, data: [u8; 8], asked: usize) {
        if self.responses.len() == MAX_RESPONSES {
            self.responses.pop_front();
        }
        self.responses.push_back(Response { address, data, asked_bytes: asked });
    }

    pub(super) fn has_response(&self) -> bool {
        !self.responses.is_empty()
    }

    /// The next answer; never repeated, the peer challenges again (RFC 9000 §13.3).
    pub(super) fn next_response(&mut self) -> Option<Response> {
        self.responses.pop_front()
    }

    /// The next answer, if it goes to this address too: several challenges of one datagram must
    /// not earn a datagram each.
    pub(super) fn next_response_to(&mut self, address: &PathAddress) -> Option<[u8; 8]> {
        self.responses.pop_front_if(|response| response.address == *address).map(|r| r.data)
    }

    /// The peer's newest packet came from another address: follow it there, and ask it for proof
    /// (RFC 9000 §9.3).
    pub(super) fn migrate(
        &mut self,
        now: Time,
        address: PathAddress,
        bytes: usize,
        pto: Duration,
        random: &mut dyn RandomGenerator,
    ) {
        let back = self.previous.take_if(|previous| previous.address.peer == address.peer);
        let mut path = back.unwrap_or_else(|| Path::new(address, false));
        path.received += bytes as u64;
        if !path.validated {
            path.challenge = Some(Challenge::new(now, pto, random));
        }
        let left = std::mem::replace(&mut self.active, path);
        // An unproven path is nothing to return to: keep the last proven one.
        if left.validated {
            self.previous = Some(left);
        }
    }

    /// The challenge to send on the active path, once each time it is due.
    pub(super) fn wants_challenge(&self) -> bool {
        self.active.challenge.as_ref().is_some_and(|challenge| challenge.pending)
    }

    pub(super) fn next_challenge(&mut self) -> Option<[u8; 8]> {
        let challenge = self.active.challenge.as_mut().filter(|challenge| challenge.pending)?;
        challenge.pending = false;
        Some(challenge.data)
    }

    /// A lost challenge is worth another try while its deadline lasts.
    pub(super) fn on_challenge_lost(&mut self) {
        if let Some(challenge) = &mut self.active.challenge {
            challenge.pending = true;
        }
    }

    /// Whether the response proves the active path (RFC 9000 §8.2.3).
    pub(super) fn on_response(&mut self, data: [u8; 8]) -> bool {
        if self.active.challenge.take_if(|challenge| challenge.data == data).is_none() {
            return false;
        }
        self.active.validated = true;
        self.previous = None;
        true
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.active.challenge.as_ref().map(|challenge| challenge.deadline)
    }

    /// No proof came in time: back to the last proven path, if there is one (RFC 9000 §9.3.2).
    /// Returns whether the path changed.
    pub(super) fn on_deadline(&mut self, now: Time) -> bool {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return false;
        }
        self.active.challenge = None;
        match self.previous.take() {
            Some(previous) => {
                self.active = previous;
                true
            }
            None => false,
        }
    }
}

impl Challenge {
    fn new(now: Time, pto: Duration, random: &mut dyn RandomGenerator) -> Self {
        let mut data = [0; 8];
        random.fill(&mut data);
        // RFC 9000 §8.2.4: three times the larger of the PTO and the initial PTO.
        let deadline = now + 3 * pto.max(Duration::from_millis(999));
        Self { data, pending: true, deadline }
    }
}

/// RFC 9000 §8.1
const AMPLIFICATION_FACTOR: u64 = 3;
/// How many path challenges wait for an answer at most; older ones are dropped.
const MAX_RESPONSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;

    fn address(port: u16) -> PathAddress {
        PathAddress::new(([127, 0, 0, 1], 443).into(), ([127, 0, 0, 1], port).into())
    }

    fn migrated() -> (Paths, SeededRandom) {
        let mut random = SeededRandom::new(3);
        let mut paths = Paths::new(address(1), true);
        paths.migrate(Time::ZERO, address(2), 100, Duration::from_millis(10), &mut random);
        (paths, random)
    }

    #[test]
    fn an_unproven_address_gets_three_times_what_it_sent() {
        // RFC 9000 §8.1
        let mut paths = Paths::new(address(1), false);
        paths.on_datagram(&address(1), 1200);
        paths.active_mut().on_sent(3000);
        assert_eq!(paths.active().allowance(), 600);
        paths.validate_active();
        assert_eq!(paths.active().allowance(), usize::MAX);
    }

    #[test]
    fn a_new_address_is_limited_until_it_answers_the_challenge() {
        let (mut paths, _) = migrated();
        assert_eq!(paths.active().allowance(), 300);
        let data = paths.next_challenge().unwrap();
        assert!(!paths.on_response([0; 8]) && paths.on_response(data));
        assert!(paths.active().validated);
    }

    #[test]
    fn without_an_answer_the_old_path_comes_back() {
        // RFC 9000 §9.3.2
        let (mut paths, _) = migrated();
        assert!(!paths.on_deadline(Time::from_millis(2996)));
        assert!(paths.on_deadline(Time::from_millis(2997)));
        assert!(paths.is_active(&address(1)));
    }

    #[test]
    fn going_back_to_a_proven_address_needs_no_new_proof() {
        let (mut paths, mut random) = migrated();
        paths.migrate(Time::ZERO, address(1), 100, Duration::ZERO, &mut random);
        assert!(paths.is_active(&address(1)) && paths.active().validated);
    }

    #[test]
    fn a_flood_of_challenges_is_bounded() {
        let mut paths = Paths::new(address(1), true);
        (0..100).for_each(|n| paths.on_challenge(address(1), [n; 8], 1200));
        assert_eq!(std::iter::from_fn(|| paths.next_response()).count(), MAX_RESPONSES);
    }
}
