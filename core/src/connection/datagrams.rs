//! [`Datagrams`]: unreliable datagrams (RFC 9221): those that wait to be sent, by urgency and with
//! deadlines, those that have come, and what became of those that were sent. This file must not know
//! how packets are built or how streams are scheduled.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::event::Event;
use crate::error::TransportError;
use crate::rare::{Blank, Rare};
use crate::time::Time;
use crate::wire::{datagram_header_len, length_prefixed_room};

/// The settings for datagrams, part of [`Config`](super::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramConfig {
    /// The largest DATAGRAM frame that we take, in bytes, its type and length included; told to the
    /// peer as max_datagram_frame_size. 0, the default: none, and a peer that sends one breaks the
    /// protocol. 65535 takes all that packets can carry. (RFC 9221 §3)
    pub max_frame_size: u64,
    /// How many bytes may wait to be sent, each datagram counted with
    /// [`DATAGRAM_OVERHEAD`] more. Default 256 KiB.
    pub send_buffer: usize,
    /// How many received bytes may wait for the application, counted likewise; beyond it the oldest
    /// are dropped (RFC 9221 §5). Default 1 MiB.
    pub receive_buffer: usize,
}

impl Default for DatagramConfig {
    fn default() -> Self {
        Self { max_frame_size: 0, send_buffer: 256 * 1024, receive_buffer: 1024 * 1024 }
    }
}

/// How one datagram is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramOptions {
    /// Ranks it among other datagrams and beside streams (RFC 9218 §4.1): 0, the most urgent, to 7;
    /// larger values mean 7. Datagrams and streams of one urgency share evenly. Default 3, as for
    /// streams.
    pub urgency: u8,
    /// It is dropped if it has not been sent by then. Default: never.
    pub deadline: Option<Time>,
}

impl Default for DatagramOptions {
    fn default() -> Self {
        Self { urgency: 3, deadline: None }
    }
}

/// Names a datagram that was sent, in the notices of what became of it. Unique in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatagramId(u64);

/// Why a datagram was not taken. The connection is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramError {
    /// The peer takes none, or has not said yet that it does (RFC 9221 §3).
    NotSupported,
    /// It is larger than this many bytes, which is what fits now.
    TooLarge(usize),
    /// So much waits already that it has no room.
    QueueFull,
    /// The connection is closed or closing.
    ConnectionClosed,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("the peer takes no datagrams"),
            Self::TooLarge(max) => write!(f, "a datagram may have {max} bytes at most now"),
            Self::QueueFull => f.write_str("too many datagrams wait to be sent"),
            Self::ConnectionClosed => f.write_str("the connection is closed"),
        }
    }
}

impl std::error::Error for DatagramError {}

/// What the datagrams of a connection came to, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramStats {
    /// Sent in a packet.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acked: u64,
    /// Of these, in packets that were declared lost.
    pub lost: u64,
    /// Never sent: too late, or no longer small enough.
    pub dropped: u64,
    /// Received.
    pub received: u64,
    /// Of these, dropped because the application did not take them in time.
    pub overflowed: u64,
}

/// The next datagram, as far as this packet goes.
pub(super) enum Next {
    /// It goes here.
    Fits(DatagramId, Bytes),
    /// It needs another packet.
    NoRoom,
    /// None waits.
    Nothing,
}

#[derive(Debug)]
struct Queued {
    id: DatagramId,
    data: Bytes,
    deadline: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Datagrams {
    config: DatagramConfig,
    used: Rare<Used>,
}

/// What there is of datagrams once there was one.
#[derive(Debug, Default)]
struct Used {
    /// One for each urgency, from when there is first something to send.
    queues: Vec<VecDeque<Queued>>,
    /// Bit n: queue n is not empty.
    occupied: u8,
    queued_bytes: usize,
    next_id: u64,
    /// Bytes that datagrams are ahead of streams of the same urgency.
    lead: i64,
    /// The last packet had no room for the first datagram.
    passed_over: bool,
    received: VecDeque<Bytes>,
    received_bytes: usize,
    /// So many of those received, the oldest, lie in memory of their own.
    copied: usize,
    notices: VecDeque<Event>,
    stats: DatagramStats,
}

impl Blank for Used {
    const BLANK: &'static Self = &Self {
        queues: Vec::new(),
        occupied: 0,
        queued_bytes: 0,
        next_id: 0,
        lead: 0,
        passed_over: false,
        received: VecDeque::new(),
        received_bytes: 0,
        copied: 0,
        notices: VecDeque::new(),
        stats: DatagramStats { sent: 0, acked: 0, lost: 0, dropped: 0, received: 0, overflowed: 0 },
    };
}

impl Datagrams {
    pub(super) fn new(config: DatagramConfig) -> Self {
        Self { config, used: Rare::NONE }
    }

