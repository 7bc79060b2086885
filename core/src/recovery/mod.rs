//! The recovery room: which packets arrived, which are lost, when to probe, how fast to send
//! (RFC 9002), and which received packets to acknowledge (RFC 9000 §13.2).
//!
//! [`Recovery`] is the sending half: packet numbers, a ledger for each packet number space, RTT,
//! loss, probes, pacing, ECN, and the congestion controller it steers. [`AckTracker`] is the
//! receiving half of one space. Neither knows what frames mean: the connection attaches a value to
//! each packet and gets it back once, acknowledged or lost.

mod ack_ranges;
mod acks;
mod config;
mod ecn;
mod handshake;
mod ledger;
mod ledgers;
mod loss;
mod pacer;
mod path;
mod received;
mod reordering;
mod request;
mod rtt;
mod sent_packet;
mod slot;
mod tally;
#[cfg(test)]
mod tests;
mod timer;

use std::time::Duration;

pub use ack_ranges::AckRanges;
pub use acks::AckSummary;
pub use config::{AckPolicy, RecoveryConfig};
pub use ecn::{EcnState, EcnValidator};
pub use handshake::HandshakeState;
pub use ledger::SentLedger;
pub use loss::{
    GRANULARITY, PACKET_THRESHOLD, PERSISTENT_CONGESTION_THRESHOLD, persistent_congestion_duration,
};
pub use pacer::Pacer;
pub use path::PathState;
pub use received::AckTracker;
pub use reordering::{MAX_PACKET_THRESHOLD, Reordering};
pub use request::AckRequest;
pub use rtt::RttEstimator;
pub use sent_packet::{FrameSink, SentPacket};
pub use slot::MAX_TRAIN;
pub use timer::TimeoutAction;

use crate::congestion::{Bandwidth, DeliveryTracker, SendAlgorithm};
use crate::rare::Rare;
use crate::time::Time;
use crate::types::{Ecn, Role, Space};
use ledgers::Ledgers;
use tally::{Episode, Tally};

/// Below this RTT packets are not paced: the timers are too coarse to be of use.
const MIN_PACED_RTT: Duration = Duration::from_millis(2);
/// max_ack_delay of a peer that has not said otherwise (RFC 9000 §18.2).
const DEFAULT_MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// The most it may be (RFC 9000 §18.2).
const MAX_MAX_ACK_DELAY: Duration = Duration::from_millis(1 << 14);

/// The sending half of recovery, for all packet number spaces of a connection.
#[derive(Debug)]
pub struct Recovery<F> {
    role: Role,
    config: RecoveryConfig,
    algorithm: Box<dyn SendAlgorithm>,
    ledgers: Ledgers<F>,
    rtt: RttEstimator,
    pacer: Pacer,
    ecn: EcnValidator,
    delivery: DeliveryTracker,
    max_datagram_size: u16,
    /// Of the present path only.
    bytes_in_flight: u64,
    /// How many times the path has changed.
    path: u32,
    handshake: HandshakeState,
    max_ack_delay: Duration,
    pto_count: u32,
    /// Where the timer starts that a client sets with nothing in flight (RFC 9002 §6.2.2.1).
    deadlock_base: Time,
    /// When a probe timeout last expired; what it asked for may not have been possible to send.
    probe_timeout_at: Time,
    episode: Episode,
    reordering: Reordering,
    tally: Rare<Tally>,
    /// The ranges of the ACK frame at hand, newest first; kept for its memory.
    ranges: Vec<(u64, u64)>,
    stats: RecoveryStats,
}

/// Counts since the connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryStats {
    /// Packets sent, whatever they contained.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets acknowledged.
    pub packets_acked: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Their bytes.
    pub bytes_lost: u64,
    /// Packets acknowledged after they were declared lost.
    pub spurious_losses: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// Times that losses began a new recovery period.
    pub loss_episodes: u64,
    /// Times that congestion was persistent.
    pub persistent_congestions: u64,
    /// Packets reported as marked CE.
    pub ce_marks: u64,
}

impl<F> Recovery<F> {
    /// Nothing sent yet.
    pub fn new(role: Role, config: &RecoveryConfig, algorithm: Box<dyn SendAlgorithm>) -> Self {
        Self {
            role,
            algorithm,
            ledgers: Ledgers::default(),
            rtt: RttEstimator::new(config.initial_rtt),
            pacer: Pacer::new(config.pacing_burst, config.max_datagram_size),
            ecn: EcnValidator::new(config.ecn),
            delivery: DeliveryTracker::default(),
            max_datagram_size: config.max_datagram_size,
            bytes_in_flight: 0,
            path: 0,
            handshake: HandshakeState::new(role),
            max_ack_delay: DEFAULT_MAX_ACK_DELAY,
            pto_count: 0,
            deadlock_base: Time::ZERO,
            probe_timeout_at: Time::ZERO,
            episode: Episode::default(),
            reordering: Reordering::default(),
            tally: Rare::NONE,
            ranges: Vec::new(),
            stats: RecoveryStats::default(),
            config: config.clone(),
        }
    }

