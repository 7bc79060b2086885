//! Flow control and stream limits between two ends.

use super::*;

#[test]
fn a_sender_stops_at_the_streams_limit_and_says_so_once() {
    // RFC 9000 §4.1, §19.13
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(BIDI).unwrap();
    pair.client.write_all(stream, zeros(1500)).unwrap();
    assert_eq!(packet(&mut pair.client).data(), [(0, 0, 1000, false)]);
    let blocked = ControlFrame::StreamDataBlocked { id: stream, limit: 1000 };
    assert_eq!(packet(&mut pair.client).controls(), [blocked]);
    assert!(!pair.client.wants_to_send());

    pair.client.on_max_stream_data(stream, 1200).unwrap();
    assert_eq!(packet(&mut pair.client).data(), [(0, 1000, 200, false)]);
}

#[test]
fn a_sender_stops_at_the_connections_limit_and_says_so_once() {
    // RFC 9000 §4.1, §19.12
    let config = StreamsConfig { max_data: 100, ..small() };
    let mut client = Pair::new(&config).client;
    let streams: Vec<_> = (0..3).map(|_| client.open(BIDI).unwrap()).collect();
    for stream in &streams {
        client.write_all(*stream, zeros(60)).unwrap();
    }
    let sent: usize = packet(&mut client).data().iter().map(|frame| frame.2).sum();
    assert_eq!(sent, 100);
    assert_eq!(packet(&mut client).controls(), [ControlFrame::DataBlocked(100)]);
    assert!(!client.wants_to_send());

    client.on_max_data(170);
    let sent: usize = packet(&mut client).data().iter().map(|frame| frame.2).sum();
    assert_eq!(sent, 70);
}

#[test]
fn fin_needs_no_credit() {
    let config = StreamsConfig { max_data: 10, ..small() };
    let mut client = Pair::new(&config).client;
    let (blocked, empty) = (client.open(BIDI).unwrap(), client.open(BIDI).unwrap());
    client.write_all(blocked, zeros(20)).unwrap();
    packet(&mut client);
    packet(&mut client);
    client.finish(empty).unwrap();
    assert_eq!(packet(&mut client).data(), [(4, 0, 0, true)]);
    assert!(!client.wants_to_send());
}

#[test]
fn a_lost_blocked_frame_is_resent_only_while_it_is_true() {
    // RFC 9000 §13.3
    let config = StreamsConfig { max_data: 10, ..small() };
    let mut client = Pair::new(&config).client;
    let stream = client.open(BIDI).unwrap();
    client.write_all(stream, zeros(20)).unwrap();
    packet(&mut client);
    let blocked = packet(&mut client);
    blocked.records().for_each(|record| client.on_lost(&record));
    assert_eq!(packet(&mut client).controls(), [ControlFrame::DataBlocked(10)]);
    client.on_max_data(11);
    packet(&mut client);
    packet(&mut client);
    client.on_max_data(100);
    packet(&mut client);
    blocked.records().for_each(|record| client.on_lost(&record));
    assert!(!client.wants_to_send());
}

#[test]
fn a_transfer_resumes_from_a_closed_window() {
    let mut pair = Pair::new(&small());
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, zeros(100_000)).unwrap();
    pair.client.finish(stream).unwrap();
    let mut read = 0;
    for _ in 0..1000 {
        pair.exchange();
        read += read_all(&mut pair.server, stream).len();
    }
    assert_eq!(read, 100_000);
    assert!(pair.server.is_finished(stream));
}

#[test]
fn credit_comes_when_half_the_window_is_read() {
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(1000)).unwrap();
    assert!(!server.wants_to_send(), "no credit for what is not read");
    server.read_max(id(0), 499).unwrap();
    assert!(!server.wants_to_send());
    server.read_max(id(0), 1).unwrap();
    let max = ControlFrame::MaxStreamData { id: id(0), max: 1500 };
    assert_eq!(packet(&mut server).controls(), [max]);
    server.read(id(0)).unwrap();
    let controls = packet(&mut server).controls();
    assert!(controls.contains(&ControlFrame::MaxData(3000)), "{controls:?}");
}

