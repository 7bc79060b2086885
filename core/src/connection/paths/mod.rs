//! [`Paths`]: the addresses the connection runs between, and the proof that the peer is there
//! (RFC 9000 §8, §9). One path is active; a few others are being probed or can be returned to.
//! This room must not know packets or keys.

mod budget;
mod challenge;
mod path;
mod responses;

use std::net::SocketAddr;
use std::time::Duration;

pub(super) use path::{Learned, Path, Purpose};

use crate::connection::config::MIN_PACKET_SIZE;
use crate::helper::RandomGenerator;
use crate::time::Time;
use crate::types::PathAddress;
use budget::MigrationBudget;
use responses::Responses;

#[derive(Debug)]
pub(super) struct Paths {
    active: Path,
    others: Vec<Path>,
    responses: Responses,
    budget: MigrationBudget,
    /// How often another path became the one in use.
    activations: u32,
}

/// What a PATH_RESPONSE proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validated {
    pub(super) address: PathAddress,
    /// It was not proven before.
    pub(super) newly: bool,
    /// The RTT that it suggests.
    pub(super) delay: Duration,
}

/// What became due on a path.
#[derive(Debug)]
pub(super) enum Due {
    /// The active path did not prove itself.
    ActiveFailed,
    /// This one did not, or is not needed any more; it is no longer among the paths.
    Gone(Box<Path>, Ending),
}

/// Why a path is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It did not prove itself.
    Failed,
    /// It was left for another.
    Left,
}

impl Paths {
    /// Begins with one path; it is not limited if `validated`.
    pub(super) fn new(address: PathAddress, validated: bool) -> Self {
        let mut active = Path::new(address, 0, true);
        active.validated = validated;
        Self {
            active,
            others: Vec::new(),
            responses: Responses::default(),
            budget: MigrationBudget::new(),
            activations: 0,
        }
    }

    pub(super) fn active(&self) -> &Path {
        &self.active
    }

    pub(super) fn active_mut(&mut self) -> &mut Path {
        &mut self.active
    }

    /// The paths that are not in use.
    pub(super) fn others(&self) -> &[Path] {
        &self.others
    }

