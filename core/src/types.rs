//! The small values that every room of the core speaks in: roles, stream IDs, connection IDs,
//! addresses, ECN codepoints. They carry no behaviour beyond their own definition.

use std::fmt;
use std::net::SocketAddr;

/// Which end of the connection this is (Chromium: Perspective).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that sent the first packet.
    Client,
    /// The end that accepted it.
    Server,
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Whether this is the client.
    pub const fn is_client(self) -> bool {
        matches!(self, Self::Client)
    }

    /// Whether this is the server.
    pub const fn is_server(self) -> bool {
        matches!(self, Self::Server)
    }
}

/// Whether a stream carries data both ways (RFC 9000 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ends send.
    Bidirectional,
    /// Only the initiator sends.
    Unidirectional,
}

/// A stream's identifier: its kind in the two lowest bits, its ordinal above (RFC 9000 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The largest identifier a varint can carry.
    pub const MAX: Self = Self((1 << 62) - 1);

    /// The `index`th (from 0) stream of its kind.
    pub const fn new(initiator: Role, direction: Direction, index: u64) -> Self {
        Self(
            index << 2
                | (matches!(direction, Direction::Unidirectional) as u64) << 1
                | initiator.is_server() as u64,
        )
    }

    /// From the wire's 62-bit integer.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The wire's 62-bit integer.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Who opened, or may open, this stream.
    pub const fn initiator(self) -> Role {
        if self.0 & 1 == 0 { Role::Client } else { Role::Server }
    }

    /// Whether it carries data both ways.
    pub const fn direction(self) -> Direction {
        if self.0 & 2 == 0 { Direction::Bidirectional } else { Direction::Unidirectional }
    }

    /// Its ordinal among the streams of its kind, from 0.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }

    /// Whether `role` sends data on it.
    pub fn sends(self, role: Role) -> bool {
        self.direction() == Direction::Bidirectional || self.initiator() == role
    }

    /// Whether `role` receives data on it.
    pub fn receives(self, role: Role) -> bool {
        self.sends(role.peer())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// A connection ID of 0 to 20 bytes (RFC 9000 §5.1, §17.2).
#[derive(Clone, Copy, Default)]
pub struct ConnectionId {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl ConnectionId {
    /// The longest connection ID of QUIC versions 1 and 2.
    pub const MAX_LEN: usize = 20;

    /// The zero-length connection ID.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; Self::MAX_LEN] };

    /// A connection ID of these bytes; `None` if there are more than 20.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self::EMPTY;
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        id.len = bytes.len() as u8;
        Some(id)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its length in bytes, 0 to 20.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PartialEq for ConnectionId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // The room behind an ID is always zero, so that all of it can be compared at once.
        self.bytes == other.bytes && self.len == other.len
    }
}

impl Eq for ConnectionId {}

impl std::hash::Hash for ConnectionId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A stateless reset token (RFC 9000 §10.3). Equality takes the same time whatever the bytes are.
#[derive(Clone, Copy)]
pub struct ResetToken(pub [u8; Self::LEN]);

impl ResetToken {
    /// Its length in bytes.
    pub const LEN: usize = 16;
}

impl PartialEq for ResetToken {
    // RFC 9000 §10.3.1: the comparison must not leak the token's value through timing.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl Eq for ResetToken {}

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetToken(..)")
    }
}

/// The two ends of a path, as one host sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathAddress {
    /// Our address. Its IP is unspecified (`0.0.0.0` or `::`) where the reader cannot tell.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
}

impl PathAddress {
    /// A path between these two.
    pub const fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        Self { local, peer }
    }
}

/// The two ECN bits of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not speak ECN, or the bits are not known.
    #[default]
    NotEct = 0b00,
    /// ECN-capable transport, codepoint 1 (L4S).
    Ect1 = 0b01,
    /// ECN-capable transport, codepoint 0.
    Ect0 = 0b10,
    /// Congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// From the two lowest bits of a TOS or traffic class byte.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            0b11 => Self::Ce,
            _ => Self::NotEct,
        }
    }
}

/// A packet number space (RFC 9000 §12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Initial packets.
    Initial = 0,
    /// Handshake packets.
    Handshake = 1,
    /// 0-RTT and 1-RTT packets.
    Application = 2,
}

impl Space {
    /// All three, in the order in which a datagram coalesces them.
    pub const ALL: [Self; 3] = [Self::Initial, Self::Handshake, Self::Application];
}

/// The three ECN counts of an ACK frame (RFC 9000 §19.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EcnCounts {
    /// Packets received with ECT(0).
    pub ect0: u64,
    /// Packets received with ECT(1).
    pub ect1: u64,
    /// Packets received with CE.
    pub ce: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids_name_their_four_kinds() {
        // RFC 9000 §2.1, Table 1
        let raw = |role, direction| StreamId::new(role, direction, 5).as_u64() & 3;
        assert_eq!(raw(Role::Client, Direction::Bidirectional), 0);
        assert_eq!(raw(Role::Server, Direction::Bidirectional), 1);
        assert_eq!(raw(Role::Client, Direction::Unidirectional), 2);
        assert_eq!(raw(Role::Server, Direction::Unidirectional), 3);
        assert_eq!(StreamId::from_raw(23).index(), 5);
    }

    #[test]
    fn a_unidirectional_stream_is_sent_on_by_its_initiator_only() {
        let id = StreamId::new(Role::Server, Direction::Unidirectional, 0);
        assert!(id.sends(Role::Server) && !id.sends(Role::Client));
        assert!(id.receives(Role::Client) && !id.receives(Role::Server));
    }

    #[test]
    fn connection_ids_end_at_twenty_bytes() {
        assert!(ConnectionId::new(&[7; 20]).is_some());
        assert!(ConnectionId::new(&[7; 21]).is_none());
    }
}
