//! [`PacketWriter`]: where sealed packets go (Chromium: QuicPacketWriter). The connection builds
//! each packet straight into the writer's own buffer where the writer offers one. This file must
//! not know of sockets.

use std::io;
use std::net::SocketAddr;

use crate::time::Time;
use crate::types::{Ecn, PathAddress};

/// The bytes of an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// They lie in the caller's buffer.
    Borrowed(&'a [u8]),
    /// The first so many bytes of the location last returned by
    /// [`PacketWriter::next_write_location`].
    InPlace(usize),
}

/// One UDP datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingPacket<'a> {
    /// Where from and where to. A local address that is unspecified leaves the choice to the host.
    pub path: &'a PathAddress,
    /// The datagram's payload.
    pub payload: Payload<'a>,
    /// The ECN codepoint to mark it with.
    pub ecn: Ecn,
    /// Not to leave the host before this time; only for writers that
    /// [support it](PacketWriter::supports_release_time).
    pub release_time: Option<Time>,
}

/// What became of a packet or a flush. A batch writer may learn of an error when nobody is there to
/// be told; then it says so to the next packet for the same peer, which is lost with the batch.
#[derive(Debug)]
pub enum WriteResult {
    /// Sent, or buffered by a batch writer that is not blocked.
    Ok,
    /// The socket is full and the packet was not taken: keep it and write it again later.
    Blocked,
    /// The socket is full; the writer keeps the packet. Do not write it again.
    BlockedDataBuffered,
    /// The packet is larger than the path or interface allows. It was not sent.
    MessageTooBig,
    /// The socket is unusable.
    Error(io::Error),
}

impl WriteResult {
    /// Whether the caller must stop writing until [`PacketWriter::set_writable`].
    pub const fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked | Self::BlockedDataBuffered)
    }
}

/// Sends packets, one by one or in batches.
///
/// A connection writes only while [`is_write_blocked`](Self::is_write_blocked) is false. For each
/// packet it asks for the [next write location](Self::next_write_location), seals the packet there
/// (or in a buffer of its own) and calls [`write_packet`](Self::write_packet). Whoever owns the
/// writer calls [`flush`](Self::flush) when every session of a turn has written.
///
/// ```
/// use protoquic_core::{OutgoingPacket, PacketWriter, Payload, WriteResult};
///
/// /// Counts packets and sends none.
/// #[derive(Default)]
/// struct NullWriter { packets: usize }
///
/// impl PacketWriter for NullWriter {
///     fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
///         self.packets += 1;
///         WriteResult::Ok
///     }
/// }
/// ```
pub trait PacketWriter {
    /// Takes one packet. Called once for each packet.
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult;

    /// A buffer of at least `size` bytes in which the next packet for `path` may be built, or
    /// `None` if the caller must bring its own. A location that is not used costs nothing.
    fn next_write_location(&mut self, path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        let _ = (path, size);
        None
    }

    /// A buffer for a train of packets of exactly `size` bytes each, all for `path` and with one
    /// marking, that lie one behind the other: at least one packet long, and `most` at most, which is
    /// more than none. `None` if the caller must bring its own, for one packet.
    ///
    /// Only writers that send in batches gain from more than one.
    fn next_train_location(
        &mut self,
        path: &PathAddress,
        ecn: Ecn,
        size: usize,
        most: usize,
    ) -> Option<&mut [u8]> {
        let _ = (ecn, most);
        self.next_write_location(path, size).map(|location| &mut location[..size])
    }

    /// Takes the packets of `size` bytes each that were built in the location last returned by
    /// [`next_train_location`](Self::next_train_location), or the one packet that was built
    /// elsewhere. `train.payload` is all of them.
    fn write_train(&mut self, train: &OutgoingPacket<'_>, size: usize) -> WriteResult {
        let _ = size;
        self.write_packet(train)
    }

    /// The size in bytes of the packets of the batch under way, if one more of that size for `path`
    /// can join it. A packet that is larger ends the batch, and one that is smaller is its last: who
    /// could fill a few bytes more does well to keep to this size. `None` without such a batch.
    fn segment_size(&self, path: &PathAddress) -> Option<usize> {
        let _ = path;
        None
    }

