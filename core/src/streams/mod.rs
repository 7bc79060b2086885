//! Streams (RFC 9000 §2 to §4): [`Streams`] is the component of a connection that owns all of them.
//! Frames come in through `on_*`, the application works through `open`, `write`, `read` and the like,
//! is told of things through `poll_event`, and frames go out through `write_frames` into a
//! [`FrameSink`]. What happened to a sent frame comes back as a [`StreamRecord`].
//!
//! It knows nothing of packets, keys, sessions or what the application makes of a stream. It reads no
//! clock: `set_time` tells it.
//!
//! This file holds the component and what its parts share. `incoming` applies frames, `application`
//! is the application's side, `outgoing` makes frames.
//!
//! Invariants: a stream is in a queue exactly if it has something to do there, so that
//! `wants_to_send` is exact; whatever the peer can make grow is bounded by its stream limits, its
//! flow control and [`MAX_GAPS_PER_CONNECTION`].

mod application;
mod blockage;
mod blocked;
mod config;
mod events;
mod expiry;
mod flow_control;
mod frames;
mod id_map;
mod incoming;
mod limits;
mod list;
mod outgoing;
mod presets;
mod range_set;
mod recv_part;
mod recv_state;
mod reset_at;
mod scheduler;
mod send_buffer;
mod send_part;
mod send_state;
mod sequencer;
mod spares;
mod stream;
#[cfg(test)]
mod tests;
mod train;

use std::time::Duration;

pub use blockage::Blockage;
pub use config::{PeerLimits, StreamsConfig, StreamsStats};
pub use events::StreamEvent;
pub use frames::{ControlFrame, ControlKind, FrameSink, StreamRecord};
pub(crate) use id_map::IdHasher;
pub use presets::{UnknownWindowPreset, WindowPreset};
pub use scheduler::Priority;
pub use sequencer::{BYTES_PER_GAP, MAX_GAPS_PER_CONNECTION, MAX_GAPS_PER_STREAM};
pub use train::Train;

use crate::rare::Rare;
use crate::time::Time;
use crate::types::{Direction, Role, StreamId};
use events::Wake;
use expiry::Expiries;
use flow_control::{RecvWindow, SendWindow};
use id_map::StreamTable;
use limits::{LocalStreams, RemoteStreams};
use list::{Lane, List};
use outgoing::Owed;
use recv_part::RecvPart;
use recv_state::RecvState;
use scheduler::{Place, Scheduler};
use send_part::{Outlook, SendPart};
use spares::Spares;
use stream::Controls;

/// All streams of a connection.
#[derive(Debug)]
pub struct Streams {
    role: Role,
    config: StreamsConfig,
    peer: PeerLimits,
    peer_known: bool,
    closed: bool,
    now: Time,
    rtt: Duration,
    table: StreamTable,
    local: [LocalStreams; 2],
    remote: [RemoteStreams; 2],
    send_window: SendWindow,
    recv_window: RecvWindow,
    /// Gaps in the data of all streams.
    gaps: usize,
    /// Control frames of the connection that wait to be sent.
    owed: Owed,
    control: List,
    retransmit: List,
    scheduler: Scheduler,
    expiries: Expiries,
    events: List,
    touched: List,
    /// Streams whose own flow control holds data back.
    blocked: List,
    spares: Rare<Spares>,
    stats: StreamsStats,
}

impl Streams {
    /// No streams yet. Nothing is allocated.
    pub fn new(role: Role, config: &StreamsConfig) -> Self {
        let max_window = config.max_connection_window;
        Self {
            role,
            config: StreamsConfig { send_buffer: config.send_buffer.max(1), ..config.clone() },
            peer: PeerLimits::default(),
            peer_known: false,
            closed: false,
            now: Time::ZERO,
            rtt: Duration::ZERO,
            table: StreamTable::new(),
            local: Default::default(),
            remote: [
                RemoteStreams::new(config.max_streams_bidi.min(limits::MAX_STREAMS)),
                RemoteStreams::new(config.max_streams_uni.min(limits::MAX_STREAMS)),
            ],
            send_window: SendWindow::new(0),
            recv_window: RecvWindow::new(config.max_data, max_window, Time::ZERO),
            gaps: 0,
            owed: Owed::default(),
            control: List::new(Lane::Control),
            retransmit: List::new(Lane::Retransmit),
            scheduler: Scheduler::new(),
            expiries: Expiries::default(),
            events: List::new(Lane::Event),
            touched: List::new(Lane::Touched),
            blocked: List::new(Lane::Blocked),
            spares: Rare::NONE,
            stats: StreamsStats::default(),
        }
    }

