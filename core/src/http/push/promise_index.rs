//! [`PromiseIndex`]: what a server promised on this connection and who wants it (Chromium:
//! QuicClientPushPromiseIndex). It holds at most as many promises as the client allowed at a time,
//! and forgets those that nobody claims. Must not know the session or its streams' contents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{Request, Uri};

use super::rules;
use crate::http::body::Body;
use crate::http::client::RequestId;
use crate::http::error::{Http3Code, Http3Error};
use crate::http::pending_request::PendingRequest;
use crate::http::response_handler::ResponseHandler;
use crate::qpack::Field;
use crate::time::Time;
use crate::types::StreamId;

/// Who wants a pushed response.
pub(in crate::http) enum Claim {
    /// A request that is not sent because of it.
    Request(RequestId, Box<PendingRequest>),
    /// The handler that took it when it was promised.
    Handler(Box<dyn ResponseHandler>),
}

/// A push that is not over.
pub(super) struct Entry {
    /// The promised request and its fields as they came; `None` if the stream came first.
    pub(super) promised: Option<(Request<()>, Vec<Field>)>,
    /// Its stream, once that has come.
    pub(super) stream: Option<StreamId>,
    /// Until its stream takes it.
    pub(super) claim: Option<Claim>,
    /// Somebody has claimed it.
    pub(super) is_claimed: bool,
    deadline: Time,
}

/// The promises of a connection.
pub(in crate::http) struct PromiseIndex {
    max: u64,
    timeout: Duration,
    entries: BTreeMap<u64, Entry>,
    /// The entries that can expire, by when they do.
    waiting: BTreeSet<(Time, u64)>,
    /// Pushes that are over, and those whose stream has come.
    over: SeenIds,
    streams: SeenIds,
    /// How many are over.
    ended: u64,
    /// The origins that were asked something on this connection.
    origins: Vec<Uri>,
}

impl PromiseIndex {
    /// An index of at most `max` promises at a time, each kept for `timeout` if nobody claims it.
    pub(in crate::http) fn new(max: u64, timeout: Duration) -> Self {
        Self {
            max,
            timeout,
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
            over: SeenIds::default(),
            streams: SeenIds::default(),
            ended: 0,
            origins: Vec::new(),
        }
    }

    /// Whether pushes are allowed at all.
    pub(in crate::http) fn is_enabled(&self) -> bool {
        self.max > 0
    }

    /// How many are not over.
    pub(in crate::http) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many IDs the server may use altogether, from 0 on.
    pub(super) fn limit(&self) -> u64 {
        self.ended.saturating_add(self.max).min(crate::wire::VARINT_MAX)
    }

    /// Somebody asks this origin, so whoever answers may speak for it.
    pub(in crate::http) fn trust(&mut self, uri: &Uri) {
        if self.is_enabled() && self.origins.len() < MAX_ORIGINS && !self.is_trusted(uri) {
            self.origins.push(uri.clone());
        }
    }

    pub(super) fn is_trusted(&self, uri: &Uri) -> bool {
        self.origins.iter().any(|known| rules::same_origin(known, uri))
    }

    pub(super) fn is_over(&self, push: u64) -> bool {
        self.over.contains(push)
    }

    /// Compares a promise with one that has been made under the same ID. True if there is one.
    pub(super) fn is_promised(&self, push: u64, fields: &[Field]) -> Result<bool, Http3Error> {
        let Some((_, known)) = self.entries.get(&push).and_then(|entry| entry.promised.as_ref())
        else {
            return Ok(false);
        };
        let is_same = known.len() == fields.len()
            && known.iter().zip(fields).all(|(a, b)| a.name == b.name && a.value == b.value);
        // RFC 9114 §7.2.5: the same fields in the same order.
        if is_same {
            return Ok(true);
        }
        Err(Http3Error::new(
            Http3Code::GENERAL_PROTOCOL_ERROR,
            format!("push {push} is promised twice, for different requests"),
        ))
    }

    /// Whether a request that cannot be told from this one was promised before.
    pub(super) fn has_promise_of(&self, request: &Request<()>) -> bool {
        let promised = self.entries.values().filter_map(|entry| entry.promised.as_ref());
        promised.into_iter().any(|(known, _)| rules::asks_for(request, known))
    }

