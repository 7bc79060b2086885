//! [`HystartPlusPlus`]: leaving slow start when the RTT rises, before packets are lost (RFC 9406).

use std::time::Duration;

use crate::time::Time;

/// Watches the RTT of each round trip of slow start (RFC 9406 §4.2).
///
/// A round trip ends when a packet is acknowledged that was sent after the round trip began.
#[derive(Clone, Debug)]
pub struct HystartPlusPlus {
    round_start: Time,
    last_min_rtt: Duration,
    current_min_rtt: Duration,
    samples: u32,
    conservative: Option<Conservative>,
}

/// Conservative slow start: growing slowly while it is found out whether the RTT really rose.
#[derive(Clone, Copy, Debug)]
struct Conservative {
    baseline_min_rtt: Duration,
    rounds: u32,
}

// RFC 9406 §4.3
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;

impl Default for HystartPlusPlus {
    fn default() -> Self {
        Self {
            round_start: Time::ZERO,
            last_min_rtt: Duration::MAX,
            current_min_rtt: Duration::MAX,
            samples: 0,
            conservative: None,
        }
    }
}

impl HystartPlusPlus {
    /// An ACK in slow start whose newest packet was sent at `sent`, with its RTT sample if it
    /// brought one. Returns whether slow start is over.
    pub fn on_ack(&mut self, now: Time, sent: Time, sample: Option<Duration>) -> bool {
        if let Some(sample) = sample {
            self.current_min_rtt = self.current_min_rtt.min(sample);
            self.samples += 1;
        }
        self.judge_rtt();
        sent > self.round_start && self.end_round(now)
    }

    /// By how much the window grows when `acked` bytes are acknowledged.
    pub fn growth(&self, acked: u64) -> u64 {
        match self.conservative {
            Some(_) => acked / CSS_GROWTH_DIVISOR,
            None => acked,
        }
    }

    fn judge_rtt(&mut self) {
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        if let Some(css) = self.conservative {
            if self.current_min_rtt < css.baseline_min_rtt {
                self.conservative = None; // the rise was spurious: slow start resumes
            }
        } else if self.last_min_rtt != Duration::MAX {
            let threshold =
                (self.last_min_rtt / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
            if self.current_min_rtt >= self.last_min_rtt + threshold {
                self.conservative =
                    Some(Conservative { baseline_min_rtt: self.current_min_rtt, rounds: 0 });
            }
        }
    }

    fn end_round(&mut self, now: Time) -> bool {
        self.round_start = now;
        self.last_min_rtt = self.current_min_rtt;
        self.current_min_rtt = Duration::MAX;
        self.samples = 0;
        self.conservative.as_mut().is_some_and(|css| {
            css.rounds += 1;
            css.rounds >= CSS_ROUNDS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One round trip of ten ACKs, all with this RTT. Returns whether slow start is over.
    fn round(hystart: &mut HystartPlusPlus, now: &mut Time, rtt_ms: u64) -> bool {
        let rtt = Duration::from_millis(rtt_ms);
        let sent = *now + Duration::from_millis(1);
        *now += rtt + Duration::from_millis(1);
        let start = hystart.round_start;
        (0..10).fold(false, |over, i| {
            let sent = if i == 9 { sent } else { start };
            hystart.on_ack(*now, sent, Some(rtt)) || over
        })
    }

    #[test]
    fn a_steady_rtt_keeps_slow_start() {
        let (mut hystart, mut now) = (HystartPlusPlus::default(), Time::from_millis(1));
        assert!((0..50).all(|_| !round(&mut hystart, &mut now, 40)));
        assert_eq!(hystart.growth(1000), 1000);
    }

    #[test]
    fn a_risen_rtt_slows_growth_and_ends_slow_start_after_five_rounds() {
        let (mut hystart, mut now) = (HystartPlusPlus::default(), Time::from_millis(1));
        round(&mut hystart, &mut now, 40);
        let over: Vec<_> = (0..5).map(|_| round(&mut hystart, &mut now, 46)).collect();
        assert_eq!(hystart.growth(1000), 250);
        assert_eq!(over, [false, false, false, false, true]);
    }

    #[test]
    fn a_spurious_rise_returns_to_slow_start() {
        let (mut hystart, mut now) = (HystartPlusPlus::default(), Time::from_millis(1));
        round(&mut hystart, &mut now, 40);
        round(&mut hystart, &mut now, 50);
        assert_eq!(hystart.growth(1000), 250);
        round(&mut hystart, &mut now, 41);
        assert_eq!(hystart.growth(1000), 1000);
    }
}
