//! [`AckFrequency`]: what we ask of the peer's acknowledgements, and what the peer asks of ours
//! (draft-ietf-quic-ack-frequency). In bulk, a few ACKs in each round trip are enough; each costs
//! both ends a packet. This file must not know how received packets are kept.

use std::time::Duration;

use super::Connection;
use super::packet_builder::PacketBuilder;
use super::sent::SentFrame;
use crate::error::TransportError;
use crate::rare::{Blank, Rare};
use crate::recovery::{AckRequest, PACKET_THRESHOLD};
use crate::types::Space;
use crate::wire::{AckFrequencyFrame, Frame};

/// Our requests, and the newest of the peer's.
#[derive(Debug)]
pub(super) struct AckFrequency {
    /// What the peer delays its ACKs by at least; `None` until it says that it takes requests.
    peer_min: Option<Duration>,
    peer_delay: Duration,
    /// The longest delay that may hold: of the last acknowledged request and of all after it.
    ceiling: Duration,
    /// Of requests: only bulk data makes them.
    asked: Rare<Asked>,
}

/// The requests of a connection.
#[derive(Debug, Default)]
struct Asked {
    next_sequence: u64,
    /// What was asked for last.
    newest: Option<Request>,
    /// What is to be asked for next.
    due: Option<Request>,
    /// The newest request that the peer is known to have; its delay holds since.
    acked: Option<u64>,
    /// The sequence number of the newest request of the peer's.
    processed: Option<u64>,
}

impl Blank for Asked {
    const BLANK: &'static Self =
        &Self { next_sequence: 0, newest: None, due: None, acked: None, processed: None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    threshold: u64,
    delay: Duration,
}

impl AckFrequency {
    pub(super) const fn new() -> Self {
        Self {
            peer_min: None,
            peer_delay: Duration::ZERO,
            ceiling: Duration::ZERO,
            asked: Rare::NONE,
        }
    }

    /// The peer takes requests, and delays its ACKs by `max_delay` until it gets one.
    pub(super) const fn enable(&mut self, peer_min: Duration, max_delay: Duration) {
        self.peer_min = Some(peer_min);
        self.peer_delay = max_delay;
        self.ceiling = max_delay;
    }

    pub(super) const fn is_enabled(&self) -> bool {
        self.peer_min.is_some()
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.asked.due.is_some()
    }

    /// The window or the round trip changed: whether another frequency is worth a frame.
    fn consider(&mut self, window: u64, packet_size: u64, rtt: Duration) {
        let Some(peer_min) = self.peer_min else { return };
        let packets = window / packet_size.max(1);
        if self.asked.newest.is_none() && packets < BULK_WINDOW {
            return; // the peer's own policy is good enough for little
        }
        let wanted = Request {
            threshold: (packets / ACKS_PER_WINDOW).clamp(1, MAX_THRESHOLD),
            delay: (rtt / ACKS_PER_RTT).clamp(MIN_DELAY, MAX_DELAY).max(peer_min),
        };
        let known = self.asked.newest.is_some_and(|newest| {
            similar(newest.threshold, wanted.threshold)
                && similar(newest.delay.as_micros() as u64, wanted.delay.as_micros() as u64)
        });
        // One at a time.
        if !known && self.asked.acked.map_or(0, |acked| acked + 1) == self.asked.next_sequence {
            self.asked.due = Some(wanted);
        }
    }

    fn on_sent(&mut self, request: Request) -> u64 {
        // While it is not acknowledged, the longer delay holds.
        self.ceiling = self.ceiling.max(request.delay);
        self.asked.newest = Some(request);
        self.asked.due = None;
        self.asked.next_sequence += 1;
        self.asked.next_sequence - 1
    }

    pub(super) fn on_acked(&mut self, sequence: u64) {
        if self.asked.acked.is_none_or(|acked| sequence > acked)
            && let Some(newest) = self.asked.newest
            && sequence + 1 == self.asked.next_sequence
        {
            self.asked.acked = Some(sequence);
            self.peer_delay = newest.delay;
            self.ceiling = newest.delay;
        }
    }

    pub(super) fn on_lost(&mut self, sequence: u64) {
        if sequence + 1 == self.asked.next_sequence && self.asked.acked != Some(sequence) {
            self.asked.due = self.asked.due.or(self.asked.newest);
        }
    }

    /// Whether a request of the peer's is news.
    fn is_news(&mut self, sequence: u64) -> bool {
        let news = self.asked.processed.is_none_or(|processed| sequence > processed);
        self.asked.processed = self.asked.processed.max(Some(sequence));
        news
    }
}

impl Connection {
    /// ACK_FREQUENCY (§4 of the draft).
    pub(super) fn on_ack_frequency(
        &mut self,
        frame: &AckFrequencyFrame,
    ) -> Result<(), TransportError> {
        self.check_ack_frequency()?;
        // "Receipt of an invalid value MUST be treated as a connection error of type
        // PROTOCOL_VIOLATION."
        let delay = Duration::from_micros(frame.max_ack_delay);
        if delay < MIN_ACK_DELAY || delay >= INVALID_DELAY {
            return Err(TransportError::protocol_violation(format!(
                "a delay of {delay:?} for acknowledgements"
            )));
        }
        // "MUST ignore [...] unless the Sequence Number value in the frame is greater"
        if self.ack_frequency.is_news(frame.sequence) {
            self.spaces[Space::Application as usize].acks.set_request(AckRequest {
                threshold: frame.threshold,
                max_ack_delay: delay,
                reordering: frame.reordering,
            });
        }
        Ok(())
    }

