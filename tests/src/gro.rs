//! [`Coalescer`]: hands datagrams on in batches, as a reader does whose kernel coalesces them: those
//! that come one behind the other, at one time and by one way, of the same size but for the last.

use protoquic::{PacketBatch, PacketSink, ReceivedPacket};

/// Datagrams that may go on to their receiver as one batch.
#[derive(Debug, Default)]
pub struct Coalescer {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    packet: ReceivedPacket,
    /// Of each datagram.
    size: usize,
    /// The last one was shorter.
    full: bool,
}

impl Coalescer {
    /// Takes a datagram. What was taken before goes to `sink` if this one does not go with it.
    pub fn take(&mut self, packet: ReceivedPacket, sink: &mut (impl PacketSink + ?Sized)) {
        let len = packet.data.len();
        if let Some(waiting) = &mut self.waiting
            && waiting.fits(&packet)
        {
            waiting.packet.data.unsplit(packet.data);
            waiting.full = len < waiting.size;
            return;
        }
        self.flush(sink);
        self.waiting = Some(Waiting { packet, size: len, full: len == 0 });
    }

    /// Hands on what is left.
    pub fn flush(&mut self, sink: &mut (impl PacketSink + ?Sized)) {
        let Some(Waiting { packet, size, .. }) = self.waiting.take() else { return };
        if packet.data.len() > size {
            let ReceivedPacket { path, ecn, received, data } = packet;
            sink.on_batch(PacketBatch::new(path, ecn, received, data, size));
        } else {
            sink.on_packet(packet);
        }
    }
}

impl Waiting {
    fn fits(&self, next: &ReceivedPacket) -> bool {
        let ReceivedPacket { path, ecn, received, ref data } = self.packet;
        let same = (path, ecn, received) == (next.path, next.ecn, next.received);
        let len = next.data.len();
        same && !self.full && (1..=self.size).contains(&len) && data.len() + len <= MAX_BATCH
    }
}

/// The most that a kernel coalesces, in bytes.
const MAX_BATCH: usize = 65_535;
