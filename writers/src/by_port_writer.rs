//! [`ByPortWriter`]: two sockets under one writer. A packet goes out by the one whose port its path
//! begins at, as a server needs that has a preferred address (RFC 9000 §9.6). This file must not
//! know why a path changes.

use std::net::SocketAddr;

use protoquic_core::{OutgoingPacket, PacketWriter, PathAddress, WriteResult};

/// A writer for most packets, and another for those of one local port.
#[derive(Debug)]
pub struct ByPortWriter<A, B> {
    usual: A,
    other: B,
    other_port: u16,
}

impl<A: PacketWriter, B: PacketWriter> ByPortWriter<A, B> {
    /// Packets from `other_port` go to `other`, all else to `usual`.
    pub fn new(usual: A, other: B, other_port: u16) -> Self {
        Self { usual, other, other_port }
    }

    fn is_others(&self, path: &PathAddress) -> bool {
        path.local.port() == self.other_port
    }
}

impl<A: PacketWriter, B: PacketWriter> PacketWriter for ByPortWriter<A, B> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        if self.is_others(packet.path) {
            self.other.write_packet(packet)
        } else {
            self.usual.write_packet(packet)
        }
    }

    fn next_write_location(&mut self, path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        if self.is_others(path) {
            self.other.next_write_location(path, size)
        } else {
            self.usual.next_write_location(path, size)
        }
    }

    fn flush(&mut self) -> WriteResult {
        match (self.usual.flush(), self.other.flush()) {
            (WriteResult::Ok, other) => other,
            (usual, _) => usual,
        }
    }

    /// Whoever is blocked stops all: both are the same host's.
    fn is_write_blocked(&self) -> bool {
        self.usual.is_write_blocked() || self.other.is_write_blocked()
    }

    fn set_writable(&mut self) {
        self.usual.set_writable();
        self.other.set_writable();
    }

    fn max_packet_size(&self, peer: SocketAddr) -> usize {
        self.usual.max_packet_size(peer).min(self.other.max_packet_size(peer))
    }

    fn supports_ecn(&self) -> bool {
        self.usual.supports_ecn() && self.other.supports_ecn()
    }

    fn supports_release_time(&self) -> bool {
        self.usual.supports_release_time() && self.other.supports_release_time()
    }

    fn is_batch_mode(&self) -> bool {
        self.usual.is_batch_mode() || self.other.is_batch_mode()
    }
}

#[cfg(test)]
mod tests {
    use protoquic_core::{Ecn, Payload};

    use super::*;

    #[derive(Default)]
    struct Counter(usize);

    impl PacketWriter for Counter {
        fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
            self.0 += 1;
            WriteResult::Ok
        }
    }

    #[test]
    fn packets_leave_by_the_port_of_their_path() {
        let mut writer = ByPortWriter::new(Counter::default(), Counter::default(), 4443);
        for local in ["10.0.0.1:443", "10.0.0.1:4443", "[::1]:4443"] {
            let path = PathAddress::new(local.parse().unwrap(), "10.0.0.2:5".parse().unwrap());
            let payload = Payload::Borrowed(b"packet");
            let packet =
                OutgoingPacket { path: &path, payload, ecn: Ecn::NotEct, release_time: None };
            let _ = writer.write_packet(&packet);
        }
        assert_eq!((writer.usual.0, writer.other.0), (1, 2));
    }
}
