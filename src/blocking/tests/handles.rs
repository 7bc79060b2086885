//! The calls of a host stack, in the order in which its guide shows them, and their misuse.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{LONG, client_settings, identity, pair, pattern};
use protoquic_blocking::{App, Direction, Error, Handle, Interest, PollEntry, Readiness};

/// Reads a stream to its end.
fn read_all(app: &App, stream: Handle) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    loop {
        match app.read(stream, &mut buffer).unwrap() {
            0 => return all,
            len => all.extend_from_slice(&buffer[..len]),
        }
    }
}

fn listening(app: &App, backlog: usize) -> (Handle, String) {
    let (certificate, key) = identity();
    let listener = app.create();
    app.add_cert(listener, certificate.as_bytes()).unwrap();
    app.add_key(listener, key.as_bytes()).unwrap();
    let address = app.bind(listener, "quic://127.0.0.1/0").unwrap();
    app.listen(listener, backlog).unwrap();
    app.set_read_timeout(listener, Some(LONG)).unwrap();
    (listener, format!("quic://127.0.0.1/{}", address.port()))
}

#[test]
fn the_calls_of_a_host_stack() {
    let app = App::new();
    let (listener, uri) = listening(&app, 10);
    assert!(!app.is_connectable_listener(listener).unwrap());
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let connection = app.accept(listener).unwrap();
            assert!(app.is_connectable_listener(connection).unwrap());
            let stream = app.accept(connection).unwrap();
            assert!(!app.is_connectable_listener(stream).unwrap());
            let asked = read_all(&app, stream);
            assert_eq!(app.write(stream, &asked).unwrap(), asked.len());
            app.close(stream).unwrap();
            app.wait_closed(connection).unwrap()
        });
        let connection = app.create_with(client_settings());
        app.connect(connection, &uri).unwrap();
        let stream = app.create();
        app.stream_connect(stream, connection).unwrap();
        assert_eq!(app.write(stream, b"hello").unwrap(), 5);
        app.finish(stream).unwrap();
        assert_eq!(read_all(&app, stream), b"hello");
        app.close(stream).unwrap();
        app.close(connection).unwrap();
        assert!(matches!(server.join().unwrap(), Error::Closed(why) if why.is_graceful()));
    });
    assert_eq!(
        app.alpn(listener).unwrap_err(),
        Error::Unsuitable("the handle is not a connection")
    );
    app.close(listener).unwrap();
}

#[test]
fn handles_are_not_mistaken_for_one_another() {
    let app = App::new();
    let (listener, uri) = listening(&app, 10);
    let fresh = app.create();
    let unsuitable = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Unsuitable(_))), "{result:?}");
    };
    unsuitable(app.read(listener, &mut [0]).map(drop));
    unsuitable(app.write(fresh, &[0]).map(drop));
    unsuitable(app.accept(fresh).map(drop));
    unsuitable(app.send_datagram(listener, b"x"));
    unsuitable(app.connect(listener, &uri));
    unsuitable(app.listen(fresh, 1));
    unsuitable(app.stream_connect(fresh, listener));
    unsuitable(app.bind(listener, "quic://127.0.0.1/0").map(drop));
    app.close(fresh).unwrap();
    assert_eq!(app.close(fresh), Err(Error::BadHandle));
    assert_eq!(app.read(fresh, &mut [0]), Err(Error::BadHandle));
    assert!(matches!(app.connect(app.create(), "tcp://x/1"), Err(Error::Invalid(_))));
    let bare = app.create();
    app.bind(bare, "quic://127.0.0.1/0").unwrap();
    assert!(matches!(app.listen(bare, 1), Err(Error::Invalid(_))), "without a certificate");
}

