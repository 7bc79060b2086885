//! [`BufferedRandom`]: the operating system's randomness, for small choices fetched in advance. A
//! handshake makes some twenty of them, from the order of its transport parameters to the packet
//! numbers it skips; a system call for each would be felt. It must not know what they are for.

use std::cell::RefCell;

use protoquic_core::{RandomGenerator, SystemRandom};

/// Fetches random words for many draws at once, for all who draw on a thread.
///
/// What [`fill`](RandomGenerator::fill) gives, to connection IDs, challenges and keys, comes from
/// the operating system each time: a process that forks must not have it twice.
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
        SystemRandom.fill(bytes);
    }

    fn next_u64(&mut self) -> u64 {
        WORDS.with_borrow_mut(|words| words.next(&mut SystemRandom))
    }
}

/// Words that were fetched and not drawn yet.
struct Words {
    bytes: [u8; WORDS_FETCHED * WORD],
    left: usize,
}

impl Words {
    const EMPTY: Self = Self { bytes: [0; WORDS_FETCHED * WORD], left: 0 };

    fn next(&mut self, source: &mut dyn RandomGenerator) -> u64 {
        if self.left == 0 {
            source.fill(&mut self.bytes);
            self.left = WORDS_FETCHED;
        }
        self.left -= 1;
        let mut word = [0; WORD];
        word.copy_from_slice(&self.bytes[self.left * WORD..][..WORD]);
        u64::from_le_bytes(word)
    }
}

thread_local! {
    static WORDS: RefCell<Words> = const { RefCell::new(Words::EMPTY) };
}

/// How many words one system call fetches.
const WORDS_FETCHED: usize = 64;
/// A word's length in bytes.
const WORD: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use protoquic_core::SeededRandom;

    use super::*;

    #[test]
    fn every_word_that_was_fetched_is_drawn_once() {
        let mut source = SeededRandom::new(3);
        let mut expected = SeededRandom::new(3);
        let mut words = Words::EMPTY;
        for _ in 0..3 {
            let mut drawn: Vec<_> = (0..WORDS_FETCHED).map(|_| words.next(&mut source)).collect();
            drawn.reverse(); // from the end
            let fetched: Vec<_> = (0..WORDS_FETCHED).map(|_| expected.next_u64()).collect();
            assert_eq!(drawn, fetched);
        }
    }
}
