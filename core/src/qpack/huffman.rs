//! Huffman coding of strings (RFC 7541 §5.2). The code is canonical: of one length, codes are
//! consecutive. So decoding needs, for each length, only the first code and where its symbols
//! begin; these are worked out at compile time. What text is made of has codes of up to eight bits,
//! which are looked up at once.

use bytes::BytesMut;

use super::huffman_table::CODES;

/// How many bytes `text` takes when encoded.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(BITS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text`, encoded.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u64, 0_u32);
    for byte in text {
        let (code, len) = CODES[usize::from(*byte)];
        bits = bits << len | u64::from(code);
        count += u32::from(len);
        // The longest code has 30 bits: with less than 32 before it there is room.
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    while count >= 8 {
        count -= 8;
        out.push((bits >> count) as u8);
    }
    if count > 0 {
        // Padded with the front of the end mark: ones.
        let padding = 8 - count;
        out.push(((bits << padding) as u8) | ((1_u16 << padding) - 1) as u8);
    }
}

/// Appends what was encoded; `None` if the text is not well encoded: padding of more than 7 bits or
/// with zeros, or the end mark (RFC 7541 §5.2).
pub(super) fn decode(encoded: &[u8], out: &mut BytesMut) -> Option<()> {
    let start = out.len();
    // As much as there could be, written to by place, and cut off where the text ends.
    out.resize(start + max_decoded_len(encoded.len()), 0);
    let len = decode_into(encoded, &mut out[start..]);
    out.truncate(start + len.unwrap_or(0));
    len.map(|_| ())
}

/// How long a text can be that takes so many bytes when encoded.
pub(super) const fn max_decoded_len(encoded: usize) -> usize {
    encoded * 8 / SHORTEST
}

/// Decodes to the front of `out`, which is long enough. Returns how long the text is.
fn decode_into(encoded: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let (mut bits, mut count) = (0_u64, 0_u32);
    for byte in encoded {
        bits = bits << 8 | u64::from(*byte);
        count += 8;
        while count >= 8 {
            let mut found = SHORT[usize::from((bits >> (count - 8)) as u8)];
            if found.1 == 0 {
                if count < LONGEST as u32 {
                    break; // a long code, of which not all may be there
                }
                found = next(bits, count)?;
            }
            *out.get_mut(at)? = found.0;
            at += 1;
            count -= u32::from(found.1);
        }
    }
    while count > 0 {
        let ones = bits & ((1 << count) - 1) == (1 << count) - 1;
        if ones && count < 8 {
            break;
        }
        let (symbol, len) = next(bits, count)?;
        *out.get_mut(at)? = symbol;
        at += 1;
        count -= u32::from(len);
    }
    Some(at)
}

/// The symbol at the front of the last `count` bits, and its length.
fn next(bits: u64, count: u32) -> Option<(u8, u8)> {
    for (len, row) in LENGTHS.iter().enumerate().skip(SHORTEST) {
        let len = len as u32;
        if len > count {
            return None;
        }
        let code = (bits >> (count - len)) as u32 & ((1_u64 << len) - 1) as u32;
        // Codes of this length, if there are any, lie before those of which it is a prefix.
        let place = code.wrapping_sub(row.first);
        if place < row.count {
            return Some((SYMBOLS[(row.start + place) as usize], len as u8));
        }
    }
    None
}

/// The length of each byte's code, in bits.
static BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bits[byte] = CODES[byte].1;
        byte += 1;
    }
    bits
};

/// What eight bits begin with: a byte and the length of its code, which is 0 if that is longer.
static SHORT: [(u8, u8); 256] = {
    let mut short = [(0, 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let (code, len) = CODES[byte];
        if len <= 8 {
            let first = (code as usize) << (8 - len);
            let mut rest = 0;
            while rest < 1 << (8 - len) {
                short[first + rest] = (byte as u8, len);
                rest += 1;
            }
        }
        byte += 1;
    }
    short
};

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    first: u32,
    count: u32,
    /// Where their symbols begin in `SYMBOLS`.
    start: u32,
}

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
static LENGTHS: [Row; LONGEST + 1] = tables().0;
/// The bytes in the order of their codes.
static SYMBOLS: [u8; 256] = tables().1;

const fn tables() -> ([Row; LONGEST + 1], [u8; 256]) {
    let mut rows = [Row { first: u32::MAX, count: 0, start: 0 }; LONGEST + 1];
    let mut symbols = [0; 256];
    let (mut len, mut filled) = (SHORTEST, 0);
    while len <= LONGEST {
        let mut byte = 0;
        while byte < 256 {
            let (code, bits) = CODES[byte];
            if bits as usize == len {
                rows[len].count += 1;
                if code < rows[len].first {
                    rows[len].first = code;
                }
            }
            byte += 1;
        }
        rows[len].start = filled;
        byte = 0;
        while byte < 256 {
            let (code, bits) = CODES[byte];
            if bits as usize == len {
                symbols[(filled + code - rows[len].first) as usize] = byte as u8;
            }
            byte += 1;
        }
        filled += rows[len].count;
        len += 1;
    }
    (rows, symbols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::{RandomGenerator, SeededRandom};

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), encoded_len(text));
        out
    }

    fn decoded(encoded: &[u8]) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        decode(encoded, &mut out).map(|()| out.to_vec())
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541 C.4.1, C.4.2, C.6.1
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(encoded(b"www.example.com"), www);
        assert_eq!(encoded(b"no-cache"), [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]);
        assert_eq!(encoded(b"302"), [0x64, 0x02]);
        assert_eq!(decoded(&www).unwrap(), b"www.example.com");
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encoded(&all)).unwrap(), all);
        for seed in 0..200 {
            let mut random = SeededRandom::new(seed);
            let mut text = vec![0; (random.next_u64() % 50) as usize];
            random.fill(&mut text);
            assert_eq!(decoded(&encoded(&text)).as_deref(), Some(&text[..]), "seed {seed}");
        }
    }

    #[test]
    fn wrong_padding_and_the_end_mark_are_refused() {
        // RFC 7541 §5.2
        assert_eq!(decoded(&[0xff]), None, "eight bits of padding");
        assert_eq!(decoded(&[0b0001_1000]), None, "padding with zeros");
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None, "the end mark");
    }
}
