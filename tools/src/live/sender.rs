//! How frames leave for one viewer, in each of the three modes: [`Sender`]. Nothing waits without
//! bound: a viewer that does not keep up gets fewer frames, whole ones. This file must not know which
//! frames a viewer has asked for.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protoquic::connection::DatagramOptions;
use protoquic::streams::Priority;
use protoquic::{Direction, SessionContext, StreamError, StreamId, Time};

use super::broadcast::Frame;
use super::codes;
use super::fragments::{Cut, MAX_FRAGMENT_HEADER, Shards};
use super::nal::FrameKind;
use super::server::{LiveServer, ServerStream};
use super::wire::{FrameHeader, MAX_HEADER, micros};

type Context<'a, 'b> = &'a mut SessionContext<'b, LiveServer>;

/// Sends frames to one viewer.
#[derive(Debug)]
pub(super) enum Sender {
    Stream(StreamSender),
    Frames(FrameSender),
    Datagrams(DatagramSender),
}

impl Sender {
    /// Takes a frame, or not, if too much waits already. Returns whether, and how many of those
    /// taken before were given up.
    pub(super) fn offer(&mut self, frame: &Rc<Frame>, cx: Context<'_, '_>) -> (bool, u64) {
        let taken = match self {
            Self::Stream(sender) => return sender.offer(frame, cx),
            Self::Frames(sender) => sender.queue.push(frame),
            Self::Datagrams(sender) => sender.queue.push(frame),
        };
        (taken, self.pump(cx))
    }

    /// Sends what there is room for. Returns how many frames were given up because it is too late.
    pub(super) fn pump(&mut self, cx: Context<'_, '_>) -> u64 {
        match self {
            Self::Stream(sender) => {
                sender.pump(cx);
                0
            }
            Self::Frames(sender) => sender.pump(cx),
            Self::Datagrams(sender) => sender.pump(cx),
        }
    }

    /// How many frames were sent, or given up when it was their turn.
    pub(super) fn sent(&self) -> u64 {
        match self {
            Self::Stream(sender) => sender.numbering.sequence,
            Self::Frames(sender) => sender.queue.numbering.sequence,
            Self::Datagrams(sender) => sender.queue.numbering.sequence,
        }
    }

    /// Something did not arrive: the next key frame comes with the parameter sets again.
    pub(super) fn on_lost(&mut self) {
        match self {
            Self::Stream(_) => {}
            Self::Frames(sender) => sender.queue.numbering.last = None,
            Self::Datagrams(sender) => sender.queue.numbering.last = None,
        }
    }

    /// So many bytes of a frame on a stream of its own are no longer on their way.
    pub(super) fn on_frame_over(&mut self, bytes: usize) {
        if let Self::Frames(sender) = self {
            sender.outstanding = sender.outstanding.saturating_sub(bytes);
        }
    }

    /// There are no more frames: ends what is open. Returns whether all is handed over.
    pub(super) fn finish(&mut self, cx: Context<'_, '_>) -> bool {
        self.pump(cx);
        let sender = match self {
            Self::Stream(sender) => sender,
            Self::Frames(sender) => return sender.queue.held.is_empty(),
            Self::Datagrams(sender) => return sender.queue.held.is_empty(),
        };
        let done = sender.parts.is_empty() && sender.waiting.is_empty();
        if done {
            let _ = cx.connection().stream_finish(sender.stream); // fails if it is finished
        }
        done
    }
}

/// Counts what one viewer is sent.
#[derive(Debug, Default)]
struct Numbering {
    sequence: u64,
    /// The frame sent last; none if the next key frame is to bring its parameter sets.
    last: Option<u64>,
}

impl Numbering {
    /// The header of the next frame to be sent, and the parameter sets that go before it.
    fn next(&mut self, frame: &Frame) -> (FrameHeader, Bytes) {
        let goes_on = self.last.is_some_and(|last| last + 1 == frame.number);
        let kind = frame.unit.kind;
        let sets = if kind == FrameKind::Key && !goes_on {
            frame.missing_sets.clone()
        } else {
            Bytes::new()
        };
        let len = (sets.len() + frame.unit.bytes.len()) as u64;
        let (sequence, number, due) = (self.sequence, frame.number, micros(frame.due));
        self.sequence += 1;
        self.last = Some(number);
        (FrameHeader { sequence, number, due, kind, len }, sets)
    }
}

fn encode(header: FrameHeader) -> Bytes {
    let mut out = BytesMut::with_capacity(MAX_HEADER);
    header.write(&mut out);
    out.freeze()
}

