//! Data without end, to measure with: [`BulkSender`] writes as much as it may, [`bulk_factory`]'s
//! sessions count what comes. This file must not know the network.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use protoquic::{
    CloseReason, Direction, FnFactory, Refuse, ServerConfig, Session, SessionContext,
    SessionFactory, SessionHost, Stream, StreamContext, StreamId, Time,
};

/// What came, of all connections of a server; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<RefCell<u64>>);

impl Meter {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        *self.0.borrow()
    }
}

/// Opens one stream and writes to it until it has written all, or for ever.
#[derive(Debug)]
pub struct BulkSender {
    left: u64,
    /// When the handshake was complete.
    pub handshake_complete: Option<Time>,
    /// When all was acknowledged.
    pub finished: Option<Time>,
    /// Why the connection ended, once it has.
    pub closed: Option<CloseReason>,
}

impl BulkSender {
    /// Sends so many bytes.
    pub fn new(bytes: u64) -> Self {
        Self { left: bytes, handshake_complete: None, finished: None, closed: None }
    }

    /// Sends for ever.
    pub fn endless() -> Self {
        Self::new(u64::MAX)
    }
}

/// Its stream.
#[derive(Debug)]
pub struct BulkStream {
    finished: bool,
}

impl Session for BulkSender {
    type Stream = BulkStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<BulkStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.handshake_complete = Some(cx.now());
        cx.open_stream(Direction::Unidirectional, |_| BulkStream { finished: false })
            .expect("a server of the simulator allows a stream");
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.closed = Some(why.clone());
    }
}

impl Stream<BulkSender> for BulkStream {
    fn on_data_available(&mut self, _cx: &mut StreamContext<'_, BulkSender>) {}

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, BulkSender>) {
        while !self.finished {
            let size = cx.session().left.min(CHUNK.len() as u64) as usize;
            let mut chunk = Bytes::from_static(&CHUNK[..size]);
            let written = cx.write(&mut chunk).unwrap_or(0);
            cx.session().left -= written as u64;
            if cx.session().left == 0 {
                self.finished = true;
                let _ = cx.finish();
            } else if !chunk.is_empty() {
                break;
            }
        }
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, BulkSender>) {
        let now = cx.now();
        cx.session().finished = Some(now);
    }
}

/// Reads all there is.
#[derive(Debug)]
struct BulkReceiver(Meter);

#[derive(Debug)]
struct Sink;

impl Session for BulkReceiver {
    type Stream = Sink;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<Sink, Refuse> {
        Ok(Sink)
    }
}

impl Stream<BulkReceiver> for Sink {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, BulkReceiver>) {
        while let Some(chunk) = cx.read() {
            *cx.session().0.0.borrow_mut() += chunk.len() as u64;
        }
    }
}

/// Takes what [`BulkSender`]s send. Each session counts with the meter that `meter` gives it.
pub fn bulk_factory(config: ServerConfig, mut meter: impl FnMut() -> Meter) -> impl SessionFactory {
    FnFactory::new(&[BULK_ALPN], config, move |connection| {
        Box::new(SessionHost::new(connection, BulkReceiver(meter())))
    })
}

/// The protocol's name.
pub const BULK_ALPN: &[u8] = b"bulk";
static CHUNK: [u8; 64 << 10] = [0x5a; 64 << 10];
