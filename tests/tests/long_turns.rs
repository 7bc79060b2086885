//! What a turn with many streams to serve writes leaves piece by piece, so that the peer works on the
//! front while the rest is served.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::Config;
use protoquic::streams::StreamsConfig;
use protoquic::{
    CloseReason, Direction, OutgoingPacket, PacketWriter, Refuse, ServerConfig, Session,
    SessionContext, Stream, StreamContext, StreamId, WriteResult,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::echo_factory;
use protoquic_tests::tls;

/// What a client did, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Served,
    Wrote,
    Flushed,
}

type Log = Rc<RefCell<Vec<Step>>>;

/// Asks so many times at once; each answer makes it ask again.
struct Loops {
    count: usize,
    served: usize,
    log: Log,
}

/// One request. It is written when the stream is called first.
struct Call {
    request: Option<Bytes>,
}

impl Loops {
    fn ask(cx: &mut SessionContext<'_, Self>) {
        let request = Some(Bytes::from_static(b"what is it?"));
        let opened = cx.open_stream(Direction::Bidirectional, |_| Call { request });
        opened.expect("the peer allows as many");
    }
}

impl Session for Loops {
    type Stream = Call;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<Call, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        (0..self.count).for_each(|_| Self::ask(cx));
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        panic!("nobody closes it: {why}");
    }
}

impl Stream<Loops> for Call {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Loops>) {
        while cx.read().is_some() {}
        if cx.is_read_finished() {
            let (session, cx) = cx.split();
            session.served += 1;
            session.log.borrow_mut().push(Step::Served);
            Loops::ask(cx);
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Loops>) {
        if let Some(request) = self.request.take() {
            cx.write_all(request).expect("a stream just opened takes it");
            cx.finish().expect("it was not ended before");
        }
    }
}

/// Writes down when something is written, and when it is sent.
struct Logging<W> {
    inner: W,
    log: Log,
}

impl<W: PacketWriter> PacketWriter for Logging<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        self.log.borrow_mut().push(Step::Wrote);
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

/// What a client does that asks so many times at once, round after round.
fn steps(count: usize, served: usize) -> Vec<Step> {
    let streams = StreamsConfig { max_streams_bidi: 10_000, ..StreamsConfig::default() };
    let transport = Arc::new(Config { streams, ..Config::default() });
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(11, Link::default(), echo_factory(config));
    let log = Log::default();
    let session = Loops { count, served: 0, log: Rc::clone(&log) };
    let inner = Rc::clone(&log);
    net.connect(Arc::new(Config::default()), tls::client(&[b"echo"]), session, |writer| {
        Box::new(Logging { inner: writer, log: inner })
    });
    let done =
        net.run_until(Duration::from_mins(1), |net| net.clients[0].session().served >= served);
    assert!(done, "only {} of {served} were answered", net.clients[0].session().served);
    drop(net);
    log.take()
}

/// How many answers were served between one flush and the next, each time.
fn runs(steps: &[Step]) -> Vec<usize> {
    let served = |run: &[Step]| run.iter().filter(|step| **step == Step::Served).count();
    steps.split(|step| *step == Step::Flushed).map(served).collect()
}

#[test]
fn what_many_streams_write_leaves_while_others_are_served() {
    let steps = steps(100, 1000);
    let most = runs(&steps).into_iter().max();
    assert_eq!(most, Some(24), "a whole round of a hundred came at once");
    let pieces = steps.split(|step| *step == Step::Flushed);
    let silent =
        pieces.filter(|piece| piece.contains(&Step::Served) && !piece.contains(&Step::Wrote));
    assert_eq!(silent.count(), 0, "each piece holds what those who were served have asked for");
}

#[test]
fn what_few_streams_write_leaves_at_once() {
    let most = runs(&steps(20, 200)).into_iter().max();
    assert_eq!(most, Some(20), "they are one piece");
}
