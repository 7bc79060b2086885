//! What is of no use to its receiver is borne beside what is: a busy and honest peer is not taken for a
//! flood.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::Config;
use protoquic::streams::StreamsConfig;
use protoquic::{
    CloseReason, Direction, Refuse, ServerConfig, Session, SessionContext, Stream, StreamContext,
    StreamId,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::echo_factory;
use protoquic_tests::tls;

/// Asks again as soon as it is answered, and always for one stream more than it is allowed.
#[derive(Default)]
struct Eager {
    answered: u32,
}

struct Call;

impl Session for Eager {
    type Stream = Call;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<Call, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.on_can_create_outgoing_stream(Direction::Bidirectional, cx);
    }

    fn on_can_create_outgoing_stream(&mut self, dir: Direction, cx: &mut SessionContext<'_, Self>) {
        while cx.open_stream(dir, |_| Call).is_ok() {}
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        panic!("after {} answers: {why}", self.answered);
    }
}

impl Stream<Eager> for Call {
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Eager>) {
        if cx.write_all(Bytes::from_static(b"what is it?")).is_ok() {
            cx.finish().expect("it was not ended before");
        }
    }

    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Eager>) {
        while cx.read().is_some() {}
        if cx.is_read_finished() {
            cx.session().answered += 1;
        }
    }
}

#[test]
fn who_is_blocked_with_each_request_may_go_on() {
    let streams = StreamsConfig { max_streams_bidi: 1, ..StreamsConfig::default() };
    let transport = Arc::new(Config { streams, ..Config::default() });
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let link = Link { delay: Duration::from_micros(50), ..Link::default() };
    let mut net = Net::new(5, link, echo_factory(config));
    let tls = tls::client(&[b"echo"]);
    net.connect(Arc::new(Config::default()), tls, Eager::default(), |writer| Box::new(writer));
    // More than are borne at once, in less time than it takes until the rest would be forgiven.
    let enough = |net: &Net<Eager>| net.clients[0].session().answered >= 40_000;
    let done = net.run_until(Duration::from_mins(1), enough);
    assert!(done, "only {} answers", net.clients[0].session().answered);
}
