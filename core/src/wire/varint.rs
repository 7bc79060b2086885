//! The variable-length integer (RFC 9000 §16): two bits of length, then 6, 14, 30 or 62 bits of
//! value, big-endian. Everything else in this room reads and writes integers through here.

/// The largest value a varint carries: 2^62 - 1.
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// The length in bytes (1, 2, 4 or 8) of the shortest encoding of `v`, which must not be above
/// [`VARINT_MAX`].
#[inline]
pub const fn varint_len(v: u64) -> usize {
    debug_assert!(v <= VARINT_MAX, "a varint carries 62 bits");
    if v < 1 << 6 {
        1
    } else if v < 1 << 14 {
        2
    } else if v < 1 << 30 {
        4
    } else {
        8
    }
}

/// The varint at the start of `bytes` and its length; `None` if it is cut off.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    Some(match first >> 6 {
        0 => (u64::from(first), 1),
        1 => {
            let raw = u16::from_be_bytes(*bytes.first_chunk()?);
            (u64::from(raw) & 0x3fff, 2)
        }
        2 => {
            let raw = u32::from_be_bytes(*bytes.first_chunk()?);
            (u64::from(raw) & 0x3fff_ffff, 4)
        }
        _ => {
            let raw = u64::from_be_bytes(*bytes.first_chunk()?);
            (raw & VARINT_MAX, 8)
        }
    })
}

/// Gives `take` the encoding of `v` in `len` (1, 2, 4 or 8) bytes. `len` may be longer than the
/// shortest encoding but not shorter. In each case the compiler knows how much `take` copies.
#[inline]
pub(super) fn encode<R>(v: u64, len: usize, take: impl FnOnce(&[u8]) -> R) -> R {
    debug_assert!(varint_len(v) <= len, "{v} does not fit a varint of {len} bytes");
    match len {
        1 => take(&[v as u8]),
        2 => take(&(v as u16 | 0x4000).to_be_bytes()),
        4 => take(&(v as u32 | 0x8000_0000).to_be_bytes()),
        _ => take(&(v | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_examples_of_the_rfc() {
        // RFC 9000 Appendix A.1
        let examples: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in examples {
            assert_eq!(parse(bytes), Some((value, bytes.len())));
            encode(value, bytes.len(), |encoded| assert_eq!(encoded, bytes));
            assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn lengths_change_at_the_powers_of_the_table() {
        // RFC 9000 §16, Table 4
        for (value, len) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (16_383, 2),
            (16_384, 4),
            (1_073_741_823, 4),
            (1_073_741_824, 8),
            (VARINT_MAX, 8),
        ] {
            assert_eq!(varint_len(value), len, "{value}");
            assert_eq!(encode(value, len, parse), Some((value, len)));
        }
    }
}
