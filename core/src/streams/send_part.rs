//! [`SendPart`]: the sending part of one stream: its state, its buffer, its flow control and FIN
//! (RFC 9000 §3.1). It decides what may be sent; who goes first is decided elsewhere.

use super::flow_control::SendWindow;
use super::send_buffer::SendBuffer;
use super::send_state::{SendInput, SendState};
use crate::error::{ApplicationError, StreamError};
use crate::rare::{Blank, Rare};

/// The sending part of a stream.
#[derive(Debug)]
pub(super) struct SendPart {
    pub(super) state: SendState,
    pub(super) buffer: SendBuffer,
    pub(super) window: SendWindow,
    fin: Fin,
    pub(super) abort: Rare<SendAbort>,
    /// `write` did not take everything.
    starved: bool,
}

/// What new data can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// There is nothing to send.
    Idle,
    /// This stream's flow control holds data back.
    Blocked,
    /// There is data, if the connection's flow control lets it.
    Data,
    /// There is only FIN.
    FinOnly,
}

/// How a sending part ends before its data does.
#[derive(Debug, Default)]
pub(super) struct SendAbort {
    /// What the peer's STOP_SENDING said.
    pub(super) stopped: Option<ApplicationError>,
    /// What our RESET_STREAM says.
    pub(super) reset: ApplicationError,
    /// How much a RESET_STREAM_AT is to deliver.
    pub(super) reset_at: Option<u64>,
    /// The peer has the newest RESET_STREAM_AT.
    pub(super) reset_at_acked: bool,
}

impl Blank for SendAbort {
    const BLANK: &'static Self =
        &Self { stopped: None, reset: ApplicationError(0), reset_at: None, reset_at_acked: false };
}

impl SendPart {
    /// A sending part that may send `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        Self {
            state: SendState::Ready,
            buffer: SendBuffer::default(),
            window: SendWindow::new(max),
            fin: Fin::Open,
            abort: Rare::NONE,
            starved: false,
        }
    }

    /// Makes it as new, but for a little memory and its window.
    pub(super) fn retire(&mut self) {
        self.buffer.retire();
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self { buffer, ..Self::new(0) };
    }

    /// Whether the application may write.
    pub(super) fn check_writable(&self) -> Result<(), StreamError> {
        if let Some(code) = self.abort.stopped {
            return Err(StreamError::Stopped(code));
        }
        if !self.state.carries_data() || self.fin != Fin::Open || self.abort.reset_at.is_some() {
            return Err(StreamError::Finished);
        }
        Ok(())
    }

    /// Room for unsent data under `limit` bytes.
    pub(super) fn room(&self, limit: usize) -> usize {
        limit.saturating_sub(self.buffer.unsent() as usize)
    }

    /// Remembers that `write` left something.
    pub(super) const fn starve(&mut self) {
        self.starved = true;
    }

    /// Whether a writer that was left with something should try again. True once.
    pub(super) fn take_writable(&mut self, limit: usize) -> bool {
        let roomy = self.buffer.unsent() as usize <= limit / 2;
        roomy && self.check_writable().is_ok() && std::mem::take(&mut self.starved)
    }

    /// The application has written everything.
    pub(super) const fn finish(&mut self) {
        self.fin = Fin::Due;
    }

    /// What new data can do now.
    pub(super) fn outlook(&self) -> Outlook {
        if !self.state.carries_data() {
            Outlook::Idle
        } else if self.buffer.unsent() > 0 {
            match self.window.available() {
                0 => Outlook::Blocked,
                _ => Outlook::Data,
            }
        } else if self.fin == Fin::Due && self.abort.reset_at.is_none() {
            Outlook::FinOnly
        } else {
            Outlook::Idle
        }
    }

    /// Whether a frame that ends at `end` carries FIN.
    pub(super) fn ends_at(&self, end: u64) -> bool {
        self.abort.reset_at.is_none()
            && matches!(self.fin, Fin::Due | Fin::Sent)
            && end == self.buffer.end()
    }

    /// Notes that `len` new bytes were sent, with FIN or without.
    pub(super) fn on_sent(&mut self, len: u64, fin: bool) {
        self.buffer.on_sent(len);
        self.window.spend(len);
        self.on_frame(fin);
    }

    /// Notes that a frame was sent, with FIN or without.
    pub(super) fn on_frame(&mut self, fin: bool) {
        if fin {
            self.fin = Fin::Sent;
            self.state.apply(SendInput::SendFin);
        } else {
            self.state.apply(SendInput::SendData);
        }
    }

    /// Notes that the peer has a frame. Returns whether it has everything now.
    pub(super) fn on_acked(&mut self, offset: u64, len: u64, fin: bool) -> bool {
        if !self.state.carries_data() {
            return false;
        }
        self.buffer.on_acked(offset, len);
        if fin {
            self.fin = Fin::Acked;
        }
        if self.abort.reset_at.is_some() {
            return self.settle_reset_at();
        }
        let complete = self.fin == Fin::Acked && self.buffer.is_acked();
        complete && self.state.apply(SendInput::AllAcked)
    }

    /// Notes that a frame was lost.
    pub(super) fn on_lost(&mut self, offset: u64, len: u64, fin: bool) {
        // RFC 9000 §13.3: after RESET_STREAM, data is not resent.
        if !self.state.carries_data() {
            return;
        }
        self.buffer.on_lost(offset, len);
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Due;
        }
    }

    /// Ends the stream early. Returns false if it has ended otherwise.
    pub(super) fn reset(&mut self, code: ApplicationError) -> bool {
        if !self.state.apply(SendInput::SendReset) {
            return false;
        }
        // What a RESET_STREAM_AT said already does not change.
        if self.abort.reset_at.is_none() {
            self.abort.reset = code;
        }
        self.buffer.clear();
        true
    }

    /// Whether everything up to the end is acknowledged or in flight.
    pub(super) fn has_sent_all(&self) -> bool {
        let ended = self.abort.reset_at.is_some() || matches!(self.fin, Fin::Sent | Fin::Acked);
        ended && self.buffer.unsent() == 0 && self.buffer.first_lost().is_none()
    }

    /// Ends the sending part if it is delivered as far as RESET_STREAM_AT promised. Returns whether
    /// it is.
    pub(super) fn settle_reset_at(&mut self) -> bool {
        let complete = self.abort.reset_at_acked && self.buffer.is_acked();
        complete && self.state.apply(SendInput::AllAcked)
    }

    /// Takes everything back that was sent in rejected 0-RTT packets.
    pub(super) fn rewind(&mut self) {
        if self.state.carries_data() {
            self.state = SendState::Ready;
            if let Some(abort) = self.abort.get_mut() {
                abort.reset_at_acked = false;
            }
            self.buffer.rewind();
            if self.fin != Fin::Open {
                self.fin = Fin::Due;
            }
        } else {
            self.buffer = SendBuffer::default();
        }
    }
}

/// What became of FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    /// The application may still write.
    Open,
    /// It has to be sent, or sent again.
    Due,
    /// It is in flight.
    Sent,
    /// The peer has it.
    Acked,
}