    /// The number of the packet to be sent next in this space.
    pub fn next_packet_number(&self, space: Space) -> u64 {
        self.ledgers.get(space).map_or(0, SentLedger::next_packet_number)
    }

    /// Leaves the next number out, so that an ACK of it gives a cheating peer away
    /// (RFC 9000 §21.4). Returns the number.
    pub fn skip_packet_number(&mut self, space: Space) -> u64 {
        self.ledger(space).skip()
    }

    /// The largest number of this space that the peer has acknowledged.
    pub fn largest_acked(&self, space: Space) -> Option<u64> {
        self.ledgers.get(space)?.largest_acked()
    }

    /// A packet with number `pn` was sent. `pn` must be [`Self::next_packet_number`].
    pub fn on_packet_sent(&mut self, now: Time, space: Space, pn: u64, packet: SentPacket<F>) {
        self.on_train_sent(now, space, pn, packet, 1);
    }

    /// As [`Self::on_packet_sent`] for each of `count` packets, 1 to [`MAX_TRAIN`], which `packet`
    /// describes the first of, `first` being its number.
    pub fn on_train_sent(
        &mut self,
        now: Time,
        space: Space,
        first: u64,
        mut packet: SentPacket<F>,
        count: u32,
    ) {
        debug_assert_eq!(first, self.next_packet_number(space), "numbers are given in order");
        let bytes = u64::from(packet.size) * u64::from(count);
        packet.time_sent = now;
        packet.path = self.path;
        if packet.in_flight {
            packet.delivery = self.delivery.on_packet_sent(now, self.bytes_in_flight, packet.size);
            let with_first = self.bytes_in_flight + u64::from(packet.size);
            self.algorithm.on_train_sent(now, with_first, packet.size, count);
            self.bytes_in_flight += bytes;
            self.pacer.on_bytes_sent(bytes);
            self.deadlock_base = now;
        }
        self.ecn.on_packets_sent(space, packet.ecn, count.into());
        self.stats.packets_sent += u64::from(count);
        self.stats.bytes_sent += bytes;
        self.ledger(space).push(packet, count);
    }

    /// Whether a packet of `bytes` fits in the congestion window. Pacing is not considered.
    pub fn can_send(&self, bytes: u64) -> bool {
        bytes <= self.window_room()
    }

    /// Whether a packet of `bytes` fits in the congestion window with nothing else in flight.
    pub fn may_ever_send(&self, bytes: u64) -> bool {
        bytes <= self.algorithm.congestion_window()
    }

    /// How many bytes in flight may be added at `now`, by congestion control and pacing. Probes
    /// (RFC 9002 §7.5) and packets not in flight need not ask.
    pub fn send_allowance(&mut self, now: Time) -> u64 {
        self.window_room().min(self.pacer.allowance(now))
    }

    /// How many bytes the path carries in `time`: its share of a window in each round trip.
    pub fn bytes_in(&self, time: Duration) -> u64 {
        let micros = |time: Duration| time.as_micros() as u64;
        let window = self.algorithm.congestion_window();
        window.saturating_mul(micros(time)) / micros(self.rtt.smoothed()).max(1)
    }

    /// Whether packets are spread over the RTT: it is known, and not very short.
    pub const fn is_pacing(&self) -> bool {
        self.pacer.is_pacing()
    }

    /// Packets may be planned so far ahead, because their writer holds them until their time: then
    /// [`Self::send_allowance`] counts them and [`Self::release_time`] says when they leave.
    pub fn set_pacing_horizon(&mut self, horizon: Duration) {
        self.pacer.set_horizon(horizon);
    }

    /// When a datagram that is sent now should leave the host, by pacing; `None`: now.
    pub fn release_time(&self) -> Option<Time> {
        self.pacer.release_time()
    }

    /// When to try again, if pacing (and not the window) was what [`Self::send_allowance`] held a
    /// full datagram back for. At least 1 ms after that call.
    pub fn pacing_deadline(&mut self) -> Option<Time> {
        let room = self.window_room() >= u64::from(self.max_datagram_size);
        if room { self.pacer.next_release() } else { None }
    }

    /// The application has nothing more to send now. Tells the algorithm, unless the window was
    /// what stopped it.
    pub fn on_application_limited(&mut self) {
        if self.window_room() >= u64::from(self.max_datagram_size) {
            self.delivery.on_application_limited(self.bytes_in_flight);
            self.algorithm.on_application_limited(self.bytes_in_flight);
        }
    }

