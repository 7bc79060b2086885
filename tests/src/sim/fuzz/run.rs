//! [`run`]: plays a [`Plan`] and checks what must hold:
//!
//! - every byte that is read is right, in its place, and of its stream (`stream.rs`, `session.rs`);
//! - who has nothing against it gets everything, and the connection ends as planned, with no error;
//! - nobody is stuck, and nobody stays: in the end there is no connection and no timer left;
//! - the wire's rules (`watch.rs`), and the size that packets may have on a path.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{
    ApplicationError, CloseReason, FnFactory, Host, ServerConfig, SessionHost, TransportErrorCode,
};

use super::super::capture::Captured;
use super::super::endpoints::{Client, ClientSpec, Server};
use super::super::link::LinkConfig;
use super::super::loss::Loss;
use super::super::nat::NatConfig;
use super::super::simulator::{Handle, Simulator};
use super::super::topology::{LinkId, NodeId};
use super::ledger::Shared;
use super::plan::{ClientPlan, Ending, Plan};
use super::session::Mix;
use super::task::{NEVER, Task};
use super::watch::{Watch, Watched};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Virtual time that passed.
    pub time: Duration,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Bytes of streams that were read and right.
    pub delivered: u64,
}

/// Plays a plan to its end. Panics if anything is violated.
pub fn run(plan: &Plan) -> Summary {
    play(Run::new(plan))
}

/// The same, with every datagram shown to `capture`, to see what led to a violation.
pub fn run_captured(plan: &Plan, capture: impl FnMut(&Captured<'_>) + 'static) -> Summary {
    let mut run = Run::new(plan);
    run.sim.capture(capture);
    play(run)
}

fn play(mut run: Run<'_>) -> Summary {
    run.play();
    run.check_ends();
    run.clean_up()
}

struct Run<'a> {
    plan: &'a Plan,
    sim: Simulator,
    server: Handle<Server>,
    members: Vec<Member>,
    watch: Rc<RefCell<Watch>>,
}

