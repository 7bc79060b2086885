//! [`Port`]: a socket with an I/O thread of its own, as other threads see it: a bounded number of
//! kinds of orders, and a way to wake it. What the thread does is in `client_port.rs` and
//! `server_port.rs`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use protoquic_core::{PacketReader, PacketWriter};
use protoquic_readers::{BatchReader, EventLoop, SocketOptions, SystemClock, Waker, bind};
use protoquic_writers::GsoBatchWriter;

use crate::client_port::ConnectOrder;
use crate::{Error, Result};

/// An I/O thread, from outside.
#[derive(Debug)]
pub(crate) struct Port {
    waker: Waker,
    inbox: Mutex<Inbox>,
    /// The thread has been woken and has not yet looked.
    is_woken: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Connections to begin.
    pub(crate) connects: Vec<ConnectOrder>,
    /// Connections that have orders.
    pub(crate) wakes: Vec<u64>,
    /// No new connections are accepted.
    pub(crate) close: bool,
    /// Everything is to end.
    pub(crate) stop: bool,
}

impl Port {
    fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { waker, inbox: Mutex::default(), is_woken: AtomicBool::new(false) })
    }

    pub(crate) fn wake_connection(&self, number: u64) {
        self.tell(|inbox| inbox.wakes.push(number));
    }

    pub(crate) fn connect(&self, order: ConnectOrder) {
        self.tell(|inbox| inbox.connects.push(order));
    }

    pub(crate) fn close(&self) {
        self.tell(|inbox| inbox.close = true);
    }

    pub(crate) fn stop(&self) {
        self.tell(|inbox| inbox.stop = true);
    }

    /// What was told since the last time. For the I/O thread.
    pub(crate) fn take_inbox(&self) -> Inbox {
        self.is_woken.store(false, Ordering::Release);
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, f: impl FnOnce(&mut Inbox)) {
        f(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.is_woken.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            log::error!("an I/O thread cannot be woken: {error}");
        }
    }
}

/// What an I/O thread works with.
pub(crate) struct Equipment {
    pub(crate) event_loop: EventLoop,
    pub(crate) writer: Box<dyn PacketWriter>,
    pub(crate) local: SocketAddr,
    pub(crate) port: Arc<Port>,
}

/// Opens a socket.
pub(crate) fn open_socket(address: SocketAddr) -> Result<Arc<UdpSocket>> {
    let socket = bind(address, &SocketOptions::default());
    Ok(Arc::new(socket.map_err(|error| Error::system(&error))?))
}

/// Starts an I/O thread on this socket, which runs `main`.
pub(crate) fn start(
    name: &str,
    socket: Arc<UdpSocket>,
    main: impl FnOnce(Equipment) + Send + 'static,
) -> Result<(Arc<Port>, JoinHandle<()>)> {
    let (tell, told) = sync_channel(1);
    let run = move || match equip(socket) {
        Ok(equipment) => {
            let _ = tell.send(Ok(Arc::clone(&equipment.port))); // who started us waits for it
            main(equipment);
        }
        Err(error) => drop(tell.send(Err(Error::system(&error)))),
    };
    let thread = std::thread::Builder::new().name(format!("protoquic {name}")).spawn(run);
    let thread = thread.map_err(|error| Error::system(&error))?;
    let died = |_| Error::Invalid("the I/O thread died at its start".to_owned());
    let port = told.recv().map_err(died)??;
    Ok((port, thread))
}

/// The event loop is made on its thread: its parts need not be able to change threads.
fn equip(socket: Arc<UdpSocket>) -> std::io::Result<Equipment> {
    let local = socket.local_addr()?;
    let reader: Box<dyn PacketReader> = Box::new(BatchReader::new(Arc::clone(&socket))?);
    let writer: Box<dyn PacketWriter> = Box::new(GsoBatchWriter::new(Arc::clone(&socket))?);
    let event_loop = EventLoop::new(socket, reader, SystemClock::new())?;
    let port = Port::new(event_loop.waker());
    Ok(Equipment { event_loop, writer, local, port })
}
