//! [`Task`]: what is to be done with one stream, as its opener tells the other end in a header; and
//! the bytes that tell their place. This file must not know streams.

use std::ops::Range;

/// What a client asks for with one stream. Sizes are bytes of pattern after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which client.
    pub client: u16,
    /// Whether the stream is unidirectional.
    pub uni: bool,
    /// Whether the server sends on a stream of its own, and not on this one.
    pub pushed: bool,
    /// Whether that stream is unidirectional.
    pub pushed_uni: bool,
    /// Whether the server closes the connection when it has read all.
    pub closes: bool,
    /// Whether resets still deliver what was sent up to half of where they happen.
    pub reliable: bool,
    /// How much the client sends.
    pub up: u32,
    /// How much the server sends.
    pub down: u32,
    /// After how much the client resets; not before the end: never.
    pub up_reset: u32,
    /// After how much the server resets.
    pub down_reset: u32,
    /// After how much the server wants no more.
    pub up_stop: u32,
    /// After how much the client wants no more.
    pub down_stop: u32,
}

/// "Never", for the last four.
pub(super) const NEVER: u32 = u32::MAX;

impl Task {
    /// Its size on a stream.
    pub(super) const LEN: usize = 2 + 1 + 6 * 4;

    pub(super) fn encode(&self) -> Vec<u8> {
        let flags = [self.uni, self.pushed, self.pushed_uni, self.closes, self.reliable];
        let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend(self.client.to_be_bytes());
        bytes.push(flags);
        let (cuts, stops) = ([self.up_reset, self.down_reset], [self.up_stop, self.down_stop]);
        for number in [self.up, self.down].into_iter().chain(cuts).chain(stops) {
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let number = |index: usize| {
            let at = 3 + 4 * index;
            bytes[at..at + 4].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let flag = |bit: u8| bytes[2] & 1 << bit != 0;
        Self {
            client: u16::from_be_bytes([bytes[0], bytes[1]]),
            uni: flag(0),
            pushed: flag(1),
            pushed_uni: flag(2),
            closes: flag(3),
            reliable: flag(4),
            up: number(0),
            down: number(1),
            up_reset: number(2),
            down_reset: number(3),
            up_stop: number(4),
            down_stop: number(5),
        }
    }
}

/// Fills `bytes` with what stands at `offset` of the pattern of this salt.
pub(super) fn fill(salt: u64, offset: u64, bytes: &mut [u8]) {
    for (at, byte) in (offset..).zip(bytes.iter_mut()) {
        *byte = pattern(salt, at);
    }
}

/// Where the bytes first differ from the pattern, if they do.
pub(super) fn mismatch(salt: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let range: Range<u64> = offset..offset + bytes.len() as u64;
    range.zip(bytes).find(|(at, byte)| pattern(salt, *at) != **byte).map(|(at, _)| at)
}

fn pattern(salt: u64, at: u64) -> u8 {
    let word = (salt ^ (at >> 3)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((word ^ (word >> 32)) >> (8 * (at & 7))) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_written() {
        let task = Task {
            client: 3,
            uni: true,
            pushed: false,
            pushed_uni: true,
            closes: false,
            reliable: true,
            up: 70_000,
            down: 0,
            up_reset: NEVER,
            down_reset: 1,
            up_stop: 2,
            down_stop: 3,
        };
        assert_eq!(Task::decode(task.encode().as_slice().try_into().unwrap()), task);
    }

    #[test]
    fn a_misplaced_byte_is_seen() {
        let mut bytes = [0; 100];
        fill(7, 50, &mut bytes);
        assert_eq!(mismatch(7, 50, &bytes), None);
        assert!(mismatch(7, 51, &bytes).is_some() && mismatch(8, 50, &bytes).is_some());
        bytes[9] ^= 1;
        assert_eq!(mismatch(7, 50, &bytes), Some(59));
    }
}
