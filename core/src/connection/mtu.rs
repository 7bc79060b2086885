//! [`MtuDiscovery`]: finds the largest packet that the path carries (RFC 8899, RFC 9000 §14.3).
//! Probes are PING and PADDING in a packet of the size in question; their loss is no sign of
//! congestion. A path that stops carrying what it carried falls back to the base size.

use std::time::Duration;

use super::config::MIN_PACKET_SIZE;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct MtuDiscovery {
    current: usize,
    /// The largest size worth probing.
    ceiling: usize,
    /// Sizes at or above this failed.
    too_large: usize,
    /// When they are tried again: the path may be another by then.
    raise_at: Option<Time>,
    /// The packet number and size of the probe that is out.
    in_flight: Option<(u64, usize)>,
    failures: u8,
    enabled: bool,
    /// A packet of data was full, or one was acknowledged. A handshake and a small answer may be all
    /// there is, and a probe costs both ends as much as any datagram.
    wanted: bool,
    /// Full-sized packets lost in a row, nothing as large acknowledged between them.
    losses_in_a_row: u8,
    /// When the newest packet was sent that was full-sized and arrived.
    arrived_sent: Time,
}

impl MtuDiscovery {
    pub(super) fn new(initial: usize, max: usize) -> Self {
        Self {
            current: initial,
            ceiling: max,
            too_large: max + 1,
            raise_at: None,
            in_flight: None,
            failures: 0,
            enabled: false,
            wanted: false,
            losses_in_a_row: 0,
            arrived_sent: Time::ZERO,
        }
    }

    /// The size to send packets of.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// What the peer or our writer cannot take is not probed, nor used.
    pub(super) fn limit(&mut self, max: usize) {
        self.ceiling = self.ceiling.min(max).max(MIN_PACKET_SIZE);
        self.too_large = self.too_large.min(self.ceiling + 1);
        self.current = self.current.min(self.ceiling);
    }

    /// The handshake is confirmed: probing may begin (RFC 9000 §14.3).
    pub(super) fn enable(&mut self) {
        self.enabled = true;
    }

    /// The size to probe now.
    pub(super) fn next_probe(&mut self, now: Time) -> Option<usize> {
        if !self.enabled || !self.wanted || self.in_flight.is_some() {
            return None;
        }
        self.raise(now);
        if self.current + 1 >= self.too_large {
            return None;
        }
        // The ceiling is a good guess (most paths are Ethernet); after it fails, halve the rest.
        let untried = self.too_large > self.ceiling;
        let size = if untried { self.ceiling } else { self.current.midpoint(self.too_large) };
        (size >= self.current + MIN_STEP || (untried && size > self.current)).then_some(size)
    }

    /// RFC 8899 §5.1.1, PMTU_RAISE_TIMER: what failed may work some time later. Who sends nothing
    /// needs no larger packets, so it is looked at when there is something to send.
    fn raise(&mut self, now: Time) {
        if self.too_large > self.ceiling {
            self.raise_at = None;
        } else if *self.raise_at.get_or_insert(now + RAISE_AFTER) <= now {
            self.raise_at = None;
            self.failures = 0;
            self.too_large = self.ceiling + 1;
        }
    }

    /// A 1-RTT packet was sent.
    pub(super) fn on_packet_sent(&mut self, size: usize) {
        self.wanted |= self.is_full(size);
    }

    /// A 1-RTT packet was acknowledged: the connection goes on.
    pub(super) fn on_data_acked(&mut self) {
        self.wanted = true;
    }

    pub(super) fn on_probe_sent(&mut self, packet: u64, size: usize) {
        self.in_flight = Some((packet, size));
    }

    /// A probe was acknowledged: its size works. Returns whether the current size changed.
    pub(super) fn on_probe_acked(&mut self, packet: u64) -> bool {
        let Some((_, size)) = self.in_flight.take_if(|(probe, _)| *probe == packet) else {
            return false;
        };
        self.current = size;
        self.failures = 0;
        true
    }

