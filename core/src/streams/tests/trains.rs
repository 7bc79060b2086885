//! Trains: what may go out with nothing else between.

use super::*;

/// A client with 10,000 bytes of credit for each stream and 100,000 in all.
fn client() -> Streams {
    let config = StreamsConfig {
        max_data: 100_000,
        max_stream_data_bidi_remote: 10_000,
        send_buffer: 100_000,
        ..small()
    };
    Pair::new(&config).client
}

fn write(streams: &mut Streams, id: StreamId, len: usize) {
    let mut data = zeros(len);
    while let Ok(taken) = streams.write(id, &mut data)
        && taken > 0
    {}
}

#[test]
fn a_train_is_what_credit_and_data_allow() {
    let mut streams = client();
    let id = streams.open(BIDI).expect("credit");
    assert!(streams.train().is_none(), "there is nothing to send");
    write(&mut streams, id, 4000);
    let train = streams.train().expect("data");
    assert_eq!((train.id, train.offset, train.len, train.turn), (id, 0, 4000, u64::MAX));
    streams.on_train_sent(&train, 3000);
    write(&mut streams, id, 20_000);
    let train = streams.train().expect("data");
    assert_eq!((train.offset, train.len), (3000, 7000), "RFC 9000 §4.1: the stream's limit");
    streams.on_train_sent(&train, 7000);
    assert!(streams.train().is_none(), "what holds data back is said in a frame of its own");
    assert_eq!(
        packet(&mut streams).controls(),
        [ControlFrame::StreamDataBlocked { id, limit: 10_000 }]
    );
}

#[test]
fn fin_is_never_part_of_a_train() {
    let mut streams = client();
    let id = streams.open(BIDI).expect("credit");
    write(&mut streams, id, 4000);
    streams.finish(id).expect("open");
    let train = streams.train().expect("data");
    assert_eq!(train.len, 3999);
    streams.on_train_sent(&train, 3999);
    assert_eq!(packet(&mut streams).data(), [(0, 3999, 1, true)]);
}

#[test]
fn what_is_lost_or_owed_goes_first() {
    let mut streams = client();
    let id = streams.open(BIDI).expect("credit");
    write(&mut streams, id, 4000);
    let train = streams.train().expect("data");
    streams.on_train_sent(&train, 2000);
    streams.on_lost(&StreamRecord::Data { id, offset: 1000, len: 500, fin: false });
    assert!(streams.train().is_none(), "lost data is sent first");
    let mut packet = Packet::new(500 + OVERHEAD);
    streams.write_frames(&mut packet);
    assert_eq!(packet.data(), [(0, 1000, 500, false)]);
    assert_eq!(streams.train().map(|train| train.offset), Some(2000));
    streams.stop_sending(id, CODE).expect("it receives");
    assert!(streams.train().is_none(), "control frames are sent first");
}

#[test]
fn a_stream_that_is_reset_with_a_reliable_part_forms_no_train() {
    let mut streams = client();
    let id = streams.open(BIDI).expect("credit");
    write(&mut streams, id, 9000);
    streams.reset_at(id, CODE, 9000).expect("the peer takes it");
    while streams.wants_to_send() {
        assert!(streams.train().is_none());
        packet(&mut streams);
    }
}

#[test]
fn streams_that_share_take_turns() {
    let mut streams = client();
    let ids = [(); 3].map(|()| streams.open(BIDI).expect("credit"));
    for id in ids {
        write(&mut streams, id, 10_000);
    }
    let mut sent = Vec::new();
    while let Some(train) = streams.train() {
        let is_last = sent.len() == 2;
        assert_eq!(train.turn == u64::MAX, is_last, "who is alone has no turns");
        streams.on_train_sent(&train, train.len.min(train.turn));
        sent.push(train.id);
    }
    assert_eq!(sent, ids);
}