    /// Takes the peer's limits: those remembered for 0-RTT first, where there are any, then those of
    /// the handshake. Limits never shrink by this (RFC 9000 §7.4.1); after
    /// [`on_zero_rtt_rejected`](Self::on_zero_rtt_rejected) they start anew.
    pub fn set_peer_parameters(&mut self, limits: PeerLimits) {
        self.peer = limits;
        self.peer_known = true;
        self.send_window.raise(limits.initial_max_data);
        self.local[0].raise(limits.initial_max_streams_bidi);
        self.local[1].raise(limits.initial_max_streams_uni);
        self.reschedule_all();
    }

    /// The server rejected 0-RTT: nothing of what was sent has arrived, and the remembered limits do
    /// not hold (RFC 9001 §4.6.2, RFC 9000 §7.4.1). All data waits to be sent as if it was new. Call
    /// `set_peer_parameters` next; do not report the rejected packets as lost.
    pub fn on_zero_rtt_rejected(&mut self) {
        self.peer_known = false;
        self.peer = PeerLimits::default();
        self.send_window = SendWindow::new(0);
        self.local.iter_mut().for_each(LocalStreams::forget_limit);
        for (_, stream) in &mut self.table.slab {
            if let Some(part) = &mut stream.send {
                part.rewind();
                part.window = SendWindow::new(0);
                if part.state == send_state::SendState::ResetSent || part.wants_reset_at() {
                    stream.controls.add(Controls::RESET);
                } else {
                    stream.controls.take_away(Controls::RESET);
                }
            }
            let stopped = stream.recv.as_ref().is_some_and(|part| part.is_stopping());
            if stopped {
                stream.controls.add(Controls::STOP);
            }
            stream.controls.take_away(Controls::BLOCKED);
        }
        self.reschedule_all();
    }

    /// Tells the time and the smoothed round-trip time, by which receive windows grow. To be called
    /// before `write_frames`, at least.
    pub const fn set_time(&mut self, now: Time, rtt: Duration) {
        self.now = now;
        self.rtt = rtt;
    }

    /// Tells how many bytes a stream's turn should have; it has no fewer than 16 KiB and no more than
    /// 64 KiB. Turns that have begun stay as they are.
    pub fn set_turn(&mut self, bytes: u64) {
        self.scheduler.set_turn(bytes);
    }

    /// The connection is closed or closing: nothing will be sent, events are dropped, writes fail.
    /// What was received in order can still be read.
    pub fn on_connection_closed(&mut self) {
        self.closed = true;
        self.owed = Owed::default();
        while self.events.pop_front(&mut self.table.slab).is_some() {}
        while self.control.pop_front(&mut self.table.slab).is_some() {}
        for key in self.keys() {
            if let Some(part) = &mut self.table.slab[key].send {
                part.buffer.clear();
            }
            self.reschedule(key);
        }
    }

    /// Gives unused memory back. For connections that have fallen idle.
    pub fn shrink(&mut self) {
        for (_, stream) in &mut self.table.slab {
            if let Some(part) = &mut stream.send {
                part.buffer.shrink();
            }
            if let Some(part) = &mut stream.recv {
                part.sequencer.shrink();
            }
        }
        self.remote.iter_mut().for_each(RemoteStreams::shrink);
        self.scheduler.shrink();
        self.table.shrink();
        self.spares = Rare::NONE;
    }

    /// What the streams did so far.
    pub const fn stats(&self) -> StreamsStats {
        self.stats
    }

    /// How many frames were legal and of no use.
    pub const fn glitches(&self) -> u64 {
        self.stats.glitches
    }

