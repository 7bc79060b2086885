//! [`Dispatcher`]: takes every datagram of a port, runs the sessions that were touched once per
//! turn, and keeps their alarms. What becomes of datagrams without a session is in
//! `first_packet.rs`.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use protoquic_core::connection::{
    Connection, ConnectionIdGenerator, EarlyAcks, FirstFlight, MIN_PACKET_SIZE, ServerSetup,
    negotiated_version,
};
use protoquic_core::crypto::{ClientHello, ring_provider};
use protoquic_core::session::{ClientHelloInfo, Host, Notice, Reject, SessionFactory};
use protoquic_core::wire::{LongHeader, parse_invariant};
use protoquic_core::{
    AlarmFactory, AlarmOwner, ApplicationError, ConnectionHelper, ConnectionId, EventLoopVisitor,
    ObserverFactory, PacketSink, PacketWriter, PathAddress, RandomGenerator, ReceivedPacket, Time,
    TransportError, TransportErrorCode,
};
use rustls::crypto::CryptoProvider;

use crate::buffered_packets::{BufferedPackets, Waiting};
use crate::config::{DispatcherConfig, DispatcherSetup};
use crate::early_packets::EarlyPackets;
use crate::first_packet::{Admission, FirstLook, TokenOutcome, is_plausible, judge_token, look};
use crate::session_table::{SessionKey, SessionTable};
use crate::stateless::{RetryRequest, StatelessAnswers, is_blocked_port, send};
use crate::time_wait::{Answer, TimeWaitList};

