//! Frames in: applies what the peer sent, after checking every rule that RFC 9000 §4 and §19 have
//! for it. An error is the connection's end. A frame for a stream that is closed and forgotten is
//! ignored.

use bytes::Bytes;

use super::events::Wake;
use super::frames::ControlKind;
use super::limits::{MAX_STREAMS, Remote};
use super::recv_state::{RecvInput, RecvState};
use super::sequencer::Inserted;
use super::stream::Controls;
use super::{
    BYTES_PER_GAP, MAX_GAPS_PER_CONNECTION, MAX_GAPS_PER_STREAM, Streams, StreamsConfig, slot,
};
use crate::error::{ApplicationError, TransportError};
use crate::types::{Direction, StreamId};

impl Streams {
    /// STREAM (RFC 9000 §19.8). `data` is a slice of the datagram.
    pub fn on_stream_frame(
        &mut self,
        id: StreamId,
        offset: u64,
        fin: bool,
        data: Bytes,
    ) -> Result<(), TransportError> {
        let len = data.len() as u64;
        let Some(end) = offset.checked_add(len).filter(|&end| end <= LARGEST) else {
            return Err(TransportError::frame_encoding(format!(
                "{id}: {len} bytes at offset {offset} pass 2^62 - 1"
            )));
        };
        self.stats.bytes_received += len;
        let Some(key) = self.locate(id, Part::Receiving)? else {
            self.stats.glitches += 1;
            return Ok(());
        };
        let more = self.admit(key, end, fin)?;
        let part = self.recv_part(key);
        if part.abort.stopped.is_some() {
            self.stats.glitches += u64::from(more == 0);
            self.drop_unwanted(key);
            Ok(())
        } else if part.state.wants_data() {
            self.take_in(key, offset, data, fin)
        } else {
            self.stats.glitches += 1;
            Ok(())
        }
    }

    /// Whether data at this offset is what the stream waits for: new, wanted, and with no gap in what
    /// was received. A frame of it could neither be useless nor wrong but for its end.
    pub fn is_next(&mut self, id: StreamId, offset: u64) -> bool {
        let Some(key) = self.table.find(id) else { return false };
        let part = self.table.slab[key].recv.as_ref();
        part.is_some_and(|part| part.awaits(offset))
    }

    /// RESET_STREAM (RFC 9000 §19.4).
    pub fn on_reset_stream(
        &mut self,
        id: StreamId,
        error: ApplicationError,
        final_size: u64,
    ) -> Result<(), TransportError> {
        let Some(key) = self.locate(id, Part::Receiving)? else {
            self.stats.glitches += 1;
            return Ok(());
        };
        self.recv_part(key).check_reset_code(id, error)?;
        self.admit(key, final_size, true)?;
        let part = self.recv_part(key);
        if !part.state.apply(RecvInput::Reset) {
            self.stats.glitches += 1;
            return Ok(());
        }
        part.abort.reset = Some(error);
        let stopped = part.abort.stopped.is_some();
        self.discard(key);
        self.on_size_known(key);
        if stopped {
            // The application has asked for no more; it need not hear of this.
            self.recv_part(key).state.apply(RecvInput::ReadReset);
            self.close_if_done(key);
        } else {
            self.wake(key, Wake::Reset);
        }
        Ok(())
    }

    /// STOP_SENDING (RFC 9000 §19.5). Answered with RESET_STREAM of the same code, as §3.5 asks.
    pub fn on_stop_sending(
        &mut self,
        id: StreamId,
        error: ApplicationError,
    ) -> Result<(), TransportError> {
        let Some(key) = self.locate(id, Part::Sending)? else {
            self.stats.glitches += 1;
            return Ok(());
        };
        if !self.send_part(key).reset(error) {
            self.stats.glitches += 1;
            return Ok(());
        }
        self.send_part(key).abort.stopped = Some(error);
        self.after_reset(key);
        self.hush(key, Wake::Writable);
        self.wake(key, Wake::StopSending);
        Ok(())
    }

    /// MAX_DATA (RFC 9000 §19.9).
    pub fn on_max_data(&mut self, max: u64) {
        if !self.send_window.raise(max) {
            self.stats.glitches += 1;
            return;
        }
        self.disown(ControlKind::DataBlocked);
        // Each held stream moves to a level: the window is open now.
        while let Some(key) = self.scheduler.first_held() {
            self.reschedule(key);
        }
    }

    /// MAX_STREAM_DATA (RFC 9000 §19.10).
    pub fn on_max_stream_data(&mut self, id: StreamId, max: u64) -> Result<(), TransportError> {
        let Some(key) = self.locate(id, Part::Sending)? else {
            self.stats.glitches += 1;
            return Ok(());
        };
        if self.send_part(key).window.raise(max) {
            self.revoke(key, Controls::BLOCKED);
            self.reschedule(key);
        } else {
            self.stats.glitches += 1;
        }
        Ok(())
    }

    /// MAX_STREAMS (RFC 9000 §19.11).
    pub fn on_max_streams(&mut self, dir: Direction, max: u64) -> Result<(), TransportError> {
        check_stream_count(max)?;
        if !self.local[slot(dir)].raise(max) {
            self.stats.glitches += 1;
            return Ok(());
        }
        self.disown(ControlKind::StreamsBlocked(dir));
        if self.local[slot(dir)].take_restricted() {
            self.reschedule_all();
        }
        Ok(())
    }

    /// DATA_BLOCKED (RFC 9000 §19.12). Limits follow what the application reads, not this.
    pub const fn on_data_blocked(&mut self, _limit: u64) {
        self.stats.glitches += 1;
    }

