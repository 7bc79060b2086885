//! [`EventLoop`]: waits for sockets, for alarms and for other threads, and calls an
//! [`EventLoopVisitor`]. A turn reads a bounded number of datagrams of each socket for a bounded time,
//! then lets alarms go off, then lets sessions run: no flood can starve the alarms or the other
//! sockets. This file must not know protocols.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protoquic_core::{
    AlarmFactory, Clock, EventLoopVisitor, PacketReader, ReadBudget, ReadOutcome, Time,
};

use crate::busy_poll::{BusyPoll, Poller, processors};
use crate::clock::SystemClock;
use crate::timer_wheel::TimerWheel;
use crate::wait::{Notifier, Wait};

/// Runs one visitor on one socket, or on a few.
pub struct EventLoop {
    wait: Wait,
    /// The first one, and those [added](EventLoop::add_socket).
    sockets: Vec<WatchedSocket>,
    clock: SystemClock,
    alarms: TimerWheel,
    read_budget: usize,
    read_time: Duration,
    poller: Poller,
    bulk_pause: Duration,
    /// The last turn read much, and nothing was left.
    had_bulk: bool,
    woken: Arc<AtomicBool>,
    /// A turn was asked for, without a wake.
    hailed: Arc<AtomicBool>,
}

/// A socket's reader.
struct WatchedSocket {
    reader: Box<dyn PacketReader>,
    /// There is something to read: it was said, or the last read left datagrams behind.
    readable: bool,
}

/// Wakes an event loop from another thread.
#[derive(Clone, Debug)]
pub struct Waker {
    notifier: Arc<Notifier>,
    woken: Arc<AtomicBool>,
    /// A turn was asked for, without a wake.
    hailed: Arc<AtomicBool>,
}

impl Waker {
    /// Has [`EventLoopVisitor::on_wake`] called soon.
    pub fn wake(&self) -> io::Result<()> {
        self.woken.store(true, Ordering::Release);
        self.notifier.notify()
    }