    /// A number that changes when another path becomes the one in use.
    pub(super) const fn active_number(&self) -> u32 {
        self.activations
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.active).chain(&self.others)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        std::iter::once(&mut self.active).chain(&mut self.others)
    }

    /// The path that a datagram with these addresses came by.
    pub(super) fn find_mut(&mut self, seen: &PathAddress) -> Option<&mut Path> {
        self.all_mut().find(|path| is_same(&path.address, seen))
    }

    pub(super) fn find(&self, seen: &PathAddress) -> Option<&Path> {
        self.all().find(|path| is_same(&path.address, seen))
    }

    pub(super) fn is_active(&self, seen: &PathAddress) -> bool {
        is_same(&self.active.address, seen)
    }

    /// Whether a path uses the peer's connection ID with this sequence number.
    pub(super) fn uses_peer_id(&self, sequence: u64) -> bool {
        self.all().any(|path| path.peer_id == sequence)
    }

    /// Counts a datagram towards the anti-amplification limit of its path, and learns our own
    /// address from it. Whether the path is known.
    pub(super) fn on_datagram(&mut self, seen: &PathAddress, bytes: usize) -> bool {
        let Some(path) = self.find_mut(seen) else { return false };
        path.on_received(bytes);
        if path.address.local.ip().is_unspecified() {
            path.address.local = seen.local;
        }
        true
    }

    /// The peer proved its address by other means: a Handshake packet or a token
    /// (RFC 9000 §8.1).
    pub(super) fn validate_active(&mut self) {
        self.active.validated = true;
    }

    /// One more path beside the active one. Returns the one that had to make room.
    pub(super) fn add(&mut self, path: Path) -> Option<Path> {
        let full = self.others.len() >= MAX_OTHER_PATHS;
        let victim = self.others.iter().position(|path| path.purpose != Purpose::Fallback);
        let evicted = victim.filter(|_| full).map(|at| self.others.remove(at));
        self.others.push(path);
        evicted
    }

    /// Whether another path can be added without losing one.
    pub(super) fn has_room(&self) -> bool {
        self.others.len() < MAX_OTHER_PATHS
    }

    /// Takes a path out that is not the active one.
    pub(super) fn take(&mut self, seen: &PathAddress) -> Option<Path> {
        let at = self.others.iter().position(|path| is_same(&path.address, seen))?;
        Some(self.others.remove(at))
    }

    /// Whether an unproven address may be followed once more.
    pub(super) fn may_follow(&mut self, now: Time) -> bool {
        self.budget.take(now)
    }

    /// Makes this path the active one. Returns the one that was.
    pub(super) fn activate(&mut self, mut path: Path) -> Path {
        path.expires = None;
        self.activations = self.activations.wrapping_add(1);
        std::mem::replace(&mut self.active, path)
    }

    /// Keeps a proven path to return to, instead of the one that was kept so far, if any.
    pub(super) fn keep_fallback(
        &mut self,
        now: Time,
        mut path: Path,
        expires: Option<Time>,
    ) -> Option<Path> {
        for other in self.others.iter_mut().filter(|path| path.purpose == Purpose::Fallback) {
            other.purpose = Purpose::Probe;
            if other.challenge.is_none() {
                other.expires.get_or_insert(now);
            }
        }
        path.purpose = Purpose::Fallback;
        path.expires = expires;
        self.add(path)
    }

    /// Takes the path to return to if nothing is awaited of it and the active one is proven.
    pub(super) fn take_settled_fallback(&mut self) -> Option<Path> {
        let settled = |path: &Path| {
            path.purpose == Purpose::Fallback && path.challenge.is_none() && path.expires.is_none()
        };
        let at = self.others.iter().position(settled).filter(|_| self.active.validated)?;
        Some(self.others.remove(at))
    }

    /// The path that was proven before the active one was tried.
    pub(super) fn take_fallback(&mut self) -> Option<Path> {
        let at = self.others.iter().position(|path| path.purpose == Purpose::Fallback)?;
        Some(self.others.remove(at))
    }

    pub(super) fn fallback_mut(&mut self) -> Option<&mut Path> {
        self.others.iter_mut().find(|path| path.purpose == Purpose::Fallback)
    }

    /// Paths that are to be taken, once they are proven, to another address of the peer's.
    pub(super) fn moves_to_other_peers(
        &self,
        peer: SocketAddr,
    ) -> impl Iterator<Item = PathAddress> + '_ {
        let wanted = move |path: &&Path| {
            path.purpose == Purpose::Move && !path.validated && path.address.peer != peer
        };
        self.others.iter().filter(wanted).map(|path| path.address)
    }

    /// Moves to this path as soon as it is proven.
    pub(super) fn aim_at(&mut self, seen: &PathAddress) {
        if let Some(path) = self.find_mut(seen) {
            path.purpose = Purpose::Move;
        }
    }

    /// The peer challenges the path that its datagram came by.
    pub(super) fn on_challenge(&mut self, seen: PathAddress, data: [u8; 8]) {
        let address = self.find(&seen).map_or(seen, |path| path.address);
        self.responses.push(address, data);
    }

    /// Whether there is an answer to send to this path.
    pub(super) fn has_response_to(&self, address: &PathAddress) -> bool {
        self.responses.addresses().any(|waiting| waiting == address)
    }

    pub(super) fn next_response_to(&mut self, address: &PathAddress) -> Option<[u8; 8]> {
        self.responses.next_to(address)
    }

    /// Addresses that became no path get no answer.
    pub(super) fn drop_strange_responses(&mut self) {
        let paths = (&self.active, &self.others);
        self.responses.retain(|address| {
            paths.0.address == *address || paths.1.iter().any(|path| path.address == *address)
        });
    }

    /// The path on which a challenge or an answer is due and may be sent now.
    pub(super) fn next_to_write(&self) -> Option<PathAddress> {
        self.all()
            .find(|path| {
                let due = path.wants_challenge() || self.has_response_to(&path.address);
                due && path.allowance() >= MIN_PATH_DATAGRAM
            })
            .map(|path| path.address)
    }

    /// The challenge for a path, if it is due; `full` if its datagram is of 1200 bytes.
    pub(super) fn next_challenge(
        &mut self,
        now: Time,
        address: &PathAddress,
        full: bool,
        random: &mut dyn RandomGenerator,
    ) -> Option<[u8; 8]> {
        let path = self.find_mut(address)?;
        let challenge = path.challenge.as_mut().filter(|challenge| challenge.is_due())?;
        Some(challenge.next(now, full, random))
    }

    /// Which path the answer proves: the one that was challenged, whichever way it came
    /// (RFC 9000 §8.2.3).
    pub(super) fn on_response(
        &mut self,
        now: Time,
        data: [u8; 8],
        pto: Duration,
    ) -> Option<Validated> {
        let (path, proof) = self.all_mut().find_map(|path| {
            let proof = path.challenge.as_ref()?.on_response(now, data)?;
            Some((path, proof))
        })?;
        path.challenge = None;
        path.delay = Some(proof.delay);
        let newly = !std::mem::replace(&mut path.validated, true);
        if !proof.full {
            // RFC 9000 §8.2.1: the address is proven, but not that 1200 bytes fit.
            path.begin_challenge(now, pto);
        }
        Some(Validated { address: path.address, newly, delay: proof.delay })
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.all().filter_map(Path::deadline).min()
    }

    /// Does what is due. To be called until there is nothing more.
    pub(super) fn on_deadline(&mut self, now: Time) -> Option<Due> {
        if let Some(challenge) = &mut self.active.challenge
            && challenge.on_deadline(now)
        {
            self.active.challenge = None;
            return Some(Due::ActiveFailed);
        }
        let settled = self.active.validated;
        for at in 0..self.others.len() {
            let path = &mut self.others[at];
            let failed = path.challenge.as_mut().is_some_and(|c| c.on_deadline(now));
            let expired = path.expires.is_some_and(|expires| expires <= now);
            if failed {
                path.challenge = None;
            }
            // The last proven path is kept until the active one has proven itself
            // (RFC 9000 §9.3.2).
            if expired || (failed && (settled || path.purpose != Purpose::Fallback)) {
                let ending = if failed { Ending::Failed } else { Ending::Left };
                return Some(Due::Gone(Box::new(self.others.remove(at)), ending));
            }
        }
        None
    }
}

/// Whether these are the same path. A reader may not know to which of our addresses a datagram
/// came.
fn is_same(known: &PathAddress, seen: &PathAddress) -> bool {
    let (a, b) = (&known.local, &seen.local);
    let may_be = || a.ip().is_unspecified() || b.ip().is_unspecified();
    known.peer == seen.peer && (a == b || (a.port() == b.port() && may_be()))
}

/// How many paths are kept beside the active one.
pub(super) const MAX_OTHER_PATHS: usize = 4;
/// A datagram with a challenge has so many bytes at least: the longest header, a frame, the tag.
const MIN_PATH_DATAGRAM: usize = 64;
/// RFC 9000 §8.2.1, §8.2.2
pub(super) const PATH_DATAGRAM: usize = MIN_PACKET_SIZE;
