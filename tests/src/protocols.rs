//! Small protocols for tests: a server that echoes or answers with so many bytes, and a client that
//! sends and checks.

use bytes::{Bytes, BytesMut};
use protoquic::{
    ApplicationError, CloseReason, Direction, FnFactory, PathAddress, Refuse, ServerConfig,
    Session, SessionContext, SessionFactory, SessionHost, Stream, StreamContext, StreamError,
    StreamId,
};

/// Sends everything back.
#[derive(Debug)]
pub struct Echo;

/// One stream of it.
#[derive(Debug)]
pub struct EchoStream;

impl Session for Echo {
    type Stream = EchoStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<EchoStream, Refuse> {
        Ok(EchoStream)
    }
}

impl Stream<Echo> for EchoStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Echo>) {
        while cx.writable() > 0 {
            let Some(chunk) = cx.read() else { break };
            let _ = cx.write_all(chunk);
        }
        if cx.is_read_finished() {
            let _ = cx.finish();
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Echo>) {
        self.on_data_available(cx);
    }
}

/// Makes sessions by a function; what tests call the factory of their choice.
pub use protoquic::FnFactory as Factory;

/// A factory of echo sessions.
pub fn echo_factory(config: ServerConfig) -> impl SessionFactory {
    FnFactory::new(&[b"echo"], config, |connection| Box::new(SessionHost::new(connection, Echo)))
}

/// Answers each stream with as many bytes as its first eight say.
#[derive(Debug)]
pub struct Source;

/// One stream of it.
#[derive(Debug, Default)]
pub struct SourceStream {
    asked: BytesMut,
    data: Option<Bytes>,
}

impl Session for Source {
    type Stream = SourceStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<SourceStream, Refuse> {
        Ok(SourceStream::default())
    }
}

impl Stream<Source> for SourceStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Source>) {
        while let Some(chunk) = cx.read() {
            self.asked.extend_from_slice(&chunk);
        }
        if let (None, Some(length)) = (&self.data, self.asked.first_chunk()) {
            self.data = Some(pattern(u64::from_be_bytes(*length) as usize, cx.id().as_u64()));
            self.on_can_write(cx);
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Source>) {
        if let Some(data) = self.data.as_mut().filter(|data| !data.is_empty()) {
            let _ = cx.write(data);
            if data.is_empty() {
                let _ = cx.finish();
            }
        }
    }
}

/// A factory of such sessions.
pub fn source_factory(config: ServerConfig) -> impl SessionFactory {
    FnFactory::new(&[b"echo"], config, |connection| Box::new(SessionHost::new(connection, Source)))
}

/// A client that sends `total` bytes on each of its streams and checks that they come back.
#[derive(Debug)]
pub struct EchoClient {
    streams: u64,
    total: usize,
    /// How many streams have come back whole.
    pub done: u64,
    /// Why the connection ended, once it has.
    pub closed: Option<CloseReason>,
    /// Whether to close when all is done.
    pub close_when_done: bool,
    /// Whether it asks for its bytes with a few only, of a [`Source`].
    pub downloads: bool,
    /// Whether to open the streams before the handshake, if that can be.
    pub early: bool,
    /// What became of early data.
    pub early_settled: Option<bool>,
    opened: bool,
    /// What became of paths, in its order.
    pub paths: Vec<PathNews>,
    /// How many bytes have come back.
    pub received: usize,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathNews {
    /// It was proven.
    Validated(PathAddress),
    /// It was not.
    Failed(PathAddress),
    /// It came into use.
    Changed(PathAddress),
    /// The one in use seems to be dying.
    Degrading,
    /// It does not any more.
    Recovered,
}

/// One stream of it.
#[derive(Debug)]
pub struct EchoClientStream {
    to_send: Bytes,
    sent: bool,
    expected: Bytes,
}

impl EchoClient {
    /// So many streams of so many bytes each.
    pub fn new(streams: u64, total: usize) -> Self {
        Self {
            streams,
            total,
            done: 0,
            closed: None,
            close_when_done: true,
            downloads: false,
            early: false,
            early_settled: None,
            opened: false,
            paths: Vec::new(),
            received: 0,
        }
    }

    /// As [`new`](Self::new), and stays when all has come back.
    pub fn patient(streams: u64, total: usize) -> Self {
        Self { close_when_done: false, ..Self::new(streams, total) }
    }

    /// As [`new`](Self::new), beginning with early data where that can be.
    pub fn early(streams: u64, total: usize) -> Self {
        Self { early: true, ..Self::new(streams, total) }
    }

    /// Opens its streams, once more if it has done so before.
    pub fn open_streams(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.opened = true;
        for _ in 0..self.streams {
            let (total, downloads) = (self.total, self.downloads);
            let opened = cx.open_stream(Direction::Bidirectional, |id| {
                let data = pattern(total, id.as_u64());
                let length = || Bytes::copy_from_slice(&(total as u64).to_be_bytes());
                let to_send = if downloads { length() } else { data.clone() };
                EchoClientStream { to_send, sent: false, expected: data }
            });
            // A server may have broken a rule since.
            if opened != Err(StreamError::ConnectionClosed) {
                opened.expect("the server allows as many streams as the test opens");
            }
        }
    }

    /// Whether every stream came back whole.
    pub fn is_done(&self) -> bool {
        self.done == self.streams
    }
}

/// Bytes that tell their place, so that a misplaced one is seen.
pub fn pattern(len: usize, salt: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(len + 8);
    let mut word = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < len {
        word = word.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.freeze()
}

impl Session for EchoClient {
    type Stream = EchoClientStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<EchoClientStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        if !self.opened {
            self.open_streams(cx);
        }
    }

    fn on_early_data_ready(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.early {
            self.open_streams(cx);
        }
    }

    fn on_early_data_settled(&mut self, accepted: bool, _cx: &mut SessionContext<'_, Self>) {
        self.early_settled = Some(accepted);
    }

    fn on_path_validated(&mut self, path: &PathAddress, _cx: &mut SessionContext<'_, Self>) {
        self.paths.push(PathNews::Validated(*path));
    }

    fn on_path_failed(&mut self, path: &PathAddress, _cx: &mut SessionContext<'_, Self>) {
        self.paths.push(PathNews::Failed(*path));
    }

    fn on_path_degrading(&mut self, _cx: &mut SessionContext<'_, Self>) {
        self.paths.push(PathNews::Degrading);
    }

    fn on_path_recovered(&mut self, _cx: &mut SessionContext<'_, Self>) {
        self.paths.push(PathNews::Recovered);
    }

    fn on_path_changed(&mut self, path: &PathAddress, _cx: &mut SessionContext<'_, Self>) {
        self.paths.push(PathNews::Changed(*path));
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.closed = Some(why.clone());
    }
}

impl Stream<EchoClient> for EchoClientStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, EchoClient>) {
        while let Some(chunk) = cx.read() {
            cx.session().received += chunk.len();
            let expected = self.expected.split_to(chunk.len().min(self.expected.len()));
            assert!(expected == chunk, "{} brought other bytes than were sent", cx.id());
        }
        if cx.is_read_finished() {
            assert!(
                self.expected.is_empty(),
                "{} ended {} bytes early",
                cx.id(),
                self.expected.len()
            );
            let (session, cx) = cx.split();
            session.done += 1;
            if session.is_done() && session.close_when_done {
                cx.close(ApplicationError(0), "done");
            }
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, EchoClient>) {
        if !self.sent {
            let _ = cx.write(&mut self.to_send);
            if self.to_send.is_empty() {
                self.sent = true;
                let _ = cx.finish();
            }
        }
    }
}
