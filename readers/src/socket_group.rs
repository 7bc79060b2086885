//! [`bind_group`]: several sockets on one port, a thread for each, and how the system chooses among
//! them. This file must not know what is read from them.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::socket::{SocketOptions, bind};
use crate::steering;

/// How the system chooses a socket for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSteering {
    /// By this byte of the destination connection ID, modulo the number of sockets; the first
    /// socket was bound first. Only Linux can, and a sandbox may forbid it: then by addresses.
    ByConnectionId {
        /// Counted from 0.
        byte: u32,
    },
    /// By both ends' addresses, as the system likes.
    ByAddress,
}

/// Sockets of one port.
#[derive(Debug)]
pub struct SocketGroup {
    /// The sockets, which all have the same address.
    pub sockets: Vec<UdpSocket>,
    /// How the system chooses among them: what was asked for, if it could be had.
    pub steering: GroupSteering,
}

/// Binds `count` sockets, at least one, to one address; port 0 is any that is free. Each has these
/// options, and several share the port whatever the options say. The error names the address.
///
/// ```
/// use protoquic_readers::{GroupSteering, SocketOptions, bind_group};
///
/// let steering = GroupSteering::ByConnectionId { byte: 7 };
/// let any = ([127, 0, 0, 1], 0).into();
/// let group = bind_group(any, 2, &SocketOptions::default(), steering)?;
/// assert_eq!(group.sockets[0].local_addr()?, group.sockets[1].local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bind_group(
    address: SocketAddr,
    count: usize,
    options: &SocketOptions,
    steering: GroupSteering,
) -> io::Result<SocketGroup> {
    if count <= 1 {
        return Ok(SocketGroup { sockets: vec![bind(address, options)?], steering });
    }
    if !cfg!(unix) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{count} sockets cannot share a port on this system: use one"),
        ));
    }
    // Another program of the same user could have this port as a group of its own, which we would
    // join without a word.
    drop(bind(address, &SocketOptions { reuse_port: false, ..*options })?);
    let shared = SocketOptions { reuse_port: true, ..*options };
    let mut sockets = vec![bind(address, &shared)?];
    let address = sockets[0].local_addr()?;
    while sockets.len() < count {
        sockets.push(bind(address, &shared)?);
    }
    let steering = match steering {
        GroupSteering::ByConnectionId { byte } => steer(&sockets, byte),
        GroupSteering::ByAddress => steering,
    };
    Ok(SocketGroup { sockets, steering })
}

fn steer(sockets: &[UdpSocket], byte: u32) -> GroupSteering {
    let program = steering::program(sockets.len() as u32, byte);
    match steering::attach(&sockets[0], &program) {
        Ok(()) => GroupSteering::ByConnectionId { byte },
        Err(error) => {
            log::info!("the system does not steer by connection IDs: {error}");
            GroupSteering::ByAddress
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_leads_datagrams_to_the_socket_that_their_id_tells() {
        let asked = GroupSteering::ByConnectionId { byte: 7 };
        let group = bind_group(ANY, 3, &SocketOptions::default(), asked).unwrap();
        assert_eq!(group.steering, asked, "unprivileged programs may steer");
        let address = group.sockets[0].local_addr().unwrap();
        for byte in 0..=255_u8 {
            // From a new port each time: addresses do not matter.
            let sender = UdpSocket::bind(ANY).unwrap();
            let id = [1, 2, 3, 4, 5, 6, 7, byte];
            let short = [&[0x40][..], &id, &[byte; 30]].concat();
            let long = [&[0xc0, 0, 0, 0, 1, 8][..], &id, &[byte; 30]].concat();
            let socket = &group.sockets[usize::from(byte) % 3];
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            for datagram in [short, long] {
                sender.send_to(&datagram, address).unwrap();
                let mut buffer = [0; 100];
                let len = socket.recv(&mut buffer).expect("it comes to this socket");
                assert_eq!(buffer[..len], datagram);
            }
        }
    }

    #[test]
    fn a_port_that_is_taken_is_not_joined() {
        let shared = SocketOptions { reuse_port: true, ..SocketOptions::default() };
        let other = bind(ANY, &shared).unwrap();
        let address = other.local_addr().unwrap();
        let error = bind_group(address, 2, &SocketOptions::default(), GroupSteering::ByAddress)
            .unwrap_err();
        assert!(error.to_string().contains("choose another"), "{error}");
    }

    #[test]
    fn one_socket_is_not_shared() {
        let options = SocketOptions::default();
        let group = bind_group(ANY, 1, &options, GroupSteering::ByAddress).unwrap();
        let address = group.sockets[0].local_addr().unwrap();
        assert!(bind(address, &SocketOptions { reuse_port: true, ..options }).is_err());
    }
}
