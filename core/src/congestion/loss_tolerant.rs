//! [`LossTolerant`]: losses that are few, and that come without a queue, are not taken for
//! congestion. Wraps any [`SendAlgorithm`]. It must not know what the algorithm does about a loss.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::congestion::{AlgorithmParams, CongestionEvent, SendAlgorithm, SendAlgorithmFactory};
use crate::forward_send_algorithm;
use crate::time::Time;

/// An RTT that exceeds the shortest by less says nothing of a queue: the bounds that HyStart++ has
/// for it (RFC 9406 §4.2).
const MIN_QUEUE: Duration = Duration::from_millis(4);
const MAX_QUEUE: Duration = Duration::from_millis(16);
/// Likewise as a share of the shortest RTT.
const QUEUE_DIVISOR: u32 = 8;
/// However small the window is, so many datagrams may be lost at once before it gives way, if
/// none was for long: the share of losses cannot be told from one round trip of a few packets.
const LEAST_CREDIT: u64 = 2;

/// The share of bytes whose loss is not taken for congestion: 1 to 20 percent.
///
/// ```
/// use protoquic_core::congestion::LossTolerance;
///
/// assert_eq!("2".parse::<LossTolerance>(), Ok(LossTolerance::from_percent(2).unwrap()));
/// assert_eq!(LossTolerance::from_percent(21), None);
/// assert!("0".parse::<LossTolerance>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossTolerance(u8);

impl LossTolerance {
    /// The largest there is, in percent. A path that loses more is of no use to anybody as it is.
    pub const MAX_PERCENT: u8 = 20;

    /// `None` unless 1 to [`Self::MAX_PERCENT`].
    pub const fn from_percent(percent: u8) -> Option<Self> {
        if percent == 0 || percent > Self::MAX_PERCENT { None } else { Some(Self(percent)) }
    }

    /// As it was given.
    pub const fn percent(self) -> u8 {
        self.0
    }

    const fn of(self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.0 as u64) / 100
    }
}

/// A number of percent.
impl FromStr for LossTolerance {
    type Err = InvalidLossTolerance;

    fn from_str(text: &str) -> Result<Self, InvalidLossTolerance> {
        text.parse().ok().and_then(Self::from_percent).ok_or(InvalidLossTolerance)
    }
}

/// What was given is no [`LossTolerance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLossTolerance;

impl fmt::Display for InvalidLossTolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a loss tolerance is 1 to {} percent", LossTolerance::MAX_PERCENT)
    }
}

impl std::error::Error for InvalidLossTolerance {}

/// Wraps the algorithms of another factory in [`LossTolerant`].
///
/// ```
/// use std::sync::Arc;
///
/// use protoquic_core::congestion::{CongestionControl, LossTolerance, LossTolerantFactory};
/// use protoquic_core::connection::Config;
///
/// let congestion = Arc::new(LossTolerantFactory {
///     inner: Arc::new(CongestionControl::Cubic),
///     tolerance: LossTolerance::from_percent(5).unwrap(),
/// });
/// let config = Config { congestion, ..Config::default() };
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct LossTolerantFactory {
    /// Makes the algorithms.
    pub inner: Arc<dyn SendAlgorithmFactory>,
    /// What they are not told.
    pub tolerance: LossTolerance,
}

impl SendAlgorithmFactory for LossTolerantFactory {
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        let inner = self.inner.create(params);
        Box::new(LossTolerant::new(inner, self.tolerance, params.max_datagram_size))
    }
}

/// A [`SendAlgorithm`] for paths that lose packets without being congested, such as radio links.
///
/// RFC 9002 §7 takes every loss for congestion: at 1 % of random loss NewReno holds a window of a
/// dozen packets, whatever the path could carry. [`LossDifferentiation`](super::LossDifferentiation),
/// which CUBIC has by default, first wants proof that the losses are random, and takes no more than
/// 2 %. With this option there is no question: what arrives earns credit for what is lost; at 5 %,
/// a lost byte for each twenty. A loss that the credit covers is repaired, but the algorithm is not
/// told, unless the RTT has risen (the queue that a congested path has), and never of CE marks.
///
/// That departs from RFC 9002: where a short queue overflows, this flow gives way later than others
/// do. Hence it is a choice for paths one knows, never a default. [`Bbr`](super::Bbr) tolerates 2 %
/// by its own design.
#[derive(Debug)]
pub struct LossTolerant {
    inner: Box<dyn SendAlgorithm>,
    tolerance: LossTolerance,
    max_datagram_size: u16,
    /// In bytes: so many may be lost without consequence.
    credit: u64,
}

