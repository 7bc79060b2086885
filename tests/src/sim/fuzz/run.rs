//! [`run`]: plays a [`Plan`] and checks what must hold:
//!
//! - every byte that is read is right, in its place, and of its stream (`stream.rs`, `session.rs`);
//! - who has nothing against it gets everything, and the connection ends as planned, with no error,
//!   within three PTO;
//! - nobody is stuck, nobody stays and nobody is busy for nothing: in the end there is no connection
//!   and no timer left;
//! - what is asked by HTTP/3 is answered, or known not to have been processed, whoever goes away
//!   when (`web_ledger.rs`);
//! - no connection keeps more than its settings and named limits let it (`Holdings`);
//! - the wire's rules (`watch.rs`), packet numbers and acknowledgements (`account.rs`), the
//!   congestion window (`window.rs`), and the size that packets may have on a path.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use protoquic::connection::ConnectionStats;
use protoquic::{ApplicationError, CloseReason, EarlyData, Host, TransportErrorCode};

use super::super::capture::Captured;
use super::super::simulator::Simulator;
use super::plan::{Ending, Plan};
use super::task::{NEVER, Task};
use super::watch::Watch;
use super::web::WebPlan;
use super::web_client::WebMember;
use super::world::{CLIENT_CLOSES, Member, SERVER_CLOSES, World, close};

/// What a run, or all of several, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Virtual time that passed.
    pub time: Duration,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Bytes of streams that were read and right.
    pub delivered: u64,
    /// Connections that were begun.
    pub connections: u64,
    /// Those that resumed an earlier session.
    pub resumed: u64,
    /// Those that could send early data, and those of them whose server took it.
    pub early: (u64, u64),
    /// Those that went over to another path.
    pub moved: u64,
    /// Key updates.
    pub key_updates: u64,
    /// Packets of clients that were declared lost, and those of them that had only been late.
    pub losses: (u64, u64),
    /// The longest time for which a client that had something to get got nothing.
    pub longest_pause: Duration,
    /// Turns of all endpoints.
    pub turns: u64,
    /// HTTP requests that were answered whole, and those that somebody's going away left over.
    pub requests: (u64, u64),
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.datagrams += other.datagrams;
        self.delivered += other.delivered;
        self.connections += other.connections;
        self.resumed += other.resumed;
        self.early.0 += other.early.0;
        self.early.1 += other.early.1;
        self.moved += other.moved;
        self.key_updates += other.key_updates;
        self.losses.0 += other.losses.0;
        self.losses.1 += other.losses.1;
        self.longest_pause = self.longest_pause.max(other.longest_pause);
        self.turns += other.turns;
        self.requests.0 += other.requests.0;
        self.requests.1 += other.requests.1;
    }

    /// Adds what a client's connection did, which must have come to rest.
    fn add_client(&mut self, host: &impl Host) {
        let connection = host.connection();
        assert!(connection.is_drained() && host.next_deadline().is_none());
        let stats = connection.stats();
        self.key_updates += stats.key_updates;
        self.losses.0 += stats.packets_lost;
        self.losses.1 += stats.spurious_losses;
        self.resumed += u64::from(connection.is_resumed());
        let early = connection.early_data();
        self.early.0 += u64::from(matches!(early, EarlyData::Accepted | EarlyData::Rejected));
        self.early.1 += u64::from(early == EarlyData::Accepted);
    }
}

/// Plays a plan to its end. Panics if anything is violated.
pub fn run(plan: &Plan) -> Summary {
    play(Run::new(plan))
}

