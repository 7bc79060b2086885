//! Builds the network of a plan in a simulator: hosts, NATs, the server, and each client when its
//! time has come. This file must not know what has to hold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::crypto::offer_early_data;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::writers::BlockingWriter;
use protoquic::{ApplicationError, FnFactory, PacketWriter, ServerConfig, SessionHost, http};

use super::super::endpoints::{Client, ClientSpec, Server};
use super::super::link::LinkConfig;
use super::super::loss::Loss;
use super::super::nat::NatConfig;
use super::super::simulator::{Handle, Simulator};
use super::super::topology::{LinkId, NodeId};
use super::account::{Bookkeeper, Bookkeepers, SharedAccount};
use super::ledger::Shared;
use super::plan::{ClientPlan, Ending, Plan};
use super::session::Mix;
use super::web_client::WebMember;
use super::web_server::WebFactory;

/// A client's connection.
pub(super) struct Member {
    pub(super) plan: Rc<ClientPlan>,
    pub(super) ledger: Shared,
    pub(super) handle: Rc<Cell<Option<Handle<Client<Mix>>>>>,
    /// Its NAT rebound before the handshake was confirmed, which may end it (RFC 9000 §9).
    pub(super) excused: Rc<Cell<bool>>,
    pub(super) close_asked: bool,
    launched: bool,
}

impl Member {
    fn new(plan: ClientPlan) -> Self {
        let (ledger, handle, excused) = (Rc::default(), Rc::default(), Rc::default());
        Self { plan: Rc::new(plan), ledger, handle, excused, close_asked: false, launched: false }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ledger.borrow().closed[0].is_some()
    }
}

/// A client's computer.
struct Home {
    node: NodeId,
    /// Its lines, there and back.
    lines: Vec<LinkId>,
}

