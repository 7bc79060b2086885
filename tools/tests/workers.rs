//! Servers with several workers on real sockets: clients that change their address reach the worker
//! that has their connection, by the kernel's steering or by hand over, and lose no byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use protoquic::dispatcher::{DispatcherConfig, DispatcherStats, SessionFactory};
use protoquic::polled::{Client, Config, RecvInfo, connect};
use protoquic::readers::{BusyPoll, SystemClock};
use protoquic::{Clock, Direction, PathAddress, StreamId};
use protoquic_tests::protocols::{echo_factory, pattern};
use protoquic_tools::endpoint::self_made_server;
use protoquic_tools::workers::{Steering, Workers, WorkersSetup};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn start(workers: usize, steering: Steering) -> Workers {
    let config = self_made_server(b"echo").unwrap();
    let setup = WorkersSetup {
        address: SocketAddr::new(LOCALHOST, 0),
        workers,
        steering,
        limits: DispatcherConfig::default(),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let factories = move || vec![Box::new(echo_factory(config.clone())) as Box<dyn SessionFactory>];
    Workers::start(setup, factories).unwrap()
}

/// A client that moves about while a server sends back what it says.
struct Mover {
    client: Client,
    clock: SystemClock,
    /// The address that the client believes to have, and the socket that really sends for it.
    sockets: Vec<(SocketAddr, UdpSocket)>,
    stream: Option<StreamId>,
    sent: usize,
    received: Vec<u8>,
}

fn socket(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket
}

impl Mover {
    fn new(server: SocketAddr) -> Self {
        let mut config = Config::new(&[b"echo"]);
        config.trust_any_certificate(true);
        let (clock, socket) = (SystemClock::new(), socket(LOCALHOST));
        let local = socket.local_addr().unwrap();
        let path = PathAddress::new(local, server);
        let client = connect(&config, "localhost", path, clock.now()).unwrap();
        let sockets = vec![(local, socket)];
        Self { client, clock, sockets, stream: None, sent: 0, received: Vec::new() }
    }

    /// A NAT gives it another port; it does not know.
    fn rebind(&mut self) {
        let ip = self.sockets.last().unwrap().1.local_addr().unwrap().ip();
        self.sockets.last_mut().unwrap().1 = socket(ip);
    }

    /// It moves to another address, with another connection ID (RFC 9000 §9.5).
    fn migrate(&mut self) {
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let socket = socket(if cfg!(target_os = "linux") { other } else { LOCALHOST });
        let local = socket.local_addr().unwrap();
        self.sockets.push((local, socket));
        self.client.migrate(local).unwrap();
    }

    fn turn(&mut self, data: &[u8]) {
        let mut buffer = vec![0; 65_535];
        if self.client.is_confirmed() && self.stream.is_none() {
            self.stream = Some(self.client.stream_open(Direction::Bidirectional).unwrap());
        }
        if let Some(id) = self.stream {
            if self.sent < data.len()
                && let Ok(sent) = self.client.stream_send(id, &data[self.sent..], false)
            {
                self.sent += sent;
            }
            while let Ok((len, _)) = self.client.stream_recv(id, &mut buffer) {
                self.received.extend_from_slice(&buffer[..len]);
            }
        }
        self.client.on_timeout(self.clock.now());
        while let Ok(sent) = self.client.send(&mut buffer, self.clock.now()) {
            let by = self.sockets.iter().find(|(local, _)| *local == sent.path.local);
            let _ = by.unwrap().1.send_to(&buffer[..sent.len], sent.path.peer);
        }
        for (local, socket) in &self.sockets {
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let info = RecvInfo::new(PathAddress::new(*local, from), self.clock.now());
                self.client.recv(&buffer[..len], &info).unwrap();
            }
        }
    }

    /// Until so much has come back.
    fn until(&mut self, data: &[u8], received: usize) {
        let end = self.clock.now() + Duration::from_mins(1);
        while self.received.len() < received {
            assert!(
                self.clock.now() < end && !self.client.is_closed(),
                "{:?}",
                self.client.stats()
            );
            self.turn(data);
        }
    }

    /// Has all of this sent back, and moves three times meanwhile.
    fn run(mut self, data: &[u8]) {
        self.until(data, data.len() / 4);
        self.rebind();
        self.until(data, data.len() / 2);
        self.migrate();
        self.until(data, data.len() * 3 / 4);
        self.rebind();
        self.until(data, data.len());
        assert_eq!(self.received, data);
        self.client.close(0, "thank you");
        self.turn(data);
    }
}

