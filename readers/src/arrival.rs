//! What the readers of real sockets have in common: the budget, the errors that are no errors, and
//! what a control message says of a datagram's way.

use std::io;
use std::net::SocketAddr;

use protoquic_core::{Ecn, PathAddress, ReadBudget, ReadOutcome};
use quinn_udp::RecvMeta;

use crate::socket::normalize;

/// What one read has brought.
pub(crate) struct Brought {
    /// How many datagrams.
    pub(crate) count: usize,
    /// It had room for many and brought one: asking once more would bring none. Should one have come
    /// meanwhile, the next wait says so.
    pub(crate) drained: bool,
}

/// Reads by `read_once` until the budget is spent or there are none.
pub(crate) fn read_within(
    budget: &mut ReadBudget<'_>,
    mut read_once: impl FnMut() -> io::Result<Brought>,
) -> io::Result<ReadOutcome> {
    while !budget.is_spent() {
        match read_once() {
            Ok(Brought { count, drained }) => {
                budget.spend(count);
                if drained {
                    return Ok(ReadOutcome::Drained);
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(ReadOutcome::Drained),
                // What ICMP says of an earlier datagram, or a signal: no word about this read.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::Interrupted => budget.spend(1),
                _ => return Err(error),
            },
        }
    }
    Ok(ReadOutcome::MoreAvailable)
}

/// Between which addresses a datagram came, as far as the host tells which of ours it was.
pub(crate) fn path(local: SocketAddr, meta: &RecvMeta) -> PathAddress {
    let ip = meta.dst_ip.unwrap_or(local.ip());
    let local = normalize(SocketAddr::new(ip, local.port()));
    PathAddress::new(local, normalize(meta.addr))
}

/// How the network marked a datagram.
pub(crate) fn ecn(meta: &RecvMeta) -> Ecn {
    meta.ecn.map_or(Ecn::NotEct, |ecn| Ecn::from_bits(ecn as u8))
}
