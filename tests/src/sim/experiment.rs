//! [`Experiment`]: one bulk transfer, or several side by side, through one bottleneck, measured.
//! This file must not know what a good result is.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::SendAlgorithmFactory;
use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{ConnectionStats, ServerConfig};

use super::bulk::{BULK_ALPN, BulkSender, Meter, bulk_factory};
use super::endpoints::{Client, ClientSpec};
use super::link::{LinkConfig, LinkTally};
use super::simulator::{Handle, Simulator};
use super::topology::LinkId;

/// Uploads from clients to a server over a line that they share.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The congestion controller of each client.
    pub flows: Vec<Arc<dyn SendAlgorithmFactory>>,
    /// How much later than the one before each client begins.
    pub stagger: Duration,
    /// The line that they share, towards the server.
    pub line: LinkConfig,
    /// The way back.
    pub back: LinkConfig,
    /// How long the transfers run before it counts.
    pub warm_up: Duration,
    /// How long it counts, at least.
    pub measured: Duration,
    /// It counts on until so many packets were lost, for chance to even out; but not for longer
    /// than 40 times `measured`.
    pub lost_packets: u64,
    /// What all chance comes from.
    pub seed: u64,
}

/// What came of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowResult {
    /// Bits of stream data read by the server in a second of the measured time.
    pub goodput: f64,
    /// The same of the worst slice, a tenth of [`Experiment::measured`].
    pub worst: f64,
    /// The same of the best slice.
    pub best: f64,
    /// How long the handshake took.
    pub handshake: Duration,
    /// The sender's counters at the end, the time before the measurement included.
    pub stats: ConnectionStats,
}

/// What came of an experiment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of each flow.
    pub flows: Vec<FlowResult>,
    /// What the line did.
    pub line: LinkTally,
}

impl Experiment {
    /// One flow over a line that is free of loss on its way back.
    pub fn one(controller: Arc<dyn SendAlgorithmFactory>, line: LinkConfig) -> Self {
        let back = LinkConfig { loss: Vec::new(), ..line.clone() };
        Self {
            flows: vec![controller],
            stagger: Duration::ZERO,
            line,
            back,
            warm_up: Duration::from_secs(5),
            measured: Duration::from_secs(10),
            lost_packets: 0,
            seed: 1,
        }
    }

    /// The most stream data that the line can carry in a second, in bits, if packets were nothing
    /// but UDP payload.
    pub fn limit(&self) -> f64 {
        let size = Config::default().max_packet_size as f64;
        self.line.bandwidth.map_or(f64::INFINITY, |rate| rate as f64) * size / (size + 28.0)
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let mut run = Run::new(self);
        run.sim.run_for(self.warm_up);
        let slice = self.measured / SLICES;
        let before = run.lost();
        let mut received = vec![run.received()];
        let slices = SLICES as usize;
        while received.len() <= slices
            || run.lost() - before < self.lost_packets && received.len() <= MAX_PATIENCE * slices
        {
            run.sim.run_for(slice);
            received.push(run.received());
        }
        run.outcome(&received, slice.as_secs_f64())
    }
}

type Started = Rc<RefCell<Vec<(Handle<Client<BulkSender>>, protoquic::Time)>>>;

struct Run {
    sim: Simulator,
    line: LinkId,
    /// In the order in which they began; the server's meters are in the order of their handshakes,
    /// which the stagger makes the same.
    clients: Started,
    meters: Rc<RefCell<Vec<Meter>>>,
    flows: usize,
}

impl Run {
    fn new(experiment: &Experiment) -> Self {
        let mut sim = Simulator::new(experiment.seed);
        let server: SocketAddr = ([10, 0, 0, 1], 443).into();
        let there = sim.add_host(&[server.ip()]);
        let router = sim.add_router();
        let (line, _) = sim.connect_unevenly(router, there, &experiment.line, &experiment.back);
        let meters: Rc<RefCell<Vec<Meter>>> = Rc::default();
        let transport = Arc::new(wide_open());
        let config = ServerConfig { transport, tls: crate::tls::server(&[BULK_ALPN]) };
        let made = meters.clone();
        let factory = bulk_factory(config, move || {
            made.borrow_mut().push(Meter::default());
            made.borrow().last().cloned().unwrap_or_default()
        });
        sim.add_server(there, server, DispatcherConfig::default(), vec![Box::new(factory)]);
        let clients = Started::default();
        for (index, controller) in experiment.flows.iter().enumerate() {
            let local = SocketAddr::from(([10, 0, 1, index as u8 + 1], 5000));
            let here = sim.add_host(&[local.ip()]);
            let cable = LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() };
            sim.connect(here, router, &cable);
            let (congestion, clients) = (controller.clone(), clients.clone());
            sim.after(experiment.stagger * index as u32, move |sim| {
                let config = Arc::new(Config { congestion, ..wide_open() });
                let spec = ClientSpec { config, ..ClientSpec::new(local, server, &[BULK_ALPN]) };
                let began = sim.now();
                let client = sim.add_client(here, spec, BulkSender::endless());
                clients.borrow_mut().push((client, began));
            });
        }
        Self { sim, line, clients, meters, flows: experiment.flows.len() }
    }

    /// What came of it, given what each flow had `received` after each `slice` of seconds.
    fn outcome(&self, received: &[Vec<u64>], slice: f64) -> Outcome {
        let clients = self.clients.borrow();
        let flows = clients.iter().enumerate().map(|(flow, (client, began))| {
            let host = self.sim.get(*client).visitor();
            let complete = host.session().handshake_complete.unwrap_or(self.sim.now());
            let rates = received.windows(2).map(|pair| (pair[1][flow] - pair[0][flow]) as f64);
            let rates: Vec<f64> = rates.map(|bytes| bytes * 8.0 / slice).collect();
            FlowResult {
                goodput: rates.iter().sum::<f64>() / rates.len() as f64,
                worst: rates.iter().copied().fold(f64::INFINITY, f64::min),
                best: rates.iter().copied().fold(0.0, f64::max),
                handshake: complete.saturating_since(*began),
                stats: host.host().connection().stats(),
            }
        });
        Outcome { flows: flows.collect(), line: self.sim.link_tally(self.line) }
    }

    /// Packets that the line lost so far, by chance or because its queue was full.
    fn lost(&self) -> u64 {
        let tally = self.sim.link_tally(self.line);
        tally.lost + tally.queue_full + tally.managed
    }

    fn received(&self) -> Vec<u64> {
        let meters = self.meters.borrow();
        (0..self.flows).map(|flow| meters.get(flow).map_or(0, Meter::bytes)).collect()
    }
}

/// Settings whose flow control is no limit on any line of the table.
fn wide_open() -> Config {
    let mut config = Config { idle_timeout: Duration::from_mins(10), ..Config::default() };
    config.handshake_timeout = Duration::from_mins(2);
    config.streams.max_stream_window = 256 << 20;
    config.streams.max_connection_window = 256 << 20;
    config.streams.max_data = 4 << 20;
    config.streams.max_stream_data_uni = 4 << 20;
    config
}

/// The measured time is looked at in slices of a tenth.
const SLICES: u32 = 10;
/// How many times [`Experiment::measured`] an experiment waits for its losses.
const MAX_PATIENCE: usize = 40;
