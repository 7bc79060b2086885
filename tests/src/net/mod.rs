//! [`Net`]: a server and its clients on a network in virtual time. Links delay, lose, reorder,
//! duplicate and corrupt as they are told to, from a seed: the same seed is the same run.

mod doubles;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use protoquic::RandomGenerator as _;
use protoquic::connection::{ClientSetup, Config, RandomConnectionIds};
use protoquic::dispatcher::{Dispatcher, DispatcherConfig, DispatcherSetup};
use protoquic::{
    AlarmFactory, Connection, Ecn, EventLoopVisitor, Observer, PacketWriter, PathAddress,
    ReceivedPacket, SeededRandom, Session, SessionFactory, SessionHost, SingleHost, Time,
};

pub use self::doubles::{Alarms, TestHelper, WireWriter};
use self::doubles::{Datagram, Wire};
use crate::gro::Coalescer;

/// What a link does to packets, each way alike.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Of a thousand packets, how many are lost.
    pub loss: u64,
    /// Of a thousand packets, how many are held back by up to four times the delay.
    pub reorder: u64,
    /// Of a thousand packets, how many arrive twice.
    pub duplicate: u64,
    /// Of a thousand packets, how many arrive with a flipped bit.
    pub corrupt: u64,
    /// Larger datagrams vanish.
    pub mtu: usize,
}

impl Default for Link {
    fn default() -> Self {
        let delay = Duration::from_millis(10);
        Self { delay, loss: 0, reorder: 0, duplicate: 0, corrupt: 0, mtu: 1500 }
    }
}

/// A datagram that came to an address without an endpoint, see [`Net::open_mailbox`].
#[derive(Clone, Debug)]
pub struct Mail {
    /// When it came.
    pub at: Time,
    /// Who sent it.
    pub from: SocketAddr,
    /// What it is marked with.
    pub ecn: Ecn,
    /// Its payload.
    pub data: Vec<u8>,
}

/// A datagram that was put on the wire, see [`Net::tap`].
#[derive(Clone, Debug)]
pub struct Tapped {
    /// When it was.
    pub at: Time,
    /// Who sent it, as the network sees it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its payload.
    pub data: Vec<u8>,
}

/// An address of somebody's.
struct Node {
    /// As the network sees it.
    address: SocketAddr,
    /// As its owner does, which may be behind a NAT.
    local: SocketAddr,
    visitor: usize,
}

/// A server, its clients, and the network between them.
pub struct Net<S: Session> {
    /// The time now.
    pub now: Time,
    /// What the links do.
    pub link: Link,
    /// The server's port.
    pub server: Dispatcher,
    /// The clients, in the order in which they were added.
    pub clients: Vec<SingleHost<S>>,
    /// Datagrams delivered so far.
    pub delivered: u64,
    /// Whether those that arrive together are delivered in batches. They are by default.
    pub coalesces: bool,
    /// Datagrams to addresses where nobody is: answers to what was injected.
    pub strays: Vec<(SocketAddr, Vec<u8>)>,
    /// What was sent, lost or not, while this is not `None`.
    pub tap: Option<Vec<Tapped>>,
    /// Who watches the client that is added next.
    pub next_observer: Option<Box<dyn Observer>>,
    alarms: Vec<Alarms>,
    nodes: Vec<Node>,
    mailboxes: BTreeMap<SocketAddr, Vec<Mail>>,
    wire: Wire,
    wall: Arc<Mutex<SystemTime>>,
    flying: BTreeMap<(Time, u64), Datagram>,
    sequence: u64,
    /// Steps without progress in time.
    stalled: u32,
    random: SeededRandom,
    seed: u64,
}

impl<S: Session> std::fmt::Debug for Net<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net")
            .field("now", &self.now)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Where the server listens.
pub fn server_address() -> SocketAddr {
    ([10, 0, 0, 1], 443).into()
}