/// One client at work.
struct Member {
    plan: Rc<ClientPlan>,
    ledger: Shared,
    handle: Rc<Cell<Option<Handle<Client<Mix>>>>>,
    /// Its NAT rebound before the handshake was confirmed, which may end it (RFC 9000 §9).
    excused: Rc<Cell<bool>>,
    close_asked: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut sim = Simulator::new(plan.seed);
        let far = sim.add_host(&[server_address().ip()]);
        let router = sim.add_router();
        let trunk = sim.connect_unevenly(router, far, &plan.trunk[0], &plan.trunk[1]);
        let plans: Vec<Rc<ClientPlan>> = plan.clients.iter().cloned().map(Rc::new).collect();
        let ledgers: Rc<Vec<Shared>> = Rc::new(plans.iter().map(|_| Shared::default()).collect());
        let watched = plans.iter().zip(ledgers.iter());
        let watched =
            watched.map(|(plan, ledger)| Watched::new(ledger.clone(), plan.config.max_packet_size));
        let server_size = plan.server.max_packet_size;
        let watch = Watch::new(server_address(), server_size, watched.collect());
        let watch = Rc::new(RefCell::new(watch));
        let watching = watch.clone();
        sim.capture(move |seen| watching.borrow_mut().see(seen));
        let server = add_server(&mut sim, far, plan, &plans, &ledgers);
        let members = plans
            .into_iter()
            .zip(ledgers.iter())
            .map(|(plan, ledger)| Member::new(plan, ledger.clone()))
            .collect();
        let mut run = Self { plan, sim, server, members, watch };
        run.add_clients(router, &ledgers);
        run.plan_blackouts([trunk.0, trunk.1]);
        run
    }

    fn add_clients(&mut self, router: NodeId, ledgers: &Rc<Vec<Shared>>) {
        let mut shared = None;
        for index in 0..self.members.len() {
            let member = &self.members[index];
            let plan = member.plan.clone();
            let addresses = addresses(index);
            let near = self.sim.add_host(&addresses.map(|address| address.ip()));
            let behind = match &plan.nat {
                None => router,
                Some(_) if self.plan.shared_nat && shared.is_some() => shared.unwrap_or(router),
                Some(rebindings) => {
                    let nat = add_nat(&mut self.sim, index, router);
                    shared = Some(nat);
                    for (at, address) in rebindings {
                        self.plan_rebinding(nat, *at, *address);
                    }
                    nat
                }
            };
            let mut lines = Vec::new();
            // Behind a NAT there is but one way.
            for _ in 0..if plan.nat.is_none() { 2 } else { 1 } {
                let [up, down] = &plan.line;
                let (there, back) = self.sim.connect_unevenly(near, behind, up, down);
                lines.extend([there, back]);
            }
            self.plan_client(index, near, addresses, lines, ledgers);
        }
    }

    fn plan_rebinding(&mut self, nat: NodeId, at: Duration, address: bool) {
        let all: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.ledger.clone(), member.excused.clone()))
            .collect();
        self.sim.after(at, move |sim| {
            sim.rebind(nat, address);
            for (ledger, excused) in all {
                if ledger.borrow().confirmed.is_none() {
                    excused.set(true);
                }
            }
        });
    }

    fn plan_client(
        &mut self,
        index: usize,
        near: NodeId,
        [local, other]: [SocketAddr; 2],
        lines: Vec<LinkId>,
        ledgers: &Rc<Vec<Shared>>,
    ) {
        let member = &self.members[index];
        let (plan, handle, ledgers) = (member.plan.clone(), member.handle.clone(), ledgers.clone());
        let config = Arc::new(plan.config.clone());
        let start = plan.start;
        match plan.ending {
            Ending::ClientCloses(after) => {
                let handle = handle.clone();
                self.sim.after(start + after, move |sim| close(sim, handle.get()));
            }
            Ending::Vanishes(after) => {
                self.sim.after(start + after, move |sim| {
                    for line in lines {
                        cut(sim, line);
                    }
                });
            }
            Ending::WhenDone | Ending::ServerCloses => {}
        }
        self.sim.after(start, move |sim| {
            let spec = ClientSpec { config, ..ClientSpec::new(local, server_address(), &[ALPN]) };
            let other = plan.nat.is_none().then_some(other);
            let session = Mix::client(index as u16, plan, ledgers, sim.time(), other);
            handle.set(Some(sim.add_client(near, spec, session)));
        });
    }

    fn plan_blackouts(&mut self, trunk: [LinkId; 2]) {
        for (at, length) in &self.plan.blackouts {
            for line in trunk {
                self.sim.after(*at, move |sim| cut(sim, line));
                let whole = self.sim.link(line).clone();
                self.sim.after(*at + *length, move |sim| sim.set_link(line, whole));
            }
        }
    }

    /// Runs until every client's connection has ended.
    fn play(&mut self) {
        let end = self.sim.now() + PATIENCE;
        loop {
            let left = end.saturating_since(self.sim.now());
            let members = &self.members;
            if !self.sim.run_until(left, |_| members.iter().any(Member::has_news)) {
                break;
            }
            for member in &mut self.members {
                if member.has_news() {
                    member.close_asked = true;
                    let handle = member.handle.get();
                    close(&mut self.sim, handle);
                }
            }
            if self.members.iter().all(Member::is_closed) {
                return;
            }
        }
        if self.members.iter().all(Member::is_closed) {
            return;
        }
        for (index, member) in self.members.iter().enumerate().filter(|(_, m)| !m.is_closed()) {
            let deadline = member.handle.get().map(|handle| self.sim.deadline_of(handle.id()));
            let ledger = member.ledger.borrow();
            println!("client {index}: next deadline {deadline:?}, {ledger:?}");
        }
        panic!("somebody is stuck after {PATIENCE:?}");
    }

    fn check_ends(&self) {
        for (index, member) in self.members.iter().enumerate() {
            let ledger = member.ledger.borrow();
            for (side, end) in ["client", "server"].into_iter().zip(&ledger.closed) {
                let Some((at, reason)) = end else { continue };
                assert!(
                    member.expects(reason),
                    "the {side} of client {index} ({:?}) ended at {at:?}: {reason}",
                    member.plan.ending
                );
            }
            if member.plan.ending == Ending::WhenDone && member.close_asked {
                let wanted = member.flows_to_be_whole();
                let whole = ledger.whole;
                assert!(whole >= wanted, "client {index}: {whole} flows whole of {wanted}");
            }
            self.check_packet_size(index, member);
        }
    }

    /// No client may believe in a size that its path does not carry.
    fn check_packet_size(&self, index: usize, member: &Member) {
        let Some(handle) = member.handle.get() else { return };
        let size = self.sim.get(handle).visitor().host().connection().stats().packet_size;
        let carried = self.plan.path_payload(index).max(1200);
        assert!(size <= carried, "client {index} sends {size} bytes on a path of {carried}");
    }

    /// Everything must come to rest: no session, no timer.
    fn clean_up(mut self) -> Summary {
        let time = self.sim.now();
        self.sim.run_for(AFTERMATH);
        let stats = self.sim.get(self.server).visitor().stats();
        assert!(stats.sessions_created <= self.members.len() as u64, "{stats:?}");
        assert_eq!((stats.sessions, stats.handshaking), (0, 0), "{stats:?}");
        assert!(self.sim.is_over(), "somebody still has a timer");
        for member in &self.members {
            let Some(handle) = member.handle.get() else { continue };
            let host = self.sim.get(handle).visitor().host();
            assert!(host.connection().is_drained() && host.next_deadline().is_none());
        }
        let delivered = self.members.iter().map(|member| member.ledger.borrow().delivered).sum();
        let datagrams = self.watch.borrow().sent;
        let planned: u64 =
            self.plan.clients.iter().flat_map(|client| &client.tasks).map(Task::size).sum();
        let most = MAX_DATAGRAMS + planned / 50;
        assert!(datagrams <= most, "{datagrams} datagrams for {planned} bytes");
        let time = time.saturating_since(Simulator::new(0).now());
        Summary { time, datagrams, delivered }
    }
}

