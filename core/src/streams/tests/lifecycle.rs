//! Streams from their opening to their end, and what the application hears of it.

use super::*;

#[test]
fn both_ends_of_a_finished_stream_forget_it() {
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(BIDI).unwrap();
    pair.client.write_all(stream, Bytes::from_static(b"question")).unwrap();
    pair.client.finish(stream).unwrap();
    pair.exchange();
    let opened = [StreamEvent::Opened(stream), StreamEvent::Readable(stream)];
    assert_eq!(events(&mut pair.server), opened);
    assert_eq!(read_all(&mut pair.server, stream), b"question");
    assert!(pair.server.is_finished(stream));
    pair.server.finish(stream).unwrap();
    pair.exchange();
    let done = [StreamEvent::SendComplete(stream), StreamEvent::Closed(stream)];
    assert_eq!(events(&mut pair.server), done);
    let answered = [StreamEvent::Readable(stream), StreamEvent::SendComplete(stream)];
    assert_eq!(events(&mut pair.client), answered);
    assert_eq!(pair.client.read(stream), Ok(None));
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
    assert_eq!((pair.client.live(), pair.server.live()), (0, 0));
    assert_eq!(pair.client.read(stream), Err(StreamError::UnknownStream));
}

#[test]
fn late_frames_for_a_forgotten_stream_are_ignored() {
    let mut server = server(&small());
    server.on_stream_frame(id(2), 0, true, zeros(5)).unwrap();
    read_all(&mut server, id(2));
    events(&mut server);
    assert_eq!(server.live(), 0);
    server.on_stream_frame(id(2), 0, true, zeros(5)).unwrap();
    server.on_reset_stream(id(2), CODE, 5).unwrap();
    assert_eq!((server.live(), events(&mut server)), (0, vec![]));
    assert_eq!(server.stats().glitches, 2);
}

#[test]
fn a_reset_reaches_the_reader_with_its_code() {
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, zeros(500)).unwrap();
    pair.exchange();
    pair.client.reset(stream, CODE).unwrap();
    assert_eq!(pair.client.write_all(stream, zeros(1)), Err(StreamError::Finished));
    pair.exchange();
    let reset = StreamEvent::Reset { id: stream, code: CODE };
    assert_eq!(
        events(&mut pair.server),
        [StreamEvent::Opened(stream), reset, StreamEvent::Closed(stream)]
    );
    assert_eq!(events(&mut pair.client), [StreamEvent::Closed(stream)]);
    assert_eq!(pair.server.unread(), 0);
}

#[test]
fn stop_sending_is_answered_with_a_reset_of_the_same_code() {
    // RFC 9000 §3.5
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, zeros(3000)).unwrap();
    carry(&mut pair.client, &mut pair.server);
    pair.server.stop_sending(stream, CODE).unwrap();
    pair.exchange();
    let stopped = StreamEvent::StopSending { id: stream, code: CODE };
    assert_eq!(events(&mut pair.client), [stopped, StreamEvent::Closed(stream)]);
    let (opened, closed) = (StreamEvent::Opened(stream), StreamEvent::Closed(stream));
    assert_eq!(events(&mut pair.server), [opened, closed]);
    assert_eq!(pair.server.unread(), 0);
}

#[test]
fn writing_to_a_stopped_stream_tells_why() {
    let mut client = Pair::new(&small()).client;
    let stream = client.open(BIDI).unwrap();
    client.on_stop_sending(stream, CODE).unwrap();
    assert_eq!(client.write(stream, &mut zeros(1)), Err(StreamError::Stopped(CODE)));
    assert_eq!(client.writable(stream), Err(StreamError::Stopped(CODE)));
    assert_eq!(client.finish(stream), Err(StreamError::Stopped(CODE)));
    assert_eq!(client.reset(stream, CODE), Err(StreamError::Stopped(CODE)));
}

#[test]
fn a_lost_reset_is_resent_until_acknowledged_and_data_is_not() {
    // RFC 9000 §13.3
    let mut client = Pair::new(&small()).client;
    let stream = client.open(UNI).unwrap();
    client.write_all(stream, zeros(700)).unwrap();
    let data = packet(&mut client);
    client.reset(stream, CODE).unwrap();
    let reset = packet(&mut client);
    let frame = ControlFrame::ResetStream { id: stream, error: CODE, final_size: 700 };
    assert_eq!(reset.controls(), [frame]);
    data.records().for_each(|record| client.on_lost(&record));
    assert!(!client.wants_to_send());
    reset.records().for_each(|record| client.on_lost(&record));
    assert_eq!(packet(&mut client).controls(), [frame]);
    reset.records().for_each(|record| client.on_acked(&record));
    reset.records().for_each(|record| client.on_lost(&record));
    assert!(!client.wants_to_send());
}

#[test]
fn a_lost_fin_is_resent_alone_or_with_its_data() {
    let mut client = Pair::new(&small()).client;
    let stream = client.open(UNI).unwrap();
    client.write_all(stream, zeros(10)).unwrap();
    let data = packet(&mut client);
    client.finish(stream).unwrap();
    let fin = packet(&mut client);
    assert_eq!(fin.data(), [(2, 10, 0, true)]);
    fin.records().for_each(|record| client.on_lost(&record));
    data.records().for_each(|record| client.on_lost(&record));
    assert_eq!(packet(&mut client).data(), [(2, 0, 10, true)]);
    assert!(!client.wants_to_send());
}