    /// Queues a datagram of which the caller knows that it fits in a packet.
    pub(super) fn queue(
        &mut self,
        data: Bytes,
        options: DatagramOptions,
    ) -> Result<DatagramId, DatagramError> {
        let cost = data.len() + DATAGRAM_OVERHEAD;
        if self.used.queued_bytes + cost > self.config.send_buffer {
            return Err(DatagramError::QueueFull);
        }
        let id = DatagramId(self.used.next_id);
        self.used.next_id += 1;
        self.used.queued_bytes += cost;
        let level = usize::from(options.urgency).min(LEVELS - 1);
        self.used.queues.resize_with(LEVELS, VecDeque::new);
        self.used.queues[level].push_back(Queued { id, data, deadline: options.deadline });
        self.used.occupied |= 1 << level;
        Ok(id)
    }

    /// Whether one waits. Exact, once [`expire`](Self::expire) was called.
    pub(super) fn wants_to_send(&self) -> bool {
        self.used.occupied != 0
    }

    /// The urgency of the datagram that is next.
    pub(super) fn urgency(&self) -> Option<u8> {
        if self.used.occupied == 0 { None } else { Some(self.used.occupied.trailing_zeros() as u8) }
    }

    /// When the first of a queue is too late; what waits behind it is looked at after it.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.used.occupied == 0 {
            return None;
        }
        self.used.queues.iter().filter_map(|queue| queue.front()?.deadline).min()
    }

    /// Drops what has come too late to the front of its queue.
    pub(super) fn expire(&mut self, now: Time) {
        if self.used.occupied == 0 {
            return;
        }
        for level in 0..LEVELS {
            while let Some(first) = self.used.queues[level].front()
                && first.deadline.is_some_and(|deadline| deadline <= now)
            {
                self.drop_first(level);
            }
        }
    }

    /// Takes the next datagram, if `room` bytes are enough for its frame. One that no packet can
    /// hold any more (`max` bytes of data) is dropped.
    pub(super) fn take_next(&mut self, now: Time, room: usize, max: usize) -> Next {
        while let Some(level) = self.urgency().map(usize::from) {
            let Some(first) = self.used.queues[level].front() else { break };
            let late = first.deadline.is_some_and(|deadline| deadline <= now);
            if late || first.data.len() > max {
                self.drop_first(level);
            } else if frame_len(first.data.len()) > room {
                self.used.passed_over = true;
                return Next::NoRoom;
            } else if let Some(first) = self.pop(level) {
                self.used.passed_over = false;
                self.used.lead =
                    (self.used.lead + (first.data.len() as u64).cast_signed()).min(MAX_LEAD);
                self.used.stats.sent += 1;
                return Next::Fits(first.id, first.data);
            }
        }
        if let Some(used) = self.used.get_mut() {
            used.passed_over = false;
        }
        Next::Nothing
    }

    /// Whether the next packet is to begin with a datagram and nothing else, because the first did
    /// not fit behind what the last packet began with.
    pub(super) fn takes_precedence(&mut self) -> bool {
        self.used.get_mut().is_some_and(|used| std::mem::take(&mut used.passed_over))
            && self.wants_to_send()
    }

    /// Whether datagrams go before streams of the same urgency now.
    pub(super) fn is_its_turn(&self) -> bool {
        self.used.lead <= 0
    }

    /// A stream sent so much while datagrams waited.
    pub(super) fn on_stream_data(&mut self, len: u64) {
        if let Some(used) = self.used.get_mut() {
            used.lead = used.lead.saturating_sub(len.cast_signed()).max(-MAX_LEAD);
        }
    }

    /// A DATAGRAM frame arrived, of so many bytes in all.
    pub(super) fn on_frame(&mut self, data: Bytes, frame_len: usize) -> Result<(), TransportError> {
        // RFC 9221 §3
        if frame_len as u64 > self.config.max_frame_size {
            return Err(TransportError::protocol_violation(format!(
                "a DATAGRAM frame of {frame_len} bytes, where {} are allowed",
                self.config.max_frame_size
            )));
        }
        self.used.stats.received += 1;
        self.used.received_bytes += data.len() + DATAGRAM_OVERHEAD;
        self.used.received.push_back(data);
        // RFC 9221 §5: they may be dropped; old ones are worth less than new ones.
        while self.used.received_bytes > self.config.receive_buffer
            && self.poll_received().is_some()
        {
            self.used.stats.overflowed += 1;
        }
        Ok(())
    }

    pub(super) fn has_events(&self) -> bool {
        !self.used.received.is_empty() || !self.used.notices.is_empty()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.used
            .get_mut()?
            .notices
            .pop_front()
            .or_else(|| self.poll_received().map(Event::DatagramReceived))
    }

    /// What the application has not taken by the end of a turn must not keep a batch of received
    /// packets in memory.
    pub(super) fn end_turn(&mut self) {
        let Some(used) = self.used.get_mut() else { return };
        for data in used.received.iter_mut().skip(used.copied) {
            *data = Bytes::copy_from_slice(data);
        }
        used.copied = used.received.len();
    }

    pub(super) fn on_acked(&mut self, id: DatagramId) {
        self.used.stats.acked += 1;
        self.used.notices.push_back(Event::DatagramAcked(id));
    }

    pub(super) fn on_lost(&mut self, id: DatagramId) {
        self.used.stats.lost += 1;
        self.used.notices.push_back(Event::DatagramLost(id));
    }

    pub(super) fn on_connection_closed(&mut self) {
        if let Some(used) = self.used.get_mut() {
            used.queues = Vec::new();
            used.occupied = 0;
            used.queued_bytes = 0;
            used.notices.clear();
        }
    }

    /// What waits for the application, each datagram with its overhead.
    pub(super) fn received_bytes(&self) -> usize {
        self.used.received_bytes
    }

    pub(super) fn stats(&self) -> DatagramStats {
        self.used.stats
    }

    fn poll_received(&mut self) -> Option<Bytes> {
        let data = self.used.get_mut()?.received.pop_front()?;
        self.used.received_bytes -= data.len() + DATAGRAM_OVERHEAD;
        self.used.copied = self.used.copied.saturating_sub(1);
        Some(data)
    }

    fn drop_first(&mut self, level: usize) {
        if let Some(dropped) = self.pop(level) {
            self.used.stats.dropped += 1;
            self.used.notices.push_back(Event::DatagramDropped(dropped.id));
        }
    }

    fn pop(&mut self, level: usize) -> Option<Queued> {
        let first = self.used.queues[level].pop_front()?;
        self.used.queued_bytes -= first.data.len() + DATAGRAM_OVERHEAD;
        if self.used.queues[level].is_empty() {
            self.used.occupied &= !(1 << level);
        }
        Some(first)
    }
}

