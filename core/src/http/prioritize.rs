//! Priorities of responses (RFC 9218): the `priority` header and PRIORITY_UPDATE frames, which may
//! come before the request they are for, become priorities of streams. This file must not know how
//! those are scheduled.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::client::{Http3ClientSession, RequestId};
use super::connection::Http3Connection;
use super::error::{Fault, Http3Code, Http3Error};
use super::frame::{emit, frame_type};
use super::priority;
use super::transport::Transport;
use crate::session::SessionContext;
use crate::streams::Priority;
use crate::types::{Direction, StreamId};
use crate::wire::{Reader, varint_len};

/// What is to be done once a request comes.
#[derive(Debug, Default)]
pub(super) struct Priorities {
    /// Of PRIORITY_UPDATE frames for requests whose header section has not come.
    early: BTreeMap<StreamId, Priority>,
}

/// What a PRIORITY_UPDATE frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PriorityUpdate {
    pub(super) stream: StreamId,
    /// `None` if it cannot be read.
    pub(super) priority: Option<Priority>,
}

impl PriorityUpdate {
    /// Reads the payload of the frame for requests (RFC 9218 §7.2).
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Http3Error> {
        let (id, priority) = parse_update(payload)?;
        let stream = StreamId::from_raw(id);
        // RFC 9218 §7.2: it must be a request stream.
        if !stream.initiator().is_client() || stream.direction() != Direction::Bidirectional {
            return Err(id_error(format!("PRIORITY_UPDATE of {stream}, which is no request")));
        }
        Ok(Self { stream, priority })
    }
}

/// The ID and the priority in the payload of a frame for requests or pushes.
pub(super) fn parse_update(payload: &[u8]) -> Result<(u64, Option<Priority>), Http3Error> {
    let mut reader = Reader::new(payload);
    let Some(id) = reader.varint() else {
        return Err(Http3Error::new(Http3Code::FRAME_ERROR, "PRIORITY_UPDATE without an ID"));
    };
    Ok((id, priority::parse(&payload[reader.position()..])))
}

impl Http3Connection {
    /// The client wants a response earlier or later.
    pub(super) fn on_priority_update(
        &mut self,
        update: PriorityUpdate,
        io: &mut dyn Transport,
    ) -> Result<(), Http3Error> {
        let PriorityUpdate { stream, priority } = update;
        // RFC 9218 §7.2
        if !io.is_within_limit(stream) {
            return Err(id_error(format!("PRIORITY_UPDATE of {stream}, beyond the limit")));
        }
        let Some(priority) = priority else { return self.count_glitch() };
        let is_open = stream.as_u64() < self.requests_end();
        if is_open && io.set_priority(stream, priority).is_err() {
            return self.count_glitch(); // it is over
        }
        if is_open && !self.awaits_head(stream) {
            return Ok(());
        }
        // RFC 9218 §7: the newest is kept until the request comes.
        let early = &mut self.priorities.early;
        if early.len() < MAX_EARLY || early.contains_key(&stream) {
            early.insert(stream, priority);
            return Ok(());
        }
        self.count_glitch()
    }

    /// A request's header section has come: its response gets the priority that the client wants.
    pub(super) fn prioritize(&mut self, id: StreamId, headers: &HeaderMap, io: &mut dyn Transport) {
        // RFC 9218 §7: the frame counts, which was sent after the header.
        let update = self.priorities.early.remove(&id);
        let wanted = update.or_else(|| priority::of(headers)).unwrap_or(priority::DEFAULT);
        // An error: it is over already.
        let _ = io.set_priority(id, wanted);
    }

    /// A request is over, or its header section has come.
    pub(super) fn forget_priority(&mut self, id: StreamId) {
        self.priorities.early.remove(&id);
    }

    /// Asks the server for another priority of a response.
    pub(super) fn send_priority_update(
        &mut self,
        id: StreamId,
        priority: Priority,
        io: &mut dyn Transport,
    ) {
        self.send_update(frame_type::PRIORITY_UPDATE, id.as_u64(), priority, io);
        // An error: what we send is all sent.
        let _ = io.set_priority(id, priority);
    }

    /// Asks the server for another priority of a push (RFC 9218 §7.2).
    pub(super) fn send_push_priority(
        &mut self,
        push: u64,
        priority: Priority,
        io: &mut dyn Transport,
    ) {
        self.send_update(frame_type::PRIORITY_UPDATE_PUSH, push, priority, io);
    }

    fn send_update(&mut self, ty: u64, id: u64, priority: Priority, io: &mut dyn Transport) {
        let value = priority::emit(priority);
        let len = varint_len(id) + value.len();
        self.send_control(io, |out| {
            emit::header(out, ty, len as u64);
            emit::varint(out, id);
            out.extend_from_slice(value.as_bytes());
        });
    }

    /// Counts something legal and useless on the control stream.
    pub(super) fn count_glitch(&mut self) -> Result<(), Http3Error> {
        match self.on_glitch() {
            Err(Fault::Connection(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Http3ClientSession {
    /// Asks the server to send a response earlier or later than it would (RFC 9218): with the request
    /// itself as long as that waits, then with a PRIORITY_UPDATE frame. What we send of the request
    /// is ranked in the same way. Does nothing if the request is over.
    ///
    /// A priority can also be given with the request, as its `priority` header.
    ///
    /// ```
    /// use http::Request;
    /// use protoquic_core::SessionContext;
    /// use protoquic_core::http::{ExchangeError, Http3ClientSession, ResponseHandler};
    /// use protoquic_core::streams::Priority;
    ///
    /// /// Asks for an image in the background, then finds it in view.
    /// fn fetch(
    ///     session: &mut Http3ClientSession,
    ///     cx: &mut SessionContext<'_, Http3ClientSession>,
    ///     handler: Box<dyn ResponseHandler>,
    /// ) -> Result<(), ExchangeError> {
    ///     let request = Request::get("https://localhost/image").header("priority", "u=6, i");
    ///     let request = request.body(()).expect("the request is well formed");
    ///     let id = session.send_request(cx, request, handler)?;
    ///     session.prioritize_request(cx, id, Priority { urgency: 2, incremental: true });
    ///     Ok(())
    /// }
    /// ```
    pub fn prioritize_request(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        id: RequestId,
        priority: Priority,
    ) {
        if let Some((_, pending)) = self.queue.iter_mut().find(|(queued, _)| *queued == id) {
            priority::set(pending.head.headers_mut(), priority);
        } else if let Some(push) = self.push_of(id) {
            self.http.send_push_priority(push, priority, cx.connection());
        } else if let Some(stream) = self.streams.get(&id) {
            self.http.send_priority_update(*stream, priority, cx.connection());
        }
    }
}

fn id_error(reason: String) -> Http3Error {
    Http3Error::new(Http3Code::ID_ERROR, reason)
}

/// The longest PRIORITY_UPDATE that is read: an ID and a priority.
pub(super) const MAX_UPDATE_LEN: u64 = 8 + priority::MAX_LEN as u64;

/// For how many requests that have not come priorities are kept.
const MAX_EARLY: usize = 1024;
