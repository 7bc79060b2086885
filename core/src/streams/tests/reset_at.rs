//! RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset) and deadlines of streams.

use super::*;

/// A stream on which the client has written so much.
fn written(len: usize) -> (Pair, StreamId) {
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, (0..len).map(|n| n as u8).collect::<Vec<_>>().into()).unwrap();
    (pair, stream)
}

fn reset_at(id: StreamId, final_size: u64, reliable: u64) -> ControlFrame {
    ControlFrame::ResetStreamAt { id, error: CODE, final_size, reliable }
}

fn front(len: usize) -> Vec<u8> {
    (0..len).map(|n| n as u8).collect()
}

#[test]
fn the_front_is_delivered_and_then_the_reset() {
    // §5
    let (mut pair, stream) = written(900);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    assert_eq!(pair.client.write_all(stream, zeros(1)), Err(StreamError::Finished));
    let packet = carry(&mut pair.client, &mut pair.server);
    assert_eq!(packet.data(), [(2, 0, 300, false)], "what is not reliable and not sent is dropped");
    let packet = carry(&mut pair.client, &mut pair.server);
    assert_eq!(packet.controls(), [reset_at(stream, 300, 300)]);
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
    assert!(
        !events(&mut pair.server).iter().any(|event| matches!(event, StreamEvent::Reset { .. }))
    );
    assert_eq!(read_all(&mut pair.server, stream), front(300));
    let reset = StreamEvent::Reset { id: stream, code: CODE };
    assert_eq!(events(&mut pair.server), [reset, StreamEvent::Closed(stream)]);
    assert_eq!(pair.server.unread(), 0, "all flow control is given back");
}

#[test]
fn lost_data_is_resent_up_to_the_reliable_size_only() {
    // §5
    let (mut pair, stream) = written(900);
    let lost = packet(&mut pair.client);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    let reset = carry(&mut pair.client, &mut pair.server);
    assert_eq!(reset.controls(), [reset_at(stream, 900, 300)], "what was sent counts");
    lost.records().for_each(|record| pair.client.on_lost(&record));
    let again = carry(&mut pair.client, &mut pair.server);
    assert_eq!(again.data(), [(2, 0, 300, false)]);
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
    assert_eq!(read_all(&mut pair.server, stream), front(300));
    assert!(events(&mut pair.server).contains(&StreamEvent::Reset { id: stream, code: CODE }));
    assert_eq!(pair.server.unread(), 0, "credit for 900 bytes is given back");
}

#[test]
fn a_lost_frame_is_resent_until_it_is_acknowledged() {
    // §4
    let (mut pair, stream) = written(900);
    let data = carry(&mut pair.client, &mut pair.server);
    assert_eq!(data.data().len(), 1);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    for _ in 0..3 {
        let lost = packet(&mut pair.client);
        assert_eq!(lost.controls(), [reset_at(stream, 900, 300)]);
        assert!(!pair.client.wants_to_send());
        lost.records().for_each(|record| pair.client.on_lost(&record));
    }
    assert_eq!(events(&mut pair.client), []);
    carry(&mut pair.client, &mut pair.server);
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
}

#[test]
fn the_reliable_size_only_shrinks() {
    // §5.2
    let (mut pair, stream) = written(900);
    let data = packet(&mut pair.client);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    let first = packet(&mut pair.client);
    pair.client.reset_at(stream, ApplicationError(8), 500).unwrap();
    assert!(!pair.client.wants_to_send(), "it does not grow");
    pair.client.reset_at(stream, ApplicationError(8), 100).unwrap();
    let second = packet(&mut pair.client);
    assert_eq!(second.controls(), [reset_at(stream, 900, 100)], "code and final size stand");
    first.records().for_each(|record| pair.client.on_acked(&record));
    data.records().for_each(|record| pair.client.on_lost(&record));
    let again = packet(&mut pair.client);
    assert_eq!(again.data(), [(2, 0, 100, false)]);
    again.records().for_each(|record| pair.client.on_acked(&record));
    assert_eq!(events(&mut pair.client), [], "the smallest is not acknowledged yet");
    second.records().for_each(|record| pair.client.on_acked(&record));
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
}

#[test]
fn a_receiver_ignores_a_reliable_size_that_grows() {
    // §5.2: reordering may bring the larger one later.
    let mut server = server(&small());
    server.on_reset_stream_at(id(2), CODE, 900, 100).unwrap();
    server.on_reset_stream_at(id(2), CODE, 900, 300).unwrap();
    server.on_stream_frame(id(2), 0, false, zeros(100)).unwrap();
    assert_eq!(read_all(&mut server, id(2)).len(), 100);
    assert!(events(&mut server).contains(&StreamEvent::Reset { id: id(2), code: CODE }));
}

