//! [`Plan`]: what a seed stands for. Everything is drawn here, so that what happens later cannot
//! change what is planned. This file must not know how a plan is played.

use std::time::Duration;

use protoquic::congestion::CongestionControl;
use protoquic::connection::{Config, DatagramConfig};
use protoquic::dispatcher::AddressValidation;

use super::super::dice::Dice;
use super::super::link::{Corruption, EcnTreatment, LinkConfig};
use super::super::loss::{GilbertElliott, Loss};
use super::super::queue::{Aqm, QueueConfig};
use super::task::{NEVER, Task};

/// A network and what is to happen in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// The clients.
    pub clients: Vec<ClientPlan>,
    /// The line that they share, to the server and back.
    pub trunk: [LinkConfig; 2],
    /// Whether all clients with a NAT share one.
    pub shared_nat: bool,
    /// The server's settings.
    pub server: Config,
    /// When the server asks for a proof of address.
    pub validation: AddressValidation,
    /// When nothing passes the trunk: from when, for how long.
    pub blackouts: Vec<(Duration, Duration)>,
}

/// One client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// When it begins.
    pub start: Duration,
    /// Its own line, to the trunk and back.
    pub line: [LinkConfig; 2],
    /// When its NAT rebinds, and whether the address changes too; `None`: it has no NAT.
    pub nat: Option<Vec<(Duration, bool)>>,
    /// Its settings.
    pub config: Config,
    /// What it does with streams.
    pub tasks: Vec<Task>,
    /// What it does when, counted from the end of its handshake.
    pub script: Vec<(Duration, Op)>,
    /// How many bytes each end reads of a stream in each 10 ms; `None`: all there is.
    pub appetite: [Option<usize>; 2],
    /// How it ends.
    pub ending: Ending,
}

/// Something that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Begins with so many more of its tasks.
    Tasks(usize),
    /// Updates its keys.
    UpdateKeys,
    /// Sends a PING.
    Ping,
    /// Sends so many datagrams.
    Datagrams(usize),
    /// Moves to its other address, or back.
    Migrate,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client closes when all is done.
    WhenDone,
    /// The client closes so long after its start.
    ClientCloses(Duration),
    /// The server closes: one of the tasks asks for it.
    ServerCloses,
    /// The client's line goes dead for ever.
    Vanishes(Duration),
}

impl Plan {
    /// What this seed stands for.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xf022_ed91);
        let dice = &mut dice;
        let clients = dice.between(1, 4) as usize;
        let trunk = [trunk_line(dice), trunk_line(dice)];
        let blackouts = blackouts(dice);
        let server = config(dice);
        let validation = match dice.below(4) {
            0 => AddressValidation::Always,
            _ => AddressValidation::Never,
        };
        let shared_nat = dice.chance(0.3);
        let clients = (0..clients).map(|index| ClientPlan::new(index as u16, dice)).collect();
        Self { seed, clients, trunk, shared_nat, server, validation, blackouts }
    }

    /// The largest UDP payload that a client's way to the server carries, in bytes.
    pub fn path_payload(&self, client: usize) -> usize {
        self.trunk[0].mtu.min(self.clients[client].line[0].mtu) - 28
    }
}

