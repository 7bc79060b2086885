//! [`Port`]: a socket with an I/O thread of its own, as an application sees it: a bounded number of
//! kinds of orders, and a way to wake it. What the thread does is in `client_port.rs` and
//! `server_port.rs`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;

use protoquic_core::{ApplicationError, PacketReader, PacketWriter};
use protoquic_readers::{BatchReader, EventLoop, SocketOptions, SystemClock, Waker, bind};
use protoquic_writers::GsoBatchWriter;

use crate::client_port::ConnectOrder;
use crate::wait::{News, Waiter, Watched};
use crate::{Error, Result};

/// An I/O thread, from outside.
#[derive(Debug)]
pub struct Port {
    waker: Waker,
    inbox: Mutex<Inbox>,
    /// The thread has been woken and has not yet looked.
    is_woken: AtomicBool,
    /// How many connections have not ended.
    live: Watched<usize>,
}

/// What an I/O thread has been told.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Connections to begin.
    pub connects: Vec<ConnectOrder>,
    /// Connections that have orders.
    pub wakes: Vec<u64>,
    /// All connections are to end at once, with this.
    pub close_all: Option<(ApplicationError, String)>,
    /// No new connections are made; when the last has ended, so does the thread.
    pub close: bool,
    /// Everything is to end.
    pub stop: bool,
    /// The thread has ended.
    is_over: bool,
}

impl Port {
    fn new(waker: Waker) -> Arc<Self> {
        let (inbox, is_woken) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { waker, inbox, is_woken, live: Watched::new(0) })
    }

    pub(crate) fn wake_connection(&self, number: u64) {
        self.tell(|inbox| inbox.wakes.push(number));
    }

    /// Begins a connection.
    pub fn connect(&self, order: ConnectOrder) {
        self.count_birth();
        self.tell(|inbox| inbox.connects.push(order));
        self.fail_if_over();
    }

    /// Makes no more connections; the thread ends with the last of those there are.
    pub fn close(&self) {
        self.tell(|inbox| inbox.close = true);
    }

    /// Ends all connections at once.
    pub fn close_all(&self, code: ApplicationError, reason: &str) {
        self.tell(|inbox| inbox.close_all = Some((code, reason.to_owned())));
    }

    /// Ends everything, connections in order.
    pub fn stop(&self) {
        self.tell(|inbox| inbox.stop = true);
    }

    /// Waits until every connection has ended, and its peer has been told.
    pub fn wait_idle(&self, waiter: impl Waiter) -> Poll<Result<()>> {
        waiter.until(&self.live, News::ALL, |live| (*live == 0).then_some(Ok(())))
    }

    /// How many connections have not ended: what [`wait_idle`](Self::wait_idle) waits at.
    pub fn live(&self) -> &Watched<usize> {
        &self.live
    }

    pub(crate) fn count_birth(&self) {
        self.live.with(|live| *live += 1);
    }

    pub(crate) fn count_deaths(&self, deaths: usize) {
        if deaths > 0 {
            self.live.change(|live| *live -= deaths.min(*live));
        }
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

    /// The thread has ended, perhaps for an error: nobody shall wait for it.
    fn on_thread_end(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.fail_if_over();
        self.live.change(|live| *live = 0);
    }

    /// Whether the thread has ended: it makes no connections any more.
    pub(crate) fn is_over(&self) -> bool {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_over
    }

    fn fail_if_over(&self) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if !inbox.is_over {
            return;
        }
        let orders = std::mem::take(&mut inbox.connects);
        drop(inbox);
        self.count_deaths(orders.len());
        for order in orders {
            order.connection.end(&thread_ended());
        }
    }
}

/// What becomes of connections whose I/O thread has failed.
pub(crate) fn thread_ended() -> Error {
    Error::System(std::io::ErrorKind::BrokenPipe, "its I/O thread has ended".to_owned())
}

/// What an I/O thread works with.
pub(crate) struct Equipment {
    pub(crate) event_loop: EventLoop,
    pub(crate) writer: Box<dyn PacketWriter>,
    pub(crate) local: SocketAddr,
    pub(crate) port: Arc<Port>,
}

/// Opens a socket.
pub fn open_socket(address: SocketAddr) -> Result<Arc<UdpSocket>> {
    let socket = bind(address, &SocketOptions::default());
    Ok(Arc::new(socket.map_err(|error| Error::system(&error))?))
}

/// Tells the port when its thread is at its end, even if that is a panic.
struct Farewell(Arc<Port>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.on_thread_end();
    }
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
            let _farewell = Farewell(Arc::clone(&equipment.port));
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
    let mut event_loop = EventLoop::new(socket, reader, SystemClock::new())?;
    event_loop.set_read_budget(READ_BUDGET);
    let port = Port::new(event_loop.waker());
    Ok(Equipment { event_loop, writer, local, port })
}

/// How many datagrams a turn reads at most. What a turn brings to one stream shall fit into what is read
/// ahead, and who waits for it works beside us: so no more at once.
const READ_BUDGET: usize = 256;
