//! The loss detection timer: RFC 9002 §6.2 and §A.8.

use super::harness::{APP, Peer, ms};
use crate::congestion::NewReno;
use crate::recovery::TimeoutAction;
use crate::time::Time;
use crate::types::{Role, Space};

const fn probe(space: Space, packets: u8) -> TimeoutAction {
    TimeoutAction::Probe { space, packets }
}

fn client() -> Peer {
    Peer::with(Role::Client, Box::new(NewReno::new(1200)))
}

#[test]
fn the_first_probe_is_sent_after_three_initial_rtts() {
    // RFC 9002 §6.2.2: 333 + 4 * 166.5 ms
    let mut peer = client();
    let start = peer.now;
    peer.send_in(Space::Initial);
    assert_eq!(peer.recovery.deadline(), Some(start + ms(999)));
    assert_eq!(peer.expire(), probe(Space::Initial, 2));
}

#[test]
fn a_client_that_has_sent_nothing_sets_no_timer() {
    assert_eq!(client().recovery.deadline(), None);
}

#[test]
fn nothing_happens_before_the_deadline() {
    let mut peer = client();
    peer.send_in(Space::Initial);
    peer.wait(998);
    let action = peer.recovery.on_deadline(peer.now, &mut peer.fates);
    assert_eq!(action, TimeoutAction::None);
}

#[test]
fn each_probe_timeout_doubles_the_next_up_to_a_limit() {
    // RFC 9002 §6.2.1
    let mut peer = Peer::new();
    peer.sample_rtt();
    let mut waits = Vec::new();
    for _ in 0..40 {
        let sent = peer.now;
        peer.send();
        assert_eq!(peer.expire(), probe(APP, 2));
        waits.push((peer.now - sent).as_millis());
    }
    // 100 + 4 * 50 + 25 ms
    assert_eq!(waits[..4], [325, 650, 1300, 2600]);
    assert_eq!(waits[39], 60_000);
    assert_eq!(peer.fates.lost, [], "a probe timeout loses nothing");
    let last = peer.recovery.next_packet_number(APP) - 1;
    peer.wait(100);
    peer.ack(&[last..=last]);
    assert_eq!(peer.recovery.pto_count(), 0);
}

#[test]
fn a_probe_that_cannot_be_sent_is_due_again_a_period_later() {
    // The writer may be full, or the peer's address unproven: nothing is sent when the timer says.
    let mut peer = Peer::new();
    peer.sample_rtt();
    peer.send();
    peer.wait(100_000);
    for period in [650, 1300, 2600] {
        let action = peer.recovery.on_deadline(peer.now, &mut peer.fates);
        assert_eq!(action, probe(APP, 2));
        let next = peer.now + ms(period);
        assert_eq!(peer.recovery.deadline(), Some(next));
        peer.now = next;
    }
}

#[test]
fn one_rtt_packets_are_not_probed_before_confirmation() {
    // RFC 9002 §6.2.1
    let mut peer = Peer::with(Role::Server, Box::new(NewReno::new(1200)));
    peer.send();
    assert_eq!(peer.recovery.deadline(), None);
    peer.confirm();
    assert_eq!(peer.recovery.deadline(), Some(peer.now + ms(999 + 25)));
}

#[test]
fn the_earliest_space_is_probed() {
    // RFC 9002 §6.2.1
    let mut peer = client();
    peer.send_in(Space::Initial);
    peer.wait(10);
    peer.send_in(Space::Handshake);
    assert_eq!(peer.expire(), probe(Space::Initial, 2));
}

#[test]
fn a_server_at_its_amplification_limit_sets_no_timer() {
    // RFC 9002 §6.2.2.1
    let mut peer = Peer::with(Role::Server, Box::new(NewReno::new(1200)));
    peer.send_in(Space::Initial);
    let mut state = peer.recovery.handshake_state();
    state.at_anti_amplification_limit = true;
    peer.recovery.set_handshake_state(peer.now, state);
    assert_eq!(peer.recovery.deadline(), None);
    state.at_anti_amplification_limit = false;
    peer.recovery.set_handshake_state(peer.now, state);
    assert!(peer.recovery.deadline().is_some());
}

