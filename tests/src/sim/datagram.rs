//! [`Datagram`]: what travels, and what IP and UDP add to it on a wire. This file must not know what
//! is in it.

use std::net::SocketAddr;

use bytes::BytesMut;
use protoquic::{Ecn, Time};

/// A UDP datagram under way.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// The source address, as it is where the datagram is now: NATs change it.
    pub from: SocketAddr,
    /// The destination address, likewise.
    pub to: SocketAddr,
    /// The ECN bits.
    pub ecn: Ecn,
    /// Its source and destination as its first host sent it.
    pub origin: (SocketAddr, SocketAddr),
    /// When its first host sent it.
    pub sent: Time,
    /// Its payload.
    pub data: BytesMut,
}

impl Datagram {
    /// Its size as an IP packet, in bytes.
    pub fn ip_size(&self) -> usize {
        self.data.len() + overhead(&self.to)
    }
}

/// What IP and UDP headers add to a payload, in bytes.
pub const fn overhead(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V4(_) => 28,
        SocketAddr::V6(_) => 48,
    }
}
