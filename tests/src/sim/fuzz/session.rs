//! [`Mix`]: the session of both ends: the client's opens streams as its tasks say, the server's does
//! what it is asked for, both check every byte. This file must not know the network.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::{DatagramId, DatagramOptions};
use protoquic::readers::VirtualTime;
use protoquic::streams::Priority;
use protoquic::{
    CloseReason, Connection, Direction, Refuse, Role, Session, SessionContext, StreamError,
    StreamId, Time,
};

use super::account::SharedAccount;
use super::ledger::Shared;
use super::mix_stream::MixStream;
use super::plan::{ClientPlan, Op};
use super::task::{Task, fill, mismatch};

/// One end of a connection of the mix.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) role: Role,
    /// Everybody's, by number; a server learns from the first header which is its own.
    ledgers: Rc<[Shared]>,
    /// A server's, until it is known whose it is.
    account: Option<SharedAccount>,
    pub(super) client: Option<u16>,
    plan: Option<Rc<ClientPlan>>,
    clock: VirtualTime,
    began: Option<Time>,
    next_op: usize,
    next_task: usize,
    /// What is to be opened when the peer allows it.
    pub(super) to_open: VecDeque<Task>,
    /// Streams that are open and have a planned end.
    pub(super) open: u64,
    /// Streams of the server that are still to come.
    pub(super) awaited: u64,
    /// This end's for each client's streams, by number.
    appetites: Vec<Option<usize>>,
    pub(super) hungry: BTreeSet<StreamId>,
    pub(super) next_meal: Option<Time>,
    other_address: Option<std::net::SocketAddr>,
    datagrams: BTreeSet<DatagramId>,
    next_datagram: u64,
    pub(super) closed: bool,
}

impl Mix {
    pub(super) fn server(
        ledgers: Rc<[Shared]>,
        clock: VirtualTime,
        plans: &[Rc<ClientPlan>],
        account: SharedAccount,
    ) -> Self {
        let appetites = plans.iter().map(|plan| plan.appetite[1]).collect();
        let new = Self::new(Role::Server, ledgers, clock, appetites);
        Self { account: Some(account), ..new }
    }

    pub(super) fn client(
        index: u16,
        plan: Rc<ClientPlan>,
        ledgers: Rc<[Shared]>,
        clock: VirtualTime,
        other_address: Option<std::net::SocketAddr>,
    ) -> Self {
        let mut appetites = vec![None; ledgers.len()];
        appetites[usize::from(index)] = plan.appetite[0];
        let new = Self::new(Role::Client, ledgers, clock, appetites);
        let awaited = plan.tasks.iter().filter(|task| task.pushed).count() as u64;
        Self { client: Some(index), plan: Some(plan), awaited, other_address, ..new }
    }

    fn new(
        role: Role,
        ledgers: Rc<[Shared]>,
        clock: VirtualTime,
        appetites: Vec<Option<usize>>,
    ) -> Self {
        Self {
            role,
            ledgers,
            account: None,
            client: None,
            plan: None,
            clock,
            began: None,
            next_op: 0,
            next_task: 0,
            to_open: VecDeque::new(),
            open: 0,
            awaited: 0,
            appetites,
            hungry: BTreeSet::new(),
            next_meal: None,
            other_address: None,
            datagrams: BTreeSet::new(),
            next_datagram: 0,
            closed: false,
        }
    }

    fn ledger(&self) -> Option<&Shared> {
        self.client.and_then(|client| self.ledgers.get(usize::from(client)))
    }

    pub(super) fn with_ledger(&self, f: impl FnOnce(&mut super::Ledger)) {
        if let Some(ledger) = self.ledger() {
            f(&mut ledger.borrow_mut());
        }
    }

    /// A server learns whose connection it is, or that it is still theirs.
    pub(super) fn belongs_to(&mut self, client: u16) {
        assert_eq!(*self.client.get_or_insert(client), client, "this is another client's");
        if let Some(account) = self.account.take() {
            self.with_ledger(|ledger| ledger.accounts[1] = Some(account));
        }
    }

