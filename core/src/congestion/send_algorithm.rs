//! [`SendAlgorithm`]: the plug for congestion control (Chromium: SendAlgorithmInterface), and what
//! it is told. It must not know packet number spaces or frames.

use std::fmt::Debug;
use std::time::Duration;

use crate::congestion::{Bandwidth, DeliveryState, RateSample};
use crate::recovery::RttEstimator;
use crate::time::Time;
use crate::types::Ecn;

/// Decides how many bytes may be in flight, and how fast they may leave.
///
/// One per path: a migration to a new path makes a new one. All sizes are bytes of UDP payload.
/// Only packets that count as in flight (RFC 9002 §2) are reported.
///
/// # An algorithm of one's own
///
/// This one uses all that an algorithm is told: the window grows only while the application is not
/// what limits it, loses a quarter for a loss and an eighth for a mark, and gives way already when
/// packets begin to queue, which it tells from what each of them found when it was sent.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use protoquic_core::Time;
/// use protoquic_core::congestion::{
///     AckedPacket, AlgorithmParams, CongestionEvent, SendAlgorithm, SendAlgorithmFactory,
///     initial_window, minimum_window,
/// };
/// use protoquic_core::connection::Config;
///
/// #[derive(Debug)]
/// struct Quarter {
///     datagram: u16,
///     window: u64,
///     recovery_start: Option<Time>,
/// }
///
/// impl Quarter {
///     fn new(datagram: u16) -> Self {
///         Self { datagram, window: initial_window(datagram), recovery_start: None }
///     }
///
///     fn shrink(&mut self, now: Time, parts_of_eight: u64) {
///         self.recovery_start = Some(now);
///         self.window = (self.window / 8 * parts_of_eight).max(minimum_window(self.datagram));
///     }
///
///     /// Per-packet state: how long it took, and how much was in flight when it left.
///     fn queued(packet: &AckedPacket, now: Time, shortest: Duration) -> u64 {
///         let rtt = now - packet.time_sent;
///         let waited = rtt.saturating_sub(shortest).as_secs_f64() / rtt.as_secs_f64();
///         (packet.delivery.tx_in_flight as f64 * waited) as u64
///     }
/// }
///
/// impl SendAlgorithm for Quarter {
///     fn name(&self) -> &'static str {
///         "quarter"
///     }
///
///     fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
///         let signal = event.newest_congestion_signal();
///         if signal.is_some_and(|sent| !self.in_recovery(sent)) {
///             let by_mark_only = event.lost_bytes == 0 && event.ce_count > 0; // ECN
///             self.shrink(event.now, if by_mark_only { 7 } else { 6 });
///             return;
///         }
///         let is_app_limited = event.rate_sample.is_none_or(|sample| sample.is_app_limited);
///         let queued = event.acked.iter().map(|packet| {
///             Self::queued(packet, event.now, event.rtt.min())
///         });
///         let is_queueing = queued.max().unwrap_or(0) > 10 * u64::from(self.datagram);
///         if !is_app_limited && !is_queueing {
///             self.window += event.acked_bytes_for_growth;
///         }
///     }
///
///     fn wants_packets(&self) -> bool {
///         true // fills `CongestionEvent::acked`
///     }
///
///     fn on_connection_migration(&mut self, _now: Time) {
///         *self = Self::new(self.datagram);
///     }
///
///     fn on_max_datagram_size_changed(&mut self, size: u16) {
///         self.datagram = size;
///         self.window = self.window.max(minimum_window(size));
///     }
///
///     fn congestion_window(&self) -> u64 {
///         self.window
///     }
///
///     fn in_slow_start(&self) -> bool {
///         self.recovery_start.is_none()
///     }
///
///     fn recovery_start(&self) -> Option<Time> {
///         self.recovery_start
///     }
/// }
///
/// #[derive(Debug)]
/// struct Quarters;
///
/// impl SendAlgorithmFactory for Quarters {
///     fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
///         Box::new(Quarter::new(params.max_datagram_size))
///     }
/// }
///
/// let config = Config { congestion: Arc::new(Quarters), ..Config::default() };
/// let params = AlgorithmParams { now: Time::ZERO, max_datagram_size: 1200 };
/// assert_eq!(config.congestion.create(&params).congestion_window(), 12_000);
/// ```
pub trait SendAlgorithm: Debug {
    /// The algorithm's name, for logs: `"cubic"`.
    fn name(&self) -> &'static str;

