//! Socket addresses, between C's and Rust's. This file must not know what they are of.

use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{AF_INET, AF_INET6, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};
use protoquic::PathAddress;

use crate::status::{Failure, Outcome, PQ_ERR_NULL};

/// From where to where.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct pq_path {
    /// Our address; unspecified (0.0.0.0 or ::) where the system is to choose.
    pub local: sockaddr_storage,
    /// How long it is.
    pub local_len: socklen_t,
    /// The peer's address.
    pub peer: sockaddr_storage,
    /// How long it is.
    pub peer_len: socklen_t,
}

impl pq_path {
    pub(crate) fn new(path: PathAddress) -> Self {
        let (local, local_len) = to_c(path.local);
        let (peer, peer_len) = to_c(path.peer);
        Self { local, local_len, peer, peer_len }
    }
}

/// Reads an address.
///
/// # Safety
///
/// `address` is NULL or valid for `len` bytes.
pub(crate) unsafe fn from_c(address: *const sockaddr, len: socklen_t) -> Outcome<SocketAddr> {
    if address.is_null() {
        return Err(Failure::new(PQ_ERR_NULL, "an address is NULL"));
    }
    let len = len as usize;
    if len < size_of::<sockaddr_in>() {
        return Err(Failure::invalid(format!("an address of {len} bytes")));
    }
    // SAFETY: it is not NULL and long enough for its family; it need not be aligned.
    let family = unsafe { (&raw const (*address).sa_family).read_unaligned() };
    match i32::from(family) {
        AF_INET => {
            // SAFETY: it is long enough, and of this family.
            let v4 = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        AF_INET6 if len >= size_of::<sockaddr_in6>() => {
            // SAFETY: it is long enough, and of this family.
            let v6 = unsafe { address.cast::<sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Ok(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        other => Err(Failure::invalid(format!("an address of family {other} and {len} bytes"))),
    }
}

fn to_c(address: SocketAddr) -> (sockaddr_storage, socklen_t) {
    // SAFETY: all of these structures may be all zeros.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    let len = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: as above.
            let mut c: sockaddr_in = unsafe { zeroed() };
            c.sin_family = AF_INET as _;
            c.sin_port = v4.port().to_be();
            c.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            // SAFETY: a sockaddr_storage is made to hold any of them, and is aligned for them.
            unsafe { (&raw mut storage).cast::<sockaddr_in>().write(c) };
            size_of::<sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let mut c: sockaddr_in6 = unsafe { zeroed() };
            c.sin6_family = AF_INET6 as _;
            c.sin6_port = v6.port().to_be();
            c.sin6_addr.s6_addr = v6.ip().octets();
            c.sin6_scope_id = v6.scope_id();
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<sockaddr_in6>().write(c) };
            size_of::<sockaddr_in6>()
        }
    };
    (storage, len as socklen_t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["127.0.0.1:443", "[fe80::1%7]:9", "[::]:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let (storage, len) = to_c(address);
            // SAFETY: the storage is valid for that length.
            let back = unsafe { from_c((&raw const storage).cast(), len) };
            assert_eq!(back.unwrap(), address);
            // SAFETY: likewise.
            assert!(unsafe { from_c((&raw const storage).cast(), 3) }.is_err());
        }
        // SAFETY: NULL is allowed.
        assert!(unsafe { from_c(std::ptr::null(), 16) }.is_err());
    }
}