    /// IMMEDIATE_ACK (§5 of the draft).
    pub(super) fn on_immediate_ack(&mut self) -> Result<(), TransportError> {
        self.check_ack_frequency()?;
        self.spaces[Space::Application as usize].acks.request_now();
        Ok(())
    }

    /// A peer to which we have not sent min_ack_delay does not know these frames from us.
    fn check_ack_frequency(&self) -> Result<(), TransportError> {
        if self.config.ack_frequency {
            return Ok(());
        }
        Err(TransportError::frame_encoding("ACK frequency was not offered"))
    }

    /// After an ACK: the delay that the peer's ACKs have now, and what to ask of it next.
    pub(super) fn update_ack_frequency(&mut self) {
        if !self.ack_frequency.is_enabled() || !self.handshake_confirmed {
            return;
        }
        self.recovery.set_max_ack_delay(self.ack_frequency.ceiling);
        let window = self.recovery.algorithm().congestion_window();
        let rtt = self.recovery.rtt().smoothed();
        self.ack_frequency.consider(window, self.mtu.current() as u64, rtt);
    }

    pub(super) fn write_ack_frequency(&mut self, builder: &mut PacketBuilder<'_>) {
        let Some(request) = self.ack_frequency.asked.due else { return };
        if builder.remaining() < MAX_FRAME_LEN {
            return;
        }
        let sequence = self.ack_frequency.on_sent(request);
        let frame = Frame::AckFrequency(AckFrequencyFrame {
            sequence,
            threshold: request.threshold,
            max_ack_delay: request.delay.as_micros() as u64,
            reordering: PACKET_THRESHOLD,
        });
        builder.frame(&frame, Some(SentFrame::AckFrequency { sequence }));
        self.recovery.set_max_ack_delay(self.ack_frequency.ceiling);
    }

    /// What a probe holds that has nothing else: an answer at once is wanted, if the peer knows the
    /// frame for that.
    pub(super) fn probe_frame(&self, space: Space) -> Frame<'static> {
        let knows = space == Space::Application && self.ack_frequency.is_enabled();
        if knows { Frame::ImmediateAck } else { Frame::Ping }
    }
}

/// Whether the difference is not worth a frame.
const fn similar(a: u64, b: u64) -> bool {
    a < 2 * b && b < 2 * a
}

/// What we can delay an ACK by at least: what timers can do. (min_ack_delay)
pub(super) const MIN_ACK_DELAY: Duration = Duration::from_millis(1);
/// From here on, a max_ack_delay is invalid (RFC 9000 §18.2).
const INVALID_DELAY: Duration = Duration::from_millis(1 << 14);
/// The window, in packets, from which on we ask for a frequency. Soon: of two senders that share a
/// full queue, the one whose ACKs come more often loses more (its packets are spread out), so all
/// should ask.
const BULK_WINDOW: u64 = 24;
/// How many ACKs we want for each window: enough for the window to grow and to be refilled evenly,
/// and for what waits for an ACK to be little of it.
const ACKS_PER_WINDOW: u64 = 32;
/// The most packets that we want one ACK for, so that pacing and loss detection stay smooth.
const MAX_THRESHOLD: u64 = 100;
/// How long an ACK may wait, as a share of the round trip; and in any case at least and at most.
const ACKS_PER_RTT: u32 = 4;
const MIN_DELAY: Duration = Duration::from_millis(1);
const MAX_DELAY: Duration = Duration::from_millis(25);
/// ACK_FREQUENCY with every field at its largest.
const MAX_FRAME_LEN: usize = 2 + 8 + 8 + 8 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn enabled() -> AckFrequency {
        let mut this = AckFrequency::new();
        this.enable(ms(1), ms(25));
        this
    }

    #[test]
    fn requests_follow_the_window_and_the_round_trip() {
        let mut this = enabled();
        this.consider(20 * 1200, 1200, ms(100));
        assert_eq!(this.asked.due, None, "a small window needs every ACK");
        this.consider(640 * 1200, 1200, ms(40));
        assert_eq!(this.asked.due, Some(Request { threshold: 20, delay: ms(10) }));
        let first = this.on_sent(this.asked.due.unwrap());
        this.consider(6400 * 1200, 1200, ms(40));
        assert_eq!(this.asked.due, None, "one at a time");
        this.on_acked(first);
        this.consider(660 * 1200, 1200, ms(41));
        assert_eq!(this.asked.due, None, "nothing new");
        this.consider(32_000 * 1200, 1200, ms(4000));
        assert_eq!(this.asked.due, Some(Request { threshold: 100, delay: ms(25) }));
        assert_eq!(this.on_sent(this.asked.due.unwrap()), first + 1);
    }

    #[test]
    fn the_longest_delay_holds_until_a_request_is_acknowledged() {
        // §7 of the draft
        let mut this = enabled();
        this.consider(320 * 1200, 1200, ms(8));
        let sequence = this.on_sent(this.asked.due.unwrap());
        assert_eq!(this.ceiling, ms(25), "the shorter delay may not hold yet");
        this.on_acked(sequence);
        assert_eq!(this.ceiling, ms(2));
        this.consider(320 * 1200, 1200, ms(80));
        let sequence = this.on_sent(this.asked.due.unwrap());
        assert_eq!(this.ceiling, ms(20), "the longer delay may hold already");
        this.on_lost(sequence);
        let again = this.on_sent(this.asked.due.expect("a lost request is sent again"));
        assert_eq!(again, sequence + 1, "sequence numbers only grow");
        this.on_acked(sequence);
        assert_eq!(this.asked.acked, Some(0));
        this.on_acked(again);
        assert_eq!(this.ceiling, ms(20));
    }
}