impl LossTolerant {
    /// Wraps an algorithm that has sent nothing yet.
    pub fn new(
        inner: Box<dyn SendAlgorithm>,
        tolerance: LossTolerance,
        max_datagram_size: u16,
    ) -> Self {
        let credit = LEAST_CREDIT * u64::from(max_datagram_size);
        Self { inner, tolerance, max_datagram_size, credit }
    }

    /// No more than a window's worth: a long time without loss does not buy a flood of it.
    fn earn(&mut self, acked: u64) {
        let least = LEAST_CREDIT * u64::from(self.max_datagram_size);
        let most = self.tolerance.of(self.inner.congestion_window()).max(least);
        self.credit = self.credit.saturating_add(self.tolerance.of(acked)).min(most);
    }

    /// Whether the losses of this event are covered. Those that are not use the credit up.
    fn covers(&mut self, event: &CongestionEvent<'_>) -> bool {
        let covered = !is_queueing(event) && event.lost_bytes <= self.credit;
        self.credit = if covered { self.credit - event.lost_bytes } else { 0 };
        covered
    }
}

fn is_queueing(event: &CongestionEvent<'_>) -> bool {
    event.queueing_delay() > (event.rtt.min() / QUEUE_DIVISOR).clamp(MIN_QUEUE, MAX_QUEUE)
}

impl SendAlgorithm for LossTolerant {
    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        self.earn(event.acked_bytes);
        if event.lost_bytes > 0 && self.covers(event) {
            self.inner.on_congestion_event(&event.without_losses());
        } else {
            self.inner.on_congestion_event(event);
        }
    }

    fn on_persistent_congestion(&mut self, now: Time) {
        self.credit = 0;
        self.inner.on_persistent_congestion(now);
    }

    fn on_connection_migration(&mut self, now: Time) {
        self.credit = LEAST_CREDIT * u64::from(self.max_datagram_size);
        self.inner.on_connection_migration(now);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        self.max_datagram_size = size;
        self.inner.on_max_datagram_size_changed(size);
    }

    forward_send_algorithm!(inner: name, ecn_codepoint, on_packet_sent, on_train_sent,
        on_spurious_loss, on_retransmission_timeout, on_application_limited, adopt_window,
        congestion_window, can_send, pacing_rate, bandwidth_estimate, in_slow_start,
        slow_start_threshold, phase, recovery_start, in_recovery, wants_packets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::NewReno;
    use crate::congestion::send_algorithm::test_support::Path;

    const DATAGRAM: u64 = 1200;

    fn path(percent: u8) -> Path<LossTolerant> {
        let inner = Box::new(NewReno::new(1200));
        Path::new(LossTolerant::new(inner, LossTolerance::from_percent(percent).unwrap(), 1200))
    }

    #[test]
    fn a_covered_loss_changes_nothing() {
        let mut path = path(5);
        let before = path.window();
        path.lose(DATAGRAM, path.now);
        assert_eq!(path.window(), before);
        assert!(path.algorithm.in_slow_start());
        path.lose(DATAGRAM, path.now);
        assert_eq!(path.window(), before);
    }

    #[test]
    fn what_the_credit_does_not_cover_is_told() {
        let mut path = path(5);
        let before = path.window();
        path.lose(3 * DATAGRAM, path.now);
        assert!(path.window() < before);
        assert!(!path.algorithm.in_slow_start());
    }

    #[test]
    fn credit_is_earned_by_what_arrives() {
        let mut path = path(5);
        path.lose(2 * DATAGRAM, path.now); // the credit is used up
        let window = path.window();
        path.advance_rtt();
        path.ack(20 * DATAGRAM - 20, path.now); // a byte short of a datagram
        let grown = path.window();
        assert!(grown >= window);
        path.lose(DATAGRAM, path.now);
        assert!(path.window() < grown);
    }

    #[test]
    fn the_credit_is_at_most_a_share_of_the_window() {
        let mut path = path(10);
        while path.window() < 100 * DATAGRAM {
            path.fill_and_ack();
        }
        path.ack(100 * path.window(), Time::ZERO); // earns, whatever the window grows to
        let credit = path.algorithm.credit;
        assert!(credit <= path.window() / 10, "{credit}");
        let window = path.window();
        path.lose(credit, path.now);
        assert_eq!(path.window(), window);
        path.lose(DATAGRAM, path.now);
        assert!(path.window() < window);
    }

    #[test]
    fn with_a_queue_every_loss_is_told() {
        let mut path = path(5);
        for _ in 0..20 {
            path.rtt.on_sample(path.now, Path::<LossTolerant>::RTT * 5 / 4, Duration::ZERO);
        }
        path.lose(DATAGRAM, path.now);
        assert_eq!(path.window(), 5 * DATAGRAM);
    }

    #[test]
    fn marks_are_told() {
        let mut path = path(5);
        path.ce_mark(DATAGRAM);
        assert_eq!(path.window(), 5 * DATAGRAM);
    }
}
