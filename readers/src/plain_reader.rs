//! [`PlainReader`]: one datagram for one system call, by the standard library alone. For hosts and
//! tests without the messages that [`BatchReader`](crate::BatchReader) needs: it knows neither ECN
//! nor the destination address.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::BytesMut;
use protoquic_core::{
    Ecn, PacketReader, PacketSink, PathAddress, ReadOutcome, ReceivedPacket, Time,
};

use crate::socket::normalize;

/// Reads datagrams one by one.
#[derive(Debug)]
pub struct PlainReader {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    buffer: Box<[u8]>,
}

impl PlainReader {
    /// A reader for this socket, which must be non-blocking.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        let local = normalize(socket.local_addr()?);
        Ok(Self { socket, local, buffer: vec![0; 65_536].into_boxed_slice() })
    }
}

impl PacketReader for PlainReader {
    fn read_packets(
        &mut self,
        now: Time,
        budget: usize,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome> {
        for _ in 0..budget {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((len, peer)) => sink.on_packet(ReceivedPacket {
                    path: PathAddress::new(self.local, normalize(peer)),
                    ecn: Ecn::NotEct,
                    received: now,
                    data: BytesMut::from(&self.buffer[..len]),
                }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(ReadOutcome::Drained);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ReadOutcome::MoreAvailable)
    }
}