    pub(super) fn appetite(&self) -> Option<usize> {
        self.client.and_then(|client| self.appetites.get(usize::from(client)).copied().flatten())
    }

    /// Salts a flow: whose it is, on which stream, which way.
    pub(super) fn salt(&self, id: StreamId, from: Role) -> u64 {
        let client = u64::from(self.client.unwrap_or(u16::MAX));
        client << 48 | id.as_u64() << 1 | u64::from(from.is_server())
    }

    fn play(&mut self, cx: &mut SessionContext<'_, Self>) {
        let (Some(began), Some(plan)) = (self.began, self.plan.clone()) else { return };
        while let Some((at, op)) = plan.script.get(self.next_op).copied()
            && began + at <= cx.now()
        {
            self.next_op += 1;
            self.act(op, &plan, cx);
        }
    }

    fn act(&mut self, op: Op, plan: &ClientPlan, cx: &mut SessionContext<'_, Self>) {
        match op {
            Op::Tasks(some) => {
                self.to_open.extend(&plan.tasks[self.next_task..self.next_task + some]);
                self.next_task += some;
                self.open_streams(cx);
            }
            Op::UpdateKeys => {
                cx.connection().initiate_key_update();
            }
            Op::Ping => cx.connection().ping(),
            Op::Datagrams(some) => self.send_datagrams(some, cx),
            Op::Migrate => {
                if let Some(other) = self.other_address {
                    let (now, here) = (cx.now(), cx.connection().path().local);
                    // It may be too early, or forbidden, or out of IDs: then not.
                    if cx.connection().migrate(now, other).is_ok() {
                        self.other_address = Some(here);
                    }
                }
            }
            Op::Probe => {
                if let Some(other) = self.other_address {
                    let now = cx.now();
                    let _ = cx.connection().probe_path(now, other);
                }
            }
        }
    }

    fn send_datagrams(&mut self, some: usize, cx: &mut SessionContext<'_, Self>) {
        for _ in 0..some {
            let Some(max) = cx.max_datagram_size() else { return };
            let number = self.next_datagram;
            let len = (number as usize * 137) % 1000 + 10;
            let mut data = vec![0; len.min(max)];
            data[..2].copy_from_slice(&self.client.unwrap_or(0).to_be_bytes());
            data[2..10].copy_from_slice(&number.to_be_bytes());
            fill(number, 10, &mut data[10..]);
            let deadline = (number % 7 == 3).then(|| cx.now() + Duration::from_millis(5));
            let options = DatagramOptions { urgency: (number % 8) as u8, deadline };
            if let Ok(id) = cx.send_datagram(data.into(), options) {
                assert!(self.datagrams.insert(id), "the name of a datagram is given out twice");
                self.next_datagram += 1;
                self.with_ledger(|ledger| ledger.datagrams_sent += 1);
            }
        }
    }

    /// Opens what waits to be opened, as far as the peer allows.
    pub(super) fn open_streams(&mut self, cx: &mut SessionContext<'_, Self>) {
        while let Some(task) = self.to_open.front().copied() {
            let uni = if self.role.is_client() { task.uni } else { task.pushed_uni };
            let direction = if uni { Direction::Unidirectional } else { Direction::Bidirectional };
            let role = self.role;
            let client = self.client;
            let salt = |id: StreamId, from: Role| {
                let client = u64::from(client.unwrap_or(u16::MAX));
                client << 48 | id.as_u64() << 1 | u64::from(from.is_server())
            };
            let opened = cx.open_stream(direction, |id| {
                MixStream::opened(task, role, id.direction(), salt(id, role), salt(id, role.peer()))
            });
            match opened {
                Ok(id) => {
                    let rank = task.up ^ task.down;
                    let (urgency, incremental) = ((rank % 8) as u8, rank & 8 == 0);
                    let priority = Priority { urgency, incremental };
                    let ranked = cx.connection().stream_set_priority(id, priority);
                    assert!(ranked.is_ok(), "a new stream cannot be ranked: {ranked:?}");
                    self.to_open.pop_front();
                    self.open += 1;
                }
                Err(StreamError::LimitReached | StreamError::ConnectionClosed) => return,
                Err(error) => panic!("a stream could not be opened: {error}"),
            }
        }
    }

