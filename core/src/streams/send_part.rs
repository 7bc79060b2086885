//! [`SendPart`]: the sending part of one stream: its state, its buffer, its flow control and FIN
//! (RFC 9000 §3.1). It decides what may be sent; who goes first is decided elsewhere.

use super::flow_control::SendWindow;
use super::send_buffer::SendBuffer;
use super::send_state::{SendInput, SendState};
use crate::error::{ApplicationError, StreamError};

/// The sending part of a stream.
#[derive(Debug)]
pub(super) struct SendPart {
    pub(super) state: SendState,
    pub(super) buffer: SendBuffer,
    pub(super) window: SendWindow,
    fin: Fin,
    /// What the peer's STOP_SENDING said.
    pub(super) stopped: Option<ApplicationError>,
    /// What our RESET_STREAM says.
    pub(super) reset: ApplicationError,
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

impl SendPart {
    /// A sending part that may send `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        Self {
            state: SendState::Ready,
            buffer: SendBuffer::default(),
            window: SendWindow::new(max),
            fin: Fin::Open,
            stopped: None,
            reset: ApplicationError(0),
            starved: false,
        }
    }

    /// Whether the application may write.
    pub(super) fn check_writable(&self) -> Result<(), StreamError> {
        if let Some(code) = self.stopped {
            return Err(StreamError::Stopped(code));
        }
        if !self.state.carries_data() || self.fin != Fin::Open {
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
        } else if self.fin == Fin::Due {
            Outlook::FinOnly
        } else {
            Outlook::Idle
        }
    }

    /// Whether a frame that ends at `end` carries FIN.
    pub(super) fn ends_at(&self, end: u64) -> bool {
        matches!(self.fin, Fin::Due | Fin::Sent) && end == self.buffer.end()
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
        self.reset = code;
        self.buffer.clear();
        true
    }

    /// Takes everything back that was sent in rejected 0-RTT packets.
    pub(super) fn rewind(&mut self) {
        if self.state.carries_data() {
            self.state = SendState::Ready;
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