impl ClientPlan {
    fn new(index: u16, dice: &mut Dice) -> Self {
        let line = [access_line(dice), access_line(dice)];
        let mut config = config(dice);
        let nat = dice.chance(0.4).then(|| rebindings(dice));
        if nat.is_some() || dice.chance(0.3) {
            // Who only listens behind a NAT that rebinds is cut off for good without it.
            config.keep_alive = Some(millis(dice.between(500, 3000)));
        }
        let ending = match dice.below(10) {
            0 => Ending::ClientCloses(millis(dice.below(5000))),
            1 => Ending::ServerCloses,
            2 => Ending::Vanishes(millis(dice.below(5000))),
            _ => Ending::WhenDone,
        };
        let mut tasks: Vec<Task> = (0..dice.between(1, 12)).map(|_| task(index, dice)).collect();
        if ending == Ending::ServerCloses {
            let at = dice.below(tasks.len() as u64) as usize;
            tasks[at] = Task { closes: true, up_reset: NEVER, up_stop: NEVER, ..tasks[at] };
        }
        let script = script(tasks.len(), nat.is_none(), dice);
        let appetite =
            [(); 2].map(|()| dice.chance(0.15).then(|| dice.between(200, 20_000) as usize));
        let start = millis(dice.below(3000));
        Self { start, line, nat, config, tasks, script, appetite, ending }
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Of any order of magnitude from `low` to `high`.
fn magnitude(dice: &mut Dice, low: f64, high: f64) -> f64 {
    low * (high / low).powf(dice.unit())
}

fn trunk_line(dice: &mut Dice) -> LinkConfig {
    let bandwidth = magnitude(dice, 1e6, 2e8) as u64;
    let delay = Duration::from_secs_f64(magnitude(dice, 0.0005, 0.15));
    let mut line = LinkConfig::with_rate(bandwidth, delay);
    line.queue = queue(dice, line.queue);
    spoil(&mut line, dice);
    line
}

fn access_line(dice: &mut Dice) -> LinkConfig {
    let delay = Duration::from_secs_f64(magnitude(dice, 0.0001, 0.05));
    let mut line = LinkConfig { delay, ..LinkConfig::default() };
    if dice.chance(0.3) {
        spoil(&mut line, dice);
    }
    line
}

fn queue(dice: &mut Dice, plain: QueueConfig) -> QueueConfig {
    let aqm = match dice.below(5) {
        0 => Aqm::CoDel { target: millis(5), interval: millis(100) },
        1 => Aqm::Step { threshold: millis(2) },
        _ => Aqm::DropTail,
    };
    match dice.below(4) {
        0 => QueueConfig { aqm, ..QueueConfig::packets(dice.between(5, 200) as usize) },
        _ => QueueConfig { aqm, ..plain },
    }
}

/// Gives a line some faults, none of them too bad to be overcome.
fn spoil(line: &mut LinkConfig, dice: &mut Dice) {
    if dice.chance(0.4) {
        line.loss.push(Loss::Random(magnitude(dice, 0.0005, 0.08)));
    }
    if dice.chance(0.2) {
        let (share, burst) = (magnitude(dice, 0.001, 0.03), dice.between(2, 5) as f64);
        // Bad times are counted in datagrams: who sends one at a time must get through them too.
        let chain = GilbertElliott { loss_bad: 0.7, ..GilbertElliott::bursts(share, burst) };
        line.loss.push(Loss::GilbertElliott(chain));
    }
    if dice.chance(0.3) {
        line.jitter = line.delay.mul_f64(dice.unit());
    }
    if dice.chance(0.3) {
        line.reorder = magnitude(dice, 0.001, 0.2);
        line.reorder_delay = line.delay.mul_f64(magnitude(dice, 0.1, 3.0));
    }
    if dice.chance(0.2) {
        line.duplicate = magnitude(dice, 0.001, 0.2);
    }
    if dice.chance(0.2) {
        line.corruption = Corruption { rate: magnitude(dice, 0.001, 0.05), ..line.corruption };
    }
    line.ecn = match dice.below(12) {
        0 => EcnTreatment::Bleach,
        1 => EcnTreatment::MarkAll,
        2 => EcnTreatment::Drop,
        _ => EcnTreatment::Carry,
    };
    line.mtu = match dice.below(5) {
        0 => dice.between(1228, 1500) as usize,
        1 => 9000,
        _ => 1500,
    };
}

fn config(dice: &mut Dice) -> Config {
    let mut config = Config {
        // Failures must come from faults, not from impatience.
        idle_timeout: Duration::from_mins(2),
        handshake_timeout: Duration::from_mins(2),
        ack_threshold: dice.between(2, 20) as u8,
        max_ack_delay: millis(dice.between(1, 40)),
        active_connection_id_limit: dice.between(2, 8),
        client_connection_id_length: *dice.pick(&[0, 4, 8, 8, 20]),
        pacing: !dice.chance(0.1),
        ecn: !dice.chance(0.2),
        max_packet_size: *dice.pick(&[1200, 1452, 1452, 4000]),
        ..Config::default()
    };
    config.congestion = std::sync::Arc::new(*dice.pick(&CONTROLLERS));
    if dice.chance(0.5) {
        config.streams.max_streams_bidi = dice.between(1, 5);
        config.streams.max_streams_uni = dice.between(1, 5);
        config.streams.max_data = dice.between(2_000, 200_000);
        config.streams.max_stream_data_bidi_local = dice.between(1_000, 100_000);
        config.streams.max_stream_data_bidi_remote = dice.between(1_000, 100_000);
        config.streams.max_stream_data_uni = dice.between(1_000, 100_000);
        config.streams.send_buffer = dice.between(100, 50_000) as usize;
    }
    config.datagrams = DatagramConfig { max_frame_size: 65_535, ..DatagramConfig::default() };
    config
}

const CONTROLLERS: [CongestionControl; 3] =
    [CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Bbr];

fn task(client: u16, dice: &mut Dice) -> Task {
    let uni = dice.chance(0.3);
    let [up, down] = [(); 2].map(|()| size(dice));
    let cut = |dice: &mut Dice, size: u32| {
        if dice.chance(0.1) { dice.below(u64::from(size) + 1) as u32 } else { NEVER }
    };
    let up_reset = cut(dice, up);
    let mut task = Task {
        client,
        uni,
        pushed: uni || dice.chance(0.2),
        pushed_uni: dice.chance(0.5),
        closes: false,
        up,
        down,
        up_reset,
        down_reset: cut(dice, down),
        up_stop: cut(dice, up),
        down_stop: cut(dice, down),
    };
    if up_reset < up {
        // The server may never hear what it was asked for.
        task.pushed = false;
    }
    if uni && !task.pushed {
        task.down = 0;
    }
    task
}

fn size(dice: &mut Dice) -> u32 {
    if dice.chance(0.1) { 0 } else { magnitude(dice, 1.0, 200_000.0) as u32 }
}

fn script(tasks: usize, may_migrate: bool, dice: &mut Dice) -> Vec<(Duration, Op)> {
    let mut script = Vec::new();
    let mut left = tasks;
    while left > 0 {
        let some = dice.between(1, left as u64) as usize;
        let at = if left == tasks { Duration::ZERO } else { millis(dice.below(4000)) };
        script.push((at, Op::Tasks(some)));
        left -= some;
    }
    for _ in 0..dice.below(5) {
        let op = match dice.below(5) {
            0 | 1 => Op::UpdateKeys,
            2 => Op::Ping,
            3 if may_migrate => Op::Migrate,
            _ => Op::Datagrams(dice.between(1, 30) as usize),
        };
        script.push((millis(dice.below(6000)), op));
    }
    script.sort_by_key(|(at, _)| *at);
    script
}

/// Not so often that no path can ever be proven.
fn rebindings(dice: &mut Dice) -> Vec<(Duration, bool)> {
    let mut at = Duration::ZERO;
    (0..dice.below(4))
        .map(|_| {
            at += millis(dice.between(3000, 10_000));
            (at, dice.chance(0.4))
        })
        .collect()
}

/// Far enough apart that a probe timeout gets through between them.
fn blackouts(dice: &mut Dice) -> Vec<(Duration, Duration)> {
    if !dice.chance(0.25) {
        return Vec::new();
    }
    let mut at = Duration::ZERO;
    (0..dice.between(1, 3))
        .map(|_| {
            at += millis(dice.between(500, 4000));
            let length = millis(dice.between(50, 3000));
            let blackout = (at, length);
            at += length + Duration::from_secs(15);
            blackout
        })
        .collect()
}
