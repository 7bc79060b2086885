//! [`Http3Connection`]: what all streams of an HTTP/3 session share, in either role: settings,
//! the critical streams, GOAWAY, budgets and deadlines. It must not know
//! requests, handlers or the session above it: it leaves wishes (`wakes`, a failure) which
//! `plumbing` carries out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;

use super::compression::Compression;
use super::config::Http3Config;
use super::control_stream::ControlFrame;
use super::datagrams::Datagrams;
use super::early::EarlySettings;
use super::error::{Fault, Http3Code, Http3Error};
use super::frame::{emit, frame_type};
use super::limits::{CancelBudget, GlitchBudget};
use super::prioritize::Priorities;
use super::push::{PromiseInbox, ServerPushes};
use super::settings::Settings;
use super::shutdown::Shutdown;
use super::stored_response::ResponseStore;
use super::transport::Transport;
use super::uni_stream::UniKind;
use super::webtransport::{self, LazyWebTransports};
use crate::rare::Rare;
use crate::streams::Priority;
use crate::time::Time;
use crate::types::{Role, StreamId};

/// The state of an HTTP/3 connection.
#[derive(Debug)]
pub(super) struct Http3Connection {
    role: Role,
    config: Arc<Http3Config>,
    /// The time of this turn.
    pub(super) now: Time,
    pub(super) compression: Compression,
    peer_settings: Option<Settings>,
    pub(super) early: Rare<EarlySettings>,
    /// Our control, encoder and decoder streams, in the order of [`UniKind`].
    outgoing: [Option<StreamId>; 3],
    /// The peer's.
    incoming: [Option<StreamId>; 3],
    grease_stream_sent: bool,
    /// The last GOAWAY of the peer.
    pub(super) peer_goaway: Option<u64>,
    /// Of a server, and of a client.
    pub(super) pushes: Rare<ServerPushes>,
    pub(super) promises: Rare<PromiseInbox>,
    pub(super) datagrams: Rare<Datagrams>,
    pub(super) webtransport: LazyWebTransports,
    pub(super) shutdown: Shutdown,
    pub(super) priorities: Priorities,
    glitches: GlitchBudget,
    cancels: CancelBudget,
    /// Where small frames are built, a few hundred in one allocation.
    pub(super) scratch: BytesMut,
    /// Streams that want a call.
    pub(super) wakes: Vec<StreamId>,
    wake_times: BTreeSet<(Time, StreamId)>,
    /// Request streams whose header section is incomplete, with their deadlines, in order of both.
    /// Most leave in the order in which they came.
    awaiting_head: VecDeque<(StreamId, Time)>,
    failure: Option<Box<Http3Error>>,
    /// What a client keeps of responses, once it is asked to.
    pub(super) responses: Option<Box<ResponseStore>>,
    /// Request streams that are not over.
    active: usize,
    /// The ID after that of the last request accepted.
    requests_end: u64,
}

impl Http3Connection {
    pub(super) fn new(role: Role, config: Arc<Http3Config>) -> Self {
        let config = webtransport::complete(config);
        let limit = if role.is_client() { config.push_limit() } else { 0 };
        let promises = if limit > 0 { Rare::new(PromiseInbox::new(limit)) } else { Rare::NONE };
        Self {
            role,
            now: Time::ZERO,
            compression: Compression::new(&config),
            config,
            peer_settings: None,
            early: Rare::NONE,
            outgoing: [None; 3],
            incoming: [None; 3],
            grease_stream_sent: false,
            peer_goaway: None,
            pushes: Rare::NONE,
            promises,
            datagrams: Rare::NONE,
            webtransport: LazyWebTransports::default(),
            shutdown: Shutdown::default(),
            priorities: Priorities::default(),
            glitches: GlitchBudget::default(),
            cancels: CancelBudget::default(),
            scratch: BytesMut::new(),
            wakes: Vec::new(),
            wake_times: BTreeSet::new(),
            awaiting_head: VecDeque::new(),
            failure: None,
            responses: None,
            active: 0,
            requests_end: 0,
        }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn config(&self) -> &Http3Config {
        &self.config
    }

    /// The peer's settings, once they have come.
    pub(super) fn peer_settings(&self) -> Option<&Settings> {
        self.peer_settings.as_ref()
    }

    /// The connection must be closed with this error. The first one counts.
    pub(super) fn fail(&mut self, error: Http3Error) {
        self.failure.get_or_insert_with(|| Box::new(error));
    }

    pub(super) fn take_failure(&mut self) -> Option<Http3Error> {
        self.failure.take().map(|error| *error)
    }

    /// Counts something legal and useless.
    pub(super) fn on_glitch(&mut self) -> Result<(), Fault> {
        if self.glitches.spend(self.now) {
            return Ok(());
        }
        Err(Fault::connection(Http3Code::EXCESSIVE_LOAD, "too many frames and streams without use"))
    }

    /// Gives back what only a busy connection needs.
    pub(super) fn release_memory(&mut self) {
        if self.scratch.is_empty() {
            self.scratch = BytesMut::new();
        }
        self.compression.release_memory();
        if let Some(datagrams) = self.datagrams.get_mut() {
            datagrams.release_memory();
        }
        self.datagrams.release_if(Datagrams::is_blank);
        self.early.release_if(EarlySettings::is_blank);
        self.wakes.shrink_to_fit();
        self.awaiting_head.shrink_to_fit();
        // A tree that was used keeps its root.
        if self.wake_times.is_empty() {
            self.wake_times = BTreeSet::new();
        }
    }
}

/// Critical streams and the control stream.
impl Http3Connection {
    /// The next unidirectional stream that we want to open.
    pub(super) fn stream_to_open(&self) -> Option<UniKind> {
        // The control stream first: the peer may allow no more.
        CRITICAL.into_iter().find(|kind| self.outgoing[kind.slot()].is_none()).or_else(|| {
            let wanted = !self.grease_stream_sent && self.config.grease.is_some();
            wanted.then_some(UniKind::Reserved)
        })
    }

