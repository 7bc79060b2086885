//! Connection IDs: how many there are, their retirement, and their reset tokens (RFC 9000 §5.1).

use protoquic::wire::Frame;
use protoquic::{CloseReason, ConnectionId, ResetToken};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters_with;
use protoquic_tests::http3::varint;

use super::{SECOND, end, evil_client, evil_server, net};

#[test]
fn a_server_issues_as_many_ids_as_the_client_keeps() {
    // RFC 9000 §5.1.1
    let mut net = net();
    for (port, limit, issued) in [(5001, 2, 1), (5002, 3, 2), (5003, 4, 3), (5004, 100, 3)] {
        let parameters = parameters_with(0x0e, &varint(limit));
        let mut evil = Evil::client(&mut net, port, b"echo", &parameters, unchanged());
        assert!(evil.handshake(&mut net));
        evil.run(&mut net, SECOND);
        let count = evil.count(|frame| matches!(frame, Frame::NewConnectionId { .. }));
        assert_eq!(count, issued, "limit {limit}");
    }
}

#[test]
fn ids_are_issued_when_somebody_may_move() {
    // RFC 9000 §9: not before the handshake is confirmed.
    let mut net = net();
    let evil = evil_client(&mut net);
    let first = |wanted: fn(&Frame<'_>) -> bool| {
        let holds =
            |payload| protoquic::wire::FrameIter::new(payload).flatten().any(|f| wanted(&f));
        evil.seen.iter().position(|packet| holds(&packet.payload)).unwrap()
    };
    let confirmed = first(|frame| matches!(frame, Frame::HandshakeDone));
    let issued = first(|frame| matches!(frame, Frame::NewConnectionId { .. }));
    assert_eq!(issued, confirmed, "in the same packet");
}

/// The IDs that the other side gave to the attacker.
fn given_ids(evil: &Evil) -> Vec<(u64, ConnectionId)> {
    let frames = |payload| protoquic::wire::FrameIter::new(payload).flatten();
    let frames = evil.seen.iter().flat_map(|packet| frames(&packet.payload));
    frames
        .filter_map(|frame| match frame {
            Frame::NewConnectionId { sequence, id, .. } => Some((sequence, id)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_retired_id_is_replaced_and_no_longer_known() {
    // RFC 9000 §5.1.2
    let mut net = net();
    let mut evil = evil_client(&mut net);
    let first = evil.peer_id;
    evil.peer_id = given_ids(&evil)[0].1;
    evil.send_frame(&mut net, &Frame::RetireConnectionId { sequence: 0 });
    evil.run(&mut net, SECOND);
    assert_eq!(given_ids(&evil).iter().map(|(n, _)| *n).max(), Some(4));
    assert_eq!(evil.close(), None);
    evil.peer_id = first;
    evil.send_frame(&mut net, &Frame::PathChallenge([4; 8]));
    evil.run(&mut net, SECOND);
    assert!(!evil.has_seen(|frame| matches!(frame, Frame::PathResponse(_))));
}

#[test]
fn a_client_goes_on_with_a_new_id_when_told_to() {
    // RFC 9000 §5.1.2, §19.15
    let (mut net, mut evil) = evil_server();
    let id = ConnectionId::new(&[0xdd; 8]).unwrap();
    let reset_token = ResetToken([2; 16]);
    evil.run(&mut net, SECOND / 2);
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 1, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    let mail = net.take_mail(evil.address);
    assert!(mail.iter().all(|mail| mail.data[1..9] == [0xdd; 8]) && !mail.is_empty());
    evil.local_id = id;
    net.run_for(SECOND);
    evil.run(&mut net, SECOND);
    assert!(evil.has_seen(|f| matches!(f, Frame::RetireConnectionId { sequence: 0 })));
}

#[test]
fn a_reset_token_of_a_new_id_ends_the_connection() {
    // RFC 9000 §10.3.1
    let (mut net, mut evil) = evil_server();
    let id = ConnectionId::new(&[0xdd; 8]).unwrap();
    let reset_token = ResetToken([2; 16]);
    let reset = [&[0x41; 30][..], &[2; 16]].concat();
    evil.send_datagram(&mut net, reset.clone());
    net.run_for(SECOND / 10);
    assert_eq!(end(&net), None, "the token is not known yet");
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 0, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    evil.send_datagram(&mut net, reset.clone());
    net.run_for(SECOND / 10);
    assert_eq!(end(&net), None, "nothing was sent to this ID");
    let frame = Frame::NewConnectionId { sequence: 1, retire_prior_to: 1, id, reset_token };
    evil.send_frame(&mut net, &frame);
    net.run_for(SECOND / 10);
    evil.send_datagram(&mut net, reset);
    net.run_for(SECOND);
    assert_eq!(end(&net), Some(&CloseReason::StatelessReset));
}
