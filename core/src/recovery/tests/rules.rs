//! Acknowledgement, loss, congestion: RFC 9002 §5 to §7, RFC 9000 §13 and §9.4.

use std::time::Duration;

use super::harness::{APP, Fates, Peer, ms};
use crate::congestion::{FixedWindow, NewReno, Prague};
use crate::recovery::{EcnState, SentPacket};
use crate::types::{Ecn, EcnCounts, Role, Space};

#[test]
fn packets_are_handed_back_once_and_in_order() {
    let mut peer = Peer::new();
    peer.send_many(10);
    peer.ack(&[8..=9, 4..=6, 0..=1]);
    peer.ack(&[8..=9, 4..=6, 0..=1]);
    assert_eq!(peer.fates.acked, [0, 1, 4, 5, 6, 8, 9]);
    assert_eq!(peer.fates.lost, [2, 3]);
    peer.ack(&[0..=9]);
    assert_eq!(peer.fates.acked, [0, 1, 4, 5, 6, 8, 9, 7]);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
}

#[test]
fn a_packet_is_lost_three_numbers_below_an_acknowledged_one() {
    // RFC 9002 §6.1.1
    let mut peer = Peer::new();
    peer.send_many(4);
    peer.ack(&[2..=2]);
    assert_eq!(peer.fates.lost, []);
    peer.ack(&[3..=3]);
    assert_eq!(peer.fates.lost, [0]);
}

#[test]
fn a_packet_is_lost_nine_eighths_of_an_rtt_after_it_was_sent() {
    // RFC 9002 §6.1.2
    let mut peer = Peer::new();
    peer.sample_rtt();
    let sent = peer.now;
    peer.send_many(2);
    peer.wait(100);
    peer.ack(&[2..=2]);
    assert_eq!(peer.recovery.deadline(), Some(sent + Duration::from_micros(112_500)));
    peer.expire();
    assert_eq!(peer.fates.lost, [1]);
    assert_eq!(peer.recovery.deadline(), None);
}

#[test]
fn the_rtt_is_sampled_only_by_a_new_largest_and_an_ack_eliciting_packet() {
    // RFC 9002 §5.1
    let mut peer = Peer::new();
    peer.send_many(3);
    let ack_only = peer.send_ack_only();
    peer.wait(10);
    assert!(!peer.ack(&[ack_only..=ack_only]).rtt_updated);
    assert!(!peer.ack(&[3..=3, 1..=1]).rtt_updated);
    let number = peer.send();
    peer.wait(10);
    assert!(peer.ack(&[number..=number]).rtt_updated);
    assert_eq!(peer.recovery.rtt().latest(), ms(10));
}

#[test]
fn ack_delay_is_limited_to_the_peers_maximum_after_confirmation_only() {
    // RFC 9002 §5.3
    for (confirmed, smoothed_us) in [(true, 121_875), (false, 112_500)] {
        let mut peer = Peer::with(Role::Server, Box::new(FixedWindow::new(1 << 40)));
        if confirmed {
            peer.confirm();
        }
        peer.sample_rtt();
        let number = peer.send();
        peer.wait(300);
        peer.ack_delayed(APP, number, ms(100));
        let smoothed = peer.recovery.rtt().smoothed();
        assert_eq!(smoothed, Duration::from_micros(smoothed_us));
    }
}

#[test]
fn the_initial_space_ignores_ack_delay() {
    // RFC 9002 §5.3
    let mut peer = Peer::new();
    peer.sample_rtt();
    peer.send_in(Space::Initial);
    peer.wait(200);
    peer.ack_delayed(Space::Initial, 0, ms(20));
    let smoothed = peer.recovery.rtt().smoothed();
    assert_eq!(smoothed, Duration::from_micros(112_500));
}

#[test]
fn losses_between_two_acks_over_a_long_time_are_persistent_congestion() {
    // RFC 9002 §7.6.1: smoothed 100 + 4 * 37.5, plus 25 ms, times 3 = 825 ms
    for (span, persistent) in [(825, false), (826, true)] {
        let mut peer = Peer::new_reno();
        peer.sample_rtt();
        peer.wait(1);
        peer.send();
        peer.wait(span);
        peer.send_many(4);
        peer.wait(100);
        let summary = peer.ack(&[5..=5]);
        assert_eq!(peer.fates.lost, [1, 2]);
        assert_eq!(summary.persistent_congestion, persistent);
        let window = peer.recovery.algorithm().congestion_window();
        assert_eq!(window == 2400, persistent);
    }
}

