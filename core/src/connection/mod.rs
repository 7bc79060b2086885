//! [`Connection`]: one QUIC connection, sans-IO. Datagrams, times and the application's wishes go
//! in; events, datagrams and a deadline come out. This file only composes: each mechanism has a
//! file of its own and none of them knows the others.
//!
//! This is the lowest of the ways to use protoquic. A loop around it is
//!
//! 1. [`process_packet`](Connection::process_packet) for what has arrived,
//!    [`on_deadline`](Connection::on_deadline) when [`next_deadline`](Connection::next_deadline)
//!    has come,
//! 2. [`poll_event`](Connection::poll_event) until there is none, reading and writing streams,
//! 3. [`write`](Connection::write) between [`begin_turn`](Connection::begin_turn) and
//!    [`end_turn`](Connection::end_turn).
//!
//! [`SessionHost`](crate::session::SessionHost) is that loop for [`Session`](crate::Session)s.

mod ack_frequency;
mod alarms;
mod application;
mod blocked;
mod chaos;
mod cid_generator;
mod close;
mod config;
mod crypto_stream;
mod data;
mod datagrams;
mod degrading;
mod event;
mod farewell;
mod fates;
mod fill;
mod first_flight;
mod frames;
mod full_packet;
mod glitches;
mod handshake;
mod header_bits;
mod holdings;
mod hurry;
mod idle;
mod initial_keys;
mod keys;
mod local_cids;
mod memory;
mod migration;
mod mtu;
mod observer;
mod packet_builder;
mod path_packets;
mod paths;
mod peer_cids;
mod preferred_address;
mod receive;
mod release;
mod resumption;
mod runs;
mod send;
mod send_status;
mod sent;
mod setup;
mod space;
mod spin;
mod stats;
mod train;
mod versions;
mod wants;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::crypto::CryptoProvider;

pub use cid_generator::{ConnectionIdGenerator, RandomConnectionIds};
pub use config::{Config, ConfigError, MAX_PACKET_SIZE, MIN_PACKET_SIZE};
pub use datagrams::{
    DATAGRAM_OVERHEAD, DatagramConfig, DatagramError, DatagramId, DatagramOptions, DatagramStats,
};
pub use event::Event;
pub use first_flight::{EarlyAcks, FirstFlight, refusal};
pub use holdings::Holdings;
pub use migration::MigrationError;
pub use observer::{
    Change, ConnectionStart, DropReason, Metrics, Observer, ObserverFactory, Origin, PacketInfo,
    PlainPacket, Stage,
};
pub use preferred_address::PreferredAddresses;
pub use resumption::{EarlyData, EarlyDataGuard};
pub use send_status::SendStatus;
pub use setup::{ClientSetup, ServerSetup, SetupError};
pub use stats::ConnectionStats;
pub use versions::negotiated_version;

use crate::crypto::ResetKey;
use crate::error::{CloseReason, TransportError};
use crate::helper::RandomGenerator;
use crate::recovery::Recovery;
use crate::streams::Streams;
use crate::time::Time;
use crate::types::Role;
use crate::wire::Version;
use ack_frequency::AckFrequency;
use blocked::BlockedReminder;
use close::Lifecycle;
use datagrams::Datagrams;
use degrading::{PathMonitor, QuietProbe};
use fates::{Fates, PendingFrames};
use glitches::GlitchBudget;
use handshake::Handshake;
use header_bits::HeaderBits;
use hurry::Hurry;
use idle::IdleTimer;
use keys::KeyRing;
use local_cids::LocalConnectionIds;
use mtu::MtuDiscovery;
use paths::Paths;
use peer_cids::PeerConnectionIds;
use release::ReleaseTimes;
use resumption::Resumption;
use sent::SentFrames;
use space::Spaces;
use versions::Versions;
use watch::Watch;

/// One QUIC connection.
pub struct Connection {
    role: Role,
    version: Version,
    versions: Versions,
    config: Arc<Config>,
    random: Box<dyn RandomGenerator>,
    observer: Option<Box<Watch>>,
    life: Lifecycle,
    handshake: Handshake,
    handshake_confirmed: bool,
    resumption: Resumption,
    keys: KeyRing,
    spaces: Spaces,
    recovery: Recovery<SentFrames>,
    streams: Streams,
    datagrams: Datagrams,
    ack_frequency: AckFrequency,
    paths: Paths,
    mtu: MtuDiscovery,
    local_cids: LocalConnectionIds,
    peer_cids: PeerConnectionIds,
    idle: IdleTimer,
    reminder: BlockedReminder,
    glitches: GlitchBudget,
    header_bits: HeaderBits,
    events: VecDeque<Event>,
    stats: ConnectionStats,