#[test]
fn a_receiver_expects_no_more_than_the_smallest_reliable_size() {
    // §5.2
    let mut server = server(&small());
    server.on_reset_stream_at(id(2), CODE, 900, 300).unwrap();
    server.on_stream_frame(id(2), 0, false, zeros(100)).unwrap();
    assert_eq!(read_all(&mut server, id(2)).len(), 100);
    assert!(!events(&mut server).contains(&StreamEvent::Reset { id: id(2), code: CODE }));
    server.on_reset_stream_at(id(2), CODE, 900, 50).unwrap();
    assert!(events(&mut server).contains(&StreamEvent::Reset { id: id(2), code: CODE }));
    // RESET_STREAM is a reliable size of 0.
    server.on_stream_frame(id(6), 0, false, zeros(100)).unwrap();
    server.on_reset_stream_at(id(6), CODE, 900, 300).unwrap();
    server.on_reset_stream(id(6), CODE, 900).unwrap();
    assert_eq!(server.read(id(6)), Err(StreamError::Reset(CODE)));
}

#[test]
fn neither_code_nor_final_size_may_change() {
    // §5.2
    type Change = fn(&mut Streams, ApplicationError) -> Result<(), TransportError>;
    let other = ApplicationError(8);
    let cases: [(Change, _); 5] = [
        (|s, c| s.on_reset_stream_at(id(2), c, 900, 100), TransportErrorCode::STREAM_STATE_ERROR),
        (|s, c| s.on_reset_stream(id(2), c, 900), TransportErrorCode::STREAM_STATE_ERROR),
        (|s, _| s.on_reset_stream_at(id(2), CODE, 901, 100), TransportErrorCode::FINAL_SIZE_ERROR),
        (|s, _| s.on_reset_stream(id(2), CODE, 899), TransportErrorCode::FINAL_SIZE_ERROR),
        (
            |s, _| s.on_stream_frame(id(2), 800, true, zeros(1)),
            TransportErrorCode::FINAL_SIZE_ERROR,
        ),
    ];
    for (change, expected) in cases {
        let mut server = server(&small());
        server.on_reset_stream_at(id(2), CODE, 900, 300).unwrap();
        assert_eq!(code(change(&mut server, other)), expected);
    }
}

#[test]
fn the_final_size_is_subject_to_flow_control() {
    // §4
    let mut pair = Pair::new(&small());
    let result = pair.server.on_reset_stream_at(id(2), CODE, 1001, 0);
    assert_eq!(code(result), TransportErrorCode::FLOW_CONTROL_ERROR);
    for stream in [2, 6] {
        pair.server.on_reset_stream_at(id(stream), CODE, 1000, 10).unwrap();
    }
    let result = pair.server.on_reset_stream_at(id(10), CODE, 1, 1);
    assert_eq!(code(result), TransportErrorCode::FLOW_CONTROL_ERROR);
    // Our own sender waits for credit.
    let (mut pair, stream) = written(3000);
    pair.client.reset_at(stream, CODE, 1500).unwrap();
    let sent = carry(&mut pair.client, &mut pair.server);
    assert_eq!(sent.data(), [(2, 0, 1000, false)]);
    assert!(
        !sent.controls().iter().any(|frame| matches!(frame, ControlFrame::ResetStreamAt { .. }))
    );
    pair.exchange();
    assert_eq!(read_all(&mut pair.server, stream).len(), 1000);
    pair.exchange();
    assert_eq!(read_all(&mut pair.server, stream).len(), 500);
    pair.exchange();
    assert!(events(&mut pair.server).contains(&StreamEvent::Reset { id: stream, code: CODE }));
}

#[test]
fn after_fin_a_stream_can_still_be_cut_short() {
    // §5.1
    let (mut pair, stream) = written(900);
    pair.client.finish(stream).unwrap();
    let lost = packet(&mut pair.client);
    pair.client.reset_at(stream, CODE, 200).unwrap();
    lost.records().for_each(|record| pair.client.on_lost(&record));
    pair.exchange();
    assert_eq!(read_all(&mut pair.server, stream), front(200));
    assert!(events(&mut pair.server).contains(&StreamEvent::Reset { id: stream, code: CODE }));
    assert!(events(&mut pair.client).contains(&StreamEvent::Closed(stream)));
}

#[test]
fn who_has_all_data_before_the_reset_need_not_hear_of_it() {
    // RFC 9000 §3.2
    let mut server = server(&small());
    server.on_stream_frame(id(2), 0, true, zeros(100)).unwrap();
    server.on_reset_stream_at(id(2), CODE, 100, 50).unwrap();
    assert_eq!(read_all(&mut server, id(2)).len(), 100);
    assert!(server.is_finished(id(2)));
}

#[test]
fn stop_sending_is_answered_with_reset_stream_of_the_same_code_as_before() {
    // §5.2, §5.4
    let (mut pair, stream) = written(900);
    let lost = packet(&mut pair.client);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    carry(&mut pair.client, &mut pair.server);
    pair.client.on_stop_sending(stream, ApplicationError(9)).unwrap();
    lost.records().for_each(|record| pair.client.on_lost(&record));
    if pair.client.wants_to_send() {
        let answer = packet(&mut pair.client);
        let expected = ControlFrame::ResetStream { id: stream, error: CODE, final_size: 900 };
        assert_eq!((answer.controls(), answer.data()), (vec![expected], vec![]));
    }
}

