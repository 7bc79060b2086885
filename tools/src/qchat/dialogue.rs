//! [`Dialogue`]: a client that somebody types into. Lines come from outside, at any time, by
//! [`Dialogue::send`]; each echo is shown with the time it took. All lines share one stream, so they
//! come back in order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId, Time,
};

use super::{Say, codes};
use crate::ending::ended_early;

/// Is given a line that came back, and how long it was away.
pub type ShowLine = Box<dyn FnMut(&[u8], Duration)>;

/// One connection with one stream that stays open.
pub struct Dialogue {
    say: Say,
    show: ShowLine,
    stream: Option<StreamId>,
    /// Lines that found no room yet.
    unsent: VecDeque<Bytes>,
    /// How many bytes they have.
    unsent_len: usize,
    /// Lines whose echo is not whole yet: how many bytes are missing, and when each was typed.
    awaited: VecDeque<(usize, Time)>,
    /// The beginning of the first of them.
    partial: Vec<u8>,
    /// Nothing more will be typed.
    ending: bool,
    outcome: Option<Result<(), String>>,
}

/// Its stream. All it needs is in the session, where lines come in.
#[derive(Debug)]
pub struct DialogueStream;

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialogue").field("awaited", &self.awaited.len()).finish_non_exhaustive()
    }
}

impl Dialogue {
    /// A dialogue to be had.
    pub fn new(say: Say, show: ShowLine) -> Self {
        Self {
            say,
            show,
            stream: None,
            unsent: VecDeque::new(),
            unsent_len: 0,
            awaited: VecDeque::new(),
            partial: Vec::new(),
            ending: false,
            outcome: None,
        }
    }

    /// Whether another line should be sent now; otherwise the server, or the network, is slower than
    /// who types.
    pub fn has_room(&self) -> bool {
        self.stream.is_some() && self.unsent_len < MAX_UNSENT
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Result<(), String>> {
        self.outcome.as_ref()
    }

    /// Sends a line, its end included.
    pub fn send(&mut self, line: Bytes, cx: &mut SessionContext<'_, Self>) {
        if line.is_empty() {
            return;
        }
        self.awaited.push_back((line.len(), cx.now()));
        self.unsent_len += line.len();
        self.unsent.push_back(line);
        self.wake(cx);
    }

    /// There are no more lines: the dialogue ends when the last one has come back.
    pub fn finish(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.ending = true;
        self.wake(cx);
    }

    /// Has the stream look at what there is to send.
    fn wake(&self, cx: &mut SessionContext<'_, Self>) {
        if let Some(id) = self.stream {
            cx.wake_stream(id);
        }
    }

    /// Cuts the echo into the lines that were typed.
    fn on_echo(&mut self, mut data: &[u8], now: Time) {
        while let Some((missing, typed)) = self.awaited.front_mut() {
            let take = data.len().min(*missing);
            let (front, rest) = data.split_at(take);
            self.partial.extend_from_slice(front);
            *missing -= take;
            data = rest;
            if *missing > 0 {
                return;
            }
            (self.show)(&self.partial, now - *typed);
            self.partial.clear();
            self.awaited.pop_front();
        }
        if !data.is_empty() {
            self.fail("more came back than was sent".to_owned());
        }
    }

    fn fail(&mut self, why: String) {
        self.outcome.get_or_insert(Err(why));
    }
}

impl Session for Dialogue {
    type Stream = DialogueStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<DialogueStream, Refuse> {
        Err(Refuse(codes::NO_SUCH_STREAM))
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        (self.say)("connected");
        match cx.open_stream(Direction::Bidirectional, |_| DialogueStream) {
            Ok(id) => self.stream = Some(id),
            Err(error) => self.fail(format!("no stream can be opened: {error}")),
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.fail(ended_early(why)); // unless there is an outcome
        (self.say)("shutting down");
        (self.say)(&format!("closed: {why}"));
    }
}

impl Stream<Dialogue> for DialogueStream {
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Dialogue>) {
        while let Some(mut line) = cx.session().unsent.pop_front() {
            let taken = cx.write(&mut line).unwrap_or(0);
            let session = cx.session();
            session.unsent_len -= taken;
            if !line.is_empty() {
                session.unsent.push_front(line);
                return;
            }
        }
        if cx.session().ending {
            let _ = cx.finish(); // an error: it is finished already
        }
    }

    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Dialogue>) {
        while let Some(data) = cx.read() {
            let now = cx.now();
            cx.session().on_echo(&data, now);
        }
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Dialogue>) {
        cx.session().fail(format!("the server stopped us: {code}"));
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Dialogue>) {
        cx.session().fail(format!("the server abandoned the echo: {code}"));
    }

    fn on_close(&mut self, session: &mut Dialogue) {
        if session.ending && session.awaited.is_empty() {
            session.outcome.get_or_insert(Ok(()));
        }
    }
}

/// Lines that wait beyond this many bytes are left to whoever types them.
const MAX_UNSENT: usize = 64 * 1024;
