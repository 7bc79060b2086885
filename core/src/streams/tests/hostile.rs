//! Peers that try to make us spend memory or work (the rows of the hostile peers table), and honest
//! ones that must not be taken for them.

use super::super::stream::Stream;
use super::*;
use crate::helper::{RandomGenerator, SeededRandom};

fn wide() -> StreamsConfig {
    StreamsConfig {
        max_data: 64 << 20,
        max_stream_data_bidi_remote: 64 << 20,
        max_streams_bidi: 200,
        ..small()
    }
}

/// Leaves `gaps` gaps on a stream.
fn leave_gaps(server: &mut Streams, stream: StreamId, gaps: u64) -> Result<(), TransportError> {
    (1..=gaps).try_for_each(|n| server.on_stream_frame(stream, n * 7, false, zeros(6)))
}

#[test]
fn gaps_are_limited_on_a_stream_and_on_a_connection() {
    // row 38
    let violation = TransportErrorCode::PROTOCOL_VIOLATION;
    assert!(leave_gaps(&mut server(&wide()), id(0), 4096).is_ok());
    assert_eq!(code(leave_gaps(&mut server(&wide()), id(0), 4097)), violation);
    let mut server = server(&wide());
    (0..8).for_each(|n| leave_gaps(&mut server, id(n * 4), 1024).unwrap());
    assert_eq!(code(leave_gaps(&mut server, id(32), 1)), violation);
}

#[test]
fn a_large_window_allows_the_gaps_of_a_queue_that_overflowed() {
    // 1 Gbit/s x 300 ms, where slow start loses some 25 000 packets of 100 000
    let huge = StreamsConfig { max_stream_window: 256 << 20, ..wide() };
    let huge = StreamsConfig { max_connection_window: 256 << 20, ..huge };
    assert!(leave_gaps(&mut server(&huge), id(0), 32_768).is_ok());
    assert!(leave_gaps(&mut server(&huge), id(0), 32_769).is_err());
}

#[test]
fn gaps_that_are_closed_or_dropped_do_not_count() {
    let mut server = server(&wide());
    for n in 0..20 {
        let stream = id(n * 4);
        leave_gaps(&mut server, stream, 4000).unwrap();
        match n % 3 {
            0 => server.on_reset_stream(stream, CODE, 30_000).unwrap(),
            1 => server.stop_sending(stream, CODE).unwrap(),
            _ => server.on_stream_frame(stream, 0, false, zeros(30_000)).unwrap(),
        }
    }
}

#[test]
fn an_honest_sender_with_loss_on_a_long_path_is_not_stopped() {
    // row 38, control: 1 Gbit/s x 200 ms = 25 MB in flight, 5 % lost at random, twice over
    let mut random = SeededRandom::new(1);
    let mut server = server(&wide());
    let packets = 25_000_000 / 1200;
    let mut missing: Vec<u64> = (0..packets).collect();
    for _ in 0..3 {
        let sent = std::mem::take(&mut missing);
        for n in sent {
            if random.next_u64() % 100 < 5 {
                missing.push(n);
            } else {
                server.on_stream_frame(id(0), n * 1200, false, zeros(1200)).unwrap();
            }
        }
    }
    for n in missing {
        server.on_stream_frame(id(0), n * 1200, false, zeros(1200)).unwrap();
    }
    assert_eq!(read_all(&mut server, id(0)).len() as u64, packets * 1200);
}

/// The order of `0..1 << bits`: backwards, shuffled, or with its bits reversed.
fn orders(bits: u32) -> [Vec<u64>; 3] {
    let count = 1_u64 << bits;
    let mut random = SeededRandom::new(3);
    let mut shuffled: Vec<u64> = (0..count).collect();
    // Shuffled within a reach that keeps the gaps below their limit.
    for at in 0..count {
        let other = (at + random.next_u64() % 4000).min(count - 1);
        shuffled.swap(at as usize, other as usize);
    }
    let reversed = |n: u64| n.reverse_bits() >> (64 - bits);
    let blocks = (0..count).map(|n| n & !0xfff | reversed(n & 0xfff) >> (bits - 12));
    [(0..count).rev().collect(), shuffled, blocks.collect()]
}