#[test]
fn a_stream_nobody_reads_any_more_is_reset_at_once() {
    let mut server = server(&small());
    server.on_stream_frame(id(2), 0, false, zeros(10)).unwrap();
    server.stop_sending(id(2), CODE).unwrap();
    server.on_reset_stream_at(id(2), CODE, 900, 300).unwrap();
    assert!(events(&mut server).contains(&StreamEvent::Closed(id(2))));
    assert_eq!(server.unread(), 0);
}

#[test]
fn a_peer_that_has_not_offered_it_gets_none() {
    // §3
    let mut pair = Pair::new(&small());
    pair.client.set_peer_parameters(PeerLimits { reset_stream_at: false, ..limits(&small()) });
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, zeros(100)).unwrap();
    assert_eq!(pair.client.reset_at(stream, CODE, 50), Err(StreamError::NotSupported));
    assert_eq!(packet(&mut pair.client).data(), [(2, 0, 100, false)]);
}

#[test]
fn after_rejected_0rtt_it_is_all_sent_again() {
    let (mut pair, stream) = written(900);
    packet(&mut pair.client);
    pair.client.reset_at(stream, CODE, 300).unwrap();
    packet(&mut pair.client);
    pair.client.on_zero_rtt_rejected();
    pair.client.set_peer_parameters(limits(&small()));
    pair.exchange();
    assert!(read_all(&mut pair.server, stream).starts_with(&front(300)));
    assert!(events(&mut pair.server).contains(&StreamEvent::Reset { id: stream, code: CODE }));
    assert!(events(&mut pair.client).contains(&StreamEvent::Closed(stream)));
}

#[test]
fn what_is_not_sent_by_its_deadline_is_dropped_whole() {
    let deadline = Time::from_millis(50);
    let (mut pair, stream) = written(3000);
    pair.client.set_deadline(stream, Some(deadline), CODE).unwrap();
    assert_eq!(pair.client.next_deadline(), Some(deadline));
    pair.exchange(); // 1000 bytes, by flow control
    pair.client.expire(Time::from_millis(49));
    assert_eq!(events(&mut pair.client), []);
    pair.client.expire(deadline);
    assert_eq!(pair.client.next_deadline(), None);
    assert_eq!(events(&mut pair.client), [StreamEvent::Expired(stream)]);
    let last = carry(&mut pair.client, &mut pair.server);
    let frame = ControlFrame::ResetStream { id: stream, error: CODE, final_size: 1000 };
    assert_eq!((last.controls(), last.data().len()), (vec![frame], 0));
    assert!(events(&mut pair.server).contains(&StreamEvent::Reset { id: stream, code: CODE }));
}

#[test]
fn what_is_lost_after_its_deadline_is_not_sent_again() {
    let (mut pair, stream) = written(500);
    pair.client.finish(stream).unwrap();
    pair.client.set_deadline(stream, Some(Time::from_millis(50)), CODE).unwrap();
    let lost = packet(&mut pair.client);
    pair.client.expire(Time::from_millis(50));
    assert_eq!(events(&mut pair.client), [], "it may still arrive");
    lost.records().for_each(|record| pair.client.on_lost(&record));
    assert_eq!(events(&mut pair.client), [StreamEvent::Expired(stream)]);
    let last = packet(&mut pair.client);
    let frame = ControlFrame::ResetStream { id: stream, error: CODE, final_size: 500 };
    assert_eq!((last.controls(), last.data().len()), (vec![frame], 0));
}

#[test]
fn what_is_lost_before_its_deadline_is_sent_again() {
    let (mut pair, stream) = written(500);
    pair.client.finish(stream).unwrap();
    pair.client.set_deadline(stream, Some(Time::from_millis(50)), CODE).unwrap();
    let lost = packet(&mut pair.client);
    pair.client.expire(Time::from_millis(49));
    lost.records().for_each(|record| pair.client.on_lost(&record));
    assert_eq!(packet(&mut pair.client).data(), [(2, 0, 500, true)]);
    pair.client.expire(Time::from_millis(50));
    assert_eq!(events(&mut pair.client), []);
}

#[test]
fn a_deadline_that_is_met_or_taken_away_does_nothing() {
    let (mut pair, met) = written(500);
    pair.client.finish(met).unwrap();
    let cleared = pair.client.open(UNI).unwrap();
    for stream in [met, cleared] {
        pair.client.set_deadline(stream, Some(Time::from_millis(50)), CODE).unwrap();
    }
    pair.client.set_deadline(cleared, None, CODE).unwrap();
    pair.exchange();
    while pair.client.poll_event().is_some() {}
    pair.client.expire(Time::from_millis(60));
    assert_eq!(events(&mut pair.client), []);
    assert!(!pair.client.wants_to_send());
}