/// Clients that move about; what the workers say of it.
fn moving_clients(workers: usize, steering: Steering) -> DispatcherStats {
    const CLIENTS: u64 = 8;
    let workers = start(workers, steering);
    let address = workers.address();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || Mover::new(address).run(&pattern(300_000, number)));
        }
    });
    workers.control().stop();
    let stats = workers.join().unwrap();
    assert_eq!(stats.sessions_created, CLIENTS, "no client met a second worker: {stats:?}");
    assert_eq!(stats.hand_over_drops, 0, "{stats:?}");
    assert_eq!(stats.handed_over, stats.taken_over, "{stats:?}");
    stats
}

#[test]
fn the_kernel_leads_clients_that_move_to_their_worker() {
    let stats = moving_clients(3, Steering::Automatic);
    if cfg!(target_os = "linux") {
        assert_eq!(stats.handed_over, 0, "nothing came to another worker: {stats:?}");
    }
}

#[test]
fn without_the_kernels_help_workers_hand_over_what_is_not_theirs() {
    // Of 24 moves some led to another worker: that none did has a chance of 1 in 3^24.
    let stats = moving_clients(3, Steering::ByAddress);
    assert!(stats.handed_over > 0, "{stats:?}");
}

#[test]
fn everything_can_be_handed_over_from_the_first_packet_on() {
    let stats = moving_clients(3, Steering::HandOver);
    assert!(stats.handed_over > 100, "{stats:?}");
}

#[test]
fn one_worker_hands_nothing_over() {
    let stats = moving_clients(1, Steering::Automatic);
    assert_eq!(stats.handed_over, 0);
}

#[test]
fn drained_workers_end_with_their_last_session() {
    let workers = start(4, Steering::Automatic);
    let mut client = Mover::new(workers.address());
    client.until(b"hello", 5);
    workers.control().drain();
    let stats = workers.join().unwrap();
    assert_eq!((stats.sessions_created, stats.sessions), (1, 0), "{stats:?}");
    let end = client.clock.now() + Duration::from_mins(1);
    while !client.client.is_closed() {
        assert!(client.clock.now() < end, "the worker closed it: it has no more to do");
        client.turn(b"");
    }
}

#[test]
fn too_few_and_too_many_workers_are_refused_with_words() {
    for (count, says) in [("0", "0 is not in 1..=256"), ("257", "257 is not in 1..=256")] {
        for (program, role) in [
            (env!("CARGO_BIN_EXE_quic_perf"), &["server"][..]),
            (env!("CARGO_BIN_EXE_quic_simple_server"), &[]),
        ] {
            let mut command = Command::new(program);
            let output = command.args(role).args(["--workers", count]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && text.contains(says), "{text}");
        }
    }
    let setup = WorkersSetup {
        address: SocketAddr::new(LOCALHOST, 0),
        workers: 0,
        steering: Steering::Automatic,
        limits: DispatcherConfig::default(),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let error = Workers::start(setup, Vec::new).unwrap_err();
    assert!(error.contains("not 0"), "{error}");
}

#[test]
fn workers_do_not_join_a_port_that_is_taken() {
    let first = start(2, Steering::Automatic);
    let setup = WorkersSetup {
        address: first.address(),
        workers: 2,
        steering: Steering::Automatic,
        limits: DispatcherConfig::default(),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let error = Workers::start(setup, Vec::new).unwrap_err();
    assert!(error.contains("choose another"), "{error}");
    first.control().stop();
    first.join().unwrap();
}
