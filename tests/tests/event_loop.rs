//! The event loop on real sockets: nobody who sends much can keep the alarms and the other sockets
//! from their turn.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use protoquic::readers::{EventLoop, PlainReader, SocketOptions, SystemClock, bind};
use protoquic::{
    AlarmFactory, AlarmOwner, Clock, EventLoopVisitor, PacketSink, ReceivedPacket, Time,
};

const MILLISECOND: Duration = Duration::from_millis(1);
/// So many datagrams wait on the busy socket, and one on the other.
const FLOOD: usize = 60;

/// What happened, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Busy,
    Quiet,
    Alarm,
    TurnEnd,
}

/// Takes so long over each datagram.
struct Slow {
    clock: SystemClock,
    each: Duration,
    busy_port: u16,
    log: Vec<Happened>,
}

impl PacketSink for Slow {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        let end = self.clock.now() + self.each;
        while self.clock.now() < end {} // it works
        let busy = packet.path.local.port() == self.busy_port;
        self.log.push(if busy { Happened::Busy } else { Happened::Quiet });
    }
}

impl EventLoopVisitor for Slow {
    fn on_alarm(&mut self, _owner: AlarmOwner, _now: Time) {
        self.log.push(Happened::Alarm);
    }

    fn on_can_write(&mut self, _now: Time) {}

    fn on_turn_end(&mut self, _now: Time, _alarms: &mut dyn AlarmFactory) {
        self.log.push(Happened::TurnEnd);
    }

    fn wants_write_event(&self) -> bool {
        false
    }

    fn has_work(&self) -> bool {
        false
    }
}

struct World {
    event_loop: EventLoop,
    visitor: Slow,
}

impl World {
    /// A flood waits on one socket, and a datagram on another; an alarm is about to go off.
    fn new(each: Duration) -> Self {
        let open = || {
            let address = "127.0.0.1:0".parse().expect("a loopback address");
            Arc::new(bind(address, &SocketOptions::default()).expect("loopback can be bound"))
        };
        let reader = |socket: &Arc<UdpSocket>| {
            Box::new(PlainReader::new(socket.clone()).expect("it can be read"))
        };
        let (busy, quiet, sender) = (open(), open(), open());
        let clock = SystemClock::new();
        let mut event_loop = EventLoop::new(busy.clone(), reader(&busy), clock).expect("a loop");
        event_loop.add_socket(quiet.clone(), reader(&quiet)).expect("a second socket");
        let to = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        for _ in 0..FLOOD {
            sender.send_to(b"busy", to(&busy)).expect("loopback takes it");
        }
        sender.send_to(b"quiet", to(&quiet)).expect("loopback takes it");
        let alarm = event_loop.alarms().create_alarm(AlarmOwner(0));
        let soon = event_loop.now() + MILLISECOND / 2;
        event_loop.alarms().set_alarm(alarm, Some(soon));
        let busy_port = to(&busy).port();
        Self { event_loop, visitor: Slow { clock, each, busy_port, log: Vec::new() } }
    }

    /// Runs until all has come, and tells what happened turn by turn.
    fn turns(mut self) -> Vec<Vec<Happened>> {
        for _ in 0..10_000 {
            let wait = Some(20 * MILLISECOND);
            self.event_loop.run_once(&mut self.visitor, wait).expect("the sockets work");
            let came = |what| self.visitor.log.iter().filter(|one| **one == what).count();
            if came(Happened::Busy) == FLOOD && came(Happened::Quiet) == 1 {
                break;
            }
        }
        let log = self.visitor.log;
        log.split(|one| *one == Happened::TurnEnd).map(<[_]>::to_vec).collect()
    }
}

fn count(turn: &[Happened], what: Happened) -> usize {
    turn.iter().filter(|one| **one == what).count()
}

#[test]
fn a_turn_reads_so_many_datagrams_of_a_socket() {
    let mut world = World::new(Duration::ZERO);
    world.event_loop.set_read_budget(8);
    world.event_loop.set_read_time(Duration::from_hours(1));
    let turns = world.turns();
    let most = turns.iter().map(|turn| count(turn, Happened::Busy)).max();
    assert_eq!(most, Some(8));
    let before = turns.iter().take_while(|turn| count(turn, Happened::Quiet) == 0).count();
    assert!(before <= 1, "the other socket waited for {before} turns");
}

