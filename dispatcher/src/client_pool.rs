//! [`ClientPool`]: many client connections on one socket, told apart by their connection IDs: one
//! system call reads for all of them. It must not know their protocols.

use std::collections::HashMap;

use protoquic_core::wire::destination_bytes;
use protoquic_core::{
    Alarm, AlarmFactory, AlarmOwner, CloseReason, ConnectionId, EventLoopVisitor, Host, Notice,
    PacketBatch, PacketSink, PacketWriter, ReceivedPacket, Session, SessionContext, SessionHost,
    Time,
};
use slab::Slab;

use crate::turns::{ANSWERS_TOGETHER, InTurns, Listed, Turns};

/// Connections that share a writer and an event loop.
pub struct ClientPool<S: Session> {
    members: Slab<Member<S>>,
    routes: HashMap<ConnectionId, usize>,
    turns: Turns<usize>,
    ended: Vec<Ended<S>>,
    writer: Box<dyn PacketWriter>,
    id_length: usize,
}

struct Member<S: Session> {
    /// In its own place, where it stays: it is too large to move about.
    host: Box<SessionHost<S>>,
    alarm: Option<Alarm>,
    listed: Listed,
}

/// A connection that is over.
#[derive(Debug)]
pub struct Ended<S: Session> {
    /// Its host, with the session.
    pub host: Box<SessionHost<S>>,
    /// Why.
    pub reason: CloseReason,
}

impl<S: Session> std::fmt::Debug for ClientPool<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientPool").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

impl<S: Session> ClientPool<S> {
    /// An empty pool. Every connection's own IDs must have `id_length` bytes
    /// ([`Config::client_connection_id_length`](protoquic_core::Config), at least 4: they are all that
    /// tells connections apart).
    pub fn new(writer: Box<dyn PacketWriter>, id_length: usize) -> Self {
        Self {
            members: Slab::new(),
            routes: HashMap::new(),
            turns: Turns::default(),
            ended: Vec::new(),
            writer,
            id_length,
        }
    }

    /// Adds a connection; it sends at the end of the next turn.
    pub fn add(&mut self, host: SessionHost<S>) -> usize {
        let host = Box::new(host);
        let entry = self.members.vacant_entry();
        let key = entry.key();
        for id in host.connection().local_connection_ids() {
            self.routes.entry(id).or_insert(key);
        }
        entry.insert(Member { host, alarm: None, listed: Listed::default() });
        self.touch(key);
        key
    }

    /// Has [`Session::on_wake`] of the connection that [`add`](Self::add) gave this key called in
    /// the next turn. The key of a connection that has ended may name another one by then.
    pub fn wake(&mut self, key: usize) {
        if let Some(member) = self.members.get_mut(key) {
            member.host.wake();
            self.touch(key);
        }
    }

    /// How many connections live.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The connections that have ended since this was last asked.
    pub fn take_ended(&mut self) -> Vec<Ended<S>> {
        std::mem::take(&mut self.ended)
    }

    /// The live sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &S> {
        self.members.iter().map(|(_, member)| member.host.session())
    }

    /// Runs `f` with every live session; what they wrote goes out at the end of the next turn.
    pub fn enter_all(&mut self, now: Time, mut f: impl FnMut(&mut S, &mut SessionContext<'_, S>)) {
        let keys: Vec<_> = self.members.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.members[key].host.enter(now, &mut f);
            self.touch(key);
        }
    }
}

impl<S: Session> ClientPool<S> {
    /// Whose a datagram is.
    fn route(&self, datagram: &[u8]) -> Option<usize> {
        let id = destination_bytes(datagram, self.id_length).and_then(ConnectionId::new)?;
        self.routes.get(&id).copied()
    }

    /// Lets a connection process what came for it.
    fn deliver(&mut self, key: usize, now: Time, process: impl FnOnce(&mut SessionHost<S>)) {
        self.on_datagram();
        let host = &mut *self.members[key].host;
        let was_established = host.connection().is_established();
        process(host);
        if !was_established && host.connection().is_established() {
            host.run_turn(now, &mut *self.writer);
            self.on_answer(ANSWERS_TOGETHER);
        }
        self.touch(key);
    }

    /// Short IDs of many connections may meet: the first keeps the route, and loses it alone.
    fn remove_route(&mut self, id: &ConnectionId, key: usize) {
        if self.routes.get(id) == Some(&key) {
            self.routes.remove(id);
        }
    }
}

impl<S: Session> InTurns for ClientPool<S> {
    type Key = usize;

    fn turns(&mut self) -> &mut Turns<usize> {
        &mut self.turns
    }

    fn writer(&mut self) -> &mut dyn PacketWriter {
        &mut *self.writer
    }

    fn listed(&mut self, key: usize) -> Option<(&mut Turns<usize>, &mut Listed)> {
        let member = self.members.get_mut(key)?;
        Some((&mut self.turns, &mut member.listed))
    }

    fn run(&mut self, now: Time, key: usize, alarms: &mut dyn AlarmFactory) {
        let Some(member) = self.members.get_mut(key) else { return };
        if member.listed.on_run() {
            member.host.on_alarm(now);
        }
        member.host.run_turn(now, &mut *self.writer);
        if member.host.is_write_blocked() {
            self.turns.block(key, &mut member.listed);
        }
        let owner = AlarmOwner(key as u64);
        let alarm = *member.alarm.get_or_insert_with(|| alarms.create_alarm(owner));
        alarms.set_alarm(alarm, member.host.next_deadline());
        while let Some(notice) = self.members.get_mut(key).and_then(|m| m.host.pop_notice()) {
            match notice {
                Notice::ConnectionIdIssued(id) => {
                    self.routes.entry(id).or_insert(key);
                }
                Notice::ConnectionIdRetired(id) => self.remove_route(&id, key),
                Notice::PathDegrading => {} // all share one socket
                Notice::Closed { reason, .. } => {
                    let host = self.members.remove(key).host;
                    for id in host.connection().local_connection_ids() {
                        self.remove_route(&id, key);
                    }
                    alarms.remove_alarm(alarm);
                    self.ended.push(Ended { host, reason });
                }
            }
        }
    }
}

impl<S: Session> PacketSink for ClientPool<S> {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        if let Some(key) = self.route(&packet.data) {
            self.deliver(key, packet.received, |host| host.process_packet(packet));
        }
    }

    fn on_batch(&mut self, mut batch: PacketBatch) {
        while !batch.is_empty() {
            let part = batch.take_same_destination(self.id_length);
            if let Some(key) = self.route(part.first()) {
                self.deliver(key, part.received, |host| host.process_batch(part));
            }
        }
    }
}

impl<S: Session> EventLoopVisitor for ClientPool<S> {
    fn on_alarm(&mut self, owner: AlarmOwner, _now: Time) {
        self.touch_for_alarm(owner.0 as usize);
    }

    fn on_can_write(&mut self, _now: Time) {
        self.unblock_all();
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.run_touched(now, alarms);
    }

    fn wants_write_event(&self) -> bool {
        self.writer.is_write_blocked()
    }

    fn has_work(&self) -> bool {
        self.turns.has_work()
    }
}
