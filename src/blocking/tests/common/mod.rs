//! What the tests of the blocking API share: a pair that is connected, on real sockets.

#![allow(dead_code, clippy::missing_panics_doc, reason = "not every test uses all of it")]

use std::sync::OnceLock;
use std::time::Duration;

use protoquic_blocking::{App, Connection, Listener, Settings};

/// No test waits longer for anything: it fails instead of hanging.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A certificate for localhost and its key, in PEM.
pub(crate) fn identity() -> (&'static str, &'static str) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    let (certificate, key) = MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    (certificate, key)
}

pub(crate) fn server_settings() -> Settings {
    let (certificate, key) = identity();
    Settings::new().identity(certificate, key)
}

pub(crate) fn client_settings() -> Settings {
    Settings::new().authorities(identity().0).server_name("localhost")
}

pub(crate) fn listen(app: &App) -> (Listener, String) {
    let listener = Listener::bind(app, server_settings(), "quic://127.0.0.1/0").unwrap();
    listener.set_read_timeout(Some(LONG)).unwrap();
    listener.set_write_timeout(Some(LONG)).unwrap();
    let uri = format!("quic://{}", listener.local_address().unwrap());
    (listener, uri)
}

pub(crate) fn connect(app: &App, uri: &str) -> Connection {
    let connection = Connection::connect(app, client_settings(), uri).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.set_write_timeout(Some(LONG)).unwrap();
    connection
}

/// A client's connection and the server's of it.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) listener: Listener,
}

pub(crate) fn pair() -> Pair {
    let app = App::new();
    let (listener, uri) = listen(&app);
    let client = connect(&app, &uri);
    let server = listener.accept().unwrap();
    Pair { client, server, listener }
}

/// Bytes that show where they belong.
pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) % 251) as u8).collect()
}