/// The same, with every datagram shown to `capture`, to see what led to a violation.
pub fn run_captured(plan: &Plan, capture: impl FnMut(&Captured<'_>) + 'static) -> Summary {
    let mut run = Run::new(plan);
    run.world.sim.capture(capture);
    play(run)
}

fn play(mut run: Run<'_>) -> Summary {
    run.play();
    run.check_ends();
    run.clean_up()
}

struct Run<'a> {
    plan: &'a Plan,
    world: World,
    watch: Rc<RefCell<Watch>>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut world = World::new(plan);
        let ledgers = world.members.iter().map(|member| member.ledger.clone());
        let ledgers = ledgers.chain(world.webs.iter().map(|web| web.ledger.clone())).collect();
        let watch = Rc::new(RefCell::new(Watch::new(plan, ledgers)));
        let watching = watch.clone();
        world.sim.capture(move |seen| watching.borrow_mut().see(seen));
        Self { plan, world, watch }
    }

    /// Runs until every client's connection has ended.
    fn play(&mut self) {
        let end = self.world.sim.now() + PATIENCE;
        loop {
            for index in 0..self.world.members.len() {
                if self.world.may_launch(index) {
                    self.world.launch(self.plan, index);
                }
                let member = &mut self.world.members[index];
                if member.is_to_be_closed() {
                    member.close_asked = true;
                    let handle = member.handle.get();
                    close(&mut self.world.sim, handle);
                }
            }
            self.world.tend_webs(self.plan);
            let (members, webs) = (&self.world.members, &self.world.webs);
            let open = || {
                members.iter().filter(|m| !m.is_closed()).count()
                    + webs.iter().filter(|web| !web.is_closed()).count()
            };
            let before = open();
            if before == 0 {
                return;
            }
            let left = end.saturating_since(self.world.sim.now());
            let news = |sim: &Simulator| {
                for web in webs {
                    web.look(sim);
                }
                open() < before
                    || members.iter().any(Member::is_to_be_closed)
                    || webs.iter().any(WebMember::is_to_leave)
            };
            if !self.world.sim.run_until(left, news) {
                break;
            }
        }
        for (index, member) in self.world.members.iter().enumerate().filter(|(_, m)| !m.is_closed())
        {
            let deadline = member.handle.get().map(|at| self.world.sim.deadline_of(at.id()));
            let ledger = member.ledger.borrow();
            println!("client {index}: next deadline {deadline:?}, {ledger:?}");
        }
        for (index, web) in self.world.webs.iter().enumerate().filter(|(_, web)| !web.is_closed()) {
            println!("web {index}: {:?}", web.ledger.borrow());
        }
        panic!("somebody is stuck after {PATIENCE:?}");
    }

    fn check_ends(&self) {
        for (index, member) in self.world.members.iter().enumerate() {
            let ledger = member.ledger.borrow();
            for (side, end) in ["client", "server"].into_iter().zip(&ledger.closed) {
                let Some((at, reason)) = end else { continue };
                assert!(
                    member.expects(reason),
                    "the {side} of client {index} ({:?}) ended at {at:?}: {reason}",
                    member.plan.ending
                );
            }
            if member.close_asked || (member.plan.ending == Ending::FallsSilent && ledger.is_done())
            {
                let wanted = member.flows_to_be_whole();
                let whole = ledger.whole;
                assert!(whole >= wanted, "client {index}: {whole} flows whole of {wanted}");
            }
            let pause = ledger.longest_pause;
            assert!(pause <= MAX_PAUSE, "client {index} got nothing for {pause:?}");
            let host = member.handle.get().map(|at| self.world.sim.get(at).visitor().host());
            self.check_packet_size(index, host.map(|host| host.connection().stats()));
            ledger.check_acks();
        }
        for (at, web) in self.world.webs.iter().enumerate() {
            web.check(at);
            let host = web.handle.get().map(|at| self.world.sim.get(at).visitor().host());
            let index = self.plan.clients.len() + at;
            self.check_packet_size(index, host.map(|host| host.connection().stats()));
            web.ledger.borrow().check_acks();
        }
    }

    /// No client may believe in a size that its path does not carry.
    fn check_packet_size(&self, index: usize, stats: Option<ConnectionStats>) {
        let Some(ConnectionStats { packet_size: size, .. }) = stats else { return };
        let carried = self.plan.path_payload(index).max(1200);
        assert!(size <= carried, "client {index} sends {size} bytes on a path of {carried}");
    }

    /// Everything must come to rest: no session, no timer.
    fn clean_up(mut self) -> Summary {
        let time = self.world.sim.now();
        self.world.sim.run_for(AFTERMATH);
        let (sim, server) = (&self.world.sim, self.world.server);
        let stats = sim.get(server).visitor().stats();
        let connections = self.world.members.len() + self.world.webs.len();
        assert!(stats.sessions_created <= connections as u64, "{stats:?}");
        assert_eq!((stats.sessions, stats.handshaking), (0, 0), "{stats:?}");
        assert!(sim.is_over(), "somebody still has a timer");
        let time = time.saturating_since(Simulator::new(0).now());
        let datagrams = self.watch.borrow().sent;
        let mut sum = Summary { time, datagrams, ..Summary::default() };
        sum.turns = sim.turns_of(server.id());
        for member in &self.world.members {
            let Some(handle) = member.handle.get() else { continue };
            sum.add_client(sim.get(handle).visitor().host());
            sum.turns += sim.turns_of(handle.id());
            member.add_to(&mut sum);
        }
        for web in &self.world.webs {
            let Some(handle) = web.handle.get() else { continue };
            sum.add_client(sim.get(handle).visitor().host());
            sum.turns += sim.turns_of(handle.id());
            let ledger = web.ledger.borrow();
            let (answered, unanswered) = ledger.web.counts();
            sum.connections += 1;
            sum.delivered += ledger.delivered;
            sum.requests.0 += answered;
            sum.requests.1 += unanswered;
        }
        let planned: u64 =
            self.plan.clients.iter().flat_map(|client| &client.tasks).map(Task::size).sum();
        let planned = planned + self.plan.web.iter().map(WebPlan::size).sum::<u64>();
        let most = MAX_DATAGRAMS + planned / 50;
        assert!(datagrams <= most, "{datagrams} datagrams for {planned} bytes");
        let most = MAX_TURNS + 4 * datagrams;
        assert!(sum.turns <= most, "{} turns for {datagrams} datagrams", sum.turns);
        sum
    }
}