/// Two losses a second apart, with an acknowledged packet between them.
#[test]
fn an_acknowledged_packet_between_losses_makes_congestion_not_persistent() {
    let mut peer = Peer::new_reno();
    peer.sample_rtt();
    peer.wait(1);
    peer.send(); // 1, lost
    peer.wait(1000);
    peer.send(); // 2, acknowledged
    peer.wait(1000);
    peer.send(); // 3, lost
    peer.send_many(3);
    peer.wait(100);
    let summary = peer.ack(&[6..=6, 2..=2]);
    assert_eq!(peer.fates.lost, [1, 3]);
    assert!(!summary.persistent_congestion);
}

#[test]
fn losses_before_the_first_rtt_sample_are_not_persistent_congestion() {
    // RFC 9002 §7.6.2
    let mut peer = Peer::new_reno();
    peer.send();
    peer.wait(60_000);
    peer.send_many(4);
    peer.wait(1);
    let summary = peer.ack(&[4..=4]);
    assert_eq!(peer.fates.lost, [0, 1]);
    assert!(!summary.persistent_congestion);
}

#[test]
fn the_window_is_halved_once_for_the_losses_of_a_round_trip() {
    // RFC 9002 §7.3.2
    let mut peer = Peer::new_reno();
    peer.send_many(10);
    peer.wait(50);
    peer.ack(&[3..=3]);
    peer.ack(&[5..=5]);
    peer.ack(&[9..=9]);
    assert_eq!(peer.fates.lost, [0, 1, 2, 4, 6]);
    assert_eq!(peer.recovery.algorithm().slow_start_threshold(), Some(6000));
    assert_eq!(peer.recovery.stats().loss_episodes, 1);
}

#[test]
fn a_lost_mtu_probe_does_not_reduce_the_window() {
    // RFC 9000 §14.4
    let mut peer = Peer::new_reno();
    let mut probe = SentPacket::ack_eliciting(1400, Ecn::NotEct, 0);
    probe.mtu_probe = true;
    peer.recovery.on_packet_sent(peer.now, APP, 0, probe);
    peer.send_many(3);
    peer.wait(10);
    peer.ack(&[1..=3]);
    assert_eq!(peer.fates.lost, [0]);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    assert!(peer.recovery.algorithm().congestion_window() >= 12_000);
}

#[test]
fn a_reduction_is_undone_when_all_its_losses_arrive() {
    let mut peer = Peer::new_reno();
    peer.send_many(10);
    peer.wait(50);
    peer.ack(&[4..=4]);
    assert_eq!(peer.recovery.algorithm().slow_start_threshold(), Some(6000));
    peer.wait(1);
    assert_eq!(peer.ack(&[4..=4, 0..=0]).spurious_losses, 1);
    assert_eq!(peer.recovery.algorithm().slow_start_threshold(), Some(6000));
    peer.ack(&[0..=4]);
    assert_eq!(peer.recovery.algorithm().congestion_window(), 12_000);
    assert_eq!(peer.recovery.stats().spurious_losses, 2);
    assert_eq!(peer.fates.acked, [4, 2, 3]);
}

#[test]
fn a_lost_packet_is_not_awaited_for_ever() {
    let mut peer = Peer::new();
    peer.send_many(5);
    peer.wait(50);
    peer.ack(&[4..=4]);
    peer.now += peer.recovery.pto() * 3;
    assert_eq!(peer.ack(&[0..=4]).spurious_losses, 0);
}

#[test]
fn ce_marks_halve_the_window_once_and_missing_counts_end_marking() {
    // RFC 9000 §13.4.2, RFC 9002 §7.1
    let mut peer = Peer::new_reno();
    peer.send_many(10);
    peer.wait(50);
    let mut counts = EcnCounts { ect0: 4, ect1: 0, ce: 1 };
    assert_eq!(peer.ack_ecn(0..=4, counts).ce_marks, 1);
    assert_eq!(peer.recovery.ecn_state(), EcnState::Capable);
    assert_eq!(peer.recovery.algorithm().slow_start_threshold(), Some(6000));
    counts.ce = 2;
    peer.ack_ecn(0..=5, counts);
    assert_eq!(peer.recovery.algorithm().slow_start_threshold(), Some(6000));
    peer.ack(&[0..=6]);
    assert_eq!(peer.recovery.ecn_codepoint(), Ecn::NotEct);
}

#[test]
fn an_ack_that_does_not_raise_the_largest_cannot_fail_ecn() {
    // RFC 9000 §13.4.2.1
    let mut peer = Peer::new();
    peer.send_many(5);
    peer.ack_ecn(4..=4, EcnCounts { ect0: 5, ect1: 0, ce: 0 });
    peer.ack(&[3..=4]);
    assert_eq!(peer.recovery.ecn_state(), EcnState::Capable);
}

