//! Streams and datagrams of a connection with bare streams. This file must not know how they are
//! carried.

use std::ffi::c_int;

use protoquic::polled::Error;
use protoquic::streams::Priority;
use protoquic::{DatagramOptions, Direction, StreamId};

use crate::arguments::{self, check_place, put_if, slice, slice_mut};
use crate::handles::{Handle as _, pq_conn};
use crate::status::{Failure, Outcome, PQ_OK, guard};

/// What stands for no stream, where one could be named.
pub const PQ_NO_STREAM: u64 = u64::MAX;

fn stream(id: u64) -> Outcome<StreamId> {
    if id <= StreamId::MAX.as_u64() {
        Ok(StreamId::from_raw(id))
    } else {
        Err(Failure::invalid(format!("{id} is no stream")))
    }
}

/// Opens a stream and returns its ID. PQ_ERR_STREAM_LIMIT if the peer allows no more:
/// PQ_EVENT_STREAMS_AVAILABLE tells when it does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_open(conn: *mut pq_conn, bidirectional: bool) -> i64 {
    guard(|| {
        let direction =
            if bidirectional { Direction::Bidirectional } else { Direction::Unidirectional };
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let id = conn.streams(|connection| connection.stream_open(direction))?;
        Ok(id.as_u64() as i64)
    })
}

/// Writes the front of `data` as far as there is room, and returns how many bytes that is; `fin` ends
/// the stream once all was taken. The next stream of ours is opened by writing to it. PQ_ERR_DONE if
/// there is no room: the stream will be among the writable ones. PQ_ERR_STREAM_STOPPED puts the
/// peer's code into `code`, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_send(
    conn: *mut pq_conn,
    id: u64,
    data: *const u8,
    len: usize,
    fin: bool,
    code: *mut u64,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, data) = unsafe { (pq_conn::follow(conn)?, slice(data, len, "the data")?) };
        let id = stream(id)?;
        conn.streams(|connection| {
            let sent = connection.stream_send(id, data, fin);
            // SAFETY: likewise.
            unsafe { note_code(&sent, code) };
            Ok(sent? as isize)
        })
    })
}

/// Reads into `out` and returns how many bytes; `fin` is set if the stream ends with them.
/// PQ_ERR_DONE if there is nothing now. PQ_ERR_STREAM_RESET puts the peer's code into `code`, which
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_recv(
    conn: *mut pq_conn,
    id: u64,
    out: *mut u8,
    len: usize,
    fin: *mut bool,
    code: *mut u64,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, out) = unsafe { (pq_conn::follow(conn)?, slice_mut(out, len, "the buffer")?) };
        let id = stream(id)?;
        check_place(fin, "the place for fin")?;
        conn.streams(|connection| {
            let read = connection.stream_recv(id, out);
            // SAFETY: likewise.
            unsafe { note_code(&read, code) };
            let (len, is_end) = read?;
            // SAFETY: likewise; it is not NULL.
            unsafe { fin.write(is_end) };
            Ok(len as isize)
        })
    })
}

/// # Safety
///
/// `code` is NULL or valid for writing.
unsafe fn note_code<T>(result: &Result<T, Error>, code: *mut u64) {
    if let Err(Error::StreamReset(found) | Error::StreamStopped(found)) = result {
        // SAFETY: promised to us.
        unsafe { put_if(code, *found) };
    }
}

/// The first stream after `after` (PQ_NO_STREAM: of all) with something to read: data, an end or a
/// reset. PQ_ERR_DONE if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_next_readable(conn: *mut pq_conn, after: u64) -> i64 {
    guard(|| {
        let after = if after == PQ_NO_STREAM { None } else { Some(stream(after)?) };
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let next = conn.streams(|connection| Ok(connection.next_readable(after)))?;
        Ok(next.ok_or_else(Failure::done)?.as_u64() as i64)
    })
}

/// The first stream after `after` (PQ_NO_STREAM: of all) that has room to be written to: it was just
/// opened, or had none when it was last written to. PQ_ERR_DONE if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_next_writable(conn: *mut pq_conn, after: u64) -> i64 {
    guard(|| {
        let after = if after == PQ_NO_STREAM { None } else { Some(stream(after)?) };
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let next = conn.streams(|connection| Ok(connection.next_writable(after)))?;
        Ok(next.ok_or_else(Failure::done)?.as_u64() as i64)
    })
}

/// How many bytes there is room for on a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_capacity(conn: *mut pq_conn, id: u64) -> isize {
    guard(|| {
        let id = stream(id)?;
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.streams(|connection| Ok(connection.stream_capacity(id)? as isize))
    })
}

/// Gives our part of a stream up: what is not delivered is dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_reset(conn: *mut pq_conn, id: u64, code: u64) -> c_int {
    guard(|| {
        let (id, code) = (stream(id)?, arguments::code(code)?);
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.streams(|connection| connection.stream_reset(id, code).map(|()| PQ_OK))
    })
}

/// Asks the peer to give its part of a stream up; nothing of it will be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_stop(conn: *mut pq_conn, id: u64, code: u64) -> c_int {
    guard(|| {
        let (id, code) = (stream(id)?, arguments::code(code)?);
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.streams(|connection| connection.stream_stop(id, code).map(|()| PQ_OK))
    })
}

/// Ranks a stream's data against that of others (RFC 9218): urgency 0, the highest, to 7.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_stream_priority(
    conn: *mut pq_conn,
    id: u64,
    urgency: u8,
    incremental: bool,
) -> c_int {
    guard(|| {
        let id = stream(id)?;
        let priority = priority(urgency, incremental)?;
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.streams(|connection| connection.stream_priority(id, priority).map(|()| PQ_OK))
    })
}

pub(crate) fn priority(urgency: u8, incremental: bool) -> Outcome<Priority> {
    if urgency > 7 {
        return Err(Failure::invalid(format!("the urgency {urgency} is more than 7")));
    }
    Ok(Priority { urgency, incremental })
}

/// Queues a datagram. PQ_ERR_NOT_SUPPORTED if the peer takes none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_dgram_send(conn: *mut pq_conn, data: *const u8, len: usize) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, data) = unsafe { (pq_conn::follow(conn)?, slice(data, len, "the data")?) };
        conn.streams(|connection| {
            connection.dgram_send(data, DatagramOptions::default()).map(|_| PQ_OK)
        })
    })
}

/// Takes the oldest datagram that has come, and returns its length. PQ_ERR_DONE if there is none;
/// PQ_ERR_BUFFER_TOO_SHORT leaves it where it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_dgram_recv(conn: *mut pq_conn, out: *mut u8, len: usize) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, out) = unsafe { (pq_conn::follow(conn)?, slice_mut(out, len, "the buffer")?) };
        conn.streams(|connection| Ok(connection.dgram_recv(out)? as isize))
    })
}

/// How many bytes a datagram may have now. PQ_ERR_NOT_SUPPORTED if the peer takes none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_dgram_max_size(conn: *mut pq_conn) -> isize {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.streams(|connection| {
            Ok(connection.dgram_max_size().ok_or(Error::NotSupported)? as isize)
        })
    })
}