    /// What packets are marked with on a path that carries marks: ECT(0), or ECT(1) by an
    /// algorithm that responds as L4S does (RFC 9331 §4.1), or nothing.
    fn ecn_codepoint(&self) -> Ecn {
        Ecn::Ect0
    }

    /// A packet of `bytes` left at `now`. `bytes_in_flight` includes it.
    fn on_packet_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16) {
        let _ = (now, bytes_in_flight, bytes);
    }

    /// `count` packets of `bytes` each left at `now`, one behind the other. `bytes_in_flight`
    /// includes the first of them.
    fn on_train_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16, count: u32) {
        for behind in 0..u64::from(count) {
            self.on_packet_sent(now, bytes_in_flight + behind * u64::from(bytes), bytes);
        }
    }

    /// An ACK frame or the loss timer acknowledged packets, lost packets, or reported CE marks.
    /// Called once for each ACK frame, not for each packet.
    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>);

    /// Everything sent over a long period was lost (RFC 9002 §7.6). Called after the
    /// [`Self::on_congestion_event`] that reported the loss.
    fn on_persistent_congestion(&mut self, now: Time) {
        let _ = now;
    }

    /// Every packet whose loss began the latest recovery period has arrived after all: the
    /// reaction to that loss should be undone.
    fn on_spurious_loss(&mut self, now: Time) {
        let _ = now;
    }

    /// A probe timeout expired (RFC 9002 §6.2). No packet is known to be lost: by itself this must
    /// not reduce the window.
    fn on_retransmission_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// The path is a new one, of which nothing is known: back to the initial state
    /// (RFC 9000 §9.4). Also after a Retry (RFC 9002 §6.3).
    fn on_connection_migration(&mut self, now: Time);

    /// The application has nothing more to send although the window has room.
    fn on_application_limited(&mut self, bytes_in_flight: u64) {
        let _ = bytes_in_flight;
    }

    /// Packets may now be `size` bytes long.
    fn on_max_datagram_size_changed(&mut self, size: u16);

    /// What the path holds was found out in another way, such as [`CarefulResume`]'s: go on from
    /// this window, and in slow start if it is below the threshold, or there is none. An algorithm
    /// may decline.
    ///
    /// [`CarefulResume`]: crate::congestion::CarefulResume
    fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        let _ = (window, slow_start_threshold);
    }

    /// How many bytes may be in flight. Never below two datagrams.
    fn congestion_window(&self) -> u64;

    /// Whether one more packet may be sent with `bytes_in_flight` already on the way.
    fn can_send(&self, bytes_in_flight: u64) -> bool {
        bytes_in_flight < self.congestion_window()
    }

    /// The rate to pace at, or `None` to have it computed from the window and the RTT
    /// (RFC 9002 §7.7).
    fn pacing_rate(&self) -> Option<Bandwidth> {
        None
    }

    /// What the path is estimated to carry, if the algorithm estimates it.
    fn bandwidth_estimate(&self) -> Option<Bandwidth> {
        None
    }

    /// Whether the window is still doubling.
    fn in_slow_start(&self) -> bool;

    /// The window below which it doubles, if there is such a threshold and it is known.
    fn slow_start_threshold(&self) -> Option<u64> {
        None
    }

    /// What the algorithm is up to, in a word of its own, for logs and traces.
    fn phase(&self) -> &'static str {
        if self.in_slow_start() { "slow_start" } else { "congestion_avoidance" }
    }

    /// When the latest recovery period began (RFC 9002 §7.3.2), if one did. Bytes acknowledged
    /// of packets sent up to then are left out of [`CongestionEvent::acked_bytes_for_growth`].
    fn recovery_start(&self) -> Option<Time> {
        None
    }

    /// Whether a packet sent at `sent` is of the recovery period or before it.
    fn in_recovery(&self, sent: Time) -> bool {
        self.recovery_start().is_some_and(|start| sent <= start)
    }

    /// Whether [`CongestionEvent::acked`] should be filled. Asked once for each ACK frame; an
    /// algorithm that is content with sums costs nothing per packet.
    fn wants_packets(&self) -> bool {
        false
    }
}

