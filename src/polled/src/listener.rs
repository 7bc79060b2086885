//! [`Listener`]: a server's port without a socket. A dispatcher routes datagrams to connections and
//! deals with those that belong to none; this names the connections by keys, and lends them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use protoquic_core::{
    AlarmFactory as _, ApplicationError, ClientHelloInfo, CloseReason, Connection as Machine,
    ConnectionHelper, ConnectionId, EventLoopVisitor as _, Host, ObserverFactory, PacketSink as _,
    Reject, ServerConfig, SessionFactory, Time,
};
use protoquic_dispatcher::{
    Dispatcher, DispatcherSetup, DispatcherStats, RandomConnectionIds, SessionKey,
};
use protoquic_readers::{SystemClock, SystemHelper, TimerWheel};

use crate::arrivals::{Arrivals, RecvInfo};
use crate::connection::{News, NewsDesk};
use crate::outbox::{SendInfo, SharedOutbox};
use crate::{Application, Config, Connection, Result, Streams};

/// Names a connection of a [`Listener`]. Never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// What a listener tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerEvent {
    /// A client begins a connection. Its handshake is under way.
    Accepted(ConnectionKey),
    /// Something has come for this connection, or a timeout of it has passed.
    Ready(ConnectionKey),
    /// This connection is over; its key leads nowhere any more.
    Closed(ConnectionKey, CloseReason),
}

/// All connections of a server's port.
///
/// [`connection`](Self::connection) lends each of them; see the [crate](crate) for the loop.
pub struct Listener<A: Application = Streams> {
    dispatcher: Dispatcher,
    alarms: TimerWheel,
    arrivals: Arrivals,
    outbox: SharedOutbox,
    keys: HashMap<u64, SessionKey>,
    desk: NewsDesk,
    births: Births,
    /// How many connections were made that `poll` has not told of.
    untold: Rc<Cell<usize>>,
    events: VecDeque<ListenerEvent>,
    /// Packets have come that may begin a connection.
    has_first_packets: bool,
    application: PhantomData<A>,
}

/// Connections that were made and not yet told, with an ID that leads to each.
type Births = Rc<RefCell<VecDeque<(u64, ConnectionId)>>>;

impl<A: Application> std::fmt::Debug for Listener<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("connections", &self.keys.len()).finish_non_exhaustive()
    }
}

impl<A: Application> Listener<A> {
    /// A listener with these settings, the system's randomness, and the system's time of day for the
    /// tokens that it gives to clients.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) without a certificate, or for settings that are out
    /// of their range.
    pub fn new(config: &Config) -> Result<Self> {
        Self::with_helper(config, Box::new(SystemHelper::new(SystemClock::new())))
    }

    /// As [`new`](Self::new), with a time of day and a randomness of the caller's.
    pub fn with_helper(config: &Config, helper: Box<dyn ConnectionHelper>) -> Result<Self> {
        let (desk, births, outbox) =
            (NewsDesk::default(), Births::default(), SharedOutbox::default());
        let untold = Rc::new(Cell::new(0));
        let factory = Factory::<A> {
            server: config.server()?,
            config: config.clone(),
            desk: Rc::clone(&desk),
            births: Rc::clone(&births),
            untold: Rc::clone(&untold),
            made: 0,
            application: PhantomData,
        };
        let dispatcher = Dispatcher::new(DispatcherSetup {
            config: config.listener().clone(),
            writer: Box::new(outbox.clone()),
            helper,
            ids: Box::new(RandomConnectionIds::new(ID_LENGTH)),
            factories: vec![Box::new(factory)],
            observers: None,
        });
        Ok(Self {
            dispatcher,
            alarms: TimerWheel::default(),
            arrivals: Arrivals::default(),
            outbox,
            keys: HashMap::new(),
            desk,
            births,
            untold,
            events: VecDeque::new(),
            has_first_packets: false,
            application: PhantomData,
        })
    }

    /// From now on this decides who watches new connections.
    pub fn set_observers(&mut self, observers: Box<dyn ObserverFactory>) {
        self.dispatcher.set_observers(observers);
    }

    /// Takes a datagram that has arrived, or a batch of them ([`RecvInfo::segment`]), whatever
    /// connection it belongs to.
    pub fn recv(&mut self, data: &[u8], info: &RecvInfo) -> Result<()> {
        self.has_first_packets |= data.first().is_some_and(|first| first & LONG_HEADER != 0);
        let dispatcher = &mut self.dispatcher;
        self.arrivals.deliver(data, info, |packet| dispatcher.on_packet(packet))
    }

    /// The next news. Call it until there are none, after every batch of datagrams.
    pub fn poll(&mut self, now: Time) -> Option<ListenerEvent> {
        if std::mem::take(&mut self.has_first_packets) {
            self.run_turn(now); // connections are made in turns
        }
        while let Some(event) = self.events.pop_front() {
            match event {
                ListenerEvent::Accepted(_) => self.untold.set(self.untold.get() - 1),
                ListenerEvent::Ready(key) => match self.connection(key) {
                    Some(connection) => connection.on_looked_at(),
                    None => continue,
                },
                ListenerEvent::Closed(..) => {}
            }
            return Some(event);
        }
        let more = !self.desk.borrow().is_empty();
        more.then(|| self.sort_news()).and_then(|()| self.poll(now))
    }

