//! Packet numbers on the wire: how many bytes to send, and which number a truncated one stands for
//! (RFC 9000 §17.1, Appendix A.2 and A.3). Which numbers were sent or received is recovery's and
//! the connection's knowledge, handed in as arguments.

use super::cursor::Writer;
use super::varint::VARINT_MAX;

/// The largest packet number (RFC 9000 §12.3).
pub const MAX: u64 = VARINT_MAX;

/// The longest encoding, in bytes.
pub const MAX_LEN: usize = 4;

/// How many bytes (1 to 4) packet number `pn` needs so that a peer that may have received anything
/// from `largest_acked` (`None`: nothing was acknowledged) on decodes it rightly.
///
/// RFC 9000 §17.1: the encoding must cover more than twice the distance. With over 2^31 packets
/// unacknowledged no length suffices and 4 is returned; congestion control ends long before.
#[inline]
pub fn encoded_len(pn: u64, largest_acked: Option<u64>) -> usize {
    let unacked = match largest_acked {
        Some(acked) => pn.saturating_sub(acked),
        None => pn.saturating_add(1),
    };
    match unacked {
        0..=0x80 => 1,
        0x81..=0x8000 => 2,
        0x8001..=0x80_0000 => 3,
        _ => 4,
    }
}

/// The packet number nearest to the one expected next whose lowest `len` (1 to 4) bytes are
/// `truncated`. `largest_received` is the largest number of the space that was received in a
/// packet that could be decrypted, `None` if there was none.
#[inline]
pub fn decode(largest_received: Option<u64>, truncated: u64, len: usize) -> u64 {
    // RFC 9000 Appendix A.3
    let expected = largest_received.map_or(0, |largest| largest.saturating_add(1).min(MAX));
    let window = 1_u64 << (8 * len.clamp(1, MAX_LEN));
    let half = window / 2;
    let candidate = (expected & !(window - 1)) | (truncated & (window - 1));
    if candidate.saturating_add(half) <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// Writes the lowest `len` (1 to 4) bytes of `pn`.
#[inline]
pub fn write(w: &mut Writer<'_>, pn: u64, len: usize) {
    debug_assert!((1..=MAX_LEN).contains(&len), "no packet number has {len} bytes");
    w.bytes(&pn.to_be_bytes()[8 - len.clamp(1, MAX_LEN)..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    #[test]
    fn encodes_the_examples_of_the_rfc() {
        // RFC 9000 Appendix A.2
        assert_eq!(encoded_len(0xac_5c02, Some(0xab_e8b3)), 2);
        assert_eq!(encoded_len(0xac_e8fe, Some(0xab_e8b3)), 3);
        let mut buf = [0; 2];
        write(&mut Writer::new(&mut buf), 0xac_5c02, 2);
        assert_eq!(buf, [0x5c, 0x02]);
    }

    #[test]
    fn decodes_the_example_of_the_rfc() {
        // RFC 9000 Appendix A.3
        assert_eq!(decode(Some(0xa82f_30ea), 0x9b32, 2), 0xa82f_9b32);
    }

    #[test]
    fn the_first_packet_of_a_space_decodes() {
        assert_eq!(decode(None, 0, 1), 0);
        assert_eq!(decode(None, 2, 4), 2);
        assert_eq!(encoded_len(0, None), 1);
        assert_eq!(encoded_len(127, None), 1);
        assert_eq!(encoded_len(128, None), 2);
    }

    #[test]
    fn decoding_stays_in_range_at_the_end_of_the_space() {
        for len in 1..=4 {
            assert!(decode(Some(MAX), 0, len) <= MAX);
            assert!(decode(Some(MAX - 1), u64::MAX, len) <= MAX);
        }
    }

    #[test]
    fn what_is_sent_is_what_is_decoded() {
        let seed = 0x90c0_17a2;
        let mut random = SeededRandom::new(seed);
        for _ in 0..10_000 {
            let acked = random.next_u64() >> (2 + random.next_u64() % 50);
            let pn = (acked + 1 + (random.next_u64() >> (33 + random.next_u64() % 30))).min(MAX);
            let len = encoded_len(pn, Some(acked));
            // The receiver has seen something between what it acknowledged and the one before.
            let received = acked + random.next_u64() % (pn - acked).max(1);
            let truncated = pn & ((1 << (8 * len)) - 1);
            assert_eq!(decode(Some(received), truncated, len), pn, "seed {seed:#x}");
        }
    }
}