    pub(super) fn on_probe_lost(&mut self, packet: u64) {
        if let Some((_, size)) = self.in_flight.take_if(|(probe, _)| *probe == packet) {
            self.failures += 1;
            // RFC 8899 §5.1.2: MAX_PROBES
            if self.failures >= 3 {
                self.failures = 0;
                self.too_large = size;
            }
        }
    }

    /// The writer says that a packet of this size cannot leave the host, or the batch that it ended.
    pub(super) fn on_too_big(&mut self, size: usize) -> bool {
        let probe = self.in_flight.take().map(|(_, size)| size);
        let is_last_of_batch = size < self.current;
        let size = if is_last_of_batch { probe.unwrap_or(self.current) } else { size };
        self.too_large = self.too_large.min(size);
        let shrinks = self.current >= size && self.current > MIN_PACKET_SIZE;
        if shrinks {
            self.current = MIN_PACKET_SIZE;
        }
        shrinks
    }

    pub(super) fn on_packet_acked(&mut self, size: usize, sent: Time) {
        if self.is_full(size) {
            self.losses_in_a_row = 0;
            self.arrived_sent = self.arrived_sent.max(sent);
        }
    }

    /// A packet was lost. Returns whether the path is a black hole for the current size, which
    /// then falls back to the base (RFC 8899 §4.3). A queue that overflowed is none, however many
    /// packets it cost: as large ones that were sent after them arrived.
    pub(super) fn on_packet_lost(&mut self, size: usize, sent: Time) -> bool {
        let unremarkable = !self.is_full(size) || sent <= self.arrived_sent;
        if unremarkable || self.current == MIN_PACKET_SIZE {
            return false;
        }
        self.losses_in_a_row = self.losses_in_a_row.saturating_add(1);
        self.losses_in_a_row >= BLACK_HOLE_LOSSES && self.fall_back()
    }

    /// Probe timeouts expired in a row, so that not even losses are known of: perhaps the path
    /// carries the base only. The size in use may be probed for again. Returns whether the
    /// current size changed.
    pub(super) fn on_probe_timeouts(&mut self, in_a_row: u32) -> bool {
        let falls = in_a_row >= BLACK_HOLE_TIMEOUTS && self.current > MIN_PACKET_SIZE;
        if falls {
            self.losses_in_a_row = 0;
            self.failures = 0;
            self.current = MIN_PACKET_SIZE;
        }
        falls
    }

    /// Whether a packet is of the current size, or as good as.
    fn is_full(&self, size: usize) -> bool {
        size + NEARLY_FULL > self.current
    }

    fn fall_back(&mut self) -> bool {
        self.losses_in_a_row = 0;
        self.too_large = self.current;
        self.current = MIN_PACKET_SIZE;
        true
    }
}

