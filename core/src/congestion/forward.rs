//! [`forward_send_algorithm!`](crate::forward_send_algorithm): what an algorithm that wraps another
//! does not change. It must not know who wraps what.

/// Writes the named methods of [`SendAlgorithm`](crate::congestion::SendAlgorithm), each of which
/// calls the one of the same name of a field: for an algorithm that wraps another and changes a few
/// things only. What is not named has to be written, or is the trait's default. Then it is the
/// *default* that runs, and not the wrapped algorithm's method: name what you do not write.
///
/// ```
/// use protoquic_core::congestion::{CongestionEvent, SendAlgorithm};
/// use protoquic_core::forward_send_algorithm;
///
/// /// Never more than so many bytes in flight, whatever the path could carry.
/// #[derive(Debug)]
/// struct AtMost {
///     bytes: u64,
///     inner: Box<dyn SendAlgorithm>,
/// }
///
/// impl SendAlgorithm for AtMost {
///     fn congestion_window(&self) -> u64 {
///         self.inner.congestion_window().min(self.bytes)
///     }
///
///     fn can_send(&self, bytes_in_flight: u64) -> bool {
///         bytes_in_flight < self.bytes && self.inner.can_send(bytes_in_flight)
///     }
///
///     forward_send_algorithm!(inner: name, ecn_codepoint, on_packet_sent, on_train_sent,
///         on_congestion_event, on_persistent_congestion, on_spurious_loss,
///         on_retransmission_timeout, on_connection_migration, on_application_limited,
///         on_max_datagram_size_changed, adopt_window, pacing_rate, bandwidth_estimate,
///         in_slow_start, slow_start_threshold, phase, recovery_start, in_recovery,
///         wants_packets);
/// }
///
/// # use protoquic_core::congestion::NewReno;
/// let algorithm = AtMost { bytes: 5000, inner: Box::new(NewReno::new(1200)) };
/// assert_eq!((algorithm.name(), algorithm.congestion_window()), ("new_reno", 5000));
/// ```
#[macro_export]
macro_rules! forward_send_algorithm {
    (@name $to:ident) => {
        fn name(&self) -> &'static str {
            self.$to.name()
        }
    };
    (@ecn_codepoint $to:ident) => {
        fn ecn_codepoint(&self) -> $crate::types::Ecn {
            self.$to.ecn_codepoint()
        }
    };
    (@on_packet_sent $to:ident) => {
        fn on_packet_sent(&mut self, now: $crate::time::Time, bytes_in_flight: u64, bytes: u16) {
            self.$to.on_packet_sent(now, bytes_in_flight, bytes);
        }
    };
    (@on_train_sent $to:ident) => {
        fn on_train_sent(
            &mut self,
            now: $crate::time::Time,
            bytes_in_flight: u64,
            bytes: u16,
            count: u32,
        ) {
            self.$to.on_train_sent(now, bytes_in_flight, bytes, count);
        }
    };
    (@on_congestion_event $to:ident) => {
        fn on_congestion_event(&mut self, event: &$crate::congestion::CongestionEvent<'_>) {
            self.$to.on_congestion_event(event);
        }
    };
    (@on_persistent_congestion $to:ident) => {
        fn on_persistent_congestion(&mut self, now: $crate::time::Time) {
            self.$to.on_persistent_congestion(now);
        }
    };
    (@on_spurious_loss $to:ident) => {
        fn on_spurious_loss(&mut self, now: $crate::time::Time) {
            self.$to.on_spurious_loss(now);
        }
    };
    (@on_retransmission_timeout $to:ident) => {
        fn on_retransmission_timeout(&mut self, now: $crate::time::Time) {
            self.$to.on_retransmission_timeout(now);
        }
    };
    (@on_connection_migration $to:ident) => {
        fn on_connection_migration(&mut self, now: $crate::time::Time) {
            self.$to.on_connection_migration(now);
        }
    };
    (@on_application_limited $to:ident) => {
        fn on_application_limited(&mut self, bytes_in_flight: u64) {
            self.$to.on_application_limited(bytes_in_flight);
        }
    };
    (@on_max_datagram_size_changed $to:ident) => {
        fn on_max_datagram_size_changed(&mut self, size: u16) {
            self.$to.on_max_datagram_size_changed(size);
        }
    };
    (@adopt_window $to:ident) => {
        fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
            self.$to.adopt_window(window, slow_start_threshold);
        }
    };
    (@congestion_window $to:ident) => {
        fn congestion_window(&self) -> u64 {
            self.$to.congestion_window()
        }
    };
    (@can_send $to:ident) => {
        fn can_send(&self, bytes_in_flight: u64) -> bool {
            self.$to.can_send(bytes_in_flight)
        }
    };
    (@pacing_rate $to:ident) => {
        fn pacing_rate(&self) -> Option<$crate::congestion::Bandwidth> {
            self.$to.pacing_rate()
        }
    };
    (@bandwidth_estimate $to:ident) => {
        fn bandwidth_estimate(&self) -> Option<$crate::congestion::Bandwidth> {
            self.$to.bandwidth_estimate()
        }
    };
    (@in_slow_start $to:ident) => {
        fn in_slow_start(&self) -> bool {
            self.$to.in_slow_start()
        }
    };
    (@slow_start_threshold $to:ident) => {
        fn slow_start_threshold(&self) -> Option<u64> {
            self.$to.slow_start_threshold()
        }
    };
    (@phase $to:ident) => {
        fn phase(&self) -> &'static str {
            self.$to.phase()
        }
    };
    (@recovery_start $to:ident) => {
        fn recovery_start(&self) -> Option<$crate::time::Time> {
            self.$to.recovery_start()
        }
    };
    (@in_recovery $to:ident) => {
        fn in_recovery(&self, sent: $crate::time::Time) -> bool {
            self.$to.in_recovery(sent)
        }
    };
    (@wants_packets $to:ident) => {
        fn wants_packets(&self) -> bool {
            self.$to.wants_packets()
        }
    };
    ($to:ident: $($method:ident),+ $(,)?) => {
        $($crate::forward_send_algorithm!(@$method $to);)+
    };
}
