//! [`Workers`]: a server on a port with one thread or several. Each worker has its own socket, event
//! loop and dispatcher, and shares nothing with the others on the way of a packet; what they do
//! share is what is needed to begin and to end, and their counters. What they serve is the
//! factories' affair.

mod counters;
mod thread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use clap::Args;
use protoquic::crypto::ServerSecret;
use protoquic::dispatcher::{
    DispatcherConfig, DispatcherStats, FirstPackets, STEERING_BYTE, WorkerPlace,
};
use protoquic::readers::{BusyPoll, GroupSteering, SocketGroup, SocketOptions, Waker, bind_group};
use protoquic::{RandomGenerator, SessionFactory, SystemRandom};
use protoquic_qlog::QlogDirectory;

use counters::Counters;
use thread::Worker;

/// How many workers a server program has.
#[derive(Clone, Copy, Debug, Args)]
pub struct WorkersArgument {
    /// How many threads serve, each with a socket of its own on the same port; as many as the
    /// machine has cores, at best.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
}

impl WorkersArgument {
    /// The number.
    pub fn count(self) -> usize {
        usize::from(self.workers)
    }
}

/// How datagrams come to the worker whose connection they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// The kernel leads them there by their connection IDs, if it can; else as
    /// [`ByAddress`](Self::ByAddress).
    #[default]
    Automatic,
    /// The kernel spreads them by addresses; after a migration workers hand over what is not
    /// theirs.
    ByAddress,
    /// The kernel spreads them by addresses, and workers hand over whatever another's connection ID
    /// says, from the first packet on. For tests, and for systems that do not spread well.
    HandOver,
}

/// How the workers of a server are set up.
#[derive(Clone, Debug)]
pub struct WorkersSetup {
    /// Where they listen.
    pub address: SocketAddr,
    /// How many there are, 1 to 256.
    pub workers: usize,
    /// How datagrams come to them.
    pub steering: Steering,
    /// The limits of all together. Without a secret they get a random one, so that tokens and
    /// resets of one hold for all.
    pub limits: DispatcherConfig,
    /// Where connections have qlog files, if anywhere.
    pub qlog: Option<QlogDirectory>,
    /// Whether each polls before it sleeps.
    pub busy_poll: BusyPoll,
}

/// Makes the factories of one worker, on its thread.
pub type MakeFactories = dyn Fn() -> Vec<Box<dyn SessionFactory>> + Send + Sync;

/// Workers that run.
#[derive(Debug)]
pub struct Workers {
    address: SocketAddr,
    control: Control,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

/// What tells workers from elsewhere to end.
#[derive(Clone, Debug)]
pub struct Control {
    orders: Arc<AtomicU8>,
    wakers: Arc<[Waker]>,
    counters: Arc<[Counters]>,
}

impl Workers {
    /// Starts them. The error is a line for a person.
    pub fn start(
        setup: WorkersSetup,
        factories: impl Fn() -> Vec<Box<dyn SessionFactory>> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let WorkersSetup { address, workers, steering, mut limits, qlog, busy_poll } = setup;
        let asked = match steering {
            Steering::Automatic => GroupSteering::ByConnectionId { byte: STEERING_BYTE as u32 },
            Steering::ByAddress | Steering::HandOver => GroupSteering::ByAddress,
        };
        // The number is checked before that many sockets are opened.
        WorkerPlace::all(workers, FirstPackets::WhereTheyArrive).map_err(|e| e.to_string())?;
        let group = bind_group(address, workers, &SocketOptions::default(), asked);
        let SocketGroup { sockets, steering: granted } = group.map_err(|e| e.to_string())?;
        let first_packets = match granted {
            GroupSteering::ByAddress if steering != Steering::HandOver => {
                FirstPackets::WhereTheyArrive
            }
            _ => FirstPackets::ByConnectionId,
        };
        let places = WorkerPlace::all(workers, first_packets).map_err(|e| e.to_string())?;
        let address = sockets[0].local_addr().map_err(|error| error.to_string())?;
        limits.secret.get_or_insert_with(random_secret);
        let counters: Arc<[Counters]> = places.iter().map(|_| Counters::default()).collect();
        let orders = Arc::new(AtomicU8::new(Order::Serve as u8));
        let factories: Arc<MakeFactories> = Arc::new(factories);
        let limits = limits.share(workers);
        let (mut starts, mut waits, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for (place, socket) in places.into_iter().zip(sockets) {
            let (ready, is_ready) = channel();
            let (start, may_start) = channel();
            let worker = Worker {
                socket,
                place,
                limits: limits.clone(),
                qlog: qlog.clone(),
                busy_poll,
                factories: Arc::clone(&factories),
                orders: Arc::clone(&orders),
                counters: Arc::clone(&counters),
            };
            let name = format!("worker {}", worker.place.number());
            let run = move || worker.run(&ready, &may_start);
            let thread = std::thread::Builder::new().name(name).spawn(run);
            threads.push(thread.map_err(|error| format!("a thread cannot be started: {error}"))?);
            starts.push(start);
            waits.push(is_ready);
        }
        let wakers = wakers_of(waits, &mut threads)?;
        let control = Control { orders, wakers: wakers.into(), counters };
        for start in starts {
            let _ = start.send(control.clone()); // one that is gone is found when it is joined
        }
        Ok(Self { address, control, threads })
    }

    /// Where they listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What tells them to end.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What they have done together, up to a turn ago.
    pub fn stats(&self) -> DispatcherStats {
        self.control.stats()
    }

    /// Waits until all have ended: by an order, or because one has failed, which ends the others too.
    /// What they have done, or the first failure.
    pub fn join(self) -> Result<DispatcherStats, String> {
        let mut failure = None;
        for thread in self.threads {
            if let Err(error) = join(thread) {
                failure.get_or_insert(error);
            }
        }
        failure.map_or_else(|| Ok(self.control.stats()), Err)
    }
}

impl Control {
    /// New clients are refused, sessions are told to end when they can, and each worker ends with
    /// its last one.
    pub fn drain(&self) {
        self.order(Order::Drain);
    }

    /// Every session is closed, and the workers end.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        self.orders.fetch_max(order as u8, Ordering::Relaxed);
        for waker in &*self.wakers {
            let _ = waker.take_turn(); // they also look every second
        }
    }

    /// What the workers have done together.
    fn stats(&self) -> DispatcherStats {
        self.counters.iter().map(Counters::read).sum()
    }

    /// What each of them has done, up to a turn ago.
    pub fn stats_of_each(&self) -> Vec<DispatcherStats> {
        self.counters.iter().map(Counters::read).collect()
    }
}

/// What workers are to do; a later one outdoes an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    Serve,
    Drain,
    Stop,
}

/// Waits until every worker is ready; if one is not, why.
fn wakers_of(
    waits: Vec<Receiver<Waker>>,
    threads: &mut Vec<JoinHandle<Result<(), String>>>,
) -> Result<Vec<Waker>, String> {
    let mut wakers = Vec::new();
    for (number, wait) in waits.into_iter().enumerate() {
        match wait.recv() {
            Ok(waker) => wakers.push(waker),
            // The others end when they learn that nobody will tell them to start.
            Err(_) => return Err(join(threads.swap_remove(number)).err().unwrap_or_default()),
        }
    }
    Ok(wakers)
}

fn join(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("a worker's thread has panicked".into()))
}

fn random_secret() -> ServerSecret {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    ServerSecret::new(bytes)
}