impl Member {
    /// Whether it has done all and is to be closed.
    fn is_to_be_closed(&self) -> bool {
        let waits = self.plan.ending == Ending::WhenDone && !self.close_asked;
        waits && self.ledger.borrow().is_done() && !self.is_closed()
    }

    fn add_to(&self, sum: &mut Summary) {
        let ledger = self.ledger.borrow();
        sum.connections += 1;
        sum.delivered += ledger.delivered;
        sum.moved += u64::from(ledger.moved);
        sum.longest_pause = sum.longest_pause.max(ledger.longest_pause);
    }

    /// Whether a connection of this plan may end for this reason, at either end.
    fn expects(&self, reason: &CloseReason) -> bool {
        let silent = matches!(reason, CloseReason::IdleTimeout | CloseReason::HandshakeTimeout);
        if (silent || is_foreign_token(reason)) && self.excused.get() {
            return true;
        }
        let lost = silent || matches!(reason, CloseReason::StatelessReset);
        let by = |wanted: ApplicationError| match reason {
            CloseReason::Application { code, .. } | CloseReason::PeerApplication { code, .. } => {
                *code == wanted
            }
            // Before the handshake is complete an application's code is not told (RFC 9000
            // §10.2.3).
            CloseReason::PeerTransport(error) => {
                error.code() == TransportErrorCode::APPLICATION_ERROR
            }
            _ => false,
        };
        match self.plan.ending {
            // The server may not hear of it.
            Ending::WhenDone => self.close_asked && (by(CLIENT_CLOSES) || lost),
            Ending::ClientCloses(_) => by(CLIENT_CLOSES) || lost,
            Ending::ServerCloses => by(SERVER_CLOSES) || lost,
            Ending::Vanishes(_) => lost,
            Ending::FallsSilent => lost && self.ledger.borrow().is_done(),
        }
    }

    /// How many flows nobody planned to cut, and both ends had time to read.
    fn flows_to_be_whole(&self) -> u64 {
        let server_is_slow = self.plan.appetite[1].is_some();
        let whole = |task: &Task| {
            let asked = task.up_reset >= task.up;
            let up = asked && task.up_stop == NEVER && !server_is_slow;
            let exists = !task.uni || task.pushed;
            let uncut = task.down_reset >= task.down && task.down_stop == NEVER;
            u64::from(up) + u64::from(asked && exists && uncut)
        };
        self.plan.tasks.iter().map(whole).sum()
    }
}

impl Task {
    fn size(&self) -> u64 {
        u64::from(self.up) + u64::from(self.down)
    }
}

/// A Retry token holds for one address only (RFC 9000 §8.1.3), and the NAT changed it.
fn is_foreign_token(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::PeerTransport(error) | CloseReason::Transport(error) => {
            error.code() == TransportErrorCode::INVALID_TOKEN
        }
        _ => false,
    }
}

/// How long everything may take.
const PATIENCE: Duration = Duration::from_hours(1);
/// How long a client with something to get may get nothing: for a blackout, and some of the probe
/// timeouts that double meanwhile.
const MAX_PAUSE: Duration = Duration::from_secs(100);
/// How long it may take until the last timer has gone off: an idle timeout and the time for which
/// closed connections are remembered.
const AFTERMATH: Duration = Duration::from_mins(8);
/// Datagrams that a run may send besides those that carry its bytes.
const MAX_DATAGRAMS: u64 = 20_000;
/// Turns that endpoints may take besides some for each datagram.
const MAX_TURNS: u64 = 5_000;
