//! [`Counters`]: what a worker shows of its counters to other threads. It is written by one thread,
//! at the end of a turn; readers may see a turn's counters half old.

use std::sync::atomic::{AtomicU64, Ordering};

use protoquic::dispatcher::DispatcherStats;

/// Alone in its cache lines, so that workers do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters([AtomicU64; 9]);

impl Counters {
    pub(super) fn write(&self, stats: &DispatcherStats) {
        let values = [
            stats.sessions_created,
            stats.sessions as u64,
            stats.handshaking as u64,
            stats.buffered as u64,
            stats.time_wait as u64,
            stats.dropped,
            stats.handed_over,
            stats.hand_over_drops,
            stats.taken_over,
        ];
        for (shown, value) in self.0.iter().zip(values) {
            shown.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> DispatcherStats {
        let [created, sessions, handshaking, buffered, time_wait, dropped, over, lost, taken] =
            self.0.each_ref().map(|shown| shown.load(Ordering::Relaxed));
        DispatcherStats {
            sessions_created: created,
            sessions: sessions as usize,
            handshaking: handshaking as usize,
            buffered: buffered as usize,
            time_wait: time_wait as usize,
            dropped,
            handed_over: over,
            hand_over_drops: lost,
            taken_over: taken,
        }
    }
}
