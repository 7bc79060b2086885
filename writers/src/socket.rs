//! [`DatagramSocket`]: what a writer needs of a socket, and [`UdpSender`], the real one, by way of
//! quinn-udp. The trait is the seam at which tests make sends fail.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use protoquic_core::{Ecn, PathAddress};
use quinn_udp::{EcnCodepoint, Transmit, UdpSockRef, UdpSocketState};

/// Sends datagrams.
pub trait DatagramSocket {
    /// Sends `contents` as datagrams of `segment` bytes each, the last one perhaps shorter; as one
    /// datagram if `segment` is `None`. All or nothing.
    fn send(
        &self,
        path: &PathAddress,
        ecn: Ecn,
        contents: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()>;

    /// How many segments one send may have; 1 if the host cannot split.
    fn max_segments(&self) -> usize;
}

/// A UDP socket, shared with its reader.
#[derive(Debug)]
pub struct UdpSender {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    is_ipv6: bool,
}

impl UdpSender {
    /// Prepares the socket for sending. The reader of the same socket prepares it too; the options
    /// that both set are the same.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&*socket))?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        Ok(Self { socket, state, is_ipv6 })
    }

    /// An IPv6 socket sends to IPv4 hosts by their mapped addresses.
    fn destination(&self, peer: SocketAddr) -> SocketAddr {
        match peer {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            other => other,
        }
    }

    /// The address to send from, if it is known: a host with several answers from the one that was
    /// asked.
    fn source(path: &PathAddress) -> Option<IpAddr> {
        Some(path.local.ip()).filter(|ip| !ip.is_unspecified())
    }
}

impl DatagramSocket for UdpSender {
    fn send(
        &self,
        path: &PathAddress,
        ecn: Ecn,
        contents: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.destination(path.peer),
            ecn: EcnCodepoint::from_bits(ecn as u8),
            contents,
            segment_size: segment,
            src_ip: Self::source(path),
        };
        self.state.try_send(UdpSockRef::from(&*self.socket), &transmit)
    }

    fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }
}

/// What a failed send means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The socket is full.
    Blocked,
    /// Larger than the interface carries.
    TooBig,
    /// The network's word about an earlier datagram, or about this one alone: to QUIC it is loss.
    Transient,
    /// Segmentation offload does not work here.
    Offload,
    /// The socket is unusable.
    Fatal,
}

/// Sorts a send's error. What ICMP and routing say in passing must not end a connection: anyone can
/// forge it, and it may pass.
pub(crate) fn classify(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    // EMSGSIZE of Linux, the BSDs with macOS, and Windows.
    if matches!(error.raw_os_error(), Some(90 | 40 | 10_040)) {
        return Failure::TooBig;
    }
    match error.kind() {
        Kind::WouldBlock => Failure::Blocked,
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable
        | Kind::PermissionDenied
        | Kind::OutOfMemory
        | Kind::Interrupted => Failure::Transient,
        _ => match error.raw_os_error() {
            // EIO and EINVAL are how Linux says that a device cannot segment; ENOBUFS is a full
            // queue that cannot be waited for.
            Some(5 | 22) => Failure::Offload,
            Some(105) => Failure::Transient,
            _ => Failure::Fatal,
        },
    }
}
