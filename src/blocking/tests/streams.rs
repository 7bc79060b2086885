//! Streams and datagrams through the owned types: bytes, ends, timeouts, closes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use common::{LONG, Pair, client_settings, connect, listen, pair, pattern, server_settings};
use protoquic_blocking::{
    App, ApplicationError, CloseReason, Connection, Direction, Error, Interest, Listener, PollEntry,
};

const BOTH_WAYS: Direction = Direction::Bidirectional;
const ONE_WAY: Direction = Direction::Unidirectional;

#[test]
fn a_large_echo_is_whole_and_correct() {
    let Pair { client, server, .. } = pair();
    let data = pattern(20_000_000, 3);
    let stream = client.open(BOTH_WAYS).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let stream = server.accept().unwrap();
            std::io::copy(&mut &stream, &mut &stream).unwrap();
            stream.finish().unwrap();
            stream.wait_delivered().unwrap();
        });
        scope.spawn(|| {
            (&stream).write_all(&data).unwrap();
            stream.finish().unwrap();
        });
        let mut echo = Vec::new();
        (&stream).read_to_end(&mut echo).unwrap();
        assert!(echo == data, "{} bytes came back", echo.len());
    });
}

/// What one reader leaves of what has come is for those who wait already, too.
#[test]
fn readers_of_one_stream_share_what_comes_at_once() {
    let Pair { client, server, .. } = pair();
    for _ in 0..50 {
        let stream = client.open(ONE_WAY).unwrap();
        (&stream).write_all(b"a").unwrap();
        let incoming = server.accept().unwrap();
        (&incoming).read_exact(&mut [0]).unwrap();
        incoming.set_read_timeout(Some(LONG)).unwrap();
        std::thread::scope(|scope| {
            let readers = [(); 4].map(|()| scope.spawn(|| (&incoming).read(&mut [0; 5]).unwrap()));
            std::thread::yield_now();
            (&stream).write_all(&[7; 20]).unwrap();
            assert_eq!(readers.map(|reader| reader.join().unwrap()), [5; 4]);
        });
    }
}