    /// How much useful work was done: a unit for each stream that is over, and for each 1,000 bytes
    /// that were new, either way.
    pub const fn progress(&self) -> u64 {
        let bytes = self.recv_window.received() + self.stats.bytes_sent;
        bytes / 1000 + self.stats.streams_closed
    }

    /// How many streams have an object here; those opened only by implication have none.
    pub fn live(&self) -> usize {
        self.table.len()
    }

    /// Whether the peer still has to finish a bidirectional stream that we opened.
    pub fn awaits_answers(&self) -> bool {
        let ours = |id: StreamId| {
            id.direction() == Direction::Bidirectional && id.initiator() == self.role
        };
        self.table.slab.iter().any(|(_, stream)| ours(stream.id))
    }

    /// How many more bytes the peer's connection flow control lets us send.
    pub const fn send_credit(&self) -> u64 {
        self.send_window.available()
    }

    /// Bytes received on all streams that the application has not read.
    pub const fn unread(&self) -> u64 {
        self.recv_window.held()
    }

    /// Streams that the peer has opened and that are not over.
    pub fn opened_by_peer(&self) -> u64 {
        self.remote.iter().map(RemoteStreams::open).sum()
    }

    /// Gaps in the received data of all streams.
    pub const fn gaps(&self) -> usize {
        self.gaps
    }

    fn keys(&self) -> Vec<usize> {
        self.table.slab.iter().map(|(key, _)| key).collect()
    }

    /// The sending part, made on first use.
    fn send_part(&mut self, key: usize) -> &mut SendPart {
        let stream = &mut self.table.slab[key];
        let max = self.peer.stream_data(stream.id, self.role);
        let spares = &mut self.spares;
        stream.send.get_or_insert_with(|| Spares::send_part(spares, max))
    }

    /// The receiving part, made on first use.
    #[inline]
    fn recv_part(&mut self, key: usize) -> &mut RecvPart {
        let stream = &mut self.table.slab[key];
        let (config, role, now) = (&self.config, self.role, self.now);
        let spares = &mut self.spares;
        stream.recv.get_or_insert_with(|| {
            let size = config.stream_data(stream.id, role);
            let window = RecvWindow::new(size, config.max_stream_window, now);
            Spares::recv_part(spares, window)
        })
    }

    /// Queues an event.
    #[inline]
    fn wake(&mut self, key: usize, wake: Wake) {
        if !self.closed {
            self.table.slab[key].events.add(wake);
            self.events.push_back(&mut self.table.slab, key);
        }
    }

    /// Takes an event back.
    fn hush(&mut self, key: usize, wake: Wake) {
        let events = &mut self.table.slab[key].events;
        events.cancel(wake);
        if events.is_empty() {
            self.events.remove(&mut self.table.slab, key);
        }
    }

    /// Queues control frames of a stream.
    fn order(&mut self, key: usize, controls: Controls) {
        if !self.closed {
            self.table.slab[key].controls.add(controls);
            self.control.push_back(&mut self.table.slab, key);
        }
    }

    /// Takes control frames of a stream back.
    fn revoke(&mut self, key: usize, controls: Controls) {
        let waiting = &mut self.table.slab[key].controls;
        waiting.take_away(controls);
        if waiting.is_empty() {
            self.control.remove(&mut self.table.slab, key);
        }
    }

    /// Gives `len` bytes of connection flow control back to the peer.
    fn credit(&mut self, len: u64) {
        if self.recv_window.consume(len) {
            self.owe(ControlKind::MaxData);
        }
    }

    /// Drops all unread data of a stream, with exact credit for it (RFC 9000 §4.5).
    fn discard(&mut self, key: usize) {
        let part = self.recv_part(key);
        let gaps = part.sequencer.gaps();
        let held = part.discard();
        self.gaps -= gaps;
        self.credit(held);
        self.hush(key, Wake::Readable);
        self.touched.remove(&mut self.table.slab, key);
    }

    /// A stream's size is known, or it is of no interest: its limits need no frames any more.
    fn on_size_known(&mut self, key: usize) {
        self.revoke(key, Controls::MAX_DATA);
        self.revoke(key, Controls::STOP);
    }