/// The network and who lives in it.
pub(super) struct World {
    pub(super) sim: Simulator,
    pub(super) server: Handle<Server>,
    pub(super) members: Vec<Member>,
    pub(super) webs: Vec<WebMember>,
    homes: BTreeMap<usize, Home>,
    /// One for all: sessions are resumed only with the TLS settings that they come from.
    client_tls: Arc<rustls::ClientConfig>,
    pub(super) web_tls: Arc<rustls::ClientConfig>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut sim = Simulator::new(plan.seed);
        let addresses = [Some(plan.server_address()), plan.preferred_address()];
        let addresses: Vec<_> =
            addresses.into_iter().flatten().map(|address| address.ip()).collect();
        let far = sim.add_host(&addresses);
        let router = sim.add_router();
        let trunk = sim.connect_unevenly(router, far, &plan.trunk[0], &plan.trunk[1]);
        let members: Vec<Member> = plan.clients.iter().cloned().map(Member::new).collect();
        let webs: Vec<WebMember> = plan.web.iter().cloned().map(WebMember::new).collect();
        let server = add_server(&mut sim, far, plan, &members, &webs);
        let mut world = Self {
            sim,
            server,
            members,
            webs,
            homes: BTreeMap::new(),
            client_tls: crate::tls::client(&[ALPN]),
            web_tls: crate::tls::client(&[http::ALPN]),
        };
        world.add_homes(plan, router);
        world.plan_blackouts(plan, [trunk.0, trunk.1]);
        world
    }

    fn add_homes(&mut self, plan: &Plan, router: NodeId) {
        let mut shared = None;
        for (index, client) in plan.clients.iter().enumerate() {
            if client.follows.is_some() {
                continue;
            }
            let node = self.sim.add_host(&plan.addresses(index).map(|address| address.ip()));
            let behind = match &client.nat {
                None => router,
                Some(_) if plan.shared_nat && shared.is_some() => shared.unwrap_or(router),
                Some(rebindings) => {
                    let nat = self.sim.add_nat(NatConfig::new(plan.nat_address(index)));
                    let wire = LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() };
                    self.sim.connect(nat, router, &LinkConfig { mtu: 10_000, ..wire });
                    shared = Some(nat);
                    for (at, address) in rebindings {
                        self.plan_rebinding(nat, *at, *address);
                    }
                    nat
                }
            };
            let mut lines = Vec::new();
            // Behind a NAT there is but one way.
            for _ in 0..if client.nat.is_none() { 2 } else { 1 } {
                let [up, down] = &client.line;
                let (there, back) = self.sim.connect_unevenly(node, behind, up, down);
                lines.extend([there, back]);
            }
            self.homes.insert(index, Home { node, lines });
        }
        for (at, web) in plan.web.iter().enumerate().filter(|(_, web)| web.follows.is_none()) {
            let index = plan.clients.len() + at;
            let node = self.sim.add_host(&plan.addresses(index).map(|address| address.ip()));
            let (there, back) = self.sim.connect_unevenly(node, router, &web.line[0], &web.line[1]);
            self.homes.insert(index, Home { node, lines: vec![there, back] });
        }
    }

    /// Where the connections of this host begin.
    pub(super) fn home_of(&self, host: usize) -> NodeId {
        self.homes[&host].node
    }

    fn plan_rebinding(&mut self, nat: NodeId, at: Duration, address: bool) {
        let all: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.ledger.clone(), member.excused.clone(), member.handle.clone()))
            .collect();
        self.sim.after(at, move |sim| {
            sim.rebind(nat, address);
            for (ledger, excused, handle) in all {
                if handle.get().is_some() && ledger.borrow().confirmed.is_none() {
                    excused.set(true);
                }
            }
        });
    }

    fn plan_blackouts(&mut self, plan: &Plan, trunk: [LinkId; 2]) {
        for (at, length) in &plan.blackouts {
            for line in trunk {
                self.sim.after(*at, move |sim| cut(sim, line));
                let whole = self.sim.link(line).clone();
                self.sim.after(*at + *length, move |sim| sim.set_link(line, whole));
            }
        }
    }

    /// Whether this connection may be begun now and has not been.
    pub(super) fn may_launch(&self, index: usize) -> bool {
        let member = &self.members[index];
        let free = member.plan.follows.is_none_or(|before| self.members[before].is_closed());
        free && !member.launched
    }

    /// Has a connection begin, and end, at its time.
    pub(super) fn launch(&mut self, plan: &Plan, index: usize) {
        let ledgers: Vec<Shared> =
            self.members.iter().map(|member| member.ledger.clone()).collect();
        let member = &mut self.members[index];
        member.launched = true;
        let (client, handle) = (member.plan.clone(), member.handle.clone());
        let start = client.start;
        let home = &self.homes[&plan.host_of(index)];
        match client.ending {
            Ending::ClientCloses(after) => {
                let handle = handle.clone();
                self.sim.after(start + after, move |sim| close(sim, handle.get()));
            }
            Ending::Vanishes(after) => {
                let lines = home.lines.clone();
                self.sim.after(start + after, move |sim| {
                    for line in lines {
                        cut(sim, line);
                    }
                });
            }
            Ending::WhenDone | Ending::ServerCloses | Ending::FallsSilent => {}
        }
        let [local, other] = plan.addresses(index);
        let other = client.nat.is_none().then_some(other);
        let (node, server) = (home.node, plan.server_address());
        let tls = self.client_tls.clone();
        self.sim.after(start, move |sim| {
            let account = SharedAccount::default();
            ledgers[index].borrow_mut().accounts[0] = Some(account.clone());
            let spec = ClientSpec {
                config: Arc::new(client.config.clone()),
                tls,
                observer: Some(Box::new(Bookkeeper(account))),
                ..ClientSpec::new(local, server, &[ALPN])
            };
            let blocks = client.blocks;
            let session = Mix::client(index as u16, client, ledgers.into(), sim.time(), other);
            let added = sim.add_client_with(node, spec, session, |writer| match blocks {
                Some(every) => Box::new(BlockingWriter::every_nth(writer, every)),
                None => Box::new(writer) as Box<dyn PacketWriter>,
            });
            handle.set(Some(added));
        });
    }
}