    /// STREAM_DATA_BLOCKED (RFC 9000 §19.13). It opens the stream, no more.
    pub fn on_stream_data_blocked(
        &mut self,
        id: StreamId,
        _limit: u64,
    ) -> Result<(), TransportError> {
        self.stats.glitches += 1;
        self.locate(id, Part::Receiving).map(drop)
    }

    /// STREAMS_BLOCKED (RFC 9000 §19.14). Credit that was held back to save frames goes out.
    pub fn on_streams_blocked(&mut self, dir: Direction, limit: u64) -> Result<(), TransportError> {
        check_stream_count(limit)?;
        if self.remote[slot(dir)].has_more() {
            self.owe(ControlKind::MaxStreams(dir));
        } else {
            self.stats.glitches += 1;
        }
        Ok(())
    }

    /// The stream a frame is for, opened if the frame opens it. `None` if it is closed and forgotten.
    pub(super) fn locate(
        &mut self,
        id: StreamId,
        part: Part,
    ) -> Result<Option<usize>, TransportError> {
        let exists = match part {
            Part::Receiving => id.receives(self.role),
            Part::Sending => id.sends(self.role),
        };
        // RFC 9000 §19.4, §19.5, §19.8, §19.10, §19.13
        if !exists {
            return Err(TransportError::stream_state(format!(
                "{id} has no {} part here",
                part.name()
            )));
        }
        if let Some(key) = self.table.find(id) {
            return Ok(Some(key));
        }
        let slot = slot(id.direction());
        if id.initiator() == self.role {
            // RFC 9000 §19.5, §19.8, §19.10: a stream of ours that we have not opened
            if id.index() >= self.local[slot].opened() {
                return Err(TransportError::stream_state(format!("{id} is not open")));
            }
            return Ok(None);
        }
        match self.remote[slot].on_frame(id.index()) {
            // RFC 9000 §4.6
            Remote::BeyondLimit => Err(TransportError::stream_limit(format!(
                "{id} is beyond the limit of {} streams of its kind",
                self.remote[slot].advertised()
            ))),
            Remote::Fresh => Ok(Some(self.table.insert(id))),
            Remote::Known => Ok(None),
        }
    }

    /// Checks final size and both levels of flow control. Returns how much of the latter it takes.
    pub(super) fn admit(
        &mut self,
        key: usize,
        end: u64,
        is_final: bool,
    ) -> Result<u64, TransportError> {
        let id = self.table.slab[key].id;
        let more = self.recv_part(key).admit(id, end, is_final)?;
        // RFC 9000 §4.1
        if !self.recv_window.receive(more) {
            let limit = self.recv_window.advertised();
            return Err(TransportError::flow_control(format!(
                "{id}: {more} more bytes pass the connection's limit of {limit}"
            )));
        }
        Ok(more)
    }

    /// Takes in data that was admitted and is wanted.
    fn take_in(
        &mut self,
        key: usize,
        offset: u64,
        data: Bytes,
        fin: bool,
    ) -> Result<(), TransportError> {
        let part = self.recv_part(key);
        let before = part.sequencer.gaps();
        let inserted = part.insert(offset, data);
        let now = part.sequencer.gaps();
        let newly_sized = fin && part.state == RecvState::Recv;
        let complete = part.on_progress();
        if now != before {
            self.gaps = self.gaps + now - before;
            self.check_gaps(key, now)?;
        }
        if newly_sized {
            self.on_size_known(key);
        } else if inserted == Inserted::Nothing {
            self.stats.glitches += 1;
        }
        if inserted == Inserted::Readable {
            self.touched.push_back(&mut self.table.slab, key);
        }
        if inserted == Inserted::Readable || complete {
            self.wake(key, Wake::Readable);
        }
        Ok(())
    }

    /// Credits data of a stream that the application has asked the peer to stop.
    fn drop_unwanted(&mut self, key: usize) {
        self.discard(key);
        let part = self.recv_part(key);
        part.settle_stopped();
        if !part.state.wants_data() {
            self.on_size_known(key);
            self.close_if_done(key);
        }
    }

    /// A peer that leaves thousands of gaps is attacking our memory (RFC 9000 §21.7), unless its
    /// window is so large that one burst of losses makes as many.
    fn check_gaps(&self, key: usize, gaps: usize) -> Result<(), TransportError> {
        let StreamsConfig { max_stream_window, max_connection_window, .. } = self.config;
        let most = |always: usize, window| always.max((window / BYTES_PER_GAP) as usize);
        if gaps > most(MAX_GAPS_PER_STREAM, max_stream_window)
            || self.gaps > most(MAX_GAPS_PER_CONNECTION, max_connection_window)
        {
            return Err(TransportError::protocol_violation(format!(
                "{}: data with {gaps} gaps, {} on all streams",
                self.table.slab[key].id, self.gaps
            )));
        }
        Ok(())
    }
}

/// The part of a stream that a frame is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Sending,
    Receiving,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Receiving => "receiving",
        }
    }
}

/// RFC 9000 §19.11, §19.14: no more than 2^60 streams of a kind can exist.
fn check_stream_count(count: u64) -> Result<(), TransportError> {
    if count > MAX_STREAMS {
        return Err(TransportError::frame_encoding(format!(
            "a stream count of {count} passes 2^60"
        )));
    }
    Ok(())
}

/// The largest offset, and the largest final size (RFC 9000 §4.5, §19.8).
const LARGEST: u64 = (1 << 62) - 1;