    /// What to mark the next packet of this path with.
    pub fn ecn_codepoint(&self) -> Ecn {
        match self.ecn.codepoint() {
            Ecn::NotEct => Ecn::NotEct,
            // RFC 9331 §4.1: the algorithm knows how it responds. CE is the network's to set.
            _ => match self.algorithm.ecn_codepoint() {
                Ecn::Ce => Ecn::NotEct,
                codepoint => codepoint,
            },
        }
    }

    /// What to mark all packets with until the next ACK; `None` while the path is being tested, a
    /// few packets long.
    pub fn settled_ecn_codepoint(&self) -> Option<Ecn> {
        (self.ecn.state() != EcnState::Testing).then(|| self.ecn_codepoint())
    }

    /// What is known of the path's handling of ECN.
    pub const fn ecn_state(&self) -> EcnState {
        self.ecn.state()
    }

    /// Datagrams on this path may now be `size` bytes long.
    pub fn on_max_datagram_size_changed(&mut self, size: u16) {
        self.max_datagram_size = size;
        self.algorithm.on_max_datagram_size_changed(size);
        self.pacer.set_max_datagram_size(size);
    }

    /// The peer's max_ack_delay transport parameter; less than 2^14 ms (RFC 9000 §18.2).
    pub fn set_max_ack_delay(&mut self, delay: Duration) {
        self.max_ack_delay = delay.min(MAX_MAX_ACK_DELAY);
    }

    /// The ack-eliciting packets of a space that are still open, oldest first: their frames should
    /// be sent again in probes (RFC 9002 §6.2.4). The packets themselves stay open.
    pub fn oldest_unacked(&self, space: Space) -> impl Iterator<Item = (u64, &SentPacket<F>)> {
        self.ledgers.get(space).into_iter().flat_map(SentLedger::ack_eliciting)
    }

    /// Whether an ack-eliciting packet of this space is open.
    pub fn has_ack_eliciting_in_flight(&self, space: Space) -> bool {
        self.ledgers.get(space).is_some_and(SentLedger::has_ack_eliciting)
    }

    /// When the latest ack-eliciting packet of a space was sent, if any is in flight there.
    pub fn last_ack_eliciting_in_flight(&self, space: Space) -> Option<Time> {
        let ledger = self.ledgers.get(space).filter(|ledger| ledger.has_ack_eliciting());
        ledger.map(SentLedger::last_ack_eliciting_sent)
    }

    /// Bytes in flight on the present path.
    pub const fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight
    }

    /// The congestion controller.
    pub fn algorithm(&self) -> &dyn SendAlgorithm {
        &*self.algorithm
    }

    /// The path's RTT.
    pub const fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// How much reordering the path is taken to do.
    pub const fn reordering(&self) -> &Reordering {
        &self.reordering
    }

    /// Counts since the connection began.
    pub const fn stats(&self) -> &RecoveryStats {
        &self.stats
    }

    /// Gives memory back that bursts needed; to be called when the connection falls idle.
    pub fn release_memory(&mut self) {
        self.forget_handshake();
        self.ledgers.release_memory();
        self.ranges.shrink_to(0);
        self.tally.release_if(|_| true);
    }

    /// Gives memory back that the handshake needed, if that is confirmed.
    pub fn forget_handshake(&mut self) {
        if self.handshake.confirmed {
            self.ledgers.forget_handshake();
            self.ecn.forget_handshake();
        }
    }

    fn ledger(&mut self, space: Space) -> &mut SentLedger<F> {
        self.ledgers.get_mut(space)
    }

    fn window_room(&self) -> u64 {
        if self.algorithm.can_send(self.bytes_in_flight) {
            let window = self.algorithm.congestion_window();
            window.saturating_sub(self.bytes_in_flight)
        } else {
            0
        }
    }

    /// RFC 9002 §7.7: somewhat faster than the window per RTT, so that the window is used.
    fn update_pacing(&mut self, now: Time) {
        let window = self.algorithm.congestion_window();
        let srtt = self.rtt.smoothed();
        let unpaced =
            !self.config.pacing || self.rtt.first_sample().is_none() || srtt < MIN_PACED_RTT;
        let rate = if unpaced {
            None
        } else {
            Some(self.algorithm.pacing_rate().unwrap_or_else(|| {
                let percent = if self.algorithm.in_slow_start() { 200 } else { 125 };
                Bandwidth::from_bytes_and_time(window.saturating_mul(percent) / 100, srtt)
            }))
        };
        self.pacer.set_rate(now, rate, window);
    }
}
