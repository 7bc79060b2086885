//! An event loop that polls before it sleeps: it finds what no socket announces, and neither alarms
//! nor wakes nor its caller wait for it. The reader is scripted, so nothing hangs on how fast a
//! network is.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protoquic::readers::{BusyPoll, EventLoop, SocketOptions, SystemClock, bind};
use protoquic::{
    AlarmFactory, AlarmOwner, Ecn, EventLoopVisitor, PacketReader, PacketSink, PathAddress,
    ReadBudget, ReadOutcome, ReceivedPacket, Time,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);

/// Brings a datagram with its first reads and with one more.
struct Scripted {
    reads: Rc<Cell<u32>>,
    first: u32,
    second: u32,
}

impl PacketReader for Scripted {
    fn read_packets(
        &mut self,
        now: Time,
        budget: &mut ReadBudget<'_>,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome> {
        self.reads.set(self.reads.get() + 1);
        let read = self.reads.get();
        if read <= self.first || read == self.second {
            budget.spend(1);
            let address = ([127, 0, 0, 1], 1).into();
            let path = PathAddress::new(address, address);
            let data = BytesMut::from(&b"x"[..]);
            sink.on_packet(ReceivedPacket { path, ecn: Ecn::NotEct, received: now, data });
        }
        Ok(ReadOutcome::Drained)
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Counts {
    packets: u32,
    alarms: u32,
    wakes: u32,
}

impl PacketSink for Counts {
    fn on_packet(&mut self, _packet: ReceivedPacket) {
        self.packets += 1;
    }
}

impl EventLoopVisitor for Counts {
    fn on_alarm(&mut self, _owner: AlarmOwner, _now: Time) {
        self.alarms += 1;
    }

    fn on_can_write(&mut self, _now: Time) {}

    fn on_wake(&mut self, _now: Time) {
        self.wakes += 1;
    }

    fn on_turn_end(&mut self, _now: Time, _alarms: &mut dyn AlarmFactory) {}

    fn wants_write_event(&self) -> bool {
        false
    }

    fn has_work(&self) -> bool {
        false
    }
}

struct World {
    event_loop: EventLoop,
    reads: Rc<Cell<u32>>,
    counts: Counts,
}

impl World {
    /// A loop that polls for so long, and has just had the one datagram that its socket announces.
    fn new(busy_poll: Duration, second: u32) -> Self {
        Self::after(1, busy_poll.into(), second)
    }

    /// The same with so many datagrams, each in a turn of its own.
    fn after(first: u32, busy_poll: BusyPoll, second: u32) -> Self {
        let address = "127.0.0.1:0".parse().expect("a loopback address");
        let socket = Arc::new(bind(address, &SocketOptions::default()).expect("it can be bound"));
        let reads = Rc::new(Cell::new(0));
        let reader = Box::new(Scripted { reads: reads.clone(), first, second });
        let clock = SystemClock::new();
        let mut event_loop = EventLoop::new(socket.clone(), reader, clock).expect("a loop");
        event_loop.set_busy_poll(busy_poll);
        let to = socket.local_addr().expect("it is bound");
        socket.send_to(b"x", to).expect("loopback takes it");
        let mut counts = Counts::default();
        for _ in 0..first {
            event_loop.run_once(&mut counts, None).expect("the socket works");
        }
        socket.recv(&mut [0; 9]).expect("nobody has read it"); // and now it is quiet for ever
        assert_eq!((reads.get(), counts.packets), (first, first));
        Self { event_loop, reads, counts }
    }

    fn run(&mut self, max_wait: Option<Duration>) {
        self.event_loop.run_once(&mut self.counts, max_wait).expect("the socket works");
    }
}

#[test]
fn what_comes_soon_is_read_without_sleeping() {
    let mut world = World::new(HOUR, 1000);
    world.run(None);
    assert_eq!((world.reads.get(), world.counts.packets), (1000, 2));
}

#[test]
fn without_it_a_quiet_socket_is_not_read() {
    let mut world = World::new(Duration::ZERO, 1000);
    world.run(Some(5 * MILLISECOND));
    assert_eq!((world.reads.get(), world.counts.packets), (1, 1));
}

#[test]
fn it_is_adaptive_at_first_and_a_loop_without_experience_sleeps() {
    let mut world = World::after(1, BusyPoll::default(), 1000);
    world.run(Some(5 * MILLISECOND));
    assert_eq!((world.reads.get(), world.counts.packets), (1, 1));
}

#[test]
fn many_short_waits_have_it_poll() {
    // With such a cap nothing hangs on how fast this machine is, but a thread that was set aside
    // sleeps: so it has more than one try.
    let adaptive = BusyPoll::Adaptive { max: HOUR };
    let found = (0..1000).any(|_| {
        let mut world = World::after(64, adaptive, 66);
        world.run(Some(20 * MILLISECOND));
        world.counts.packets == 65
    });
    let is_alone = std::thread::available_parallelism().is_ok_and(|count| count.get() == 1);
    assert_ne!(found, is_alone, "it polls, but never on an only processor");
}

#[test]
fn it_ends_when_nothing_has_come_for_so_long() {
    let mut world = World::new(MILLISECOND, u32::MAX);
    world.run(Some(20 * MILLISECOND));
    let reads = world.reads.get();
    world.run(Some(5 * MILLISECOND));
    assert_eq!(world.reads.get(), reads, "it sleeps from then on");
}

#[test]
fn an_alarm_goes_off_while_it_polls() {
    let mut world = World::new(HOUR, u32::MAX);
    let alarm = world.event_loop.alarms().create_alarm(AlarmOwner(0));
    let soon = world.event_loop.now() + 2 * MILLISECOND;
    world.event_loop.alarms().set_alarm(alarm, Some(soon));
    for _ in 0..10 {
        world.run(None);
        if world.counts.alarms == 1 {
            return;
        }
    }
    panic!("the alarm did not go off");
}

#[test]
fn its_caller_and_other_threads_do_not_wait_for_it() {
    let mut world = World::new(HOUR, u32::MAX);
    world.run(Some(2 * MILLISECOND));
    world.event_loop.waker().wake().expect("it can be woken");
    world.run(None);
    assert_eq!(world.counts.wakes, 1);
    world.run(Some(2 * MILLISECOND));
    assert_eq!(world.counts.wakes, 1, "once for one call");
}
