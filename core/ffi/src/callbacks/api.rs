//! The functions of the callback layer. They check, leave an order, and return. This file must not
//! know what becomes of orders.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use libc::{sockaddr, socklen_t};
use protoquic::connection::ClientSetup;
use protoquic::{Connection, Direction, PathAddress, SystemRandom};

use super::events::{
    Context, pq_cb_conn_callback, pq_cb_listener_callback, pq_cb_stream_callback, pq_handle,
};
use super::port::{Command, Order, Send, StreamOrder, start};
use super::queue::Queue;
use super::server::{ListenerSetup, connect, listen};
use super::session::{CallbackSession, Deaths};
use super::table::{self, Entry};
use crate::address::from_c;
use crate::arguments::{self, check_place, slice, text};
use crate::handles::{Handle as _, pq_config};
use crate::status::{Failure, Outcome, PQ_ERR_NULL, PQ_ERR_WRONG_STATE, PQ_OK, guard};

/// Opens the callback layer: what listeners and connections belong to. `registration` gets its
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_open(registration: *mut pq_handle) -> c_int {
    guard(|| {
        check_place(registration, "the place for the handle")?;
        let handle = table::add(Entry::Registration(Arc::default()));
        // SAFETY: it is not NULL, and valid by the header's rule.
        unsafe { registration.write(handle) };
        Ok(PQ_OK)
    })
}

/// Closes everything that belongs to a registration, and waits until all of it has said so and its
/// threads have ended. Not to be called within a callback: PQ_ERR_WRONG_STATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_close(registration: pq_handle) -> c_int {
    guard(|| {
        let threads = table::registration(registration)?;
        let take = || std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
        let own = std::thread::current().id();
        let is_own = |thread: &table::Running| thread.port.thread == own;
        if threads.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_own) {
            let text = "a callback cannot wait for its own thread";
            return Err(Failure::new(PQ_ERR_WRONG_STATE, text));
        }
        table::remove(registration);
        // Callbacks that run meanwhile may have begun more; the lock is not held while they end.
        loop {
            let running = take();
            if running.is_empty() {
                break;
            }
            for thread in &running {
                let _ = thread.port.tell(Command::Stop); // unless it has ended
            }
            for thread in running {
                if thread.thread.join().is_err() {
                    log::error!("an I/O thread has panicked");
                }
            }
        }
        Ok(PQ_OK)
    })
}

/// Listens at an address on a thread of its own, which calls `callback` with `context` for every
/// client. `listener` gets its handle. The settings are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_listen(
    registration: pq_handle,
    config: *mut pq_config,
    address: *const sockaddr,
    address_len: socklen_t,
    callback: pq_cb_listener_callback,
    context: *mut c_void,
    listener: *mut pq_handle,
) -> c_int {
    guard(|| {
        check_place(listener, "the place for the handle")?;
        let threads = table::registration(registration)?;
        wanted(callback.is_some())?;
        // SAFETY: the header asks for valid handles and addresses.
        let (config, address) =
            unsafe { (&pq_config::follow(config)?.config, from_c(address, address_len)?) };
        let setup = ListenerSetup {
            server: config.server()?,
            limits: config.listener().clone(),
            callback,
            context: Context(context),
        };
        let handle = table::reserve();
        let thread = start(address, handle, Entry::Listener, move |equipment| {
            listen(equipment, handle, setup);
        })?;
        keep(&threads, thread);
        // SAFETY: it is not NULL, and valid by the header's rule.
        unsafe { listener.write(handle) };
        Ok(PQ_OK)
    })
}

fn wanted(is_there: bool) -> Outcome<()> {
    if is_there { Ok(()) } else { Err(Failure::new(PQ_ERR_NULL, "the callback is NULL")) }
}

/// Remembers a thread, and forgets those that have ended.
fn keep(threads: &Mutex<Vec<table::Running>>, thread: table::Running) {
    let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
    threads.retain(|thread| !thread.thread.is_finished());
    threads.push(thread);
}

/// Closes a listener and all its connections; they still tell their ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_listener_close(listener: pq_handle) -> c_int {
    guard(|| match table::find(listener)? {
        Entry::Listener(port) => port.tell(Command::Stop).map(|()| PQ_OK),
        _ => Err(table::wrong(listener, "no listener")),
    })
}

