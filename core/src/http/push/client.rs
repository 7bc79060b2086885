//! Pushes in a client's session: promises are checked and offered, push streams join them, claims
//! are passed on, what nobody wants is cancelled.

use http::Request;

use super::handler::{PromiseAnswer, PushDropped, PushHandler};
use super::inbox::Promise;
use super::promise_index::Claim;
use super::pushed_stream::{Outcome, PushedStream};
use super::{PushId, rules};
use crate::error::ApplicationError;
use crate::http::client::{Http3ClientSession, RequestId};
use crate::http::error::{Http3Code, Http3Error, RequestFailure};
use crate::http::frame::{emit, frame_type};
use crate::http::headers::parse_request;
use crate::http::plumbing;
use crate::qpack::Field;
use crate::session::{SessionContext, StreamContext};
use crate::types::StreamId;

type Cx<'a> = SessionContext<'a, Http3ClientSession>;

impl Http3ClientSession {
    /// Has this handler hear of what the server promises, if it may push
    /// ([`Http3Config::max_pushes`](crate::http::Http3Config::max_pushes)). To be set before the
    /// first request.
    pub fn set_push_handler(&mut self, handler: Box<dyn PushHandler>) {
        self.push_handler = Some(handler);
    }

    /// How many pushes are promised and not over.
    pub fn promised_pushes(&self) -> usize {
        self.promises.len()
    }

    /// The push that answers a request, if one does.
    pub(in crate::http) fn push_of(&self, id: RequestId) -> Option<u64> {
        let stream = self.streams.get(&id);
        let of_stream = stream.and_then(|stream| self.promises.push_of(*stream));
        of_stream.or_else(|| self.promises.claimed_by(id))
    }

    /// There will be no streams for pushes that somebody waits for.
    pub(in crate::http) fn fail_claims(&mut self, failure: &RequestFailure) {
        for claim in self.promises.take_claims() {
            match claim {
                Claim::Request(_, mut pending) => pending.handler.on_failed(failure),
                Claim::Handler(mut handler) => handler.on_failed(failure),
            }
        }
    }

    fn on_promise(&mut self, cx: &mut Cx<'_>, promise: Promise) -> Result<(), Http3Error> {
        let Promise { push, fields } = promise;
        // RFC 9114 §7.2.5: what is over, or was refused, is not promised again.
        if self.promises.is_over(push) || self.promises.is_promised(push, &fields)? {
            return Ok(());
        }
        if self.http.promises.refused_from.is_some_and(|from| push >= from) {
            self.drop_push(cx, push, None);
            return Ok(());
        }
        let Some(request) = self.fit(&fields) else {
            self.drop_push(cx, push, Some(PushDropped::Unfit));
            return Ok(());
        };
        let answer = match &mut self.push_handler {
            Some(handler) => handler.on_promise(PushId(push), &request),
            None => PromiseAnswer::Keep,
        };
        let claim = match answer {
            PromiseAnswer::Keep => None,
            PromiseAnswer::Take(handler) => Some(Claim::Handler(handler)),
            PromiseAnswer::Refuse => {
                self.drop_push(cx, push, None);
                return Ok(());
            }
        };
        let stream = self.promises.on_promise(push, (request, fields), claim, self.http.now);
        if let Some(stream) = stream {
            cx.wake_stream(stream);
        }
        Ok(())
    }

    /// The promised request, if it may be promised by this server (RFC 9114 §4.6).
    fn fit(&self, fields: &[Field]) -> Option<Request<()>> {
        let head = parse_request(fields.to_vec()).ok()?;
        if rules::unfit(&head.request).is_some() || self.promises.has_promise_of(&head.request) {
            return None;
        }
        let vouches = |handler: &dyn PushHandler| handler.is_authoritative(&head.request);
        let is_trusted = self.promises.is_trusted(head.request.uri())
            || self.push_handler.as_deref().is_some_and(vouches);
        is_trusted.then_some(head.request)
    }

    /// A push is not wanted, or will not come. Who waits for it is helped otherwise.
    pub(in crate::http) fn drop_push(
        &mut self,
        cx: &mut Cx<'_>,
        push: u64,
        why: Option<PushDropped>,
    ) {
        let was_claimed = self.promises.is_claimed(push);
        let entry = self.promises.end(push);
        let (stream, claim) = entry.map_or((None, None), |entry| (entry.stream, entry.claim));
        match stream {
            // Finds itself unwanted, and stops the server.
            Some(stream) => cx.wake_stream(stream),
            // RFC 9114 §7.2.3, §4.6
            None if why != Some(PushDropped::Cancelled) => {
                let io = cx.connection();
                self.http
                    .send_control(io, |out| emit::one_varint(out, frame_type::CANCEL_PUSH, push));
            }
            None => {}
        }
        if let (Some(why), Some(handler)) = (why.filter(|_| !was_claimed), &mut self.push_handler) {
            handler.on_dropped(PushId(push), why);
        }
        match claim {
            Some(Claim::Request(id, pending)) => self.send_after_all(cx, id, *pending),
            Some(Claim::Handler(mut handler)) => {
                handler.on_failed(&RequestFailure::Peer(Http3Code::REQUEST_CANCELLED));
            }
            None => {}
        }
    }

