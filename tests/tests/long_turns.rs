//! What a turn with many streams to serve writes leaves piece by piece, so that the peer works on the
//! front while the rest is served.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::Config;
use protoquic::{
    CloseReason, Direction, OutgoingPacket, PacketWriter, Refuse, ServerConfig, Session,
    SessionContext, Stream, StreamContext, StreamId, WriteResult,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::echo_factory;
use protoquic_tests::tls;

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Served,
    Flushed,
}

type Log = Rc<RefCell<Vec<Step>>>;

/// Opens streams, greets on each, and sends a message on it when the greeting has come back.
struct Greeter {
    streams: usize,
    message: usize,
    served: usize,
    log: Log,
}

/// One stream.
#[derive(Default)]
struct Greeting {
    is_sent: bool,
    is_answered: bool,
}

impl Session for Greeter {
    type Stream = Greeting;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<Greeting, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        for _ in 0..self.streams {
            let opened = cx.open_stream(Direction::Bidirectional, |_| Greeting::default());
            opened.expect("the peer allows as many");
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        panic!("nobody closes it: {why}");
    }
}

impl Stream<Greeter> for Greeting {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Greeter>) {
        let mut came = false;
        while cx.read().is_some() {
            came = true;
        }
        if came && !std::mem::replace(&mut self.is_answered, true) {
            let session = cx.session();
            session.served += 1;
            session.log.borrow_mut().push(Step::Served);
            let message = Bytes::from(vec![b'm'; session.message]);
            cx.write_all(message).expect("the stream is open");
            cx.finish().expect("it was not ended before");
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Greeter>) {
        if !std::mem::replace(&mut self.is_sent, true) {
            cx.write_all(Bytes::from_static(b"hello")).expect("a stream just opened takes it");
        }
    }
}

/// Writes down when what was written is sent.
struct Logging<W> {
    inner: W,
    log: Log,
}

impl<W: PacketWriter> PacketWriter for Logging<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        self.inner.write_packet(packet)
    }

    fn flush(&mut self) -> WriteResult {
        self.log.borrow_mut().push(Step::Flushed);
        self.inner.flush()
    }

    fn max_packet_size(&self, peer: SocketAddr) -> usize {
        self.inner.max_packet_size(peer)
    }
}

/// How many streams a client served between one flush and the next, each time.
fn runs(streams: usize, message: usize) -> Vec<usize> {
    let config = ServerConfig { transport: Arc::default(), tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(11, Link::default(), echo_factory(config));
    let log = Log::default();
    let session = Greeter { streams, message, served: 0, log: Rc::clone(&log) };
    let writers = Rc::clone(&log);
    net.connect(Arc::new(Config::default()), tls::client(&[b"echo"]), session, |writer| {
        Box::new(Logging { inner: writer, log: writers })
    });
    let done =
        net.run_until(Duration::from_mins(1), |net| net.clients[0].session().served == streams);
    assert!(done, "only {} of {streams} were served", net.clients[0].session().served);
    drop(net);
    let steps = log.take();
    let served = |run: &[Step]| run.iter().filter(|step| **step == Step::Served).count();
    let runs = steps.split(|step| *step == Step::Flushed).map(served);
    runs.filter(|served| *served > 0).collect()
}

#[test]
fn what_many_streams_write_leaves_while_others_are_served() {
    // The first piece fills the congestion window.
    assert_eq!(runs(100, 1000), [24, 76]);
}

#[test]
fn what_few_streams_write_or_what_is_little_leaves_at_once() {
    assert_eq!(runs(20, 1000), [20], "these are few");
    assert_eq!(runs(100, 100), [100], "to send a piece of this takes longer than to make it");
    assert_eq!(runs(100, 200), [82, 18], "these are worth it together");
}
