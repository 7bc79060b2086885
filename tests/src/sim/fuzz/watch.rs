//! [`Watch`]: what must hold on the wire, checked on every datagram of a run: the amplification
//! limit, sizes, silence after the end, no chatter without end. This file must not know plans'
//! contents beyond the limits it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use protoquic::connection::Config;
use protoquic::{CloseReason, Time};

use super::super::capture::{Captured, Point};
use super::super::link::Dropped;
use super::ledger::Shared;
use super::plan::{Plan, client_of};

/// What the watch knows of one client.
#[derive(Debug)]
struct Watched {
    ledger: Shared,
    /// The largest payload that its settings let it send.
    max_size: usize,
    /// Datagrams that it sent and got after its end.
    after_end: (u64, u64),
}

/// Checks every datagram.
#[derive(Debug)]
pub(super) struct Watch {
    /// The server's addresses.
    servers: Vec<SocketAddr>,
    server_max_size: usize,
    /// Clients may have tokens of earlier connections, which prove their IP (RFC 9000 §8.1.3).
    tokens: bool,
    proven: BTreeSet<IpAddr>,
    clients: Vec<Watched>,
    credits: BTreeMap<SocketAddr, Credit>,
    /// How many from one address to another.
    too_big: BTreeMap<(SocketAddr, SocketAddr), u64>,
    pub(super) sent: u64,
}

/// What an address has earned from the server.
#[derive(Clone, Copy, Debug, Default)]
struct Credit {
    received: usize,
    sent: usize,
    /// When something from the server first arrived at its owner.
    reached: Option<Time>,
    /// It may have proven to the server that it is there: it sent something after it had received
    /// something.
    proven: bool,
}

impl Watch {
    pub(super) fn new(plan: &Plan, ledgers: Vec<Shared>) -> Self {
        let watched = |(ledger, config): (Shared, &Config)| {
            let max_size = config.max_packet_size;
            Watched { ledger, max_size, after_end: (0, 0) }
        };
        let configs = plan.clients.iter().map(|client| &client.config);
        let configs = configs.chain(plan.web.iter().map(|web| &web.config));
        let follows = plan.clients.iter().any(|client| client.follows.is_some());
        let servers = [Some(plan.server_address()), plan.preferred_address()];
        Self {
            servers: servers.into_iter().flatten().collect(),
            server_max_size: plan.server.max_packet_size,
            tokens: follows || plan.web.iter().any(|web| web.follows.is_some()),
            proven: BTreeSet::new(),
            clients: ledgers.into_iter().zip(configs).map(watched).collect(),
            credits: BTreeMap::new(),
            too_big: BTreeMap::new(),
            sent: 0,
        }
    }

    pub(super) fn see(&mut self, seen: &Captured<'_>) {
        let from_server = self.servers.contains(&seen.origin.0);
        match seen.point {
            Point::Sent(_) => {
                self.sent += 1;
                if from_server {
                    self.check_amplification(seen);
                } else {
                    self.check_silence(seen);
                }
                self.check_size(seen, from_server);
            }
            Point::Received(_) if from_server => {
                let credit = self.credits.entry(seen.origin.1).or_default();
                credit.reached.get_or_insert(seen.at);
                if let Some(client) = self.clients.get_mut(client_of(&seen.to)) {
                    client.after_end.1 += 1;
                }
            }
            Point::Received(_) => {
                let credit = self.credits.entry(seen.from).or_default();
                credit.received += seen.data.len();
                credit.proven |= credit.reached.is_some_and(|reached| seen.sent >= reached);
                if credit.proven && self.tokens {
                    self.proven.insert(seen.from.ip());
                }
            }
            Point::Dropped(_, Dropped::TooBig) => {
                let count = self.too_big.entry((seen.origin.0, seen.to)).or_default();
                *count += 1;
                assert!(*count <= MAX_TOO_BIG, "{} goes on above the MTU", seen.origin.0);
            }
            Point::Dropped(..) | Point::Filtered | Point::Unreachable => {}
        }
    }

    /// RFC 9000 §8.1, §9.3.1
    fn check_amplification(&mut self, seen: &Captured<'_>) {
        let credit = self.credits.entry(seen.to).or_default();
        credit.sent += seen.data.len();
        let Credit { sent, received, proven, .. } = *credit;
        assert!(
            proven || self.proven.contains(&seen.to.ip()) || sent <= 3 * received,
            "{seen:?}: {sent} bytes to {}, which sent {received} and proved nothing",
            seen.to
        );
    }

    /// RFC 9000 §10.2: who closed only repeats that, when asked; who was told says nothing.
    fn check_silence(&mut self, seen: &Captured<'_>) {
        let Some(client) = self.clients.get_mut(client_of(&seen.from)) else { return };
        let ledger = client.ledger.borrow();
        let Some((at, reason)) = ledger.closed[0].as_ref().filter(|(at, _)| *at < seen.at) else {
            client.after_end = (0, 0);
            return;
        };
        client.after_end.0 += 1;
        let (sent, received) = client.after_end;
        let may_repeat = matches!(reason, CloseReason::Application { .. });
        assert!(
            may_repeat && sent <= received + 1,
            "{seen:?} after the end at {at:?}, {sent} for {received} that came: {reason}"
        );
    }

    fn check_size(&self, seen: &Captured<'_>, from_server: bool) {
        let max = if from_server {
            self.server_max_size
        } else {
            self.clients.get(client_of(&seen.from)).map_or(0, |client| client.max_size)
        };
        assert!(seen.data.len() <= max, "{seen:?} is larger than {max}");
    }
}

/// Probes of the MTU may be too big, three of each size (RFC 8899 §5.1.2), on each path; and so is
/// a flight that was under way when a path began.
const MAX_TOO_BIG: u64 = 150;
