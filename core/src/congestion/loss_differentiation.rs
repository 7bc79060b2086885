//! [`LossDifferentiation`]: an algorithm that is not told of losses which proved to be random. Wraps
//! any [`SendAlgorithm`]. It must not know how that is proved.

use crate::congestion::{
    CongestionEvent, LossContext, LossVerdict, RandomLossDetector, SendAlgorithm, WindowBefore,
};
use crate::forward_send_algorithm;
use crate::time::Time;

/// A [`SendAlgorithm`] for which every loss is congestion, but for those that a
/// [`RandomLossDetector`] tells to be random. [`CongestionControl::Cubic`] is [`Cubic`] in one of
/// these.
///
/// RFC 9002 §7 has every loss reduce the window. This departs from it where the reductions have
/// proved useless, and only there: a loss that comes alone, or with a queue, or with many others, is
/// answered as the algorithm answers it.
///
/// ```
/// use protoquic_core::congestion::{LossDifferentiation, NewReno, SendAlgorithm};
///
/// let algorithm = LossDifferentiation::new(NewReno::new(1200), 1200);
/// assert_eq!((algorithm.name(), algorithm.congestion_window()), ("new_reno", 12_000));
/// ```
///
/// [`CongestionControl::Cubic`]: crate::congestion::CongestionControl::Cubic
/// [`Cubic`]: crate::congestion::Cubic
#[derive(Debug)]
pub struct LossDifferentiation<A> {
    inner: A,
    max_datagram_size: u16,
    /// There is one from the first loss on.
    detector: Option<Box<RandomLossDetector>>,
}

impl<A: SendAlgorithm> LossDifferentiation<A> {
    /// Wraps an algorithm that has sent nothing yet.
    pub const fn new(inner: A, max_datagram_size: u16) -> Self {
        Self { inner, max_datagram_size, detector: None }
    }

    fn verdict(&mut self, event: &CongestionEvent<'_>) -> LossVerdict {
        if self.detector.is_none() && event.lost_bytes == 0 {
            return LossVerdict::Congestion;
        }
        let context = LossContext {
            before: WindowBefore {
                window: self.inner.congestion_window(),
                slow_start_threshold: self.inner.slow_start_threshold(),
            },
            max_datagram_size: self.max_datagram_size,
            in_recovery: event.newest_lost_sent.is_some_and(|sent| self.inner.in_recovery(sent)),
        };
        self.detector.get_or_insert_default().on_congestion_event(event, &context)
    }

    fn take_back_reductions(&mut self, before: WindowBefore) {
        let window = before.window.max(self.inner.congestion_window());
        self.inner.adopt_window(window, before.slow_start_threshold);
    }
}

impl<A: SendAlgorithm> SendAlgorithm for LossDifferentiation<A> {
    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        match self.verdict(event) {
            LossVerdict::Congestion => return self.inner.on_congestion_event(event),
            LossVerdict::Random => {}
            LossVerdict::RandomSince(before) => self.take_back_reductions(before),
        }
        self.inner.on_congestion_event(&event.without_losses());
    }

    fn on_persistent_congestion(&mut self, now: Time) {
        self.detector = None;
        self.inner.on_persistent_congestion(now);
    }

    /// What looked like losses was disorder, and says nothing of either kind.
    fn on_spurious_loss(&mut self, now: Time) {
        self.detector = None;
        self.inner.on_spurious_loss(now);
    }

    fn on_connection_migration(&mut self, now: Time) {
        self.detector = None;
        self.inner.on_connection_migration(now);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        self.max_datagram_size = size;
        self.inner.on_max_datagram_size_changed(size);
    }

    forward_send_algorithm!(inner: name, ecn_codepoint, on_packet_sent, on_train_sent,
        on_retransmission_timeout, on_application_limited, adopt_window, congestion_window,
        can_send, pacing_rate, bandwidth_estimate, in_slow_start, slow_start_threshold, phase,
        recovery_start, in_recovery, wants_packets);
}
