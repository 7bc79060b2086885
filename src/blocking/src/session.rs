//! [`BlockingSession`] and [`BlockingStream`]: the I/O thread's side. They carry bytes between the
//! connection and what the threads share, in whichever direction there is room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protoquic_core::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamError, StreamId,
};

use crate::Error;
use crate::connection::{ConnectionState, MAX_DATAGRAMS, Order, Phase, SharedConnection};
use crate::listener::SharedListener;
use crate::stream::{MAX_RECEIVED, Origin, ReadEnd, SharedStream};

/// The numbers of connections that have ended, for who routes orders to them.
pub(crate) type Obituaries = Rc<RefCell<Vec<u64>>>;

/// One connection.
pub(crate) struct BlockingSession {
    connection: Arc<SharedConnection>,
    /// Who waits for it, until its handshake is complete.
    listener: Option<Arc<SharedListener>>,
    /// Streams that wait for the handshake or for the peer's permission: bidirectional ones, and
    /// unidirectional ones.
    unopened: [VecDeque<Arc<SharedStream>>; 2],
    /// Streams that were alive when the connection ended.
    orphans: Vec<Arc<SharedStream>>,
    closing: Option<(ApplicationError, String)>,
    obituaries: Obituaries,
}

/// One stream.
pub(crate) struct BlockingStream {
    stream: Arc<SharedStream>,
    /// Nothing is owed to the peer any more.
    is_sent: bool,
    finished: bool,
}

impl BlockingSession {
    pub(crate) fn new(
        connection: Arc<SharedConnection>,
        listener: Option<Arc<SharedListener>>,
        obituaries: Obituaries,
    ) -> Self {
        Self {
            connection,
            listener,
            unopened: Default::default(),
            orphans: Vec::new(),
            closing: None,
            obituaries,
        }
    }

    fn obey(&mut self, order: Order, cx: &mut SessionContext<'_, Self>) {
        match order {
            Order::Open(stream) => {
                let direction = stream.direction;
                self.unopened[slot(direction)].push_back(stream);
                self.open(direction, cx);
            }
            Order::Look(id) => cx.wake_stream(id),
            Order::Datagram(data) => {
                // If it finds no room now it is dropped, as any datagram may be.
                let _ = cx.send_datagram(data, protoquic_core::DatagramOptions::default());
            }
            Order::Close { code, reason, at_once: true } => cx.close(code, &reason),
            Order::Close { code, reason, at_once: false } => self.begin_closing(code, reason, cx),
        }
    }

    /// Opens the streams that wait, as far as the peer allows.
    fn open(&mut self, direction: Direction, cx: &mut SessionContext<'_, Self>) {
        if self.closing.is_some() {
            return self.fail_unopened(&Error::Finished);
        }
        while let Some(stream) = self.unopened[slot(direction)].pop_front() {
            let object = BlockingStream::new(Arc::clone(&stream));
            match cx.open_stream(direction, |_| object) {
                Ok(id) => stream.state.change(|state| state.id = Some(id)),
                Err(StreamError::LimitReached) => {
                    self.unopened[slot(direction)].push_front(stream);
                    return; // on_can_create_outgoing_stream will tell
                }
                Err(_) => self.orphans.push(stream), // the connection is over
            }
        }
    }

    fn fail_unopened(&mut self, why: &Error) {
        for stream in self.unopened.iter_mut().flat_map(std::mem::take) {
            stream.state.change(|state| state.fail(why));
        }
    }

    /// Ends all streams in order; the connection ends when that is known to have arrived, or when
    /// the time for it is over.
    fn begin_closing(
        &mut self,
        code: ApplicationError,
        reason: String,
        cx: &mut SessionContext<'_, Self>,
    ) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some((code, reason));
        self.fail_unopened(&Error::Finished);
        for id in cx.streams().ids() {
            if let Some(object) = cx.streams().get(id) {
                object.stream.state.change(|state| {
                    state.finish |= state.write_end.is_none();
                    state.write_end.get_or_insert(Error::Finished);
                });
            }
            cx.wake_stream(id);
        }
        cx.set_alarm(Some(cx.now() + self.connection.linger));
        self.close_if_done(cx);
    }

    /// Closes a connection that is closing once nothing is owed on its streams.
    fn close_if_done(&mut self, cx: &mut SessionContext<'_, Self>) {
        let Some((code, reason)) = &self.closing else { return };
        let streams = cx.streams();
        let is_owed = |id: &StreamId| streams.get(*id).is_some_and(|stream| !stream.is_sent);
        if !streams.ids().iter().any(is_owed) {
            cx.close(*code, reason);
        }
    }

    fn note_datagram_size(&self, cx: &SessionContext<'_, Self>) {
        let max = cx.max_datagram_size();
        self.connection.state.with(|state| state.max_datagram = max);
    }
}

