//! The echo's client: [`ChatClient`] sends one message on one stream and checks what comes back.
//! The program that runs it looks at [`ChatClient::outcome`] and closes the connection.

use std::time::Duration;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId, Time,
};

use super::{Message, Say, codes};
use crate::ending::ended_early;

/// Is given pieces of the echo.
pub type Show = Box<dyn FnMut(&[u8])>;

/// What a client does.
pub struct ChatPlan {
    /// What to send.
    pub message: Message,
    /// It is given up when no more of its echo has come for so long.
    pub patience: Duration,
    /// The stream is abandoned once so many bytes have come back.
    pub abort_after: Option<u64>,
    /// Is given a line for everything that happens.
    pub say: Say,
    /// Is given the echo as it comes.
    pub show: Show,
}

impl std::fmt::Debug for ChatPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatPlan").field("message", &self.message).finish_non_exhaustive()
    }
}

/// How a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatReport {
    /// How much of it came back, in bytes.
    pub echoed: u64,
    /// From the start of its stream to the end of the echo.
    pub elapsed: Duration,
    /// Whether it was sent as early data, and taken as such.
    pub early: bool,
}

/// One connection that sends one message.
#[derive(Debug)]
pub struct ChatClient {
    plan: ChatPlan,
    /// When the stream was opened.
    started: Option<Time>,
    /// The stream was opened before the handshake was complete.
    early: bool,
    report: Option<ChatReport>,
    outcome: Option<Result<ChatReport, String>>,
}

/// Its stream.
#[derive(Debug, Default)]
pub struct ChatStream {
    sent: u64,
    echoed: u64,
    finished: bool,
}

impl ChatClient {
    /// A client that sends as soon as it can.
    pub fn new(plan: ChatPlan) -> Self {
        Self { plan, started: None, early: false, report: None, outcome: None }
    }

    /// How it went, once that is certain.
    pub fn outcome(&self) -> Option<&Result<ChatReport, String>> {
        self.outcome.as_ref()
    }

    fn start(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.started.is_some() {
            return;
        }
        self.started = Some(cx.now());
        cx.set_alarm(Some(cx.now() + self.plan.patience));
        // The new stream's on_can_write is called next: it begins to send there.
        if let Err(error) = cx.open_stream(Direction::Bidirectional, |_| ChatStream::default()) {
            self.fail(format!("no stream can be opened: {error}"));
        }
    }

    fn fail(&mut self, why: String) {
        self.outcome.get_or_insert(Err(why));
    }
}

impl Session for ChatClient {
    type Stream = ChatStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<ChatStream, Refuse> {
        Err(Refuse(codes::NO_SUCH_STREAM)) // only clients open streams
    }

    /// This server knows us: the message may travel with the first packet. An echo that is asked
    /// for twice, by whoever repeats our packets, does no harm.
    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.early = true;
        self.start(cx);
    }

    fn on_early_data_settled(&mut self, accepted: bool, _cx: &mut SessionContext<'_, Self>) {
        self.early = accepted; // if not, protoquic sends it again by itself
        (self.plan.say)(if accepted { "early data taken" } else { "early data not taken" });
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        (self.plan.say)("connected");
        self.start(cx);
    }

    /// It has been quiet for too long.
    fn on_alarm(&mut self, _cx: &mut SessionContext<'_, Self>) {
        let seconds = self.plan.patience.as_secs_f64();
        self.fail(format!("no echo came for {seconds} s"));
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.fail(ended_early(why)); // unless there is an outcome
        (self.plan.say)("shutting down");
        (self.plan.say)(&format!("closed: {why}"));
    }
}

impl Stream<ChatClient> for ChatStream {
    /// Sends as much as there is room for, and the end after the last byte.
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, ChatClient>) {
        while !self.finished {
            let mut piece = cx.session().plan.message.piece(self.sent, usize::MAX);
            if piece.is_empty() {
                self.finished = true;
                let _ = cx.finish(); // fails only if the server wants no more: see below
                return;
            }
            match cx.write(&mut piece) {
                Ok(0) | Err(_) => return, // on_can_write, or on_stop_sending, will tell
                Ok(len) => self.sent += len as u64,
            }
        }
    }

    fn on_data_available(&mut self, cx: &mut StreamContext<'_, ChatClient>) {
        while let Some(data) = cx.read() {
            self.on_echo(&data, cx);
        }
        if cx.is_read_finished() {
            let session = cx.session();
            let whole = session.plan.message.len();
            if self.echoed < whole {
                session.fail(format!("{} of {whole} bytes came back", self.echoed));
            }
        }
    }

    /// The send-complete notice: the server has the whole message.
    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, ChatClient>) {
        (cx.session().plan.say)(&format!("all {} bytes sent", self.sent));
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, ChatClient>) {
        self.finished = true;
        cx.session().fail(format!("the server stopped us: {code}"));
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, ChatClient>) {
        let session = cx.session();
        if session.report.is_none() {
            session.fail(format!("the server abandoned the echo: {code}"));
        }
    }

    /// Both directions are over: everything is sent, acknowledged, and back.
    fn on_close(&mut self, session: &mut ChatClient) {
        if let Some(report) = session.report {
            session.outcome.get_or_insert(Ok(report));
        }
    }
}

impl ChatStream {
    fn on_echo(&mut self, data: &Bytes, cx: &mut StreamContext<'_, ChatClient>) {
        let now = cx.now();
        let (session, session_cx) = cx.split();
        if !session.plan.message.matches(self.echoed, data) {
            session.fail(format!("the echo is wrong after {} bytes", self.echoed));
        }
        (session.plan.show)(data);
        self.echoed += data.len() as u64;
        session_cx.set_alarm(Some(now + session.plan.patience));
        let enough = session.plan.abort_after.is_some_and(|enough| self.echoed >= enough);
        if enough || self.echoed == session.plan.message.len() {
            let elapsed = now - session.started.unwrap_or(now);
            let report = ChatReport { echoed: self.echoed, elapsed, early: session.early };
            session.report.get_or_insert(report);
        }
        if enough && !std::mem::replace(&mut self.finished, true) {
            // The abortive end of a stream, each direction for itself.
            let _ = cx.reset(codes::ABORTED);
            let _ = cx.stop_sending(codes::ABORTED);
        }
    }
}
