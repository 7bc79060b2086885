//! [`WebTransports`]: which streams belong to which session of a connection, what has happened on
//! them that their visitor was not told, streams that came before their session, and streams that
//! are to be reset. Must not know visitors, capsules or handlers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::http::connection::Http3Connection;
use crate::http::error::{Fault, Http3Code, Http3Error};
use crate::http::plumbing::Http3Session;
use crate::http::transport::Transport;
use crate::session::SessionContext;
use crate::types::{Direction, Role, StreamId};

use super::stream::WebTransportStream;

/// [`WebTransports`] that take memory once they are used: most connections have no sessions.
#[derive(Debug, Default)]
pub(in crate::http) struct LazyWebTransports(Option<Box<WebTransports>>);

impl LazyWebTransports {
    /// If they were ever used.
    pub(in crate::http) fn used(&mut self) -> Option<&mut WebTransports> {
        self.0.as_deref_mut()
    }
}

impl Deref for LazyWebTransports {
    type Target = WebTransports;

    fn deref(&self) -> &WebTransports {
        self.0.as_deref().unwrap_or(&NEVER_USED)
    }
}

impl DerefMut for LazyWebTransports {
    fn deref_mut(&mut self) -> &mut WebTransports {
        self.0.get_or_insert_default()
    }
}

/// The sessions of a connection.
#[derive(Debug, Default)]
pub(in crate::http) struct WebTransports {
    sessions: BTreeMap<StreamId, SessionState>,
    streams: BTreeMap<StreamId, Entry>,
    /// Streams whose session is not known yet, oldest first.
    early: VecDeque<Early>,
    /// Streams that we have opened and that have no object yet.
    opened: Vec<StreamId>,
    /// Streams of sessions that are over, and how much of ours must arrive all the same.
    doomed: Vec<(StreamId, u64)>,
    /// Requests that wait for the client's settings.
    waiting: Vec<StreamId>,
    /// Each handler of a session, asked for or accepted, holds it too.
    token: Option<Arc<()>>,
}

static NEVER_USED: WebTransports = WebTransports {
    sessions: BTreeMap::new(),
    streams: BTreeMap::new(),
    early: VecDeque::new(),
    opened: Vec::new(),
    doomed: Vec::new(),
    waiting: Vec::new(),
    token: None,
};

#[derive(Debug, Default)]
struct SessionState {
    /// Streams with news.
    queue: VecDeque<StreamId>,
    /// Its CONNECT goes on, but it is over.
    is_over: bool,
    /// The peer asked for its end, or goes away; the visitor does not know.
    is_draining: bool,
    /// The visitor knows.
    told_draining: bool,
    /// We go away: the peer is to be asked for its end.
    wants_drain: bool,
    /// A stream was refused; and may be opened now.
    blocked: [bool; 2],
    unblocked: [bool; 2],
}

#[derive(Debug)]
struct Entry {
    session: StreamId,
    /// The length of what we began the stream with.
    header_len: u64,
    /// The peer's part was read to its end.
    at_end: bool,
    /// The connection has forgotten it.
    is_closed: bool,
    is_queued: bool,
    news: News,
}

/// What has happened on a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    pub(super) is_new: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) reset: Option<Http3Code>,
    pub(super) stopped: Option<Http3Code>,
}

#[derive(Debug)]
struct Early {
    session: StreamId,
    stream: StreamId,
    at_end: bool,
}

/// Sessions.
impl WebTransports {
    /// What counts a session as long as it is held.
    pub(super) fn token(&mut self) -> Arc<()> {
        Arc::clone(self.token.get_or_insert_default())
    }

