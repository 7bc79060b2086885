//! [`Dispatcher`]: takes every datagram of a port, runs the sessions that were touched once per
//! turn, and keeps their alarms. What becomes of datagrams without a session is in `unrouted.rs`,
//! how a session is made in `creation.rs`.

mod creation;
mod stats;
mod unrouted;
mod worker;

use std::sync::Arc;

use bytes::Bytes;
use protoquic_core::connection::ConnectionIdGenerator;
use protoquic_core::crypto::ring_provider;
use protoquic_core::session::{Host, Notice, SessionFactory};
use protoquic_core::wire::destination_bytes;
use protoquic_core::{
    AlarmFactory, AlarmOwner, ApplicationError, ConnectionHelper, ConnectionId, EventLoopVisitor,
    ObserverFactory, PacketBatch, PacketSink, PacketWriter, RandomGenerator, ReceivedPacket, Time,
};
use rustls::crypto::CryptoProvider;

use crate::arrivals::Arrivals;
use crate::buffered_packets::BufferedPackets;
use crate::config::{DispatcherConfig, DispatcherSetup};
use crate::early_packets::EarlyPackets;
use crate::session_table::{SessionKey, SessionTable};
use crate::stateless::{StatelessAnswers, is_blocked_port};
use crate::time_wait::TimeWaitList;
use crate::turns::{ANSWERS_TOGETHER, InTurns, Listed, Turns};
use crate::workers::WorkerPlace;

pub use stats::DispatcherStats;

/// Routes the datagrams of one port to its sessions.
///
/// An event loop drives it as an [`EventLoopVisitor`].
pub struct Dispatcher {
    config: DispatcherConfig,
    writer: Box<dyn PacketWriter>,
    helper: Box<dyn ConnectionHelper>,
    random: Box<dyn RandomGenerator>,
    ids: Box<dyn ConnectionIdGenerator>,
    factories: Vec<Box<dyn SessionFactory>>,
    observers: Option<Box<dyn ObserverFactory>>,
    sessions: SessionTable,
    buffered: BufferedPackets,
    early: EarlyPackets,
    time_wait: TimeWaitList,
    stateless: StatelessAnswers,
    turns: Turns<SessionKey>,
    arrivals: Arrivals,
    accepting: bool,
    handshaking: usize,
    stats: DispatcherStats,
    /// Where it stands among several of one port.
    worker: Option<WorkerPlace>,
    /// For reading Initial packets, which anyone can.
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher that accepts connections.
    pub fn new(setup: DispatcherSetup) -> Self {
        let DispatcherSetup { config, writer, helper, ids, factories, observers } = setup;
        let mut random = helper.random_generator();
        Self {
            stateless: StatelessAnswers::new(
                &mut *random,
                config.max_stateless_per_second,
                config.secret.as_ref(),
            ),
            buffered: BufferedPackets::new(
                config.max_buffered_connections,
                config.max_buffered_packets,
                config.buffer_lifetime,
            ),
            early: EarlyPackets::default(),
            time_wait: TimeWaitList::new(config.time_wait, config.max_time_wait),
            config,
            writer,
            helper,
            random,
            ids,
            factories,
            observers,
            sessions: SessionTable::default(),
            turns: Turns::default(),
            arrivals: Arrivals::default(),
            accepting: true,
            handshaking: 0,
            stats: DispatcherStats::default(),
            worker: None,
            provider: ring_provider(),
        }
    }

    /// From now on this decides who watches new connections.
    pub fn set_observers(&mut self, observers: Box<dyn ObserverFactory>) {
        self.observers = Some(observers);
    }

    /// What it has done so far.
    pub fn stats(&self) -> DispatcherStats {
        DispatcherStats {
            sessions: self.sessions.len(),
            handshaking: self.handshaking,
            buffered: self.buffered.len(),
            time_wait: self.time_wait.len(),
            ..self.stats
        }
    }

