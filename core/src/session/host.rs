//! [`SessionHost`]: a connection, its session and its streams, three disjoint fields under one
//! owner; and [`Host`], the face it shows to whoever feeds it packets. A turn has three parts:
//! packets in, callbacks, packets out. This file must not know the protocol of either side.

use bytes::Bytes;

use super::{Session, SessionContext, Stream, StreamContext, StreamMap};
use crate::connection::{Connection, Event};
use crate::error::{ApplicationError, CloseReason};
use crate::packet_batch::PacketBatch;
use crate::packet_reader::ReceivedPacket;
use crate::packet_writer::PacketWriter;
use crate::time::Time;
use crate::types::{ConnectionId, Direction, StreamId};

/// What a host tells its owner (Chromium: QuicSession::Visitor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Packets with this connection ID belong to this host from now on.
    ConnectionIdIssued(ConnectionId),
    /// Packets with this connection ID no longer belong to this host.
    ConnectionIdRetired(ConnectionId),
    /// The path in use may be dying; whoever owns a client's sockets can give it another.
    PathDegrading,
    /// The connection is over. The host may be dropped; `farewell` is the datagram to answer late
    /// packets with, none if they must not be answered (RFC 9000 §10.2).
    Closed {
        /// Why.
        reason: CloseReason,
        /// The last CONNECTION_CLOSE that was sent, if the peer may still need it.
        farewell: Option<Bytes>,
    },
}

/// The object-safe face of a [`SessionHost`], for dispatchers and event loops.
///
/// Every method may change the [next deadline](Self::next_deadline) and add
/// [notices](Self::pop_notice); look at both after [`run_turn`](Self::run_turn). A host is
/// [`Any`](std::any::Any): who made it can have it back as what it is.
pub trait Host: std::any::Any {
    /// Takes one datagram. No callback runs yet.
    fn process_packet(&mut self, packet: ReceivedPacket);

    /// Takes datagrams that came together. No callback runs yet.
    fn process_batch(&mut self, batch: PacketBatch) {
        for packet in batch {
            self.process_packet(packet);
        }
    }

    /// The deadline has come. No callback runs yet.
    fn on_alarm(&mut self, now: Time);

    /// Runs the callbacks that are due, then writes what there is to send. Called once after a
    /// batch of packets or an alarm. The caller flushes the writer.
    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter);

    /// When [`on_alarm`](Self::on_alarm) wants to be called; `None` if never.
    fn next_deadline(&self) -> Option<Time>;

    /// The next notice.
    fn pop_notice(&mut self) -> Option<Notice>;

    /// Whether there are packets to send that the writer did not take. Once it can be written
    /// again, [`run_turn`](Self::run_turn) wants to be called.
    fn is_write_blocked(&self) -> bool;

    /// Tells the session that the endpoint wants to stop ([`Session::on_shutdown`]).
    fn shut_down(&mut self, now: Time);

    /// Has [`Session::on_wake`] called in the next turn.
    fn wake(&mut self);

    /// Closes the connection at once with an application error code.
    fn close(&mut self, now: Time, code: ApplicationError, reason: &str);

    /// The connection, for its state and statistics.
    fn connection(&self) -> &Connection;
}

/// How far callbacks got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// There are more.
    Part,
    /// None is due, or this turn may have no more.
    All,
}

/// One connection with its session and streams.
pub struct SessionHost<S: Session> {
    connection: Connection,
    session: S,
    streams: StreamMap<S::Stream>,
    /// Streams that are over and whose objects linger.
    lingering: Vec<StreamId>,
    /// Streams to call whether or not there is news for them.
    wakes: Vec<StreamId>,
    /// The session's own alarm.
    alarm: Option<Time>,
    alarm_fired: bool,
    shutdown_asked: bool,
    woken: bool,
    closed: bool,
    notices: Vec<Notice>,
}

impl<S: Session> std::fmt::Debug for SessionHost<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionHost").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}

impl<S: Session> SessionHost<S> {
    /// Puts a session on top of a connection.
    pub fn new(connection: Connection, session: S) -> Self {
        Self {
            connection,
            session,
            streams: StreamMap::default(),
            lingering: Vec::new(),
            wakes: Vec::new(),
            alarm: None,
            alarm_fired: false,
            shutdown_asked: false,
            woken: false,
            closed: false,
            notices: Vec::new(),
        }
    }

    /// The connection, for its state and statistics.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The session.
    pub fn session(&self) -> &S {
        &self.session
    }