/// When nothing of a frame is sent any more. A key frame, without which others are nothing, has
/// half as long again.
fn deadline(frame: &Frame, deadline: Duration) -> Time {
    frame.due + if frame.unit.kind == FrameKind::Key { deadline * 3 / 2 } else { deadline }
}

fn urgency(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Key => 2,
        FrameKind::Reference => 3,
        FrameKind::Disposable => 4,
    }
}

/// All frames on one stream.
#[derive(Debug)]
pub(super) struct StreamSender {
    stream: StreamId,
    numbering: Numbering,
    waiting: VecDeque<Rc<Frame>>,
    waiting_bytes: usize,
    /// What is left of the frame that is being written.
    parts: VecDeque<Bytes>,
}

impl StreamSender {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            numbering: Numbering::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            parts: VecDeque::new(),
        }
    }

    fn offer(&mut self, frame: &Rc<Frame>, cx: Context<'_, '_>) -> (bool, u64) {
        let len = frame.unit.bytes.len();
        let now = cx.now();
        let is_stale = self.waiting.front().is_some_and(|first| now - first.due > PATIENCE)
            || self.waiting_bytes + len > MAX_WAITING_BYTES;
        let mut dropped = 0;
        if is_stale {
            dropped = self.waiting.len() as u64;
            self.waiting.clear();
            self.waiting_bytes = 0;
            if frame.unit.kind != FrameKind::Key {
                return (false, dropped); // the frames that it needs are gone
            }
        }
        self.waiting_bytes += len;
        self.waiting.push_back(Rc::clone(frame));
        self.pump(cx);
        (true, dropped)
    }

    /// Writes while there is room.
    fn pump(&mut self, cx: Context<'_, '_>) {
        loop {
            while let Some(part) = self.parts.front_mut() {
                if cx.connection().stream_write(self.stream, part).is_err() {
                    self.parts.clear(); // the viewer wants no more
                } else if part.is_empty() {
                    self.parts.pop_front();
                } else {
                    return; // on_can_write will tell
                }
            }
            let Some(frame) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= frame.unit.bytes.len();
            let (header, sets) = self.numbering.next(&frame);
            self.parts.extend([encode(header), sets, frame.unit.bytes.clone()]);
            self.parts.retain(|part| !part.is_empty());
        }
    }
}

/// A frame that waits to be sent, with its number and what goes before it.
#[derive(Debug)]
struct Held {
    frame: Rc<Frame>,
    header: FrameHeader,
    sets: Bytes,
}

/// Frames that wait until the network takes them at once: so it is known what is late before any of
/// it is sent, and no room on the way is wasted on halves of late frames.
#[derive(Debug)]
struct Queue {
    deadline: Duration,
    numbering: Numbering,
    held: VecDeque<Held>,
    bytes: usize,
}

impl Queue {
    fn new(deadline: Duration) -> Self {
        Self { deadline, numbering: Numbering::default(), held: VecDeque::new(), bytes: 0 }
    }

    /// Takes a frame, if there is room.
    fn push(&mut self, frame: &Rc<Frame>) -> bool {
        let bytes = frame.unit.bytes.len();
        if self.bytes + bytes > MAX_WAITING_BYTES || self.held.len() >= MAX_WAITING {
            return false;
        }
        self.bytes += bytes;
        let (header, sets) = self.numbering.next(frame);
        self.held.push_back(Held { frame: Rc::clone(frame), header, sets });
        true
    }

    /// The next frame that still arrives in time, and how many before it do not.
    fn pop(&mut self, cx: Context<'_, '_>) -> (Option<Held>, u64) {
        let path = cx.connection().stats();
        let mut late = 0;
        while let Some(held) = self.held.pop_front() {
            let bytes = held.frame.unit.bytes.len();
            self.bytes -= bytes;
            // A round trip carries a window. A key frame is tried as long as it is not too late.
            let windows = match held.header.kind {
                FrameKind::Key => 0.0,
                _ => bytes as f64 / path.congestion_window.max(1) as f64,
            };
            let arrival =
                cx.now() + path.smoothed_rtt.mul_f64((0.5 + windows).min(MAX_ROUND_TRIPS));
            if arrival <= deadline(&held.frame, self.deadline) {
                return (Some(held), late);
            }
            late += 1;
            self.numbering.last = None;
        }
        (None, late)
    }
}

/// A stream for each frame.
#[derive(Debug)]
pub(super) struct FrameSender {
    queue: Queue,
    /// How many bytes the frames have that are on their way.
    outstanding: usize,
}

