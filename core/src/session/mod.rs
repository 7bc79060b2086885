//! [`Session`] and [`Stream`]: the two traits an application protocol implements (Chromium:
//! QuicSession and QuicStream). Ownership is a tree: a [`SessionHost`] owns the connection, the
//! session and its streams; every callback is lent a narrow context and can keep nothing of it.
//! This room must not know sockets, wire formats or any particular protocol.

mod context;
mod factory;
mod host;
mod single_host;
mod stream_map;

pub use context::{SessionContext, StreamContext};
pub use factory::{ClientHelloInfo, FnFactory, Reject, ServerConfig, SessionFactory};
pub use host::{Host, Notice, SessionHost};
pub use single_host::SingleHost;
pub use stream_map::StreamMap;

use crate::connection::DatagramId;
use crate::error::{ApplicationError, CloseReason};
use crate::types::{Direction, PathAddress, StreamId};

/// An incoming stream that the session does not want. The peer gets RESET_STREAM and STOP_SENDING
/// with this code, as far as the stream's direction allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refuse(pub ApplicationError);

/// An application protocol's side of one connection.
///
/// Callbacks come between packets, never during one: a session always sees a consistent
/// connection. Within a turn they come in the order in which their causes arrived.
///
/// ```
/// use protoquic_core::session::{Refuse, Session, SessionContext, Stream, StreamContext};
/// use protoquic_core::StreamId;
///
/// /// Sends everything back.
/// struct Echo;
/// struct EchoStream;
///
/// impl Session for Echo {
///     type Stream = EchoStream;
///     fn create_incoming_stream(
///         &mut self,
///         _id: StreamId,
///         _cx: &mut SessionContext<'_, Self>,
///     ) -> Result<EchoStream, Refuse> {
///         Ok(EchoStream)
///     }
/// }
///
/// impl Stream<Echo> for EchoStream {
///     fn on_data_available(&mut self, cx: &mut StreamContext<'_, Echo>) {
///         while cx.writable() > 0 {
///             match cx.read() {
///                 Some(chunk) => { let _ = cx.write_all(chunk); }
///                 None if cx.is_read_finished() => return drop(cx.finish()),
///                 None => return,
///             }
///         }
///     }
///     fn on_can_write(&mut self, cx: &mut StreamContext<'_, Echo>) {
///         self.on_data_available(cx); // what waited for room to answer
///     }
/// }
/// ```
pub trait Session: Sized + 'static {
    /// What a stream of this session is: a type of its own, an enum of several, or
    /// `Box<dyn Stream<Self>>`.
    type Stream: Stream<Self> + 'static;

    /// The peer opened a stream. Called once for each, before any of its data is shown, in the
    /// order of their IDs within a kind.
    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<Self::Stream, Refuse>;

    /// The TLS handshake is complete: the peer is authenticated as configured, its parameters are
    /// known, streams may be opened (RFC 9001 §4.1.1). Called once.
    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// On a client that resumes a session and was set to
    /// ([`Config::early_data`](crate::Config::early_data)): streams may be opened and written
    /// before the handshake, by the limits that the server set the last time. Whoever sees the
    /// packets can send them to the server again: write only what does no harm when it is done
    /// twice (RFC 9001 §9.2, RFC 8470). Called once, first.
    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The server has taken early data, or not. If not, streams stay open and everything that was
    /// written to them is sent again from the start, within the limits that the server has set
    /// now; what was concluded from the remembered session does not hold (RFC 9001 §4.6.2). Called
    /// once, before [`on_handshake_complete`](Self::on_handshake_complete).
    fn on_early_data_settled(&mut self, accepted: bool, cx: &mut SessionContext<'_, Self>) {
        let _ = (accepted, cx);
    }

    /// The handshake is confirmed: the peer is known to have completed it too (RFC 9001 §4.1.2).
    /// Called once, after [`on_handshake_complete`](Self::on_handshake_complete).
    fn on_handshake_confirmed(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The peer raised the number of streams that we may open, after
    /// [`SessionContext::open_stream`] had been refused for it.
    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        let _ = (direction, cx);
    }

    /// The alarm set with [`SessionContext::set_alarm`] went off. It is no longer set.
    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// Somebody outside has work for this session ([`Host::wake`]): another thread, say, that has
    /// left it in a place that both know.
    fn on_wake(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The server sent a token to present at the next connection to it (RFC 9000 §8.1.3).
    fn on_new_token(&mut self, token: bytes::Bytes, cx: &mut SessionContext<'_, Self>) {
        let _ = (token, cx);
    }

    /// The path in use may be dying: several probe timeouts have expired in a row. A client may
    /// [migrate](crate::Connection::migrate) to another address or port. Called once, until the path
    /// recovers or another is used.
    fn on_path_degrading(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The path gets through again, after [`on_path_degrading`](Self::on_path_degrading).
    fn on_path_recovered(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// The peer has proven to be at the other end of this path, which is not necessarily in use
    /// (RFC 9000 §8.2.3).
    fn on_path_validated(&mut self, path: &PathAddress, cx: &mut SessionContext<'_, Self>) {
        let _ = (path, cx);
    }

    /// This path was not proven in time (RFC 9000 §8.2.4). If the connection used it, it has
    /// returned to the last proven one.
    fn on_path_failed(&mut self, path: &PathAddress, cx: &mut SessionContext<'_, Self>) {
        let _ = (path, cx);
    }

    /// The connection runs over this path from now on: on a client because it has moved there, on a
    /// server because its client has (RFC 9000 §9).
    fn on_path_changed(&mut self, path: &PathAddress, cx: &mut SessionContext<'_, Self>) {
        let _ = (path, cx);
    }

    /// Nothing has come for 150 ms, nor for two probe timeouts: the session may give memory back that
    /// it does not need while it waits. Once for each silence.
    fn on_idle(&mut self, cx: &mut SessionContext<'_, Self>) {
        let _ = cx;
    }

    /// A datagram came (RFC 9221). Copy what you keep for long: it may be a slice of a batch.
    fn on_datagram_received(&mut self, data: bytes::Bytes, cx: &mut SessionContext<'_, Self>) {
        let _ = (data, cx);
    }

    /// A datagram of ours was acknowledged: it reached the peer, if not its application.
    fn on_datagram_acked(&mut self, id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        let _ = (id, cx);
    }

    /// A datagram of ours is deemed lost. It is not sent again.
    fn on_datagram_lost(&mut self, id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        let _ = (id, cx);
    }

    /// A datagram of ours was never sent: its deadline came first, or packets became too small.
    fn on_datagram_dropped(&mut self, id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        let _ = (id, cx);
    }

    /// The endpoint wants to stop. A session that can tell its peer so does, and closes when its
    /// streams have ended; by default the connection is closed at once, with code 0.
    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        cx.close(ApplicationError(0), "the endpoint is shutting down");
    }

    /// The connection is over. Called once, last; [`Stream::on_close`] of every remaining stream
    /// has been called before.
    fn on_connection_closed(&mut self, why: &CloseReason) {
        let _ = why;
    }
}

/// One stream of a session `S`.
///
/// See [`Session`] for an example.
pub trait Stream<S: Session> {
    /// There is data to read, or the peer has finished. Called again only when more has arrived;
    /// data that is left unread holds the peer back by flow control.
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, S>);

    /// There is room to write again, after [`StreamContext::write`] took less than it was given;
    /// also called once for a stream that we opened, right after it was opened.
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, S>) {
        let _ = cx;
    }

    /// The peer abandoned its sending part; data not yet read is gone (RFC 9000 §3.2).
    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, S>) {
        let _ = (code, cx);
    }

    /// The peer wants no more of our data. The sending part has been reset with the same code
    /// (RFC 9000 §3.5).
    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, S>) {
        let _ = (code, cx);
    }

    /// The deadline of [`StreamContext::set_deadline`] has passed and something was left to send:
    /// the sending part has been reset.
    fn on_deadline_missed(&mut self, cx: &mut StreamContext<'_, S>) {
        let _ = cx;
    }

    /// Everything that was written, and the end of the stream, has been acknowledged.
    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, S>) {
        let _ = cx;
    }

    /// Whether the object is still needed when both parts of its stream are over, because it has
    /// read the stream to its end and not yet handed on all of it. Asked then and after every later
    /// callback: the object stays, and can be [woken](SessionContext::wake_stream), until this is
    /// false or the connection is over.
    fn lingers(&self) -> bool {
        false
    }

    /// Both parts of the stream are over, or the connection is. The stream is dropped next.
    fn on_close(&mut self, session: &mut S) {
        let _ = session;
    }
}

impl<S: Session> Stream<S> for Box<dyn Stream<S>> {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, S>) {
        (**self).on_data_available(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, S>) {
        (**self).on_can_write(cx);
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, S>) {
        (**self).on_reset(code, cx);
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, S>) {
        (**self).on_stop_sending(code, cx);
    }

    fn on_deadline_missed(&mut self, cx: &mut StreamContext<'_, S>) {
        (**self).on_deadline_missed(cx);
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, S>) {
        (**self).on_all_data_acked(cx);
    }

    fn lingers(&self) -> bool {
        (**self).lingers()
    }

    fn on_close(&mut self, session: &mut S) {
        (**self).on_close(session);
    }
}
