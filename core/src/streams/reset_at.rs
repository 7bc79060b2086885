//! Resets that deliver the front of a stream (RESET_STREAM_AT, draft-ietf-quic-reliable-stream-reset):
//! more like FIN than like RESET_STREAM, for data up to the reliable size is still sent, resent and
//! read. Both ends' rules. This file must not know how the frame is encoded.

use super::Streams;
use super::events::Wake;
use super::incoming::Part;
use super::recv_part::RecvPart;
use super::recv_state::RecvInput;
use super::send_part::SendPart;
use super::stream::Controls;
use crate::error::{ApplicationError, StreamError, TransportError};
use crate::types::StreamId;

/// What the peer's RESET_STREAM_AT said, until the front of the stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingReset {
    code: ApplicationError,
    reliable: u64,
}

impl Streams {
    /// Ends the sending part early, but delivers its first `reliable` bytes; what was written
    /// beyond them and not sent is dropped, what was sent is not repeated. Can be called again to
    /// deliver less; the first code stands.
    ///
    /// [`StreamError::NotSupported`] if the peer does not take RESET_STREAM_AT, and nothing happens.
    pub fn reset_at(
        &mut self,
        id: StreamId,
        code: ApplicationError,
        reliable: u64,
    ) -> Result<(), StreamError> {
        if reliable == 0 {
            return self.reset(id, code); // §5: the same thing
        }
        if !self.peer.reset_stream_at {
            return Err(StreamError::NotSupported);
        }
        let key = self.sending_stream(id)?;
        let part = self.send_part(key);
        let before = part.abort.reset_at;
        if !part.reset_at(code, reliable) {
            return Err(part.abort.stopped.map_or(StreamError::Finished, StreamError::Stopped));
        }
        if part.abort.reset_at == before {
            return Ok(());
        }
        self.hush(key, Wake::Writable);
        self.order_reset_at(key);
        self.reschedule(key);
        Ok(())
    }

    /// RESET_STREAM_AT is sent once everything up to its final size was: so it never passes a limit
    /// of the peer's (§4).
    pub(super) fn order_reset_at(&mut self, key: usize) {
        if self.send_part(key).wants_reset_at() {
            self.order(key, Controls::RESET);
        }
    }

    pub(super) fn on_reset_at_acked(&mut self, id: StreamId, reliable: u64) {
        let Some(key) = self.table.find(id) else { return };
        if self.send_part(key).on_reset_at_acked(reliable) {
            self.revoke(key, Controls::RESET);
            self.close_if_done(key);
        }
    }

    /// RESET_STREAM_AT (§4). That `reliable` is not above `final_size` is a matter of encoding.
    pub fn on_reset_stream_at(
        &mut self,
        id: StreamId,
        code: ApplicationError,
        final_size: u64,
        reliable: u64,
    ) -> Result<(), TransportError> {
        let Some(key) = self.locate(id, Part::Receiving)? else {
            self.stats.glitches += 1;
            return Ok(());
        };
        self.recv_part(key).check_reset_code(id, code)?;
        if self.recv_part(key).abort.stopped.is_some() || reliable == 0 {
            return self.on_reset_stream(id, code, final_size);
        }
        self.admit(key, final_size, true)?;
        let part = self.recv_part(key);
        if !part.state.wants_data() || !part.lower_reset(code, reliable) {
            self.stats.glitches += 1;
            return Ok(());
        }
        part.state.apply(RecvInput::Fin);
        self.on_size_known(key);
        self.finish_reset_at(key);
        Ok(())
    }

    /// Once the reliable front of a stream is read, the rest is dropped and the reset is told.
    pub(super) fn finish_reset_at(&mut self, key: usize) {
        let part = self.recv_part(key);
        let Some(pending) = part.pending_reset.as_deref().copied() else { return };
        if part.sequencer.read_offset() < pending.reliable || !part.state.apply(RecvInput::Reset) {
            return;
        }
        part.abort.reset = Some(pending.code);
        self.discard(key);
        self.wake(key, Wake::Reset);
    }
}

impl SendPart {
    /// Ends the stream early at `reliable`, or at what there is. Returns false if it has ended
    /// otherwise.
    fn reset_at(&mut self, code: ApplicationError, reliable: u64) -> bool {
        if !self.state.carries_data() {
            return false;
        }
        let reliable = reliable.min(self.buffer.end());
        // §5.2: "the initiator MUST NOT increase the Reliable Size"
        match self.abort.reset_at {
            Some(before) if reliable >= before => return true,
            Some(_) => {}
            None => self.abort.reset = code,
        }
        self.abort.reset_at = Some(reliable);
        self.buffer.truncate(reliable);
        true
    }

    /// Whether RESET_STREAM_AT is to be sent, or sent again.
    pub(super) fn wants_reset_at(&self) -> bool {
        self.abort.reset_at.is_some() && self.state.carries_data() && self.buffer.unsent() == 0
    }

    /// §5.3: the end of the sending part, if the frame with the smallest reliable size is
    /// acknowledged and all data up to there.
    fn on_reset_at_acked(&mut self, reliable: u64) -> bool {
        self.abort.reset_at_acked |= self.abort.reset_at == Some(reliable);
        self.settle_reset_at()
    }
}

impl RecvPart {
    /// §5.2: the code of a reset does not change.
    pub(super) fn check_reset_code(
        &self,
        id: StreamId,
        code: ApplicationError,
    ) -> Result<(), TransportError> {
        match &self.pending_reset {
            Some(pending) if pending.code != code => Err(TransportError::stream_state(format!(
                "{id} is reset with {} and then with {code}",
                pending.code
            ))),
            _ => Ok(()),
        }
    }

    /// §5.2: "The receiver MUST ignore any RESET_STREAM_AT frame that increases the Reliable Size."
    fn lower_reset(&mut self, code: ApplicationError, reliable: u64) -> bool {
        let lower = self.pending_reset.as_ref().is_none_or(|pending| reliable < pending.reliable);
        if lower {
            self.pending_reset = Some(Box::new(PendingReset { code, reliable }));
        }
        lower
    }
}