#[test]
fn a_taken_port_and_an_unknown_authority_are_told() {
    let app = App::new();
    let (_, uri) = listening(&app, 10);
    let taken = app.bind(app.create(), &uri).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse, "{taken}");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let stranger = app.create_with(client_settings().authorities(other.cert.pem()));
    let error = app.connect(stranger, &uri).unwrap_err();
    assert!(matches!(&error, Error::Closed(_)), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn clients_beyond_the_backlog_are_refused() {
    let app = App::new();
    let (listener, uri) = listening(&app, 2);
    let connect = || {
        let handle = app.create_with(client_settings());
        app.connect(handle, &uri).map(|()| handle)
    };
    let first = connect().unwrap();
    connect().unwrap();
    // The server's handshake ends a moment after the client's, and until then it counts as well.
    let refused = connect().unwrap_err();
    assert!(refused.to_string().contains("too many wait to be accepted"), "{refused}");
    app.accept(listener).unwrap();
    connect().unwrap();
    app.close(first).unwrap();
}

#[test]
fn poll_tells_which_of_many_are_ready() {
    let pair = pair();
    let app = pair.client.app();
    let streams: Vec<_> = (0..20)
        .map(|_| {
            let stream = pair.client.open(Direction::Bidirectional).unwrap();
            app.write(stream.handle(), b"?").unwrap();
            stream
        })
        .collect();
    let accepted: Vec<_> = (0..20).map(|_| pair.server.accept().unwrap()).collect();
    let entry = |handle| PollEntry::new(handle, Interest::READABLE);
    let mut entries: Vec<_> = streams.iter().map(|stream| entry(stream.handle())).collect();
    assert_eq!(app.poll(&mut entries, Some(Duration::from_millis(20))), Ok(0));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let ready = app.poll(&mut entries, Some(LONG)).unwrap();
            (ready, entries.iter().position(|entry| entry.ready.readable))
        });
        app.write(accepted[7].handle(), b"!").unwrap();
        let (ready, which) = waiting.join().unwrap();
        assert_eq!(ready, 1);
        assert_eq!(app.read(streams[which.unwrap()].handle(), &mut [0; 9]).unwrap(), 1);
    });
    let mut entries = [
        PollEntry::new(streams[0].handle(), Interest::WRITABLE),
        PollEntry::new(pair.server.handle(), Interest::READABLE),
        entry(pair.listener.handle()),
    ];
    assert_eq!(app.poll(&mut entries, None), Ok(1));
    let writable = Readiness { writable: true, ..Readiness::default() };
    assert_eq!(entries[0].ready, writable);
    drop(pair.client);
    assert_eq!(app_poll_closed(pair.server.app(), pair.server.handle()), Ok(1));
}

fn app_poll_closed(app: &App, handle: Handle) -> Result<usize, Error> {
    let mut entries = [PollEntry::new(handle, Interest::READABLE)];
    loop {
        let ready = app.poll(&mut entries, Some(LONG))?;
        if ready == 0 || entries[0].ready.closed {
            return Ok(ready);
        }
        app.accept(handle)?; // one of the streams
    }
}

#[test]
fn non_blocking_calls_do_not_wait() {
    let app = App::new();
    let (listener, uri) = listening(&app, 10);
    app.set_nonblocking(listener, true).unwrap();
    assert_eq!(app.accept(listener), Err(Error::WouldBlock));
    let connection = app.create_with(client_settings());
    app.set_nonblocking(connection, true).unwrap();
    app.connect(connection, &uri).unwrap();
    let wait = |handle, interest| {
        let mut entries = [PollEntry::new(handle, interest)];
        assert_eq!(app.poll(&mut entries, Some(LONG)), Ok(1), "{interest:?}");
        assert!(!entries[0].ready.closed);
    };
    wait(connection, Interest::WRITABLE);
    wait(listener, Interest::READABLE);
    let served = app.accept(listener).unwrap();
    let stream = app.create();
    app.stream_connect(stream, connection).unwrap();
    wait(stream, Interest::WRITABLE);
    assert_eq!(app.read(stream, &mut [0]), Err(Error::WouldBlock));
    let data = pattern(100_000, 0);
    let mut sent = 0;
    loop {
        match app.write(stream, &data) {
            Ok(len) => sent += len,
            Err(error) => break assert_eq!(error, Error::WouldBlock),
        }
        assert!(sent < 10_000_000, "nobody reads, and still there is room");
    }
    let other = app.accept(served).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut received = 0;
    while received < sent {
        received += app.read(other, &mut buffer).unwrap();
    }
    wait(stream, Interest::WRITABLE);
}
