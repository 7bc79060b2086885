//! [`ReorderingWriter`]: sends packets in another order (Chromium: PacketReorderingWriter).

use protoquic_core::{
    Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload, RandomGenerator, SeededRandom,
    WriteResult,
};

use crate::staging::{bytes_of, pass_on};

/// Holds some packets back until a number of others has passed them.
#[derive(Debug)]
pub struct ReorderingWriter<W> {
    inner: W,
    per_thousand: u64,
    distance: u64,
    random: SeededRandom,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    wait: u64,
    path: PathAddress,
    ecn: Ecn,
    data: Vec<u8>,
}

impl<W: PacketWriter> ReorderingWriter<W> {
    /// Of a thousand packets, holds `per_thousand` back until `distance` others have passed. A turn
    /// that ends lets all go.
    pub fn new(inner: W, per_thousand: u64, distance: u64, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        Self { inner, per_thousand, distance, random, held: Vec::new() }
    }

    fn release(&mut self, held: &Held) {
        let payload = Payload::Borrowed(&held.data);
        let packet =
            OutgoingPacket { path: &held.path, payload, ecn: held.ecn, release_time: None };
        let _ = self.inner.write_packet(&packet); // a test's loss, if the inner writer is full
    }
}

impl<W: PacketWriter> PacketWriter for ReorderingWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        if self.random.next_u64() % 1000 < self.per_thousand {
            let data = bytes_of(packet).to_vec();
            let (path, ecn, wait) = (*packet.path, packet.ecn, self.distance);
            self.held.push(Held { wait, path, ecn, data });
            return WriteResult::Ok;
        }
        let result = self.inner.write_packet(packet);
        self.held.iter_mut().for_each(|held| held.wait = held.wait.saturating_sub(1));
        for due in self.held.extract_if(.., |held| held.wait == 0).collect::<Vec<_>>() {
            self.release(&due);
        }
        result
    }

    fn flush(&mut self) -> WriteResult {
        for held in std::mem::take(&mut self.held) {
            self.release(&held);
        }
        self.inner.flush()
    }

    pass_on!(but_flush);
}
