//! [`PlainReader`]: one system call after the other into one small buffer, each datagram copied out.
//! Costs the least memory and pins none; [`BatchReader`](crate::BatchReader) is the fast one.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::BytesMut;
use protoquic_core::{PacketReader, PacketSink, ReadBudget, ReadOutcome, ReceivedPacket, Time};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use crate::arrival::{self, Brought};

/// Reads datagrams one system call at a time.
#[derive(Debug)]
pub struct PlainReader {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    local: SocketAddr,
    buffer: Box<[u8]>,
}

impl PlainReader {
    /// A reader for this socket, which becomes non-blocking.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&*socket))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local, buffer: vec![0; 65_536].into_boxed_slice() })
    }

    /// Reads once. How many datagrams it brought: several if the writer of this socket has switched
    /// on GRO.
    fn read_once(&mut self, now: Time, sink: &mut dyn PacketSink) -> io::Result<Brought> {
        let mut meta = [RecvMeta::default()];
        let mut slices = [IoSliceMut::new(&mut self.buffer)];
        self.state.recv(UdpSockRef::from(&*self.socket), &mut slices, &mut meta)?;
        let [meta] = meta;
        let (path, ecn) = (arrival::path(self.local, &meta), arrival::ecn(&meta));
        let mut count = 0;
        let mut deliver = |segment: &[u8]| {
            count += 1;
            let data = BytesMut::from(segment);
            sink.on_packet(ReceivedPacket { path, ecn, received: now, data });
        };
        match &self.buffer[..meta.len] {
            [] => deliver(&[]),
            data => data.chunks(meta.stride.max(1)).for_each(deliver),
        }
        Ok(Brought { count, drained: false })
    }
}

impl PacketReader for PlainReader {
    fn read_packets(
        &mut self,
        now: Time,
        budget: &mut ReadBudget<'_>,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome> {
        arrival::read_within(budget, || self.read_once(now, sink))
    }
}