    /// A promise that may be used. Returns the push's stream if that has come already.
    pub(super) fn on_promise(
        &mut self,
        push: u64,
        promised: (Request<()>, Vec<Field>),
        claim: Option<Claim>,
        now: Time,
    ) -> Option<StreamId> {
        let deadline = now + self.timeout;
        let entry = self.entries.entry(push).or_insert_with(|| Entry::new(deadline));
        entry.promised = Some(promised);
        entry.is_claimed = claim.is_some();
        entry.claim = claim;
        let stream = entry.stream;
        self.look_again(push);
        stream
    }

    /// A push stream has come. False if the push is over.
    pub(super) fn on_stream(
        &mut self,
        push: u64,
        stream: StreamId,
        now: Time,
    ) -> Result<bool, Http3Error> {
        // RFC 9114 §6.2.2: each push ID is used for one stream.
        if !self.streams.insert(push) {
            return Err(Http3Error::new(
                Http3Code::ID_ERROR,
                format!("a second stream for push {push}"),
            ));
        }
        if self.is_over(push) {
            return Ok(false);
        }
        let deadline = now + self.timeout;
        let entry = self.entries.entry(push).or_insert_with(|| Entry::new(deadline));
        entry.stream = Some(stream);
        self.look_again(push);
        Ok(true)
    }

    /// The promise that answers a request, if there is one that nobody has claimed.
    pub(in crate::http) fn find(&self, request: &PendingRequest) -> Option<u64> {
        let has_body = !matches!(request.body, Body::Empty);
        let found = self.entries.iter().find(|(_, entry)| {
            let promised = entry.promised.as_ref();
            let answers = |(known, _): &(Request<()>, _)| rules::asks_for(&request.head, known);
            !has_body && !entry.is_claimed && promised.is_some_and(answers)
        });
        found.map(|(push, _)| *push)
    }

    /// Gives a request to a promise. Returns its stream if that has come.
    pub(in crate::http) fn claim(
        &mut self,
        push: u64,
        id: RequestId,
        pending: PendingRequest,
    ) -> Option<StreamId> {
        let entry = self.entries.get_mut(&push)?;
        entry.is_claimed = true;
        entry.claim = Some(Claim::Request(id, Box::new(pending)));
        let stream = entry.stream;
        self.look_again(push);
        stream
    }

    /// What the stream of a push needs to go on, once.
    pub(super) fn take_claim(&mut self, push: u64) -> Option<(Claim, Request<()>)> {
        let entry = self.entries.get_mut(&push)?;
        let claim = entry.claim.take()?;
        let promised = entry.promised.as_mut().map(|(request, _)| std::mem::take(request));
        Some((claim, promised.unwrap_or_default()))
    }

    /// The push whose stream has not come that this request waits for.
    pub(in crate::http) fn claimed_by(&self, id: RequestId) -> Option<u64> {
        let is_of =
            |entry: &Entry| matches!(&entry.claim, Some(Claim::Request(by, _)) if *by == id);
        self.entries.iter().find(|(_, entry)| is_of(entry)).map(|(push, _)| *push)
    }

    /// The request that waits for this push.
    pub(super) fn claimant(&self, push: u64) -> Option<RequestId> {
        match self.entries.get(&push)?.claim.as_ref()? {
            Claim::Request(id, _) => Some(*id),
            Claim::Handler(_) => None,
        }
    }

    /// Takes a request back from the push that it waits for. Returns the push.
    pub(in crate::http) fn unclaim(&mut self, id: RequestId) -> Option<u64> {
        let push = self.claimed_by(id)?;
        self.entries.get_mut(&push)?.claim = None;
        Some(push)
    }

    /// Whether a push that is not over has a stream.
    pub(super) fn has_stream(&self, push: u64) -> bool {
        self.entries.get(&push).is_some_and(|entry| entry.stream.is_some())
    }

    /// The push of a stream.
    pub(in crate::http) fn push_of(&self, stream: StreamId) -> Option<u64> {
        let mut all = self.entries.iter();
        all.find(|(_, entry)| entry.stream == Some(stream)).map(|(push, _)| *push)
    }

    /// Whether a push is not over.
    pub(super) fn contains(&self, push: u64) -> bool {
        self.entries.contains_key(&push)
    }

    /// Whether anybody wants this push.
    pub(super) fn is_claimed(&self, push: u64) -> bool {
        self.entries.get(&push).is_some_and(|entry| entry.is_claimed)
    }

