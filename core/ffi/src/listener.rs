//! `pq_listener`: a server's port without a socket. This file must not know what runs on its
//! connections.

use std::cell::RefCell;
use std::ffi::{c_char, c_int};
use std::rc::Rc;

use protoquic::Time;
use protoquic::polled::{Listener, ListenerEvent};

use crate::arguments::{self, check_place, put, put_if, slice, slice_mut};
use crate::conn::{nanos, pq_recv_info, pq_send_info};
use crate::handles::{Handle as _, Link, Port, pq_config, pq_conn, pq_listener, with_port};
use crate::state::pq_close_info;
use crate::status::{Failure, Outcome, PQ_OK, guard, guard_quietly};

/// What a listener tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pq_listener_event_kind {
    /// A client begins a connection. It is the caller's, to be freed with pq_conn_free.
    PQ_LISTENER_ACCEPTED = 0,
    /// Something has come for this connection, or a timeout of it has passed.
    PQ_LISTENER_READY = 1,
    /// This connection is over: nothing more can be done with it than to look at
    /// pq_conn_close_info and to free it.
    PQ_LISTENER_CLOSED = 2,
}

/// News of a listener.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pq_listener_event {
    /// What it tells.
    pub kind: pq_listener_event_kind,
    /// Of which connection.
    pub conn: *mut pq_conn,
    /// How it ended, if it has.
    pub close: pq_close_info,
}

/// A listener for connections with bare streams. NULL if that cannot be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listen(config: *mut pq_config) -> *mut pq_listener {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        begin(config, |config| {
            Ok(Port::Streams(Rc::new(RefCell::new(Listener::new(&config.config)?))))
        })
    }
}

/// A listener for connections with HTTP/3. NULL if that cannot be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_listen(config: *mut pq_config) -> *mut pq_listener {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        begin(config, |config| {
            Ok(Port::Http3(Rc::new(RefCell::new(Listener::new(&config.config)?))))
        })
    }
}

/// # Safety
///
/// Nobody else uses the settings meanwhile.
unsafe fn begin(
    config: *mut pq_config,
    make: impl FnOnce(&pq_config) -> Outcome<Port>,
) -> *mut pq_listener {
    let mut made = std::ptr::null_mut();
    guard_quietly(|| {
        // SAFETY: promised to us.
        let port = make(unsafe { pq_config::follow(config)? })?;
        made = pq_listener { port, conns: Rc::default() }.release();
        Ok(())
    });
    made
}

/// Frees a listener and forgets all its connections without a word to their clients; their handles
/// are still to be freed. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_free(listener: *mut pq_listener) {
    guard_quietly(|| {
        if listener.is_null() { Ok(()) } else { pq_listener::reclaim(listener).map(drop) }
    });
}

/// Gives a listener a datagram that has arrived, or a batch of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_recv(
    listener: *mut pq_listener,
    data: *const u8,
    len: usize,
    info: *const pq_recv_info,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (listener, data, info) = unsafe {
            let info = pq_recv_info::read(info)?;
            (pq_listener::follow(listener)?, slice(data, len, "the datagram")?, info)
        };
        with_port!(&listener.port, port => port.recv(data, &info)?);
        Ok(PQ_OK)
    })
}

/// Puts the next datagram of any connection into `out`, and returns its length. PQ_ERR_DONE if there
/// is none now. `info` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_send(
    listener: *mut pq_listener,
    out: *mut u8,
    len: usize,
    info: *mut pq_send_info,
    now: u64,
) -> isize {
    // SAFETY: the header asks for valid handles, pointers and lengths.
    unsafe { pq_listener_send_batch(listener, out, len, 1, info, now) }
}

/// Puts as many datagrams as fit, `max` at most, one behind the other: all to one client, all of one
/// size, but for the last, which may be shorter. Returns the length of all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_send_batch(
    listener: *mut pq_listener,
    out: *mut u8,
    len: usize,
    max: usize,
    info: *mut pq_send_info,
    now: u64,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (listener, out) =
            unsafe { (pq_listener::follow(listener)?, slice_mut(out, len, "the buffer")?) };
        let now = Time::from_nanos(now);
        let sent = with_port!(&listener.port, port => port.send_batch(out, max, now))?;
        // SAFETY: likewise.
        unsafe { put_if(info, pq_send_info::new(&sent)) };
        Ok(sent.len as isize)
    })
}