    /// Lends a connection; `None` if it is over. What is told to it goes out with the next
    /// [`send`](Self::send).
    pub fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection<A>> {
        let session = *self.keys.get(&key.0)?;
        downcast(self.dispatcher.session_mut(session)?)
    }

    /// Puts the next datagram of any connection into `out`. [`Error::Done`](crate::Error::Done) if
    /// there is none now.
    pub fn send(&mut self, out: &mut [u8], now: Time) -> Result<SendInfo> {
        self.send_batch(out, 1, now)
    }

    /// Puts as many datagrams as fit, `max` at most, one behind the other: all to one client, all of
    /// one size, but for the last, which may be shorter. For `UDP_SEGMENT`.
    pub fn send_batch(&mut self, out: &mut [u8], max: usize, now: Time) -> Result<SendInfo> {
        if self.outbox.0.borrow().is_empty() {
            self.dispatcher.on_can_write(now);
            self.run_turn(now);
        }
        self.outbox.0.borrow_mut().take(out, max)
    }

    /// How long to wait for the socket before [`on_timeout`](Self::on_timeout) is to be called;
    /// `None`: for ever. Zero as long as there may be something to [`send`](Self::send) or to
    /// [`poll`](Self::poll).
    pub fn timeout(&self, now: Time) -> Option<Duration> {
        let has_news = !self.events.is_empty() || !self.desk.borrow().is_empty();
        if has_news || self.dispatcher.has_work() || !self.outbox.0.borrow().is_empty() {
            return Some(Duration::ZERO);
        }
        self.alarms.next_deadline().map(|deadline| deadline.saturating_since(now))
    }

    /// The timeout has passed. Harmless if it has not.
    pub fn on_timeout(&mut self, now: Time) {
        while let Some(owner) = self.alarms.pop_expired(now) {
            self.dispatcher.on_alarm(owner, now);
        }
    }

    /// From now on new clients are refused, and every connection is told to end when it can: HTTP/3
    /// says GOAWAY and serves what runs, bare streams close.
    pub fn stop_accepting(&mut self, now: Time) {
        self.dispatcher.stop_accepting_new_connections(now);
    }

    /// Closes every connection at once, with an application error code.
    pub fn close_all(&mut self, now: Time, code: u64, reason: &str) {
        self.dispatcher.close_all(now, ApplicationError(code), reason);
    }

    /// Whether no connection lives.
    pub fn is_idle(&self) -> bool {
        self.dispatcher.is_idle()
    }

    /// What it has done so far.
    pub fn stats(&self) -> DispatcherStats {
        self.dispatcher.stats()
    }

    fn run_turn(&mut self, now: Time) {
        self.dispatcher.on_turn_end(now, &mut self.alarms);
        self.sort_news();
    }

    /// Births before what is reported of those that were born.
    fn sort_news(&mut self) {
        for (number, id) in self.births.borrow_mut().drain(..) {
            if let Some(session) = self.dispatcher.session_key(&id) {
                self.keys.insert(number, session);
            }
            self.events.push_back(ListenerEvent::Accepted(ConnectionKey(number)));
        }
        for news in self.desk.borrow_mut().drain(..) {
            self.events.push_back(match news {
                News::Ready(number) => ListenerEvent::Ready(ConnectionKey(number)),
                News::Closed(number, reason) => {
                    self.keys.remove(&number);
                    ListenerEvent::Closed(ConnectionKey(number), reason)
                }
            });
        }
    }
}

fn downcast<A: Application>(host: &mut dyn Host) -> Option<&mut Connection<A>> {
    let host: &mut dyn Any = host;
    host.downcast_mut()
}

/// Makes the connections of a listener.
struct Factory<A> {
    server: ServerConfig,
    config: Config,
    desk: NewsDesk,
    births: Births,
    untold: Rc<Cell<usize>>,
    made: u64,
    application: PhantomData<A>,
}

impl<A: Application> SessionFactory for Factory<A> {
    fn alpn(&self) -> &[Vec<u8>] {
        self.config.alpn()
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.server.clone()
    }

    fn create_session(
        &mut self,
        connection: Machine,
        _hello: &ClientHelloInfo<'_>,
    ) -> std::result::Result<Box<dyn Host>, Reject> {
        if self.untold.get() >= self.config.backlog() {
            return Err(Reject("too many wait to be accepted".to_owned()));
        }
        let Some(id) = connection.local_connection_ids().next() else {
            return Err(Reject("the connection has no ID".to_owned()));
        };
        self.made += 1;
        self.untold.set(self.untold.get() + 1);
        self.births.borrow_mut().push_back((self.made, id));
        let connection = Connection::new(A::server(connection, &self.config), Time::ZERO);
        Ok(Box::new(connection.reporting(self.made, Rc::clone(&self.desk))))
    }
}

/// The length of a server's connection IDs, in bytes.
const ID_LENGTH: usize = 8;
/// RFC 8999 §5.1: the packet has a long header; one of those begins a connection.
const LONG_HEADER: u8 = 0x80;
