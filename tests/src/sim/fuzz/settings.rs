//! Draws the two ends' settings of a plan. This file must not know the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protoquic::congestion::{
    CarefulResumeFactory, CongestionControl, LossTolerance, LossTolerantFactory, SavedParameters,
    SendAlgorithmFactory,
};
use protoquic::connection::{Config, DatagramConfig, PreferredAddresses};
use protoquic::crypto::AntiReplay;
use protoquic::wire::Version;
use protoquic::{EarlyDataGuard, MemorySessionCache, Time};

use super::super::dice::Dice;
use super::lines::magnitude;
use super::plan::millis;
use super::window::Watched;

pub(super) fn server_config(ipv6: bool, big: bool, rtt: Duration, dice: &mut Dice) -> Config {
    let mut config = config(big, rtt, dice);
    config.early_data = dice.chance(0.8);
    config.disable_active_migration = dice.chance(0.1);
    if dice.chance(0.3) {
        config.early_data_guard = Arc::new(EarlyDataGuard::new(Box::new(Fickle::default())));
    }
    if dice.chance(0.25) {
        config.preferred_address = if ipv6 {
            let ipv6 = "[fd02:1::1]:4443".parse().ok();
            PreferredAddresses { ipv6, ..PreferredAddresses::default() }
        } else {
            let ipv4 = "198.51.100.1:4443".parse().ok();
            PreferredAddresses { ipv4, ..PreferredAddresses::default() }
        };
    }
    if dice.chance(0.3) {
        config.preferred_versions = vec![Version::V2, Version::V1];
    }
    config
}

pub(super) fn client_config(big: bool, rtt: Duration, dice: &mut Dice) -> Config {
    let mut config = config(big, rtt, dice);
    config.client_connection_id_length = *dice.pick(&[0, 4, 8, 8, 20]);
    config.follow_preferred_address = dice.chance(0.8);
    config.early_data = dice.chance(0.9);
    config.session_cache = Some(Arc::new(MemorySessionCache::new()));
    (config.versions, config.preferred_versions) = match dice.below(6) {
        0 => (vec![Version::V2, Version::V1], vec![]),
        1 => (vec![Version::V1, Version::V2], vec![Version::V2]),
        2 => (vec![Version::V1], vec![]),
        _ => (Version::SUPPORTED.to_vec(), vec![]),
    };
    config
}

/// A congestion controller; one in four begins with what it claims to know of the path, which may
/// have changed since, and one in six takes some losses for none.
fn congestion(rtt: Duration, dice: &mut Dice) -> Arc<dyn SendAlgorithmFactory> {
    let mut inner: Arc<dyn SendAlgorithmFactory> = Arc::new(*dice.pick(&CONTROLLERS));
    let percent = dice.between(1, 20) as u8;
    if let Some(tolerance) = LossTolerance::from_percent(percent).filter(|_| dice.chance(0.17)) {
        inner = Arc::new(LossTolerantFactory { inner, tolerance });
    }
    if !dice.chance(0.25) {
        return inner;
    }
    let rtt = if dice.chance(0.7) { rtt } else { millis(dice.between(1, 400)) };
    let window = magnitude(dice, 10_000.0, 5_000_000.0) as u64;
    Arc::new(CarefulResumeFactory { inner, saved: SavedParameters { window, rtt } })
}

fn config(big: bool, rtt: Duration, dice: &mut Dice) -> Config {
    let mut config = Config {
        // Failures must come from faults, not from impatience.
        idle_timeout: Duration::from_mins(2),
        handshake_timeout: Duration::from_mins(2),
        ack_threshold: dice.between(2, 20) as u8,
        ack_frequency: !dice.chance(0.3),
        max_ack_delay: millis(dice.between(1, 40)),
        active_connection_id_limit: dice.between(2, 8),
        pacing: !dice.chance(0.1),
        ecn: !dice.chance(0.2),
        grease: !dice.chance(0.2),
        max_packet_size: *dice.pick(&[1200, 1452, 1452, 4000]),
        congestion: Arc::new(Watched(congestion(rtt, dice))),
        reset_stream_at: dice.chance(0.85),
        datagrams: DatagramConfig { max_frame_size: 65_535, ..DatagramConfig::default() },
        ..Config::default()
    };
    if dice.chance(0.5) && !big {
        config.streams.max_streams_bidi = dice.between(1, 5);
        config.streams.max_streams_uni = dice.between(1, 5);
        config.streams.max_data = dice.between(2_000, 200_000);
        config.streams.max_stream_data_bidi_local = dice.between(1_000, 100_000);
        config.streams.max_stream_data_bidi_remote = dice.between(1_000, 100_000);
        config.streams.max_stream_data_uni = dice.between(1_000, 100_000);
        config.streams.send_buffer = dice.between(100, 50_000) as usize;
    }
    config
}

/// Takes the early data of the first client, and of every second after it, for a replay.
#[derive(Debug, Default)]
struct Fickle(AtomicU64);

impl AntiReplay for Fickle {
    fn admit(&self, _now: Time, _client_random: &[u8; 32]) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }
}

const CONTROLLERS: [CongestionControl; 5] = [
    CongestionControl::NewReno,
    CongestionControl::Cubic,
    CongestionControl::CubicStrict,
    CongestionControl::Bbr,
    CongestionControl::Prague,
];