impl<S: Session> Net<S> {
    /// A server with this factory, and no client yet.
    pub fn new(seed: u64, link: Link, factory: impl SessionFactory + 'static) -> Self {
        Self::with_dispatcher(seed, link, DispatcherConfig::default(), vec![Box::new(factory)])
    }

    /// A server with these settings.
    pub fn with_dispatcher(
        seed: u64,
        link: Link,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) -> Self {
        let wire = Wire::default();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let wall = Arc::new(Mutex::new(wall));
        let server = new_server(&wire, &wall, seed, config, factories);
        Self {
            now: Time::from_millis(1000),
            link,
            server,
            clients: Vec::new(),
            delivered: 0,
            coalesces: true,
            strays: Vec::new(),
            tap: None,
            next_observer: None,
            alarms: vec![Alarms::default()],
            nodes: vec![new_node(server_address(), 0)],
            mailboxes: BTreeMap::new(),
            wire,
            wall,
            flying: BTreeMap::new(),
            sequence: 0,
            stalled: 0,
            random: SeededRandom::new(seed),
            seed,
        }
    }

    /// The server forgets everything but its keys, which are the seed's.
    pub fn restart_server(
        &mut self,
        config: DispatcherConfig,
        factories: Vec<Box<dyn SessionFactory>>,
    ) {
        self.server = new_server(&self.wire, &self.wall, self.seed, config, factories);
        self.alarms[0] = Alarms::default();
    }

    /// Servers that are started from now on choose other random keys.
    pub fn change_server_seed(&mut self) {
        self.seed += 1000;
    }

    /// The time of day goes on, by which tokens expire; the network's time does not.
    pub fn pass_wall_time(&mut self, time: Duration) {
        *self.wall.lock().expect("no test panics while it holds the time") += time;
    }

    /// From now on what is sent to this address is kept for [`take_mail`](Self::take_mail).
    pub fn open_mailbox(&mut self, address: SocketAddr) {
        self.mailboxes.insert(address, Vec::new());
    }

    /// What came to a mailbox since it was last emptied.
    pub fn take_mail(&mut self, address: SocketAddr) -> Vec<Mail> {
        self.mailboxes.get_mut(&address).map(std::mem::take).unwrap_or_default()
    }

    /// How many datagrams were written that are not on their way yet.
    pub fn written(&self) -> usize {
        self.wire.lock().expect("the wire is whole").len()
    }

    /// Takes a client off the network. What is sent to it goes to a mailbox.
    pub fn replace_by_mailbox(&mut self, client: usize) -> SocketAddr {
        let node = self.node_mut(client + 1);
        let address = std::mem::replace(&mut node.address, ([0, 0, 0, 0], 0).into());
        self.open_mailbox(address);
        address
    }

    /// Adds a client. Its writer may be wrapped.
    pub fn connect(
        &mut self,
        config: Arc<Config>,
        tls: Arc<rustls::ClientConfig>,
        session: S,
        wrap: impl FnOnce(WireWriter) -> Box<dyn PacketWriter>,
    ) -> usize {
        self.connect_to(server_address(), config, tls, session, wrap)
    }

    /// Adds a client of whoever is at this address.
    pub fn connect_to(
        &mut self,
        server: SocketAddr,
        config: Arc<Config>,
        tls: Arc<rustls::ClientConfig>,
        session: S,
        wrap: impl FnOnce(WireWriter) -> Box<dyn PacketWriter>,
    ) -> usize {
        let index = self.clients.len();
        let port = 10_000 + index as u16;
        let address = SocketAddr::from(([10, 0, 1, 1], port));
        let setup = ClientSetup {
            config,
            tls,
            server_name: "localhost".try_into().expect("localhost is a name"),
            path: PathAddress::new(address, server),
            token: bytes::Bytes::new(),
            random: Box::new(SeededRandom::new(self.seed << 20 | 0x8_0000 | index as u64)),
            observer: self.next_observer.take(),
        };
        let connection = Connection::client(self.now, setup).expect("the settings are valid");
        let writer = wrap(WireWriter { wire: self.wire.clone(), from: address });
        self.clients.push(SingleHost::new(SessionHost::new(connection, session), writer));
        self.alarms.push(Alarms::default());
        self.nodes.push(new_node(address, index + 1));
        self.turn(index + 1);
        index
    }

