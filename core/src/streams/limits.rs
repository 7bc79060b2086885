//! How many streams may be opened (RFC 9000 §4.6): [`LocalStreams`] by us under the peer's limit,
//! [`RemoteStreams`] by the peer under ours. Each counts the streams of one direction by index; the
//! streams themselves live elsewhere.

use super::range_set::RangeSet;

/// The streams that we open.
#[derive(Debug, Default)]
pub(super) struct LocalStreams {
    max: u64,
    next: u64,
    blocked_at: Option<u64>,
    wanted: bool,
    /// Streams may be open that the limit does not cover.
    restricted: bool,
}

impl LocalStreams {
    /// The peer's limit.
    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// How many were opened so far.
    pub(super) const fn opened(&self) -> u64 {
        self.next
    }

    /// Whether one more may be opened.
    pub(super) const fn can_open(&self) -> bool {
        self.next < self.max
    }

    /// The index of a new stream, or `None` at the limit; then a raised limit is reported.
    pub(super) fn open(&mut self) -> Option<u64> {
        if !self.can_open() {
            self.wanted = true;
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// Takes a limit from the peer. Returns whether it is new.
    pub(super) fn raise(&mut self, max: u64) -> bool {
        // RFC 9000 §4.6: a limit that does not increase is ignored.
        let raised = max > self.max;
        self.max = self.max.max(max);
        raised
    }

    /// Whether [`take_can_open`](Self::take_can_open) would say so.
    pub(super) const fn has_news(&self) -> bool {
        self.can_open() && self.wanted
    }

    /// Whether someone who found the limit reached can now open a stream. True once.
    pub(super) fn take_can_open(&mut self) -> bool {
        self.can_open() && std::mem::take(&mut self.wanted)
    }

    /// Notes that the limit holds a stream back. Returns true once for every limit.
    pub(super) fn block(&mut self) -> bool {
        self.blocked_at.replace(self.max) != Some(self.max)
    }

    /// Whether a frame about the limit is still true.
    pub(super) fn is_blocked(&self) -> bool {
        !self.can_open() && self.blocked_at == Some(self.max)
    }

    /// The limit was remembered from an earlier connection and does not hold (RFC 9000 §7.4.1).
    pub(super) const fn forget_limit(&mut self) {
        self.max = 0;
        self.blocked_at = None;
        self.restricted = true;
    }

    /// Whether a raised limit can set free streams that were opened under a forgotten one.
    pub(super) const fn take_restricted(&mut self) -> bool {
        let restricted = self.restricted;
        self.restricted = self.next > self.max;
        restricted
    }
}

/// The streams that the peer opens.
#[derive(Debug)]
pub(super) struct RemoteStreams {
    advertised: u64,
    opened: u64,
    announced: u64,
    released: u64,
    allowance: u64,
    /// Open, but no frame has named them yet.
    implicit: RangeSet,
}

/// What became of a stream of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    /// It is beyond our limit.
    BeyondLimit,
    /// It is open and needs an object now: it is new, or was opened by implication.
    Fresh,
    /// It was given an object before; if that is gone, the stream is closed.
    Known,
}

impl RemoteStreams {
    /// At most `allowance` streams at a time.
    pub(super) fn new(allowance: u64) -> Self {
        Self {
            advertised: allowance,
            opened: 0,
            announced: 0,
            released: 0,
            allowance,
            implicit: RangeSet::default(),
        }
    }

    /// The limit that the peer knows.
    pub(super) const fn advertised(&self) -> u64 {
        self.advertised
    }

    /// Takes note of a frame for the stream of this index.
    pub(super) fn on_frame(&mut self, index: u64) -> Remote {
        // RFC 9000 §4.6
        if index >= self.advertised {
            return Remote::BeyondLimit;
        }
        if index < self.opened {
            return self.materialize(index);
        }
        // RFC 9000 §3.2: a stream is opened with all lower-numbered ones of its kind.
        self.implicit.insert(self.opened, index);
        self.opened = index + 1;
        Remote::Fresh
    }

    /// Gives an object to an open stream which has none.
    pub(super) fn materialize(&mut self, index: u64) -> Remote {
        if !self.is_implicit(index) {
            return Remote::Known;
        }
        self.implicit.remove(index, index + 1);
        Remote::Fresh
    }

    /// Whether the stream is open without an object.
    pub(super) fn is_implicit(&self, index: u64) -> bool {
        self.implicit.contains(index, index + 1)
    }

    /// How many streams are open without an object.
    #[cfg(test)]
    pub(super) fn implicit_ranges(&self) -> usize {
        self.implicit.len()
    }

    /// Whether the application has not heard of a stream.
    pub(super) const fn has_news(&self) -> bool {
        self.announced != self.opened
    }

    /// The next stream that the application has not heard of.
    pub(super) fn announce(&mut self) -> Option<u64> {
        if self.announced == self.opened {
            return None;
        }
        self.announced += 1;
        Some(self.announced - 1)
    }

    /// How many are open, those included that no frame has named.
    pub(super) const fn open(&self) -> u64 {
        self.opened - self.released
    }

    /// Counts a stream that is closed and that the application has let go. Returns whether the peer
    /// should hear of the new limit.
    pub(super) fn release(&mut self) -> bool {
        self.released += 1;
        self.is_due()
    }

    /// Whether a new limit is worth a frame: it is a good deal higher, or the peer has none left.
    pub(super) const fn is_due(&self) -> bool {
        let more = self.next_limit() - self.advertised;
        more > self.allowance / 8 || (more > 0 && self.opened == self.advertised)
    }

    /// Whether there is anything new to tell.
    pub(super) const fn has_more(&self) -> bool {
        self.next_limit() > self.advertised
    }

    /// The limit to advertise next.
    pub(super) const fn next_limit(&self) -> u64 {
        let limit = self.released + self.allowance;
        if limit > MAX_STREAMS { MAX_STREAMS } else { limit }
    }

    /// Notes that the limit went out.
    pub(super) const fn set_advertised(&mut self, max: u64) {
        self.advertised = max;
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.implicit.shrink();
    }
}

/// The largest number of streams of a kind (RFC 9000 §4.6).
pub(super) const MAX_STREAMS: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_is_reported_once_to_who_was_refused() {
        let mut local = LocalStreams::default();
        assert!(!local.take_can_open());
        assert_eq!(local.open(), None);
        assert!(local.block() && !local.block());
        assert!(local.raise(1) && !local.raise(1));
        assert!(local.take_can_open() && !local.take_can_open());
        assert_eq!((local.open(), local.open()), (Some(0), None));
        assert!(local.block());
    }

    #[test]
    fn opening_a_stream_opens_all_lower_ones() {
        // RFC 9000 §3.2
        let mut remote = RemoteStreams::new(100);
        assert_eq!(remote.on_frame(99), Remote::Fresh);
        assert_eq!(remote.on_frame(100), Remote::BeyondLimit);
        assert_eq!(remote.implicit_ranges(), 1);
        assert_eq!(std::iter::from_fn(|| remote.announce()).count(), 100);
        assert_eq!(remote.on_frame(50), Remote::Fresh);
        assert_eq!(remote.on_frame(50), Remote::Known);
        assert_eq!(remote.implicit_ranges(), 2);
    }

    #[test]
    fn credit_follows_release_and_never_starves_the_peer() {
        let mut remote = RemoteStreams::new(16);
        remote.on_frame(15);
        assert!(!remote.is_due());
        assert!(remote.release(), "the peer has no credit left: every stream counts");
        remote.set_advertised(remote.next_limit());
        assert_eq!(remote.advertised(), 17);
        assert!(!remote.has_more());
    }
}
