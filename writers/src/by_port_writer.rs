//! [`ByPortWriter`]: two sockets under one writer. A packet goes out by the one whose port its path
//! begins at, as a server needs that has a preferred address (RFC 9000 §9.6). This file must not
//! know why a path changes.

use std::net::SocketAddr;

use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, WriteResult};

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

    fn next_train_location(
        &mut self,
        path: &PathAddress,
        ecn: Ecn,
        size: usize,
        most: usize,
    ) -> Option<&mut [u8]> {
        if self.is_others(path) {
            self.other.next_train_location(path, ecn, size, most)
        } else {
            self.usual.next_train_location(path, ecn, size, most)
        }
    }

    fn write_train(&mut self, train: &OutgoingPacket<'_>, size: usize) -> WriteResult {
        if self.is_others(train.path) {
            self.other.write_train(train, size)
        } else {
            self.usual.write_train(train, size)
        }
    }

    fn segment_size(&self, path: &PathAddress) -> Option<usize> {
        if self.is_others(path) {
            self.other.segment_size(path)
        } else {
            self.usual.segment_size(path)
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
    use protoquic_core::Payload;

    use super::*;

    /// How many packets came, and a batch with room for ten.
    #[derive(Default)]
    struct Counter(usize, [u8; 10]);

    impl PacketWriter for Counter {
        fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
            self.0 += 1;
            WriteResult::Ok
        }

        fn next_train_location(
            &mut self,
            _path: &PathAddress,
            _ecn: Ecn,
            size: usize,
            most: usize,
        ) -> Option<&mut [u8]> {
            self.1.get_mut(..size * most)
        }

        fn write_train(&mut self, train: &OutgoingPacket<'_>, size: usize) -> WriteResult {
            let Payload::InPlace(len) = train.payload else { return self.write_packet(train) };
            self.0 += len / size;
            WriteResult::Ok
        }
    }

    fn path(local: &str) -> PathAddress {
        PathAddress::new(local.parse().unwrap(), "10.0.0.2:5".parse().unwrap())
    }

    #[test]
    fn packets_leave_by_the_port_of_their_path() {
        let mut writer = ByPortWriter::new(Counter::default(), Counter::default(), 4443);
        for local in ["10.0.0.1:443", "10.0.0.1:4443", "[::1]:4443"] {
            let path = path(local);
            let payload = Payload::Borrowed(b"packet");
            let packet =
                OutgoingPacket { path: &path, payload, ecn: Ecn::NotEct, release_time: None };
            let _ = writer.write_packet(&packet);
        }
        assert_eq!((writer.usual.0, writer.other.0), (1, 2));
    }
    #[test]
    fn trains_stay_whole_and_leave_by_the_port_of_their_path() {
        let mut writer = ByPortWriter::new(Counter::default(), Counter::default(), 4443);
        for (local, packets) in [("10.0.0.1:443", 2), ("10.0.0.1:4443", 3)] {
            let path = path(local);
            let room =
                writer.next_train_location(&path, Ecn::Ect0, 3, packets).map(|room| room.len());
            assert_eq!(room, Some(3 * packets));
            let payload = Payload::InPlace(3 * packets);
            let train = OutgoingPacket { path: &path, payload, ecn: Ecn::Ect0, release_time: None };
            assert!(matches!(writer.write_train(&train, 3), WriteResult::Ok));
        }
        assert_eq!((writer.usual.0, writer.other.0), (2, 3));
    }
}
