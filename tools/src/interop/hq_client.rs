//! [`HqClient`]: fetches files over HTTP/0.9 on QUIC streams, as many at a time as the server
//! allows. Written on bare `Session` and `Stream`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId,
};

use super::downloads::Download;

/// Fetches a list of files on one connection.
#[derive(Debug)]
pub struct HqClient {
    waiting: VecDeque<Download>,
    unfinished: usize,
    /// A key update is still to be made.
    update_keys: bool,
    failure: Option<String>,
}

/// One of the files.
#[derive(Debug)]
pub struct HqClientStream {
    file: Download,
    asked: bool,
    out: Option<BufWriter<File>>,
    is_done: bool,
}

impl HqClient {
    /// Fetches these.
    pub fn new(files: &[Download]) -> Self {
        Self {
            waiting: files.iter().cloned().collect(),
            unfinished: files.len(),
            update_keys: false,
            failure: None,
        }
    }

    /// Has the keys updated as soon as they may be.
    #[must_use]
    pub fn updating_keys(mut self, update: bool) -> Self {
        self.update_keys = update;
        self
    }

    /// Whether all is done, or why it cannot be; `None` while it is under way.
    pub fn outcome(&self) -> Option<Result<(), String>> {
        match &self.failure {
            Some(failure) => Some(Err(failure.clone())),
            None => (self.unfinished == 0).then_some(Ok(())),
        }
    }

    /// Asks for as many files as the server allows for now.
    pub fn ask(&mut self, cx: &mut SessionContext<'_, Self>) {
        while let Some(file) = self.waiting.pop_front() {
            let stream =
                HqClientStream { file: file.clone(), asked: false, out: None, is_done: false };
            if cx.open_stream(Direction::Bidirectional, |_| stream).is_err() {
                // on_can_create_outgoing_stream tells when to go on.
                return self.waiting.push_front(file);
            }
        }
    }

    fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }
}

impl Session for HqClient {
    type Stream = HqClientStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<HqClientStream, Refuse> {
        Err(Refuse::default())
    }

    /// A GET does no harm when it is done twice.
    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.ask(cx);
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.ask(cx);
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        _direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.ask(cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if self.unfinished > 0 {
            self.fail(format!("{} files are not here: {why}", self.unfinished));
        }
    }
}

impl HqClientStream {
    fn receive(&mut self, cx: &mut StreamContext<'_, HqClient>) -> Result<(), String> {
        let unwritable = |error| format!("a file cannot be written: {error}");
        while let Some(data) = cx.read() {
            if self.out.is_none() {
                self.out = Some(self.file.create()?);
            }
            if let Some(out) = &mut self.out {
                out.write_all(&data).map_err(unwritable)?;
            }
        }
        if cx.is_read_finished() && !std::mem::replace(&mut self.is_done, true) {
            let mut out = match self.out.take() {
                Some(out) => out,
                None => self.file.create()?, // it is empty
            };
            out.flush().map_err(unwritable)?;
            cx.session().unfinished -= 1;
        }
        Ok(())
    }
}

impl Stream<HqClient> for HqClientStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, HqClient>) {
        if let Err(failure) = self.receive(cx) {
            cx.session().fail(failure);
        }
        if cx.session().update_keys && cx.connection().initiate_key_update() {
            cx.session().update_keys = false;
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, HqClient>) {
        if !std::mem::replace(&mut self.asked, true) {
            let request = format!("GET {}\r\n", self.file.path());
            // These fail only if the connection has ended, which the session is told.
            let _ = cx.write_all(Bytes::from(request));
            let _ = cx.finish();
        }
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, HqClient>) {
        cx.session().fail(format!("the server does not give {}: {code}", self.file.path()));
    }
}
