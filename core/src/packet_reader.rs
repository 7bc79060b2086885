//! [`PacketReader`]: where received datagrams come from (Chromium: QuicPacketReader), and
//! [`PacketSink`], to which it hands them. This file must not know of sockets.

use std::io;

use bytes::BytesMut;

use crate::time::Time;
use crate::types::{Ecn, PathAddress};

/// One received UDP datagram.
///
/// Its bytes usually share a buffer with the rest of their batch. The connection decrypts them in
/// place and lends slices of them to the application for the turn; what is kept longer is copied,
/// so that the reader gets its buffer back.
#[derive(Debug)]
pub struct ReceivedPacket {
    /// Where it was sent to and from.
    pub path: PathAddress,
    /// The ECN codepoint it arrived with.
    pub ecn: Ecn,
    /// When it was read.
    pub received: Time,
    /// Its payload.
    pub data: BytesMut,
}

/// Takes datagrams from a reader. A dispatcher is one; so is a client's single session.
pub trait PacketSink {
    /// Called once for each datagram, in the order of arrival.
    fn on_packet(&mut self, packet: ReceivedPacket);
}

/// Why a reader returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// There is nothing more to read for now.
    Drained,
    /// The read budget is used up; there may be more.
    MoreAvailable,
}

/// Reads datagrams in batches.
pub trait PacketReader {
    /// Reads until there is nothing left or `budget` datagrams were read, and hands each to `sink`.
    /// Never blocks. Every datagram counts against the budget, empty ones too, so that no flood
    /// can starve the caller's timers.
    fn read_packets(
        &mut self,
        now: Time,
        budget: usize,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome>;
}
