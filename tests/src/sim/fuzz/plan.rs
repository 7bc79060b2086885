//! [`Plan`]: what a seed stands for. Everything is drawn here, so that what happens later cannot
//! change what is planned. This file must not know how a plan is played.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::AddressValidation;
use protoquic::http::Http3Config;
use protoquic::wire::Version;

use super::super::dice::Dice;
use super::super::link::LinkConfig;
use super::lines::{access_line, blackouts, magnitude, rebindings, trunk_line};
use super::settings::{client_config, server_config};
use super::task::{NEVER, Task};
use super::web::{WebPlan, http_config, web_plans};

/// A network and what is to happen in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Whether it all runs over IPv6.
    pub ipv6: bool,
    /// The clients' connections.
    pub clients: Vec<ClientPlan>,
    /// Their HTTP/3 connections.
    pub web: Vec<WebPlan>,
    /// The server's settings for HTTP/3.
    pub server_http: Http3Config,
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

/// One connection of a client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The connection that it follows, on the same host, and whose tickets it has; `None`: it has a
    /// host of its own.
    pub follows: Option<usize>,
    /// When it begins, counted from the end of the one that it follows.
    pub start: Duration,
    /// Its own line, to the trunk and back.
    pub line: [LinkConfig; 2],
    /// When its NAT rebinds, and whether the address changes too; `None`: it has no NAT.
    pub nat: Option<Vec<(Duration, bool)>>,
    /// Its settings.
    pub config: Config,
    /// Whether it begins its work before its handshake, if it can.
    pub early: bool,
    /// Its socket is full at every so many packets.
    pub blocks: Option<u64>,
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
    /// Looks whether the way from its other address is open.
    Probe,
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
    /// When all is done nobody says anything any more.
    FallsSilent,
}

impl Plan {
    /// What this seed stands for.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xf022_ed91);
        let dice = &mut dice;
        let ipv6 = dice.chance(0.25);
        let big = dice.chance(0.2);
        let trunk = [trunk_line(dice), trunk_line(dice)];
        let blackouts = blackouts(dice);
        let rtt = trunk[0].delay + trunk[1].delay;
        let mut server = server_config(ipv6, big, rtt, dice);
        if dice.chance(0.1) {
            server.versions = vec![Version::V1];
            server.preferred_versions.clear();
        }
        let validation = match dice.below(4) {
            0 => AddressValidation::Always,
            _ => AddressValidation::Never,
        };
        let shared_nat = dice.chance(0.3);
        let mut clients: Vec<ClientPlan> = Vec::new();
        for index in 0..dice.between(1, 5) as usize {
            let client = ClientPlan::new(&clients, index, big, rtt, dice);
            clients.push(client);
        }
        let (web, server_http) = (web_plans(big, rtt, dice), http_config(dice));
        Self {
            seed,
            ipv6,
            clients,
            web,
            server_http,
            trunk,
            shared_nat,
            server,
            validation,
            blackouts,
        }
    }

    /// The largest UDP payload that a client's way to the server carries, in bytes.
    pub fn path_payload(&self, client: usize) -> usize {
        let headers = if self.ipv6 { 48 } else { 28 };
        self.trunk[0].mtu.min(self.line_of(client)[0].mtu) - headers
    }

    /// Where the server is.
    pub fn server_address(&self) -> SocketAddr {
        let ip = if self.ipv6 { v6([0xfd02, 0, 1]) } else { [192, 0, 2, 1].into() };
        SocketAddr::new(ip, 443)
    }

    /// Where it would rather be.
    pub fn preferred_address(&self) -> Option<SocketAddr> {
        let preferred = self.server.preferred_address;
        preferred.ipv4.map(SocketAddr::V4).or(preferred.ipv6.map(SocketAddr::V6))
    }

    /// A client's own line. HTTP/3 connections are counted after the others.
    fn line_of(&self, client: usize) -> &[LinkConfig; 2] {
        match client.checked_sub(self.clients.len()) {
            Some(web) => &self.web[web].line,
            None => &self.clients[client].line,
        }
    }

    /// On which host a connection of a client begins.
    pub fn host_of(&self, client: usize) -> usize {
        let before = match client.checked_sub(self.clients.len()) {
            Some(web) => self.web[web].follows.map(|before| before + self.clients.len()),
            None => self.clients[client].follows,
        };
        before.map_or(client, |before| self.host_of(before))
    }

    /// A client's two addresses. Its port is its own.
    pub fn addresses(&self, client: usize) -> [SocketAddr; 2] {
        let host = self.host_of(client) as u8;
        [1, 2].map(|network| {
            let ip = if self.ipv6 {
                v6([0xfd10 + network, host.into(), 1])
            } else {
                [10, network as u8, host, 1].into()
            };
            SocketAddr::new(ip, FIRST_PORT + client as u16)
        })
    }

    /// The outer address of a host's NAT.
    pub fn nat_address(&self, host: usize) -> IpAddr {
        if self.ipv6 { v6([0xfd03, host as u16, 7]) } else { [203, 0, 113 + host as u8, 7].into() }
    }
}

