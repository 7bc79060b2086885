//! The application's side: open, write, read, end streams early, and hear of what happened. Every
//! method can be called in any state and answers with a [`StreamError`] where it makes no sense.

use bytes::Bytes;

use super::events::{StreamEvent, Wake};
use super::frames::ControlKind;
use super::limits::Remote;
use super::recv_state::{RecvInput, RecvState};
use super::scheduler::{LEVELS, Priority};
use super::stream::Controls;
use super::{Streams, slot};
use crate::error::{ApplicationError, StreamError};
use crate::types::{Direction, StreamId};

impl Streams {
    /// Opens a stream. At the peer's limit, [`StreamError::LimitReached`]; a
    /// [`StreamEvent::CanOpen`] comes when that is raised.
    pub fn open(&mut self, dir: Direction) -> Result<StreamId, StreamError> {
        if self.closed {
            return Err(StreamError::ConnectionClosed);
        }
        let local = &mut self.local[slot(dir)];
        if let Some(index) = local.open() {
            let id = StreamId::new(self.role, dir, index);
            self.table.insert(id);
            return Ok(id);
        }
        // RFC 9000 §4.6
        if self.peer_known && local.block() {
            self.owe(ControlKind::StreamsBlocked(dir));
        }
        Err(StreamError::LimitReached)
    }

    /// Whether a stream can be opened now.
    pub const fn can_open(&self, dir: Direction) -> bool {
        !self.closed && self.local[slot(dir)].can_open()
    }

