//! Our server of tunnels against a client that writes any bytes, and our client against such a server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::{Config, DatagramOptions};
use protoquic::http::{ALPN, Http3ClientSession, Http3Config};
use protoquic::{Direction, FnFactory, Host, Role, ServerConfig, SessionHost, StreamId};
use protoquic_tests::http3::headers;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{End, RawPeer, Script, Seen, bidi};
use protoquic_tests::tls;

use crate::server::{Log, Manner, server};
use crate::{Pair, on};

pub(crate) fn request_stream(index: u64) -> StreamId {
    StreamId::new(Role::Client, Direction::Bidirectional, index)
}

/// A client that runs these scripts, and sends these datagrams at once or when all has arrived.
pub(crate) fn against_tunnel(
    manner: Manner,
    http: Http3Config,
    scripts: Vec<Script>,
    datagrams: &[Vec<u8>],
    is_early: bool,
) -> (Rc<RefCell<Seen>>, Rc<RefCell<Log>>) {
    let (factory, log) = server(manner, http);
    let mut net = Net::new(1, Link::default(), factory);
    let mut peer = RawPeer::default();
    let seen = Rc::clone(&peer.seen);
    peer.scripts = if is_early { VecDeque::new() } else { scripts.clone().into() };
    net.connect(crate::transport(), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for datagram in datagrams {
            let data = Bytes::copy_from_slice(datagram);
            cx.send_datagram(data, DatagramOptions::default()).unwrap();
        }
    });
    net.kick();
    // Less than makes a connection idle, which waits for no request.
    net.run_for(if is_early { Duration::from_millis(100) } else { Duration::from_secs(1) });
    if is_early {
        net.run_scripts(scripts);
    }
    (seen, log)
}

pub(crate) fn against_server(
    http: Http3Config,
    scripts: Vec<Script>,
    datagrams: &[Vec<u8>],
    is_early: bool,
) -> (Rc<RefCell<Seen>>, Rc<RefCell<Log>>) {
    against_tunnel(Manner::Echo, http, scripts, datagrams, is_early)
}

pub(crate) fn connect_with(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&[(":method", "CONNECT")], more].concat())
}

pub(crate) fn websocket() -> Vec<u8> {
    connect_with(&[
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ])
}

pub(crate) fn open(bytes: Vec<u8>) -> Script {
    bidi(bytes).ending(End::Open)
}

/// Our client, and a server that opens this stream and answers like this.
pub(crate) fn against_raw_server(
    transport: Arc<Config>,
    control: Script,
    answer: Script,
) -> (Pair, Rc<RefCell<Seen>>) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let shared = Rc::clone(&seen);
    let config = ServerConfig { transport, tls: tls::server(&[ALPN]) };
    let factory = FnFactory::new(&[ALPN], config, move |connection| {
        let mut peer = RawPeer::new([control.clone()]);
        peer.answers.push_back(answer.clone());
        peer.seen = Rc::clone(&shared);
        Box::new(SessionHost::new(connection, peer)) as Box<dyn Host>
    });
    let mut net = Net::new(1, Link::default(), factory);
    net.connect(
        crate::transport(),
        tls::client(&[ALPN]),
        Http3ClientSession::new(Http3Config { max_pushes: 5, ..on() }),
        |writer| Box::new(writer),
    );
    (Pair { net, log: Rc::default() }, seen)
}
