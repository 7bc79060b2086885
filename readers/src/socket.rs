//! [`bind`]: a UDP socket as protoquic wants it. This file must not know what is read from it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// How a socket is made.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// What the kernel may hold of received datagrams, in bytes; it may grant less. Default 4 MiB.
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
        let _ = socket.set_recv_buffer_size(options.receive_buffer);
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
}