#[test]
fn lost_data_goes_before_new_data() {
    let config = StreamsConfig { max_data: 1 << 20, max_stream_data_uni: 1 << 20, ..small() };
    let mut client = Pair::new(&config).client;
    let (first, second) = (client.open(UNI).unwrap(), client.open(UNI).unwrap());
    client.write_all(first, zeros(100)).unwrap();
    let lost = packet(&mut client);
    client.write_all(second, zeros(100)).unwrap();
    client.write_all(first, zeros(100)).unwrap();
    lost.records().for_each(|record| client.on_lost(&record));
    let sent = packet(&mut client).data();
    assert_eq!(sent, [(2, 0, 100, false), (6, 0, 100, false), (2, 100, 100, false)]);
}

#[test]
fn a_writer_hears_when_half_its_buffer_is_free() {
    let config = StreamsConfig { max_data: 1 << 20, max_stream_data_uni: 1 << 20, ..small() };
    let mut client = Pair::new(&config).client;
    let stream = client.open(UNI).unwrap();
    let mut data = zeros(5000);
    assert_eq!(client.write(stream, &mut data), Ok(4000));
    assert_eq!((data.len(), client.writable(stream)), (1000, Ok(0)));
    packet(&mut client);
    assert_eq!(events(&mut client), []);
    packet(&mut client);
    assert_eq!(events(&mut client), [StreamEvent::Writable(stream)]);
    assert!(client.writable(stream).unwrap() >= 2000);
}

#[test]
fn implicitly_opened_streams_are_announced_in_order_and_usable() {
    // RFC 9000 §3.2
    let mut server = server(&small());
    server.on_stream_frame(id(8), 0, false, zeros(1)).unwrap();
    assert_eq!(server.live(), 1, "only the stream that a frame named has an object");
    let opened = [0, 4, 8].map(|raw| StreamEvent::Opened(id(raw)));
    assert_eq!(events(&mut server)[..3], opened);
    assert_eq!(server.read(id(4)), Ok(None));
    assert_eq!(server.writable(id(4)), Ok(4000));
    server.write_all(id(4), zeros(1)).unwrap();
    server.stop_sending(id(0), CODE).unwrap();
    assert_eq!(server.live(), 3);
    assert_eq!(server.read(id(12)), Err(StreamError::UnknownStream));
}

#[test]
fn stream_credit_comes_only_after_closed_was_handed_out() {
    // hostile peers, row 45
    let config = StreamsConfig { max_streams_uni: 1, ..small() };
    let mut server = server(&config);
    server.on_stream_frame(id(2), 0, true, zeros(1)).unwrap();
    read_all(&mut server, id(2));
    assert!(!server.wants_to_send());
    assert!(events(&mut server).contains(&StreamEvent::Closed(id(2))));
    let more = ControlFrame::MaxStreams { dir: UNI, max: 2 };
    assert_eq!(packet(&mut server).controls(), [more]);
}

#[test]
fn an_unread_event_is_not_repeated_but_more_data_is_reported() {
    let mut server = server(&small());
    for offset in [0, 1, 2] {
        server.on_stream_frame(id(0), offset, false, zeros(1)).unwrap();
    }
    let readable = StreamEvent::Readable(id(0));
    assert_eq!(events(&mut server), [StreamEvent::Opened(id(0)), readable]);
    assert_eq!(events(&mut server), []);
    server.on_stream_frame(id(0), 3, false, zeros(1)).unwrap();
    assert_eq!(events(&mut server), [readable]);
}

#[test]
fn a_closed_connection_sends_nothing_and_keeps_what_can_be_read() {
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(BIDI).unwrap();
    pair.client.write_all(stream, zeros(50)).unwrap();
    carry(&mut pair.client, &mut pair.server);
    pair.server.write_all(stream, zeros(50)).unwrap();
    pair.server.on_connection_closed();
    assert!(!pair.server.wants_to_send());
    assert_eq!(pair.server.write_all(stream, zeros(1)), Err(StreamError::ConnectionClosed));
    assert_eq!(pair.server.open(UNI), Err(StreamError::ConnectionClosed));
    assert_eq!(read_all(&mut pair.server, stream).len(), 50);
    assert!(!pair.server.wants_to_send());
}

#[test]
fn every_order_of_endings_is_an_answer_and_never_a_panic() {
    // hostile peers, row 46
    type Step = fn(&mut Streams, StreamId);
    let steps: [Step; 8] = [
        |server, id| drop(server.on_stop_sending(id, CODE)),
        |server, id| drop(server.on_reset_stream(id, CODE, 10)),
        |server, id| drop(server.on_stream_frame(id, 0, true, zeros(10))),
        |server, id| {
            let _ = server.reset(id, CODE);
        },
        |server, id| {
            let _ = server.stop_sending(id, CODE);
        },
        |server, id| {
            let _ = server.finish(id);
        },
        |server, id| drop(server.read(id)),
        |server, _| drop(events(server)),
    ];
    for order in 0..8_usize.pow(5) {
        let mut server = server(&small());
        server.on_stream_frame(id(0), 0, false, zeros(5)).unwrap();
        server.write_all(id(0), zeros(5)).unwrap();
        for place in 0..5 {
            steps[order / 8_usize.pow(place) % 8](&mut server, id(0));
        }
        while server.wants_to_send() {
            let packet = packet(&mut server);
            packet.records().for_each(|record| server.on_acked(&record));
        }
        assert!(server.unread() <= 10, "order {order:o}");
    }
}
