//! Bare streams and datagrams, polled.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails where it stands")]

mod common;

use std::time::Duration;

use common::{Pair, config, server_address};
use protoquic_core::{CloseReason, DatagramOptions, Direction, PathAddress, Role, StreamId};
use protoquic_dispatcher::AddressValidation;
use protoquic_polled::{Error, Event, Listener, ListenerEvent, RecvInfo, Streams, connect};

/// Sends back what can be read, as far as there is room.
fn echo(pair: &mut Pair<Streams>) {
    let Some(connection) = pair.key.and_then(|key| pair.server.connection(key)) else { return };
    for id in connection.readable() {
        let mut buffer = vec![0; connection.stream_capacity(id).unwrap_or(0)];
        match connection.stream_recv(id, &mut buffer) {
            Ok((len, fin)) => {
                assert_eq!(connection.stream_send(id, &buffer[..len], fin).unwrap(), len);
            }
            Err(error) => assert_eq!(error, Error::Done),
        }
    }
}

fn round_trip(mut pair: Pair<Streams>, len: usize) -> Pair<Streams> {
    let data: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    let (mut sent, mut back) = (0, Vec::new());
    pair.establish();
    let id = pair.client.stream_open(Direction::Bidirectional).unwrap();
    let mut finished = false;
    pair.until(|pair| {
        if sent < data.len() {
            match pair.client.stream_send(id, &data[sent..], true) {
                Ok(taken) => sent += taken,
                Err(error) => assert_eq!(error, Error::Done),
            }
        }
        echo(pair);
        let mut buffer = [0; 10_000];
        while let Ok((len, fin)) = pair.client.stream_recv(id, &mut buffer) {
            back.extend_from_slice(&buffer[..len]);
            finished |= fin;
            if fin {
                break;
            }
        }
        finished
    });
    assert!(back == data, "what came back is not what was sent");
    pair
}

#[test]
fn an_echo_is_exact_one_datagram_at_a_time_in_batches_and_with_losses() {
    round_trip(Pair::new(&config(b"echo")), 3_000_000);
    let mut batches = Pair::new(&config(b"echo"));
    batches.batch = 64;
    let batches = round_trip(batches, 3_000_000);
    let packets = batches.client.stats().packets_sent;
    assert!(batches.sent < packets, "{} sends for {packets} packets", batches.sent);
    let mut lossy = Pair::new(&config(b"echo"));
    lossy.lose = 20;
    let lossy = round_trip(lossy, 300_000);
    assert!(lossy.client.stats().packets_lost > 0);
}

#[test]
fn the_next_stream_of_ours_is_opened_by_writing_to_it_and_no_other() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    pair.establish();
    let id = |index| StreamId::new(Role::Client, Direction::Bidirectional, index);
    assert_eq!(pair.client.stream_send(id(1), b"x", false), Err(Error::UnknownStream));
    assert_eq!(pair.client.stream_send(id(0), b"x", false), Ok(1));
    assert_eq!(pair.client.stream_send(id(1), b"x", true), Ok(1));
    assert_eq!(pair.client.stream_send(id(1), b"x", true), Err(Error::WrongState));
    let theirs = StreamId::new(Role::Server, Direction::Bidirectional, 0);
    assert_eq!(pair.client.stream_send(theirs, b"x", true), Err(Error::UnknownStream));
    assert_eq!(pair.client.stream_recv(id(9), &mut [0]), Err(Error::UnknownStream));
}

#[test]
fn a_full_stream_is_done_and_becomes_writable_again() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    let key = pair.establish();
    let id = pair.client.stream_open(Direction::Unidirectional).unwrap();
    assert_eq!(pair.client.writable(), [id]);
    let data = vec![1; 1 << 20];
    let taken = pair.client.stream_send(id, &data, false).unwrap();
    assert!(taken < data.len(), "{taken}");
    assert_eq!(pair.client.stream_send(id, &data, false), Err(Error::Done));
    assert_eq!(pair.client.writable(), []);
    pair.until(|pair| pair.client.next_writable(None) == Some(id));
    pair.until(|pair| pair.server.connection(key).unwrap().readable() == [id]);
    let server = pair.server.connection(key).unwrap();
    assert_eq!(server.stream_send(id, b"no", false), Err(Error::WrongDirection));
    assert_eq!(server.next_readable(Some(id)), None);
}