    /// Has the loop take a turn soon, without [`EventLoopVisitor::on_wake`]: for visitors that look
    /// for what came from elsewhere at the end of each turn.
    pub fn take_turn(&self) -> io::Result<()> {
        self.hailed.store(true, Ordering::Release);
        self.notifier.notify()
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
            wait: Wait::new()?,
            sockets: Vec::new(),
            clock,
            alarms: TimerWheel::default(),
            read_budget: DEFAULT_READ_BUDGET,
            read_time: DEFAULT_READ_TIME,
            poller: Poller::new(BusyPoll::default(), processors()),
            bulk_pause: DEFAULT_BULK_PAUSE,
            had_bulk: false,
            woken: Arc::default(),
            hailed: Arc::default(),
        };
        made.add_socket(socket, reader)?;
        Ok(made)
    }

    /// Reads another socket too, for the same visitor: one at a preferred address, say. Whose
    /// writer must then know which packets to send from there.
    pub fn add_socket(
        &mut self,
        socket: Arc<UdpSocket>,
        reader: Box<dyn PacketReader>,
    ) -> io::Result<()> {
        self.wait.add(socket)?;
        self.sockets.push(WatchedSocket { reader, readable: false });
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

    /// Whether the sockets are read again and again before the loop sleeps; a [`Duration`] does so for
    /// that long after each datagram. Alarms, wakes and `max_wait` are as punctual as without.
    /// Default: [adaptive](BusyPoll::Adaptive).
    pub fn set_busy_poll(&mut self, rule: impl Into<BusyPoll>) {
        self.poller = Poller::new(rule.into(), processors());
    }

    /// How long to let datagrams gather after a turn that read 32 KiB or more and left nothing, before
    /// the sockets are looked at again. The system's timers make it some 50 microseconds longer. It
    /// spares both ends processor time in bulk transfers, and delays their acknowledgements as well as
    /// what [`Waker::wake`] asks for meanwhile by as much; zero turns it off. Default 20 microseconds.
    pub fn set_bulk_pause(&mut self, time: Duration) {
        self.bulk_pause = time;
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
        Waker {
            notifier: self.wait.notifier(),
            woken: self.woken.clone(),
            hailed: self.hailed.clone(),
        }
    }

    /// One turn: waits for something to happen, at most `max_wait`, and lets the visitor work on
    /// it. An error means that the socket cannot be used any more.
    pub fn run_once(
        &mut self,
        visitor: &mut dyn EventLoopVisitor,
        max_wait: Option<Duration>,
    ) -> io::Result<()> {
        let begin = self.clock.now();
        let wait = self.wait_time(visitor, max_wait);
        let busy = if visitor.wants_write_event() { Some(Duration::ZERO) } else { wait };
        self.poller.begin_wait(begin, busy);
        let now = if let Some(now) = self.poll_busily(begin, visitor)? {
            now
        } else {
            let max_wait = max_wait.map(|wait| wait.saturating_sub(self.poller.polled()));
            self.sleep_and_read(visitor, max_wait)?
        };
        if self.woken.swap(false, Ordering::Acquire) {
            self.poller.on_wake();
            visitor.on_wake(now);
        }
        while let Some(owner) = self.alarms.pop_expired(now) {
            visitor.on_alarm(owner, now);
        }
        visitor.on_turn_end(now, &mut self.alarms);
        Ok(())
    }

    /// Reads without sleeping, until something comes or it is time for something else. When something
    /// came.
    fn poll_busily(
        &mut self,
        begin: Time,
        visitor: &mut dyn EventLoopVisitor,
    ) -> io::Result<Option<Time>> {
        let mut now = begin;
        while self.poller.polls_at(now)
            && !self.woken.load(Ordering::Acquire)
            && !self.hailed.swap(false, Ordering::Acquire)
        {
            self.sockets.iter_mut().for_each(|watched| watched.readable = true);
            if self.read(now, visitor)? {
                return Ok(Some(now));
            }
            std::thread::yield_now();
            now = self.clock.now();
        }
        Ok(None)
    }

    /// Sleeps until something happens, and reads what has come. The time when it happened.
    fn sleep_and_read(
        &mut self,
        visitor: &mut dyn EventLoopVisitor,
        max_wait: Option<Duration>,
    ) -> io::Result<Time> {
        self.pause_after_bulk(visitor, max_wait);
        let wait = self.wait_time(visitor, max_wait);
        let mut writable = false;
        let writes = visitor.wants_write_event();
        match &mut self.sockets[..] {
            // There is work, so it does not sleep: a look at the only socket is a read that may find
            // nothing.
            [only] if wait == Some(Duration::ZERO) && !writes => only.readable = true,
            sockets => self.wait.wait(writes, wait, |at, read, write| {
                sockets[at].readable |= read;
                writable |= write;
            })?,
        }
        self.hailed.store(false, Ordering::Release); // this is the turn
        let now = self.clock.now();
        if writable {
            visitor.on_can_write(now);
        }
        self.read(now, visitor)?;
        Ok(now)
    }

    /// Reads the sockets that have something. Whether anything came.
    fn read(&mut self, now: Time, visitor: &mut dyn EventLoopVisitor) -> io::Result<bool> {
        let (mut came, mut bytes) = (false, 0);
        for watched in self.sockets.iter_mut().filter(|watched| watched.readable) {
            let yield_at = self.clock.now() + self.read_time;
            let budget = ReadBudget::packets(self.read_budget);
            let mut budget = budget.until(&self.clock, yield_at);
            let outcome = watched.reader.read_packets(now, &mut budget, visitor)?;
            watched.readable = outcome == ReadOutcome::MoreAvailable;
            came |= budget.left() < self.read_budget;
            bytes += budget.bytes();
        }
        self.had_bulk = bytes >= BULK;
        if came {
            self.poller.on_read(now, bytes);
        }
        Ok(came)
    }

    /// Lets what comes in bulk gather for a moment: whoever sends it need not wake us for each batch,
    /// and we read several at once.
    fn pause_after_bulk(&mut self, visitor: &dyn EventLoopVisitor, max_wait: Option<Duration>) {
        if std::mem::take(&mut self.had_bulk) && !visitor.wants_write_event() {
            let wait = self.wait_time(visitor, max_wait);
            let pause = wait.map_or(self.bulk_pause, |wait| wait.min(self.bulk_pause));
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
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

const DEFAULT_READ_BUDGET: usize = 1024;
const DEFAULT_READ_TIME: Duration = Duration::from_millis(5);
const DEFAULT_BULK_PAUSE: Duration = Duration::from_micros(20);
/// So many bytes in one turn are bulk: half of what a batch of a sender's holds.
const BULK: usize = 32 * 1024;
