//! Frames out: control frames first, then lost data, then new data in the scheduler's order, until
//! the packet is full. Each step is O(1) for each frame. Also what becomes of frames once their
//! packet is acknowledged or lost (RFC 9000 §13.3).

use super::events::Wake;
use super::frames::{ControlFrame, ControlKind, FrameSink, StreamRecord};
use super::recv_state::RecvState;
use super::scheduler::{LEVELS, Place};
use super::send_state::{SendInput, SendState};
use super::stream::Controls;
use super::{Streams, slot};
use crate::types::{Direction, StreamId};

impl Streams {
    /// Whether `write_frames` has something to write. Exact.
    pub const fn wants_to_send(&self) -> bool {
        !self.owed.is_empty()
            || !self.control.is_empty()
            || !self.retransmit.is_empty()
            || !self.scheduler.is_empty()
    }

    /// Whether there is stream data, or FIN, to send or to resend.
    pub const fn wants_to_send_data(&self) -> bool {
        !self.retransmit.is_empty() || !self.scheduler.is_empty()
    }

    /// Writes frames until the packet is full or nothing is left.
    pub fn write_frames(&mut self, sink: &mut impl FrameSink) {
        if self.write_controls(sink) {
            while self.write_one(sink).is_some() {}
        }
    }

    /// Writes all control frames. Returns false when the packet is full.
    pub fn write_controls(&mut self, sink: &mut impl FrameSink) -> bool {
        self.write_connection_controls(sink) && self.write_stream_controls(sink)
    }

    /// Writes one STREAM frame: lost data first, then new data in the scheduler's order. Returns its
    /// length; `None` if there is nothing to write or the packet is full.
    pub fn write_one(&mut self, sink: &mut impl FrameSink) -> Option<u64> {
        match self.retransmit.front() {
            Some(key) => self.write_lost(key, sink),
            None => self.write_new(self.scheduler.front()?, sink),
        }
    }

    /// The urgency of the stream that `write_one` would write next.
    pub fn urgency(&self) -> Option<u8> {
        let key = self.retransmit.front().or_else(|| self.scheduler.front())?;
        Some(self.table.slab[key].priority.urgency)
    }

    /// A frame's packet was acknowledged.
    pub fn on_acked(&mut self, record: &StreamRecord) {
        match *record {
            StreamRecord::Data { id, offset, len, fin } => {
                self.on_data_acked(id, offset, u64::from(len), fin);
            }
            StreamRecord::Control(ControlKind::ResetStream(id)) => self.on_reset_acked(id),
            StreamRecord::ResetAt { id, reliable } => {
                self.on_reset_at_acked(id, reliable);
            }
            StreamRecord::Control(_) => {}
        }
    }

    /// A frame's packet was lost. What still matters is sent again, with its newest values.
    pub fn on_lost(&mut self, record: &StreamRecord) {
        match *record {
            StreamRecord::Data { id, offset, len, fin } => {
                self.on_data_lost(id, offset, u64::from(len), fin);
            }
            StreamRecord::ResetAt { id, .. } => self.on_control_lost(ControlKind::ResetStream(id)),
            StreamRecord::Control(kind) => self.on_control_lost(kind),
        }
    }

    /// Queues a control frame of the connection.
    pub(super) fn owe(&mut self, kind: ControlKind) {
        if !self.closed {
            self.owed.set(kind, true);
        }
    }

    /// Takes a control frame of the connection back.
    pub(super) fn disown(&mut self, kind: ControlKind) {
        self.owed.set(kind, false);
    }

    /// Data was acknowledged: `len` bytes at `offset`, the last of them with FIN or without.
    pub fn on_data_acked(&mut self, id: StreamId, offset: u64, len: u64, fin: bool) {
        let Some(key) = self.table.find(id) else {
            return;
        };
        let part = self.send_part(key);
        let had_lost = part.buffer.first_lost().is_some();
        let complete = part.on_acked(offset, len, fin);
        if complete {
            if self.send_part(key).abort.reset_at.is_none() {
                self.wake(key, Wake::SendComplete);
            }
            self.close_if_done(key);
        }
        if had_lost || fin {
            self.reschedule(key);
        }
    }

    fn on_reset_acked(&mut self, id: StreamId) {
        if let Some(key) = self.table.find(id)
            && self.send_part(key).state.apply(SendInput::ResetAcked)
        {
            self.revoke(key, Controls::RESET);
            self.close_if_done(key);
        }
    }

