//! [`DefaultWriter`]: one send for each packet (Chromium: QuicDefaultPacketWriter).

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use protoquic_core::{OutgoingPacket, PacketWriter, Payload, WriteResult};

use crate::socket::{DatagramSocket, Failure, UdpSender, classify};

/// Sends each packet by itself.
///
/// ```
/// use std::net::UdpSocket;
/// use std::sync::Arc;
///
/// use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload};
/// use protoquic_writers::DefaultWriter;
///
/// # fn main() -> std::io::Result<()> {
/// let to = UdpSocket::bind("127.0.0.1:0")?;
/// let from = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
/// let path = PathAddress::new(from.local_addr()?, to.local_addr()?);
/// let mut writer = DefaultWriter::new(from)?;
/// let payload = Payload::Borrowed(b"hello");
/// writer.write_packet(&OutgoingPacket { path: &path, payload, ecn: Ecn::Ect0, release_time: None });
/// let mut buffer = [0; 10];
/// assert_eq!(to.recv(&mut buffer)?, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DefaultWriter<S = UdpSender> {
    socket: S,
    blocked: bool,
}

impl DefaultWriter {
    /// A writer for this socket.
    pub fn new(socket: Arc<UdpSocket>) -> std::io::Result<Self> {
        Ok(Self::with_socket(UdpSender::new(socket)?))
    }
}

impl<S: DatagramSocket> DefaultWriter<S> {
    /// A writer for any socket.
    pub fn with_socket(socket: S) -> Self {
        Self { socket, blocked: false }
    }
}

impl<S: DatagramSocket> PacketWriter for DefaultWriter<S> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        // This writer lends no location, so every packet is borrowed.
        let Payload::Borrowed(data) = packet.payload else { return WriteResult::Ok };
        match self.socket.send(packet.path, packet.ecn, data, None) {
            Ok(()) => WriteResult::Ok,
            Err(error) => match classify(&error) {
                Failure::Blocked => {
                    self.blocked = true;
                    WriteResult::Blocked
                }
                Failure::TooBig => WriteResult::MessageTooBig,
                Failure::Transient => WriteResult::Ok,
                Failure::Offload | Failure::Fatal => WriteResult::Error(error),
            },
        }
    }

    fn is_write_blocked(&self) -> bool {
        self.blocked
    }

    fn set_writable(&mut self) {
        self.blocked = false;
    }

    fn max_packet_size(&self, _peer: SocketAddr) -> usize {
        MAX_UDP_PAYLOAD
    }

    fn supports_ecn(&self) -> bool {
        true
    }
}

/// What fits in an IPv4 datagram with its headers.
pub(crate) const MAX_UDP_PAYLOAD: usize = 65_507;
