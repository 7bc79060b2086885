//! [`BlockingWriter`]: a socket that is full whenever the test says so (Chromium:
//! QuicForceBlockablePacketWriter).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protoquic_core::{OutgoingPacket, PacketWriter, WriteResult};

use crate::staging::pass_on;

/// Turns a [`BlockingWriter`]'s blockade on and off from outside.
#[derive(Clone, Debug, Default)]
pub struct BlockSwitch(Arc<AtomicBool>);

impl BlockSwitch {
    /// From now on writes are refused, or no longer. A blocked connection goes on only after
    /// [`PacketWriter::set_writable`].
    pub fn set(&self, blocked: bool) {
        self.0.store(blocked, Ordering::Relaxed);
    }
}

/// Refuses packets with [`WriteResult::Blocked`] on demand, or every so many.
#[derive(Debug)]
pub struct BlockingWriter<W> {
    inner: W,
    switch: BlockSwitch,
    every: Option<u64>,
    count: u64,
    blocked: bool,
}

impl<W: PacketWriter> BlockingWriter<W> {
    /// Blocks while the switch is set.
    pub fn new(inner: W, switch: BlockSwitch) -> Self {
        Self { inner, switch, every: None, count: 0, blocked: false }
    }

    /// Blocks at every `n`th packet.
    pub fn every_nth(inner: W, n: u64) -> Self {
        Self { every: Some(n.max(2)), ..Self::new(inner, BlockSwitch::default()) }
    }
}

impl<W: PacketWriter> PacketWriter for BlockingWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        self.count += 1;
        let due = self.every.is_some_and(|n| self.count.is_multiple_of(n));
        if due || self.switch.0.load(Ordering::Relaxed) {
            self.blocked = true;
            return WriteResult::Blocked;
        }
        self.inner.write_packet(packet)
    }

    fn flush(&mut self) -> WriteResult {
        self.inner.flush()
    }

    fn is_write_blocked(&self) -> bool {
        self.blocked || self.inner.is_write_blocked()
    }

    fn set_writable(&mut self) {
        self.blocked = self.switch.0.load(Ordering::Relaxed);
        self.inner.set_writable();
    }

    fn max_packet_size(&self, peer: std::net::SocketAddr) -> usize {
        self.inner.max_packet_size(peer)
    }

    pass_on!(capabilities);
}
