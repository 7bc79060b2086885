//! [`Message`]: what a client sends and expects back: a text, or a pattern of any length that takes
//! no memory. This file must not know how it is sent.

use bytes::Bytes;

/// A message, readable at any place.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
    len: u64,
    /// The bytes repeat with this period; none if they are the whole message.
    period: Option<u64>,
}

impl Message {
    /// A message of these bytes.
    pub fn text(bytes: Bytes) -> Self {
        Self { len: bytes.len() as u64, bytes, period: None }
    }

    /// A message of `len` bytes in which no two neighbouring pieces are alike.
    pub fn pattern(len: u64) -> Self {
        let bytes = (0..PERIOD + PIECE).map(|at| (at % PERIOD) as u8).collect();
        Self { bytes, len, period: Some(PERIOD) }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Some of its bytes from this place on, at most `max`; none only at its end. Nothing is copied.
    pub fn piece(&self, at: u64, max: usize) -> Bytes {
        let left = self.len.saturating_sub(at).min(max as u64) as usize;
        let start = self.period.map_or(at, |period| at % period) as usize;
        let start = start.min(self.bytes.len());
        self.bytes.slice(start..self.bytes.len().min(start + left))
    }

    /// Whether `data` is what the message has at this place.
    pub fn matches(&self, mut at: u64, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let piece = self.piece(at, data.len());
            if piece.is_empty() || !data.starts_with(&piece) {
                return false;
            }
            at += piece.len() as u64;
            data = &data[piece.len()..];
        }
        true
    }
}

/// A prime, so that a piece of any usual size that is lost or doubled shows.
const PERIOD: u64 = 251;
/// How much of a pattern can be had at a time, in bytes.
const PIECE: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_same_however_it_is_cut() {
        let message = Message::pattern(200_000);
        let (mut whole, mut at) = (Vec::new(), 0);
        for size in (1..).step_by(997) {
            let piece = message.piece(at, size);
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole.len(), 200_000);
        assert!(message.matches(0, &whole));
        assert!(message.matches(777, &whole[777..100_000]));
        assert!(!message.matches(1, &whole[..100]));
        assert!(!message.matches(199_999, &[46, 0]), "there is nothing after the end");
    }

    #[test]
    fn a_text_ends_where_it_ends() {
        let message = Message::text(Bytes::from_static(b"hello"));
        assert_eq!(message.piece(3, 100), "lo");
        assert!(message.piece(5, 100).is_empty());
        assert!(message.matches(1, b"ell") && !message.matches(1, b"elf"));
    }
}