    /// Queues the last event of a stream of which both parts are done.
    fn close_if_done(&mut self, key: usize) {
        if self.table.slab[key].is_closed(self.role) {
            self.wake(key, Wake::Closed);
        }
    }

    /// Forgets a stream. A late frame for it will be ignored.
    fn forget(&mut self, key: usize) {
        self.drop_deadline(key);
        let id = self.table.slab[key].id;
        let slab = &mut self.table.slab;
        self.scheduler.place(slab, key, None);
        for list in [
            &mut self.control,
            &mut self.retransmit,
            &mut self.events,
            &mut self.touched,
            &mut self.blocked,
        ] {
            list.remove(slab, key);
        }
        let stream = self.table.remove(key);
        self.spares.keep(stream.send, stream.recv);
        self.stats.streams_closed += 1;
        if id.initiator() != self.role && self.remote[slot(id.direction())].release() {
            self.owe(ControlKind::MaxStreams(id.direction()));
        }
    }

    /// Puts a stream into the queues where it has something to do now, and takes it out of others.
    fn reschedule(&mut self, key: usize) {
        let stream = &self.table.slab[key];
        let Some(part) = &stream.send else {
            return;
        };
        let id = stream.id;
        // After rejected 0-RTT, streams can be open that the peer does not allow yet.
        let allowed =
            id.initiator() != self.role || id.index() < self.local[slot(id.direction())].max();
        let has_lost = !self.closed && part.buffer.first_lost().is_some();
        let outlook = match part.outlook() {
            outlook if allowed && !self.closed => outlook,
            _ => Outlook::Idle,
        };
        let level = stream.priority.place();
        let place = match outlook {
            Outlook::Idle | Outlook::Blocked => None,
            Outlook::Data if self.send_window.available() == 0 => Some(Place::Held),
            Outlook::Data | Outlook::FinOnly => Some(level),
        };
        self.scheduler.place(&mut self.table.slab, key, place);
        if has_lost {
            self.retransmit.push_back(&mut self.table.slab, key);
        } else {
            self.retransmit.remove(&mut self.table.slab, key);
        }
        self.note_blocked(key, outlook, place);
    }

    /// Reconsiders every stream after the peer's parameters changed. O(streams), a few times in the
    /// life of a connection.
    fn reschedule_all(&mut self) {
        for key in self.keys() {
            let stream = &mut self.table.slab[key];
            let max = self.peer.stream_data(stream.id, self.role);
            if let Some(part) = &mut stream.send {
                part.window.raise(max);
            }
            let has_controls = !stream.controls.is_empty();
            if has_controls {
                self.control.push_back(&mut self.table.slab, key);
            } else {
                self.control.remove(&mut self.table.slab, key);
            }
            self.reschedule(key);
        }
    }
}

impl StreamsConfig {
    /// The first receive window of this stream, where `role` is ours.
    fn stream_data(&self, id: StreamId, role: Role) -> u64 {
        match id.direction() {
            Direction::Unidirectional => self.max_stream_data_uni,
            Direction::Bidirectional if id.initiator() == role => self.max_stream_data_bidi_local,
            Direction::Bidirectional => self.max_stream_data_bidi_remote,
        }
    }
}

impl PeerLimits {
    /// The first send window of this stream, where `role` is ours.
    fn stream_data(&self, id: StreamId, role: Role) -> u64 {
        match id.direction() {
            Direction::Unidirectional => self.initial_max_stream_data_uni,
            Direction::Bidirectional if id.initiator() == role => {
                self.initial_max_stream_data_bidi_remote
            }
            Direction::Bidirectional => self.initial_max_stream_data_bidi_local,
        }
    }
}

impl RecvPart {
    /// Whether a STOP_SENDING of ours is still of use (RFC 9000 §3.5).
    fn is_stopping(&self) -> bool {
        self.abort.stopped.is_some() && self.state == RecvState::Recv
    }
}

/// Where arrays keep what concerns this kind of stream.
const fn slot(dir: Direction) -> usize {
    match dir {
        Direction::Bidirectional => 0,
        Direction::Unidirectional => 1,
    }
}