/// `a:b::c`
fn v6([a, b, c]: [u16; 3]) -> IpAddr {
    Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, c).into()
}

/// Which client has this address, behind its NAT.
pub(super) fn client_of(address: &SocketAddr) -> usize {
    usize::from(address.port().wrapping_sub(FIRST_PORT))
}

impl ClientPlan {
    fn new(others: &[Self], index: usize, big: bool, rtt: Duration, dice: &mut Dice) -> Self {
        let line = [access_line(dice), access_line(dice)];
        let mut config = client_config(big, rtt, dice);
        let nat = dice.chance(0.4).then(|| rebindings(dice));
        let ending = match dice.below(12) {
            0 => Ending::ClientCloses(millis(dice.below(5000))),
            1 => Ending::ServerCloses,
            2 => Ending::Vanishes(millis(dice.below(5000))),
            3 => Ending::FallsSilent,
            _ => Ending::WhenDone,
        };
        let mut tasks: Vec<Task> =
            (0..dice.between(1, 12)).map(|_| task(index as u16, big, dice)).collect();
        if ending == Ending::ServerCloses {
            let at = dice.below(tasks.len() as u64) as usize;
            tasks[at] = Task { closes: true, up_reset: NEVER, up_stop: NEVER, ..tasks[at] };
        }
        let appetite =
            [(); 2].map(|()| dice.chance(0.15).then(|| dice.between(200, 20_000) as usize));
        let mut plan = Self {
            follows: None,
            start: millis(dice.below(3000)),
            line,
            nat,
            early: dice.chance(0.7),
            blocks: dice.chance(0.1).then(|| dice.between(2, 30)),
            script: script(tasks.len(), dice),
            tasks,
            appetite: if big { [None; 2] } else { appetite },
            ending,
            config: config.clone(),
        };
        if dice.chance(0.5) {
            plan.follow(others, dice);
        }
        if plan.nat.is_some() || dice.chance(0.3) {
            // Who only listens behind a NAT that rebinds is cut off for good without it.
            config.keep_alive = Some(millis(dice.between(500, 3000)));
        }
        if ending == Ending::FallsSilent {
            config.keep_alive = None;
            if plan.follows.is_none() && plan.nat.is_some() {
                plan.nat = Some(Vec::new());
            }
        }
        config.session_cache = plan.config.session_cache.take();
        Self { config, ..plan }
    }

    /// Becomes another connection of a client that has had one, if there is one that can.
    fn follow(&mut self, others: &[Self], dice: &mut Dice) {
        let Some(at) = (0..others.len()).find(|_| dice.chance(0.6)) else { return };
        let before = &others[at];
        let dies = |plan: &Self| matches!(plan.ending, Ending::Vanishes(_));
        let lives = !dies(before) && !dies(self); // the host's line goes, for all
        let rebinds = before.nat.as_ref().is_some_and(|times| !times.is_empty());
        if lives && !(rebinds && self.ending == Ending::FallsSilent) {
            self.follows = Some(at);
            self.line.clone_from(&before.line);
            self.nat.clone_from(&before.nat);
            self.config.session_cache.clone_from(&before.config.session_cache);
        }
    }
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn task(client: u16, big: bool, dice: &mut Dice) -> Task {
    let uni = dice.chance(0.3);
    let [up, down] = [(); 2].map(|()| size(big, dice));
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
        reliable: dice.chance(0.4),
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

fn size(big: bool, dice: &mut Dice) -> u32 {
    match dice.below(20) {
        0 | 1 => 0,
        2 => 1,
        3 if big => magnitude(dice, 200_000.0, 4_000_000.0) as u32,
        _ => magnitude(dice, 1.0, 200_000.0) as u32,
    }
}

fn script(tasks: usize, dice: &mut Dice) -> Vec<(Duration, Op)> {
    let mut script = Vec::new();
    let mut left = tasks;
    while left > 0 {
        let some = dice.between(1, left as u64) as usize;
        let at = if left == tasks { Duration::ZERO } else { millis(dice.below(4000)) };
        script.push((at, Op::Tasks(some)));
        left -= some;
    }
    for _ in 0..dice.below(6) {
        let op = match dice.below(7) {
            0 | 1 => Op::UpdateKeys,
            2 => Op::Ping,
            3 | 4 => Op::Migrate,
            5 => Op::Probe,
            _ => Op::Datagrams(dice.between(1, 30) as usize),
        };
        script.push((millis(dice.below(6000)), op));
    }
    script.sort_by_key(|(at, _)| *at);
    script
}

/// The port of the first client.
const FIRST_PORT: u16 = 5000;