impl FrameSender {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { queue: Queue::new(deadline), outstanding: 0 }
    }

    /// Sends as much as the network takes now. Returns how many frames are too late for that.
    fn pump(&mut self, cx: Context<'_, '_>) -> u64 {
        let mut late = 0;
        // What is beyond the congestion window would wait, and age, where nobody can take it back.
        while (self.outstanding as u64) < cx.connection().stats().congestion_window {
            let (held, passed) = self.queue.pop(cx);
            late += passed;
            let Some(held) = held else { break };
            late += u64::from(self.send(held, cx).is_err());
        }
        late
    }

    fn send(&mut self, held: Held, cx: Context<'_, '_>) -> Result<(), StreamError> {
        let Held { frame, header, sets } = held;
        let bytes = frame.unit.bytes.len();
        // An error: as many are open as the viewer allows.
        let id = cx.open_stream(Direction::Unidirectional, |_| ServerStream::Frame { bytes })?;
        self.outstanding += bytes;
        let connection = cx.connection();
        // Older frames first, and those that others need before the rest.
        let priority = Priority { urgency: urgency(header.kind), incremental: false };
        connection.stream_set_priority(id, priority)?;
        let deadline = deadline(&frame, self.queue.deadline);
        connection.stream_set_deadline(id, Some(deadline), codes::TOO_LATE)?;
        for part in [encode(header), sets, frame.unit.bytes.clone()] {
            connection.stream_write_all(id, part)?;
        }
        connection.stream_finish(id)
    }
}

/// Frames in datagrams.
#[derive(Debug)]
pub(super) struct DatagramSender {
    queue: Queue,
    parity: u64,
    /// How many datagrams were handed over.
    handed: u64,
}

impl DatagramSender {
    pub(super) fn new(deadline: Duration, parity: u64) -> Self {
        Self { queue: Queue::new(deadline), parity, handed: 0 }
    }

    /// Sends a frame when the one before it has left. Returns how many frames are too late for that.
    fn pump(&mut self, cx: Context<'_, '_>) -> u64 {
        let mut late = 0;
        loop {
            let stats = cx.connection().datagram_stats();
            if self.handed > stats.sent + stats.dropped {
                break;
            }
            let (held, passed) = self.queue.pop(cx);
            late += passed;
            let Some(held) = held else { break };
            late += u64::from(self.send(&held, cx).is_none());
        }
        late
    }

    /// `None` if the frame cannot be cut into datagrams: it is too large.
    fn send(&mut self, held: &Held, cx: Context<'_, '_>) -> Option<()> {
        let room = cx.max_datagram_size()?.saturating_sub(MAX_FRAGMENT_HEADER);
        let cut = Cut { room, parity: self.parity };
        let shards = cut_frame(&held.frame, &held.sets, cut)?;
        if shards.bytes() > MAX_QUEUED {
            return None;
        }
        let deadline = Some(deadline(&held.frame, self.queue.deadline));
        let options = DatagramOptions { urgency: urgency(held.header.kind), deadline };
        for datagram in shards.datagrams(held.header) {
            // An error: packets are smaller than they were. Parity may make up for it.
            self.handed += u64::from(cx.send_datagram(datagram, options).is_ok());
        }
        Some(())
    }
}

/// The frame's pieces: made once for all viewers whose paths carry packets of one size.
fn cut_frame(frame: &Frame, sets: &Bytes, cut: Cut) -> Option<Rc<Shards>> {
    if !sets.is_empty() {
        let whole = [&sets[..], &frame.unit.bytes].concat();
        return Shards::cut(&Bytes::from(whole), cut).map(Rc::new);
    }
    let mut made = frame.shards.borrow_mut();
    if let Some(shards) = made.as_ref().filter(|shards| shards.is_cut(cut)) {
        return Some(Rc::clone(shards));
    }
    *made = Shards::cut(&frame.unit.bytes, cut).map(Rc::new);
    made.clone()
}

/// On the one stream, frames that have waited for longer are dropped, up to the next key frame.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many bytes of frames may wait. All viewers' frames are the same memory.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// No frame is thought to take longer.
const MAX_ROUND_TRIPS: f64 = 1000.0;
/// How many frames may wait that have a deadline.
const MAX_WAITING: usize = 1000;
/// The most bytes that a frame has in datagrams, parity included; a larger one is not sent so.
pub(super) const MAX_QUEUED: usize = 4 << 20;
