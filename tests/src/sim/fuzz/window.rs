//! [`Watched`]: a congestion controller that looks whether its window is kept: beyond it only the
//! probes go that a probe timeout allows (RFC 9002 §7.5). This file must not know how windows are
//! computed.

use std::sync::Arc;

use protoquic::congestion::{
    AlgorithmParams, Bandwidth, CongestionEvent, SendAlgorithm, SendAlgorithmFactory,
};
use protoquic::{Ecn, Time};

/// Makes a controller of this kind, and has it watched.
#[derive(Clone, Debug)]
pub(super) struct Watched(pub(super) Arc<dyn SendAlgorithmFactory>);

impl SendAlgorithmFactory for Watched {
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        Box::new(Watchful { inner: self.0.create(params), probes: 0, spare: SPARE })
    }
}

#[derive(Debug)]
struct Watchful {
    inner: Box<dyn SendAlgorithm>,
    /// How many packets the latest probe timeout still lets go beyond the window.
    probes: u64,
    /// How many more may in all.
    spare: u64,
}

impl SendAlgorithm for Watchful {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn ecn_codepoint(&self) -> Ecn {
        self.inner.ecn_codepoint()
    }

    fn adopt_window(&mut self, window: u64, slow_start_threshold: Option<u64>) {
        self.inner.adopt_window(window, slow_start_threshold);
    }

    fn on_packet_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16) {
        let window = self.inner.congestion_window();
        if bytes_in_flight > window {
            let from = if self.probes > 0 { &mut self.probes } else { &mut self.spare };
            assert!(*from > 0, "{bytes_in_flight} in flight, the window is {window}");
            *from -= 1;
        }
        self.inner.on_packet_sent(now, bytes_in_flight, bytes);
    }

    fn on_congestion_event(&mut self, event: &CongestionEvent<'_>) {
        self.inner.on_congestion_event(event);
    }

    fn on_persistent_congestion(&mut self, now: Time) {
        self.inner.on_persistent_congestion(now);
    }

    fn on_spurious_loss(&mut self, now: Time) {
        self.inner.on_spurious_loss(now);
    }

    fn on_retransmission_timeout(&mut self, now: Time) {
        self.probes = PROBES;
        self.inner.on_retransmission_timeout(now);
    }

    fn on_connection_migration(&mut self, now: Time) {
        self.inner.on_connection_migration(now);
    }

    fn on_application_limited(&mut self, bytes_in_flight: u64) {
        self.inner.on_application_limited(bytes_in_flight);
    }

    fn on_max_datagram_size_changed(&mut self, size: u16) {
        self.inner.on_max_datagram_size_changed(size);
    }

    fn congestion_window(&self) -> u64 {
        self.inner.congestion_window()
    }

    fn can_send(&self, bytes_in_flight: u64) -> bool {
        self.inner.can_send(bytes_in_flight)
    }

    fn pacing_rate(&self) -> Option<Bandwidth> {
        self.inner.pacing_rate()
    }

    fn bandwidth_estimate(&self) -> Option<Bandwidth> {
        self.inner.bandwidth_estimate()
    }

    fn in_slow_start(&self) -> bool {
        self.inner.in_slow_start()
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        self.inner.slow_start_threshold()
    }

    fn phase(&self) -> &'static str {
        self.inner.phase()
    }

    fn recovery_start(&self) -> Option<Time> {
        self.inner.recovery_start()
    }

    fn in_recovery(&self, sent: Time) -> bool {
        self.inner.in_recovery(sent)
    }

    fn wants_packets(&self) -> bool {
        self.inner.wants_packets()
    }
}

/// Packets for each probe timeout: two datagrams (RFC 9002 §6.2.4), in the handshake with packets
/// of three spaces each.
const PROBES: u64 = 6;
/// So many more in the life of a path. In the handshake some probes go before their time (RFC 9002
/// §6.2.3), a client's ACK of Initial packets is padded (RFC 9000 §14.1), and its last messages do
/// not wait for a window that early data has filled. A path may also begin with a probe that was
/// due on another.
const SPARE: u64 = 14;