    /// How many sessions there are, those included that are only asked for.
    pub(super) fn live(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| Arc::strong_count(token) as u64 - 1)
    }

    /// A session begins: what came for it before belongs to it now.
    pub(super) fn open(&mut self, id: StreamId) {
        self.sessions.insert(id, SessionState::default());
        for early in std::mem::take(&mut self.early) {
            if early.session == id {
                self.add_incoming(id, early.stream, early.at_end);
            } else {
                self.early.push_back(early);
            }
        }
    }

    /// A session is over, but perhaps not its CONNECT: its streams are to be reset.
    pub(super) fn end(&mut self, id: StreamId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            *session = SessionState { is_over: true, ..SessionState::default() };
        }
        let Self { streams, doomed, .. } = self;
        streams.retain(|stream, entry| {
            if entry.session == id && !entry.is_closed {
                doomed.push((*stream, entry.header_len));
            }
            entry.session != id
        });
    }

    /// A request is over. If it was no session, nothing that waited for it will be one's.
    pub(in crate::http) fn on_request_over(&mut self, id: StreamId) {
        self.waiting.retain(|waiting| *waiting != id);
        if self.sessions.contains_key(&id) {
            self.end(id);
            self.sessions.remove(&id);
        }
        let Self { early, doomed, .. } = self;
        early.retain(|one| {
            if one.session == id {
                doomed.push((one.stream, 0));
            }
            one.session != id
        });
    }

    /// Whether a session goes on.
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.sessions.get(&id).is_some_and(|session| !session.is_over)
    }

    /// Whether any session goes on.
    pub(in crate::http) fn has_open(&self) -> bool {
        self.sessions.values().any(|session| !session.is_over)
    }

    /// Whether the peer has asked for the end of a session. True once.
    pub(super) fn take_draining(&mut self, id: StreamId) -> bool {
        let session = self.sessions.get_mut(&id);
        session.is_some_and(|session| {
            std::mem::take(&mut session.is_draining)
                && !std::mem::replace(&mut session.told_draining, true)
        })
    }

    /// Whether the peer is to be asked for the end of a session. True once.
    pub(super) fn take_drain_wish(&mut self, id: StreamId) -> bool {
        let session = self.sessions.get_mut(&id);
        session.is_some_and(|session| std::mem::take(&mut session.wants_drain))
    }

    /// Whether streams can be opened again. True once.
    pub(super) fn take_unblocked(&mut self, id: StreamId, direction: Direction) -> bool {
        let session = self.sessions.get_mut(&id);
        session.is_some_and(|session| std::mem::take(&mut session.unblocked[slot(direction)]))
    }

    /// A session could not open a stream.
    pub(super) fn on_blocked(&mut self, id: StreamId, direction: Direction) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.blocked[slot(direction)] = true;
        }
    }

    /// A request is to be looked at again when the client's settings have come.
    pub(in crate::http) fn await_settings(&mut self, id: StreamId) {
        if !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
    }
}

/// Streams.
impl WebTransports {
    /// We have opened a stream.
    pub(super) fn add_outgoing(&mut self, session: StreamId, stream: StreamId, header_len: u64) {
        let entry = Entry::new(session, header_len);
        self.streams.insert(stream, entry);
        self.opened.push(stream);
    }

    fn add_incoming(&mut self, session: StreamId, stream: StreamId, at_end: bool) {
        let news = News { is_new: true, readable: true, ..News::default() };
        let entry = Entry { at_end, news, is_queued: true, ..Entry::new(session, 0) };
        self.streams.insert(stream, entry);
        if let Some(state) = self.sessions.get_mut(&session) {
            state.queue.push_back(stream);
        }
    }

    /// Whether a stream is one of this session's.
    pub(super) fn owns(&self, session: StreamId, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|entry| entry.session == session)
    }

    /// How much we began a stream with.
    pub(super) fn header_len(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |entry| entry.header_len)
    }

    /// The peer's part of a stream was read to its end.
    pub(super) fn on_read_finished(&mut self, stream: StreamId) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.at_end = true;
        }
    }

    /// Whether it was; streams that are over count as read.
    pub(super) fn is_read_finished(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(|entry| entry.at_end)
    }

    /// The next stream of a session with news.
    pub(super) fn next_news(&mut self, session: StreamId) -> Option<(StreamId, News)> {
        let stream = self.sessions.get_mut(&session)?.queue.pop_front()?;
        let entry = self.streams.get_mut(&stream)?;
        entry.is_queued = false;
        let news = std::mem::take(&mut entry.news);
        Some((stream, news))
    }

    /// The news of a stream were told: forgets it if the connection has.
    pub(super) fn on_told(&mut self, stream: StreamId) {
        if self.streams.get(&stream).is_some_and(|entry| entry.is_closed && !entry.is_queued) {
            self.streams.remove(&stream);
        }
    }

    /// The connection has forgotten a stream.
    pub(super) fn on_stream_closed(&mut self, stream: StreamId) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.is_closed = true;
            if !entry.is_queued {
                self.streams.remove(&stream);
            }
        }
    }

    /// The peer gave up a stream that waits for its session. False if it does not wait.
    fn forget_early(&mut self, stream: StreamId) {
        self.early.retain(|early| early.stream != stream);
    }
}

impl Entry {
    fn new(session: StreamId, header_len: u64) -> Self {
        let news = News::default();
        Self { session, header_len, at_end: false, is_closed: false, is_queued: false, news }
    }
}

impl Http3Connection {
    /// Whether we take part in WebTransport.
    pub(in crate::http) fn offers_webtransport(&self) -> bool {
        self.config().webtransport_sessions > 0
    }