    /// Sends what is buffered. Called at the end of a turn, and by writers themselves when full.
    fn flush(&mut self) -> WriteResult {
        WriteResult::Ok
    }

    /// Whether the socket was full at the last write.
    fn is_write_blocked(&self) -> bool {
        false
    }

    /// The socket can be written again. Called by the event loop.
    fn set_writable(&mut self) {}

    /// The largest UDP payload that can be written to this peer, in bytes.
    fn max_packet_size(&self, peer: SocketAddr) -> usize {
        let _ = peer;
        65_527
    }

    /// Whether the ECN codepoint of a packet reaches the wire.
    fn supports_ecn(&self) -> bool {
        false
    }

    /// Whether packets may be given a release time. Then the pacer plans a few milliseconds ahead:
    /// packets come early, in the order of their release times, and must not leave before those.
    ///
    /// ```
    /// use std::collections::VecDeque;
    ///
    /// use protoquic_core::{OutgoingPacket, PacketWriter, Payload, Time, WriteResult};
    ///
    /// /// Hands packets over when their time has come, as a kernel with SO_TXTIME does.
    /// #[derive(Default)]
    /// struct HoldingWriter { held: VecDeque<(Time, Vec<u8>)> }
    ///
    /// impl HoldingWriter {
    ///     fn due(&mut self, now: Time) -> impl Iterator<Item = Vec<u8>> + '_ {
    ///         let count = self.held.iter().take_while(|(at, _)| *at <= now).count();
    ///         self.held.drain(..count).map(|(_, packet)| packet)
    ///     }
    /// }
    ///
    /// impl PacketWriter for HoldingWriter {
    ///     fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
    ///         if let Payload::Borrowed(data) = packet.payload {
    ///             let at = packet.release_time.unwrap_or(Time::ZERO);
    ///             self.held.push_back((at, data.to_vec()));
    ///         }
    ///         WriteResult::Ok
    ///     }
    ///
    ///     fn supports_release_time(&self) -> bool {
    ///         true
    ///     }
    /// }
    ///
    /// let mut writer = HoldingWriter::default();
    /// writer.held.push_back((Time::from_millis(5), vec![1]));
    /// assert_eq!(writer.due(Time::from_millis(4)).count(), 0);
    /// assert_eq!(writer.due(Time::from_millis(5)).count(), 1);
    /// ```
    fn supports_release_time(&self) -> bool {
        false
    }

    /// Whether packets wait for [`flush`](Self::flush).
    fn is_batch_mode(&self) -> bool {
        false
    }
}

impl<W: PacketWriter + ?Sized> PacketWriter for Box<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        (**self).write_packet(packet)
    }

    fn next_write_location(&mut self, path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        (**self).next_write_location(path, size)
    }

    fn next_train_location(
        &mut self,
        path: &PathAddress,
        ecn: Ecn,
        size: usize,
        most: usize,
    ) -> Option<&mut [u8]> {
        (**self).next_train_location(path, ecn, size, most)
    }

    fn write_train(&mut self, train: &OutgoingPacket<'_>, size: usize) -> WriteResult {
        (**self).write_train(train, size)
    }

    fn segment_size(&self, path: &PathAddress) -> Option<usize> {
        (**self).segment_size(path)
    }

    fn flush(&mut self) -> WriteResult {
        (**self).flush()
    }

    fn is_write_blocked(&self) -> bool {
        (**self).is_write_blocked()
    }

    fn set_writable(&mut self) {
        (**self).set_writable();
    }

    fn max_packet_size(&self, peer: SocketAddr) -> usize {
        (**self).max_packet_size(peer)
    }

    fn supports_ecn(&self) -> bool {
        (**self).supports_ecn()
    }

    fn supports_release_time(&self) -> bool {
        (**self).supports_release_time()
    }

    fn is_batch_mode(&self) -> bool {
        (**self).is_batch_mode()
    }
}
