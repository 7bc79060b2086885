//! Transport settings for quinn, chosen so that nothing but quinn's own work limits it.
//!
//! Windows well over the bandwidth-delay product of a loopback link, so that flow
//! control never stops a sender, as quinn's documentation of `TransportConfig` asks.

use std::sync::Arc;
use std::time::Duration;

use protoquic_perf_kit::{CONNECTION_WINDOW, STREAM_WINDOW};
use quinn::{AckFrequencyConfig, MtuDiscoveryConfig, TransportConfig, VarInt};

/// UDP payload that fits Ethernet over IPv6, quinn's own upper bound for discovery.
const ETHERNET_PAYLOAD: u16 = 1452;

/// Bidirectional streams the peer may have open at once. quinn makes an entry for each of them when
/// a connection begins: as many as other stacks are given would cost it handshakes and memory.
const STREAMS: u32 = 256;

/// Unidirectional ones: HTTP/3's few.
const UNI_STREAMS: u32 = 16;

/// The settings of every quinn endpoint here.
///
/// `ack_frequency` asks the peer for fewer acknowledgements (draft-ietf-quic-ack-frequency);
/// `initial_mtu` is the UDP payload assumed to fit before discovery, 1200 to 65527.
pub fn transport(ack_frequency: bool, initial_mtu: Option<u16>) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_idle_timeout(Some(VarInt::from_u32(30_000).into()))
        .initial_rtt(Duration::from_millis(100));
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(ETHERNET_PAYLOAD.max(initial_mtu.unwrap_or(0)));
    config.mtu_discovery_config(Some(discovery));
    if let Some(mtu) = initial_mtu {
        config.initial_mtu(mtu);
    }
    if ack_frequency {
        let mut frequency = AckFrequencyConfig::default();
        frequency.ack_eliciting_threshold(VarInt::from_u32(10));
        config.ack_frequency_config(Some(frequency));
    }
    Arc::new(config)
}
