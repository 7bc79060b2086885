//! [`Captured`]: a datagram as a capture sees it, where and when. Captures are how a test looks at
//! the wire. This file must not know what is in a datagram.

use std::fmt;
use std::net::SocketAddr;

use protoquic::{Ecn, Time};

use super::link::Dropped;
use super::simulator::ActorId;
use super::topology::LinkId;

/// Where a datagram was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// An actor sent it.
    Sent(ActorId),
    /// It came to an actor.
    Received(ActorId),
    /// A line dropped it.
    Dropped(LinkId, Dropped),
    /// A NAT has no binding for it, or its filter dropped it.
    Filtered,
    /// Nobody has its address.
    Unreachable,
}

/// A datagram and where it was seen.
#[derive(Clone, Copy)]
pub struct Captured<'a> {
    /// When.
    pub at: Time,
    /// Where.
    pub point: Point,
    /// Its source and destination as its first host sent it.
    pub origin: (SocketAddr, SocketAddr),
    /// When its first host sent it.
    pub sent: Time,
    /// Its source address there.
    pub from: SocketAddr,
    /// Its destination address there.
    pub to: SocketAddr,
    /// Its ECN bits there.
    pub ecn: Ecn,
    /// Its payload there.
    pub data: &'a [u8],
}

impl fmt::Debug for Captured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, point, from, to, ecn, data, .. } = self;
        let millis = at.as_nanos() as f64 / 1e6;
        let first = data.first().copied().unwrap_or(0);
        write!(f, "{millis:.3} {point:?} {from} > {to} {} bytes, {first:02x} {ecn:?}", data.len())
    }
}

/// Is given every datagram that is seen anywhere.
pub type Capture = Box<dyn FnMut(&Captured<'_>)>;
