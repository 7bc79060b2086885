//! Where packets go: writers for sockets, and writers for tests.
//!
//! [`GsoBatchWriter`] is the one for production: packets are sealed in its buffer and leave in
//! batches. [`DefaultWriter`] sends each by itself, [`ByPortWriter`] puts two sockets under one. The others wrap any writer, or stand alone, to
//! drop, reorder, limit, block, fail or record. All implement
//! [`PacketWriter`](protoquic_core::PacketWriter) and can be swapped freely.

mod blocking_writer;
mod by_port_writer;
mod default_writer;
mod dropping_writer;
mod error_writer;
mod gso_batch_writer;
mod limited_mtu_writer;
mod recording_writer;
mod reordering_writer;
mod socket;
mod staging;

pub use blocking_writer::{BlockSwitch, BlockingWriter};
pub use by_port_writer::ByPortWriter;
pub use default_writer::DefaultWriter;
pub use dropping_writer::DroppingWriter;
pub use error_writer::ErrorWriter;
pub use gso_batch_writer::GsoBatchWriter;
pub use limited_mtu_writer::LimitedMtuWriter;
pub use recording_writer::{NullWriter, RecordedPacket, Recording, RecordingWriter};
pub use reordering_writer::ReorderingWriter;
pub use socket::{DatagramSocket, UdpSender};
