//! [`Simulator`]: runs a network in virtual time. All chance comes from the seed, and nothing from
//! anywhere else: the same seed is the same run. This file must not know what is in a datagram.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use protoquic::readers::VirtualTime;
use protoquic::{PathAddress, ReceivedPacket, Time};

use super::actor::{Actor, Outbox, Sent, SimWriter};
use super::capture::{Capture, Captured, Point};
use super::datagram::Datagram;
use super::dice::Dice;
use super::events::EventQueue;
use super::link::{Link, LinkConfig, LinkOutput, LinkTally};
use super::nat::{Nat, NatConfig};
use super::topology::{Kind, LinkId, NodeId, Topology};

/// Names an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(usize);

/// Names an actor and knows its type.
pub struct Handle<A>(ActorId, PhantomData<fn() -> A>);

impl<A> Handle<A> {
    /// Its name.
    pub fn id(self) -> ActorId {
        self.0
    }
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Handle<A> {}

impl<A> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.0)
    }
}

enum Event {
    /// A datagram arrives at the end of a line.
    Arrive(LinkId, Box<Datagram>),
    /// A line has sent what was on it.
    LineFree(LinkId),
    /// An actor wanted a turn.
    Alarm(ActorId),
    /// What the script says.
    Action(Box<dyn FnOnce(&mut Simulator)>),
}

struct Resident {
    node: NodeId,
    actor: Box<dyn Actor>,
    outbox: Outbox,
    /// The earliest alarm event that is planned.
    planned: Option<Time>,
    concerned: bool,
    turns: u64,
}

/// A network, who lives on it, and the time.
pub struct Simulator {
    now: Time,
    time: VirtualTime,
    seed: u64,
    dice: Dice,
    events: EventQueue<Event>,
    map: Topology,
    links: Vec<Link>,
    actors: Vec<Resident>,
    sockets: BTreeMap<SocketAddr, ActorId>,
    captures: Vec<Capture>,
    output: LinkOutput,
    concerned: Vec<ActorId>,
    /// Steps without progress in time.
    stalled: u32,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        let time = VirtualTime::default();
        Self {
            now: time.now(),
            time,
            seed,
            dice: Dice::new(seed),
            events: EventQueue::default(),
            map: Topology::default(),
            links: Vec::new(),
            actors: Vec::new(),
            sockets: BTreeMap::new(),
            captures: Vec::new(),
            output: LinkOutput::default(),
            concerned: Vec::new(),
            stalled: 0,
        }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The time now and later, for clocks.
    pub fn time(&self) -> VirtualTime {
        self.time.clone()
    }

    /// What all chance comes from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chance from the seed, for whoever builds the network.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// The map of the network.
    pub fn topology(&self) -> &Topology {
        &self.map
    }

    /// A host with these addresses. If it has several lines, its k-th address uses its k-th line.
    pub fn add_host(&mut self, addresses: &[IpAddr]) -> NodeId {
        self.map.add(Kind::Host(addresses.to_vec()))
    }

    /// A router, or a switch.
    pub fn add_router(&mut self) -> NodeId {
        self.map.add(Kind::Router)
    }

    /// A NAT. Its first line leads outside, all others inside.
    pub fn add_nat(&mut self, config: NatConfig) -> NodeId {
        let rebinding = config.rebinding;
        let dice = self.dice.fork();
        let node = self.map.add(Kind::Nat(Box::new(Nat::new(config, dice))));
        if let Some(rebinding) = rebinding {
            let (every, address) = (rebinding.every, rebinding.address);
            self.after(rebinding.first, move |sim| sim.rebind_often(node, every, address));
        }
        node
    }

    /// Lays a line, alike both ways. Returns the way from `a` to `b` and the way back.
    pub fn connect(&mut self, a: NodeId, b: NodeId, config: &LinkConfig) -> (LinkId, LinkId) {
        self.connect_unevenly(a, b, config, config)
    }

    /// Lays a line whose directions differ.
    pub fn connect_unevenly(
        &mut self,
        a: NodeId,
        b: NodeId,
        there: &LinkConfig,
        back: &LinkConfig,
    ) -> (LinkId, LinkId) {
        (self.lay(a, b, there), self.lay(b, a, back))
    }

    fn lay(&mut self, from: NodeId, to: NodeId, config: &LinkConfig) -> LinkId {
        let dice = self.dice.fork();
        self.links.push(Link::new(config.clone(), self.now, dice));
        self.map.lay(from, to)
    }

    /// What a line is.
    pub fn link(&self, link: LinkId) -> &LinkConfig {
        self.links[link.0].config()
    }

    /// Changes a line. Its loss models begin anew.
    pub fn set_link(&mut self, link: LinkId, config: LinkConfig) {
        let now = self.now;
        self.links[link.0].set_config(now, config);
    }