#[test]
fn an_end_without_data_is_read_and_so_is_a_reset() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    let key = pair.establish();
    let [a, b] = [(); 2].map(|()| pair.client.stream_open(Direction::Unidirectional).unwrap());
    assert_eq!(pair.client.stream_send(a, b"", true), Ok(0));
    pair.client.stream_send(b, b"lost", false).unwrap();
    pair.client.stream_reset(b, 77).unwrap();
    pair.until(|pair| pair.server.connection(key).unwrap().readable() == [a, b]);
    let server = pair.server.connection(key).unwrap();
    assert_eq!(server.stream_recv(a, &mut [0; 9]), Ok((0, true)));
    assert_eq!(server.stream_recv(b, &mut [0; 9]), Err(Error::StreamReset(77)));
    assert_eq!(server.readable(), []);
    let events: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
    assert!(events.contains(&Event::StreamReset { id: b, code: 77 }), "{events:?}");
    assert!(events.contains(&Event::StreamClosed(a)), "{events:?}");
    pair.until(|pair| pair.client.poll() == Some(Event::StreamAcked(a)));
}

#[test]
fn a_stopped_stream_tells_its_writer_the_code() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    let key = pair.establish();
    let id = pair.client.stream_open(Direction::Bidirectional).unwrap();
    pair.client.stream_send(id, b"hello", false).unwrap();
    pair.until(|pair| pair.server.connection(key).unwrap().readable() == [id]);
    pair.server.connection(key).unwrap().stream_stop(id, 5).unwrap();
    pair.until(|pair| pair.client.poll() == Some(Event::StreamStopped { id, code: 5 }));
    let refused = pair.client.stream_send(id, b"more", false);
    assert_eq!(refused, Err(Error::StreamStopped(5)));
}

#[test]
fn datagrams_come_whole_and_wait_for_a_long_enough_buffer() {
    let mut config = config(b"echo");
    config.transport_mut().datagrams.max_frame_size = 65_535;
    let mut pair = Pair::<Streams>::new(&config);
    let key = pair.establish();
    assert!(pair.client.dgram_max_size().unwrap() > 1000);
    let id = pair.client.dgram_send(b"four", DatagramOptions::default()).unwrap();
    pair.client.dgram_send(&[], DatagramOptions::default()).unwrap();
    let sent = pair.client.dgram_send(&[0; 3000], DatagramOptions::default());
    assert!(matches!(sent, Err(Error::TooLarge(_))), "{sent:?}");
    let mut tries = Vec::new();
    pair.until(|pair| {
        let server = pair.server.connection(key).unwrap();
        match server.dgram_recv(&mut [0; 2]) {
            Err(Error::Done) => return false,
            other => tries.push(other),
        }
        tries.push(server.dgram_recv(&mut [0; 9]));
        tries.push(server.dgram_recv(&mut [0; 9]));
        true
    });
    assert_eq!(tries, [Err(Error::BufferTooShort(4)), Ok(4), Ok(0)]);
    pair.until(|pair| pair.client.poll() == Some(Event::DatagramAcked(id)));
}

#[test]
fn closing_is_told_with_its_reason_and_the_key_leads_nowhere_afterwards() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    let key = pair.establish();
    pair.client.close(42, "enough");
    assert!(pair.client.is_closed());
    pair.until(|pair| matches!(pair.events.back(), Some(ListenerEvent::Closed(..))));
    let Some(ListenerEvent::Closed(closed, reason)) = pair.events.pop_back() else { panic!() };
    assert_eq!(closed, key);
    assert_eq!(reason.to_string(), "closed by the peer: application error 0x2a enough");
    assert!(pair.server.connection(key).is_none());
    assert!(pair.server.is_idle());
    pair.until(|pair| pair.client.is_drained());
    assert_eq!(pair.client.timeout(pair.now), None);
    let id = pair.client.stream_open(Direction::Bidirectional);
    assert_eq!(id, Err(Error::Closed));
}

#[test]
fn silence_ends_a_connection_at_the_timeout_that_was_told() {
    let mut config = config(b"echo");
    config.transport_mut().idle_timeout = Duration::from_secs(5);
    let mut pair = Pair::<Streams>::new(&config);
    pair.establish();
    let start = pair.now;
    pair.until(|pair| pair.client.is_closed());
    assert_eq!(pair.client.close_reason(), Some(&CloseReason::IdleTimeout));
    let silence = pair.now - start;
    assert!((4..7).contains(&silence.as_secs()), "{silence:?}");
    pair.until(|pair| pair.server.is_idle());
}

#[test]
fn a_client_that_moves_is_told_of_its_paths() {
    let mut pair = Pair::<Streams>::new(&config(b"echo"));
    let key = pair.establish();
    let elsewhere = "127.0.0.1:6000".parse().unwrap();
    pair.until(|pair| pair.client.migrate(elsewhere) != Err(Error::QueueFull));
    let path = PathAddress::new(elsewhere, server_address());
    pair.until(|pair| pair.client.poll() == Some(Event::PathValidated(path)));
    pair.until(|pair| pair.client.poll() == Some(Event::PathChanged(path)));
    assert_eq!(pair.client.path(), path);
    pair.until(|pair| pair.server.connection(key).unwrap().path().peer == elsewhere);
    let server = pair.server.connection(key).unwrap();
    assert_eq!(server.migrate(elsewhere), Err(Error::WrongState));
}

