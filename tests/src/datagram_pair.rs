//! [`Pair`]: two connected [`DatagramPeer`]s, told from outside what to send. It knows no wire format.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::connection::{Config, DatagramError, DatagramOptions};
use protoquic::streams::Priority;
use protoquic::{ApplicationError, StreamError, StreamId};

use crate::datagrams::{ALPN, DatagramPeer, Log, config, factory, open_bulk};
use crate::net::{Link, Net};
use crate::tls;

/// What a session notes, shared with it.
pub type Logs = Rc<RefCell<Log>>;

/// A client and a server, and what each noted.
#[derive(Debug)]
pub struct Pair {
    /// Both, and the network between them.
    pub net: Net<DatagramPeer>,
    /// What the client noted.
    pub client: Logs,
    /// What the server noted.
    pub server: Logs,
}

impl Pair {
    /// Both with settings that take datagrams, on a good link.
    pub fn simple() -> Self {
        Self::new(1, Link::default(), config(), config())
    }

    /// A pair whose handshake is confirmed.
    pub fn new(seed: u64, link: Link, client: Config, server: Config) -> Self {
        println!("seed {seed}");
        let (client_log, server_log) = (Logs::default(), Logs::default());
        let mut net = Net::new(seed, link, factory(server, &server_log));
        let session = DatagramPeer { log: Rc::clone(&client_log) };
        net.connect(Arc::new(client), tls::client(&[ALPN]), session, |writer| Box::new(writer));
        let done = net.run_until(Duration::from_secs(20), |net| {
            net.clients[0].host().connection().is_confirmed()
        });
        assert!(done, "the handshake completes");
        Self { net, client: client_log, server: server_log }
    }

    /// Sends what was asked for meanwhile, and runs for so long.
    pub fn run(&mut self, millis: u64) {
        self.net.kick();
        self.net.run_for(Duration::from_millis(millis));
    }

    /// Has the client send a datagram.
    pub fn send(&mut self, data: &[u8], options: DatagramOptions) -> Result<(), DatagramError> {
        let now = self.net.now;
        let data = Bytes::copy_from_slice(data);
        self.net.clients[0].enter(now, |_, cx| cx.send_datagram(data, options)).map(drop)
    }

    /// The largest datagram that the client may send.
    pub fn max(&self) -> Option<usize> {
        self.net.clients[0].host().connection().max_datagram_size()
    }

    /// The datagrams that came to the server.
    pub fn received(&self) -> Vec<Bytes> {
        self.server.borrow().received.iter().map(|(_, data)| data.clone()).collect()
    }

    /// A stream of the client's with so much to send.
    pub fn bulk(&mut self, bytes: usize) -> StreamId {
        let now = self.net.now;
        self.net.clients[0].enter(now, |_, cx| open_bulk(cx, bytes))
    }

    /// Sets the priority of a stream of the client's.
    pub fn prioritize(&mut self, id: StreamId, urgency: u8, incremental: bool) {
        let now = self.net.now;
        let priority = Priority { urgency, incremental };
        self.net.clients[0]
            .enter(now, |_, cx| cx.connection().stream_set_priority(id, priority))
            .expect("it is open");
    }

    /// A stream of the client's is of no use after so long.
    pub fn set_deadline(&mut self, id: StreamId, after: Duration) {
        let now = self.net.now;
        self.net.clients[0]
            .enter(now, |_, cx| cx.connection().stream_set_deadline(id, Some(now + after), LATE))
            .expect("it is open");
    }

    /// Resets a stream of the client's but for so many bytes.
    pub fn reset_at(&mut self, id: StreamId, reliable: u64) -> Result<(), StreamError> {
        let now = self.net.now;
        self.net.clients[0].enter(now, |_, cx| cx.connection().stream_reset_at(id, LATE, reliable))
    }

    /// How much of a stream has come.
    pub fn arrived(&self, id: StreamId) -> usize {
        self.server.borrow().streams.get(&id).map_or(0, |(len, _)| *len)
    }
}

/// The code with which streams are reset that are late.
pub const LATE: ApplicationError = ApplicationError(77);
