//! What a run has cost this process.

use std::time::Duration;

/// Processor time and memory of this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on the processor, for itself and in system calls.
    pub cpu: Duration,
    /// The most memory it held at a time, in bytes.
    pub peak_memory: u64,
}

impl Usage {
    /// Up to now; all zero where the system does not tell.
    #[cfg(unix)]
    pub fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Self::default() };
        let micros = |time: nix::sys::time::TimeVal| {
            let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        Self {
            cpu: micros(usage.user_time()) + micros(usage.system_time()),
            peak_memory: u64::try_from(usage.max_rss()).unwrap_or(0) * unit,
        }
    }

    /// Up to now; all zero where the system does not tell.
    #[cfg(not(unix))]
    pub fn now() -> Self {
        Self::default()
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.peak_memory as f64 / 1e6;
        write!(f, "{:.3} s of processor time, {megabytes:.1} MB at most", self.cpu.as_secs_f64())
    }
}
