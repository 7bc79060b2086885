//! [`LimitedMtuWriter`]: a path that carries no large packets (Chromium: LimitedMtuTestWriter).

use protoquic_core::{OutgoingPacket, PacketWriter, WriteResult};

use crate::staging::{bytes_of, pass_on};

/// Refuses or swallows packets above a size.
#[derive(Debug)]
pub struct LimitedMtuWriter<W> {
    inner: W,
    mtu: usize,
    silent: bool,
}

impl<W: PacketWriter> LimitedMtuWriter<W> {
    /// Packets of more than `mtu` bytes are refused with [`WriteResult::MessageTooBig`], as by the
    /// host's own interface.
    pub fn refusing(inner: W, mtu: usize) -> Self {
        Self { inner, mtu, silent: false }
    }

    /// Packets of more than `mtu` bytes vanish, as on a link far away.
    pub fn swallowing(inner: W, mtu: usize) -> Self {
        Self { inner, mtu, silent: true }
    }
}

impl<W: PacketWriter> PacketWriter for LimitedMtuWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        if bytes_of(packet).len() <= self.mtu {
            self.inner.write_packet(packet)
        } else if self.silent {
            WriteResult::Ok
        } else {
            WriteResult::MessageTooBig
        }
    }

    pass_on!();
}