#[test]
fn unidirectional_streams_carry_data_one_way_in_both_directions() {
    let Pair { client, server, .. } = pair();
    for (from, to) in [(&client, &server), (&server, &client)] {
        let mut sending = from.open(ONE_WAY).unwrap();
        sending.write_all(b"one way").unwrap();
        let mut byte = [0];
        let error = sending.read(&mut byte).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        drop(sending); // ends it
        let mut receiving = to.accept().unwrap();
        assert_eq!(receiving.write(b"no").unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut got = String::new();
        receiving.read_to_string(&mut got).unwrap();
        assert_eq!(got, "one way");
    }
}

#[test]
fn datagrams_go_both_ways() {
    let Pair { client, server, .. } = pair();
    let mut buffer = [0; 2000];
    for (from, to) in [(&client, &server), (&server, &client)] {
        from.send_datagram(b"unreliable").unwrap();
        let mut entry =
            [PollEntry::new(to.handle(), Interest { datagram: true, ..Interest::default() })];
        assert_eq!(to.app().poll(&mut entry, Some(LONG)), Ok(1));
        assert_eq!(to.receive_datagram(&mut buffer).unwrap(), 10);
        assert_eq!(&buffer[..10], b"unreliable");
        let max = from.max_datagram_size().unwrap().unwrap();
        let error = from.send_datagram(&vec![0; max + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!(from.send_datagram(&vec![0; max]), Ok(()));
        assert_eq!(to.receive_datagram(&mut buffer[..5]).unwrap(), max, "cut off, and told so");
    }
}

#[test]
fn waiting_ends_with_the_timeout() {
    let Pair { client, listener, server: _server } = pair();
    let short = Some(Duration::from_millis(30));
    let mut stream = client.open(BOTH_WAYS).unwrap();
    stream.set_read_timeout(short).unwrap();
    stream.set_write_timeout(short).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    let (mut left, data) = (100, vec![7; 100_000]);
    let full = loop {
        match stream.write(&data) {
            Ok(_) => left -= 1,
            Err(error) => break error,
        }
        assert!(left > 0, "10 MB are written and nobody reads");
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    client.set_read_timeout(short).unwrap();
    assert_eq!(client.accept().unwrap_err(), Error::TimedOut);
    listener.set_read_timeout(short).unwrap();
    assert_eq!(listener.accept().unwrap_err(), Error::TimedOut);
}

#[test]
fn a_reset_and_a_stop_reach_the_other_side() {
    let Pair { client, server, .. } = pair();
    let mut stream = client.open(BOTH_WAYS).unwrap();
    stream.write_all(b"x").unwrap();
    let mut other = server.accept().unwrap();
    other.stop(ApplicationError(11)).unwrap();
    let stopped = loop {
        match stream.write_all(b"more") {
            Ok(()) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(stopped.kind(), ErrorKind::BrokenPipe);
    let stopped = stopped.into_inner().unwrap().downcast::<Error>().unwrap();
    assert_eq!(*stopped, Error::Stopped(ApplicationError(11)));
    other.reset(ApplicationError(12)).unwrap();
    assert_eq!(other.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let reset = stream.read(&mut [0]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    let reset = reset.into_inner().unwrap().downcast::<Error>().unwrap();
    assert_eq!(*reset, Error::Reset(ApplicationError(12)));
    assert_eq!(other.wait_delivered(), Err(Error::Finished), "what was reset is not delivered");
}

#[test]
fn the_end_of_a_connection_ends_every_wait_on_it() {
    let Pair { client, server, .. } = pair();
    let stream = client.open(BOTH_WAYS).unwrap();
    (&stream).write_all(b"x").unwrap();
    let other = server.accept().unwrap();
    let closed = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    std::thread::scope(|scope| {
        scope.spawn(|| closed((&stream).read(&mut [0; 9]).unwrap_err()));
        scope.spawn(|| {
            let mut byte = [0; 1];
            (&other).read_exact(&mut byte).unwrap();
            closed((&other).read(&mut [0; 9]).unwrap_err());
        });
        scope.spawn(|| assert!(matches!(server.accept(), Err(Error::Closed(_)))));
        scope.spawn(|| assert!(matches!(server.receive_datagram(&mut []), Err(Error::Closed(_)))));
        client.shut_down(ApplicationError(42), "enough", true).unwrap();
        let Error::Closed(CloseReason::PeerApplication { code, reason }) =
            server.wait_closed().unwrap()
        else {
            panic!("it was closed by the peer's application")
        };
        assert_eq!((code, &reason[..]), (ApplicationError(42), &b"enough"[..]));
    });
    assert!(matches!(client.open(BOTH_WAYS), Err(Error::Closed(_))));
    assert!(matches!(server.send_datagram(b"x"), Err(Error::Closed(_))));
}

#[test]
fn a_connection_that_is_dropped_delivers_what_was_written() {
    let Pair { client, server, .. } = pair();
    let data = pattern(200_000, 1);
    let mut stream = client.open(ONE_WAY).unwrap();
    stream.write_all(&data).unwrap();
    drop(stream);
    drop(client);
    assert!(matches!(server.wait_closed().unwrap(), Error::Closed(_)));
    // The connection is over; what came before is kept for whoever reads late.
    let mut got = Vec::new();
    server.accept().unwrap().read_to_end(&mut got).unwrap();
    assert!(got == data);
}

#[test]
fn an_application_that_is_dropped_ends_its_threads() {
    let server = App::new();
    let (listener, uri) = listen(&server);
    let client = App::new();
    let connection = connect(&client, &uri);
    let mut stream = connection.open(BOTH_WAYS).unwrap();
    stream.write_all(b"x").unwrap();
    let accepted = listener.accept().unwrap();
    let silent = connect(&client, &uri); // nobody uses it
    drop((client, stream, connection, silent)); // joins its thread
    assert!(matches!(accepted.wait_closed().unwrap(), Error::Closed(_)));
    drop((accepted, listener));
    assert_eq!(server.handles(), 0);
}

#[test]
fn a_listener_that_is_closed_leaves_its_connections() {
    let Pair { client, server, listener } = pair();
    drop(listener);
    let mut stream = client.open(BOTH_WAYS).unwrap();
    stream.write_all(b"still here").unwrap();
    stream.finish().unwrap();
    let mut got = String::new();
    server.accept().unwrap().read_to_string(&mut got).unwrap();
    assert_eq!(got, "still here");
}

#[test]
fn streams_beyond_the_limit_wait_for_others_to_end() {
    let app = App::new();
    let mut config = protoquic_core::Config::default();
    config.streams.max_streams_bidi = 1;
    let settings = server_settings().config(config);
    let listener = Listener::bind(&app, settings, "quic://127.0.0.1/0").unwrap();
    let uri = format!("quic://{}", listener.local_address().unwrap());
    let client = Connection::connect(&app, client_settings(), &uri).unwrap();
    let server = listener.accept().unwrap();
    let first = client.open(BOTH_WAYS).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(client.open(BOTH_WAYS).unwrap_err(), Error::TimedOut);
    client.set_write_timeout(Some(LONG)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| client.open(BOTH_WAYS).unwrap());
        (&first).write_all(b"x").unwrap();
        drop(first);
        drop(server.accept().unwrap());
    });
}

#[test]
fn what_nobody_accepts_is_bounded() {
    let Pair { client, server, .. } = pair();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut opened = 0;
    while let Ok(mut stream) = client.open(ONE_WAY) {
        stream.write_all(b"unread").unwrap();
        opened += 1;
        assert!(opened < 1000, "streams that nobody accepts have no limit");
    }
    assert!(opened >= 100, "{opened}");
    for _ in 0..opened {
        let mut got = String::new();
        server.accept().unwrap().read_to_string(&mut got).unwrap();
        assert_eq!(got, "unread");
    }
    client.set_write_timeout(Some(LONG)).unwrap();
    client.open(ONE_WAY).unwrap();
}