impl Session for BlockingSession {
    type Stream = BlockingStream;

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let (peer, alpn) = (cx.connection().peer_address(), cx.connection().alpn());
        let alpn = alpn.map(<[u8]>::to_vec);
        let max_datagram = cx.max_datagram_size();
        self.connection.state.change(|state| {
            (state.peer, state.alpn, state.max_datagram) = (peer, alpn, max_datagram);
            state.phase = Phase::Established;
        });
        if let Some(listener) = self.listener.take() {
            let connection = Arc::clone(&self.connection);
            let is_welcome = listener.state.change(|state| {
                state.handshaking -= 1;
                if state.end.is_none() {
                    state.pending.push_back(connection);
                }
                state.end.is_none()
            });
            if !is_welcome {
                cx.close(ApplicationError(0), "nobody accepts it");
            }
        }
        self.open(Direction::Bidirectional, cx);
        self.open(Direction::Unidirectional, cx);
    }

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<BlockingStream, Refuse> {
        if self.closing.is_some() {
            return Err(Refuse::default());
        }
        // A stream that is read to its end makes room for another. So those that nobody accepts
        // stay unread, and their number is bounded.
        let queue = |state: &mut ConnectionState| (state.patience, state.incoming.len());
        let (patience, queued) = self.connection.state.with(queue);
        let origin = Origin::Peers { id, may_read: queued < MAX_READ_AHEAD };
        let connection = Arc::clone(&self.connection);
        let stream = SharedStream::new(connection, id.direction(), patience, origin);
        self.connection.state.change(|state| state.incoming.push_back(Arc::clone(&stream)));
        Ok(BlockingStream::new(stream))
    }

    fn on_wake(&mut self, cx: &mut SessionContext<'_, Self>) {
        let orders = self.connection.state.change(|state| {
            state.is_woken = false;
            state.waiting_datagrams = 0;
            std::mem::take(&mut state.orders)
        });
        for order in orders {
            self.obey(order, cx);
        }
        self.note_datagram_size(cx);
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.open(direction, cx);
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        let data = Bytes::copy_from_slice(&data); // it may wait for long
        self.connection.state.change(|state| {
            if state.datagrams.len() >= MAX_DATAGRAMS {
                state.datagrams.pop_front();
            }
            state.datagrams.push_back(data);
        });
        self.note_datagram_size(cx);
    }

    /// The time to deliver what was written is over.
    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        if let Some((code, reason)) = &self.closing {
            cx.close(*code, reason);
        }
    }

    /// The application goes: as if it had closed every connection.
    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.begin_closing(ApplicationError(0), String::new(), cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        let error = Error::Closed(why.clone());
        if let Some(listener) = self.listener.take() {
            listener.state.with(|state| state.handshaking -= 1);
        }
        let orders = self.connection.state.change(|state| {
            state.phase = Phase::Over(error.clone());
            std::mem::take(&mut state.orders)
        });
        for order in orders {
            if let Order::Open(stream) = order {
                self.orphans.push(stream);
            }
        }
        self.fail_unopened(&error);
        for stream in self.orphans.drain(..) {
            stream.state.change(|state| state.fail(&error));
        }
        self.obituaries.borrow_mut().push(self.connection.number);
    }
}

impl BlockingStream {
    fn new(stream: Arc<SharedStream>) -> Self {
        let is_sent = !stream.sends();
        Self { stream, is_sent, finished: false }
    }

    fn receive(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        self.stream.state.change(|state| {
            state.is_ordered = false;
            if let Some(code) = state.stop.take() {
                let _ = cx.stop_sending(code); // fails if the stream is over, which is as good
            }
            if state.read_end.is_some() || !state.may_read {
                return;
            }
            state.is_starved = false;
            loop {
                let room = MAX_RECEIVED - state.received.len().min(MAX_RECEIVED);
                if room == 0 {
                    state.is_starved = true;
                    break;
                }
                let Some(data) = cx.read_up_to(room) else { break };
                state.received.extend(&data[..]);
            }
            if cx.is_read_finished() {
                state.read_end = Some(ReadEnd::Finished);
            }
        });
    }

    fn send(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        let is_reset = self.stream.state.change(|state| {
            state.is_ordered = false;
            if let Some(code) = state.reset.take() {
                let _ = cx.reset(code); // likewise
                return true;
            }
            while !state.unsent.is_empty() {
                let room = cx.writable().min(state.unsent.len());
                if room == 0 {
                    break; // on_can_write, or on_stop_sending, will tell
                }
                let piece = state.unsent.split_to(room).freeze();
                let _ = cx.write_all(piece); // there is room
            }
            if state.finish && state.unsent.is_empty() && !self.finished {
                self.finished = true;
                let _ = cx.finish(); // an error: the peer wants no more
            }
            false
        });
        if is_reset {
            self.on_sent(cx);
        }
    }

    /// Nothing is owed to the peer any more.
    fn on_sent(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        self.is_sent = true;
        let (session, cx) = cx.split();
        session.close_if_done(cx);
    }
}

impl Stream<BlockingSession> for BlockingStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        self.receive(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        self.send(cx);
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, BlockingSession>) {
        if !self.stream.sends() {
            // It is over, which makes room for another: nobody shall have to accept it.
            let is_another = |stream: &Arc<SharedStream>| !Arc::ptr_eq(stream, &self.stream);
            cx.session().connection.state.with(|state| state.incoming.retain(is_another));
        }
        self.stream.state.change(|state| {
            state.read_end.get_or_insert(ReadEnd::Failed(Error::Reset(code)));
        });
    }

    fn on_stop_sending(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, BlockingSession>,
    ) {
        self.stream.state.change(|state| {
            state.write_end = Some(Error::Stopped(code));
            state.unsent.clear();
        });
        self.on_sent(cx);
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, BlockingSession>) {
        self.stream.state.change(|state| state.is_delivered = true);
        self.on_sent(cx);
    }

    fn on_close(&mut self, session: &mut BlockingSession) {
        let is_orphan = self.stream.state.with(|state| {
            let reads = self.stream.receives() && state.read_end.is_none();
            reads || self.stream.sends() && !self.is_sent
        });
        if is_orphan {
            session.orphans.push(Arc::clone(&self.stream));
        }
    }
}

fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Bidirectional => 0,
        Direction::Unidirectional => 1,
    }
}

/// How many streams of a connection are read before they are accepted.
const MAX_READ_AHEAD: usize = 128;
