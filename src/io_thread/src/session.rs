//! [`CarrierSession`] and [`CarrierStream`]: the I/O thread's side. They carry bytes between the
//! connection and what is shared with the application, in whichever direction there is room.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use protoquic_core::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId,
};

use crate::Error;
use crate::connection::{
    ConnectionState, EarlyOutcome, MAX_DATAGRAMS, Order, Phase, SharedConnection, slot,
};
use crate::listener::SharedListener;
use crate::openings::Openings;
use crate::port::thread_ended;
use crate::stream::{MAX_RECEIVED, MAX_UNSENT, Origin, ReadEnd, SharedStream, StreamState};
use crate::wait::News;

/// The numbers of connections that have ended, for who routes orders to them.
pub(crate) type Obituaries = Rc<RefCell<Vec<u64>>>;

/// One connection.
pub(crate) struct CarrierSession {
    connection: Arc<SharedConnection>,
    /// Who waits for it, until its handshake is complete.
    listener: Option<Arc<SharedListener>>,
    /// Streams that were alive when the connection ended.
    orphans: Vec<Arc<SharedStream>>,
    closing: Option<(ApplicationError, String)>,
    obituaries: Obituaries,
}

/// One stream.
pub(crate) struct CarrierStream {
    stream: Arc<SharedStream>,
    /// Nothing is owed to the peer any more.
    is_sent: bool,
    finished: bool,
    /// Read, and about to be handed on.
    staged: BytesMut,
    /// It has ended as it should.
    is_closed: bool,
}

impl CarrierSession {
    pub(crate) fn new(
        connection: Arc<SharedConnection>,
        listener: Option<Arc<SharedListener>>,
        obituaries: Obituaries,
    ) -> Self {
        Self { connection, listener, orphans: Vec::new(), closing: None, obituaries }
    }

