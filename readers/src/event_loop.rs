//! [`EventLoop`]: waits for sockets, for alarms and for other threads, and calls an
//! [`EventLoopVisitor`]. A turn reads a bounded number of datagrams of each socket for a bounded time,
//! then lets alarms go off, then lets sessions run: no flood can starve the alarms or the other
//! sockets. This file must not know protocols.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};
use protoquic_core::{
    AlarmFactory, Clock, EventLoopVisitor, PacketReader, ReadBudget, ReadOutcome, Time,
};

use crate::clock::SystemClock;
use crate::timer_wheel::TimerWheel;

/// Runs one visitor on one socket, or on a few.
pub struct EventLoop {
    poller: Arc<Poller>,
    events: Events,
    /// The first one, and those [added](EventLoop::add_socket).
    sockets: Vec<WatchedSocket>,
    clock: SystemClock,
    alarms: TimerWheel,
    read_budget: usize,
    read_time: Duration,
    watches_writes: bool,
    woken: Arc<AtomicBool>,
}

/// A socket, and who reads it.
struct WatchedSocket {
    socket: Arc<UdpSocket>,
    reader: Box<dyn PacketReader>,
    /// There is something to read: it was said, or the last read left datagrams behind.
    readable: bool,
}

/// Wakes an event loop from another thread.
#[derive(Clone, Debug)]
pub struct Waker {
    poller: Arc<Poller>,
    woken: Arc<AtomicBool>,
}

impl Waker {
    /// Has [`EventLoopVisitor::on_wake`] called soon.
    pub fn wake(&self) -> io::Result<()> {
        self.woken.store(true, Ordering::Release);
        self.poller.notify()
    }

    /// Has the loop take a turn soon, without [`EventLoopVisitor::on_wake`]: for visitors that look
    /// for what came from elsewhere at the end of each turn.
    pub fn take_turn(&self) -> io::Result<()> {
        self.poller.notify()
    }
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").field("alarms", &self.alarms.len()).finish_non_exhaustive()
    }
}

impl EventLoop {
    /// A loop on this socket, which `reader` reads.
    pub fn new(
        socket: Arc<UdpSocket>,
        reader: Box<dyn PacketReader>,
        clock: SystemClock,
    ) -> io::Result<Self> {
        let mut made = Self {
            poller: Arc::new(Poller::new()?),
            events: Events::new(),
            sockets: Vec::new(),
            clock,
            alarms: TimerWheel::default(),
            read_budget: DEFAULT_READ_BUDGET,
            read_time: DEFAULT_READ_TIME,
            watches_writes: false,
            woken: Arc::default(),
        };
        made.add_socket(socket, reader)?;
        Ok(made)
    }

    /// Reads another socket too, for the same visitor: one at a preferred address, say. Whose
    /// writer must then know which packets to send from there.
    #[expect(unsafe_code, reason = "polling asks for a promise that `Drop` keeps")]
    pub fn add_socket(
        &mut self,
        socket: Arc<UdpSocket>,
        reader: Box<dyn PacketReader>,
    ) -> io::Result<()> {
        let interest = Event::readable(self.sockets.len());
        // SAFETY: the socket is owned here and removed from the poller in `drop`, before it closes.
        unsafe { self.poller.add_with_mode(&*socket, interest, mode(&self.poller))? };
        self.sockets.push(WatchedSocket { socket, reader, readable: false });
        Ok(())
    }

    /// How many datagrams of a socket a turn reads, about: a read that has begun is not cut short,
    /// and may bring several. At least 1. Default 1024.
    pub fn set_read_budget(&mut self, budget: usize) {
        self.read_budget = budget.max(1);
    }

    /// For how long a turn reads a socket, at most; then alarms, sessions and other sockets get their
    /// turn. One read is always made. Default 5 ms.
    pub fn set_read_time(&mut self, time: Duration) {
        self.read_time = time.max(Duration::from_nanos(1));
    }

    /// The loop's clock.
    pub fn clock(&self) -> SystemClock {
        self.clock
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Its alarms.
    pub fn alarms(&mut self) -> &mut dyn AlarmFactory {
        &mut self.alarms
    }

    /// What other threads wake it with.
    pub fn waker(&self) -> Waker {
        Waker { poller: self.poller.clone(), woken: self.woken.clone() }
    }

    /// One turn: waits for something to happen, at most `max_wait`, and lets the visitor work on
    /// it. An error means that the socket cannot be used any more.
    pub fn run_once(
        &mut self,
        visitor: &mut dyn EventLoopVisitor,
        max_wait: Option<Duration>,
    ) -> io::Result<()> {
        self.rearm(visitor)?;
        self.events.clear();
        let wait = self.wait_time(visitor, max_wait);
        match self.poller.wait(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = self.clock.now();
        let mut writable = false;
        for event in self.events.iter() {
            writable |= event.writable;
            if let Some(watched) = self.sockets.get_mut(event.key) {
                watched.readable |= event.readable;
            }
        }
        if writable {
            // The poller goes on watching until `rearm` tells it not to.
            visitor.on_can_write(now);
        }
        for watched in self.sockets.iter_mut().filter(|watched| watched.readable) {
            let yield_at = self.clock.now() + self.read_time;
            let budget = ReadBudget::packets(self.read_budget);
            let mut budget = budget.until(&self.clock, yield_at);
            let outcome = watched.reader.read_packets(now, &mut budget, visitor)?;
            watched.readable = outcome == ReadOutcome::MoreAvailable;
        }
        if self.woken.swap(false, Ordering::Acquire) {
            visitor.on_wake(now);
        }
        while let Some(owner) = self.alarms.pop_expired(now) {
            visitor.on_alarm(owner, now);
        }
        visitor.on_turn_end(now, &mut self.alarms);
        Ok(())
    }

    /// Watches for what the visitor wants to know.
    fn rearm(&mut self, visitor: &dyn EventLoopVisitor) -> io::Result<()> {
        let wants_writes = visitor.wants_write_event();
        let oneshot = mode(&self.poller) == PollMode::Oneshot;
        if oneshot || wants_writes != self.watches_writes {
            for (key, watched) in self.sockets.iter().enumerate() {
                let interest = Event::new(key, true, wants_writes);
                self.poller.modify_with_mode(&*watched.socket, interest, mode(&self.poller))?;
            }
            self.watches_writes = wants_writes;
        }
        Ok(())
    }

    fn wait_time(
        &self,
        visitor: &dyn EventLoopVisitor,
        max_wait: Option<Duration>,
    ) -> Option<Duration> {
        if self.sockets.iter().any(|watched| watched.readable) || visitor.has_work() {
            return Some(Duration::ZERO);
        }
        let alarm = self.alarms.next_deadline().map(|deadline| {
            // Rounded up to what the system's timers can do: waking too early means waking twice.
            deadline.saturating_since(self.clock.now())
        });
        [alarm, max_wait].into_iter().flatten().min()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        for watched in &self.sockets {
            if let Err(error) = self.poller.delete(&*watched.socket) {
                log::warn!("a socket could not be removed from its poller: {error}");
            }
        }
    }
}

fn mode(poller: &Poller) -> PollMode {
    if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot }
}

const DEFAULT_READ_BUDGET: usize = 1024;
const DEFAULT_READ_TIME: Duration = Duration::from_millis(5);