/// What a dispatcher has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatcherStats {
    /// Sessions made.
    pub sessions_created: u64,
    /// Sessions that live.
    pub sessions: usize,
    /// Sessions whose handshake is not complete.
    pub handshaking: usize,
    /// Closed connections that are still remembered.
    pub time_wait: usize,
    /// Datagrams dropped without an answer.
    pub dropped: u64,
}

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
    /// Sessions to run at the end of the turn.
    touched: Vec<SessionKey>,
    /// Sessions that wait for the writer.
    blocked: Vec<SessionKey>,
    accepting: bool,
    handshaking: usize,
    stats: DispatcherStats,
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
            touched: Vec::new(),
            blocked: Vec::new(),
            accepting: true,
            handshaking: 0,
            stats: DispatcherStats::default(),
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

    fn touch(&mut self, key: SessionKey) {
        if let Some(entry) = self.sessions.get_mut(key)
            && !std::mem::replace(&mut entry.touched, true)
        {
            self.touched.push(key);
        }
    }

    fn run(&mut self, now: Time, key: SessionKey, alarms: &mut dyn AlarmFactory) {
        let Some(entry) = self.sessions.get_mut(key) else { return };
        entry.touched = false;
        entry.host.run_turn(now, &mut *self.writer);
        if entry.handshaking && entry.host.connection().is_established() {
            entry.handshaking = false;
            self.handshaking -= 1;
        }
        if entry.host.is_write_blocked() {
            self.blocked.push(key);
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
            self.time_wait.add(now, entry.ids, farewell);
        }
    }

    /// A datagram that no session claims.
    fn on_unrouted(&mut self, packet: ReceivedPacket) {
        let now = packet.received;
        let data = packet.data.clone();
        let DispatcherConfig { versions, grease_quic_bit, .. } = &self.config;
        match look(&data, self.ids.connection_id_length(), versions, *grease_quic_bit) {
            FirstLook::Drop => self.stats.dropped += 1,
            FirstLook::Initial(header) => self.on_initial(now, &header, packet),
            FirstLook::ZeroRtt(id) => self.on_zero_rtt(now, id, packet),
            FirstLook::Other(id) => {
                if self.buffered.contains(&id) {
                    self.buffered.push(&id, packet);
                } else if !self.answer_from_time_wait(now, &packet.path, &id, data.len()) {
                    self.stats.dropped += 1;
                }
            }
            FirstLook::Short(id) => {
                if !self.answer_from_time_wait(now, &packet.path, &id, data.len()) {
                    let (random, writer) = (&mut *self.random, &mut *self.writer);
                    self.stateless.reset(now, &packet.path, &id, data.len(), random, writer);
                }
            }
            FirstLook::UnknownVersion => self.on_unknown_version(now, &packet),
        }
    }

    fn on_zero_rtt(&mut self, now: Time, id: ConnectionId, packet: ReceivedPacket) {
        if self.buffered.contains(&id) {
            self.buffered.push(&id, packet);
        } else if !self.answer_from_time_wait(now, &packet.path, &id, packet.data.len()) {
            let kept = self.accepting && self.early.push(&id, packet);
            self.stats.dropped += u64::from(!kept);
        }
    }

    fn answer_from_time_wait(
        &mut self,
        now: Time,
        path: &PathAddress,
        id: &ConnectionId,
        received: usize,
    ) -> bool {
        match self.time_wait.on_packet(now, id) {
            Answer::Unknown => return false,
            // RFC 9000 §10.2.1: at most three times what came, whose sender may be forged.
            Answer::Farewell(farewell) if farewell.len() <= 3 * received => {
                send(&mut *self.writer, path, &farewell);
            }
            Answer::Farewell(_) | Answer::Silence => {}
        }
        true
    }

    fn on_unknown_version(&mut self, now: Time, packet: &ReceivedPacket) {
        // RFC 9000 §6.1: only for datagrams that could begin a connection.
        match parse_invariant(&packet.data) {
            Some(invariant) if packet.data.len() >= MIN_PACKET_SIZE => {
                let (random, writer) = (&mut *self.random, &mut *self.writer);
                let versions = &self.config.versions;
                let (path, stateless) = (&packet.path, &mut self.stateless);
                stateless.negotiate_version(now, path, &invariant, versions, random, writer);
            }
            _ => self.stats.dropped += 1,
        }
    }

    fn on_initial(&mut self, now: Time, header: &LongHeader<'_>, packet: ReceivedPacket) {
        let id = header.destination;
        if self.buffered.contains(&id) {
            return self.on_more_of_a_hello(&id, packet);
        }
        if self.answer_from_time_wait(now, &packet.path, &id, packet.data.len()) {
            return;
        }
        if !is_plausible(header, packet.data.len()) {
            self.stats.dropped += 1;
            return;
        }
        if !self.accepting || self.sessions.len() >= self.config.max_sessions {
            let why = if self.accepting { "the server is full" } else { "the server is stopping" };
            let error = TransportError::new(TransportErrorCode::CONNECTION_REFUSED, why);
            return self.refuse(now, header, &packet.path, &error);
        }
        let wall_now = self.helper.clock().wall_now();
        let (version, peer) = (header.version, packet.path.peer);
        let verdict = self.stateless.tokens.open(wall_now, version, peer, header.token);
        match judge_token(header, packet.path, verdict) {
            TokenOutcome::Invalid(why) => {
                self.refuse(now, header, &packet.path, &TransportError::invalid_token(why));
            }
            TokenOutcome::Admit(admission) => self.on_admitted(now, wall_now, admission, packet),
        }
    }

    fn refuse(
        &mut self,
        now: Time,
        header: &LongHeader<'_>,
        path: &PathAddress,
        error: &TransportError,
    ) {
        let ids = (header.version, &header.destination, &header.source);
        self.stateless.refuse(now, path, ids, error, &mut *self.writer);
    }

    fn on_admitted(
        &mut self,
        now: Time,
        wall_now: SystemTime,
        admission: Admission,
        packet: ReceivedPacket,
    ) {
        let load = self.handshaking;
        if !admission.address_validated && self.config.address_validation.is_required(load) {
            let request = RetryRequest {
                version: admission.version,
                path: &packet.path,
                destination: admission.destination,
                source: admission.source,
                retry_source: self.ids.generate(&mut *self.random),
                wall_now,
            };
            return self.stateless.retry(now, &request, &mut *self.random, &mut *self.writer);
        }
        let Ok(mut flight) =
            FirstFlight::new(admission.version, &admission.destination, &self.provider)
        else {
            return;
        };
        let hello = match flight.read(&packet) {
            Ok(_) if !flight.is_authentic() => {
                self.stats.dropped += 1;
                return;
            }
            Ok(hello) => hello,
            Err(error) => {
                let ids = (admission.version, &admission.destination, &admission.source);
                let writer = &mut *self.writer;
                return self.stateless.refuse(now, &packet.path, ids, &error, writer);
            }
        };
        if self.buffered.has_room(now, hello.is_some()) {
            self.buffered.insert(now, admission, flight, hello, packet);
            for packet in self.early.take(now, &admission.destination) {
                self.buffered.push(&admission.destination, packet);
            }
        } else {
            self.stats.dropped += 1;
        }
    }

    fn on_more_of_a_hello(&mut self, id: &ConnectionId, packet: ReceivedPacket) {
        let Some(waiting) = self.buffered.get_mut(id) else { return };
        if waiting.hello.is_none() {
            match waiting.flight.read(&packet) {
                Ok(Some(hello)) => self.buffered.complete(id, hello),
                Ok(None) => {}
                Err(error) => {
                    let admission = waiting.admission;
                    self.buffered.remove(id);
                    let ids = (admission.version, &admission.destination, &admission.source);
                    let (now, writer) = (packet.received, &mut *self.writer);
                    return self.stateless.refuse(now, &packet.path, ids, &error, writer);
                }
            }
        }
        self.buffered.push(id, packet);
    }

    /// What has come of a ClientHello that is not whole is acknowledged, or its client would not
    /// know what to send again, nor how soon (RFC 9000 §13.2.1).
    fn acknowledge_hellos(&mut self) {
        for id in self.buffered.take_unacknowledged() {
            let Some(waiting) = self.buffered.unlist(&id) else { continue };
            let known = waiting.local_id;
            let local_id = known.unwrap_or_else(|| self.ids.generate(&mut *self.random));
            let (path, peer_id) = (waiting.admission.path, waiting.admission.source);
            if let Some(packet) = waiting.flight.acknowledge(&local_id, &peer_id) {
                send(&mut *self.writer, &path, &packet);
                if known.is_none() {
                    self.buffered.name(&id, local_id);
                }
            }
        }
    }

    /// Makes the sessions of this turn (Chromium: ProcessBufferedChlos).
    fn create_sessions(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        for _ in 0..self.config.max_sessions_per_turn {
            let Some(waiting) = self.buffered.pop_ready() else { return };
            self.create_session(now, waiting, alarms);
        }
    }

    fn create_session(&mut self, now: Time, waiting: Waiting, alarms: &mut dyn AlarmFactory) {
        let Waiting { admission, hello, packets, flight, local_id, .. } = waiting;
        let hello = hello.unwrap_or_default();
        let local_id = local_id.unwrap_or_else(|| self.ids.generate(&mut *self.random));
        let early_acks = flight.acknowledged();
        let host = match self.make_host(now, &admission, &hello, local_id, early_acks) {
            Ok(host) => host,
            Err(reject) => {
                log::debug!("{} refused: {}", admission.path.peer, reject.0);
                let code = TransportErrorCode::CONNECTION_REFUSED;
                let error = TransportError::new(code, reject.0);
                let ids = (admission.version, &admission.destination, &admission.source);
                let writer = &mut *self.writer;
                return self.stateless.refuse(now, &admission.path, ids, &error, writer);
            }
        };
        self.stats.sessions_created += 1;
        self.handshaking += 1;
        let key = self.sessions.insert(host, |key| alarms.create_alarm(key.to_owner()));
        self.sessions.add_route(local_id, key);
        self.sessions.add_route(admission.destination, key);
        if let Some(entry) = self.sessions.get_mut(key) {
            for packet in packets {
                entry.host.process_packet(packet);
            }
        }
        self.touch(key);
    }

    fn make_host(
        &mut self,
        now: Time,
        admission: &Admission,
        hello: &ClientHello,
        local_id: ConnectionId,
        early_acks: EarlyAcks,
    ) -> Result<Box<dyn Host>, Reject> {
        let info = ClientHelloInfo { server_name: hello.server_name.as_deref(), alpn: &hello.alpn };
        let wants = |factory: &dyn SessionFactory| {
            factory.alpn().iter().any(|offered| hello.alpn.contains(offered))
        };
        // Without a protocol in common the first factory's TLS settings refuse the client, with
        // the alert that says so (RFC 9001 §8.1).
        let chosen = self.factories.iter().position(|factory| wants(&**factory)).unwrap_or(0);
        let Some(factory) = self.factories.get_mut(chosen) else {
            return Err(Reject("no protocol is served here".into()));
        };
        let config = factory.server_config(&info);
        let new_token = self.config.give_new_tokens.then(|| {
            let (wall_now, ip) = (self.helper.clock().wall_now(), admission.path.peer.ip());
            // RFC 9369 §5: it belongs to the version that the connection comes to have.
            let version = negotiated_version(&config.transport, admission.version, &hello.versions);
            let tokens = &mut self.stateless.tokens;
            Bytes::from(tokens.seal_new_token(&mut *self.random, wall_now, version, ip))
        });
        let mut setup = ServerSetup {
            config,
            version: admission.version,
            offered_versions: hello.versions.clone(),
            path: admission.path,
            local_id,
            peer_id: admission.source,
            destination: admission.destination,
            original_destination: admission.original_destination,
            retry_source: admission.retry_source,
            address_validated: admission.address_validated,
            early_acks,
            new_token,
            ids: self.ids.clone_box(),
            reset_key: self.stateless.reset_key.clone(),
            random: self.helper.random_generator(),
            observer: None,
        };
        if let Some(observers) = &mut self.observers {
            setup.observer = observers.create_observer(&setup.start());
        }
        let connection =
            Connection::server(now, setup).map_err(|error| Reject(error.to_string()))?;
        factory.create_session(connection, &info)
    }
}

