//! Runs the phases: each thread drives a share of the connections, and nobody begins a phase before
//! all have ended the one before.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use protoquic::dispatcher::ClientPool;
use protoquic::readers::{EventLoop, SystemClock, connectable_from};
use protoquic::{Clock as _, EventLoopVisitor as _, SessionHost, Time};

use super::client::{Counts, EchoClient};
use super::{EchoPlan, Phase, Report};
use crate::endpoint;
use crate::qchat::Message;

/// Does what was planned. `log` is given a line for what happens.
pub fn run(plan: &EchoPlan, log: &(dyn Fn(&str) + Sync)) -> Result<Report, String> {
    let threads = plan.threads.clamp(1, plan.clients.connections);
    let meeting = Meeting { members: threads, ..Meeting::default() };
    let clock = SystemClock::new();
    let times = thread::scope(|scope| {
        let work = |number: usize| {
            let share = share_of(plan.clients.connections, threads, number);
            let meeting = &meeting;
            scope.spawn(move || {
                let times = Worker::new(plan, share)
                    .and_then(|mut worker| worker.run(number, meeting, clock, log));
                if times.is_err() {
                    meeting.failed.store(true, Ordering::Release);
                }
                times
            })
        };
        let workers: Vec<_> = (0..threads).map(work).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Result<[Duration; 4], String>>| {
            worker.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        };
        let all: Vec<_> = workers.into_iter().map(join).collect();
        // The cause rather than those who were told to stop for it.
        let cause = all.iter().filter_map(|times| times.as_ref().err());
        match cause.min_by_key(|why| *why == ELSEWHERE) {
            Some(why) => Err(why.clone()),
            None => all.into_iter().next().unwrap_or_else(|| Err("no thread ran".to_owned())),
        }
    })?;
    Ok(Report::new(plan, times))
}

/// How many of `whole` the `number`th of `parts` gets.
fn share_of(whole: usize, parts: usize, number: usize) -> usize {
    whole / parts + usize::from(number < whole % parts)
}

/// Where threads wait for one another, without leaving their event loops.
#[derive(Debug, Default)]
struct Meeting {
    members: usize,
    /// How many have come to the end of each phase.
    arrived: [AtomicUsize; 4],
    failed: AtomicBool,
}

impl Meeting {
    fn arrive(&self, phase: Phase) {
        self.arrived[phase as usize].fetch_add(1, Ordering::AcqRel);
    }

    fn is_complete(&self, phase: Phase) -> bool {
        self.arrived[phase as usize].load(Ordering::Acquire) == self.members
    }
}

/// One thread's connections.
struct Worker<'a> {
    plan: &'a EchoPlan,
    share: usize,
    event_loop: EventLoop,
    pool: ClientPool<EchoClient>,
    local: SocketAddr,
    counts: Rc<RefCell<Counts>>,
    message: Message,
    begun: usize,
}

impl<'a> Worker<'a> {
    fn new(plan: &'a EchoPlan, share: usize) -> Result<Self, String> {
        let (mut event_loop, writer, local) =
            endpoint::open(connectable_from(plan.server.address))?;
        event_loop.set_busy_poll(plan.server.busy_poll);
        let pool = ClientPool::new(writer, plan.server.config.client_connection_id_length);
        let (counts, message) = (Rc::default(), Message::pattern(plan.bytes));
        Ok(Self { plan, share, event_loop, pool, local, counts, message, begun: 0 })
    }

    fn run(
        &mut self,
        number: usize,
        meeting: &Meeting,
        clock: SystemClock,
        log: &(dyn Fn(&str) + Sync),
    ) -> Result<[Duration; 4], String> {
        let mut times = [Duration::ZERO; 4];
        let mut begun = clock.now();
        for phase in Phase::ALL {
            self.begin(phase);
            self.finish(phase, meeting)?;
            let now = clock.now();
            times[phase as usize] = now - begun;
            begun = now;
            if number == 0 {
                let ms = times[phase as usize].as_secs_f64() * 1e3;
                log(&format!("{} done after {ms:.3} ms", phase.name()));
            }
        }
        Ok(times)
    }

