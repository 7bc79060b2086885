//! [`DatagramPeer`]: a session of either role that sends the datagrams it is told to, beside a
//! stream of bulk data if it is told to, and notes what comes and what became of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protoquic::connection::{Config, DatagramConfig, DatagramId, DatagramOptions};
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, ServerConfig, Session, SessionContext,
    SessionFactory, SessionHost, Stream, StreamContext, StreamId, Time,
};

use crate::protocols::Factory;
use crate::tls;

/// Its application protocol.
pub const ALPN: &[u8] = b"datagrams";

/// What came, and what became of what was sent.
#[derive(Debug, Default)]
pub struct Log {
    /// Datagrams that came, and when.
    pub received: Vec<(Time, Bytes)>,
    /// Ours that were acknowledged.
    pub acked: Vec<DatagramId>,
    /// Ours that were lost.
    pub lost: Vec<DatagramId>,
    /// Ours that were never sent.
    pub dropped: Vec<DatagramId>,
    /// Bytes that came on streams, and when the last of each came.
    pub streams: BTreeMap<StreamId, (usize, Time)>,
    /// Streams of the other side that it reset, and its codes.
    pub resets: BTreeMap<StreamId, u64>,
    /// Streams of ours that missed their deadlines.
    pub late: Vec<StreamId>,
    /// Streams are not read until the next datagram comes.
    pub deaf: bool,
    /// Why the connection ended.
    pub closed: Option<CloseReason>,
}

/// The session.
#[derive(Debug, Default)]
pub struct DatagramPeer {
    /// What it noted.
    pub log: Rc<RefCell<Log>>,
}

/// A stream of it: written from outside, read to be counted.
#[derive(Debug)]
pub struct BulkStream;

/// Settings that take datagrams.
pub fn config() -> Config {
    let datagrams = DatagramConfig { max_frame_size: 65_535, ..DatagramConfig::default() };
    Config { datagrams, ..Config::default() }
}

/// A server with these settings whose sessions all note in this log.
pub fn factory(config: Config, log: &Rc<RefCell<Log>>) -> impl SessionFactory + use<> {
    let log = Rc::clone(log);
    let config = ServerConfig { transport: Arc::new(config), tls: tls::server(&[ALPN]) };
    Factory::new(&[ALPN], config, move |connection| {
        let log = Rc::clone(&log);
        Box::new(SessionHost::new(connection, DatagramPeer { log }))
    })
}

/// A datagram of urgency `urgency`.
pub fn urgent(urgency: u8) -> DatagramOptions {
    DatagramOptions { urgency, ..DatagramOptions::default() }
}

/// A stream with so much to send.
pub fn open_bulk(cx: &mut SessionContext<'_, DatagramPeer>, bytes: usize) -> StreamId {
    let id = cx.open_stream(Direction::Unidirectional, |_| BulkStream).expect("a stream is free");
    cx.write_all_to(id, Bytes::from(vec![7; bytes])).expect("it is open");
    cx.connection().stream_finish(id).expect("it is open");
    id
}

impl Session for DatagramPeer {
    type Stream = BulkStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<BulkStream, Refuse> {
        Ok(BulkStream)
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        let mut log = self.log.borrow_mut();
        log.received.push((cx.now(), data));
        if std::mem::take(&mut log.deaf) {
            cx.streams().ids().into_iter().for_each(|id| cx.wake_stream(id));
        }
    }

    fn on_datagram_acked(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        self.log.borrow_mut().acked.push(id);
    }

    fn on_datagram_lost(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        self.log.borrow_mut().lost.push(id);
    }

    fn on_datagram_dropped(&mut self, id: DatagramId, _cx: &mut SessionContext<'_, Self>) {
        self.log.borrow_mut().dropped.push(id);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.log.borrow_mut().closed = Some(why.clone());
    }
}

impl Stream<DatagramPeer> for BulkStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, DatagramPeer>) {
        let (id, now) = (cx.id(), cx.now());
        if cx.session().log.borrow().deaf {
            return;
        }
        while let Some(data) = cx.read() {
            let log = Rc::clone(&cx.session().log);
            let mut log = log.borrow_mut();
            let entry = log.streams.entry(id).or_insert((0, now));
            *entry = (entry.0 + data.len(), now);
        }
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, DatagramPeer>) {
        let id = cx.id();
        cx.session().log.borrow_mut().resets.insert(id, code.0);
    }

    fn on_deadline_missed(&mut self, cx: &mut StreamContext<'_, DatagramPeer>) {
        let id = cx.id();
        cx.session().log.borrow_mut().late.push(id);
    }
}
