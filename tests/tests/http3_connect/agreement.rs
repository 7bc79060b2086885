//! What must be said before HTTP Datagrams may be sent (RFC 9297 §2.1.1), and what waits of those that
//! come before their request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::{Config, DatagramOptions};
use protoquic::http::{ALPN, Http3ClientSession, HttpDatagramError};
use protoquic::streams::StreamsConfig;
use protoquic_tests::http3::{CONTROL, headers};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::raw::{RawPeer, bidi, uni};
use protoquic_tests::{datagrams, tls};

use crate::client::Talk;
use crate::raw::{against_raw_server, open, request_stream, websocket};
use crate::server::{Manner, server, server_on};
use crate::{extended, on, transport};

#[test]
fn datagrams_are_offered_where_the_transport_takes_them() {
    // RFC 9297 §2.1.1: who says so is sent some, and the transport ends a connection for those.
    for (config, expected) in [(transport(), true), (Arc::default(), false)] {
        let (factory, _) = server_on(config, Manner::Echo, on());
        let mut net = Net::new(5, Link::default(), factory);
        let session = Http3ClientSession::new(on());
        net.connect(transport(), tls::client(&[ALPN]), session, |writer| Box::new(writer));
        net.run_for(Duration::from_secs(1));
        let settings = net.clients[0].session().peer_settings().copied();
        assert_eq!(settings.map(|settings| settings.h3_datagram), Some(expected));
    }
}

#[test]
fn a_setting_alone_sends_no_datagrams_and_breaks_no_rule() {
    // RFC 9297 §2.1.1 asks for no error if the setting comes without the transport's parameter; RFC
    // 9221 §3 forbids to send then. Nor may we before our settings are sent, for which one server
    // gives no stream.
    let no_streams = StreamsConfig { max_streams_uni: 0, ..StreamsConfig::default() };
    let closed = Config { streams: no_streams, ..datagrams::config() };
    for (config, expected) in [
        (transport(), Ok(())),
        (Arc::default(), Err(HttpDatagramError::NotSupported)),
        (Arc::new(closed), Err(HttpDatagramError::NotSupported)),
    ] {
        let settings = [0, 4, 4, 8, 1, 0x33, 1];
        let answer = bidi(headers(&[(":status", "200")]));
        let (mut pair, seen) = against_raw_server(config, uni(settings), answer);
        let talk = Talk { send: vec![Bytes::from_static(b"hi")], ..Talk::default() };
        let dialogue = pair.start(extended(), talk).unwrap();
        pair.run();
        assert_eq!(dialogue.state.borrow().sent, [expected]);
        assert!(seen.borrow().closed.is_none(), "{seen:?}");
    }
}

#[test]
fn datagrams_for_requests_that_have_not_come_whole_wait_in_the_same_bounds() {
    // RFC 9297 §2.1
    let (factory, log) = server(Manner::Echo, on());
    let mut net = Net::new(1, Link::default(), factory);
    let (start, rest) = (websocket()[..5].to_vec(), websocket()[5..].to_vec());
    let peer = RawPeer::new([uni(CONTROL), open(start.clone()), open(start)]);
    net.connect(transport(), tls::client(&[ALPN]), peer, |writer| Box::new(writer));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for quarter in [0, 1] {
            for _ in 0..50 {
                let data = Bytes::copy_from_slice(&[quarter, 1]);
                cx.send_datagram(data, DatagramOptions::default()).unwrap();
            }
        }
    });
    net.kick();
    // Less than makes a connection idle, which waits for no request.
    net.run_for(Duration::from_millis(100));
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        for index in [0, 1] {
            let rest = Bytes::copy_from_slice(&rest);
            cx.connection().stream_write_all(request_stream(index), rest).unwrap();
        }
    });
    net.kick();
    net.run_for(Duration::from_secs(1));
    assert_eq!(log.borrow().datagrams, 64);
}
