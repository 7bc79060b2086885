//! The Version Negotiation packet (RFC 8999 §6, RFC 9000 §17.2.1). When to send or believe one is
//! decided by the dispatcher and the connection.

use super::header::{FIXED_BIT, Invariant, LONG_FORM_BIT};
use super::version::Version;
use crate::helper::RandomGenerator;

/// A Version Negotiation packet as a client receives it. It is not authenticated: the connection
/// IDs must be the ones the client used, mirrored (RFC 9000 §6.2, RFC 8999 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNegotiation<'a> {
    /// The source connection ID of the packet it answers.
    pub destination: &'a [u8],
    /// The destination connection ID of the packet it answers.
    pub source: &'a [u8],
    versions: &'a [u8],
}

impl<'a> VersionNegotiation<'a> {
    /// `None` if the list is empty or its last entry cut off: RFC 8999 §6 has such packets ignored.
    pub(super) fn from_invariant(invariant: &Invariant<'a>, versions: &'a [u8]) -> Option<Self> {
        if versions.is_empty() || !versions.len().is_multiple_of(4) {
            return None;
        }
        Some(Self { destination: invariant.destination, source: invariant.source, versions })
    }

    /// What the server speaks, in its order, reserved versions included.
    pub fn versions(&self) -> impl Iterator<Item = Version> + use<'a> {
        let (versions, _) = self.versions.as_chunks::<4>();
        versions.iter().map(|bytes| Version(u32::from_be_bytes(*bytes)))
    }
}

/// Appends to `out` the answer to a packet of an unknown version, and returns its length.
///
/// `destination` is that packet's *source* connection ID and `source` its *destination*, each of at
/// most 255 bytes; `versions` are those we speak. A reserved version is put among them at random
/// (RFC 9000 §6.3).
pub fn write_version_negotiation(
    out: &mut Vec<u8>,
    destination: &[u8],
    source: &[u8],
    versions: &[Version],
    random: &mut dyn RandomGenerator,
) -> usize {
    let start = out.len();
    let bits = random.next_u64();
    // RFC 9000 §17.2.1: the low bits are arbitrary; the fixed bit SHOULD be set, so that the packet
    // is told apart from other protocols on the port.
    out.push(LONG_FORM_BIT | FIXED_BIT | bits as u8);
    out.extend_from_slice(&Version::NEGOTIATION.0.to_be_bytes());
    for id in [destination, source] {
        debug_assert!(id.len() <= 255, "a connection ID's length is one byte");
        let id = &id[..id.len().min(255)];
        out.push(id.len() as u8);
        out.extend_from_slice(id);
    }
    let grease_at = (bits >> 8) as usize % (versions.len() + 1);
    let (before, after) = versions.split_at(grease_at);
    let grease = Version::reserved((bits >> 32) as u32);
    for version in before.iter().chain([&grease]).chain(after) {
        out.extend_from_slice(&version.0.to_be_bytes());
    }
    out.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;
    use crate::wire::{HeaderError, PacketHeader, parse_header};

    fn packet(seed: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let (to, from) = (&[1; 255], &[2; 3]);
        let mut random = SeededRandom::new(seed);
        let len = write_version_negotiation(&mut out, to, from, Version::SUPPORTED, &mut random);
        assert_eq!(len, out.len());
        out
    }

    #[test]
    fn it_offers_what_we_speak_and_one_reserved_version() {
        for seed in 0..50 {
            let out = packet(seed);
            let Ok(PacketHeader::VersionNegotiation(parsed)) = parse_header(&out, 0) else {
                panic!("a Version Negotiation packet");
            };
            assert_eq!(parsed.destination, &[1; 255]);
            assert_eq!(parsed.source, &[2; 3]);
            let (grease, real): (Vec<_>, Vec<_>) =
                parsed.versions().partition(|version| version.is_reserved());
            assert_eq!((grease.len(), real), (1, Version::SUPPORTED.to_vec()));
        }
    }

    #[test]
    fn an_empty_or_ragged_list_is_ignored() {
        let out = packet(1);
        let list = 1 + 4 + 1 + 255 + 1 + 3;
        for len in [list, list + 1, list + 3, list + 5] {
            assert_eq!(parse_header(&out[..len], 0).err(), Some(HeaderError::BadVersionList));
        }
    }
}