/// Begins a connection to the server of this name at this address, on a thread of its own, which calls
/// `callback` with `context`. `conn` gets its handle. The settings are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_connect(
    registration: pq_handle,
    config: *mut pq_config,
    server_name: *const c_char,
    address: *const sockaddr,
    address_len: socklen_t,
    callback: pq_cb_conn_callback,
    context: *mut c_void,
    conn: *mut pq_handle,
) -> c_int {
    guard(|| {
        check_place(conn, "the place for the handle")?;
        let threads = table::registration(registration)?;
        wanted(callback.is_some())?;
        // SAFETY: the header asks for valid handles, texts and addresses.
        let (config, name, server) = unsafe {
            let config = &pq_config::follow(config)?.config;
            (config, text(server_name, "the name")?, from_c(address, address_len)?)
        };
        let (transport, tls) = config.client()?;
        let server_name = protoquic::polled::server_name(name)?;
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let any = any.parse().map_err(|_| Failure::invalid("no address"))?;
        let (handle, context) = (table::reserve(), Context(context));
        let thread = start(any, handle, Entry::Conn, move |equipment| {
            let make = |now, local| {
                let setup = ClientSetup {
                    config: transport,
                    tls,
                    server_name,
                    path: PathAddress::new(local, server),
                    token: Bytes::new(),
                    random: Box::new(SystemRandom),
                    observer: None,
                };
                Connection::client(now, setup).map_err(|error| error.to_string())
            };
            connect(equipment, make, |port| {
                CallbackSession::new(handle, port, callback, context, Deaths::default())
            });
        })?;
        keep(&threads, thread);
        // SAFETY: it is not NULL, and valid by the header's rule.
        unsafe { conn.write(handle) };
        Ok(PQ_OK)
    })
}

fn order_conn(conn: pq_handle, order: Order) -> Outcome<c_int> {
    table::conn(conn)?.tell(Command::Order(conn, order)).map(|()| PQ_OK)
}

fn order_stream(stream: pq_handle, order: StreamOrder) -> Outcome<c_int> {
    let (port, conn, _) = table::stream(stream)?;
    port.tell(Command::Order(conn, Order::Stream(stream, order))).map(|()| PQ_OK)
}

/// Closes a connection with an application's error code. What is not delivered may be lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_conn_close(conn: pq_handle, code: u64) -> c_int {
    guard(|| order_conn(conn, Order::Close(arguments::code(code)?)))
}

/// Sends a datagram, which is copied. Nobody tells whether it arrives. PQ_ERR_QUEUE_FULL if too many
/// wait for the connection's thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_conn_send_datagram(
    conn: pq_handle,
    data: *const u8,
    len: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid pointers and lengths.
        let data = unsafe { slice(data, len, "the datagram")? };
        order_conn(conn, Order::Datagram(Bytes::copy_from_slice(data)))
    })
}

/// Opens a stream as soon as the peer allows one; `stream` gets its handle, which can be used at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_start(
    conn: pq_handle,
    bidirectional: bool,
    callback: pq_cb_stream_callback,
    context: *mut c_void,
    stream: *mut pq_handle,
) -> c_int {
    guard(|| {
        check_place(stream, "the place for the handle")?;
        wanted(callback.is_some())?;
        let port = table::conn(conn)?;
        let queue = Queue::default();
        let made = table::add(Entry::Stream { port: Arc::clone(&port), conn, queue });
        // SAFETY: it is not NULL, and valid by the header's rule.
        unsafe { stream.write(made) };
        let direction =
            if bidirectional { Direction::Bidirectional } else { Direction::Unidirectional };
        let order = Order::Open { stream: made, direction, callback, context: Context(context) };
        let told = port.tell(Command::Order(conn, order));
        if told.is_err() {
            table::remove(made);
        }
        told.map(|()| PQ_OK)
    })
}

/// Sends data, which is copied, and with `fin` the end of the stream. PQ_CB_SEND_COMPLETE, with
/// `send_context`, tells when it was taken on its way: send more then. PQ_ERR_QUEUE_FULL if 16 MiB of the
/// stream, or 1024 calls, wait already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_send(
    stream: pq_handle,
    data: *const u8,
    len: usize,
    fin: bool,
    send_context: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid pointers and lengths.
        let data = unsafe { slice(data, len, "the data")? };
        let (port, conn, queue) = table::stream(stream)?;
        let place = Some(queue.enter(data.len())?);
        let (data, context) = (Bytes::copy_from_slice(data), Context(send_context));
        let order = StreamOrder::Send(Send { data, fin, context, place });
        port.tell(Command::Order(conn, Order::Stream(stream, order))).map(|()| PQ_OK)
    })
}

/// Ends our part of a stream in order: what was sent before still arrives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_finish(stream: pq_handle) -> c_int {
    guard(|| order_stream(stream, StreamOrder::Send(Send::end())))
}

/// Gives our part of a stream up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_reset(stream: pq_handle, code: u64) -> c_int {
    guard(|| order_stream(stream, StreamOrder::Reset(arguments::code(code)?)))
}

/// Asks the peer to give its part of a stream up; nothing of it is shown any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_stop(stream: pq_handle, code: u64) -> c_int {
    guard(|| order_stream(stream, StreamOrder::Stop(arguments::code(code)?)))
}

/// Has what was not consumed shown again, and what comes after it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_cb_stream_resume(stream: pq_handle) -> c_int {
    guard(|| order_stream(stream, StreamOrder::Resume))
}
