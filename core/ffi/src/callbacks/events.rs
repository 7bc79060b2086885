//! What callbacks are called with. This file must not know when.

use std::ffi::c_void;

use libc::{sockaddr_storage, socklen_t};

/// Names a registration, a listener, a connection or a stream of the callback layer. 0 names nothing;
/// no number is ever used twice.
pub type pq_handle = u64;

/// What a listener's event tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_cb_listener_event_kind {
    /// A client begins a connection. Set `callback`, or it is refused; and `context`, if you like.
    PQ_CB_NEW_CONNECTION = 0,
}

/// An event of a listener.
#[repr(C)]
pub struct pq_cb_listener_event {
    /// What it tells.
    pub kind: pq_cb_listener_event_kind,
    /// The new connection.
    pub conn: pq_handle,
    /// The client's address.
    pub peer: sockaddr_storage,
    /// How long it is.
    pub peer_len: socklen_t,
    /// To be set: who is called with the connection's events.
    pub callback: pq_cb_conn_callback,
    /// To be set: what it is called with.
    pub context: *mut c_void,
}

/// Is called with a listener's events, on the listener's thread.
pub type pq_cb_listener_callback = Option<
    unsafe extern "C" fn(
        listener: pq_handle,
        context: *mut c_void,
        event: *mut pq_cb_listener_event,
    ),
>;

/// What a connection's event tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_cb_conn_event_kind {
    /// The handshake is complete.
    PQ_CB_CONNECTED = 0,
    /// The peer opened `stream`. Set `callback`, or it is refused; and `context`, if you like.
    PQ_CB_PEER_STREAM_STARTED = 1,
    /// The peer closed the connection, with `code`.
    PQ_CB_SHUTDOWN_BY_PEER = 2,
    /// The transport did: somebody broke a rule, or there was silence; with `code`.
    PQ_CB_SHUTDOWN_BY_TRANSPORT = 3,
    /// A datagram has come: `data` and `len`.
    PQ_CB_DATAGRAM = 4,
    /// The connection is over. The last event: the handle names nothing any more.
    PQ_CB_CONN_SHUTDOWN_COMPLETE = 5,
}

/// An event of a connection.
#[repr(C)]
pub struct pq_cb_conn_event {
    /// What it tells.
    pub kind: pq_cb_conn_event_kind,
    /// The stream, of PQ_CB_PEER_STREAM_STARTED.
    pub stream: pq_handle,
    /// Whether that stream carries data both ways.
    pub bidirectional: bool,
    /// The code, of a shutdown.
    pub code: u64,
    /// The datagram; valid for the call.
    pub data: *const u8,
    /// How long it is.
    pub len: usize,
    /// To be set, of PQ_CB_PEER_STREAM_STARTED: who is called with the stream's events.
    pub callback: pq_cb_stream_callback,
    /// To be set: what it is called with.
    pub context: *mut c_void,
}

/// Is called with a connection's events, on its thread.
pub type pq_cb_conn_callback = Option<
    unsafe extern "C" fn(conn: pq_handle, context: *mut c_void, event: *mut pq_cb_conn_event),
>;

/// What a stream's event tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_cb_stream_event_kind {
    /// The stream is open, with `id` as its number in QUIC.
    PQ_CB_START_COMPLETE = 0,
    /// Data has come: `data` and `len`. Set `consumed` to less than `len` to take no more for now;
    /// the rest, and what comes after, is shown again after pq_cb_stream_resume.
    PQ_CB_RECEIVE = 1,
    /// What pq_cb_stream_send was called with `send_context` is on its way, and its buffer was never
    /// needed again; or it was dropped, if `canceled`.
    PQ_CB_SEND_COMPLETE = 2,
    /// The peer has ended its part; everything was received.
    PQ_CB_PEER_SEND_SHUTDOWN = 3,
    /// The peer gave its part up, with `code`.
    PQ_CB_PEER_SEND_ABORTED = 4,
    /// The peer wants no more of our part, with `code`.
    PQ_CB_PEER_RECEIVE_ABORTED = 5,
    /// The peer has acknowledged everything, up to the end of our part.
    PQ_CB_SEND_SHUTDOWN_COMPLETE = 6,
    /// The stream is over. The last event: the handle names nothing any more.
    PQ_CB_STREAM_SHUTDOWN_COMPLETE = 7,
}

/// An event of a stream.
#[repr(C)]
pub struct pq_cb_stream_event {
    /// What it tells.
    pub kind: pq_cb_stream_event_kind,
    /// The stream's number in QUIC, of PQ_CB_START_COMPLETE.
    pub id: u64,
    /// What has come; valid for the call.
    pub data: *const u8,
    /// How much.
    pub len: usize,
    /// How much of it was taken: all, unless it is set to less.
    pub consumed: usize,
    /// Of PQ_CB_SEND_COMPLETE: what pq_cb_stream_send was given.
    pub send_context: *mut c_void,
    /// Of PQ_CB_SEND_COMPLETE: it was not sent.
    pub canceled: bool,
    /// The code, of what was aborted.
    pub code: u64,
}

/// Is called with a stream's events, on the thread of its connection.
pub type pq_cb_stream_callback = Option<
    unsafe extern "C" fn(stream: pq_handle, context: *mut c_void, event: *mut pq_cb_stream_event),
>;

/// A pointer of the application's, on its way to a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context(pub(crate) *mut c_void);

// SAFETY: nobody here follows it; it is only handed back, and the header says on which thread.
unsafe impl Send for Context {}