#[test]
fn a_lost_limit_is_resent_with_the_newest_value() {
    // RFC 9000 §13.3
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(1000)).unwrap();
    server.read_max(id(0), 500).unwrap();
    let lost = packet(&mut server);
    server.read_max(id(0), 100).unwrap();
    lost.records().for_each(|record| server.on_lost(&record));
    let max = ControlFrame::MaxStreamData { id: id(0), max: 1600 };
    assert_eq!(packet(&mut server).controls(), [max]);
}

#[test]
fn no_stream_limit_is_sent_once_the_size_is_known() {
    // RFC 9000 §3.2
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(600)).unwrap();
    server.read(id(0)).unwrap();
    server.on_stream_frame(id(0), 900, true, zeros(0)).unwrap();
    assert!(!server.wants_to_send());
}

#[test]
fn windows_grow_for_a_fast_reader() {
    let config =
        StreamsConfig { max_stream_window: 8000, max_connection_window: 12_000, ..small() };
    let mut pair = Pair::new(&config);
    let stream = pair.client.open(UNI).unwrap();
    pair.client.write_all(stream, zeros(100_000)).unwrap();
    let mut largest = 0;
    for round in 0..30 {
        pair.server.set_time(Time::from_millis(round), Duration::from_millis(10));
        while pair.client.wants_to_send() {
            carry(&mut pair.client, &mut pair.server);
        }
        let read = read_all(&mut pair.server, stream).len();
        largest = largest.max(read);
        carry(&mut pair.server, &mut pair.client);
    }
    assert_eq!(largest, 8000);
}

#[test]
fn opening_stops_at_the_limit_says_so_once_and_resumes() {
    // RFC 9000 §4.6, §19.14
    let config = StreamsConfig { max_streams_uni: 1, ..small() };
    let mut client = Pair::new(&config).client;
    client.open(UNI).unwrap();
    assert_eq!(client.open(UNI), Err(StreamError::LimitReached));
    assert_eq!(client.open(UNI), Err(StreamError::LimitReached));
    let blocked = ControlFrame::StreamsBlocked { dir: UNI, limit: 1 };
    assert_eq!(packet(&mut client).controls(), [blocked]);
    assert!(!client.wants_to_send());
    client.on_max_streams(UNI, 1).unwrap();
    assert_eq!(events(&mut client), []);
    client.on_max_streams(UNI, 2).unwrap();
    assert_eq!(events(&mut client), [StreamEvent::CanOpen(UNI)]);
    assert_eq!(client.open(UNI), Ok(id(6)));
}

#[test]
fn streams_opened_before_the_peers_limits_are_known_wait_for_them() {
    let mut client = Streams::new(Role::Client, &small());
    assert_eq!(client.open(BIDI), Err(StreamError::LimitReached));
    assert!(!client.wants_to_send(), "there is no limit to complain about yet");
    client.set_peer_parameters(limits(&small()));
    assert_eq!(events(&mut client), [StreamEvent::CanOpen(BIDI)]);
}

#[test]
fn rejected_early_data_is_sent_again_under_the_new_limits() {
    // RFC 9000 §7.4.1
    let mut client = Pair::new(&small()).client;
    let (first, second) = (client.open(BIDI).unwrap(), client.open(BIDI).unwrap());
    for stream in [first, second] {
        client.write_all(stream, zeros(100)).unwrap();
        client.finish(stream).unwrap();
    }
    packet(&mut client);
    client.on_zero_rtt_rejected();
    assert!(!client.wants_to_send());
    client.set_peer_parameters(PeerLimits {
        initial_max_streams_bidi: 1,
        initial_max_data: 150,
        ..limits(&small())
    });
    assert_eq!(packet(&mut client).data(), [(0, 0, 100, true)]);
    client.on_max_streams(BIDI, 2).unwrap();
    assert_eq!(packet(&mut client).data(), [(4, 0, 50, false)]);
}