    /// The server takes a push back (RFC 9114 §7.2.3): if its stream has come, that tells more.
    fn on_cancel_push(&mut self, cx: &mut Cx<'_>, push: u64) {
        let has_stream = self.promises.has_stream(push);
        if !has_stream && !self.promises.is_over(push) {
            self.drop_push(cx, push, Some(PushDropped::Cancelled));
        }
    }

    /// A push stream's header has come.
    pub(in crate::http) fn on_push_stream(
        &mut self,
        cx: &mut Cx<'_>,
        push: u64,
        stream: StreamId,
        start: &[u8],
    ) -> PushedStream {
        let joined = self.http.promises.on_id(push, "a stream");
        let joined = joined.and_then(|()| self.promises.on_stream(push, stream, self.http.now));
        if let Err(error) = joined {
            self.http.fail(error);
        } else if self.http.promises.refused_from.is_some_and(|from| push >= from) {
            self.drop_push(cx, push, None);
        } else if let Some(request) = self.promises.claimant(push) {
            self.streams.insert(request, stream);
        }
        PushedStream::new(push, stream, start)
    }
}

/// Does what pushes want done at the end of a callback.
pub(in crate::http) fn settle(session: &mut Http3ClientSession, cx: &mut Cx<'_>) {
    if !session.promises.is_enabled() {
        return;
    }
    for promise in std::mem::take(&mut session.http.promises.promised) {
        if let Err(error) = session.on_promise(cx, promise) {
            session.http.fail(error);
        }
    }
    for push in std::mem::take(&mut session.http.promises.cancelled) {
        session.on_cancel_push(cx, push);
    }
    while let Some(push) = session.promises.expired(session.http.now) {
        session.drop_push(cx, push, Some(PushDropped::Expired));
    }
    let limit = session.promises.limit();
    let inbox = &mut session.http.promises;
    inbox.deadline = session.promises.deadline();
    if limit > inbox.limit && inbox.refused_from.is_none() {
        inbox.limit = limit;
        let io = cx.connection();
        session
            .http
            .send_control(io, |out| emit::one_varint(out, frame_type::MAX_PUSH_ID, limit - 1));
    }
}

/// The callbacks of push streams.
impl PushedStream {
    pub(in crate::http) fn on_readable(&mut self, cx: &mut StreamContext<'_, Http3ClientSession>) {
        let id = cx.id();
        let is_cancelled = cx.session().take_cancelled(id);
        self.with_session(cx, |stream, session, scx| {
            let Http3ClientSession { http, promises, .. } = session;
            if is_cancelled {
                stream.cancel(http, scx.connection());
                session.promises.end(stream.push());
                return;
            }
            match stream.on_data_available(promises, http, scx.connection()) {
                Outcome::Fine => {}
                Outcome::Over => drop(promises.end(stream.push())),
                Outcome::TooLarge => {
                    stream.give_up(scx.connection());
                    session.drop_push(scx, stream.push(), Some(PushDropped::TooLarge));
                }
            }
        });
    }

    pub(in crate::http) fn on_stream_reset(
        &mut self,
        code: ApplicationError,
        cx: &mut StreamContext<'_, Http3ClientSession>,
    ) {
        self.with_session(cx, |stream, session, scx| {
            if stream.on_reset(code.into(), &mut session.http, scx.connection()) {
                session.drop_push(scx, stream.push(), Some(PushDropped::Cancelled));
            } else {
                session.promises.end(stream.push());
            }
        });
    }

    fn with_session(
        &mut self,
        cx: &mut StreamContext<'_, Http3ClientSession>,
        f: impl FnOnce(&mut Self, &mut Http3ClientSession, &mut Cx<'_>),
    ) {
        let (session, scx) = cx.split();
        plumbing::begin(session, scx);
        f(self, session, scx);
        if let Some((request, pending)) = self.take_refused() {
            session.send_after_all(scx, request, pending);
        }
        plumbing::settle(session, scx);
    }
}
