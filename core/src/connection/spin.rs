//! [`SpinBit`]: the latency spin bit (RFC 9000 §17.4), by which who carries a connection's packets can
//! tell its round trip. Per path: reset by a change of path or of connection ID, and on one path in
//! sixteen, at random, it tells nothing. This file must not know packets.

use super::header_bits::RandomBits;
use crate::helper::RandomGenerator;
use crate::types::Role;

#[derive(Debug)]
pub(super) struct SpinBit {
    allowed: bool,
    /// The number of the path, and the peer's connection ID on it, that the value belongs to.
    place: Option<(u32, u64)>,
    /// Whether it tells anything on this path.
    spins: bool,
    value: bool,
}

impl SpinBit {
    pub(super) const fn new(allowed: bool) -> Self {
        Self { allowed, place: None, spins: false, value: false }
    }

    /// Whether it tells anything on the path in use; if not, it is random for each packet.
    pub(super) const fn spins(&self) -> bool {
        self.spins
    }

    /// A packet with the highest number so far came by the path in use.
    pub(super) fn on_packet(&mut self, role: Role, received: bool) {
        self.value = match role {
            Role::Server => received,
            Role::Client => !received,
        };
    }

    /// What the next packet on this path, to the peer's connection ID with this number, says.
    pub(super) fn next(
        &mut self,
        path: u32,
        peer_id: u64,
        bits: &mut RandomBits,
        random: &mut dyn RandomGenerator,
    ) -> bool {
        let here = self.place.filter(|(known, _)| *known == path);
        if here.is_none() {
            let disabled = random.next_u64().is_multiple_of(DISABLED_PATHS);
            self.spins = self.allowed && !disabled;
        }
        if here.is_none_or(|(_, id)| id != peer_id) {
            self.place = Some((path, peer_id));
            self.value = false;
        }
        if self.spins { self.value } else { bits.next(random) }
    }
}

/// Of so many paths, it is disabled on one.
const DISABLED_PATHS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;

    /// What is sent in sixty-four packets after the peer has sent this.
    fn after(spin: &mut SpinBit, received: bool, random: &mut SeededRandom) -> u32 {
        let mut bits = RandomBits::default();
        spin.on_packet(Role::Server, received);
        (0..64).map(|_| u32::from(spin.next(1, 0, &mut bits, random))).sum()
    }

    #[test]
    fn is_disabled_on_one_path_in_sixteen_and_random_there() {
        // RFC 9000 §17.4
        let random = &mut SeededRandom::new(5);
        let mut disabled = 0;
        for _ in 0..1600 {
            let mut spin = SpinBit::new(true);
            spin.next(1, 0, &mut RandomBits::default(), random);
            let (ones, zeros) = (after(&mut spin, true, random), after(&mut spin, false, random));
            if (ones, zeros) != (64, 0) {
                disabled += 1;
                assert!((10..55).contains(&ones) && (10..55).contains(&zeros), "it is random");
            }
        }
        assert!((70..=130).contains(&disabled), "{disabled} of 1600");
        let mut never = SpinBit::new(false);
        assert!((10..55).contains(&after(&mut never, true, random)));
    }

    #[test]
    fn is_zero_on_a_new_path_and_with_a_new_connection_id() {
        // RFC 9000 §17.4
        let random = &mut SeededRandom::new(1);
        let bits = &mut RandomBits::default();
        let mut spin = SpinBit::new(true);
        assert!(!spin.next(1, 0, bits, random));
        assert!(spin.spins, "for this seed");
        spin.on_packet(Role::Client, false);
        assert!(spin.next(1, 0, bits, random), "a client answers with the opposite");
        assert!(!spin.next(1, 1, bits, random), "another connection ID");
        spin.on_packet(Role::Client, false);
        assert!(spin.next(1, 1, bits, random));
        spin.next(2, 1, bits, random);
        assert!(!spin.value, "another path");
    }
}
