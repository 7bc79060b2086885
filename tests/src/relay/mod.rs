//! A bad network in user space: a UDP relay between clients and one server.
//!
//! Threads and blocking sockets, for it is a tool beside the tests: one thread reads the
//! clients, one thread per client reads the server's answers, and one thread sends every
//! datagram when it is due. Each client has its own upstream socket, as behind a NAT.
//! It must not know QUIC.

mod link;

use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use link::{Conditions, Departures, Link, Tally};

/// Clients served at once; datagrams of further ones are dropped.
pub const MAX_CLIENTS: usize = 256;

/// Datagrams under way at once; further ones are dropped.
pub const MAX_DATAGRAMS: usize = 65_536;

/// Largest UDP payload.
const MAX_DATAGRAM_SIZE: usize = 65_535;

/// A running relay. It ends with the process.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    to_server: Arc<Mutex<Link>>,
    to_client: Arc<Mutex<Link>>,
}

impl Relay {
    /// Listens on `listen` (port 0 for a free one) and passes all on to `to`, and back,
    /// both ways under `conditions`. Fails if the sockets or threads cannot be had.
    pub fn start(
        listen: SocketAddr,
        to: SocketAddr,
        conditions: Conditions,
        seed: u64,
    ) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind(listen)?);
        let relay = Self {
            address: front.local_addr()?,
            to_server: Arc::new(Mutex::new(Link::new(conditions, seed.wrapping_mul(2)))),
            to_client: Arc::new(Mutex::new(Link::new(conditions, seed.wrapping_mul(2) + 1))),
        };
        let (queue, due) = channel();
        let clock = Clock::start();
        let clients = Clients {
            to,
            front: Arc::clone(&front),
            to_client: Arc::clone(&relay.to_client),
            queue: queue.clone(),
            clock,
            upstream: HashMap::new(),
        };
        let to_server = Arc::clone(&relay.to_server);
        spawn("relay-send", move || deliver(&due, clock))?;
        spawn("relay-clients", move || {
            read_clients(clients, &to_server, &queue);
        })?;
        Ok(relay)
    }

    /// Where clients reach the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happened so far to datagrams to the server, and to clients.
    pub fn tallies(&self) -> (Tally, Tally) {
        (lock(&self.to_server).tally(), lock(&self.to_client).tally())
    }
}

/// The server's side: one upstream socket for every client.
struct Clients {
    to: SocketAddr,
    front: Arc<UdpSocket>,
    to_client: Arc<Mutex<Link>>,
    queue: Sender<Parcel>,
    clock: Clock,
    upstream: HashMap<SocketAddr, Arc<UdpSocket>>,
}

impl Clients {
    /// The socket that speaks to the server for `client`; `None` if there are too many.
    fn upstream_of(&mut self, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        if let Some(socket) = self.upstream.get(&client) {
            return Some(Arc::clone(socket));
        }
        if self.upstream.len() >= MAX_CLIENTS {
            return None;
        }
        let socket = self.connect(client).ok()?;
        self.upstream.insert(client, Arc::clone(&socket));
        Some(socket)
    }

    fn connect(&self, client: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let any: IpAddr = match self.to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = Arc::new(UdpSocket::bind((any, 0))?);
        socket.connect(self.to)?;
        let (reader, front) = (Arc::clone(&socket), Arc::clone(&self.front));
        let (link, queue, clock) = (Arc::clone(&self.to_client), self.queue.clone(), self.clock);
        spawn("relay-server", move || {
            let mut buffer = vec![0; MAX_DATAGRAM_SIZE];
            loop {
                // An ICMP answer (server gone) shows as an error of the next read: go on.
                let Ok(length) = reader.recv(&mut buffer) else {
                    continue;
                };
                let way = Way { socket: Arc::clone(&front), to: Some(client) };
                if !pass(&link, &queue, clock, &way, &buffer[..length]) {
                    return;
                }
            }
        })?;
        Ok(socket)
    }
}

/// Where a datagram goes, and from which socket.
#[derive(Clone)]
struct Way {
    socket: Arc<UdpSocket>,
    /// `None` for a connected socket.
    to: Option<SocketAddr>,
}

/// A datagram and when it leaves. Greater means earlier: `BinaryHeap` gives the greatest.
struct Parcel {
    due: Duration,
    way: Way,
    data: Arc<[u8]>,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}