    /// From now on new clients are refused, and every session is told to end when it can
    /// ([`Session::on_shutdown`](protoquic_core::Session::on_shutdown)).
    pub fn stop_accepting_new_connections(&mut self, now: Time) {
        self.accepting = false;
        for key in self.sessions.keys() {
            if let Some(entry) = self.sessions.get_mut(key) {
                entry.host.shut_down(now);
            }
            self.touch(key);
        }
    }

    /// Closes every session at once.
    pub fn close_all(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.accepting = false;
        for key in self.sessions.keys() {
            if let Some(entry) = self.sessions.get_mut(key) {
                entry.host.close(now, code, reason);
            }
            self.touch(key);
        }
    }

    /// Drops every session without a word, as a crash would; keys and tokens stay. For tests of what
    /// clients make of it.
    pub fn forget_everything(&mut self) {
        for key in self.sessions.keys() {
            self.sessions.remove(key);
        }
        self.handshaking = 0;
    }

    /// The session that packets with this connection ID belong to.
    pub fn session_key(&mut self, id: &ConnectionId) -> Option<SessionKey> {
        self.sessions.route(id)
    }

    /// Has [`Session::on_wake`](protoquic_core::Session::on_wake) of this session called in the next
    /// turn: work came for it that no packet brought.
    pub fn wake_session(&mut self, key: SessionKey) {
        if let Some(host) = self.session_mut(key) {
            host.wake();
        }
    }

    /// Lends a session's host, which is run in the next turn: its owner may have work for it.
    pub fn session_mut(&mut self, key: SessionKey) -> Option<&mut dyn Host> {
        self.touch(key);
        self.sessions.get_mut(key).map(|entry| &mut *entry.host)
    }

    /// Whether no session lives.
    pub fn is_idle(&self) -> bool {
        self.sessions.len() == 0
    }

    /// Why no further session is made now.
    fn reason_to_refuse(&self) -> Option<&'static str> {
        if !self.accepting {
            Some("the server is stopping")
        } else if self.sessions.len() >= self.config.max_sessions {
            Some("the server is full")
        } else {
            None
        }
    }

    fn remove(
        &mut self,
        now: Time,
        key: SessionKey,
        farewell: Option<Bytes>,
        alarms: &mut dyn AlarmFactory,
    ) {
        if let Some(entry) = self.sessions.remove(key) {
            self.handshaking -= usize::from(entry.handshaking);
            alarms.remove_alarm(entry.alarm);
            self.time_wait.add(now, &entry.ids, farewell);
        }
    }
}

impl InTurns for Dispatcher {
    type Key = SessionKey;

    fn turns(&mut self) -> &mut Turns<SessionKey> {
        &mut self.turns
    }

    fn writer(&mut self) -> &mut dyn PacketWriter {
        &mut *self.writer
    }

    fn listed(&mut self, key: SessionKey) -> Option<(&mut Turns<SessionKey>, &mut Listed)> {
        let entry = self.sessions.get_mut(key)?;
        Some((&mut self.turns, &mut entry.listed))
    }

    fn run(&mut self, now: Time, key: SessionKey, alarms: &mut dyn AlarmFactory) {
        let Some(entry) = self.sessions.get_mut(key) else { return };
        while let Some(packet) = self.arrivals.pop(&mut entry.waiting) {
            entry.host.process_packet(packet);
        }
        if entry.listed.on_run() {
            entry.host.on_alarm(now);
        }
        entry.host.run_turn(now, &mut *self.writer);
        if entry.handshaking && entry.host.connection().is_established() {
            entry.handshaking = false;
            self.handshaking -= 1;
        }
        if entry.host.is_write_blocked() {
            self.turns.block(key, &mut entry.listed);
        }
        alarms.set_alarm(entry.alarm, entry.host.next_deadline());
        while let Some(notice) = self.sessions.get_mut(key).and_then(|e| e.host.pop_notice()) {
            match notice {
                Notice::ConnectionIdIssued(id) => self.sessions.add_route(id, key),
                Notice::ConnectionIdRetired(id) => self.sessions.remove_route(&id, key),
                Notice::PathDegrading => {} // only a client can choose another
                Notice::Closed { reason, farewell } => {
                    log::debug!("session closed: {reason}");
                    self.remove(now, key, farewell, alarms);
                }
            }
        }
    }
}