#[test]
fn a_turn_reads_a_socket_for_so_long() {
    let mut world = World::new(MILLISECOND);
    world.event_loop.set_read_time(4 * MILLISECOND);
    let turns = world.turns();
    let sum: usize = turns.iter().map(|turn| count(turn, Happened::Busy)).sum();
    assert_eq!(sum, FLOOD);
    // Each takes a millisecond at least: after the fourth it is time to stop.
    let most = turns.iter().map(|turn| count(turn, Happened::Busy)).max();
    assert!(most <= Some(4), "{most:?} in a turn");
    let alarm = turns.iter().position(|turn| count(turn, Happened::Alarm) == 1);
    assert!(alarm.is_some_and(|turn| turn <= 1), "the alarm waited for {alarm:?} turns");
    let quiet = turns.iter().position(|turn| count(turn, Happened::Quiet) == 1);
    assert!(quiet.is_some_and(|turn| turn <= 1), "the other socket waited for {quiet:?} turns");
}

/// Waits for its socket once.
struct Waiter {
    waits: bool,
    told: u32,
}

impl PacketSink for Waiter {
    fn on_packet(&mut self, _packet: ReceivedPacket) {}
}

impl EventLoopVisitor for Waiter {
    fn on_alarm(&mut self, _owner: AlarmOwner, _now: Time) {}

    fn on_can_write(&mut self, _now: Time) {
        self.waits = false;
        self.told += 1;
    }

    fn on_turn_end(&mut self, _now: Time, _alarms: &mut dyn AlarmFactory) {}

    fn wants_write_event(&self) -> bool {
        self.waits
    }

    fn has_work(&self) -> bool {
        false
    }
}

#[test]
fn who_waits_for_the_socket_no_longer_is_not_woken_for_it() {
    let address = "127.0.0.1:0".parse().expect("a loopback address");
    let socket = Arc::new(bind(address, &SocketOptions::default()).expect("it can be bound"));
    let reader = PlainReader::new(socket.clone()).expect("it can be read");
    let mut event_loop =
        EventLoop::new(socket, Box::new(reader), SystemClock::new()).expect("a loop");
    let mut waiter = Waiter { waits: false, told: 0 };
    for round in 1..=3 {
        waiter.waits = true;
        for _ in 0..5 {
            event_loop.run_once(&mut waiter, Some(5 * MILLISECOND)).expect("the socket works");
        }
        assert_eq!(waiter.told, round, "one word for each wait");
    }
}

/// How long the second of two turns takes, after one that has read so many bytes.
fn turn_after(bytes: usize, pause: Duration) -> Duration {
    let address = "127.0.0.1:0".parse().expect("a loopback address");
    let socket = Arc::new(bind(address, &SocketOptions::default()).expect("it can be bound"));
    let to = socket.local_addr().expect("it is bound");
    let reader = Box::new(PlainReader::new(socket.clone()).expect("it can be read"));
    let clock = SystemClock::new();
    let mut event_loop = EventLoop::new(socket.clone(), reader, clock).expect("a loop");
    event_loop.set_bulk_pause(pause);
    event_loop.set_read_time(Duration::from_hours(1));
    let mut visitor = Waiter { waits: false, told: 0 };
    for _ in 0..bytes / 1000 {
        socket.send_to(&[1; 1000], to).expect("loopback takes it");
    }
    event_loop.run_once(&mut visitor, Some(Duration::from_hours(1))).expect("the socket works");
    // There is something to read at once: only the pause keeps it waiting.
    socket.send_to(b"more", to).expect("loopback takes it");
    let begin = clock.now();
    event_loop.run_once(&mut visitor, Some(Duration::from_hours(1))).expect("the socket works");
    clock.now() - begin
}

#[test]
fn after_bulk_it_lets_more_gather_and_after_little_it_does_not() {
    let pause = 300 * MILLISECOND;
    let paused = turn_after(64_000, pause);
    assert!(paused >= pause, "{paused:?}");
    let quick = (0..5).map(|_| turn_after(16_000, pause)).min();
    assert!(quick < Some(pause), "{quick:?}");
    let off = (0..5).map(|_| turn_after(64_000, Duration::ZERO)).min();
    assert!(off < Some(pause), "{off:?}");
}
