//! The two halves of a stream of the mix: [`Tx`] writes a header and a pattern, [`Rx`] reads and
//! checks them, and both end as planned. This file must not know which end of which stream it is.

use bytes::Bytes;
use protoquic::{ApplicationError, Session, StreamContext, StreamError};

use super::ledger::Flow;
use super::task::{NEVER, Task, fill, mismatch};

/// Writes.
#[derive(Debug)]
pub(super) struct Tx {
    pub(super) header: Bytes,
    pub(super) salt: u64,
    pub(super) offset: u32,
    pub(super) total: u32,
    pub(super) reset_at: u32,
    /// After how much the reader wants no more.
    pub(super) stop_at: u32,
    /// The header's length and whatever else a reset still delivers; `None`: nothing.
    pub(super) reliable: Option<u64>,
    pub(super) ended: bool,
}

impl Tx {
    /// Ends at once.
    pub(super) fn empty() -> Self {
        Self::new(Bytes::new(), 0, 0, NEVER, NEVER)
    }

    pub(super) fn new(header: Bytes, salt: u64, total: u32, reset_at: u32, stop_at: u32) -> Self {
        Self { header, salt, offset: 0, total, reset_at, stop_at, reliable: None, ended: false }
    }

    /// Whether the front still arrives when it is reset.
    pub(super) fn reliably(self, reliable: bool) -> Self {
        let front = self.header.len() as u64 + u64::from(reliable_part(self.reset_at));
        Self { reliable: reliable.then_some(front), ..self }
    }

    fn reset<S: Session>(&self, cx: &mut StreamContext<'_, S>) -> Result<(), StreamError> {
        match self.reliable.map(|front| cx.reset_at(RELIABLE, front)) {
            // The peer may not take RESET_STREAM_AT.
            None | Some(Err(StreamError::NotSupported)) => cx.reset(RESET),
            Some(done) => done,
        }
    }

    pub(super) fn pump<S: Session>(&mut self, cx: &mut StreamContext<'_, S>) {
        while !self.ended {
            if !self.header.is_empty() {
                if cx.write(&mut self.header).is_err() || !self.header.is_empty() {
                    return;
                }
                continue;
            }
            let end = self.total.min(self.reset_at);
            if self.offset == end {
                self.ended = true;
                let result = if self.reset_at < self.total { self.reset(cx) } else { cx.finish() };
                // The peer may have stopped us, and the connection may be closed, just before.
                let _ = result;
                return;
            }
            let room = cx.writable().min(grain(self.total));
            if room == 0 {
                return;
            }
            let len = room.min((end - self.offset) as usize);
            let mut chunk = vec![0; len];
            fill(self.salt, self.offset.into(), &mut chunk);
            let mut chunk = Bytes::from(chunk);
            match cx.write(&mut chunk) {
                Ok(written) => {
                    assert_eq!(written, len, "{} had room for {room}", cx.id());
                    self.offset += len as u32;
                }
                Err(_) => return,
            }
        }
    }

    pub(super) fn on_stopped(&mut self, code: ApplicationError) {
        assert!(self.stop_at != NEVER && code == STOP, "stopped with {code}, which nobody planned");
        self.ended = true;
    }
}

/// Reads and checks.
#[derive(Debug)]
pub(super) struct Rx {
    /// The header so far, if one comes.
    pub(super) header: Option<Vec<u8>>,
    pub(super) salt: u64,
    pub(super) offset: u32,
    /// How much comes; unknown before the header is there.
    pub(super) total: u32,
    pub(super) reset_at: u32,
    pub(super) stop_at: u32,
    pub(super) stopped: bool,
    pub(super) over: Option<Flow>,
}

impl Rx {
    /// Expects a header first.
    pub(super) fn with_header() -> Self {
        Self { header: Some(Vec::new()), ..Self::new(0, 0, NEVER, NEVER) }
    }

    pub(super) fn new(salt: u64, total: u32, reset_at: u32, stop_at: u32) -> Self {
        Self { header: None, salt, offset: 0, total, reset_at, stop_at, stopped: false, over: None }
    }

    /// Expects what comes behind the header.
    pub(super) fn expect(&mut self, salt: u64, total: u32, reset_at: u32, stop_at: u32) {
        *self = Self::new(salt, total, reset_at, stop_at);
    }

    /// Reads on towards the end of the header. Returns the task once it is there.
    pub(super) fn read_header<S: Session>(
        &mut self,
        cx: &mut StreamContext<'_, S>,
    ) -> Option<Task> {
        let header = self.header.as_mut()?;
        while header.len() < Task::LEN {
            let piece = cx.read_up_to(Task::LEN - header.len())?;
            header.extend_from_slice(&piece);
        }
        let header = header.as_slice().try_into().expect("it has the length of a task");
        Some(Task::decode(header))
    }

    /// Reads at most so many bytes of the pattern. Returns how many were read.
    pub(super) fn pump<S: Session>(
        &mut self,
        cx: &mut StreamContext<'_, S>,
        appetite: usize,
    ) -> usize {
        let mut eaten = 0;
        while eaten < appetite && self.over.is_none() {
            if self.offset >= self.stop_at && !self.stopped {
                self.stopped = true;
                let _ = cx.stop_sending(STOP);
            }
            let Some(piece) = cx.read_up_to(appetite - eaten) else { break };
            if let Some(at) = mismatch(self.salt, self.offset.into(), &piece) {
                panic!("{} has a wrong byte at {at}", cx.id());
            }
            eaten += piece.len();
            self.offset += piece.len() as u32;
            assert!(self.offset <= self.total, "{} goes on past its end", cx.id());
            assert!(!piece.is_empty(), "{} gave nothing as something", cx.id());
        }
        if self.over.is_none() && cx.is_read_finished() {
            assert_eq!(self.offset, self.total, "{} ended early", cx.id());
            assert!(self.reset_at >= self.total, "{} was to be reset", cx.id());
            self.over = Some(Flow::Whole);
        }
        eaten
    }

    pub(super) fn on_reset(&mut self, code: ApplicationError) {
        if self.header.is_none() {
            let planned = self.reset_at < self.total && [RESET, RELIABLE].contains(&code);
            let front = reliable_part(self.reset_at);
            assert!(
                code != RELIABLE || self.stopped || self.offset >= front,
                "only {} of {front} bytes came before the reset",
                self.offset
            );
            let wanted = self.stopped && code == STOP;
            let unheard = code == UNHEARD;
            assert!(planned || wanted || unheard, "reset with {code}, which nobody planned");
        }
        self.over = Some(Flow::Cut);
    }
}

/// The writer gives up, as planned.
pub(super) const RESET: ApplicationError = ApplicationError(77);
/// The writer gives up, as planned, and what it sent up to the [`reliable_part`] still arrives.
pub(super) const RELIABLE: ApplicationError = ApplicationError(78);
/// The reader wants no more, as planned.
pub(super) const STOP: ApplicationError = ApplicationError(88);
/// The question was cut before it was understood.
pub(super) const UNHEARD: ApplicationError = ApplicationError(99);
/// How much is still delivered of a stream that is reliably reset after so much.
pub(super) fn reliable_part(reset_at: u32) -> u32 {
    reset_at / 2
}

/// How much is written at once: mostly much, and here and there very little.
fn grain(total: u32) -> usize {
    match total % 8 {
        0 if total < 3000 => 1,
        1 => 100,
        2 => 1500,
        _ => 16 << 10,
    }
}
