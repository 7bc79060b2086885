//! [`RawPeer`]: an endpoint, of either role, that speaks no protocol: it writes the bytes it was
//! given on streams and notes what comes back. For breaking the rules of HTTP/3.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId,
};

use crate::net::Net;

/// What to do on a stream of one's own.
#[derive(Clone, Debug)]
pub struct Script {
    /// The stream's direction.
    pub direction: Direction,
    /// What to write.
    pub bytes: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order.
    Fin,
    /// Not at all.
    Open,
    /// With RESET_STREAM.
    Reset(u64),
    /// With RESET_STREAM, when the data has long arrived.
    LateReset(u64),
    /// With RESET_STREAM and STOP_SENDING.
    Cancel(u64),
}

/// A unidirectional stream that stays open.
pub fn uni(bytes: impl Into<Vec<u8>>) -> Script {
    Script { direction: Direction::Unidirectional, bytes: bytes.into(), end: End::Open }
}

/// A bidirectional stream that is finished.
pub fn bidi(bytes: impl Into<Vec<u8>>) -> Script {
    Script { direction: Direction::Bidirectional, bytes: bytes.into(), end: End::Fin }
}

impl Script {
    /// The same stream, ending like this.
    #[must_use]
    pub fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// What a raw peer saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// What came, by stream.
    pub data: BTreeMap<StreamId, Vec<u8>>,
    /// Streams that the other side finished.
    pub finished: Vec<StreamId>,
    /// Streams that the other side reset.
    pub resets: BTreeMap<StreamId, u64>,
    /// Streams that the other side wants no more of.
    pub stops: BTreeMap<StreamId, u64>,
    /// Why the connection ended.
    pub closed: Option<CloseReason>,
}

impl Seen {
    /// The application code with which the other side closed.
    pub fn close_code(&self) -> Option<u64> {
        match &self.closed {
            Some(CloseReason::PeerApplication { code, .. }) => Some(code.0),
            _ => None,
        }
    }
}

/// An endpoint without a protocol.
#[derive(Default)]
pub struct RawPeer {
    /// Streams to open.
    pub scripts: VecDeque<Script>,
    /// What to answer on bidirectional streams of the other side, in their order; the last stays.
    pub answers: VecDeque<Script>,
    /// What was seen.
    pub seen: Rc<RefCell<Seen>>,
    /// Incoming streams are not read.
    pub is_deaf: bool,
    /// The scripts begin before the handshake is complete, if that can be.
    pub is_early: bool,
    /// Called for every stream that the other side opens.
    pub on_stream: Option<Box<dyn FnMut()>>,
}

impl std::fmt::Debug for RawPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawPeer").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl RawPeer {
    /// One that opens these streams.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self { scripts: scripts.into_iter().collect(), ..Self::default() }
    }

    /// Opens the streams of the script, as far as the other side allows.
    pub fn run(&mut self, cx: &mut SessionContext<'_, Self>) {
        let mut blocked = Vec::new();
        while let Some(script) = self.scripts.pop_front() {
            let stream = RawStream { answer: Some(script.clone()), late_reset: None };
            if blocked.contains(&script.direction)
                || cx.open_stream(script.direction, |_| stream).is_err()
            {
                blocked.push(script.direction);
                self.scripts.push_back(script);
                if blocked.len() > self.scripts.len() {
                    return;
                }
            }
        }
    }
}

impl Net<RawPeer> {
    /// Has the first client open these streams as well, and gives that a second.
    pub fn run_scripts(&mut self, scripts: impl IntoIterator<Item = Script>) {
        let now = self.now;
        self.clients[0].enter(now, |session, cx| {
            session.scripts = scripts.into_iter().collect();
            session.run(cx);
        });
        self.kick();
        self.run_for(Duration::from_secs(1));
    }
}

impl Session for RawPeer {
    type Stream = RawStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<RawStream, Refuse> {
        if let Some(on_stream) = &mut self.on_stream {
            on_stream();
        }
        let mut answer = None;
        if id.direction() == Direction::Bidirectional {
            answer = match self.answers.len() {
                0 | 1 => self.answers.front().cloned(),
                _ => self.answers.pop_front(),
            };
            cx.wake_stream(id);
        }
        Ok(RawStream { answer, late_reset: None })
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.run(cx);
    }

    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.is_early {
            self.run(cx);
        }
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        _direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.run(cx);
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        for id in cx.streams().ids() {
            cx.wake_stream(id);
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.seen.borrow_mut().closed = Some(why.clone());
    }
}

/// A stream of it.
#[derive(Debug)]
pub struct RawStream {
    answer: Option<Script>,
    late_reset: Option<u64>,
}

impl Stream<RawPeer> for RawStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, RawPeer>) {
        if cx.session().is_deaf {
            return;
        }
        let id = cx.id();
        let seen = Rc::clone(&cx.session().seen);
        let mut seen = seen.borrow_mut();
        let data = seen.data.entry(id).or_default();
        while let Some(chunk) = cx.read() {
            data.extend_from_slice(&chunk);
        }
        if cx.is_read_finished() {
            seen.finished.push(id);
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, RawPeer>) {
        if let Some(code) = self.late_reset {
            let _ = cx.reset(ApplicationError(code));
        }
        let Some(answer) = self.answer.take() else { return };
        let _ = cx.write_all(Bytes::from(answer.bytes));
        let _ = match answer.end {
            End::Open => Ok(()),
            End::LateReset(code) => {
                self.late_reset = Some(code);
                let at = cx.now() + Duration::from_millis(300);
                cx.session_context().set_alarm(Some(at));
                Ok(())
            }
            End::Fin => cx.finish(),
            End::Reset(code) => cx.reset(ApplicationError(code)),
            End::Cancel(code) => {
                let _ = cx.stop_sending(ApplicationError(code));
                cx.reset(ApplicationError(code))
            }
        };
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, RawPeer>) {
        let id = cx.id();
        cx.session().seen.borrow_mut().resets.insert(id, code.0);
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, RawPeer>) {
        let id = cx.id();
        cx.session().seen.borrow_mut().stops.insert(id, code.0);
    }
}
