//! [`FilterWriter`]: a client's writer that lets a test decide what becomes of each datagram.

use protoquic::{OutgoingPacket, PacketWriter, Payload, WriteResult};

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes out.
    Pass,
    /// It is lost.
    Drop,
    /// It goes out after so many others.
    After(usize),
}

/// Asks a function about every datagram.
pub struct FilterWriter<W, F> {
    inner: W,
    fate: F,
    held: Vec<(usize, OwnedPacket)>,
}

type OwnedPacket = (protoquic::PathAddress, protoquic::Ecn, Vec<u8>);

impl<W, F> std::fmt::Debug for FilterWriter<W, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterWriter").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl<W: PacketWriter, F: FnMut(&[u8]) -> Fate> FilterWriter<W, F> {
    /// Writes to `inner` what `fate` lets pass.
    pub fn new(inner: W, fate: F) -> Self {
        Self { inner, fate, held: Vec::new() }
    }

    fn release(&mut self) {
        for (left, _) in &mut self.held {
            *left = left.saturating_sub(1);
        }
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|(n, _)| *n == 0);
        self.held = held;
        for (_, (path, ecn, data)) in due {
            let payload = Payload::Borrowed(&data);
            let packet = OutgoingPacket { path: &path, payload, ecn, release_time: None };
            let _ = self.inner.write_packet(&packet);
        }
    }
}

impl<W: PacketWriter, F: FnMut(&[u8]) -> Fate> PacketWriter for FilterWriter<W, F> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let Payload::Borrowed(data) = packet.payload else {
            unreachable!("this writer lends no location")
        };
        match (self.fate)(data) {
            Fate::Drop => {}
            Fate::After(n) => {
                self.held.push((n, (*packet.path, packet.ecn, data.to_vec())));
                return WriteResult::Ok;
            }
            Fate::Pass => {
                let result = self.inner.write_packet(packet);
                self.release();
                return result;
            }
        }
        WriteResult::Ok
    }
}

/// Whether a datagram begins with a 0-RTT packet (RFC 9000 §17.2.3).
pub fn is_zero_rtt(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xb0 == 0x90)
}

/// Whether a datagram begins with an Initial packet (RFC 9000 §17.2.2).
pub fn is_initial(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xb0 == 0x80)
}