/// Trains are filled in whole blocks of this size, in bytes.
pub(super) const CIPHER_BLOCK: usize = 16;
/// A packet that is less than this below the current size, in bytes, was not made smaller for want of
/// data: trains leave a block out, and what is no whole block.
pub(super) const NEARLY_FULL: usize = 2 * CIPHER_BLOCK;
/// Gains below this are not worth a probe, in bytes.
const MIN_STEP: usize = 20;
/// RFC 8899 §5.1.1: how long after a size failed it is probed again.
const RAISE_AFTER: Duration = Duration::from_mins(10);
/// So many full-sized losses in a row, without an acknowledgement of one, are no accident.
const BLACK_HOLE_LOSSES: u8 = 48;
/// So many probe timeouts in a row are worth a try with smaller packets.
const BLACK_HOLE_TIMEOUTS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes against a path that carries up to `path` bytes.
    fn discover(path: usize, max: usize) -> (usize, usize) {
        let mut mtu = MtuDiscovery::new(1200, max);
        mtu.enable();
        mtu.on_packet_sent(1452);
        let mut probes = 0;
        while let Some(size) = mtu.next_probe(Time::ZERO) {
            mtu.on_probe_sent(probes, size);
            if size <= path {
                _ = mtu.on_probe_acked(probes);
            } else {
                mtu.on_probe_lost(probes);
            }
            probes += 1;
            assert!(probes < 100, "probing ends");
        }
        (mtu.current(), probes as usize)
    }

    #[test]
    fn finds_the_paths_size_within_two_small_steps() {
        assert_eq!(discover(1500, 1452), (1452, 1), "the ceiling is tried first");
        for path in [1200, 1280, 1350, 1400, 4000, 9000] {
            let (found, _) = discover(path, 9000);
            assert!(found <= path && path - found <= 2 * MIN_STEP, "{found} of {path}");
        }
    }

    #[test]
    fn nothing_is_probed_before_the_handshake_is_confirmed() {
        let mut mtu = MtuDiscovery::new(1200, 1452);
        mtu.on_packet_sent(1200);
        assert_eq!(mtu.next_probe(Time::ZERO), None);
    }

    #[test]
    fn probe_timeouts_fall_back_to_the_base_which_is_then_probed_upwards() {
        let mut mtu = MtuDiscovery::new(1452, 1452);
        mtu.enable();
        mtu.on_packet_sent(1452);
        assert!(!mtu.on_probe_timeouts(1));
        assert!(mtu.on_probe_timeouts(2) && !mtu.on_probe_timeouts(3));
        assert_eq!((mtu.current(), mtu.next_probe(Time::ZERO)), (1200, Some(1452)));
    }

    #[test]
    fn a_black_hole_falls_back_to_the_base() {
        let mut mtu = MtuDiscovery::new(1452, 1452);
        mtu.enable();
        mtu.on_packet_sent(1452);
        mtu.on_packet_acked(1452, Time::from_millis(1));
        let mut lose = |_: &u8| mtu.on_packet_lost(1452, Time::from_millis(2));
        let lost = (0..BLACK_HOLE_LOSSES).filter(&mut lose).count();
        assert_eq!((lost, mtu.current()), (1, 1200));
        assert!(mtu.next_probe(Time::ZERO).is_some_and(|size| size < 1452));
    }

    #[test]
    fn a_small_packet_is_not_what_was_too_big() {
        let mut mtu = MtuDiscovery::new(1200, 1452);
        mtu.enable();
        mtu.on_packet_sent(1452);
        mtu.on_probe_sent(1, 1452);
        assert!(!mtu.on_too_big(40), "the probe was");
        assert_eq!((mtu.current(), mtu.too_large), (1200, 1452));
        assert!(mtu.next_probe(Time::ZERO).is_some_and(|size| size > 1200));
        let mut mtu = MtuDiscovery::new(1452, 1452);
        assert!(mtu.on_too_big(40));
        assert_eq!((mtu.current(), mtu.too_large), (1200, 1452));
    }

    #[test]
    fn what_failed_is_probed_again_after_ten_minutes() {
        // RFC 8899 §5.1.1
        let mut mtu = MtuDiscovery::new(1452, 1452);
        mtu.enable();
        mtu.on_packet_sent(1452);
        for _ in 0..BLACK_HOLE_LOSSES {
            mtu.on_packet_lost(1452, Time::from_millis(2));
        }
        let mut packet = 0;
        while let Some(size) = mtu.next_probe(Time::from_millis(10)) {
            assert!(size < 1452);
            mtu.on_probe_sent(packet, size);
            mtu.on_probe_lost(packet);
            packet += 1;
        }
        assert_eq!(mtu.next_probe(Time::from_millis(600_009)), None);
        assert_eq!(mtu.next_probe(Time::from_millis(600_010)), Some(1452));
        mtu.on_probe_sent(packet, 1452);
        assert!(mtu.on_probe_acked(packet));
        assert_eq!((mtu.current(), mtu.next_probe(Time::from_millis(600_011))), (1452, None));
    }

    #[test]
    fn losses_before_a_full_packet_that_arrived_are_no_black_hole() {
        let mut mtu = MtuDiscovery::new(1452, 1452);
        for burst in 1..10 {
            mtu.on_packet_acked(1452, Time::from_millis(2 * burst));
            for _ in 0..500 {
                assert!(!mtu.on_packet_lost(1452, Time::from_millis(2 * burst - 1)));
            }
        }
        assert_eq!(mtu.current(), 1452);
    }
}
