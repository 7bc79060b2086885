//! The perf protocol's client: divides the bytes among its streams and counts what comes back.

use std::time::Duration;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId, Time,
};

use super::write_pattern;
use crate::ending::ended_early;

/// What to transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfWork {
    /// Bytes to receive on each stream.
    pub down: u64,
    /// Bytes to send on each stream.
    pub up: u64,
    /// How many streams at once.
    pub streams: u64,
    /// Whether it waits for [`PerfClient::begin`], so that many connections begin together.
    pub held: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerfReport {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// From the start to the end of the handshake.
    pub setup: Duration,
    /// From there to the last stream's end.
    pub transfer: Duration,
}

/// One run.
#[derive(Debug)]
pub struct PerfClient {
    work: PerfWork,
    started: Time,
    begun: Option<Time>,
    connected: bool,
    done: u64,
    report: PerfReport,
    finished: bool,
    failure: Option<String>,
}

/// One stream of it.
#[derive(Debug)]
pub struct PerfClientStream {
    request: Option<Bytes>,
    up: u64,
    finished: bool,
    received: u64,
}

impl PerfClient {
    /// A run that starts now.
    pub fn new(now: Time, work: PerfWork) -> Self {
        Self {
            work,
            started: now,
            begun: None,
            connected: false,
            done: 0,
            report: PerfReport::default(),
            finished: false,
            failure: None,
        }
    }

    /// What it came to, once it is over.
    pub fn report(&self) -> Option<Result<PerfReport, String>> {
        match &self.failure {
            Some(failure) => Some(Err(failure.clone())),
            None => self.finished.then_some(Ok(self.report)),
        }
    }

    /// Whether the handshake is complete.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Opens the streams, on a connection that is established.
    pub fn begin(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.begun = Some(cx.now());
        for _ in 0..self.work.streams {
            let request = Bytes::copy_from_slice(&self.work.down.to_be_bytes());
            let stream = PerfClientStream {
                request: Some(request),
                up: self.work.up,
                finished: false,
                received: 0,
            };
            if let Err(error) = cx.open_stream(Direction::Bidirectional, |_| stream) {
                let open = cx.streams().len();
                self.failure = Some(format!("stream {} cannot be opened: {error}", open + 1));
                return cx.close(ApplicationError(1), "too few streams");
            }
        }
    }

    fn on_stream_done(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.done += 1;
        if self.done == self.work.streams {
            let since = self.begun.unwrap_or(self.started);
            self.report.transfer = cx.now() - since;
            self.finished = true;
            cx.close(ApplicationError(0), "done");
        }
    }
}

impl Session for PerfClient {
    type Stream = PerfClientStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<PerfClientStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.connected = true;
        self.report.setup = cx.now() - self.started;
        if !self.work.held {
            self.begin(cx);
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if !self.finished {
            self.failure.get_or_insert(ended_early(why));
        }
    }
}

impl Stream<PerfClient> for PerfClientStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, PerfClient>) {
        let mut received = 0;
        while let Some(data) = cx.read() {
            received += data.len() as u64;
        }
        self.received += received;
        cx.session().report.received += received;
        if cx.is_read_finished() {
            let (session, cx) = cx.split();
            if self.received != session.work.down {
                session.failure = Some(format!(
                    "{} of {} bytes came on a stream",
                    self.received, session.work.down
                ));
            }
            session.on_stream_done(cx);
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, PerfClient>) {
        if let Some(request) = self.request.take() {
            let _ = cx.write_all(request); // a stream just opened takes it
        }
        let before = self.up;
        self.up = write_pattern(cx, self.up);
        cx.session().report.sent += before - self.up;
        if self.up == 0 && !std::mem::replace(&mut self.finished, true) {
            let _ = cx.finish();
        }
    }
}