/// The most data of a datagram whose frame may have `room` bytes.
pub(super) fn max_data(room: usize) -> Option<usize> {
    room.checked_sub(2).map(|_| length_prefixed_room(room - 1))
}

fn frame_len(data: usize) -> usize {
    datagram_header_len(Some(data)) + data
}

/// What a datagram counts for besides its bytes, so that empty ones are bounded as well.
pub const DATAGRAM_OVERHEAD: usize = 64;
/// Levels of urgency, as for streams.
const LEVELS: usize = 8;
/// How far datagrams and streams of one urgency may be ahead of each other, in bytes.
const MAX_LEAD: i64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn datagrams(config: DatagramConfig) -> Datagrams {
        Datagrams::new(DatagramConfig { max_frame_size: 1000, ..config })
    }

    #[test]
    fn received_datagrams_that_nobody_takes_are_bounded_and_the_oldest_go() {
        // RFC 9221 §5
        for len in [0, 1, 100] {
            let receive_buffer = 10 * (len + DATAGRAM_OVERHEAD);
            let mut datagrams = datagrams(DatagramConfig { receive_buffer, ..Default::default() });
            let batch = Bytes::from(vec![9; 10_000]);
            for n in 0..1000 {
                assert!(datagrams.on_frame(batch.slice(n..n + len), len + 3).is_ok());
            }
            assert_eq!(datagrams.used.received.len(), 10);
            assert_eq!(datagrams.stats().overflowed, 990);
            datagrams.end_turn();
            let batch = batch.as_ptr_range();
            let pinned = datagrams.used.received.iter().any(|data| batch.contains(&data.as_ptr()));
            assert!(!pinned || len == 0, "what is left is copied out of the batch");
            let mut events = std::iter::from_fn(|| datagrams.poll_event());
            assert!(events.all(|event| matches!(event, Event::DatagramReceived(_))));
            assert_eq!(datagrams.used.received_bytes, 0);
        }
    }

    #[test]
    fn what_waits_for_long_is_copied_once() {
        let mut datagrams = datagrams(DatagramConfig::default());
        let batch = Bytes::from(vec![9; 1000]);
        let places = |datagrams: &Datagrams| -> Vec<_> {
            datagrams.used.received.iter().map(|data| data.as_ptr()).collect()
        };
        for n in 0..10 {
            let before = places(&datagrams);
            assert!(datagrams.on_frame(batch.slice(n..n + 100), 103).is_ok());
            datagrams.end_turn();
            assert_eq!(places(&datagrams)[..before.len()], before);
            assert!(!batch.as_ptr_range().contains(&places(&datagrams)[before.len()]));
            if n == 5 {
                assert!(datagrams.poll_event().is_some());
            }
        }
    }

    #[test]
    fn one_that_no_packet_holds_any_more_is_dropped() {
        let mut datagrams = datagrams(DatagramConfig::default());
        let options = DatagramOptions::default();
        let large = datagrams.queue(Bytes::from(vec![0; 1400]), options).expect("there is room");
        let small = datagrams.queue(Bytes::from(vec![0; 10]), options).expect("there is room");
        let next = datagrams.take_next(Time::ZERO, 1180, 1177);
        assert!(matches!(next, Next::Fits(id, _) if id == small));
        assert_eq!(datagrams.poll_event(), Some(Event::DatagramDropped(large)));
        assert_eq!(datagrams.used.queued_bytes, 0);
    }

    #[test]
    fn the_largest_data_fills_its_room_with_its_frame() {
        for room in (2..200).chain(16_380..16_400) {
            let data = max_data(room).expect("two bytes are enough for an empty datagram");
            assert!(frame_len(data) <= room && frame_len(data + 1) > room, "room {room}");
        }
        assert_eq!((max_data(0), max_data(1)), (None, None));
    }
}
