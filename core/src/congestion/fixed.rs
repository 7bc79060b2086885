//! [`FixedWindow`]: a window that never moves. The null algorithm, for tests and private links.

use crate::congestion::{CongestionEvent, SendAlgorithm};
use crate::time::Time;

/// A constant congestion window; no reaction to anything.
///
/// Not for the open Internet: it does not yield to others.
#[derive(Clone, Debug)]
pub struct FixedWindow(u64);

impl FixedWindow {
    /// A window of `bytes`.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl SendAlgorithm for FixedWindow {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn on_congestion_event(&mut self, _event: &CongestionEvent<'_>) {}

    fn on_connection_migration(&mut self, _now: Time) {}

    fn on_max_datagram_size_changed(&mut self, _size: u16) {}

    fn congestion_window(&self) -> u64 {
        self.0
    }

    fn in_slow_start(&self) -> bool {
        false
    }
}