    fn obey(&mut self, order: Order, cx: &mut SessionContext<'_, Self>) {
        match order {
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
        self.connection.open_waiting(direction, cx);
    }

    fn fail_unopened(&mut self, why: &Error) {
        let unopened =
            |state: &mut ConnectionState| state.openings.each_mut().map(Openings::take_all);
        for stream in self.connection.state.with(unopened).into_iter().flatten() {
            stream.state.change(|state| state.fail(why));
        }
    }

    fn note_stats(&self, cx: &mut SessionContext<'_, Self>) {
        let stats = cx.connection().stats();
        self.connection.state.report(|state| {
            state.stats = (state.stats.0 + 1, stats);
            (News::OUT, ())
        });
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

    /// Has somebody accept the connection, once.
    fn offer(&mut self, cx: &mut SessionContext<'_, Self>) {
        if let Some(listener) = self.listener.take()
            && !listener.offer(Arc::clone(&self.connection))
        {
            cx.close(ApplicationError(0), "nobody accepts it");
        }
    }

    /// The connection is over: everybody who waits for anything of it is told.
    fn end(&mut self, error: &Error) {
        if let Some(listener) = self.listener.take() {
            listener.state.with(|state| state.handshaking -= 1);
        }
        self.connection.end(error);
        for stream in self.orphans.drain(..) {
            stream.state.change(|state| state.fail(error));
        }
        self.obituaries.borrow_mut().push(self.connection.number);
    }

    fn note_datagram_size(&self, cx: &SessionContext<'_, Self>) {
        let max = cx.max_datagram_size();
        self.connection.state.with(|state| state.max_datagram = max);
    }
}

impl Session for CarrierSession {
    type Stream = CarrierStream;

    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.note_datagram_size(cx);
        self.connection.state.change(|state| {
            state.phase = Phase::Early;
            state.early = EarlyOutcome::Undecided;
        });
        self.open(Direction::Bidirectional, cx);
        self.open(Direction::Unidirectional, cx);
    }

    fn on_early_data_settled(&mut self, accepted: bool, _cx: &mut SessionContext<'_, Self>) {
        let outcome = if accepted { EarlyOutcome::Accepted } else { EarlyOutcome::Rejected };
        self.connection.state.change(|state| state.early = outcome);
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let (peer, alpn) = (cx.connection().peer_address(), cx.connection().alpn());
        let alpn = alpn.map(<[u8]>::to_vec);
        let max_datagram = cx.max_datagram_size();
        self.connection.state.change(|state| {
            (state.peer, state.alpn, state.max_datagram) = (peer, alpn, max_datagram);
            state.phase = Phase::Established;
        });
        self.offer(cx);
        self.open(Direction::Bidirectional, cx);
        self.open(Direction::Unidirectional, cx);
    }

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<CarrierStream, Refuse> {
        if self.closing.is_some() {
            return Err(Refuse::default());
        }
        if self.listener.is_some() {
            // Early data, which the settings allow: who accepts it need not wait for the handshake.
            self.connection.state.change(|state| state.phase = Phase::Early);
            self.offer(cx);
        }
        // A stream that is read to its end makes room for another. So those that nobody accepts
        // stay unread, and their number is bounded.
        let at = slot(id.direction());
        let queue = |state: &mut ConnectionState| (state.patience, state.incoming[at].len());
        let (patience, queued) = self.connection.state.with(queue);
        let origin = Origin::Peers { id, may_read: queued < MAX_READ_AHEAD };
        let connection = Arc::clone(&self.connection);
        let stream = SharedStream::new(connection, id.direction(), patience, origin);
        self.connection.state.report(|state| {
            state.arrivals += 1;
            state.incoming[at].push_back((state.arrivals, Arc::clone(&stream)));
            (News::IN, ())
        });
        Ok(CarrierStream::new(stream))
    }

    fn on_wake(&mut self, cx: &mut SessionContext<'_, Self>) {
        let (orders, opens, wants_stats) = self.connection.state.report(|state| {
            state.is_woken = false;
            let news = if state.waiting_datagrams > 0 { News::OUT } else { News::NONE };
            state.waiting_datagrams = 0;
            let opens = !state.openings.iter().all(Openings::is_empty);
            let wants_stats = std::mem::take(&mut state.wants_stats);
            (news, (std::mem::take(&mut state.orders), opens, wants_stats))
        });
        if opens {
            self.open(Direction::Bidirectional, cx);
            self.open(Direction::Unidirectional, cx);
        }
        for order in orders {
            self.obey(order, cx);
        }
        if wants_stats {
            self.note_stats(cx);
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
        self.connection.state.report(|state| {
            if state.datagrams.len() >= MAX_DATAGRAMS {
                state.datagrams.pop_front();
            }
            state.datagrams.push_back(data);
            (News::IN, ())
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
        self.end(&Error::Closed(why.clone()));
    }
}

impl Drop for CarrierSession {
    fn drop(&mut self) {
        // Its I/O thread has failed, or else nobody shall find out by waiting.
        let is_over = |state: &mut ConnectionState| matches!(state.phase, Phase::Over(_));
        if !self.connection.state.with(is_over) {
            self.end(&thread_ended());
        }
    }
}

impl CarrierStream {
    pub(crate) fn new(stream: Arc<SharedStream>) -> Self {
        let is_sent = !stream.sends();
        Self { stream, is_sent, finished: false, staged: BytesMut::new(), is_closed: false }
    }

    /// Serves this stream from now on.
    pub(crate) fn serve(&mut self, stream: &Arc<SharedStream>) {
        let spare = std::mem::replace(&mut self.stream, Arc::clone(stream));
        stream.inherit(&spare);
    }

    fn receive(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        while let Some(room) = self.room(cx) {
            // Without the lock, which the reader may want meanwhile.
            let is_starved = fetch(&mut self.staged, room, cx);
            if !self.publish(is_starved, cx.is_read_finished()) {
                return;
            }
        }
    }

    /// How much may be read now; none if nothing is.
    fn room(&self, cx: &mut StreamContext<'_, CarrierSession>) -> Option<usize> {
        self.stream.state.with(|state| {
            state.is_ordered = false;
            if let Some(code) = state.stop.take() {
                let _ = cx.stop_sending(code); // fails if the stream is over, which is as good
            }
            let is_read = state.read_end.is_none() && state.may_read;
            is_read.then(|| MAX_RECEIVED - state.received.len().min(MAX_RECEIVED))
        })
    }

    /// Hands on what was read. Whether the reader has made room for more meanwhile.
    fn publish(&mut self, is_starved: bool, is_end: bool) -> bool {
        let staged = &mut self.staged;
        self.stream.state.report(|state| {
            if state.read_end.is_some() {
                *staged = BytesMut::new(); // nobody wants it any more
                return (News::NONE, false);
            }
            let is_news = is_end || !staged.is_empty();
            if state.received.is_empty() {
                std::mem::swap(&mut state.received, staged);
            } else {
                state.received.extend_from_slice(staged);
            }
            staged.clear();
            if is_end {
                state.read_end = Some(ReadEnd::Finished);
            }
            state.is_starved = is_starved;
            let has_room = is_starved && state.received.len() <= MAX_RECEIVED / 2;
            (if is_news { News::IN } else { News::NONE }, has_room)
        })
    }

    fn send(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        let is_reset = self.stream.state.report(|state| {
            state.is_ordered = false;
            if let Some(code) = state.reset.take() {
                let _ = cx.reset(code); // likewise
                return (News::OUT, true);
            }
            if let Some(priority) = state.priority.take() {
                let _ = cx.set_priority(priority); // likewise
            }
            let before = state.unsent.len();
            pass_on(state, cx);
            if state.finish && state.unsent.is_empty() && !self.finished {
                self.finished = true;
                let _ = cx.finish(); // an error: the peer wants no more
            }
            // Who waits for room found none. Much room at once costs fewer wakes than a little often.
            let has_room = before > MAX_UNSENT / 2 && state.unsent.len() <= MAX_UNSENT / 2;
            (if has_room { News::OUT } else { News::NONE }, false)
        });
        if is_reset {
            self.on_sent(cx);
        }
    }

    /// Nothing is owed to the peer any more.
    fn on_sent(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        self.is_sent = true;
        let (session, cx) = cx.split();
        session.close_if_done(cx);
    }
}

impl Stream<CarrierSession> for CarrierStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        self.receive(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        self.send(cx);
    }

    fn on_reset(&mut self, code: ApplicationError, _cx: &mut StreamContext<'_, CarrierSession>) {
        self.stream.state.change(|state| {
            state.read_end.get_or_insert(ReadEnd::Failed(Error::Reset(code)));
        });
    }

    fn on_stop_sending(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, CarrierSession>,
    ) {
        self.stream.state.change(|state| {
            state.write_end = Some(Error::Stopped(code));
            state.unsent.clear();
        });
        self.on_sent(cx);
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, CarrierSession>) {
        self.stream.state.change(|state| state.is_delivered = true);
        self.on_sent(cx);
    }

    /// What has been handed on outlives it: nothing more can come or go.
    fn on_close(&mut self, session: &mut CarrierSession) {
        self.is_closed = true;
        let (is_orphan, is_lost) = self.stream.state.with(|state| {
            let reads = self.stream.receives() && state.read_end.is_none();
            let is_lost = matches!(state.read_end, Some(ReadEnd::Failed(_)));
            (reads || self.stream.sends() && !self.is_sent, is_lost)
        });
        if is_orphan {
            session.orphans.push(Arc::clone(&self.stream));
        }
        if is_lost && !self.stream.is_ours {
            session.connection.withdraw(&self.stream);
        }
    }
}

/// Takes what has come, as far as there is room. Whether there is more than that.
fn fetch(into: &mut BytesMut, room: usize, cx: &mut StreamContext<'_, CarrierSession>) -> bool {
    while into.len() < room {
        let Some(data) = cx.read_up_to(room - into.len()) else { return false };
        into.extend_from_slice(&data);
    }
    true
}

/// Gives the transport what was written, as far as it has room.
fn pass_on(state: &mut StreamState, cx: &mut StreamContext<'_, CarrierSession>) {
    while !state.unsent.is_empty() {
        let room = cx.writable();
        if room == 0 {
            return; // on_can_write, or on_stop_sending, will tell
        }
        let _ = cx.write_all(state.unsent.pop(room)); // there is room
    }
}

/// How many streams of a connection are read before they are accepted.
const MAX_READ_AHEAD: usize = 128;

impl Drop for CarrierStream {
    fn drop(&mut self) {
        // As for the session.
        if self.is_closed {
            return;
        }
        let receives = self.stream.receives();
        self.stream.state.change(|state| {
            if receives && state.read_end.is_none() || !self.is_sent {
                state.fail(&thread_ended());
            }
        });
    }
}