#[test]
fn the_window_is_never_exceeded() {
    let mut peer = Peer::new_reno();
    while peer.recovery.can_send(1200) {
        peer.send();
    }
    assert_eq!(peer.recovery.bytes_in_flight(), 12_000);
    assert_eq!(peer.recovery.send_allowance(peer.now), 0);
    assert_eq!(peer.recovery.pacing_deadline(), None);
}

#[test]
fn packets_are_paced_once_the_rtt_is_known_and_not_small() {
    // RFC 9002 §7.7
    for (rtt, paced) in [(1, false), (50, true)] {
        let mut peer = Peer::with(Role::Server, Box::new(FixedWindow::new(100_000)));
        peer.send();
        assert!(peer.recovery.send_allowance(peer.now) > 90_000);
        peer.wait(rtt);
        peer.ack(&[0..=0]);
        while peer.recovery.send_allowance(peer.now) >= 1200 {
            peer.send();
        }
        assert_eq!(peer.recovery.bytes_in_flight() < 90_000, paced);
        assert_eq!(peer.recovery.pacing_deadline().is_some(), paced);
    }
}

#[test]
fn a_new_path_begins_anew_and_old_packets_do_not_count_there() {
    // RFC 9000 §9.4
    let mut peer = Peer::new_reno();
    peer.sample_rtt();
    peer.send_many(9);
    let fresh = Box::new(NewReno::new(1200));
    let old = peer.recovery.on_connection_migration(peer.now, fresh, 1200);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    assert_eq!(peer.recovery.rtt().smoothed(), ms(333));
    peer.wait(200);
    let summary = peer.ack(&[9..=9, 1..=2]);
    assert_eq!(peer.fates.lost.len(), 4);
    assert!(!summary.rtt_updated);
    assert_eq!(peer.recovery.algorithm().congestion_window(), 12_000);
    peer.recovery.restore_path(peer.now, old);
    assert_eq!(peer.recovery.rtt().smoothed(), ms(100));
}

#[test]
fn what_was_sent_to_an_old_port_is_not_lost_to_congestion() {
    // RFC 9000 §9.4
    let mut peer = Peer::new_reno();
    peer.sample_rtt();
    let window = peer.recovery.algorithm().congestion_window();
    peer.send_many(9);
    peer.recovery.on_peer_port_changed(peer.now);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    peer.send_many(1);
    peer.wait(100);
    peer.ack(&[10..=10]);
    assert_eq!(peer.fates.lost.len(), 9 - 2);
    assert!(peer.recovery.algorithm().congestion_window() >= window);
    assert_eq!(peer.recovery.rtt().smoothed(), ms(100));
}

#[test]
fn a_discarded_space_leaves_nothing_in_flight() {
    // RFC 9002 §6.4
    let mut peer = Peer::new_reno();
    peer.send_in(Space::Initial);
    peer.send_in(Space::Handshake);
    peer.expire();
    peer.recovery.discard_space(peer.now, Space::Initial);
    assert_eq!(peer.recovery.bytes_in_flight(), 1200);
    assert_eq!(peer.recovery.pto_count(), 0);
    assert_eq!(peer.fates.lost, []);
}

#[test]
fn retry_hands_everything_back_and_numbers_go_on() {
    // RFC 9000 §17.2.5.3, RFC 9002 §6.3
    let mut peer = Peer::with(Role::Client, Box::new(NewReno::new(1200)));
    peer.send_in(Space::Initial);
    peer.send_in(APP);
    peer.wait(80);
    peer.recovery.restart_for_retry(peer.now, &mut peer.fates);
    assert_eq!(peer.fates.lost, [0, 0]);
    assert_eq!(peer.recovery.next_packet_number(Space::Initial), 1);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    assert_eq!(peer.recovery.rtt().smoothed(), ms(80));
    assert_eq!(peer.recovery.algorithm().congestion_window(), 12_000);
}

#[test]
fn rejected_zero_rtt_is_lost_without_congestion() {
    let mut peer = Peer::with(Role::Client, Box::new(NewReno::new(1200)));
    peer.send_in(Space::Initial);
    peer.send_in(APP);
    peer.recovery.on_zero_rtt_rejected(peer.now, &mut peer.fates);
    assert_eq!(peer.fates.lost, [0]);
    assert_eq!(peer.recovery.bytes_in_flight(), 1200);
    assert_eq!(peer.recovery.algorithm().congestion_window(), 12_000);
}

