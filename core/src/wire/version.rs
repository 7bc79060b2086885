//! QUIC versions, and the one place where the bits of a long header's type depend on them
//! (RFC 9000 §15, §17.2; RFC 9369 §3.2). Which version a connection uses is not decided here.

use std::fmt;

/// A QUIC version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The version field of a Version Negotiation packet (RFC 9000 §17.2.1).
    pub const NEGOTIATION: Self = Self(0);
    /// QUIC version 1 (RFC 9000).
    pub const V1: Self = Self(0x0000_0001);
    /// QUIC version 2 (RFC 9369 §3.1).
    pub const V2: Self = Self(0x6b33_43cf);
    /// What this implementation speaks. All of them are compatible with each other in the sense of
    /// RFC 9368 §2.2: a first flight of one can be taken for one of another (RFC 9369 §4).
    pub const SUPPORTED: &'static [Self] = &[Self::V1, Self::V2];

    /// Whether this implementation speaks it.
    #[inline]
    pub fn is_supported(self) -> bool {
        Self::SUPPORTED.contains(&self)
    }

    /// Whether it follows the pattern 0x?a?a?a?a, reserved to exercise version negotiation
    /// (RFC 9000 §15).
    pub const fn is_reserved(self) -> bool {
        self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a
    }

    /// The reserved version with the free bits of `bits`.
    pub const fn reserved(bits: u32) -> Self {
        Self(bits & 0xf0f0_f0f0 | 0x0a0a_0a0a)
    }

    /// The type of a long header that begins with `first_byte`.
    #[inline]
    pub const fn long_type(self, first_byte: u8) -> LongType {
        // RFC 9000 §17.2, Table 5; RFC 9369 §3.2 shifts the types by one.
        match (first_byte >> 4).wrapping_sub(self.type_shift()) & 0b11 {
            0 => LongType::Initial,
            1 => LongType::ZeroRtt,
            2 => LongType::Handshake,
            _ => LongType::Retry,
        }
    }

    /// The type, as the two bits 0x30 of a long header's first byte.
    #[inline]
    pub const fn long_type_bits(self, ty: LongType) -> u8 {
        ((ty as u8 + self.type_shift()) & 0b11) << 4
    }

    const fn type_shift(self) -> u8 {
        if self.0 == Self::V2.0 { 1 } else { 0 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V1 => f.write_str("QUIC v1"),
            Self::V2 => f.write_str("QUIC v2"),
            Self(other) => write!(f, "QUIC version {other:#010x}"),
        }
    }
}

/// The type of a long header (RFC 9000 §17.2, Table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LongType {
    /// The first CRYPTO frames and ACKs, each way.
    Initial = 0,
    /// Early data, client to server.
    ZeroRtt = 1,
    /// CRYPTO frames and ACKs under handshake keys.
    Handshake = 2,
    /// A server's demand to come back with a token. It has no packet number and no length.
    Retry = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [LongType; 4] =
        [LongType::Initial, LongType::ZeroRtt, LongType::Handshake, LongType::Retry];

    #[test]
    fn types_have_the_bits_of_their_version() {
        // RFC 9000 Table 5; RFC 9369 §3.2
        let bits = |version: Version| TYPES.map(|ty| version.long_type_bits(ty) >> 4);
        assert_eq!(bits(Version::V1), [0b00, 0b01, 0b10, 0b11]);
        assert_eq!(bits(Version::V2), [0b01, 0b10, 0b11, 0b00]);
        for version in [Version::V1, Version::V2] {
            for ty in TYPES {
                assert_eq!(version.long_type(0xcf | version.long_type_bits(ty)), ty);
            }
        }
    }

    #[test]
    fn versions_1_and_2_are_supported() {
        assert!(Version::V1.is_supported() && Version::V2.is_supported());
        assert!(!Version::NEGOTIATION.is_supported() && !Version(2).is_supported());
    }

    #[test]
    fn reserved_versions_follow_the_pattern() {
        assert!(Version(0x1a2a_3a4a).is_reserved());
        assert!(!Version::V1.is_reserved() && !Version::V2.is_reserved());
        assert!(Version::reserved(0xffff_ffff).is_reserved());
    }
}