    /// What a line did so far.
    pub fn link_tally(&self, link: LinkId) -> LinkTally {
        self.links[link.0].tally()
    }

    /// Has a NAT forget its bindings; each gets another port, and with `address` another address.
    /// Does nothing to other nodes.
    pub fn rebind(&mut self, nat: NodeId, address: bool) {
        if let Kind::Nat(nat) = &mut self.map.node(nat).kind {
            nat.rebind(address);
        }
    }

    fn rebind_often(&mut self, nat: NodeId, every: Option<Duration>, address: bool) {
        self.rebind(nat, address);
        if let Some(every) = every.filter(|every| !every.is_zero()) {
            self.after(every, move |sim| sim.rebind_often(nat, Some(every), address));
        }
    }

    /// Has something done at a time.
    pub fn after(&mut self, delay: Duration, action: impl FnOnce(&mut Self) + 'static) {
        self.events.push(self.now + delay, Event::Action(Box::new(action)));
    }

    /// Has every datagram shown to `capture`, wherever it is seen.
    pub fn capture(&mut self, capture: impl FnMut(&Captured<'_>) + 'static) {
        self.captures.push(Box::new(capture));
    }

    /// Brings an actor to a host. `make` is given its socket with this address, which must be the
    /// host's. Its first turn comes at once.
    pub fn add_actor<A: Actor>(
        &mut self,
        node: NodeId,
        address: SocketAddr,
        make: impl FnOnce(SimWriter) -> A,
    ) -> Handle<A> {
        let outbox = Outbox::default();
        let actor = Box::new(make(SimWriter::new(outbox.clone(), address)));
        let id = ActorId(self.actors.len());
        self.sockets.insert(address, id);
        self.actors.push(Resident {
            node,
            actor,
            outbox,
            planned: None,
            concerned: false,
            turns: 0,
        });
        self.turn(id);
        Handle(id, PhantomData)
    }

    /// An actor.
    pub fn get<A: Actor>(&self, handle: Handle<A>) -> &A {
        let actor: &dyn Any = &*self.actors[handle.0.0].actor;
        actor.downcast_ref().expect("a handle knows the type of its actor")
    }

    /// An actor, to work on from outside; follow it with [`kick`](Self::kick).
    pub fn get_mut<A: Actor>(&mut self, handle: Handle<A>) -> &mut A {
        let actor: &mut dyn Any = &mut *self.actors[handle.0.0].actor;
        actor.downcast_mut().expect("a handle knows the type of its actor")
    }

    /// When an actor wants its next turn.
    pub fn deadline_of(&self, actor: ActorId) -> Option<Time> {
        self.actors[actor.0].actor.next_deadline()
    }

    /// How many turns an actor has had.
    pub fn turns_of(&self, actor: ActorId) -> u64 {
        self.actors[actor.0].turns
    }

    /// Has what comes for another address of its host given to an actor, too.
    pub fn bind(&mut self, actor: ActorId, address: SocketAddr) {
        self.sockets.insert(address, actor);
    }

    /// Gives an actor a turn now.
    pub fn kick(&mut self, actor: ActorId) {
        self.turn(actor);
    }

    /// Whether nothing will ever happen again.
    pub fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    /// Runs until `done`, or until the time is over. Returns whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if !self.step_until(end) {
                return done(self);
            }
        }
        true
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_until(end) {}
    }

    /// Does all that is due next. Returns false, at `end`, if nothing is due before.
    fn step_until(&mut self, end: Time) -> bool {
        let Some(next) = self.events.next_time().filter(|next| *next <= end) else {
            self.set_time(end);
            return false;
        };
        self.stalled = if next <= self.now { self.stalled + 1 } else { 0 };
        if self.stalled >= MAX_STALLED {
            let due = |actor: &Resident| actor.actor.next_deadline().is_some_and(|at| at <= next);
            let busy: Vec<usize> =
                (0..self.actors.len()).filter(|at| due(&self.actors[*at])).collect();
            panic!("seed {}: time stands still; actors {busy:?} are always due", self.seed);
        }
        self.set_time(next.max(self.now));
        while let Some(event) = self.events.pop_due(self.now) {
            self.handle(event);
        }
        let mut concerned = std::mem::take(&mut self.concerned);
        for actor in concerned.drain(..) {
            self.actors[actor.0].concerned = false;
            self.turn(actor);
        }
        self.concerned = concerned;
        true
    }

    fn set_time(&mut self, now: Time) {
        self.now = now;
        self.time.set(now);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive(line, datagram) => {
                let node = self.map.end_of(line);
                self.arrive(node, Some(line), datagram);
            }
            Event::LineFree(line) => {
                let now = self.now;
                self.with_link(line, |link, out| link.on_line_free(now, out));
            }
            Event::Alarm(actor) => {
                let resident = &mut self.actors[actor.0];
                resident.planned = resident.planned.filter(|planned| *planned > self.now);
                if resident.actor.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.concern(actor);
                } else {
                    self.plan_alarm(actor);
                }
            }
            Event::Action(action) => action(self),
        }
    }

    fn with_link(&mut self, line: LinkId, f: impl FnOnce(&mut Link, &mut LinkOutput)) {
        let mut output = std::mem::take(&mut self.output);
        f(&mut self.links[line.0], &mut output);
        for (at, datagram) in output.arrivals.drain(..) {
            self.events.push(at, Event::Arrive(line, datagram));
        }
        for (why, datagram) in output.drops.drain(..) {
            self.show(Point::Dropped(line, why), &datagram);
        }
        if let Some(free) = output.line_free.take() {
            self.events.push(free, Event::LineFree(line));
        }
        self.output = output;
    }

    /// A datagram is at a node: by a line, or because its actor sent it.
    fn arrive(&mut self, node: NodeId, by: Option<LinkId>, mut datagram: Box<Datagram>) {
        let now = self.now;
        let from_outside = by.is_some_and(|by| self.is_outside(node, by));
        match &mut self.map.node(node).kind {
            Kind::Host(addresses) if addresses.contains(&datagram.to.ip()) => {
                return self.deliver(datagram);
            }
            Kind::Nat(nat) if nat.owns(datagram.to.ip()) => {
                match nat.inbound(now, datagram.from, datagram.to) {
                    Some(inside) => datagram.to = inside,
                    None => return self.show(Point::Filtered, &datagram),
                }
            }
            Kind::Nat(nat) if !from_outside => {
                datagram.from = nat.outbound(now, datagram.from, datagram.to);
            }
            _ => {}
        }
        match self.map.line_for(node, datagram.from.ip(), datagram.to.ip()) {
            Some(line) => self.with_link(line, |link, out| link.offer(now, datagram, out)),
            None => self.show(Point::Unreachable, &datagram),
        }
    }

    /// Whether a line comes from the outside of a NAT.
    fn is_outside(&mut self, node: NodeId, by: LinkId) -> bool {
        let neighbour = self.map.start_of(by);
        let first = self.map.node(node).lines.first().copied();
        first.is_some_and(|line| self.map.end_of(line) == neighbour)
    }

    fn deliver(&mut self, datagram: Box<Datagram>) {
        let Some(actor) = self.sockets.get(&datagram.to).copied() else {
            return self.show(Point::Unreachable, &datagram);
        };
        self.show(Point::Received(actor), &datagram);
        let Datagram { from, to, ecn, data, .. } = *datagram;
        let path = PathAddress::new(to, from);
        let packet = ReceivedPacket { path, ecn, received: self.now, data };
        self.actors[actor.0].actor.on_datagram(packet);
        self.concern(actor);
    }

    fn concern(&mut self, actor: ActorId) {
        if !std::mem::replace(&mut self.actors[actor.0].concerned, true) {
            self.concerned.push(actor);
        }
    }

    fn turn(&mut self, actor: ActorId) {
        let resident = &mut self.actors[actor.0];
        resident.turns += 1;
        resident.actor.on_turn(self.now);
        let mut sent = std::mem::take(&mut *resident.outbox.borrow_mut());
        for sent in sent.drain(..) {
            self.send(actor, sent);
        }
        *self.actors[actor.0].outbox.borrow_mut() = sent; // keep the allocation
        self.plan_alarm(actor);
    }

    fn send(&mut self, actor: ActorId, sent: Sent) {
        let Sent { from, to, ecn, data } = sent;
        // An endpoint that moves to another port of its host needs no permission.
        self.sockets.entry(from).or_insert(actor);
        let datagram =
            Box::new(Datagram { from, to, ecn, origin: (from, to), sent: self.now, data });
        self.show(Point::Sent(actor), &datagram);
        self.arrive(self.actors[actor.0].node, None, datagram);
    }

    /// Plans a turn at the actor's deadline, unless one is planned before it: that one will look
    /// again.
    fn plan_alarm(&mut self, actor: ActorId) {
        let resident = &mut self.actors[actor.0];
        let Some(deadline) = resident.actor.next_deadline() else { return };
        let deadline = deadline.max(self.now);
        if resident.planned.is_none_or(|planned| deadline < planned) {
            resident.planned = Some(deadline);
            self.events.push(deadline, Event::Alarm(actor));
        }
    }

    fn show(&mut self, point: Point, datagram: &Datagram) {
        if self.captures.is_empty() {
            return;
        }
        let Datagram { from, to, ecn, origin, sent, ref data } = *datagram;
        let captured = Captured { at: self.now, point, origin, sent, from, to, ecn, data };
        for capture in &mut self.captures {
            capture(&captured);
        }
    }
}

/// How many steps may pass without time going on: more, and somebody is running in circles.
const MAX_STALLED: u32 = 10_000;