    /// Takes as much of `data`, from its front, as the send buffer has room for, and leaves the
    /// rest. Returns how many bytes it took. If it left some, a [`StreamEvent::Writable`] comes when
    /// half the buffer is free.
    pub fn write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        let limit = self.config.send_buffer;
        let key = self.writable_stream(id)?;
        let part = self.send_part(key);
        let len = part.room(limit).min(data.len());
        if len < data.len() {
            part.starve();
        }
        part.buffer.push(data.split_to(len));
        self.reschedule(key);
        Ok(len)
    }

    /// Takes all of `data`, whatever the limit. For headers and other small things.
    pub fn write_all(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError> {
        let key = self.writable_stream(id)?;
        self.send_part(key).buffer.push(data);
        self.reschedule(key);
        Ok(())
    }

    /// Takes a whole message, and the end of the stream behind it, if there is room for it. If there
    /// is not, takes nothing and returns false.
    pub fn write_message(
        &mut self,
        id: StreamId,
        head: Bytes,
        body: Bytes,
    ) -> Result<bool, StreamError> {
        let limit = self.config.send_buffer;
        let key = self.writable_stream(id)?;
        let part = self.send_part(key);
        if part.room(limit) < head.len() + body.len() {
            return Ok(false);
        }
        part.buffer.push_message(head, body);
        part.finish();
        self.reschedule(key);
        Ok(true)
    }

    /// How many bytes `write` would take now. After a 0, a [`StreamEvent::Writable`] comes when half
    /// the buffer is free.
    pub fn writable(&mut self, id: StreamId) -> Result<usize, StreamError> {
        if !id.sends(self.role) {
            return Err(StreamError::WrongDirection);
        }
        if self.closed {
            return Err(StreamError::ConnectionClosed);
        }
        let part = match self.table.peek(id) {
            Some(stream) => stream.send.as_ref(),
            None if self.is_implicit(id) => None,
            None => return Err(StreamError::UnknownStream),
        };
        let limit = self.config.send_buffer;
        let room =
            part.map_or(Ok(limit), |part| part.check_writable().map(|()| part.room(limit)))?;
        if room == 0
            && let Some(key) = self.table.find(id)
        {
            self.send_part(key).starve();
        }
        Ok(room)
    }

    /// How many bytes were written and have not been sent; 0 of a stream that does not live.
    pub(crate) fn unsent(&self, id: StreamId) -> u64 {
        let part = self.table.peek(id).and_then(|stream| stream.send.as_ref());
        part.map_or(0, |part| part.buffer.unsent())
    }

    /// Ends the stream in order: FIN follows the last byte written.
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        let key = self.writable_stream(id)?;
        self.send_part(key).finish();
        self.reschedule(key);
        Ok(())
    }

    /// Ends the sending part early (RFC 9000 §3.1): drops what is unacknowledged and sends
    /// RESET_STREAM. An error if it has ended otherwise, all data being acknowledged or not.
    pub fn reset(&mut self, id: StreamId, code: ApplicationError) -> Result<(), StreamError> {
        let key = self.sending_stream(id)?;
        let part = self.send_part(key);
        if !part.reset(code) {
            return Err(part.abort.stopped.map_or(StreamError::Finished, StreamError::Stopped));
        }
        self.after_reset(key);
        self.hush(key, Wake::Writable);
        Ok(())
    }

    /// Says that the application will not read any more: unread data is dropped, and STOP_SENDING
    /// asks the peer to reset the stream (RFC 9000 §3.5) if its end is not in sight.
    pub fn stop_sending(
        &mut self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        if !id.receives(self.role) {
            return Err(StreamError::WrongDirection);
        }
        let key = self.live_stream(id)?;
        let part = self.recv_part(key);
        if part.abort.stopped.replace(code).is_some() || part.state.is_terminal() {
            return Ok(());
        }
        self.discard(key);
        self.hush(key, Wake::Reset);
        let part = self.recv_part(key);
        part.settle_stopped();
        part.state.apply(RecvInput::ReadReset);
        if part.state == RecvState::Recv {
            self.order(key, Controls::STOP);
            self.revoke(key, Controls::MAX_DATA);
        } else {
            self.close_if_done(key);
        }
        Ok(())
    }

    /// The next unread bytes, in order; `None` if there are none now, or no more at all (see
    /// [`is_finished`](Self::is_finished)). They may be a slice of a batch of datagrams: who keeps
    /// them for long should copy them.
    pub fn read(&mut self, id: StreamId) -> Result<Option<Bytes>, StreamError> {
        self.read_max(id, usize::MAX)
    }

    /// As `read`, at most `max` bytes.
    pub fn read_max(&mut self, id: StreamId, max: usize) -> Result<Option<Bytes>, StreamError> {
        if !id.receives(self.role) {
            return Err(StreamError::WrongDirection);
        }
        let Some(key) = self.table.find(id) else {
            let implicit = self.is_implicit(id);
            return if implicit { Ok(None) } else { Err(StreamError::UnknownStream) };
        };
        let Some(part) = &mut self.table.slab[key].recv else {
            return Ok(None);
        };
        if let Some(code) = part.abort.reset {
            // After data that was read to its end, the event is what tells.
            let told = part.pending_reset.is_none();
            if told && part.state.apply(RecvInput::ReadReset) {
                self.hush(key, Wake::Reset);
                self.close_if_done(key);
            }
            return Err(StreamError::Reset(code));
        }
        let data = part.read(max);
        let len = data.as_ref().map_or(0, |data| data.len() as u64);
        self.on_read(key, len);
        Ok(data)
    }

    /// Whether the peer's FIN came and everything before it was read.
    pub fn is_finished(&self, id: StreamId) -> bool {
        let part = self.table.peek(id).and_then(|stream| stream.recv.as_ref());
        part.is_some_and(|part| part.state == RecvState::DataRead && part.abort.stopped.is_none())
    }

    /// How a live stream's data is ranked against that of others.
    pub fn priority(&self, id: StreamId) -> Option<Priority> {
        self.table.peek(id).map(|stream| stream.priority)
    }

    /// Whether the peer may open this stream, or has opened it: one of its own, within our limit.
    pub fn peer_may_open(&self, id: StreamId) -> bool {
        id.initiator() != self.role && id.index() < self.remote[slot(id.direction())].advertised()
    }

    /// Ranks a stream's new data against that of others. Lost data always goes first.
    pub fn set_priority(&mut self, id: StreamId, priority: Priority) -> Result<(), StreamError> {
        let key = self.sending_stream(id)?;
        let priority = Priority { urgency: priority.urgency.min(LEVELS as u8 - 1), ..priority };
        if self.table.slab[key].priority == priority {
            return Ok(());
        }
        self.scheduler.place(&mut self.table.slab, key, None);
        self.table.slab[key].priority = priority;
        self.reschedule(key);
        Ok(())
    }

    /// The application had its turn: unread data that points into a batch of datagrams is copied, so
    /// that the batch can be freed. Visits only streams that received data since the last turn.
    pub fn end_turn(&mut self) {
        while let Some(key) = self.touched.pop_front(&mut self.table.slab) {
            if let Some(part) = &mut self.table.slab[key].recv {
                part.sequencer.compact();
            }
        }
    }

    /// Whether [`poll_event`](Self::poll_event) has something.
    pub fn has_events(&self) -> bool {
        !self.closed
            && (!self.events.is_empty()
                || self.remote.iter().any(super::limits::RemoteStreams::has_news)
                || self.local.iter().any(super::limits::LocalStreams::has_news))
    }

    /// The next event. At most one of each kind waits on a stream.
    pub fn poll_event(&mut self) -> Option<StreamEvent> {
        if self.closed {
            return None;
        }
        for dir in [Direction::Bidirectional, Direction::Unidirectional] {
            if let Some(index) = self.remote[slot(dir)].announce() {
                let id = StreamId::new(self.role.peer(), dir, index);
                return Some(StreamEvent::Opened(id));
            }
            if self.local[slot(dir)].take_can_open() {
                return Some(StreamEvent::CanOpen(dir));
            }
        }
        let key = self.events.front()?;
        let wake = self.table.slab[key].events.take()?;
        if self.table.slab[key].events.is_empty() {
            self.events.remove(&mut self.table.slab, key);
        }
        Some(self.deliver(key, wake))
    }

    /// RESET_STREAM takes the place of whatever was to be sent.
    pub(super) fn after_reset(&mut self, key: usize) {
        self.order(key, Controls::RESET);
        self.revoke(key, Controls::BLOCKED);
        self.reschedule(key);
    }

    fn deliver(&mut self, key: usize, wake: Wake) -> StreamEvent {
        let stream = &mut self.table.slab[key];
        let id = stream.id;
        match wake {
            Wake::Reset => {
                let part = self.recv_part(key);
                let code = part.abort.reset.unwrap_or_default();
                part.state.apply(RecvInput::ReadReset);
                self.close_if_done(key);
                StreamEvent::Reset { id, code }
            }
            Wake::StopSending => {
                let code = self.send_part(key).abort.stopped.unwrap_or_default();
                StreamEvent::StopSending { id, code }
            }
            Wake::Expired => StreamEvent::Expired(id),
            Wake::Readable => StreamEvent::Readable(id),
            Wake::Writable => StreamEvent::Writable(id),
            Wake::SendComplete => StreamEvent::SendComplete(id),
            Wake::Closed => {
                self.forget(key);
                StreamEvent::Closed(id)
            }
        }
    }

    /// Gives credit for what was read, and notes the end of the stream.
    fn on_read(&mut self, key: usize, len: u64) {
        let part = self.recv_part(key);
        let due = len > 0 && part.window.consume(len);
        let (state, wanted) = (part.state, part.abort.stopped.is_none());
        let resets = part.pending_reset.is_some();
        if due && state == RecvState::Recv && wanted {
            self.order(key, Controls::MAX_DATA);
        }
        if len > 0 {
            self.credit(len);
            self.stats.bytes_read += len;
        }
        if resets {
            self.finish_reset_at(key);
        }
        if state.is_terminal() {
            self.hush(key, Wake::Readable);
            self.close_if_done(key);
        }
    }

    /// A stream that the application may write to.
    fn writable_stream(&mut self, id: StreamId) -> Result<usize, StreamError> {
        let key = self.sending_stream(id)?;
        self.send_part(key).check_writable()?;
        Ok(key)
    }

    /// A live stream with a sending part.
    pub(super) fn sending_stream(&mut self, id: StreamId) -> Result<usize, StreamError> {
        if !id.sends(self.role) {
            return Err(StreamError::WrongDirection);
        }
        if self.closed {
            return Err(StreamError::ConnectionClosed);
        }
        self.live_stream(id)
    }

    /// A live stream, given an object if it had none.
    fn live_stream(&mut self, id: StreamId) -> Result<usize, StreamError> {
        if let Some(key) = self.table.find(id) {
            return Ok(key);
        }
        let remote = &mut self.remote[slot(id.direction())];
        if id.initiator() == self.role || remote.materialize(id.index()) == Remote::Known {
            return Err(StreamError::UnknownStream);
        }
        Ok(self.table.insert(id))
    }

    fn is_implicit(&self, id: StreamId) -> bool {
        id.initiator() != self.role && self.remote[slot(id.direction())].is_implicit(id.index())
    }
}