    /// Packets that came before their keys.
    early_packets: Vec<receive::EarlyPacket>,
    /// A sealed datagram that the writer did not take.
    blocked: Option<Box<send::BlockedDatagram>>,
    write_blocked: bool,
    /// The turn's budget ended before the data did.
    more_to_write: bool,
    turn_budget: usize,
    /// ACKs that were due then could not be written, because the peer's address is not proven and
    /// may get no more: they wait for a packet from it, not for a time.
    acks_wait_since: Option<Time>,
    /// When the pacer lets go what waits.
    pacing_deadline: Option<Time>,
    release: ReleaseTimes,
    /// How many probes each space owes (RFC 9002 §6.2.4).
    probes: [u8; 3],
    packets_to_skip: u32,
    pending: PendingFrames,
    /// The token in a client's Initial packets, from a Retry or an earlier connection.
    initial_token: Bytes,
    /// The token that a server gives its client for later.
    new_token: Option<Box<Bytes>>,
    tokens_received: u8,
    reset_key: Arc<ResetKey>,
    /// For the Initial keys of a Retry.
    provider: Arc<CryptoProvider>,
    path_monitor: PathMonitor,
    quiet: QuietProbe,
    hurry: Hurry,
    /// Where the peer was during the handshake.
    first_peer_address: SocketAddr,

    /// A buffer that keeps its allocation between packets.
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.life.state())
            .field("path", &self.paths.active().address)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// The ledger, and beside it the mechanisms that have to hear what became of their frames.
    fn fates(&mut self, now: Time) -> (&mut Recovery<SentFrames>, Fates<'_>) {
        let fates = Fates {
            now,
            streams: &mut self.streams,
            datagrams: &mut self.datagrams,
            ack_frequency: &mut self.ack_frequency,
            spaces: &mut self.spaces,
            mtu: &mut self.mtu,
            local_cids: &mut self.local_cids,
            peer_cids: &mut self.peer_cids,
            pending: &mut self.pending,
            observer: self.observer.as_mut().map(|watch| &mut *watch.observer),
            mtu_changed: false,
            largest_acked: None,
            acked: None,
        };
        (&mut self.recovery, fates)
    }

    /// What follows for the ledger and the keys from the fates of packets.
    fn settle(&mut self, mtu_changed: bool, largest_acked: Option<u64>) {
        if mtu_changed {
            self.on_mtu_changed();
        }
        if let Some(number) = largest_acked {
            self.keys.on_acked(number);
        }
    }

    /// While nothing may be sent to an unproven address, recovery's timers rest.
    fn note_amplification_limit(&mut self, now: Time) {
        let mut state = self.recovery.handshake_state();
        // Later, a client that moved has no timer of its own that would free us: ours go on.
        let limited =
            !self.handshake_confirmed && self.paths.active().allowance() < MIN_PACKET_SIZE;
        if state.at_anti_amplification_limit != limited {
            state.at_anti_amplification_limit = limited;
            self.recovery.set_handshake_state(now, state);
        }
    }

    fn close_on_error(&mut self, now: Time, result: Result<(), TransportError>) {
        if let Err(error) = result {
            log::debug!("closing: {error}");
            self.begin_closing(now, CloseReason::Transport(error));
        }
    }

    fn begin_closing(&mut self, now: Time, reason: CloseReason) {
        if self.life.is_open() {
            let pto = self.recovery.pto();
            self.life.close(now, reason, pto);
            self.streams.on_connection_closed();
            self.datagrams.on_connection_closed();
            self.watch(now);
        }
    }

    fn drain(&mut self, now: Time, reason: CloseReason) {
        let pto = self.recovery.pto();
        self.life.drain(now, reason, pto);
        self.streams.on_connection_closed();
        self.datagrams.on_connection_closed();
        self.watch(now);
    }

    /// Ends the connection without a word to the peer.
    fn close_silently(&mut self, reason: CloseReason) {
        if self.life.is_open() {
            log::debug!("closed: {reason}");
            self.life.forget(reason);
            self.streams.on_connection_closed();
            self.datagrams.on_connection_closed();
        }
    }
}
