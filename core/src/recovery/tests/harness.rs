//! A [`Recovery`] with a clock, whose packets' frames are their own numbers.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::congestion::{FixedWindow, NewReno, SendAlgorithm};
use crate::error::TransportError;
use crate::recovery::{AckSummary, FrameSink, Recovery, RecoveryConfig, SentPacket, TimeoutAction};
use crate::time::Time;
use crate::types::{Ecn, EcnCounts, Role, Space};

pub(super) const APP: Space = Space::Application;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) acked: Vec<u64>,
    pub(super) lost: Vec<u64>,
}

impl FrameSink<u64> for Fates {
    fn on_packets_acked(&mut self, _: Space, numbers: Range<u64>, packet: &SentPacket<u64>) {
        assert_eq!(packet.frames + packet.place(numbers.start), numbers.start);
        assert!(!numbers.is_empty());
        self.acked.extend(numbers);
    }

    fn on_packet_lost(&mut self, _: Space, number: u64, packet: &SentPacket<u64>) {
        assert_eq!(packet.frames + packet.place(number), number);
        self.lost.push(number);
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) recovery: Recovery<u64>,
    pub(super) now: Time,
    pub(super) fates: Fates,
}

impl Peer {
    /// A server after its handshake, with a window that never moves.
    pub(super) fn new() -> Self {
        let mut peer = Self::with(Role::Server, Box::new(FixedWindow::new(1 << 40)));
        peer.confirm();
        peer
    }

    pub(super) fn new_reno() -> Self {
        let mut peer = Self::with(Role::Server, Box::new(NewReno::new(1200)));
        peer.confirm();
        peer
    }

    pub(super) fn with(role: Role, algorithm: Box<dyn SendAlgorithm>) -> Self {
        let config = RecoveryConfig::default();
        Self {
            recovery: Recovery::new(role, &config, algorithm),
            now: Time::from_millis(1000),
            fates: Fates::default(),
        }
    }

    pub(super) fn confirm(&mut self) {
        let mut state = self.recovery.handshake_state();
        state.confirmed = true;
        self.recovery.set_handshake_state(self.now, state);
    }

    /// Sends an ack-eliciting packet of 1200 bytes.
    pub(super) fn send(&mut self) -> u64 {
        self.send_in(APP)
    }

    pub(super) fn send_many(&mut self, count: u64) {
        for _ in 0..count {
            self.send();
        }
    }

    /// Sends as many as a train.
    pub(super) fn send_train(&mut self, count: u32) {
        let first = self.recovery.next_packet_number(APP);
        let packet = SentPacket::ack_eliciting(1200, self.recovery.ecn_codepoint(), first);
        self.recovery.on_train_sent(self.now, APP, first, packet, count);
    }

    pub(super) fn send_in(&mut self, space: Space) -> u64 {
        let number = self.recovery.next_packet_number(space);
        let packet = SentPacket::ack_eliciting(1200, self.recovery.ecn_codepoint(), number);
        self.recovery.on_packet_sent(self.now, space, number, packet);
        number
    }

    pub(super) fn send_ack_only(&mut self) -> u64 {
        let number = self.recovery.next_packet_number(APP);
        let packet = SentPacket::ack_only(40, Ecn::NotEct, number);
        self.recovery.on_packet_sent(self.now, APP, number, packet);
        number
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now += ms(millis);
    }

    /// An ACK of these ranges, newest first, without delay or ECN counts.
    pub(super) fn try_ack(
        &mut self,
        space: Space,
        ranges: &[RangeInclusive<u64>],
    ) -> Result<AckSummary, TransportError> {
        let ranges = ranges.iter().cloned();
        let Self { recovery, fates, .. } = self;
        recovery.on_ack_received(self.now, space, ranges, Duration::ZERO, None, fates)
    }

    pub(super) fn ack(&mut self, ranges: &[RangeInclusive<u64>]) -> AckSummary {
        self.try_ack(APP, ranges).unwrap()
    }

    /// An ACK of one packet, which the peer says it held back.
    pub(super) fn ack_delayed(&mut self, space: Space, number: u64, delay: Duration) {
        let Self { recovery, fates, now } = self;
        recovery.on_ack_received(*now, space, [number..=number], delay, None, fates).unwrap();
    }

    pub(super) fn ack_ecn(&mut self, range: RangeInclusive<u64>, counts: EcnCounts) -> AckSummary {
        let Self { recovery, fates, .. } = self;
        recovery
            .on_ack_received(self.now, APP, [range], Duration::ZERO, Some(counts), fates)
            .unwrap()
    }

    /// Lets time pass to the deadline, which must be set.
    pub(super) fn expire(&mut self) -> TimeoutAction {
        self.now = self.recovery.deadline().expect("a deadline is set").max(self.now);
        self.recovery.on_deadline(self.now, &mut self.fates)
    }

    /// A sample of 100 ms: one packet, acknowledged.
    pub(super) fn sample_rtt(&mut self) {
        let number = self.send();
        self.wait(100);
        self.ack(&[number..=number]);
        self.fates = Fates::default();
    }
}