    /// Our stream of this kind, if it is open.
    pub(super) fn outgoing(&self, kind: UniKind) -> Option<StreamId> {
        self.outgoing[kind.slot()]
    }

    /// Whether all that a connection cannot do without are open.
    pub(super) fn has_critical_streams(&self) -> bool {
        self.outgoing.iter().all(Option::is_some)
    }

    /// It was opened: writes what it begins with.
    pub(super) fn on_stream_opened(&mut self, kind: UniKind, id: StreamId, io: &mut dyn Transport) {
        let config = Arc::clone(&self.config);
        let max_push_id = self.promises.limit.checked_sub(1);
        // Peers close connections whose settings and transport parameters contradict each other.
        let datagrams = config.datagrams && io.takes_datagrams();
        let start = self.small(|out| match kind {
            UniKind::Control => {
                emit::varint(out, kind.wire_type());
                Settings::emit(&config, datagrams, out);
                if let Some(reserved) = config.reserved(1) {
                    emit::frame(out, reserved, &[]);
                }
                if let Some(max) = max_push_id {
                    emit::one_varint(out, frame_type::MAX_PUSH_ID, max);
                }
            }
            UniKind::Reserved => emit::varint(out, config.reserved(2).unwrap_or(0x21)),
            _ => emit::varint(out, kind.wire_type()),
        });
        // Errors: the connection is ending. What the whole connection needs does not wait for bodies.
        let _ = io.set_priority(id, Priority { urgency: 0, incremental: true });
        let _ = io.write_all(id, start);
        if kind == UniKind::Reserved {
            self.grease_stream_sent = true;
            let _ = io.finish(id);
        } else {
            if datagrams && kind == UniKind::Control {
                self.datagrams.announced = true;
            }
            self.outgoing[kind.slot()] = Some(id);
            self.apply_peer_settings();
        }
    }

    /// The peer opened a unidirectional stream of this kind (RFC 9114 §6.2).
    pub(super) fn on_peer_stream(&mut self, kind: UniKind, id: StreamId) -> Result<(), Http3Error> {
        match self.incoming[kind.slot()].replace(id) {
            None => Ok(()),
            // RFC 9114 §6.2.1, RFC 9204 §4.2: one of each.
            Some(_) => Err(Http3Error::new(
                Http3Code::STREAM_CREATION_ERROR,
                format!("a second stream of type {:#x}", kind.wire_type()),
            )),
        }
    }

    /// A frame of the peer's control stream.
    pub(super) fn on_control_frame(
        &mut self,
        frame: ControlFrame,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        match frame {
            ControlFrame::PriorityUpdate(update) => self.on_priority_update(update, io),
            ControlFrame::Settings(settings) => {
                self.early.on_settings(&settings)?;
                self.peer_settings = Some(settings);
                self.apply_peer_settings();
                self.on_webtransport_settings();
                Ok(())
            }
            ControlFrame::GoAway(id) => self.on_goaway(id, io),
            ControlFrame::MaxPushId(id) => self.pushes.on_max_push_id(id),
            ControlFrame::CancelPush(id) => {
                self.count_glitch()?;
                match self.role {
                    Role::Client => self.promises.on_cancel(id),
                    Role::Server => self.on_push_refused(id, io),
                }
            }
            ControlFrame::PushPriority(id, priority) => self.on_push_priority(id, priority, io),
        }
    }