#[test]
fn a_client_with_nothing_in_flight_probes_until_its_address_is_validated() {
    // RFC 9002 §6.2.2.1
    let mut peer = client();
    peer.send_in(Space::Initial);
    peer.wait(100);
    peer.try_ack(Space::Initial, &[0..=0]).unwrap();
    assert_eq!(peer.recovery.deadline(), Some(peer.now + ms(300)));
    assert_eq!(peer.expire(), probe(Space::Initial, 1));

    let mut state = peer.recovery.handshake_state();
    state.has_handshake_keys = true;
    peer.recovery.set_handshake_state(peer.now, state);
    peer.recovery.discard_space(peer.now, Space::Initial);
    assert_eq!(peer.expire(), probe(Space::Handshake, 1));

    peer.send_in(Space::Handshake);
    peer.wait(100);
    peer.try_ack(Space::Handshake, &[0..=0]).unwrap();
    assert_eq!(peer.recovery.deadline(), None);
}

#[test]
fn zero_rtt_in_flight_does_not_stop_the_deadlock_probe() {
    let mut peer = client();
    peer.send_in(Space::Initial);
    peer.send_in(APP);
    peer.wait(100);
    peer.try_ack(Space::Initial, &[0..=0]).unwrap();
    assert_eq!(peer.expire(), probe(Space::Initial, 1));
}

#[test]
fn a_client_probes_the_handshake_while_1_rtt_packets_wait_for_confirmation() {
    // RFC 9002 §6.2.1 sets no timer for them: if they fill the window, a lost Finished would never
    // be sent again.
    let mut peer = client();
    let mut state = peer.recovery.handshake_state();
    state.has_handshake_keys = true;
    peer.recovery.set_handshake_state(peer.now, state);
    peer.send_in(Space::Handshake);
    peer.send_in(APP);
    peer.try_ack(Space::Handshake, &[0..=0]).unwrap();
    assert_eq!(peer.expire(), probe(Space::Handshake, 1));
    peer.confirm();
    assert_eq!(peer.expire(), probe(APP, 2));
}

#[test]
fn an_ack_of_initial_does_not_reset_a_clients_backoff() {
    // RFC 9002 §6.2.1
    let mut peer = client();
    peer.send_in(Space::Initial);
    peer.expire();
    peer.send_in(Space::Initial);
    peer.try_ack(Space::Initial, &[0..=0]).unwrap();
    assert_eq!(peer.recovery.pto_count(), 1);
    peer.send_in(Space::Handshake);
    peer.try_ack(Space::Handshake, &[0..=0]).unwrap();
    assert_eq!(peer.recovery.pto_count(), 0);
}

#[test]
fn ack_only_packets_set_no_timer() {
    let mut peer = Peer::new();
    peer.send_ack_only();
    assert_eq!(peer.recovery.deadline(), None);
    peer.send_many(1);
    peer.wait(10);
    peer.ack(&[1..=1]);
    assert_eq!(peer.recovery.deadline(), None);
}

#[test]
fn a_clock_that_jumps_breaks_no_timer() {
    let mut peer = Peer::new();
    peer.sample_rtt();
    peer.send_many(2);
    peer.now = Time::MAX;
    peer.ack(&[2..=2]);
    assert_eq!(peer.fates.lost, [1]);
    peer.send();
    peer.now = Time::ZERO;
    peer.send_many(3);
    peer.ack(&[6..=6]);
    assert!(peer.recovery.rtt().smoothed() <= ms(60_000));
    peer.expire();
    assert_eq!(peer.recovery.bytes_in_flight() % 1200, 0);
}

#[test]
fn a_probe_timeout_alone_changes_neither_packets_nor_window() {
    // RFC 9002 §6.2.1
    let mut peer = Peer::new_reno();
    peer.sample_rtt();
    peer.send_many(3);
    let window = peer.recovery.algorithm().congestion_window();
    assert_eq!(peer.expire(), probe(APP, 2));
    assert_eq!(peer.fates.lost, []);
    assert_eq!(peer.recovery.bytes_in_flight(), 3600);
    assert_eq!(peer.recovery.algorithm().congestion_window(), window);
}