/// How many nanoseconds a listener can wait before pq_listener_on_timeout; PQ_FOREVER if nothing is
/// awaited. 0 as long as there may be something to send, or news.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_timeout(listener: *mut pq_listener, now: u64) -> i64 {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let listener = unsafe { pq_listener::follow(listener)? };
        Ok(nanos(with_port!(&listener.port, port => port.timeout(Time::from_nanos(now)))))
    })
}

/// The timeout has passed. Harmless if it has not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_on_timeout(listener: *mut pq_listener, now: u64) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let listener = unsafe { pq_listener::follow(listener)? };
        with_port!(&listener.port, port => port.on_timeout(Time::from_nanos(now)));
        Ok(PQ_OK)
    })
}

/// The next news. PQ_ERR_DONE if there are none. To be called until then, after every batch of
/// datagrams and after pq_listener_on_timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_poll(
    listener: *mut pq_listener,
    event: *mut pq_listener_event,
    now: u64,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let listener = unsafe { pq_listener::follow(listener)? };
        check_place(event, "the place for the event")?;
        loop {
            let next = with_port!(&listener.port, port => port.poll(Time::from_nanos(now)));
            if let Some(found) = listener.translate(next.ok_or_else(Failure::done)?) {
                // SAFETY: the header asks for valid pointers.
                unsafe { put(event, found, "the place for the event")? };
                return Ok(PQ_OK);
            }
        }
    })
}

impl pq_listener {
    /// An event for C; none of a connection that C has freed.
    fn translate(&mut self, event: ListenerEvent) -> Option<pq_listener_event> {
        use pq_listener_event_kind as kind;
        let none = pq_close_info::default();
        let (kind, conn, close) = match event {
            ListenerEvent::Accepted(key) => {
                let conns = Rc::downgrade(&self.conns);
                let link = Link::Accepted { port: self.port.downgrade(), key, conns };
                let conn = pq_conn::new(link).release();
                self.conns.borrow_mut().insert(key.0, conn);
                (kind::PQ_LISTENER_ACCEPTED, conn, none)
            }
            ListenerEvent::Ready(key) => {
                (kind::PQ_LISTENER_READY, *self.conns.borrow().get(&key.0)?, none)
            }
            ListenerEvent::Closed(key, reason) => {
                let conn = self.conns.borrow_mut().remove(&key.0)?;
                let close = pq_close_info::new(&reason);
                // SAFETY: it is in the map, so it was not freed; one thread at a time is promised.
                if let Ok(conn) = unsafe { pq_conn::follow(conn) } {
                    conn.ended = Some(reason);
                }
                (kind::PQ_LISTENER_CLOSED, conn, close)
            }
        };
        Some(pq_listener_event { kind, conn, close })
    }
}

/// From now on new clients are refused, and every connection is told to end when it can: HTTP/3 says
/// GOAWAY and serves what runs, bare streams close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_stop(listener: *mut pq_listener, now: u64) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let listener = unsafe { pq_listener::follow(listener)? };
        with_port!(&listener.port, port => port.stop_accepting(Time::from_nanos(now)));
        Ok(PQ_OK)
    })
}

/// Closes every connection at once with an application's error code, and refuses new clients. The
/// reason may be NULL with a length of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_close_all(
    listener: *mut pq_listener,
    code: u64,
    reason: *const c_char,
    reason_len: usize,
    now: u64,
) -> c_int {
    guard(|| {
        let code = arguments::code(code)?;
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (listener, reason) = unsafe {
            let reason = slice(reason.cast::<u8>(), reason_len, "the reason")?;
            (pq_listener::follow(listener)?, String::from_utf8_lossy(reason))
        };
        with_port!(&listener.port, port => port.close_all(Time::from_nanos(now), code, &reason));
        Ok(PQ_OK)
    })
}

/// 1 if no connection lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_listener_is_idle(listener: *mut pq_listener) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let listener = unsafe { pq_listener::follow(listener)? };
        Ok(with_port!(&listener.port, port => port.is_idle()).into())
    })
}