/// What one ACK frame, or one expiry of the loss timer, has changed.
#[derive(Clone, Debug)]
pub struct CongestionEvent<'a> {
    /// When it happened.
    pub now: Time,
    /// The path's RTT, after this event.
    pub rtt: &'a RttEstimator,
    /// Whether this event brought an RTT sample (it is `rtt.latest()`).
    pub rtt_updated: bool,
    /// Bytes in flight before the event.
    pub prior_in_flight: u64,
    /// Bytes in flight after the event.
    pub bytes_in_flight: u64,
    /// Bytes newly acknowledged.
    pub acked_bytes: u64,
    /// Of those, bytes of packets sent after [`SendAlgorithm::recovery_start`].
    pub acked_bytes_for_growth: u64,
    /// When the newest of the acknowledged packets was sent.
    pub newest_acked_sent: Option<Time>,
    /// Bytes newly declared lost, path MTU probes excepted (RFC 9000 §14.4).
    pub lost_bytes: u64,
    /// When the newest of the lost packets was sent.
    pub newest_lost_sent: Option<Time>,
    /// Packets newly reported as marked CE, by a path that passed ECN validation.
    pub ce_count: u64,
    /// Packets newly reported as received with ECT(0) or ECT(1), likewise.
    pub ect_count: u64,
    /// What the newest acknowledged packet says of the path; `None` if none was acknowledged.
    pub rate_sample: Option<RateSample>,
    /// Bytes acknowledged on this path so far, this event's included.
    pub total_delivered: u64,
    /// Bytes declared lost on this path so far, this event's included.
    pub total_lost: u64,
    /// The acknowledged packets, by rising send time; empty unless
    /// [`SendAlgorithm::wants_packets`].
    pub acked: &'a [AckedPacket],
    /// The lost packets that `lost_bytes` counts, by rising send time; always filled.
    pub lost: &'a [LostPacket],
}

impl CongestionEvent<'_> {
    /// When the newest packet that signals congestion was sent: a lost one, or, for a CE mark, the
    /// newest acknowledged one (RFC 9002 §B.7).
    pub fn newest_congestion_signal(&self) -> Option<Time> {
        let marked = self.newest_acked_sent.filter(|_| self.ce_count > 0);
        self.newest_lost_sent.max(marked)
    }

    /// By how much the smoothed RTT exceeds the shortest.
    pub fn queueing_delay(&self) -> Duration {
        self.rtt.smoothed().saturating_sub(self.rtt.min())
    }

    /// The same event with nothing lost, for an algorithm that is not to know.
    #[must_use]
    pub fn without_losses(&self) -> Self {
        Self { lost_bytes: 0, newest_lost_sent: None, lost: &[], ..self.clone() }
    }
}

/// An acknowledged packet.
#[derive(Clone, Copy, Debug)]
pub struct AckedPacket {
    /// Its number, in its own space.
    pub packet_number: u64,
    /// Its size.
    pub bytes: u16,
    /// When it was sent.
    pub time_sent: Time,
    /// What had been delivered when it was sent.
    pub delivery: DeliveryState,
}

/// A lost packet.
#[derive(Clone, Copy, Debug)]
pub struct LostPacket {
    /// Its number, in its own space.
    pub packet_number: u64,
    /// Its size.
    pub bytes: u16,
    /// When it was sent.
    pub time_sent: Time,
    /// What had been delivered when it was sent.
    pub delivery: DeliveryState,
}