    fn on_data_lost(&mut self, id: StreamId, offset: u64, len: u64, fin: bool) {
        if let Some(key) = self.table.find(id) {
            self.send_part(key).on_lost(offset, len, fin);
            self.drop_late(key);
            self.reschedule(key);
        }
    }

    fn on_control_lost(&mut self, kind: ControlKind) {
        let (id, controls) = match kind {
            ControlKind::MaxData | ControlKind::MaxStreams(_) => return self.owe(kind),
            ControlKind::DataBlocked if self.send_window.is_blocked() => return self.owe(kind),
            ControlKind::StreamsBlocked(dir) if self.local[slot(dir)].is_blocked() => {
                return self.owe(kind);
            }
            ControlKind::DataBlocked | ControlKind::StreamsBlocked(_) => return,
            ControlKind::MaxStreamData(id) => (id, Controls::MAX_DATA),
            ControlKind::StreamDataBlocked(id) => (id, Controls::BLOCKED),
            ControlKind::ResetStream(id) => (id, Controls::RESET),
            ControlKind::StopSending(id) => (id, Controls::STOP),
        };
        if let Some(key) = self.table.find(id)
            && self.still_true(key, controls)
        {
            self.order(key, controls);
        }
    }

    /// Whether a control frame of a stream would still tell the peer something (RFC 9000 §13.3).
    fn still_true(&self, key: usize, controls: Controls) -> bool {
        let stream = &self.table.slab[key];
        let (send, recv) = (stream.send.as_ref(), stream.recv.as_ref());
        match controls {
            Controls::RESET => send.is_some_and(|part| {
                part.state == SendState::ResetSent
                    || part.wants_reset_at() && !part.abort.reset_at_acked
            }),
            Controls::BLOCKED => {
                send.is_some_and(|part| part.state.carries_data() && part.window.is_blocked())
            }
            Controls::STOP => recv.is_some_and(|part| part.is_stopping()),
            _ => recv
                .is_some_and(|part| part.state == RecvState::Recv && part.abort.stopped.is_none()),
        }
    }

    /// Returns false when the packet is full.
    fn write_connection_controls(&mut self, sink: &mut impl FrameSink) -> bool {
        while let Some(kind) = self.owed.first() {
            let window = self.recv_window.advanced(self.now, self.rtt);
            let frame = match kind {
                ControlKind::MaxStreams(dir) => {
                    ControlFrame::MaxStreams { dir, max: self.remote[slot(dir)].next_limit() }
                }
                ControlKind::StreamsBlocked(dir) => {
                    ControlFrame::StreamsBlocked { dir, limit: self.local[slot(dir)].max() }
                }
                ControlKind::DataBlocked => ControlFrame::DataBlocked(self.send_window.max()),
                _ => ControlFrame::MaxData(window.advertised()),
            };
            if !sink.control(frame) {
                return false;
            }
            match frame {
                ControlFrame::MaxData(_) => self.recv_window = window,
                ControlFrame::MaxStreams { dir, max } => self.remote[slot(dir)].set_advertised(max),
                _ => {}
            }
            self.disown(kind);
        }
        true
    }

    /// Returns false when the packet is full.
    fn write_stream_controls(&mut self, sink: &mut impl FrameSink) -> bool {
        while let Some(key) = self.control.front() {
            for controls in Controls::ALL {
                if self.table.slab[key].controls.has(controls)
                    && !self.write_stream_control(key, controls, sink)
                {
                    return false;
                }
            }
        }
        true
    }

    fn write_stream_control(
        &mut self,
        key: usize,
        controls: Controls,
        sink: &mut impl FrameSink,
    ) -> bool {
        let id = self.table.slab[key].id;
        let (now, rtt) = (self.now, self.rtt);
        let frame = match controls {
            Controls::RESET => {
                let part = self.send_part(key);
                let (error, final_size) = (part.abort.reset, part.buffer.sent());
                match part.abort.reset_at {
                    Some(reliable) if part.state.carries_data() => {
                        ControlFrame::ResetStreamAt { id, error, final_size, reliable }
                    }
                    _ => ControlFrame::ResetStream { id, error, final_size },
                }
            }
            Controls::BLOCKED => {
                ControlFrame::StreamDataBlocked { id, limit: self.send_part(key).window.max() }
            }
            Controls::STOP => ControlFrame::StopSending {
                id,
                error: self.recv_part(key).abort.stopped.unwrap_or_default(),
            },
            _ => ControlFrame::MaxStreamData {
                id,
                max: self.recv_part(key).window.advanced(now, rtt).advertised(),
            },
        };
        if !sink.control(frame) {
            return false;
        }
        if let ControlFrame::ResetStreamAt { .. } = frame {
            // draft-ietf-quic-reliable-stream-reset §5.3: as if FIN was sent
            self.send_part(key).state.apply(SendInput::SendFin);
        }
        if controls == Controls::MAX_DATA {
            let window = self.recv_part(key).window.advanced(now, rtt);
            self.recv_part(key).window = window;
            // One stream alone must not be held back by the connection's window.
            self.recv_window.ensure(window.size() + window.size() / 2);
        }
        self.revoke(key, controls);
        true
    }

