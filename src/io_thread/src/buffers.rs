//! [`SendQueue`]: bytes on their way from an application to the transport. Large pieces are kept as
//! they are, small ones are put together. This file must not know streams.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes in the order in which they were written.
#[derive(Debug, Default)]
pub struct SendQueue {
    pieces: VecDeque<Bytes>,
    /// Small pieces, after all the others.
    tail: BytesMut,
    len: usize,
}

impl SendQueue {
    /// How many bytes there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a piece; a large one without a copy.
    pub fn push(&mut self, piece: Bytes) {
        if piece.len() < SMALL {
            return self.extend_from_slice(&piece);
        }
        self.flush();
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// Adds a copy.
    pub fn extend_from_slice(&mut self, data: &[u8]) {
        if data.len() >= SMALL {
            return self.push(Bytes::copy_from_slice(data));
        }
        self.tail.extend_from_slice(data);
        self.len += data.len();
    }

    /// Takes the next piece, at most so many bytes of it; an empty one if there is none.
    pub fn pop(&mut self, max: usize) -> Bytes {
        if self.pieces.is_empty() {
            self.flush();
        }
        let Some(front) = self.pieces.front_mut() else { return Bytes::new() };
        let piece = front.split_to(max.min(front.len()));
        if !front.has_remaining() {
            self.pieces.pop_front();
        }
        self.len -= piece.len();
        piece
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }
}

/// Pieces below this many bytes are put together: a copy costs less than keeping track of them.
const SMALL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_pieces() {
        let (mut queue, mut expected, mut found) = (SendQueue::default(), Vec::new(), Vec::new());
        for (n, len) in [3, 5000, 0, 10, 4095, 4096, 1, 9000].into_iter().enumerate() {
            let piece = vec![n as u8; len];
            expected.extend_from_slice(&piece);
            if n % 2 == 0 {
                queue.push(piece.into());
            } else {
                queue.extend_from_slice(&piece);
            }
            if n == 3 {
                found.extend_from_slice(&queue.pop(100));
            }
        }
        assert_eq!(queue.len() + found.len(), expected.len());
        while !queue.is_empty() {
            let piece = queue.pop(1000);
            assert!(!piece.is_empty() && piece.len() <= 1000);
            found.extend_from_slice(&piece);
        }
        assert_eq!(found, expected);
        assert!(queue.pop(1).is_empty());
    }

    #[test]
    fn large_pieces_are_not_copied() {
        let (mut queue, piece) = (SendQueue::default(), Bytes::from(vec![1; 5000]));
        queue.push(piece.clone());
        assert_eq!(queue.pop(5000).as_ptr(), piece.as_ptr());
    }
}
