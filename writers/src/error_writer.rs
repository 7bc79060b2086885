//! [`ErrorWriter`]: a socket that breaks at a packet of the test's choice (Chromium:
//! BadPacketWriter).

use std::io;

use protoquic_core::{OutgoingPacket, PacketWriter, WriteResult};

use crate::staging::pass_on;

/// Fails at the `n`th packet and ever after.
#[derive(Debug)]
pub struct ErrorWriter<W> {
    inner: W,
    left: u64,
}

impl<W: PacketWriter> ErrorWriter<W> {
    /// Passes `n` packets on, then fails.
    pub fn after(inner: W, n: u64) -> Self {
        Self { inner, left: n }
    }
}

impl<W: PacketWriter> PacketWriter for ErrorWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        if self.left == 0 {
            return WriteResult::Error(io::Error::other("the test broke the socket"));
        }
        self.left -= 1;
        self.inner.write_packet(packet)
    }

    pass_on!();
}