/// Closes a client's connection, if it was begun.
pub(super) fn close(sim: &mut Simulator, client: Option<Handle<Client<Mix>>>) {
    let Some(client) = client else { return };
    let now = sim.now();
    let connection = sim.get(client).visitor().host().connection();
    let (was_closed, pto) = (connection.is_closed(), connection.pto());
    sim.get_mut(client).visitor_mut().close(now, CLIENT_CLOSES, "as planned");
    sim.kick(client.id());
    if was_closed {
        return;
    }
    // RFC 9000 §10.2: three times the PTO, and that is it.
    let connection = sim.get(client).visitor().host().connection();
    assert!(connection.is_closed(), "a client does not close");
    let end = connection.next_deadline();
    let most = now + 3 * pto + Duration::from_millis(1);
    assert!(end.is_none_or(|end| end <= most), "closing until {end:?} from {now:?}, PTO {pto:?}");
}

/// From now on nothing passes.
fn cut(sim: &mut Simulator, line: LinkId) {
    let config = sim.link(line).clone();
    sim.set_link(line, LinkConfig { loss: vec![Loss::Random(1.0)], ..config });
}

fn add_server(
    sim: &mut Simulator,
    node: NodeId,
    plan: &Plan,
    members: &[Member],
    webs: &[WebMember],
) -> Handle<Server> {
    let config = settings_for(plan, ALPN);
    let ledgers: Rc<[Shared]> = members.iter().map(|member| member.ledger.clone()).collect();
    let plans: Vec<Rc<ClientPlan>> = members.iter().map(|member| member.plan.clone()).collect();
    let clock = sim.time();
    let bookkeepers = Bookkeepers::default();
    let web = web_factory(plan, webs, bookkeepers.0.clone());
    let latest = bookkeepers.0.clone();
    let factory = FnFactory::new(&[ALPN], config, move |connection| {
        let account = latest.borrow().clone();
        let session = Mix::server(ledgers.clone(), clock.clone(), &plans, account);
        Box::new(SessionHost::new(connection, session))
    });
    let settings = DispatcherConfig {
        address_validation: plan.validation,
        versions: plan.server.versions.clone(),
        ..Default::default()
    };
    let server = sim.add_server(
        node,
        plan.server_address(),
        settings,
        vec![Box::new(factory), Box::new(web)],
    );
    sim.get_mut(server).visitor_mut().set_observers(Box::new(bookkeepers));
    if let Some(preferred) = plan.preferred_address() {
        sim.bind(server.id(), preferred);
    }
    server
}

/// The server's settings for this protocol.
fn settings_for(plan: &Plan, alpn: &[u8]) -> ServerConfig {
    let mut tls = (*crate::tls::repeatable_server(&[alpn])).clone();
    if plan.server.early_data {
        offer_early_data(&mut tls, 100);
    }
    ServerConfig { transport: Arc::new(plan.server.clone()), tls: Arc::new(tls) }
}

fn web_factory(plan: &Plan, webs: &[WebMember], latest: Rc<RefCell<SharedAccount>>) -> WebFactory {
    WebFactory {
        alpn: WebFactory::protocols(),
        config: settings_for(plan, http::ALPN),
        http: Arc::new(plan.server_http.clone()),
        clients: webs.iter().map(WebMember::for_server).collect(),
        first: plan.clients.len(),
        latest,
    }
}

const ALPN: &[u8] = b"mix";
/// The client's code when it closes as planned.
pub(super) const CLIENT_CLOSES: ApplicationError = ApplicationError(1);
/// The server's.
pub(super) const SERVER_CLOSES: ApplicationError = ApplicationError(2);