    /// A push is over in any way, or was never to be.
    pub(super) fn end(&mut self, push: u64) -> Option<Entry> {
        if self.over.insert(push) {
            self.ended += 1;
        }
        let entry = self.entries.remove(&push)?;
        self.waiting.remove(&(entry.deadline, push));
        Some(entry)
    }

    /// Something has become of a push: it may have begun to wait, or need not wait any more.
    fn look_again(&mut self, push: u64) {
        let Some(entry) = self.entries.get(&push) else { return };
        let (at, waits) = ((entry.deadline, push), !entry.is_claimed || entry.stream.is_none());
        if waits {
            self.waiting.insert(at);
        } else {
            self.waiting.remove(&at);
        }
    }

    /// A push that nobody has claimed in time, or whose stream has not come in time.
    pub(super) fn expired(&self, now: Time) -> Option<u64> {
        let (deadline, push) = self.waiting.first()?;
        (*deadline <= now).then_some(*push)
    }

    /// When the next one expires.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.waiting.first().map(|(deadline, _)| *deadline)
    }

    /// The claims that have no stream yet, which will not come.
    pub(in crate::http) fn take_claims(&mut self) -> Vec<Claim> {
        self.entries.values_mut().filter_map(|entry| entry.claim.take()).collect()
    }
}

impl Entry {
    fn new(deadline: Time) -> Self {
        Self { promised: None, stream: None, claim: None, is_claimed: false, deadline }
    }
}

/// IDs that were seen: all below one, and some above.
#[derive(Debug, Default)]
struct SeenIds {
    below: u64,
    above: BTreeSet<u64>,
}

impl SeenIds {
    fn contains(&self, id: u64) -> bool {
        id < self.below || self.above.contains(&id)
    }

    /// Notes an ID. False if it was seen before.
    fn insert(&mut self, id: u64) -> bool {
        if id < self.below || !self.above.insert(id) {
            return false;
        }
        while self.above.remove(&self.below) {
            self.below += 1;
        }
        if self.above.len() > MAX_SEEN {
            // The oldest are forgotten: if they come again they pass for new.
            self.above.pop_first();
        }
        true
    }
}

/// How many IDs are remembered beyond those without a gap.
const MAX_SEEN: usize = 4096;

/// How many origins are remembered.
const MAX_ORIGINS: usize = 64;

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;
    use crate::http::ClientExchange;
    use crate::types::{Direction, Role};

    #[test]
    fn only_what_waits_is_looked_at_for_its_deadline() {
        let second = |s| Time::ZERO + Duration::from_secs(s);
        let stream = |n| StreamId::new(Role::Server, Direction::Unidirectional, n);
        let taken = || Some(Claim::Handler(Box::new(Nobody)));
        let mut index = PromiseIndex::new(1000, Duration::from_secs(10));
        let promise = || (Request::default(), Vec::new());
        for push in 0..1000 {
            index.on_promise(push, promise(), taken(), second(0));
            index.on_stream(push, stream(push), second(1)).unwrap();
        }
        assert_eq!((index.len(), index.waiting.len(), index.deadline()), (1000, 0, None));
        // Its stream comes first; it is promised and then claimed; it never gets a stream.
        index.on_stream(1000, stream(1000), second(2)).unwrap();
        index.on_promise(1001, promise(), None, second(3));
        index.on_promise(1002, promise(), taken(), second(4));
        assert_eq!((index.waiting.len(), index.deadline()), (3, Some(second(12))));
        assert_eq!((index.expired(second(11)), index.expired(second(12))), (None, Some(1000)));
        index.on_promise(1000, promise(), taken(), second(5));
        assert_eq!(index.expired(second(13)), Some(1001));
        index.end(1001);
        assert_eq!(index.expired(second(14)), Some(1002));
        index.end(1002);
        assert_eq!((index.expired(second(99)), index.deadline()), (None, None));
    }

    struct Nobody;

    impl ResponseHandler for Nobody {
        fn on_response(&mut self, _: Response<()>, _: &mut ClientExchange<'_>) {}
    }

    #[test]
    fn ids_are_remembered_in_little_memory() {
        let mut seen = SeenIds::default();
        assert!(seen.insert(1) && !seen.insert(1) && seen.contains(1) && !seen.contains(0));
        assert!(seen.insert(0) && seen.above.is_empty() && !seen.insert(1));
        for id in 1..=3 * MAX_SEEN as u64 {
            assert!(seen.insert(2 * id + 1));
        }
        assert_eq!(seen.above.len(), MAX_SEEN);
    }
}
