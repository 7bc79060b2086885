//! [`PacketReader`]: where received datagrams come from (Chromium: QuicPacketReader), how much of
//! them at a time ([`ReadBudget`]), and [`PacketSink`], to which it hands them. This file must not
//! know of sockets.

use std::io;

use bytes::BytesMut;

use crate::helper::Clock;
use crate::packet_batch::PacketBatch;
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
    /// Called once for each datagram that comes by itself, in the order of arrival.
    fn on_packet(&mut self, packet: ReceivedPacket);

    /// Called for datagrams that came together, instead of once for each: who can do more with them
    /// than take them apart saves work.
    fn on_batch(&mut self, batch: PacketBatch) {
        for packet in batch {
            self.on_packet(packet);
        }
    }
}

/// How much a reader reads before others get their turn: so many datagrams, and, if it is given
/// one, until a point in time (Chromium: yield_after_packets, yield_after_duration).
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use protoquic_core::{Clock, ReadBudget, Time};
///
/// /// Each look at it takes a millisecond.
/// #[derive(Default)]
/// struct Slow(std::cell::Cell<u64>);
/// impl Clock for Slow {
///     fn now(&self) -> Time {
///         self.0.set(self.0.get() + 1);
///         Time::from_millis(self.0.get())
///     }
///     fn wall_now(&self) -> SystemTime { SystemTime::UNIX_EPOCH }
/// }
///
/// let clock = Slow::default();
/// let mut budget = ReadBudget::packets(1000).until(&clock, Time::from_millis(3));
/// let mut reads = 0;
/// while !budget.is_spent() {
///     budget.spend(10);
///     reads += 1;
/// }
/// assert_eq!(reads, 2, "it was time to stop");
/// ```
pub struct ReadBudget<'a> {
    packets: usize,
    bytes: usize,
    until: Option<(&'a dyn Clock, Time)>,
}

impl std::fmt::Debug for ReadBudget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadBudget").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl<'a> ReadBudget<'a> {
    /// So many datagrams, however long that takes.
    pub fn packets(packets: usize) -> Self {
        Self { packets, bytes: 0, until: None }
    }

    /// No longer than until `end` on this clock, which is looked at before each read.
    #[must_use]
    pub fn until(self, clock: &'a dyn Clock, end: Time) -> Self {
        Self { until: Some((clock, end)), ..self }
    }

    /// So many datagrams were read. A read may bring more than were left.
    pub fn spend(&mut self, packets: usize) {
        self.packets = self.packets.saturating_sub(packets);
    }

    /// How many datagrams may still be read, not looking at the time.
    pub fn left(&self) -> usize {
        self.packets
    }

    /// So many bytes were in the datagrams read. For a loop that goes by how much comes; a reader
    /// need not tell.
    pub fn count_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// How many bytes were counted.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is time to return.
    pub fn is_spent(&self) -> bool {
        self.packets == 0 || self.until.is_some_and(|(clock, end)| clock.now() >= end)
    }
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
    /// Reads until there is nothing left or the budget is spent, and hands each datagram to `sink`.
    /// Never blocks. Every datagram counts against the budget, empty ones too, so that no flood
    /// can starve the caller's timers and other sockets.
    fn read_packets(
        &mut self,
        now: Time,
        budget: &mut ReadBudget<'_>,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome>;
}