impl PacketSink for Dispatcher {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        if is_blocked_port(packet.path.peer) {
            self.stats.dropped += 1;
            return;
        }
        self.on_datagram();
        let length = self.ids.connection_id_length();
        let id = destination_bytes(&packet.data, length).and_then(ConnectionId::new);
        let Some(id) = id else {
            // Longer than ours can be: only Version Negotiation is possible.
            return self.on_unrouted(&packet);
        };
        match self.sessions.route(&id) {
            Some(key) => self.deliver_packet(key, packet),
            None => self.on_unclaimed(packet),
        }
    }

    fn on_batch(&mut self, mut batch: PacketBatch) {
        let length = self.ids.connection_id_length();
        let blocked = is_blocked_port(batch.path.peer);
        while !batch.is_empty() {
            let part = batch.take_same_destination(length);
            let id = destination_bytes(part.first(), length).and_then(ConnectionId::new);
            match id.and_then(|id| self.sessions.route(&id)) {
                Some(key) if !blocked && !part.is_single() => {
                    self.on_datagram();
                    self.deliver(key, part.received, |host| host.process_batch(part));
                }
                _ => part.for_each(|packet| self.on_packet(packet)),
            }
        }
    }
}

impl Dispatcher {
    /// Lets a session process a datagram, now or when it has its turn.
    fn deliver_packet(&mut self, key: SessionKey, packet: ReceivedPacket) {
        match self.sessions.get_mut(key) {
            Some(entry) if !entry.handshaking && self.arrivals.takes(&packet) => {
                self.arrivals.push(&mut entry.waiting, packet);
                self.turns.touch(key, &mut entry.listed);
            }
            _ => self.deliver(key, packet.received, |host| host.process_packet(packet)),
        }
    }

    /// Lets a session process what came for it.
    fn deliver(&mut self, key: SessionKey, now: Time, process: impl FnOnce(&mut dyn Host)) {
        if let Some(entry) = self.sessions.get_mut(key) {
            while let Some(packet) = self.arrivals.pop(&mut entry.waiting) {
                entry.host.process_packet(packet); // it came before
            }
            process(&mut *entry.host);
            self.turns.touch(key, &mut entry.listed);
            if entry.handshaking && entry.host.connection().is_established() {
                entry.host.run_turn(now, &mut *self.writer);
                self.on_answer(ANSWERS_TOGETHER);
            }
        }
    }
}

impl EventLoopVisitor for Dispatcher {
    fn on_alarm(&mut self, owner: AlarmOwner, _now: Time) {
        self.touch_for_alarm(SessionKey::from_owner(owner));
    }

    fn on_can_write(&mut self, _now: Time) {
        self.unblock_all();
    }

    /// Every session runs its callbacks: work came from elsewhere.
    fn on_wake(&mut self, _now: Time) {
        for key in self.sessions.keys() {
            self.touch(key);
        }
    }

    /// Makes the sessions that are ready, runs those that were touched, writes what they have to
    /// send.
    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.take_over(now);
        self.acknowledge_hellos();
        self.process_buffered_hellos(now, self.config.max_sessions_per_turn, alarms);
        self.run_touched(now, alarms);
        self.arrivals.end();
    }

    fn wants_write_event(&self) -> bool {
        self.writer.is_write_blocked()
    }

    fn has_work(&self) -> bool {
        self.turns.has_work() || self.has_hellos_buffered()
    }
}
