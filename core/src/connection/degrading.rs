//! [`PathMonitor`]: notices that a path does not get through any more, before the connection is
//! lost over it (Chromium: path degrading). And [`QuietProbe`]: shows a NAT and the server that a
//! client which only listens is still there. This file must not know what is done about either.

use std::time::Duration;

use crate::time::Time;

/// Whether the path in use gets through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathMonitor {
    degrading: bool,
}

impl PathMonitor {
    /// So many probe timeouts have expired in a row. Returns whether the path counts as degrading
    /// from now on.
    pub(super) fn on_timeouts(&mut self, in_a_row: u32, enough: u32) -> bool {
        in_a_row >= enough && !std::mem::replace(&mut self.degrading, true)
    }

    /// The peer has acknowledged something. Returns whether the path has just recovered.
    pub(super) fn on_progress(&mut self) -> bool {
        std::mem::take(&mut self.degrading)
    }

    /// Another path is in use: nothing is known of it.
    pub(super) fn reset(&mut self) {
        self.degrading = false;
    }
}

/// Data that stops coming, with more to come: perhaps a NAT has forgotten the client, and its
/// server, which knows the old binding only, cannot tell. One PING shows the new one; if it is
/// lost, probe timeouts repeat it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuietProbe {
    last_data: Option<Time>,
}

impl QuietProbe {
    /// Data came.
    pub(super) fn on_data(&mut self, now: Time) {
        self.last_data = Some(now);
    }

    pub(super) fn deadline(&self, pto: Duration) -> Option<Time> {
        self.last_data.map(|last| last + QUIET_PTOS * pto)
    }

    /// It has been quiet for so long. Nothing more is due until data has come again.
    pub(super) fn on_deadline(&mut self) {
        self.last_data = None;
    }
}

/// After so many probe timeouts without data a client shows itself. A server that probes has done
/// so by then.
const QUIET_PTOS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_degrades_once_until_it_recovers() {
        let mut monitor = PathMonitor::default();
        assert!(!monitor.on_progress() && !monitor.on_timeouts(1, 2));
        assert!(monitor.on_timeouts(2, 2) && !monitor.on_timeouts(3, 2));
        assert!(monitor.on_progress() && !monitor.on_progress());
        assert!(monitor.on_timeouts(2, 2));
    }

    #[test]
    fn a_quiet_server_is_probed_once() {
        let mut quiet = QuietProbe::default();
        quiet.on_data(Time::from_millis(100));
        assert_eq!(quiet.deadline(Duration::from_millis(10)), Some(Time::from_millis(120)));
        quiet.on_deadline();
        assert_eq!(quiet.deadline(Duration::from_millis(10)), None);
    }
}