/// Time since the relay started.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the relay is an edge: real time is its matter")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Duration {
        self.0.elapsed()
    }
}

fn read_clients(mut clients: Clients, link: &Mutex<Link>, queue: &Sender<Parcel>) {
    let front = Arc::clone(&clients.front);
    let mut buffer = vec![0; MAX_DATAGRAM_SIZE];
    loop {
        let Ok((length, client)) = front.recv_from(&mut buffer) else {
            continue;
        };
        let Some(socket) = clients.upstream_of(client) else {
            continue;
        };
        let way = Way { socket, to: None };
        if !pass(link, queue, clients.clock, &way, &buffer[..length]) {
            return;
        }
    }
}

/// Asks the link for the datagram's fate and queues its copies; false if nobody sends any more.
fn pass(link: &Mutex<Link>, queue: &Sender<Parcel>, clock: Clock, way: &Way, data: &[u8]) -> bool {
    let Departures { first, second } = lock(link).pass(clock.now(), data.len());
    let data: Arc<[u8]> = data.into();
    first
        .into_iter()
        .chain(second)
        .all(|due| queue.send(Parcel { due, way: way.clone(), data: Arc::clone(&data) }).is_ok())
}

/// Sends every parcel when it is due, until all readers have ended.
fn deliver(queue: &Receiver<Parcel>, clock: Clock) {
    let mut waiting = BinaryHeap::new();
    loop {
        let now = clock.now();
        while waiting.peek().is_some_and(|parcel: &Parcel| parcel.due <= now) {
            if let Some(parcel) = waiting.pop() {
                send(&parcel);
            }
        }
        let pause =
            waiting.peek().map_or(Duration::from_secs(1), |parcel| parcel.due.saturating_sub(now));
        match queue.recv_timeout(pause) {
            Ok(parcel) if waiting.len() < MAX_DATAGRAMS => waiting.push(parcel),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A failed send is a lost datagram, which is what this network is for.
fn send(parcel: &Parcel) {
    let _lost_if_it_fails = match parcel.way.to {
        Some(client) => parcel.way.socket.send_to(&parcel.data, client),
        None => parcel.way.socket.send(&parcel.data),
    };
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn lock(link: &Mutex<Link>) -> std::sync::MutexGuard<'_, Link> {
    link.lock().expect("no thread panics while it holds a link")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localhost() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind(localhost()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    /// A server that answers every datagram with itself, until it gets an empty one.
    fn echo_server() -> SocketAddr {
        let server = UdpSocket::bind(localhost()).unwrap();
        let address = server.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length @ 1.., from)) = server.recv_from(&mut buffer) {
                server.send_to(&buffer[..length], from).unwrap();
            }
        });
        address
    }

    #[test]
    fn clients_get_their_own_answers() {
        let relay = Relay::start(localhost(), echo_server(), Conditions::default(), 1).unwrap();
        let clients = [socket(), socket(), socket()];
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8; 3], relay.address()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            let mut buffer = [0; 16];
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], [number as u8; 3]);
        }
    }

    #[test]
    fn delay_counts_both_ways() {
        let delay = Duration::from_millis(15);
        let conditions = Conditions { delay, ..Conditions::default() };
        let relay = Relay::start(localhost(), echo_server(), conditions, 1).unwrap();
        let client = socket();
        let clock = Clock::start();
        client.send_to(b"there and back", relay.address()).unwrap();
        client.recv(&mut [0; 16]).unwrap();
        assert!(clock.now() >= 2 * delay);
    }

    #[test]
    fn duplicates_arrive_and_are_counted() {
        let conditions = Conditions { duplicate: 1.0, ..Conditions::default() };
        let relay = Relay::start(localhost(), echo_server(), conditions, 1).unwrap();
        let client = socket();
        client.send_to(b"twice", relay.address()).unwrap();
        for _ in 0..4 {
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
        }
        let (to_server, to_client) = relay.tallies();
        assert_eq!((to_server.duplicated, to_client.duplicated), (1, 2));
    }

    #[test]
    fn lost_datagrams_do_not_arrive() {
        let conditions = Conditions { loss: 1.0, ..Conditions::default() };
        let relay = Relay::start(localhost(), echo_server(), conditions, 1).unwrap();
        let client = socket();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        client.send_to(b"gone", relay.address()).unwrap();
        assert!(client.recv(&mut [0; 16]).is_err());
        assert_eq!(relay.tallies().0.lost, 1);
    }
}
