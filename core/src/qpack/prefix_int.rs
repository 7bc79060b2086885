//! Integers with a prefix of a few bits (RFC 7541 §5.1), and strings by them (§5.2, RFC 9204 §4.1).

use bytes::{Bytes, BytesMut};

use super::huffman;

/// Reads instructions and field lines; every method is `Err(Short)` if bytes are missing.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// More bytes are needed.
    Short,
    /// More bytes will not help.
    Bad(&'static str),
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// An integer whose first `bits` bits end the next byte.
    pub(super) fn integer(&mut self, bits: u8) -> Result<u64, Unreadable> {
        let mask = (1_u64 << bits) - 1;
        let first = u64::from(self.byte()?) & mask;
        if first < mask {
            return Ok(first);
        }
        let mut value = mask;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            // RFC 9204 §4.1.1: up to 62 bits.
            if shift > 56 {
                return Err(Unreadable::Bad("an integer of more than 62 bits"));
            }
            value += u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    /// A string whose length begins with `bits` bits of the next byte, the bit before which tells
    /// whether it is Huffman-coded. At most `max` bytes as it is encoded. It is put into `memory`,
    /// and split off.
    pub(super) fn string(
        &mut self,
        bits: u8,
        max: usize,
        memory: &mut BytesMut,
    ) -> Result<Bytes, Unreadable> {
        let is_huffman = self.peek().ok_or(Unreadable::Short)? & (1 << bits) != 0;
        let len = self.integer(bits)?;
        // The declared length is judged before its bytes are waited for.
        let len = usize::try_from(len).ok().filter(|len| *len <= max);
        let len = len.ok_or(Unreadable::Bad("a string is longer than what may hold it"))?;
        let text = self.bytes.get(self.at..self.at + len).ok_or(Unreadable::Short)?;
        self.at += len;
        let most = if is_huffman { huffman::max_decoded_len(len) } else { len };
        if memory.capacity() < most {
            memory.reserve(most.max(SHARED));
        }
        if is_huffman {
            let decoded = huffman::decode(text, memory);
            decoded.ok_or(Unreadable::Bad("a string's Huffman code is wrong"))?;
        } else {
            memory.extend_from_slice(text);
        }
        let string = memory.split().freeze();
        if most > SHARED {
            // A short string in the rest would keep all of it, for as long as somebody keeps that.
            *memory = BytesMut::new();
        }
        Ok(string)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let byte = self.peek().ok_or(Unreadable::Short)?;
        self.at += 1;
        Ok(byte)
    }
}

/// How much is allocated at a time for strings, in bytes; a longer one has its own memory. What is
/// kept of a string keeps as much.
const SHARED: usize = 512;

/// Appends an integer after the flags in the upper bits of its first byte.
pub(super) fn put_integer(out: &mut Vec<u8>, flags: u8, bits: u8, value: u64) {
    let mask = (1_u64 << bits) - 1;
    if value < mask {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string, Huffman-coded if that is shorter.
pub(super) fn put_string(out: &mut Vec<u8>, flags: u8, bits: u8, text: &[u8]) {
    let encoded = huffman::encoded_len(text);
    if encoded < text.len() {
        put_integer(out, flags | 1 << bits, bits, encoded as u64);
        huffman::encode(text, out);
    } else {
        put_integer(out, flags, bits, text.len() as u64);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541 C.1
        for (value, bits, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])]
        {
            let mut out = Vec::new();
            put_integer(&mut out, 0, bits, value);
            assert_eq!(out, bytes);
            assert_eq!(Cursor::new(bytes).integer(bits), Ok(value));
        }
    }

    #[test]
    fn integers_beyond_62_bits_are_refused() {
        // RFC 9204 §4.1.1
        let endless = [0xff; 20];
        assert!(matches!(Cursor::new(&endless).integer(5), Err(Unreadable::Bad(_))));
    }

    #[test]
    fn an_absurd_length_is_refused_before_its_bytes_come() {
        let mut declared = Vec::new();
        put_integer(&mut declared, 0, 7, 1 << 50);
        assert!(matches!(
            Cursor::new(&declared).string(7, 4096, &mut BytesMut::new()),
            Err(Unreadable::Bad(_))
        ));
    }

    /// A string of so many zeros.
    fn read(memory: &mut BytesMut, len: usize, is_huffman: bool) -> Bytes {
        let (text, mut bytes) = (vec![b'0'; len], Vec::new());
        let coded = huffman::encoded_len(&text);
        if is_huffman {
            put_integer(&mut bytes, 0x80, 7, coded as u64);
            huffman::encode(&text, &mut bytes);
        } else {
            put_integer(&mut bytes, 0, 7, len as u64);
            bytes.extend(&text);
        }
        let read = Cursor::new(&bytes).string(7, 1 << 20, memory).unwrap();
        assert_eq!(read, text);
        read
    }

    #[test]
    fn short_strings_share_memory() {
        for is_huffman in [false, true] {
            let mut memory = BytesMut::new();
            let strings: Vec<_> = (0..100).map(|_| read(&mut memory, 10, is_huffman)).collect();
            let follows = |pair: &&[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr();
            assert!(strings.windows(2).filter(follows).count() > 90);
        }
    }

    #[test]
    fn what_is_kept_of_a_message_keeps_none_of_its_long_strings() {
        for (len, is_huffman) in [(SHARED + 1, false), (2 * SHARED, true), (100_000, true)] {
            let mut memory = BytesMut::new();
            let long = read(&mut memory, len, is_huffman);
            assert_eq!(memory.capacity(), 0, "{} bytes are for others", memory.capacity());
            let short = read(&mut memory, 10, is_huffman);
            assert!(memory.capacity() < SHARED && !long.as_ptr_range().contains(&short.as_ptr()));
        }
    }
}