/// How many ranges are looked at or moved for one-byte fragments in this order.
fn work_for(order: &[u64]) -> usize {
    let mut server = server(&wide());
    let byte = zeros(1);
    work::take();
    for &offset in order {
        server.on_stream_frame(id(0), offset, false, byte.clone()).unwrap();
    }
    server.end_turn();
    assert_eq!(read_all(&mut server, id(0)).len(), order.len());
    work::take()
}

#[test]
fn the_work_for_a_fragment_is_not_a_walk_over_the_others() {
    // row 40: there are thousands of gaps; to find the place takes a search, to make room for one a
    // move of those behind it or before it
    for order in orders(16) {
        let each = work_for(&order) / order.len();
        assert!(each < 400, "{each} ranges for a fragment");
    }
}

#[test]
fn implicit_streams_cost_nothing_until_they_are_used() {
    // row 44
    let config = StreamsConfig { max_streams_bidi: 1_000_000, ..small() };
    let mut server = server(&config);
    server.on_stream_frame(id(3_999_996), 0, false, zeros(0)).unwrap();
    assert_eq!(server.live(), 1);
    let opened = events(&mut server).len();
    assert_eq!(opened, 1_000_000);
    assert!(size_of::<Stream>() <= 512, "{}", size_of::<Stream>());
}

#[test]
fn credit_does_not_drift_over_resets() {
    // row 42
    let mut pair = Pair::new(&small());
    let mut random = SeededRandom::new(9);
    for cycle in 0..100_000 {
        let stream = pair.client.open(UNI).expect("the limit follows");
        let len = random.next_u64() as usize % 900;
        pair.client.write_all(stream, zeros(len)).unwrap();
        if cycle % 3 != 0 {
            carry(&mut pair.client, &mut pair.server);
        }
        if cycle % 2 == 0 {
            let _ = pair.server.stop_sending(stream, CODE);
        }
        pair.client.reset(stream, CODE).unwrap();
        for _ in 0..2 {
            carry(&mut pair.client, &mut pair.server);
            events(&mut pair.server);
            events(&mut pair.client);
            carry(&mut pair.server, &mut pair.client);
        }
    }
    pair.exchange();
    assert_eq!(pair.server.unread(), 0);
    assert!(pair.client.send_credit() > 1000, "no less than half the window");
    assert_eq!((pair.client.live(), pair.server.live()), (0, 0));
    assert_eq!(pair.server.stats().streams_closed, 100_000);
}

#[test]
fn churn_leaves_nothing_behind() {
    // row 45
    let mut server = server(&small());
    for n in 0..20_000 {
        let stream = id(n * 4);
        server.on_stream_frame(stream, 0, true, zeros(1)).unwrap();
        let _ = server.on_reset_stream(stream, CODE, 1);
        server.on_stop_sending(stream, CODE).unwrap();
        server.read(stream).unwrap();
        assert!(server.live() <= 10);
        while server.wants_to_send() {
            let packet = packet(&mut server);
            packet.records().for_each(|record| server.on_acked(&record));
            events(&mut server);
        }
    }
    assert_eq!(server.live(), 0);
}

#[test]
fn useless_frames_are_counted() {
    // rows 34 and 35
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(1)).unwrap();
    server.on_stream_frame(id(0), 0, false, zeros(1)).unwrap();
    server.on_stream_frame(id(0), 1, false, zeros(0)).unwrap();
    server.on_max_data(2000);
    server.on_max_stream_data(id(0), 1000).unwrap();
    server.on_max_streams(UNI, 10).unwrap();
    server.on_data_blocked(1);
    server.on_streams_blocked(UNI, 10).unwrap();
    assert_eq!(server.stats().glitches, 7);
}
