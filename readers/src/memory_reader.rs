//! [`MemoryReader`]: datagrams that a test puts there.

use std::collections::VecDeque;
use std::io;

use protoquic_core::{PacketReader, PacketSink, ReadBudget, ReadOutcome, ReceivedPacket, Time};

/// Reads from a queue.
#[derive(Debug, Default)]
pub struct MemoryReader {
    queue: VecDeque<ReceivedPacket>,
}

impl MemoryReader {
    /// Adds a datagram to be read.
    pub fn push(&mut self, packet: ReceivedPacket) {
        self.queue.push_back(packet);
    }
}

impl PacketReader for MemoryReader {
    fn read_packets(
        &mut self,
        now: Time,
        budget: &mut ReadBudget<'_>,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome> {
        while !budget.is_spent() {
            let Some(packet) = self.queue.pop_front() else { return Ok(ReadOutcome::Drained) };
            sink.on_packet(ReceivedPacket { received: now, ..packet });
            budget.spend(1);
        }
        Ok(ReadOutcome::MoreAvailable)
    }
}