    fn write_lost(&mut self, key: usize, sink: &mut impl FrameSink) -> Option<u64> {
        let stream = &mut self.table.slab[key];
        let id = stream.id;
        let part = stream.send.as_mut()?;
        let span = part.buffer.first_lost()?;
        let room = sink.stream_room(id, span.start).min(MAX_FRAME);
        if room == 0 {
            return None;
        }
        let len = span.len().min(room as u64);
        let fin = part.ends_at(span.start + len);
        let mut fill = |out: &mut [u8]| part.buffer.copy(span.start, out);
        sink.stream(id, span.start, fin, len as usize, &mut fill);
        part.buffer.on_resent(len);
        part.on_frame(fin);
        self.stats.bytes_resent += len;
        self.reschedule(key);
        Some(len)
    }

    fn write_new(&mut self, key: usize, sink: &mut impl FrameSink) -> Option<u64> {
        let credit = self.send_window.available();
        let stream = &mut self.table.slab[key];
        let id = stream.id;
        let part = stream.send.as_mut()?;
        let offset = part.buffer.sent();
        let room = sink.stream_room(id, offset).min(MAX_FRAME);
        if room == 0 {
            return None;
        }
        let allowed = credit.min(part.window.available()).min(room as u64);
        let len = part.buffer.unsent().min(allowed);
        let fin = part.ends_at(offset + len);
        if len > 0 || fin {
            let mut fill = |out: &mut [u8]| part.buffer.copy(offset, out);
            sink.stream(id, offset, fin, len as usize, &mut fill);
            part.on_sent(len, fin);
            self.after_new(key, len);
        }
        self.reschedule(key);
        Some(len)
    }

    /// Counts new data, and tells a writer of the room it made.
    pub(super) fn after_new(&mut self, key: usize, len: u64) {
        self.send_window.spend(len);
        self.stats.bytes_sent += len;
        self.scheduler.on_sent(&mut self.table.slab, key, len);
        self.order_reset_at(key);
        let limit = self.config.send_buffer;
        if self.send_part(key).take_writable(limit) {
            self.wake(key, Wake::Writable);
        }
        if len > 0 && self.send_window.available() == 0 {
            self.hold();
        }
    }

    /// Connection flow control is used up: takes streams that have data out of their levels, so that
    /// `wants_to_send` stays exact. O(streams), once for every limit.
    fn hold(&mut self) {
        let levels =
            (0..LEVELS as u8).flat_map(|level| [Place::Shared(level), Place::Ordered(level)]);
        for place in levels {
            let mut next = self.scheduler.first_of(place);
            while let Some(key) = next {
                next = self.scheduler.after(&mut self.table.slab, place, key);
                self.reschedule(key);
            }
        }
    }
}

/// The control frames of the connection that wait to be sent: a bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed(u8);

impl Owed {
    const ORDER: [ControlKind; 6] = [
        ControlKind::MaxData,
        ControlKind::MaxStreams(Direction::Bidirectional),
        ControlKind::MaxStreams(Direction::Unidirectional),
        ControlKind::DataBlocked,
        ControlKind::StreamsBlocked(Direction::Bidirectional),
        ControlKind::StreamsBlocked(Direction::Unidirectional),
    ];

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> Option<ControlKind> {
        Self::ORDER.get(self.0.trailing_zeros() as usize).copied()
    }

    fn set(&mut self, kind: ControlKind, owed: bool) {
        if let Some(bit) = Self::ORDER.iter().position(|&each| each == kind) {
            self.0 = self.0 & !(1 << bit) | u8::from(owed) << bit;
        }
    }
}

/// The most data of one frame: more than any datagram holds.
const MAX_FRAME: usize = 1 << 16;
