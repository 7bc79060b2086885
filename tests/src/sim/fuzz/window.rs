//! [`Watched`]: a congestion controller that looks whether its window is kept: beyond it only the
//! probes go that a probe timeout allows (RFC 9002 §7.5). This file must not know how windows are
//! computed.

use std::sync::Arc;

use protoquic::Time;
use protoquic::congestion::{AlgorithmParams, SendAlgorithm, SendAlgorithmFactory};
use protoquic::forward_send_algorithm;

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
    fn on_packet_sent(&mut self, now: Time, bytes_in_flight: u64, bytes: u16) {
        let window = self.inner.congestion_window();
        if bytes_in_flight > window {
            let from = if self.probes > 0 { &mut self.probes } else { &mut self.spare };
            assert!(*from > 0, "{bytes_in_flight} in flight, the window is {window}");
            *from -= 1;
        }
        self.inner.on_packet_sent(now, bytes_in_flight, bytes);
    }

    fn on_retransmission_timeout(&mut self, now: Time) {
        self.probes = PROBES;
        self.inner.on_retransmission_timeout(now);
    }

    forward_send_algorithm!(inner: name, ecn_codepoint, on_congestion_event,
        on_persistent_congestion, on_spurious_loss, on_connection_migration,
        on_application_limited, on_max_datagram_size_changed, adopt_window, congestion_window,
        can_send, pacing_rate, bandwidth_estimate, in_slow_start, slow_start_threshold, phase,
        recovery_start, in_recovery, wants_packets);
}

/// Packets for each probe timeout: two datagrams (RFC 9002 §6.2.4), in the handshake with packets
/// of three spaces each.
const PROBES: u64 = 6;
/// So many more in the life of a path. In the handshake some probes go before their time (RFC 9002
/// §6.2.3), a client's ACK of Initial packets is padded (RFC 9000 §14.1), and its last messages do
/// not wait for a window that early data has filled. A path may also begin with a probe that was
/// due on another.
const SPARE: u64 = 14;