    /// Sets the alarm to whatever comes first.
    pub(super) fn set_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        let op = self.plan.as_ref().and_then(|plan| plan.script.get(self.next_op));
        let op = op.and_then(|(at, _)| self.began.map(|began| began + *at));
        cx.set_alarm([op, self.next_meal].into_iter().flatten().min());
    }

    pub(super) fn look_whether_done(&mut self) {
        let all = self.plan.as_ref().is_some_and(|plan| self.next_task == plan.tasks.len());
        let over = all && self.to_open.is_empty() && self.open == 0 && self.awaited == 0;
        if over && !self.closed {
            let now = self.clock.now();
            self.with_ledger(|ledger| {
                ledger.done.get_or_insert(now);
            });
        }
    }
}

impl Session for Mix {
    type Stream = MixStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<MixStream, Refuse> {
        assert!(!self.closed, "{id} was opened after the end");
        self.open += 1;
        Ok(MixStream::incoming(id, self.role))
    }

    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.plan.as_ref().is_some_and(|plan| plan.early) {
            self.began = Some(cx.now());
            self.play(cx);
            self.set_alarm(cx);
        }
    }

    fn on_path_changed(
        &mut self,
        _path: &protoquic::PathAddress,
        _cx: &mut SessionContext<'_, Self>,
    ) {
        if self.role.is_server() {
            self.with_ledger(|ledger| ledger.moved = true);
        }
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let now = cx.now();
        self.began.get_or_insert(now);
        if self.role.is_client() {
            self.with_ledger(|ledger| ledger.complete = Some(now));
        }
        self.play(cx);
        self.set_alarm(cx);
    }

    fn on_handshake_confirmed(&mut self, cx: &mut SessionContext<'_, Self>) {
        let now = cx.now();
        if self.role.is_client() {
            self.with_ledger(|ledger| ledger.confirmed = Some(now));
        }
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        _direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.open_streams(cx);
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.play(cx);
        if self.next_meal.is_some_and(|meal| meal <= cx.now()) {
            self.next_meal = None;
            for id in std::mem::take(&mut self.hungry) {
                cx.wake_stream(id);
            }
        }
        self.set_alarm(cx);
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        assert!(data.len() >= 10, "nobody sent this datagram");
        let client = u16::from_be_bytes([data[0], data[1]]);
        self.belongs_to(client);
        let number = data[2..10].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        assert_eq!(mismatch(number, 10, &data[10..]), None, "datagram {number} is corrupted");
        let returned = self.role.is_client();
        assert!(!returned || number % 3 == 0, "datagram {number} was not to be returned");
        self.with_ledger(|ledger| {
            let known = if returned {
                &mut ledger.datagrams_returned
            } else {
                &mut ledger.datagrams_received
            };
            assert!(known.insert(number), "datagram {number} came twice");
        });
        if !returned
            && number % 3 == 0
            && let Ok(id) = cx.send_datagram(data, DatagramOptions::default())
        {
            assert!(self.datagrams.insert(id), "the name of a datagram is given out twice");
        }
    }

    fn on_datagram_acked(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        assert!(self.datagrams.remove(&id), "an unknown datagram was acknowledged, or twice");
    }

    fn on_datagram_lost(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        assert!(self.datagrams.contains(&id), "an unknown datagram was lost");
    }

    fn on_datagram_dropped(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        assert!(self.datagrams.remove(&id), "an unknown datagram was dropped, or twice");
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        assert!(!std::mem::replace(&mut self.closed, true), "the end was told twice");
        let (now, side) = (self.clock.now(), usize::from(self.role.is_server()));
        self.with_ledger(|ledger| ledger.closed[side] = Some((now, why.clone())));
    }
}

/// A connection keeps no more than its settings let it.
pub(super) fn check_holdings(connection: &Connection) {
    let (now, most) = (connection.holdings(), connection.most_holdings());
    assert_eq!(now.excess(&most), None, "{now:?}, at most {most:?}");
}
