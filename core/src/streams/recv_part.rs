//! [`RecvPart`]: the receiving part of one stream: its state, its bytes in order, its flow control
//! and its final size (RFC 9000 §3.2, §4.5). It does not know the connection's flow control; it says
//! how much each step takes from it or gives back.

use bytes::Bytes;

use super::flow_control::RecvWindow;
use super::recv_state::{RecvInput, RecvState};
use super::reset_at::PendingReset;
use super::sequencer::{Inserted, Sequencer};
use crate::error::{ApplicationError, TransportError};
use crate::rare::{Blank, Rare};
use crate::types::StreamId;

/// The receiving part of a stream.
#[derive(Debug)]
pub(super) struct RecvPart {
    pub(super) state: RecvState,
    pub(super) sequencer: Sequencer,
    pub(super) window: RecvWindow,
    final_size: Option<u64>,
    pub(super) abort: Rare<RecvAbort>,
    /// A reset that waits for the front of the stream to be read.
    pub(super) pending_reset: Option<Box<PendingReset>>,
}

/// How a receiving part ends before its data does.
#[derive(Debug, Default)]
pub(super) struct RecvAbort {
    /// What our STOP_SENDING says.
    pub(super) stopped: Option<ApplicationError>,
    /// What the peer's RESET_STREAM said.
    pub(super) reset: Option<ApplicationError>,
}

impl Blank for RecvAbort {
    const BLANK: &'static Self = &Self { stopped: None, reset: None };
}

impl RecvPart {
    /// A receiving part with this window.
    pub(super) const fn new(window: RecvWindow) -> Self {
        Self {
            state: RecvState::Recv,
            sequencer: Sequencer::EMPTY,
            window,
            final_size: None,
            abort: Rare::NONE,
            pending_reset: None,
        }
    }

    /// Makes it as new, but for a little memory and its window.
    pub(super) fn retire(&mut self) {
        self.sequencer.retire();
        let sequencer = std::mem::replace(&mut self.sequencer, Sequencer::EMPTY);
        *self = Self { sequencer, ..Self::new(self.window) };
    }

    /// Checks that the peer may use the stream up to `end`, which is its final size if `is_final`.
    /// Returns how many bytes of flow control that takes.
    pub(super) fn admit(
        &mut self,
        id: StreamId,
        end: u64,
        is_final: bool,
    ) -> Result<u64, TransportError> {
        self.check_final_size(id, end, is_final)?;
        let more = end.saturating_sub(self.window.received());
        // RFC 9000 §4.1
        if !self.window.receive(more) {
            let limit = self.window.advertised();
            return Err(TransportError::flow_control(format!(
                "{id} used up to {end}, its limit is {limit}"
            )));
        }
        if is_final {
            self.final_size = Some(end);
        }
        Ok(more)
    }

    /// Whether data at this offset is all new, and the next to read.
    pub(super) fn awaits(&self, offset: u64) -> bool {
        self.sequencer.contiguous() == offset
            && self.sequencer.gaps() == 0
            && self.state == RecvState::Recv
            && self.abort.stopped.is_none()
    }

    /// Takes in data that was admitted.
    pub(super) fn insert(&mut self, offset: u64, data: Bytes) -> Inserted {
        self.sequencer.insert(offset, data)
    }

    /// Takes in FIN, and finds out whether all data is here. Returns whether it is, for the first
    /// time.
    pub(super) fn on_progress(&mut self) -> bool {
        if self.final_size.is_some() {
            self.state.apply(RecvInput::Fin);
        }
        let complete =
            self.pending_reset.is_none() && self.final_size == Some(self.sequencer.contiguous());
        complete && self.state.apply(RecvInput::AllData)
    }

    /// Drops what is unread and gives back all credit that is held. Returns how many bytes.
    pub(super) fn discard(&mut self) -> u64 {
        self.sequencer.clear();
        let held = self.window.held();
        self.window.consume(held);
        held
    }

    /// Once the application has lost interest, the stream is done as soon as its size is known.
    pub(super) fn settle_stopped(&mut self) {
        if self.final_size.is_some() {
            self.state.apply(RecvInput::Fin);
            self.state.apply(RecvInput::AllData);
            self.state.apply(RecvInput::ReadAll);
        }
    }

    /// The next unread bytes.
    pub(super) fn read(&mut self, max: usize) -> Option<Bytes> {
        let data = self.sequencer.read(max);
        if self.sequencer.unread() == 0 {
            self.state.apply(RecvInput::ReadAll);
        }
        data
    }

    fn check_final_size(
        &self,
        id: StreamId,
        end: u64,
        is_final: bool,
    ) -> Result<(), TransportError> {
        // RFC 9000 §4.5: the final size does not change, and no data lies beyond it.
        let (wrong, size) = match self.final_size {
            Some(size) => (end > size || (is_final && end != size), size),
            None => (is_final && end < self.window.received(), self.window.received()),
        };
        if wrong {
            let what = if is_final { "final size" } else { "data up to" };
            return Err(TransportError::final_size(format!(
                "{id}: {what} {end}, but its size so far is {size}"
            )));
        }
        Ok(())
    }
}
