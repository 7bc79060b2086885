//! The events of a connection with bare streams, for C. This file must not know where they come from.

use std::ffi::c_int;
use std::mem::zeroed;

use protoquic::polled::Event;
use protoquic::{Direction, PathAddress};

use crate::address::pq_path;
use crate::arguments::{check_place, put};
use crate::handles::{Handle as _, pq_conn};
use crate::status::{Failure, PQ_OK, guard};

/// What an event tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_event_kind {
    /// The handshake is complete.
    PQ_EVENT_ESTABLISHED = 0,
    /// A client that resumes may write already; it may be replayed.
    PQ_EVENT_EARLY_DATA_READY = 1,
    /// The server has taken early data (code 1) or not (code 0: it is all sent again).
    PQ_EVENT_EARLY_DATA_SETTLED = 2,
    /// The handshake is confirmed.
    PQ_EVENT_CONFIRMED = 3,
    /// The peer opened a stream.
    PQ_EVENT_STREAM_OPENED = 4,
    /// The peer reset its part of a stream, with a code.
    PQ_EVENT_STREAM_RESET = 5,
    /// The peer wants no more of our part of a stream, with a code.
    PQ_EVENT_STREAM_STOPPED = 6,
    /// Everything that was written to a stream, and its end, was acknowledged.
    PQ_EVENT_STREAM_ACKED = 7,
    /// Both parts of a stream are over.
    PQ_EVENT_STREAM_CLOSED = 8,
    /// More streams may be opened: bidirectional ones (code 0) or unidirectional ones (code 1).
    PQ_EVENT_STREAMS_AVAILABLE = 9,
    /// The peer has proven to be at the other end of this path.
    PQ_EVENT_PATH_VALIDATED = 10,
    /// It has not, in time.
    PQ_EVENT_PATH_FAILED = 11,
    /// The connection runs over this path from now on.
    PQ_EVENT_PATH_CHANGED = 12,
    /// The path in use may be dying.
    PQ_EVENT_PATH_DEGRADING = 13,
    /// It gets through again.
    PQ_EVENT_PATH_RECOVERED = 14,
    /// The connection is over; pq_conn_close_info says how.
    PQ_EVENT_CLOSED = 15,
}

/// News of a connection with bare streams.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct pq_event {
    /// What it tells.
    pub kind: pq_event_kind,
    /// Of which stream, if of one.
    pub stream: u64,
    /// The code, if it has one.
    pub code: u64,
    /// The path, if it tells of one.
    pub path: pq_path,
}

/// The next news of a connection with bare streams. PQ_ERR_DONE if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_poll(conn: *mut pq_conn, event: *mut pq_event) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        check_place(event, "the place for the event")?;
        loop {
            let next = conn.streams(|connection| Ok(connection.poll()))?;
            if let Some(found) = translate(next.ok_or_else(Failure::done)?) {
                // SAFETY: the header asks for valid pointers.
                unsafe { put(event, found, "the place for the event")? };
                return Ok(PQ_OK);
            }
        }
    })
}

fn translate(event: Event) -> Option<pq_event> {
    use pq_event_kind as kind;
    let no_path: Option<PathAddress> = None;
    let (kind, stream, code, path) = match event {
        Event::Established => (kind::PQ_EVENT_ESTABLISHED, 0, 0, no_path),
        Event::EarlyDataReady => (kind::PQ_EVENT_EARLY_DATA_READY, 0, 0, no_path),
        Event::EarlyDataSettled { accepted } => {
            (kind::PQ_EVENT_EARLY_DATA_SETTLED, 0, accepted.into(), no_path)
        }
        Event::Confirmed => (kind::PQ_EVENT_CONFIRMED, 0, 0, no_path),
        Event::StreamOpened(id) => (kind::PQ_EVENT_STREAM_OPENED, id.as_u64(), 0, no_path),
        Event::StreamReset { id, code } => {
            (kind::PQ_EVENT_STREAM_RESET, id.as_u64(), code, no_path)
        }
        Event::StreamStopped { id, code } => {
            (kind::PQ_EVENT_STREAM_STOPPED, id.as_u64(), code, no_path)
        }
        Event::StreamAcked(id) => (kind::PQ_EVENT_STREAM_ACKED, id.as_u64(), 0, no_path),
        Event::StreamClosed(id) => (kind::PQ_EVENT_STREAM_CLOSED, id.as_u64(), 0, no_path),
        Event::StreamsAvailable(direction) => {
            let code = u64::from(direction == Direction::Unidirectional);
            (kind::PQ_EVENT_STREAMS_AVAILABLE, 0, code, no_path)
        }
        Event::PathValidated(path) => (kind::PQ_EVENT_PATH_VALIDATED, 0, 0, Some(path)),
        Event::PathFailed(path) => (kind::PQ_EVENT_PATH_FAILED, 0, 0, Some(path)),
        Event::PathChanged(path) => (kind::PQ_EVENT_PATH_CHANGED, 0, 0, Some(path)),
        Event::PathDegrading => (kind::PQ_EVENT_PATH_DEGRADING, 0, 0, no_path),
        Event::PathRecovered => (kind::PQ_EVENT_PATH_RECOVERED, 0, 0, no_path),
        Event::Closed(_) => (kind::PQ_EVENT_CLOSED, 0, 0, no_path),
        // What C has no use for: deadlines of streams, the fates of datagrams, tokens, which the
        // configuration keeps.
        Event::StreamExpired(_)
        | Event::DatagramAcked(_)
        | Event::DatagramLost(_)
        | Event::DatagramDropped(_)
        | Event::NewToken(_) => return None,
    };
    // SAFETY: addresses and their lengths may be all zeros.
    let path = path.map_or_else(|| unsafe { zeroed() }, pq_path::new);
    Some(pq_event { kind, stream, code, path })
}