#[cfg(test)]
pub(crate) mod test_support {
    //! A path without a network: feeds an algorithm whole round trips.

    use std::time::Duration;

    use super::*;

    /// An algorithm, a clock and an RTT of 50 ms.
    #[derive(Debug)]
    pub(crate) struct Path<A> {
        pub(crate) algorithm: A,
        pub(crate) now: Time,
        pub(crate) rtt: RttEstimator,
    }

    impl<A: SendAlgorithm> Path<A> {
        pub(crate) const RTT: Duration = Duration::from_millis(50);

        pub(crate) fn new(algorithm: A) -> Self {
            let now = Time::from_millis(1000);
            let mut rtt = RttEstimator::new(Self::RTT);
            rtt.on_sample(now, Self::RTT, Duration::ZERO);
            Self { algorithm, now, rtt }
        }

        pub(crate) fn window(&self) -> u64 {
            self.algorithm.congestion_window()
        }

        pub(crate) fn advance_rtt(&mut self) {
            self.now += Self::RTT;
        }

        /// Sends a whole window, and acknowledges it in one ACK an RTT later.
        pub(crate) fn fill_and_ack(&mut self) {
            self.send_and_ack(self.window());
        }

        /// Sends `bytes` at once, and acknowledges them in one ACK an RTT later.
        pub(crate) fn send_and_ack(&mut self, bytes: u64) {
            let sent = self.now;
            self.algorithm.on_packet_sent(sent, bytes, 1200);
            self.advance_rtt();
            self.ack(bytes, sent);
        }

        pub(crate) fn ack(&mut self, bytes: u64, sent: Time) {
            let for_growth = if self.algorithm.in_recovery(sent) { 0 } else { bytes };
            self.event(|event| {
                event.prior_in_flight = bytes;
                event.acked_bytes = bytes;
                event.acked_bytes_for_growth = for_growth;
                event.newest_acked_sent = Some(sent);
                event.rtt_updated = true;
            });
        }

        /// As `ack`, and of the acknowledged packets so many were marked, and so many not.
        pub(crate) fn ack_marked(&mut self, bytes: u64, sent: Time, ce: u64, ect: u64) {
            self.event(|event| {
                event.acked_bytes = bytes;
                event.acked_bytes_for_growth = bytes;
                event.newest_acked_sent = Some(sent);
                (event.ce_count, event.ect_count) = (ce, ect);
            });
        }

        pub(crate) fn lose(&mut self, bytes: u64, sent: Time) {
            self.event(|event| {
                event.lost_bytes = bytes;
                event.newest_lost_sent = Some(sent);
            });
            self.end_recovery();
        }

        /// A packet sent since is acknowledged.
        fn end_recovery(&mut self) {
            self.now += Duration::from_nanos(1);
            let sent = self.now;
            self.event(|event| event.newest_acked_sent = Some(sent));
        }

        pub(crate) fn ce_mark(&mut self, bytes: u64) {
            let sent = self.now;
            self.advance_rtt();
            self.event(|event| {
                event.acked_bytes = bytes;
                event.newest_acked_sent = Some(sent);
                event.ce_count = 1;
            });
            self.end_recovery();
        }

        fn event(&mut self, fill: impl FnOnce(&mut CongestionEvent<'_>)) {
            let mut event = CongestionEvent {
                now: self.now,
                rtt: &self.rtt,
                rtt_updated: false,
                prior_in_flight: 0,
                bytes_in_flight: 0,
                acked_bytes: 0,
                acked_bytes_for_growth: 0,
                newest_acked_sent: None,
                lost_bytes: 0,
                newest_lost_sent: None,
                ce_count: 0,
                ect_count: 0,
                rate_sample: None,
                total_delivered: 0,
                total_lost: 0,
                acked: &[],
                lost: &[],
            };
            fill(&mut event);
            self.algorithm.on_congestion_event(&event);
        }
    }
}