impl Member {
    fn new(plan: Rc<ClientPlan>, ledger: Shared) -> Self {
        let (handle, excused) = (Rc::default(), Rc::default());
        Self { plan, ledger, handle, excused, close_asked: false }
    }

    fn is_closed(&self) -> bool {
        self.ledger.borrow().closed[0].is_some()
    }

    /// Whether it has done all and is to be closed.
    fn has_news(&self) -> bool {
        let waits = self.plan.ending == Ending::WhenDone && !self.close_asked;
        waits && self.ledger.borrow().done && !self.is_closed()
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

fn close(sim: &mut Simulator, client: Option<Handle<Client<Mix>>>) {
    if let Some(client) = client {
        let now = sim.now();
        sim.get_mut(client).visitor_mut().close(now, CLIENT_CLOSES, "as planned");
        sim.kick(client.id());
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

/// From now on nothing passes.
fn cut(sim: &mut Simulator, line: LinkId) {
    let config = sim.link(line).clone();
    sim.set_link(line, LinkConfig { loss: vec![Loss::Random(1.0)], ..config });
}

fn add_nat(sim: &mut Simulator, index: usize, router: NodeId) -> NodeId {
    let outside = IpAddr::from([203, 0, 113 + index as u8, 7]);
    let nat = sim.add_nat(NatConfig::new(outside));
    sim.connect(nat, router, &LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() });
    nat
}

fn add_server(
    sim: &mut Simulator,
    node: NodeId,
    plan: &Plan,
    plans: &[Rc<ClientPlan>],
    ledgers: &Rc<Vec<Shared>>,
) -> Handle<Server> {
    let transport: Arc<Config> = Arc::new(plan.server.clone());
    let config = ServerConfig { transport, tls: crate::tls::server(&[ALPN]) };
    let (clock, plans, ledgers) = (sim.time(), plans.to_vec(), ledgers.clone());
    let factory = FnFactory::new(&[ALPN], config, move |connection| {
        let session = Mix::server(ledgers.clone(), clock.clone(), &plans);
        Box::new(SessionHost::new(connection, session))
    });
    let settings = DispatcherConfig { address_validation: plan.validation, ..Default::default() };
    sim.add_server(node, server_address(), settings, vec![Box::new(factory)])
}

fn server_address() -> SocketAddr {
    ([192, 0, 2, 1], 443).into()
}

/// A client's two addresses.
fn addresses(index: usize) -> [SocketAddr; 2] {
    [1, 2].map(|network| ([10, network, index as u8, 1], 5000).into())
}

const ALPN: &[u8] = b"mix";
/// The client's code when it closes as planned.
const CLIENT_CLOSES: ApplicationError = ApplicationError(1);
/// The server's.
pub(super) const SERVER_CLOSES: ApplicationError = ApplicationError(2);
/// How long everything may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// How long it may take until the last timer has gone off: an idle timeout and the time for which
/// closed connections are remembered.
const AFTERMATH: Duration = Duration::from_mins(8);
/// Datagrams that a run may send besides those that carry its bytes.
const MAX_DATAGRAMS: u64 = 20_000;