#[test]
fn probes_find_the_oldest_open_packets_first() {
    // RFC 9002 §6.2.4
    let mut peer = Peer::new();
    peer.send_many(3);
    peer.send_ack_only();
    peer.send();
    peer.ack(&[1..=1]);
    let open = peer.recovery.oldest_unacked(APP);
    assert_eq!(open.map(|(_, packet)| packet.frames).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(peer.fates, Fates { acked: vec![1], lost: vec![] });
}

#[test]
fn a_spurious_loss_raises_the_packet_threshold() {
    // RFC 9002 §6.1, RFC 8985 §6.2
    let mut peer = Peer::new();
    peer.sample_rtt(); // 0
    peer.send_many(10); // 1 to 10
    peer.wait(100);
    peer.ack(&[6..=6]);
    assert_eq!(peer.fates.lost, [1, 2, 3]);
    assert_eq!(peer.ack(&[6..=6, 1..=1]).spurious_losses, 1);
    assert_eq!(peer.recovery.reordering().packet_threshold(), 6);
    peer.fates.lost.clear();
    peer.ack(&[9..=9]);
    assert_eq!(peer.fates.lost, []);
    peer.ack(&[10..=10]);
    assert_eq!(peer.fates.lost, [4]);
}

#[test]
fn a_packet_later_than_the_time_threshold_raises_it_by_an_eighth() {
    // RFC 9002 §6.1.2
    let mut peer = Peer::new();
    peer.sample_rtt();
    peer.send_many(2);
    peer.wait(100);
    peer.ack(&[2..=2]);
    peer.expire();
    assert_eq!(peer.fates.lost, [1]);
    let rtt = peer.recovery.rtt().clone();
    assert_eq!(peer.recovery.reordering().loss_delay(&rtt), rtt.smoothed() * 9 / 8);
    peer.wait(5);
    peer.ack(&[1..=2]);
    assert_eq!(peer.recovery.reordering().loss_delay(&rtt), rtt.smoothed() * 10 / 8);
}

#[test]
fn a_path_that_stays_in_order_is_trusted_again() {
    // RFC 8985 §6.2
    let mut peer = Peer::new();
    peer.send_many(10);
    peer.wait(100);
    peer.ack(&[9..=9]);
    peer.ack(&[9..=9, 0..=0]);
    assert_eq!(peer.recovery.reordering().packet_threshold(), 10);
    for _ in 0..17 {
        peer.wait(1);
        peer.send_many(12);
        peer.wait(200);
        let newest = peer.recovery.next_packet_number(APP) - 1;
        peer.ack(&[newest..=newest]);
    }
    assert_eq!(peer.recovery.reordering().packet_threshold(), 3);
}

#[test]
fn the_flight_shrinks_in_proportion_while_losses_are_repaired() {
    // RFC 9937 §6, by way of RFC 9002 §7.3.2
    let mut peer = Peer::new_reno();
    peer.send_many(10);
    peer.wait(50);
    peer.ack(&[1..=3]); // 0 is lost: half of 12000 is the target
    let (mut sent, mut early) = (0, 0);
    for number in 4..10 {
        while peer.recovery.can_send(1200) {
            early += usize::from(peer.recovery.bytes_in_flight() > 6000);
            peer.send();
            sent += 1;
        }
        assert!(peer.recovery.bytes_in_flight() >= 6000);
        peer.ack(&[number..=number]);
    }
    // Nine packets acknowledged: about half as many were sent, and not only after half of the
    // flight was gone.
    assert!((3..=5).contains(&sent), "{sent}");
    assert_eq!(early, 2);
    peer.wait(50);
    peer.ack(&[10..=10]);
    assert_eq!(peer.recovery.algorithm().congestion_window(), 6000);
}

#[test]
fn the_algorithm_chooses_between_ect0_and_ect1() {
    // RFC 9000 §13.4.1, RFC 9331 §4.1
    let mut peer = Peer::with(Role::Server, Box::new(Prague::new(1200)));
    peer.confirm();
    peer.send_many(10);
    assert_eq!(peer.recovery.ecn_codepoint(), Ecn::NotEct); // all that is tested with
    peer.wait(10);
    let counts = EcnCounts { ect0: 0, ect1: 9, ce: 1 };
    assert_eq!(peer.ack_ecn(0..=9, counts).ce_marks, 1);
    assert_eq!(peer.recovery.ecn_codepoint(), Ecn::Ect1);
}

#[test]
fn a_packet_newer_than_all_acknowledged_ones_is_not_lost_by_time() {
    // RFC 9002 §6.1
    let mut peer = Peer::new();
    peer.sample_rtt();
    peer.send_many(3); // 1, 2, 3
    peer.wait(100);
    peer.ack(&[2..=2]);
    peer.wait(100);
    peer.ack(&[1..=2]); // without a sample: the RTT is still 100 ms
    assert_eq!(peer.fates.lost, []);
}
