//! [`Prr`]: proportional rate reduction (RFC 9937, formerly RFC 6937bis): during a recovery period
//! the flight shrinks to the slow start threshold ACK by ACK, instead of pausing until half of it
//! is gone. It must not know why the window was reduced.

use crate::congestion::CongestionEvent;

/// One recovery period of a window-based algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Prr {
    /// ssthresh: what should be in flight at the end.
    target: u64,
    /// RecoverFS: what was in flight at the beginning.
    initial_flight: u64,
    /// prr_delivered: bytes acknowledged since.
    delivered: u64,
    /// prr_out: bytes sent since.
    sent: u64,
    window: u64,
}

impl Prr {
    /// A recovery period begins with `event`, after which `target` bytes should be in flight.
    pub fn new(target: u64, event: &CongestionEvent<'_>, max_datagram_size: u16) -> Self {
        let initial_flight = event.prior_in_flight.max(1);
        let mut prr = Self { target, initial_flight, delivered: 0, sent: 0, window: 0 };
        prr.on_congestion_event(event, max_datagram_size);
        prr
    }

    /// A packet of `bytes` was sent in the recovery period.
    pub const fn on_packet_sent(&mut self, bytes: u16) {
        self.sent += bytes as u64;
    }

    /// Bytes were acknowledged, lost, or both, in the recovery period.
    pub fn on_congestion_event(&mut self, event: &CongestionEvent<'_>, max_datagram_size: u16) {
        let (datagram, in_flight) = (u64::from(max_datagram_size), event.bytes_in_flight);
        self.delivered += event.acked_bytes;
        let mut quota = if in_flight > self.target {
            // In proportion: over the whole period as much leaves as the target is of the flight.
            let share = u128::from(self.delivered) * u128::from(self.target);
            let share = share.div_ceil(u128::from(self.initial_flight));
            u64::try_from(share).unwrap_or(u64::MAX).saturating_sub(self.sent)
        } else {
            // More was lost than the reduction asked for: as slow start does, back to the target,
            // and a packet per ACK slower while losses go on.
            let mut quota = self.delivered.saturating_sub(self.sent).max(event.acked_bytes);
            if event.acked_bytes > 0 && event.lost_bytes == 0 {
                quota += datagram;
            }
            quota.min(self.target - in_flight)
        };
        if self.sent == 0 {
            quota = quota.max(datagram); // the first retransmission never waits
        }
        self.window = in_flight.saturating_add(quota);
    }

    /// How many bytes may be in flight now.
    pub const fn window(&self) -> u64 {
        self.window
    }
}
