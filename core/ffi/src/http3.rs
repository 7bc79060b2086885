//! HTTP/3 for C: requests, responses and bodies by the numbers of their exchanges. This file must not
//! know how they are carried.

use std::ffi::c_int;

use protoquic::http::{Http3Code, RequestFailure};
use protoquic::polled::Http3Event;

use crate::arguments::{self, check_place, put, slice, slice_mut};
use crate::handles::{Handle as _, pq_conn};
use crate::headers::{Fields, pq_header};
use crate::status::{Failure, PQ_OK, guard};
use crate::streams::priority;

/// What an event of an exchange tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_h3_event_kind {
    /// On a server: a request's head has come, in `headers`.
    PQ_H3_REQUEST = 0,
    /// On a client: an interim response has come, in `headers`.
    PQ_H3_INTERIM = 1,
    /// On a client: the response's head has come, in `headers`.
    PQ_H3_RESPONSE = 2,
    /// There is body to read. Told again only after all was read.
    PQ_H3_DATA = 3,
    /// The peer's message was read to its end; trailers, if it has any, are in `headers`.
    PQ_H3_FINISHED = 4,
    /// There is room for body again.
    PQ_H3_WRITABLE = 5,
    /// The exchange has failed, with a code of HTTP/3; nothing more follows.
    PQ_H3_FAILED = 6,
}

/// News of an exchange.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pq_h3_event {
    /// What it tells.
    pub kind: pq_h3_event_kind,
    /// Of which exchange.
    pub id: u64,
    /// The code, of PQ_H3_FAILED.
    pub code: u64,
    /// Of PQ_H3_FAILED: whether the request was not processed and can be sent again.
    pub retriable: bool,
    /// Fields; valid until the connection's next pq_h3_poll, or it is freed.
    pub headers: *const pq_header,
    /// How many.
    pub headers_len: usize,
}

/// The next news of a connection with HTTP/3. PQ_ERR_DONE if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_poll(conn: *mut pq_conn, event: *mut pq_h3_event) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        check_place(event, "the place for the event")?;
        let next = conn.http3(|connection| Ok(connection.poll()))?;
        let (id, told) = next.ok_or_else(Failure::done)?;
        let found = translate(conn, id, &told);
        // SAFETY: the header asks for valid pointers.
        unsafe { put(event, found, "the place for the event")? };
        Ok(PQ_OK)
    })
}

fn translate(conn: &mut pq_conn, id: u64, told: &Http3Event) -> pq_h3_event {
    use pq_h3_event_kind as kind;
    conn.headers.set_trailers(None);
    let (mut code, mut retriable) = (0, false);
    let kind = match told {
        Http3Event::Request(request) => {
            conn.headers.set_request(request);
            kind::PQ_H3_REQUEST
        }
        Http3Event::Interim(response) => {
            conn.headers.set_response(response);
            kind::PQ_H3_INTERIM
        }
        Http3Event::Response(response) => {
            conn.headers.set_response(response);
            kind::PQ_H3_RESPONSE
        }
        Http3Event::Data => kind::PQ_H3_DATA,
        Http3Event::Finished { trailers } => {
            conn.headers.set_trailers(trailers.as_ref());
            kind::PQ_H3_FINISHED
        }
        Http3Event::Writable => kind::PQ_H3_WRITABLE,
        Http3Event::Failed(failure) => {
            retriable = failure.is_retriable();
            code = code_of(failure).0;
            kind::PQ_H3_FAILED
        }
    };
    let list = conn.headers.list();
    pq_h3_event { kind, id, code, retriable, headers: list.as_ptr(), headers_len: list.len() }
}

fn code_of(failure: &RequestFailure) -> Http3Code {
    match failure {
        RequestFailure::Peer(code) => *code,
        RequestFailure::Message(error) => error.code,
        RequestFailure::NotProcessed => Http3Code::REQUEST_REJECTED,
        RequestFailure::ConnectionClosed => Http3Code::NO_ERROR,
    }
}

