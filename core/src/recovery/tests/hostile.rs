//! Peers that acknowledge what they should not, or not what they should.

use std::ops::RangeInclusive;

use super::harness::{APP, Fates, Peer};
use crate::error::TransportErrorCode;
use crate::recovery::SentLedger;

fn is_violation(peer: &mut Peer, range: RangeInclusive<u64>) -> bool {
    match peer.try_ack(APP, &[range]) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code(), TransportErrorCode::PROTOCOL_VIOLATION);
            true
        }
    }
}

#[test]
fn an_ack_of_an_unsent_packet_is_a_violation() {
    // RFC 9000 §13.1
    let mut peer = Peer::new();
    assert!(is_violation(&mut peer, 0..=0));
    peer.send_many(3);
    assert!(is_violation(&mut peer, 0..=3));
    assert!(is_violation(&mut peer, 0..=u64::MAX));
    assert_eq!(peer.fates, Fates::default(), "nothing is applied");
    assert!(!is_violation(&mut peer, 0..=2));
}

#[test]
fn an_ack_of_a_skipped_packet_is_a_violation_even_much_later() {
    // RFC 9000 §21.4
    let mut peer = Peer::new();
    peer.send_many(5);
    assert_eq!(peer.recovery.skip_packet_number(APP), 5);
    peer.send_many(5);
    assert!(is_violation(&mut peer, 0..=10));
    assert!(is_violation(&mut peer, 5..=5));
    peer.ack(&[6..=10, 0..=4]);
    assert_eq!(peer.fates.acked.len(), 10);
    assert!(is_violation(&mut peer, 4..=6));
}

#[test]
fn an_ack_across_spaces_does_not_mix_them() {
    let mut peer = Peer::new();
    peer.send_many(3);
    assert!(peer.try_ack(crate::Space::Handshake, &[0..=0]).is_err());
}

#[test]
fn overlapping_and_empty_ranges_change_nothing_twice() {
    let mut peer = Peer::new();
    peer.send_many(10);
    #[expect(clippy::reversed_empty_ranges, reason = "a parser should never make one; we survive")]
    peer.ack(&[5..=9, 4..=9, 9..=5, 0..=9]);
    assert_eq!(peer.fates.acked.len(), 10);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
}

#[test]
fn a_million_sparse_acks_keep_the_ledger_small() {
    let mut peer = Peer::new();
    for _ in 0..1_000_000 {
        let (odd, even) = (peer.send(), peer.send());
        peer.ack(&[even..=even]);
        assert!(odd < even);
        if even % 1000 == 1 {
            peer.fates = Fates::default();
        }
        let open = peer.recovery.ledgers.get(APP).unwrap().len();
        assert!(open <= 4, "{open} slots after packet {even}");
    }
    assert_eq!(peer.recovery.stats().packets_acked, 1_000_000);
}

#[test]
fn a_wide_flight_acknowledged_in_single_sparse_packets_stays_linear() {
    // Newest first, one ACK each: the first loses almost all, the others find nothing to do.
    let mut peer = Peer::new();
    peer.send_many(200_000);
    for number in (0..200_000).rev().step_by(2) {
        peer.ack(&[number..=number]);
    }
    peer.expire();
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    assert_eq!(peer.fates.acked.len() + peer.fates.lost.len(), 200_000);
}

#[test]
fn a_peer_that_never_acknowledges_acks_costs_no_memory() {
    let mut peer = Peer::new();
    for i in 0..1_000_000_u64 {
        peer.send_ack_only();
        if i % 100_000 == 0 {
            peer.send();
        }
    }
    let ledger: &SentLedger<u64> = peer.recovery.ledgers.get(APP).unwrap();
    assert!(ledger.len() < 200, "{}", ledger.len());
    assert!(ledger.has_ack_eliciting());
    let last = peer.recovery.next_packet_number(APP) - 1;
    peer.ack(&[0..=last]);
    assert_eq!(peer.recovery.bytes_in_flight(), 0);
    assert!(peer.recovery.ledgers.get(APP).unwrap().is_empty());
}
