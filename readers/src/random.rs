//! [`BufferedRandom`]: the operating system's randomness, fetched in advance. A handshake draws some
//! twenty times, from the order of its transport parameters to TLS's own; a system call for each would
//! be felt. It must not know what the draws are for.
//!
//! There is no generator of ours in it: each byte comes from the operating system, is given out once and
//! is wiped then. So who reads the memory learns of no draw that was made, and of a few to come at most.
//! What must not be is that two processes draw the same: a fork makes the child forget what was fetched.
//! A copy of a whole virtual machine cannot be told that way; what the two fetch themselves differs.

use std::cell::RefCell;
use std::sync::Arc;

use protoquic_core::crypto::ring_provider;
use protoquic_core::{RandomGenerator, SystemRandom};
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use zeroize::Zeroize;

use crate::forks;

/// Fetches randomness for many draws at once, for all who draw on a thread: 1 KiB at a time. Draws of
/// more than 64 bytes, and all draws where forks cannot be noticed, come from the operating system one
/// by one. Noticed are those by way of the C library's `fork`; who copies a process otherwise and goes
/// on in both must not use this.
///
/// ```
/// use protoquic_core::RandomGenerator;
/// use protoquic_readers::BufferedRandom;
///
/// assert_ne!(BufferedRandom.next_u64(), BufferedRandom.next_u64());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BufferedRandom;

impl RandomGenerator for BufferedRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        draw(bytes);
    }
}

impl SecureRandom for BufferedRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        draw(bytes);
        Ok(())
    }
}

/// [`ring_provider`] with this randomness, for those who make TLS's settings
/// ([`ServerTls::provider`](protoquic_core::crypto::ServerTls), rustls' builders): nonces, session IDs and
/// the like. Key exchange and signatures still ask the operating system each time.
///
/// ```
/// let provider = protoquic_readers::buffered_ring_provider();
/// assert_ne!(provider.cipher_suites.len(), 0);
/// ```
pub fn buffered_ring_provider() -> Arc<CryptoProvider> {
    let provider = (*ring_provider()).clone();
    Arc::new(CryptoProvider { secure_random: &BufferedRandom, ..provider })
}

fn draw(bytes: &mut [u8]) {
    let generation = forks::generation().filter(|_| bytes.len() <= MAX_DRAW);
    let drawn = generation.and_then(|generation| {
        // A thread that ends may have lost its own already.
        let draw = |fetched: &RefCell<Fetched>| {
            fetched.borrow_mut().draw(generation, bytes, &mut SystemRandom);
        };
        FETCHED.try_with(draw).ok()
    });
    if drawn.is_none() {
        SystemRandom.fill(bytes);
    }
}

/// Bytes that were fetched; those behind `left` are given out and wiped.
struct Fetched {
    bytes: [u8; BLOCK],
    left: usize,
    /// In which generation of processes they were.
    generation: u64,
}

impl Fetched {
    const NONE: Self = Self { bytes: [0; BLOCK], left: 0, generation: 0 };

    /// Fills `out`, of [`MAX_DRAW`] bytes at most.
    fn draw(&mut self, generation: u64, out: &mut [u8], source: &mut dyn RandomGenerator) {
        if self.left < out.len() || self.generation != generation {
            source.fill(&mut self.bytes);
            (self.left, self.generation) = (BLOCK, generation);
        }
        let drawn = &mut self.bytes[self.left - out.len()..self.left];
        out.copy_from_slice(drawn);
        drawn.zeroize();
        self.left -= out.len();
    }
}

thread_local! {
    static FETCHED: RefCell<Fetched> = const { RefCell::new(Fetched::NONE) };
}

/// How many bytes one system call fetches.
const BLOCK: usize = 1024;
/// Longer draws are rare, and waste what is left of a block.
const MAX_DRAW: usize = 64;

#[cfg(test)]
mod tests {
    use protoquic_core::SeededRandom;

    use super::*;

    #[test]
    fn every_byte_that_was_fetched_is_drawn_once_and_wiped() {
        let (mut source, mut expected) = (SeededRandom::new(3), SeededRandom::new(3));
        let mut fetched = Fetched::NONE;
        for _ in 0..3 {
            let mut drawn = Vec::new();
            for _ in 0..BLOCK / 32 {
                let mut out = [0; 32];
                fetched.draw(1, &mut out, &mut source);
                assert!(fetched.bytes[fetched.left..].iter().all(|byte| *byte == 0));
                drawn.splice(..0, out); // from the end
            }
            let mut block = [0; BLOCK];
            expected.fill(&mut block);
            assert_eq!(drawn, block);
        }
    }

    #[test]
    fn what_is_left_of_a_block_is_not_enough_for_a_longer_draw() {
        let mut source = SeededRandom::new(3);
        let mut fetched = Fetched::NONE;
        fetched.draw(1, &mut [0; 8], &mut source);
        fetched.left = 7;
        fetched.draw(1, &mut [0; 8], &mut source);
        assert_eq!(fetched.left, BLOCK - 8);
    }

    #[test]
    fn a_new_process_does_not_draw_what_was_fetched_before() {
        let mut source = SeededRandom::new(3);
        let mut parent = Fetched::NONE;
        parent.draw(1, &mut [0; 8], &mut source);
        let mut child = Fetched { ..parent };
        let (mut ours, mut theirs) = ([0; 32], [0; 32]);
        parent.draw(1, &mut ours, &mut source);
        child.draw(2, &mut theirs, &mut source);
        assert_ne!(ours, theirs);
    }
}
