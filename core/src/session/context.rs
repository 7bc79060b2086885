//! What callbacks are lent: [`SessionContext`] and [`StreamContext`]. A context holds commands and
//! questions, never re-entry into the connection's packet processing; it cannot outlive the
//! callback.

use bytes::Bytes;

use super::{Session, StreamMap};
use crate::connection::{Connection, DatagramError, DatagramId, DatagramOptions};
use crate::error::{ApplicationError, StreamError};
use crate::streams::Priority;
use crate::time::Time;
use crate::types::{Direction, StreamId};

/// What a session's callback may do.
pub struct SessionContext<'a, S: Session> {
    pub(super) connection: &'a mut Connection,
    pub(super) streams: &'a mut StreamMap<S::Stream>,
    pub(super) wakes: &'a mut Vec<StreamId>,
    pub(super) alarm: &'a mut Option<Time>,
    pub(super) now: Time,
}

impl<S: Session> std::fmt::Debug for SessionContext<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionContext").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<S: Session> SessionContext<'_, S> {
    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Opens a stream and installs the object that `make` returns for it; its
    /// [`on_can_write`](super::Stream::on_can_write) is called next.
    ///
    /// [`StreamError::LimitReached`] if the peer allows no more for now:
    /// [`Session::on_can_create_outgoing_stream`] will tell when it does.
    pub fn open_stream(
        &mut self,
        direction: Direction,
        make: impl FnOnce(StreamId) -> S::Stream,
    ) -> Result<StreamId, StreamError> {
        let id = self.connection.open_stream(direction)?;
        self.streams.insert(id, make(id));
        self.wakes.push(id);
        Ok(id)
    }

    /// Installs the object of a stream that was opened with [`Connection::open_stream`].
    pub(crate) fn adopt_stream(&mut self, id: StreamId, stream: S::Stream) {
        self.streams.insert(id, stream);
    }

    /// The other stream objects of the session.
    pub fn streams(&mut self) -> &mut StreamMap<S::Stream> {
        self.streams
    }

    /// Has [`on_data_available`](super::Stream::on_data_available) and
    /// [`on_can_write`](super::Stream::on_can_write) of another stream called soon, whether or not
    /// there is news for it.
    pub fn wake_stream(&mut self, id: StreamId) {
        self.wakes.push(id);
    }

    /// The connection: its state and statistics, and writing to any of its streams by ID.
    pub fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    /// Writes all of `data` to a stream, whatever room it has. For small, bounded things.
    pub fn write_all_to(&mut self, id: StreamId, data: Bytes) -> Result<(), StreamError> {
        self.connection.stream_write_all(id, data)
    }

    /// Queues an unreliable datagram, see [`Connection::send_datagram`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::Bytes;
    /// use protoquic_core::connection::DatagramOptions;
    /// # use protoquic_core::{Refuse, Session, SessionContext, StreamId, Stream, StreamContext};
    /// # struct NoStream;
    /// # impl Stream<Mirror> for NoStream {
    /// #     fn on_data_available(&mut self, _cx: &mut StreamContext<'_, Mirror>) {}
    /// # }
    ///
    /// /// Sends datagrams back, urgently, or not at all if that takes more than 20 ms.
    /// struct Mirror;
    ///
    /// impl Session for Mirror {
    ///     type Stream = NoStream;
    ///     # fn create_incoming_stream(
    ///     #     &mut self, _: StreamId, _: &mut SessionContext<'_, Self>,
    ///     # ) -> Result<NoStream, Refuse> { Err(Refuse::default()) }
    ///     fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
    ///         let deadline = Some(cx.now() + Duration::from_millis(20));
    ///         // An error says that it cannot be sent now; nobody promised that it would be.
    ///         let _ = cx.send_datagram(data, DatagramOptions { urgency: 1, deadline });
    ///     }
    /// }
    /// ```
    ///
    /// The peer must be told that datagrams are welcome, by
    /// [`Config::datagrams`](crate::Config::datagrams).
    pub fn send_datagram(
        &mut self,
        data: Bytes,
        options: DatagramOptions,
    ) -> Result<DatagramId, DatagramError> {
        self.connection.send_datagram(data, options)
    }

    /// How many bytes a datagram may have now; `None` if the peer takes none.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.connection.max_datagram_size()
    }

    /// Has [`Session::on_alarm`] called at `deadline`, or not at all.
    pub fn set_alarm(&mut self, deadline: Option<Time>) {
        *self.alarm = deadline;
    }

    /// Closes the connection with an application error code. What was written and not yet sent is
    /// discarded. Callbacks go on until the turn ends.
    pub fn close(&mut self, code: ApplicationError, reason: &str) {
        self.connection.close(self.now, code, reason);
    }
}

/// What a stream's callback may do.
pub struct StreamContext<'a, S: Session> {
    pub(super) id: StreamId,
    pub(super) session: &'a mut S,
    pub(super) inner: SessionContext<'a, S>,
}