#[test]
fn a_listener_can_have_clients_prove_their_addresses_first() {
    let mut config = config(b"echo");
    config.listener_mut().address_validation = AddressValidation::Always;
    let pair = round_trip(Pair::new(&config), 1000);
    assert_eq!(pair.server.stats().sessions_created, 1);
}

#[test]
fn a_session_is_resumed_with_early_data() {
    let mut config = config(b"echo");
    config.remember_sessions(true);
    config.allow_early_data(true);
    let mut pair = round_trip(Pair::new(&config), 1000);
    let path = PathAddress::new("127.0.0.1:5001".parse().unwrap(), server_address());
    pair.client = connect(&config, "localhost", path, pair.now).unwrap();
    assert_eq!(pair.client.poll(), Some(Event::EarlyDataReady));
    let id = pair.client.stream_open(Direction::Bidirectional).unwrap();
    pair.client.stream_send(id, b"early", true).unwrap();
    let mut buffer = [0; 9];
    pair.until(|pair| {
        echo(pair);
        pair.client.stream_recv(id, &mut buffer) == Ok((5, true))
    });
    assert!(pair.client.is_resumed());
    let events: Vec<_> = std::iter::from_fn(|| pair.client.poll()).collect();
    assert!(events.contains(&Event::EarlyDataSettled { accepted: true }), "{events:?}");
}

#[test]
fn a_listener_remembers_the_sessions_of_many_clients() {
    let mut server = config(b"echo");
    server.allow_early_data(true);
    let clients = [(); 8].map(|()| {
        let mut client = server.clone();
        client.remember_sessions(true);
        client
    });
    let mut pair = Pair::<Streams>::new(&clients[0]);
    for is_second_time in [false, true] {
        for (port, client) in (6000..).zip(&clients) {
            let path = PathAddress::new(([127, 0, 0, 1], port).into(), server_address());
            pair.client = connect(client, "localhost", path, pair.now).unwrap();
            pair.until(|pair| pair.client.is_confirmed());
            for _ in 0..5 {
                pair.step(); // the tickets may come later
            }
            assert_eq!(pair.client.is_resumed(), is_second_time, "{port}");
            pair.client.close(0, "");
            pair.step();
        }
    }
}

#[test]
fn no_more_connections_wait_to_be_told_of_than_the_backlog_allows() {
    let mut config = config(b"echo");
    config.set_backlog(2);
    let mut server = Listener::<Streams>::new(&config).unwrap();
    let now = protoquic_core::Time::from_millis(1000);
    let begin = |server: &mut Listener<Streams>, port: u16| {
        let path = PathAddress::new(([127, 0, 0, 1], port).into(), server_address());
        let mut client = connect::<Streams>(&config, "localhost", path, now).unwrap();
        let mut buffer = [0; 2000];
        let info = RecvInfo::new(PathAddress::new(path.peer, path.local), now);
        while let Ok(sent) = client.send(&mut buffer, now) {
            server.recv(&buffer[..sent.len], &info).unwrap();
        }
        while server.send(&mut buffer, now).is_ok() {}
    };
    for port in 6000..6005 {
        begin(&mut server, port);
    }
    assert_eq!(server.stats().sessions_created, 2);
    let told = std::iter::from_fn(|| server.poll(now));
    let told = told.filter(|event| matches!(event, ListenerEvent::Accepted(_)));
    assert_eq!(told.count(), 2);
    begin(&mut server, 6005);
    assert_eq!(server.stats().sessions_created, 3);
}

#[test]
fn settings_and_buffers_that_make_no_sense_are_named() {
    let text = |result: Result<Listener<Streams>, Error>| result.unwrap_err().to_string();
    assert!(text(Listener::new(&protoquic_polled::Config::new(&[b"a"]))).contains("certificate"));
    let mut config = config(b"echo");
    config.transport_mut().ack_threshold = 1;
    assert!(text(Listener::new(&config)).contains("ack_threshold is 1"));
    config.transport_mut().ack_threshold = 2;
    let mut pair = Pair::<Streams>::new(&config);
    assert_eq!(pair.client.send(&mut [0; 10], pair.now), Err(Error::BufferTooShort(1200)));
    assert!(pair.client.send(&mut [0; 1200], pair.now).is_ok(), "nothing was lost");
    let path = pair.client.path();
    let huge = pair.client.recv(&vec![0; 2 << 20], &RecvInfo::new(path, pair.now));
    assert!(matches!(huge, Err(Error::Invalid(_))), "{huge:?}");
    let bad = connect::<Streams>(&config, "no name!", path, pair.now);
    assert!(bad.unwrap_err().to_string().contains("no name!"));
}