    /// Adds a client with default settings.
    pub fn connect_simply(&mut self, alpn: &[u8], session: S) -> usize {
        let tls = crate::tls::client(&[alpn]);
        self.connect(Arc::new(Config::default()), tls, session, |writer| Box::new(writer))
    }

    /// The client's NAT gives it another port (and address, if asked for).
    pub fn rebind(&mut self, client: usize, address: SocketAddr) {
        self.node_mut(client + 1).address = address;
    }

    /// The client has one more address.
    pub fn add_client_address(&mut self, client: usize, address: SocketAddr) {
        self.nodes.push(new_node(address, client + 1));
    }

    /// The server has one more address.
    pub fn add_server_address(&mut self, address: SocketAddr) {
        self.nodes.push(new_node(address, 0));
    }

    /// What is sent to this address, or from it, is lost from now on.
    pub fn remove_address(&mut self, address: SocketAddr) {
        self.nodes.retain(|node| node.local != address);
    }

    fn node_mut(&mut self, visitor: usize) -> &mut Node {
        let mut nodes = self.nodes.iter_mut();
        nodes.find(|node| node.visitor == visitor).expect("it was added with an address")
    }

    /// Puts a datagram on the wire from anywhere.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        self.inject_marked(from, to, Ecn::NotEct, data);
    }

    /// As [`inject`](Self::inject), with an ECN mark.
    pub fn inject_marked(&mut self, from: SocketAddr, to: SocketAddr, ecn: Ecn, data: Vec<u8>) {
        self.schedule(Datagram { from, to, ecn, data, release: None });
    }

    /// Runs until `done` or the time is over. Returns whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let Some(next) = self.next_event().filter(|next| *next <= end) else {
                self.now = end;
                return done(self);
            };
            self.stalled = if next <= self.now { self.stalled + 1 } else { 0 };
            assert!(
                self.stalled < 10_000,
                "seed {}: time stands still at {:?}",
                self.seed,
                self.now
            );
            self.now = self.now.max(next);
            self.step();
        }
        true
    }

    /// Gives everybody a turn now: after work from outside of callbacks.
    pub fn kick(&mut self) {
        for visitor in 0..self.alarms.len() {
            self.turn(visitor);
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn next_event(&self) -> Option<Time> {
        let flying = self.flying.first_key_value().map(|((time, _), _)| *time);
        self.alarms.iter().map(AlarmFactory::next_deadline).chain([flying]).flatten().min()
    }

    /// Delivers what is due now, then lets everybody concerned have a turn.
    fn step(&mut self) {
        let mut concerned = Vec::new();
        let mut arrived = BTreeMap::new();
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            let datagram = entry.remove();
            concerned.extend(self.deliver(&datagram, &mut arrived));
        }
        for (visitor, mut arrived) in arrived {
            arrived.flush(self.visitor(visitor));
        }
        for visitor in 0..self.alarms.len() {
            while let Some(owner) = self.alarms[visitor].pop_expired(self.now) {
                let now = self.now;
                self.visitor(visitor).on_alarm(owner, now);
                concerned.push(visitor);
            }
        }
        concerned.sort_unstable();
        concerned.dedup();
        for visitor in concerned {
            self.turn(visitor);
        }
    }

    fn deliver(
        &mut self,
        datagram: &Datagram,
        arrived: &mut BTreeMap<usize, Coalescer>,
    ) -> Option<usize> {
        if let Some(mailbox) = self.mailboxes.get_mut(&datagram.to) {
            let Datagram { from, ecn, ref data, .. } = *datagram;
            mailbox.push(Mail { at: self.now, from, ecn, data: data.clone() });
            return None;
        }
        let Some(node) = self.nodes.iter().find(|node| node.address == datagram.to) else {
            self.strays.push((datagram.to, datagram.data.clone()));
            return None;
        };
        let (visitor, local) = (node.visitor, node.local);
        self.delivered += 1;
        let packet = ReceivedPacket {
            path: PathAddress::new(local, datagram.from),
            ecn: datagram.ecn,
            received: self.now,
            data: BytesMut::from(&datagram.data[..]),
        };
        let arrived = arrived.entry(visitor).or_default();
        let coalesces = self.coalesces;
        let receiver = self.visitor(visitor);
        arrived.take(packet, receiver);
        if !coalesces {
            arrived.flush(receiver);
        }
        Some(visitor)
    }

    fn turn(&mut self, visitor: usize) {
        let now = self.now;
        for _ in 0..100 {
            let mut alarms = std::mem::take(&mut self.alarms[visitor]);
            self.visitor(visitor).on_turn_end(now, &mut alarms);
            self.alarms[visitor] = alarms;
            if self.visitor(visitor).wants_write_event() {
                self.visitor(visitor).on_can_write(now);
            } else if !self.visitor(visitor).has_work() {
                break;
            }
        }
        let sent = std::mem::take(&mut *self.wire.lock().expect("the wire is whole"));
        for mut datagram in sent {
            let mut nodes = self.nodes.iter();
            let owned = nodes.find(|n| n.visitor == visitor && n.local == datagram.from);
            if let Some(node) = owned {
                datagram.from = node.address; // the NAT's
                self.send(datagram);
            }
        }
    }

    fn send(&mut self, mut datagram: Datagram) {
        if let Some(tap) = &mut self.tap {
            let Datagram { from, to, ref data, release, .. } = datagram;
            tap.push(Tapped { at: leaving(self.now, release), from, to, data: data.clone() });
        }
        if self.one_in_a_thousand(self.link.loss) || datagram.data.len() > self.link.mtu {
            return;
        }
        if self.one_in_a_thousand(self.link.corrupt) {
            let at = self.random.next_u64() as usize % datagram.data.len();
            datagram.data[at] ^= 1 << (self.random.next_u64() % 8);
        }
        if self.one_in_a_thousand(self.link.duplicate) {
            let copy = Datagram { data: datagram.data.clone(), ..datagram };
            self.schedule(copy);
        }
        self.schedule(datagram);
    }

    fn schedule(&mut self, datagram: Datagram) {
        let mut delay = self.link.delay;
        if self.one_in_a_thousand(self.link.reorder) {
            delay += delay * (self.random.next_u64() % 4) as u32;
        }
        self.sequence += 1;
        let leaves = leaving(self.now, datagram.release);
        self.flying.insert((leaves + delay, self.sequence), datagram);
    }

    fn one_in_a_thousand(&mut self, share: u64) -> bool {
        share > 0 && self.random.next_u64() % 1000 < share
    }

    fn visitor(&mut self, index: usize) -> &mut dyn EventLoopVisitor {
        match index {
            0 => &mut self.server,
            client => &mut self.clients[client - 1],
        }
    }
}

/// When a datagram leaves that was written now.
fn leaving(now: Time, release: Option<Time>) -> Time {
    release.map_or(now, |at| at.max(now))
}

fn new_node(address: SocketAddr, visitor: usize) -> Node {
    Node { address, local: address, visitor }
}

fn new_server(
    wire: &Wire,
    wall: &Arc<Mutex<SystemTime>>,
    seed: u64,
    config: DispatcherConfig,
    factories: Vec<Box<dyn SessionFactory>>,
) -> Dispatcher {
    Dispatcher::new(DispatcherSetup {
        config,
        writer: Box::new(WireWriter { wire: wire.clone(), from: server_address() }),
        helper: Box::new(TestHelper { seed: Mutex::new(seed << 20), wall: wall.clone() }),
        ids: Box::new(RandomConnectionIds::new(8)),
        factories,
        observers: None,
    })
}