impl PacketSink for Dispatcher {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        if is_blocked_port(packet.path.peer) {
            self.stats.dropped += 1;
            return;
        }
        let length = self.ids.connection_id_length();
        let id = protoquic_core::wire::destination_bytes(&packet.data, length)
            .and_then(ConnectionId::new);
        let Some(id) = id else {
            // Longer than ours can be: only Version Negotiation is possible.
            return self.on_unrouted(packet);
        };
        match self.sessions.route(&id) {
            Some(key) => {
                if let Some(entry) = self.sessions.get_mut(key) {
                    entry.host.process_packet(packet);
                    if !std::mem::replace(&mut entry.touched, true) {
                        self.touched.push(key);
                    }
                }
            }
            None => self.on_unrouted(packet),
        }
    }
}

impl EventLoopVisitor for Dispatcher {
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time) {
        if let Some(host) = self.session_mut(SessionKey::from_owner(owner)) {
            host.on_alarm(now);
        }
    }

    fn on_can_write(&mut self, _now: Time) {
        self.writer.set_writable();
        let _ = self.writer.flush();
        for key in std::mem::take(&mut self.blocked) {
            self.touch(key);
        }
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
        self.acknowledge_hellos();
        self.create_sessions(now, alarms);
        let mut touched = std::mem::take(&mut self.touched);
        for key in touched.drain(..) {
            self.run(now, key, alarms);
        }
        // Sessions that were touched meanwhile wait for the next turn; keep the allocation.
        touched.append(&mut self.touched);
        self.touched = touched;
        let _ = self.writer.flush();
    }

    fn wants_write_event(&self) -> bool {
        self.writer.is_write_blocked()
    }

    fn has_work(&self) -> bool {
        !self.touched.is_empty() || self.buffered.has_ready()
    }
}