    /// Writes to our control stream.
    pub(super) fn send_control(
        &mut self,
        io: &mut dyn Transport,
        write: impl FnOnce(&mut BytesMut),
    ) {
        if let Some(id) = self.outgoing[UniKind::Control.slot()] {
            let frame = self.small(write);
            // An error: the connection is ending.
            let _ = io.write_all(id, frame);
        }
    }

    /// The encoder may use a table once the peer allows one and there is a stream to fill it by.
    fn apply_peer_settings(&mut self) {
        if let (Some(settings), Some(_)) =
            (self.peer_settings, self.outgoing[UniKind::QpackEncoder.slot()])
        {
            self.compression.set_peer_settings(
                settings.qpack_max_table_capacity,
                settings.qpack_blocked_streams,
            );
        }
    }
}

/// Requests and time.
impl Http3Connection {
    /// A request stream was opened by either side.
    pub(super) fn on_request_opened(&mut self, id: StreamId) {
        self.active += 1;
        self.glitches.on_request();
        self.requests_end = id.as_u64() + 4;
        if self.role.is_client() {
            self.expect_datagrams(id);
        } else {
            self.cancels.on_request(self.now);
            self.awaiting_head.push_back((id, self.now + self.config.header_deadline));
        }
    }

    /// Somebody wants a push: what it is read by is as good as a request.
    pub(super) fn on_push_wanted(&mut self) {
        self.active += 1;
    }

    /// Whether no request and no push of ours is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.active == 0 && self.pushes.is_idle()
    }

    /// Its header section has come, or never will.
    pub(super) fn on_head(&mut self, id: StreamId) {
        if let Some(place) = self.place_awaiting(id) {
            self.awaiting_head.remove(place);
        }
    }

    /// Whether its header section has not come.
    pub(super) fn awaits_head(&self, id: StreamId) -> bool {
        self.place_awaiting(id).is_some()
    }

    /// Whether its header section should have come by now.
    pub(super) fn is_head_late(&self, id: StreamId) -> bool {
        self.place_awaiting(id).is_some_and(|place| self.awaiting_head[place].1 <= self.now)
    }

    fn place_awaiting(&self, id: StreamId) -> Option<usize> {
        match self.awaiting_head.front()? {
            (first, _) if *first >= id => (*first == id).then_some(0),
            _ => self.awaiting_head.binary_search_by_key(&id, |(known, _)| *known).ok(),
        }
    }

    /// A request is over in either way.
    pub(super) fn on_request_over(&mut self, id: StreamId) {
        self.active = self.active.saturating_sub(1);
        self.on_head(id);
        self.forget_priority(id);
        if let Some(datagrams) = self.datagrams.get_mut() {
            datagrams.on_over(id);
        }
        if let Some(webtransport) = self.webtransport.used() {
            webtransport.on_request_over(id);
        }
    }

    /// A request was abandoned by the peer or by its fault.
    pub(super) fn on_cancelled(&mut self) {
        if self.role.is_server() && !self.cancels.on_cancelled(self.now) {
            self.fail(Http3Error::new(
                Http3Code::EXCESSIVE_LOAD,
                "almost all requests are cancelled",
            ));
        }
    }

    /// How many requests are not over.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// The ID from which on no request was accepted.
    pub(super) fn requests_end(&self) -> u64 {
        self.requests_end
    }

    /// Has a stream called at this time.
    pub(super) fn wake_at(&mut self, id: StreamId, at: Time) {
        if self.wake_times.len() < MAX_WAKE_TIMES {
            self.wake_times.insert((at, id));
        } else {
            self.wakes.push(id);
        }
    }

    /// The time of this turn has come: wakes whom it concerns.
    pub(super) fn on_time(&mut self, now: Time) {
        self.now = now;
        while let Some(&(at, id)) = self.wake_times.first() {
            if at > now {
                break;
            }
            self.wake_times.pop_first();
            self.wakes.push(id);
        }
        let late = self.awaiting_head.iter().take_while(|(_, at)| *at <= now);
        self.wakes.extend(late.map(|(id, _)| *id));
    }

    /// When [`on_time`](Self::on_time) has something to do next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let wake = self.wake_times.first().map(|(at, _)| *at);
        let head = self.awaiting_head.front().map(|(_, at)| *at);
        let shutdown = self.shutdown.deadline();
        [wake, head, shutdown, self.promises.deadline].into_iter().flatten().min()
    }
}

/// The streams that a connection cannot do without, in the order in which we open them.
const CRITICAL: [UniKind; 3] = [UniKind::Control, UniKind::QpackEncoder, UniKind::QpackDecoder];

/// How many wake-ups are remembered: far more than a connection has streams.
const MAX_WAKE_TIMES: usize = 100_000;