/// On a client: sends a request, or has it wait until the server allows a stream; returns the number
/// of its exchange. The list holds ":method", ":scheme", ":authority", ":path" and other fields. With
/// `fin` it has no body; otherwise pq_h3_send_body follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_send_request(
    conn: *mut pq_conn,
    headers: *const pq_header,
    headers_len: usize,
    fin: bool,
) -> i64 {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, fields) =
            unsafe { (pq_conn::follow(conn)?, Fields::read(headers, headers_len)?) };
        let request = fields.into_request()?;
        let id = conn.http3(|connection| connection.send_request(request, fin))?;
        i64::try_from(id).map_err(|_| Failure::invalid("too many requests"))
    })
}

/// On a server: sends the head of a response: ":status" and other fields. A status from 100 to 199 is
/// an interim response, and more follows. With `fin` it has no body; otherwise pq_h3_send_body
/// follows. When a response has ended, what was not read of its request is dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_send_response(
    conn: *mut pq_conn,
    id: u64,
    headers: *const pq_header,
    headers_len: usize,
    fin: bool,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, fields) =
            unsafe { (pq_conn::follow(conn)?, Fields::read(headers, headers_len)?) };
        let response = fields.into_response()?;
        let is_interim = response.status().is_informational();
        if is_interim && fin {
            return Err(Failure::invalid("an interim response is not the end"));
        }
        conn.http3(|connection| {
            if is_interim {
                connection.send_interim(id, response)?;
            } else {
                connection.send_response(id, response, fin)?;
            }
            Ok(PQ_OK)
        })
    })
}

/// Takes the front of `data` as far as there is room, and returns how many bytes that is; `fin` ends
/// our message once all was taken. PQ_ERR_DONE if there is no room: PQ_H3_WRITABLE tells when there
/// is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_send_body(
    conn: *mut pq_conn,
    id: u64,
    data: *const u8,
    len: usize,
    fin: bool,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, data) = unsafe { (pq_conn::follow(conn)?, slice(data, len, "the body")?) };
        conn.http3(|connection| Ok(connection.send_body(id, data, fin)? as isize))
    })
}

/// Ends our message with trailers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_send_trailers(
    conn: *mut pq_conn,
    id: u64,
    headers: *const pq_header,
    headers_len: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, fields) =
            unsafe { (pq_conn::follow(conn)?, Fields::read(headers, headers_len)?) };
        let trailers = fields.into_trailers()?;
        conn.http3(|connection| connection.send_trailers(id, trailers).map(|()| PQ_OK))
    })
}

/// Reads body into `out` and returns how many bytes. PQ_ERR_DONE if there is none now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_recv_body(
    conn: *mut pq_conn,
    id: u64,
    out: *mut u8,
    len: usize,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, out) = unsafe { (pq_conn::follow(conn)?, slice_mut(out, len, "the buffer")?) };
        conn.http3(|connection| Ok(connection.recv_body(id, out)? as isize))
    })
}

/// Gives an exchange up; nothing more is told of it. On a server with this code of HTTP/3, on a client
/// with H3_REQUEST_CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_cancel(conn: *mut pq_conn, id: u64, code: u64) -> c_int {
    guard(|| {
        let code = arguments::code(code)?;
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.http3(|connection| connection.cancel(id, Http3Code(code)).map(|()| PQ_OK))
    })
}

/// On a client: asks the server for another urgency of a response (RFC 9218): 0, the highest, to 7.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_prioritize(
    conn: *mut pq_conn,
    id: u64,
    urgency: u8,
    incremental: bool,
) -> c_int {
    guard(|| {
        let priority = priority(urgency, incremental)?;
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.http3(|connection| connection.prioritize(id, priority).map(|()| PQ_OK))
    })
}

/// Ends a connection in order: tells the peer (GOAWAY), lets what runs come to its end, then closes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_shut_down(conn: *mut pq_conn) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        conn.http3(|connection| {
            connection.shut_down();
            Ok(PQ_OK)
        })
    })
}