    /// Has every connection begin a phase.
    fn begin(&mut self, phase: Phase) {
        let (now, streams) = (self.event_loop.now(), self.plan.clients.streams);
        match phase {
            Phase::Connect => {}
            Phase::Open => {
                self.pool.enter_all(now, |session, cx| session.open_streams(streams, cx));
            }
            Phase::Transfer => self.pool.enter_all(now, EchoClient::transfer),
            Phase::Close => self.pool.enter_all(now, EchoClient::end),
        }
    }

    fn is_done(&self, phase: Phase) -> bool {
        let streams = self.share * self.plan.clients.streams;
        let counts = self.counts.borrow();
        match phase {
            Phase::Connect => counts.connected == self.share,
            // A server with a lower limit lets the rest in when others have ended.
            Phase::Open => counts.opened == streams || self.is_limited(),
            Phase::Transfer => counts.done == streams,
            Phase::Close => self.pool.is_empty(),
        }
    }

    /// Whether the server allows fewer streams at a time than are wanted, and these are open.
    fn is_limited(&self) -> bool {
        let allowed = self.pool.sessions().map(EchoClient::open).sum::<usize>();
        let wanted = self.share * self.plan.clients.streams;
        allowed < wanted && self.counts.borrow().opened == allowed
    }

    /// Works until everybody is done with a phase.
    fn finish(&mut self, phase: Phase, meeting: &Meeting) -> Result<(), String> {
        let mut arrived = false;
        let mut before = self.progress();
        let mut moved = self.event_loop.now();
        while !meeting.is_complete(phase) {
            if phase == Phase::Connect {
                self.connect()?;
            }
            let wait = if arrived { BRIEFLY } else { OFTEN };
            let run = self.event_loop.run_once(&mut self.pool, Some(wait));
            run.map_err(|error| format!("the socket failed: {error}"))?;
            self.pool.take_ended();
            if let Some(failure) = &self.counts.borrow().failure {
                return Err(failure.clone());
            }
            if meeting.failed.load(Ordering::Acquire) {
                return Err(ELSEWHERE.to_owned());
            }
            if !arrived && self.is_done(phase) {
                arrived = true;
                meeting.arrive(phase);
            }
            let (progress, now) = (self.progress(), self.event_loop.now());
            if progress != before || arrived {
                (before, moved) = (progress, now);
            } else if now - moved > self.plan.patience {
                let seconds = self.plan.patience.as_secs_f64();
                return Err(format!("{}: nothing happened for {seconds} s", phase.name()));
            }
        }
        Ok(())
    }

    fn progress(&self) -> (usize, usize, u64, usize) {
        let counts = self.counts.borrow();
        (counts.connected, counts.done, counts.echoed, self.pool.len())
    }

    /// Begins as many connections as may be on their way.
    fn connect(&mut self) -> Result<(), String> {
        let parallel = self.plan.parallel.div_ceil(self.plan.threads).max(1);
        while self.begun < self.share && self.begun - self.counts.borrow().connected < parallel {
            let now = self.event_loop.now();
            self.pool.add(self.host(now)?);
            self.begun += 1;
        }
        if self.pool.has_work() {
            self.pool.on_turn_end(self.event_loop.now(), self.event_loop.alarms());
        }
        Ok(())
    }

    fn host(&self, now: Time) -> Result<SessionHost<EchoClient>, String> {
        let connection = self.plan.server.connection(now, self.local)?;
        let (message, counts) = (self.message.clone(), Rc::clone(&self.counts));
        Ok(SessionHost::new(connection, EchoClient::new(message, self.plan.test_bytes, counts)))
    }
}

/// How long a turn waits while there is much to do, and who is done while others are not.
const OFTEN: Duration = Duration::from_millis(100);
const BRIEFLY: Duration = Duration::from_millis(1);
/// What a thread says that stops because of another.
const ELSEWHERE: &str = "another thread failed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_evenly() {
        let shares =
            |whole, parts| (0..parts).map(|n| share_of(whole, parts, n)).collect::<Vec<_>>();
        assert_eq!(shares(10, 3), [4, 3, 3]);
        assert_eq!(shares(2, 2), [1, 1]);
    }
}
