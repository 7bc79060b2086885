//! [`bind`]: a UDP socket as protoquic wants it. This file must not know what is read from it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// How a socket is made.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// What the kernel may hold of received datagrams, in bytes. It may grant less: on Linux no more
    /// than `net.core.rmem_max` to a process without CAP_NET_ADMIN. Default 4 MiB. What overflows it
    /// is lost, and senders take that for congestion: where many connections share a socket, each has
    /// but a share of it.
    pub receive_buffer: usize,
    /// What it may hold of datagrams to be sent. Default 4 MiB.
    pub send_buffer: usize,
    /// Whether other sockets may share the port, each taking a part of the peers. Default no.
    pub reuse_port: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { receive_buffer: 4 << 20, send_buffer: 4 << 20, reuse_port: false }
    }
}

/// A non-blocking UDP socket on this address; an IPv6 one on `[::]` takes IPv4 too. The error names
/// the address.
pub fn bind(address: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let make = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        #[cfg(unix)]
        socket.set_reuse_port(options.reuse_port)?;
        // The kernel's limits may be lower: what it grants will do.
        set_receive_buffer(&socket, options.receive_buffer);
        let _ = socket.set_send_buffer_size(options.send_buffer);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    make().map_err(|error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program has this port, choose another",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
            io::ErrorKind::AddrNotAvailable => "; this host does not have that address",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{hint}"))
    })
}

/// Asks for a receive buffer, and where the kernel's limit is lower, for one beyond that, which
/// privileged processes get.
fn set_receive_buffer(socket: &Socket, size: usize) {
    let _ = socket.set_recv_buffer_size(size);
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
        // Linux doubles what it grants, for its own needs.
        if socket.recv_buffer_size().is_ok_and(|granted| granted < size.saturating_mul(2)) {
            let _ = setsockopt(socket, RcvBufForce, &size);
        }
    }
}

/// The wildcard address, with any port, from which `peer` can be reached.
pub fn connectable_from(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// An address as the layers above see it: IPv4 is IPv4, whatever the socket.
pub(crate) fn normalize(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_in_the_error() {
        let options = SocketOptions::default();
        let first = bind(([127, 0, 0, 1], 0).into(), &options).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, &options).unwrap_err().to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("another program"),
            "{error}"
        );
    }

    /// More than the kernel's limit, if this process may.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_receive_buffer_is_what_is_asked_for_or_the_limit() {
        use socket2::SockRef;
        let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        for receive_buffer in [64 << 10, limit, 3 * limit] {
            let options = SocketOptions { receive_buffer, ..SocketOptions::default() };
            let socket = bind(([127, 0, 0, 1], 0).into(), &options).unwrap();
            let granted = SockRef::from(&socket).recv_buffer_size().unwrap() / 2;
            assert!(
                granted == receive_buffer || granted == receive_buffer.min(limit),
                "{granted} of {receive_buffer}, limit {limit}"
            );
        }
    }
}
