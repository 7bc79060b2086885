//! [`EchoClient`]: one of many connections. It does nothing by itself: who runs the phases tells it
//! to open its streams, and then to send the rest; it counts what has been done.

use std::cell::RefCell;
use std::rc::Rc;

use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId,
};

use crate::ending::one_ended_early;
use crate::qchat::Message;

/// What the connections of one thread have done together.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are established.
    pub connected: usize,
    /// Streams whose first byte has come back.
    pub opened: usize,
    /// Streams that have come back whole.
    pub done: usize,
    /// Bytes that have come back.
    pub echoed: u64,
    /// What went wrong first.
    pub failure: Option<String>,
}

/// One connection.
#[derive(Debug)]
pub struct EchoClient {
    message: Message,
    test_bytes: bool,
    counts: Rc<RefCell<Counts>>,
    /// Streams that the server does not allow yet.
    unopened: usize,
    /// How many streams were opened.
    open: usize,
    /// Whether more than the first byte may be sent.
    transfers: bool,
    ends: bool,
}

/// One stream.
#[derive(Debug, Default)]
pub struct EchoClientStream {
    sent: u64,
    echoed: u64,
    finished: bool,
}

impl EchoClient {
    /// A connection whose streams send this message.
    pub fn new(message: Message, test_bytes: bool, counts: Rc<RefCell<Counts>>) -> Self {
        Self { message, test_bytes, counts, unopened: 0, open: 0, transfers: false, ends: false }
    }

    /// Opens so many streams, and sends the first byte of each.
    pub fn open_streams(&mut self, streams: usize, cx: &mut SessionContext<'_, Self>) {
        self.unopened += streams;
        while self.unopened > 0 {
            match cx.open_stream(Direction::Bidirectional, |_| EchoClientStream::default()) {
                Ok(_) => {
                    self.unopened -= 1;
                    self.open += 1;
                }
                Err(protoquic::StreamError::LimitReached) => return,
                Err(error) => return self.fail(format!("a stream cannot be opened: {error}")),
            }
        }
    }

    /// How many streams were opened.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Sends the rest of every stream.
    pub fn transfer(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.transfers = true;
        for id in cx.streams().ids() {
            cx.wake_stream(id);
        }
    }

    /// Closes the connection.
    pub fn end(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.ends = true;
        cx.close(ApplicationError(0), "done");
    }

    fn fail(&self, why: String) {
        self.counts.borrow_mut().failure.get_or_insert(why);
    }
}

impl Session for EchoClient {
    type Stream = EchoClientStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<EchoClientStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, _cx: &mut SessionContext<'_, Self>) {
        self.counts.borrow_mut().connected += 1;
    }

    /// Streams beyond the server's limit have to wait for others to end, and are not all open at
    /// once; but they are served.
    fn on_can_create_outgoing_stream(
        &mut self,
        _direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.open_streams(0, cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if !self.ends {
            self.fail(one_ended_early(why));
        }
    }
}

impl Stream<EchoClient> for EchoClientStream {
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, EchoClient>) {
        let session = cx.session();
        let goal = if session.transfers { session.message.len() } else { 1 };
        while self.sent < goal {
            let most = (goal - self.sent) as usize;
            let mut piece = cx.session().message.piece(self.sent, most);
            match cx.write(&mut piece) {
                Ok(0) | Err(_) => return, // on_can_write, or on_stop_sending, will tell
                Ok(len) => self.sent += len as u64,
            }
        }
        if self.sent == cx.session().message.len() && !self.finished {
            self.finished = true;
            let _ = cx.finish(); // likewise
        }
    }

    fn on_data_available(&mut self, cx: &mut StreamContext<'_, EchoClient>) {
        while let Some(data) = cx.read() {
            let session = cx.session();
            if session.test_bytes && !session.message.matches(self.echoed, &data) {
                session.fail(format!("the echo is wrong after {} bytes", self.echoed));
            }
            let mut counts = session.counts.borrow_mut();
            counts.opened += usize::from(self.echoed == 0);
            self.echoed += data.len() as u64;
            counts.echoed += data.len() as u64;
        }
        if cx.is_read_finished() {
            let (session, whole) = (cx.session(), self.echoed);
            if whole != session.message.len() {
                session.fail(format!("{whole} of {} bytes came back", session.message.len()));
            }
            session.counts.borrow_mut().done += 1;
        }
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, EchoClient>) {
        cx.session().fail(format!("the server stopped a stream: {code}"));
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, EchoClient>) {
        cx.session().fail(format!("the server abandoned a stream: {code}"));
    }
}
