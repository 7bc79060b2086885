//! Delivery rate estimation (draft-cheng-iccrg-delivery-rate-estimation): what rate-based
//! algorithms steer by. Costs a few stores per packet, and knows nothing of windows.

use std::time::Duration;

use crate::congestion::Bandwidth;
use crate::time::Time;

/// What had been delivered when a packet was sent; kept with the packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryState {
    /// Bytes acknowledged on this path until then.
    pub delivered: u64,
    /// When the latest of them was acknowledged.
    pub delivered_time: Time,
    /// When the packet was sent whose acknowledgement that was.
    pub first_sent_time: Time,
    /// Bytes declared lost on this path until then.
    pub lost: u64,
    /// Bytes in flight, the packet's own included.
    pub tx_in_flight: u64,
    /// Whether the sender lacked data, so that a rate seen here says little about the path.
    pub is_app_limited: bool,
}

/// A measurement of the rate at which the path delivers: what happened between the sending of the
/// newest packet that an ACK frame acknowledges and that ACK frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    /// The rate; `None` if `interval` is too short to be believed.
    pub rate: Option<Bandwidth>,
    /// Bytes delivered over `interval`.
    pub delivered: u64,
    /// The longer of the time that they took to send and to be acknowledged.
    pub interval: Duration,
    /// Bytes that had been delivered when the sampled packet was sent.
    pub prior_delivered: u64,
    /// Bytes declared lost since the sampled packet was sent.
    pub lost: u64,
    /// Bytes in flight when it was sent, its own included.
    pub tx_in_flight: u64,
    /// Whether the sampled packet was sent while the application lacked data.
    pub is_app_limited: bool,
}

/// Counts deliveries on one path and derives [`RateSample`]s from them.
#[derive(Clone, Debug, Default)]
pub struct DeliveryTracker {
    delivered: u64,
    lost: u64,
    delivered_time: Time,
    first_sent_time: Time,
    /// Until so much is delivered, packets count as limited by the application; 0 if they do not.
    app_limited_until: u64,
    newest: Option<(DeliveryState, Time)>,
}

impl DeliveryTracker {
    /// The state to keep with a packet of `bytes` sent now, while `in_flight` others are.
    pub fn on_packet_sent(&mut self, now: Time, in_flight: u64, bytes: u16) -> DeliveryState {
        if in_flight == 0 {
            self.first_sent_time = now;
            self.delivered_time = now;
        }
        DeliveryState {
            delivered: self.delivered,
            delivered_time: self.delivered_time,
            first_sent_time: self.first_sent_time,
            lost: self.lost,
            tx_in_flight: in_flight + u64::from(bytes),
            is_app_limited: self.app_limited_until != 0,
        }
    }

    /// Packets of `bytes` together that were sent at the same time were acknowledged, the newest of
    /// them with this state. Packets of one ACK frame come in the order they were sent.
    pub fn on_packets_acked(&mut self, now: Time, sent: Time, bytes: u64, state: &DeliveryState) {
        self.delivered += bytes;
        self.delivered_time = now;
        let newer = |(newest, _): (DeliveryState, Time)| state.delivered >= newest.delivered;
        if self.newest.is_none_or(newer) {
            self.newest = Some((*state, sent));
            self.first_sent_time = sent;
        }
    }

    /// A packet was declared lost.
    pub fn on_packet_lost(&mut self, bytes: u16) {
        self.lost += u64::from(bytes);
    }

    /// The sample of the ACK frame whose packets were just reported, if there were any.
    pub fn take_sample(&mut self, min_rtt: Duration) -> Option<RateSample> {
        if self.app_limited_until != 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let (state, sent) = self.newest.take()?;
        let send_elapsed = sent - state.first_sent_time;
        let ack_elapsed = self.delivered_time - state.delivered_time;
        let interval = send_elapsed.max(ack_elapsed);
        // An interval below the shortest RTT comes from compressed ACKs: it would overestimate.
        let valid = interval >= min_rtt && !interval.is_zero();
        let delivered = self.delivered - state.delivered;
        Some(RateSample {
            rate: valid.then(|| Bandwidth::from_bytes_and_time(delivered, interval)),
            delivered,
            interval,
            prior_delivered: state.delivered,
            lost: self.lost - state.lost,
            tx_in_flight: state.tx_in_flight,
            is_app_limited: state.is_app_limited,
        })
    }

    /// The application has nothing more to send: what is in flight, and what follows until it is
    /// delivered, samples the application and not the path.
    pub fn on_application_limited(&mut self, bytes_in_flight: u64) {
        self.app_limited_until = (self.delivered + bytes_in_flight).max(1);
    }

    /// Bytes acknowledged so far on this path.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes declared lost so far on this path.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_steady_flow_is_measured_at_its_rate() {
        let mut tracker = DeliveryTracker::default();
        let sent: Vec<_> =
            (0..20).map(|i| (ms(i), tracker.on_packet_sent(ms(i), i * 1000, 1000))).collect();
        let mut rate = None;
        for (i, (time, state)) in sent.iter().enumerate() {
            let now = ms(100 + i as u64);
            tracker.on_packets_acked(now, *time, 1000, state);
            let sample = tracker.take_sample(Duration::from_millis(50));
            rate = sample.filter(|sample| sample.rate.is_some()).or(rate);
        }
        // 20 packets of 1000 bytes over 119 ms from the start of the flow to the last ACK
        let sample = rate.expect("samples are valid");
        assert_eq!(sample.delivered, 20_000);
        assert_eq!(sample.interval, Duration::from_millis(119));
    }

    #[test]
    fn packets_sent_while_the_application_lacks_data_are_marked() {
        let mut tracker = DeliveryTracker::default();
        tracker.on_application_limited(0);
        let state = tracker.on_packet_sent(ms(0), 0, 1000);
        assert!(state.is_app_limited);
        tracker.on_packets_acked(ms(10), ms(0), 1000, &state);
        let sample = tracker.take_sample(Duration::ZERO).expect("valid");
        assert!(sample.is_app_limited);
        assert!(!tracker.on_packet_sent(ms(11), 1000, 1000).is_app_limited);
    }
}
