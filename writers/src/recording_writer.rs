//! [`RecordingWriter`]: keeps a copy of every packet; [`NullWriter`]: keeps nothing.

use std::sync::{Arc, Mutex};

use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, WriteResult};

use crate::staging::{bytes_of, pass_on};

/// A packet that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedPacket {
    /// Where from and where to.
    pub path: PathAddress,
    /// How it was marked.
    pub ecn: Ecn,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What was written, for the test to look at while a connection owns the writer.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Mutex<Vec<RecordedPacket>>>);

impl Recording {
    /// Everything recorded since this was last called.
    pub fn take(&self) -> Vec<RecordedPacket> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn add(&self, packet: RecordedPacket) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(packet);
    }
}

/// Records packets, and passes them on if there is where to.
#[derive(Debug)]
pub struct RecordingWriter<W = NullWriter> {
    inner: W,
    recording: Recording,
}

impl RecordingWriter {
    /// Records packets that go nowhere: what an in-memory network takes them from.
    pub fn alone(recording: Recording) -> Self {
        Self { inner: NullWriter, recording }
    }
}

impl<W: PacketWriter> RecordingWriter<W> {
    /// Records packets on their way.
    pub fn new(inner: W, recording: Recording) -> Self {
        Self { inner, recording }
    }
}

impl<W: PacketWriter> PacketWriter for RecordingWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let (path, ecn, data) = (*packet.path, packet.ecn, bytes_of(packet).to_vec());
        self.recording.add(RecordedPacket { path, ecn, data });
        self.inner.write_packet(packet)
    }

    pass_on!();
}

/// Takes every packet and sends none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullWriter;

impl PacketWriter for NullWriter {
    fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
        WriteResult::Ok
    }

    fn supports_ecn(&self) -> bool {
        true
    }
}
