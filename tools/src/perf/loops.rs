//! Request loops: each asks, waits for its answer, and asks again. Measures requests and their
//! latency; asked to stay, it leaves an idle connection behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId, Time,
};

use crate::ending::ended_early;

/// What the loops do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopWork {
    /// How many ask at the same time. None: the connection is closed once its handshake is complete,
    /// with the datagram that has the last message of it.
    pub loops: u64,
    /// Bytes that each request asks for.
    pub response: u64,
    /// When they end.
    pub end: LoopEnd,
    /// Whether they wait for [`PerfLoops::begin`], so that many connections begin together.
    pub held: bool,
}

/// How long requests took, in microseconds; many connections may share one.
pub type Latency = Rc<RefCell<Histogram<u32>>>;

/// When loops end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopEnd {
    /// After this time; then the connection is closed.
    After(Duration),
    /// After one request; the connection stays open.
    Stay,
}

/// The loops of one connection.
#[derive(Debug)]
pub struct PerfLoops {
    work: LoopWork,
    started: Time,
    /// When the handshake was complete.
    connected: Option<Time>,
    /// When the first request was made.
    begun: Option<Time>,
    active: u64,
    requests: u64,
    latency: Option<Latency>,
    /// From the first request to the last answer.
    elapsed: Duration,
    failure: Option<String>,
}

/// One request.
#[derive(Debug)]
pub struct PerfLoop {
    begun: Time,
    request: Option<Bytes>,
    received: u64,
}

impl PerfLoops {
    /// Loops on a connection that is begun now.
    pub fn new(now: Time, work: LoopWork) -> Self {
        Self {
            work,
            started: now,
            connected: None,
            begun: None,
            active: 0,
            requests: 0,
            latency: None,
            elapsed: Duration::ZERO,
            failure: None,
        }
    }

    /// Measures latencies too.
    #[must_use]
    pub fn measuring(mut self, latency: &Latency) -> Self {
        self.latency = Some(Rc::clone(latency));
        self
    }

    /// How long the handshake took, once it is complete.
    pub fn setup(&self) -> Option<Duration> {
        Some(self.connected? - self.started)
    }

    /// How many requests were answered.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Makes the first requests, on a connection that is established.
    pub fn begin(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.begun = Some(cx.now());
        for _ in 0..self.work.loops {
            self.ask(cx);
        }
    }

    /// From the first request to the last answer.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether all that it has to do is done.
    pub fn is_done(&self) -> bool {
        self.connected.is_some() && self.active == 0
    }

    fn ask(&mut self, cx: &mut SessionContext<'_, Self>) {
        let request = Some(Bytes::copy_from_slice(&self.work.response.to_be_bytes()));
        let stream = PerfLoop { begun: cx.now(), request, received: 0 };
        match cx.open_stream(Direction::Bidirectional, |_| stream) {
            Ok(_) => self.active += 1,
            Err(error) => {
                self.failure.get_or_insert(format!("a stream cannot be opened: {error}"));
                cx.close(ApplicationError(1), "too few streams");
            }
        }
    }

    fn on_answer(&mut self, begun: Time, cx: &mut SessionContext<'_, Self>) {
        self.active -= 1;
        self.requests += 1;
        self.elapsed = cx.now() - self.begun.unwrap_or(self.started);
        if let Some(latency) = &self.latency {
            let mut latency = latency.borrow_mut();
            latency.saturating_record((cx.now() - begun).as_micros() as u64);
        }
        match self.work.end {
            LoopEnd::After(time) if self.elapsed < time => self.ask(cx),
            LoopEnd::After(_) if self.active == 0 => cx.close(ApplicationError(0), "done"),
            LoopEnd::After(_) | LoopEnd::Stay => {}
        }
    }
}

impl Session for PerfLoops {
    type Stream = PerfLoop;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<PerfLoop, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.connected = Some(cx.now());
        if self.work.loops == 0 {
            cx.close(ApplicationError(0), "done"); // what completes the server's handshake goes along
        } else if !self.work.held {
            self.begin(cx);
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if !self.is_done() {
            self.failure.get_or_insert(ended_early(why));
        }
    }
}

impl Stream<PerfLoops> for PerfLoop {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, PerfLoops>) {
        while let Some(data) = cx.read() {
            self.received += data.len() as u64;
        }
        if cx.is_read_finished() {
            let (session, cx) = cx.split();
            let wanted = session.work.response;
            if self.received != wanted {
                session.failure = Some(format!("{} of {wanted} bytes came", self.received));
            }
            session.on_answer(self.begun, cx);
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, PerfLoops>) {
        if let Some(request) = self.request.take() {
            let _ = cx.write_all(request); // a stream just opened takes it
            let _ = cx.finish();
        }
    }
}

/// Of requests that take up to a minute, to a thousandth.
pub fn new_latency() -> Latency {
    let histogram = Histogram::new_with_bounds(1, MAX_MICROSECONDS, 3);
    Rc::new(RefCell::new(histogram.expect("the bounds are in range")))
}

/// The longest latency that is told from longer ones: a minute.
const MAX_MICROSECONDS: u64 = 60_000_000;