    /// A stream of the peer's says that it belongs to this session.
    pub(super) fn on_webtransport_stream(
        &mut self,
        session: u64,
        stream: StreamId,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        let id = StreamId::from_raw(session);
        let at_end = io.is_finished(stream);
        let is_request = id.initiator().is_client() && id.direction() == Direction::Bidirectional;
        let can_be = match self.role() {
            Role::Server => io.is_within_limit(id),
            Role::Client => session < self.requests_end(),
        };
        // draft-ietf-webtrans-http3-07 §4: a session ID is that of a request.
        if !is_request || !can_be {
            return Err(Http3Error::new(
                Http3Code::ID_ERROR,
                format!("{stream} names {session}, which is no session, as its session"),
            ));
        }
        if self.webtransport.is_open(id) {
            self.webtransport.add_incoming(id, stream, at_end);
            self.wakes.push(id);
            return Ok(());
        }
        let is_over = self.webtransport.sessions.contains_key(&id);
        let is_to_come =
            self.role().is_server() && (session >= self.requests_end() || self.awaits_head(id));
        // §4.5: kept until the session is there, but not too many, and not for what is over.
        let code = if is_over || !(is_to_come || self.datagrams.is_open(id)) {
            Http3Code::WEBTRANSPORT_SESSION_GONE
        } else if self.webtransport.early.len() < MAX_EARLY_STREAMS {
            self.webtransport.early.push_back(Early { session: id, stream, at_end });
            return Ok(());
        } else {
            Http3Code::WEBTRANSPORT_BUFFERED_STREAM_REJECTED
        };
        abandon(stream, self.role(), code, 0, io);
        match self.on_glitch() {
            Err(Fault::Connection(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Something happened on a stream: its session is told.
    pub(super) fn note_webtransport(&mut self, stream: StreamId, change: impl FnOnce(&mut News)) {
        let Some(WebTransports { sessions, streams, .. }) = self.webtransport.used() else {
            return;
        };
        let Some(entry) = streams.get_mut(&stream) else { return };
        change(&mut entry.news);
        if !std::mem::replace(&mut entry.is_queued, true)
            && let Some(session) = sessions.get_mut(&entry.session)
        {
            session.queue.push_back(stream);
            self.wakes.push(entry.session);
        }
    }

    /// The peer reset a stream.
    pub(super) fn on_webtransport_reset(&mut self, stream: StreamId, code: Http3Code) {
        self.webtransport.forget_early(stream);
        self.note_webtransport(stream, |news| news.reset = Some(code));
    }

    /// The peer goes away (draft-ietf-webtrans-http3-07 §4.6).
    pub(in crate::http) fn on_webtransport_goaway(&mut self) {
        for (id, session) in self.webtransport.used().into_iter().flat_map(|all| &mut all.sessions)
        {
            session.is_draining = true;
            self.wakes.push(*id);
        }
    }

    /// The peer asks for the end of one session.
    pub(super) fn on_webtransport_drain(&mut self, id: StreamId) {
        if let Some(session) = self.webtransport.sessions.get_mut(&id) {
            session.is_draining = true;
        }
    }

    /// We go away: so do the sessions.
    pub(in crate::http) fn drain_webtransport(&mut self) {
        for (id, session) in self.webtransport.used().into_iter().flat_map(|all| &mut all.sessions)
        {
            session.wants_drain = true;
            self.wakes.push(*id);
        }
    }

    /// The peer allows more streams.
    pub(in crate::http) fn on_webtransport_can_open(&mut self, direction: Direction) {
        for (id, session) in self.webtransport.used().into_iter().flat_map(|all| &mut all.sessions)
        {
            if std::mem::take(&mut session.blocked[slot(direction)]) {
                session.unblocked[slot(direction)] = true;
                self.wakes.push(*id);
            }
        }
    }

    /// The peer's settings have come.
    pub(in crate::http) fn on_webtransport_settings(&mut self) {
        if let Some(all) = self.webtransport.used() {
            self.wakes.append(&mut all.waiting);
        }
    }
}

/// Carries out what sessions have left to be done: objects for the streams that they have opened,
/// and the end of streams whose session is over.
pub(in crate::http) fn settle<S: Http3Session>(session: &mut S, cx: &mut SessionContext<'_, S>) {
    let http = session.http();
    let role = http.role();
    let Some(all) = http.webtransport.used() else { return };
    for id in all.opened.drain(..) {
        cx.adopt_stream(id, S::webtransport_stream(WebTransportStream::outgoing(id)));
    }
    for (id, header_len) in all.doomed.drain(..) {
        // draft-ietf-webtrans-http3-07 §5
        let code = Http3Code::WEBTRANSPORT_SESSION_GONE;
        abandon(id, role, code, header_len, cx.connection());
    }
}

/// Gives up both parts of a stream, of our own part all but what says whose it is.
pub(super) fn abandon(
    stream: StreamId,
    role: Role,
    code: Http3Code,
    header_len: u64,
    io: &mut dyn Transport,
) {
    if stream.sends(role) {
        io.reset_at(stream, code, header_len);
    }
    if stream.receives(role) {
        io.stop_sending(stream, code);
    }
}

const fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Bidirectional => 0,
        Direction::Unidirectional => 1,
    }
}

/// How many streams of a connection wait for their sessions. What is on them waits in the
/// connection, within its flow control.
const MAX_EARLY_STREAMS: usize = 64;
