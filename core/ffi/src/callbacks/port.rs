//! [`Port`]: a socket with an I/O thread of its own, as other threads see it: orders are left in its
//! inbox, and it is woken. This file must not know what sessions do.

use std::ffi::c_void;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use bytes::Bytes;
use protoquic::Direction;
use protoquic::readers::{BatchReader, EventLoop, SocketOptions, SystemClock, Waker, bind};
use protoquic::writers::GsoBatchWriter;

use super::events::{Context, pq_cb_stream_callback, pq_handle};
use super::queue::Place;
use super::stream::CallbackStream;
use super::table::{self, Entry, Running};
use crate::status::{Failure, Outcome, PQ_ERR_BAD_HANDLE, PQ_ERR_QUEUE_FULL, PQ_ERR_SYSTEM};

/// An I/O thread, from outside.
pub(crate) struct Port {
    waker: Waker,
    inbox: Mutex<Inbox>,
    /// The thread has been woken and has not yet looked.
    is_woken: AtomicBool,
    pub(crate) thread: ThreadId,
}

/// What a thread was told and has not yet looked at.
#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    /// How many datagrams are among them.
    datagrams: usize,
    /// The thread has looked for the last time.
    is_over: bool,
}

/// What a thread is told.
pub(crate) enum Command {
    /// Everything is to end.
    Stop,
    /// Something for a connection.
    Order(pq_handle, Order),
}

/// What a connection is told.
pub(crate) enum Order {
    Close(u64),
    Datagram(Bytes),
    Open {
        stream: pq_handle,
        direction: Direction,
        callback: pq_cb_stream_callback,
        context: Context,
    },
    Stream(pq_handle, StreamOrder),
}

/// What a stream is told.
pub(crate) enum StreamOrder {
    Send(Send),
    Reset(u64),
    Stop(u64),
    Resume,
}

/// Something to be sent.
pub(crate) struct Send {
    pub(crate) data: Bytes,
    pub(crate) fin: bool,
    pub(crate) context: Context,
    /// Its place among what waits. Nobody waits to hear of what needs none.
    pub(crate) place: Option<Place>,
}

impl Send {
    /// The end of a stream, and nothing else.
    pub(crate) fn end() -> Self {
        let context = Context(std::ptr::null_mut::<c_void>());
        Self { data: Bytes::new(), fin: true, context, place: None }
    }
}

impl Port {
    pub(crate) fn tell(&self, command: Command) -> Outcome<()> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).add(command)?;
        if !self.is_woken.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            log::error!("an I/O thread cannot be woken: {error}");
        }
        Ok(())
    }

    /// What was told since the last time. For the I/O thread.
    pub(crate) fn take(&self) -> Vec<Command> {
        self.is_woken.store(false, Ordering::Release);
        self.look(false)
    }

    /// The I/O thread looks for the last time: no stream that was to be opened shall wait for ever.
    pub(crate) fn close(&self) {
        for command in self.look(true) {
            if let Command::Order(_, order) = command {
                order.refuse();
            }
        }
    }

    fn look(&self, is_over: bool) -> Vec<Command> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *inbox, Inbox { is_over, ..Inbox::default() }).commands
    }
}

impl Inbox {
    fn add(&mut self, command: Command) -> Outcome<()> {
        if self.is_over {
            return Err(Failure::new(PQ_ERR_BAD_HANDLE, "it is over"));
        }
        if matches!(command, Command::Order(_, Order::Datagram(_))) {
            if self.datagrams >= MAX_DATAGRAMS {
                let text = format!("{MAX_DATAGRAMS} datagrams wait already");
                return Err(Failure::new(PQ_ERR_QUEUE_FULL, text));
            }
            self.datagrams += 1;
        }
        self.commands.push(command);
        Ok(())
    }
}

impl Order {
    /// There is no connection to carry it out. On the I/O thread.
    pub(crate) fn refuse(self) {
        if let Self::Open { stream, callback, context, .. } = self {
            CallbackStream::new(stream, callback, context).end();
        }
    }
}

/// How many datagrams wait for an I/O thread at most.
const MAX_DATAGRAMS: usize = 1024;

/// What an I/O thread works with.
pub(crate) struct Equipment {
    pub(crate) event_loop: EventLoop,
    pub(crate) writer: GsoBatchWriter,
    pub(crate) local: SocketAddr,
    pub(crate) port: Arc<Port>,
}

/// Opens a socket and starts an I/O thread on it, which runs `main`. From before that on, `handle`
/// names what `entry` makes of its port.
pub(crate) fn start(
    address: SocketAddr,
    handle: pq_handle,
    entry: fn(Arc<Port>) -> Entry,
    main: impl FnOnce(Equipment) + std::marker::Send + 'static,
) -> Outcome<Running> {
    let failed = |error: std::io::Error| Failure::new(PQ_ERR_SYSTEM, format!("{address}: {error}"));
    let socket = Arc::new(bind(address, &SocketOptions::default()).map_err(failed)?);
    let (tell, told) = sync_channel(1);
    let run = move || match equip(socket) {
        Ok(equipment) => {
            table::insert(handle, entry(Arc::clone(&equipment.port)));
            let _ = tell.send(Ok(Arc::clone(&equipment.port))); // who started us waits for it
            main(equipment);
        }
        Err(error) => drop(tell.send(Err(error))),
    };
    let thread = std::thread::Builder::new().name("protoquic c".to_owned()).spawn(run);
    let thread = thread.map_err(failed)?;
    let died = |_| Failure::new(PQ_ERR_SYSTEM, "the I/O thread died at its start");
    let port = told.recv().map_err(died)?.map_err(failed)?;
    Ok(Running { port, thread })
}

/// The event loop is made on its thread: its parts need not be able to change threads.
fn equip(socket: Arc<UdpSocket>) -> std::io::Result<Equipment> {
    let local = socket.local_addr()?;
    let reader = Box::new(BatchReader::new(Arc::clone(&socket))?);
    let writer = GsoBatchWriter::new(Arc::clone(&socket))?;
    let event_loop = EventLoop::new(socket, reader, SystemClock::new())?;
    let port = Arc::new(Port {
        waker: event_loop.waker(),
        inbox: Mutex::default(),
        is_woken: AtomicBool::new(false),
        thread: std::thread::current().id(),
    });
    Ok(Equipment { event_loop, writer, local, port })
}