impl<S: Session> std::fmt::Debug for StreamContext<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamContext").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a, S: Session> StreamContext<'a, S> {
    /// The stream's ID.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.inner.now
    }

    /// The session that the stream belongs to.
    pub fn session(&mut self) -> &mut S {
        self.session
    }

    /// The session and its context, to call the session's own methods.
    pub fn split(&mut self) -> (&mut S, &mut SessionContext<'a, S>) {
        (self.session, &mut self.inner)
    }

    /// The session's context, for what concerns more than this stream.
    pub fn session_context(&mut self) -> &mut SessionContext<'a, S> {
        &mut self.inner
    }

    /// The connection's state and commands.
    pub fn connection(&mut self) -> &mut Connection {
        self.inner.connection
    }

    /// The next piece of data in order, or `None` if nothing is there now. Reading gives the peer
    /// new flow control credit. The piece may share a receive buffer: copy what you keep for long.
    pub fn read(&mut self) -> Option<Bytes> {
        self.read_up_to(usize::MAX)
    }

    /// As [`read`](Self::read), at most `max` bytes.
    pub fn read_up_to(&mut self, max: usize) -> Option<Bytes> {
        self.inner.connection.stream_read(self.id, max).ok().flatten()
    }

    /// Whether the peer has finished and everything has been read.
    pub fn is_read_finished(&self) -> bool {
        self.inner.connection.stream_is_finished(self.id)
    }

    /// Writes the front of `data` as far as there is room, and leaves the rest in it. If there is
    /// a rest, [`on_can_write`](super::Stream::on_can_write) tells when to go on.
    pub fn write(&mut self, data: &mut Bytes) -> Result<usize, StreamError> {
        self.inner.connection.stream_write(self.id, data)
    }

    /// Writes all of `data`, whatever room there is. For small, bounded things; who writes without
    /// end must look at [`writable`](Self::writable).
    pub fn write_all(&mut self, data: Bytes) -> Result<(), StreamError> {
        self.inner.connection.stream_write_all(self.id, data)
    }

    /// How many bytes there is room for; 0 also if the stream cannot be written to any more. After
    /// a 0, [`on_can_write`](super::Stream::on_can_write) tells when there is room.
    pub fn writable(&mut self) -> usize {
        self.inner.connection.stream_writable(self.id).unwrap_or(0)
    }

    /// Ranks this stream's data against that of others (RFC 9218).
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), StreamError> {
        self.inner.connection.stream_set_priority(self.id, priority)
    }

    /// Ends the sending part; what was written before is still delivered.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.connection.stream_finish(self.id)
    }

    /// Abandons the sending part (RESET_STREAM).
    pub fn reset(&mut self, code: ApplicationError) -> Result<(), StreamError> {
        self.inner.connection.stream_reset(self.id, code)
    }

    /// Abandons the sending part but delivers its first `reliable` bytes (RESET_STREAM_AT), see
    /// [`Connection::stream_reset_at`].
    ///
    /// ```
    /// use protoquic_core::{ApplicationError, Session, StreamContext, StreamError};
    ///
    /// /// Gives up a stream whose first 16 bytes, which say what it is, still have to arrive.
    /// fn give_up<S: Session>(cx: &mut StreamContext<'_, S>) -> Result<(), StreamError> {
    ///     let code = ApplicationError(0x11);
    ///     match cx.reset_at(code, 16) {
    ///         // The peer does not know RESET_STREAM_AT: all or nothing.
    ///         Err(StreamError::NotSupported) => cx.reset(code),
    ///         done => done,
    ///     }
    /// }
    /// ```
    pub fn reset_at(&mut self, code: ApplicationError, reliable: u64) -> Result<(), StreamError> {
        self.inner.connection.stream_reset_at(self.id, code, reliable)
    }

    /// Has nothing of the stream sent after `deadline`: it is then reset with `code`, see
    /// [`Connection::stream_set_deadline`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use protoquic_core::{ApplicationError, Session, StreamContext, StreamError};
    ///
    /// const TOO_LATE: ApplicationError = ApplicationError(0x10);
    ///
    /// /// Sends a picture of live video, of no use after 100 ms. If it is late,
    /// /// `Stream::on_deadline_missed` is called and the receiver's `Stream::on_reset`.
    /// fn send_picture<S: Session>(
    ///     cx: &mut StreamContext<'_, S>,
    ///     picture: Bytes,
    /// ) -> Result<(), StreamError> {
    ///     let deadline = cx.now() + Duration::from_millis(100);
    ///     cx.set_deadline(Some(deadline), TOO_LATE)?;
    ///     cx.write_all(picture)?;
    ///     cx.finish()
    /// }
    /// ```
    pub fn set_deadline(
        &mut self,
        deadline: Option<Time>,
        code: ApplicationError,
    ) -> Result<(), StreamError> {
        self.inner.connection.stream_set_deadline(self.id, deadline, code)
    }

    /// Asks the peer to abandon its sending part (STOP_SENDING); nothing more will be read.
    pub fn stop_sending(&mut self, code: ApplicationError) -> Result<(), StreamError> {
        self.inner.connection.stream_stop_sending(self.id, code)
    }
}