    /// Work that starts outside a callback: runs `f` with the session and its context. Follow it
    /// with [`Host::run_turn`].
    pub fn enter<R>(
        &mut self,
        now: Time,
        f: impl FnOnce(&mut S, &mut SessionContext<'_, S>) -> R,
    ) -> R {
        self.with_session(now, f)
    }

    fn with_session<R>(
        &mut self,
        now: Time,
        f: impl FnOnce(&mut S, &mut SessionContext<'_, S>) -> R,
    ) -> R {
        let mut cx = SessionContext {
            connection: &mut self.connection,
            streams: &mut self.streams,
            wakes: &mut self.wakes,
            alarm: &mut self.alarm,
            now,
        };
        f(&mut self.session, &mut cx)
    }

    /// Checks the stream's object out, runs `f` on it and puts it back.
    fn with_stream(
        &mut self,
        now: Time,
        id: StreamId,
        f: impl FnOnce(&mut S::Stream, &mut StreamContext<'_, S>),
    ) {
        let Some(mut stream) = self.streams.take(id) else {
            return;
        };
        let mut cx = StreamContext {
            id,
            session: &mut self.session,
            inner: SessionContext {
                connection: &mut self.connection,
                streams: &mut self.streams,
                wakes: &mut self.wakes,
                alarm: &mut self.alarm,
                now,
            },
        };
        f(&mut stream, &mut cx);
        if !self.lingering.is_empty() && self.lingering.contains(&id) {
            self.drop_stream(id, stream);
        } else {
            self.streams.insert(id, stream);
        }
    }

    /// A stream is over: drops its object, unless it lingers.
    fn drop_stream(&mut self, id: StreamId, mut stream: S::Stream) {
        self.lingering.retain(|lingering| *lingering != id);
        if stream.lingers() {
            self.lingering.push(id);
            self.streams.insert(id, stream);
        } else {
            self.streams.forget(id);
            stream.on_close(&mut self.session);
        }
    }

    /// Runs callbacks, at most as many as are left to this turn: until none is due, or until so many
    /// streams were served that what they have written should leave first.
    fn deliver_events(&mut self, now: Time, left: &mut usize) -> Delivered {
        let (mut served, mut unsent) = (0, 0);
        while *left > 0 {
            *left -= 1;
            if std::mem::take(&mut self.alarm_fired) {
                self.with_session(now, S::on_alarm);
            }
            if std::mem::take(&mut self.shutdown_asked) {
                self.with_session(now, S::on_shutdown);
            }
            if std::mem::take(&mut self.woken) {
                self.with_session(now, S::on_wake);
            }
            if served >= SERVED_AT_ONCE && unsent >= WORTH_SENDING {
                self.deliver_wakes(now); // those who were served may have asked for it
                return Delivered::Part;
            }
            if let Some(event) = self.connection.poll_event() {
                let served_stream = match event {
                    Event::StreamReadable(id) => Some(id),
                    _ => None,
                };
                self.deliver(now, event);
                if let Some(id) = served_stream {
                    served += 1;
                    unsent += self.connection.stream_unsent(id);
                }
            } else if !self.wakes.is_empty() {
                self.deliver_wakes(now);
            } else {
                break;
            }
        }
        Delivered::All
    }

    fn deliver_wakes(&mut self, now: Time) {
        let mut wakes = std::mem::take(&mut self.wakes);
        for id in wakes.drain(..) {
            self.with_stream(now, id, |stream, cx| {
                if cx.id().receives(cx.connection().role()) {
                    stream.on_data_available(cx);
                }
                if cx.id().sends(cx.connection().role()) {
                    stream.on_can_write(cx);
                }
            });
        }
        if self.wakes.is_empty() {
            self.wakes = wakes; // keep the allocation
        }
    }

    fn deliver(&mut self, now: Time, event: Event) {
        match event {
            Event::HandshakeComplete => self.with_session(now, S::on_handshake_complete),
            Event::EarlyDataReady => self.with_session(now, S::on_early_data_ready),
            Event::EarlyDataSettled { accepted } => {
                self.with_session(now, |session, cx| session.on_early_data_settled(accepted, cx));
            }
            Event::HandshakeConfirmed => self.with_session(now, S::on_handshake_confirmed),
            Event::StreamOpened(id) => self.create_incoming_stream(now, id),
            Event::StreamReadable(id) => {
                self.with_stream(now, id, Stream::on_data_available);
            }
            Event::StreamWritable(id) => {
                self.with_stream(now, id, Stream::on_can_write);
            }
            Event::StreamReset { id, code } => {
                self.with_stream(now, id, |stream, cx| stream.on_reset(code, cx));
            }
            Event::StreamStopped { id, code } => {
                self.with_stream(now, id, |stream, cx| stream.on_stop_sending(code, cx));
            }
            Event::StreamExpired(id) => {
                self.with_stream(now, id, Stream::on_deadline_missed);
            }
            Event::StreamAcked(id) => {
                self.with_stream(now, id, Stream::on_all_data_acked);
            }
            Event::StreamClosed(id) => {
                if let Some(stream) = self.streams.take(id) {
                    self.drop_stream(id, stream);
                }
            }
            Event::StreamsAvailable(direction) => self.with_session(now, |session, cx| {
                session.on_can_create_outgoing_stream(direction, cx);
            }),
            Event::DatagramReceived(data) => {
                self.with_session(now, |session, cx| session.on_datagram_received(data, cx));
            }
            Event::DatagramAcked(id) => {
                self.with_session(now, |session, cx| session.on_datagram_acked(id, cx));
            }
            Event::DatagramLost(id) => {
                self.with_session(now, |session, cx| session.on_datagram_lost(id, cx));
            }
            Event::DatagramDropped(id) => {
                self.with_session(now, |session, cx| session.on_datagram_dropped(id, cx));
            }
            Event::NewToken(token) => {
                self.with_session(now, |session, cx| session.on_new_token(token, cx));
            }
            Event::PathDegrading => {
                self.notices.push(Notice::PathDegrading);
                self.with_session(now, S::on_path_degrading);
            }
            Event::PathRecovered => self.with_session(now, S::on_path_recovered),
            Event::PathValidated(path) => {
                self.with_session(now, |session, cx| session.on_path_validated(&path, cx));
            }
            Event::PathFailed(path) => {
                self.with_session(now, |session, cx| session.on_path_failed(&path, cx));
            }
            Event::PathChanged(path) => {
                self.with_session(now, |session, cx| session.on_path_changed(&path, cx));
            }
            Event::Idle => self.on_idle(now),
            Event::ConnectionIdIssued(id) => self.notices.push(Notice::ConnectionIdIssued(id)),
            Event::ConnectionIdRetired(id) => self.notices.push(Notice::ConnectionIdRetired(id)),
        }
    }

    /// Gives memory back, and has the session do likewise.
    fn on_idle(&mut self, now: Time) {
        self.with_session(now, S::on_idle);
        self.streams.shrink();
        self.connection.shrink_events();
        self.wakes.shrink_to_fit();
        self.notices.shrink_to_fit();
    }

    fn create_incoming_stream(&mut self, now: Time, id: StreamId) {
        let made = self.with_session(now, |session, cx| session.create_incoming_stream(id, cx));
        match made {
            Ok(stream) => self.streams.insert(id, stream),
            Err(refuse) => {
                // A stream that ended meanwhile needs no refusal: both calls may fail harmlessly.
                let _ = self.connection.stream_stop_sending(id, refuse.0);
                if id.direction() == Direction::Bidirectional {
                    let _ = self.connection.stream_reset(id, refuse.0);
                }
            }
        }
    }

    fn deliver_close(&mut self) {
        if self.closed {
            return;
        }
        let Some(reason) = self.connection.close_reason().cloned() else {
            return;
        };
        self.closed = true;
        for id in self.streams.ids() {
            if let Some(mut stream) = self.streams.take(id) {
                self.streams.forget(id);
                stream.on_close(&mut self.session);
            }
        }
        self.session.on_connection_closed(&reason);
        let farewell = self.connection.farewell();
        self.notices.push(Notice::Closed { reason, farewell });
    }
}

impl<S: Session> Host for SessionHost<S> {
    fn process_packet(&mut self, packet: ReceivedPacket) {
        self.connection.process_packet(packet);
    }

    fn process_batch(&mut self, batch: PacketBatch) {
        self.connection.process_batch(batch);
    }

    fn on_alarm(&mut self, now: Time) {
        if self.alarm.is_some_and(|deadline| deadline <= now) {
            self.alarm = None;
            self.alarm_fired = true;
        }
        self.connection.on_deadline(now);
    }

    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter) {
        // Writing makes room in send buffers, room makes callbacks, callbacks write: go round
        // until the congestion window, the pacer, the turn's budget or the application has enough.
        self.connection.begin_turn();
        // A session that wakes its own streams without end must not hold the worker: what is left
        // waits for the next turn, which `next_deadline` asks for at once.
        let mut left = MAX_CALLBACKS_PER_TURN;
        loop {
            let delivered = self.deliver_events(now, &mut left);
            let wrote = self.connection.write(now, writer);
            if delivered == Delivered::Part {
                if wrote {
                    let _ = writer.flush(); // a blocked writer keeps it
                }
            } else if !wrote || !self.connection.has_events() {
                break;
            }
        }
        self.connection.end_turn();
        self.deliver_close();
    }

    fn next_deadline(&self) -> Option<Time> {
        if !self.closed && (self.connection.has_events() || !self.wakes.is_empty()) {
            return Some(Time::ZERO);
        }
        let alarm = if self.closed { None } else { self.alarm };
        [alarm, self.connection.next_deadline()].into_iter().flatten().min()
    }

    fn pop_notice(&mut self) -> Option<Notice> {
        if self.notices.is_empty() { None } else { Some(self.notices.remove(0)) }
    }

    fn is_write_blocked(&self) -> bool {
        self.connection.is_write_blocked()
    }

    fn shut_down(&mut self, _now: Time) {
        self.shutdown_asked = true;
    }

    fn wake(&mut self) {
        self.woken = true;
    }

    fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.connection.close(now, code, reason);
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// How many events one turn delivers before packets are written and other hosts get theirs.
const MAX_CALLBACKS_PER_TURN: usize = 10_000;

/// After how many streams with something to read what they have written meanwhile is sent, if it is
/// worth it: the peer works on it while we go on.
const SERVED_AT_ONCE: usize = 24;

/// So many bytes are. To send and to wake the peer takes both ends as long as tens of small messages.
const WORTH_SENDING: u64 = 16 * 1024;
