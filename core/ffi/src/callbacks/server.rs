//! The I/O threads: a listener's, with a dispatcher, and a client's, with one session. This file must
//! not know what sessions do.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use protoquic::dispatcher::{
    Dispatcher, DispatcherConfig, DispatcherSetup, RandomConnectionIds, SessionKey,
};
use protoquic::readers::SystemHelper;
use protoquic::{
    AlarmFactory, AlarmOwner, ApplicationError, ClientHelloInfo, CloseReason, Connection,
    ConnectionId, EventLoopVisitor, Host, PacketSink, ReceivedPacket, Reject, ServerConfig,
    Session as _, SessionFactory, SessionHost, SingleHost, Time,
};

use super::events::{
    Context, pq_cb_listener_callback, pq_cb_listener_event, pq_cb_listener_event_kind, pq_handle,
};
use super::port::{Command, Equipment, Port};
use super::session::{CallbackSession, Deaths};
use super::table::{self, Entry};
use crate::address::pq_path;

/// Connections that were made in this turn, with an ID that leads to each.
type Births = Rc<RefCell<Vec<(pq_handle, ConnectionId)>>>;

/// What a listener is made with.
pub(crate) struct ListenerSetup {
    pub(crate) server: ServerConfig,
    pub(crate) limits: DispatcherConfig,
    pub(crate) callback: pq_cb_listener_callback,
    pub(crate) context: Context,
}

struct ListenerThread {
    dispatcher: Dispatcher,
    port: Arc<Port>,
    keys: HashMap<pq_handle, SessionKey>,
    births: Births,
    deaths: Deaths,
    is_stopping: bool,
}

/// Runs a listener until it is stopped and every connection has ended.
pub(crate) fn listen(equipment: Equipment, handle: pq_handle, setup: ListenerSetup) {
    let Equipment { mut event_loop, writer, port, .. } = equipment;
    let (births, deaths) = (Births::default(), Deaths::default());
    let factory = Factory {
        handle,
        alpn: setup.server.tls.alpn_protocols.clone(),
        server: setup.server,
        callback: setup.callback,
        context: setup.context,
        port: Arc::clone(&port),
        births: Rc::clone(&births),
        deaths: Rc::clone(&deaths),
    };
    let dispatcher = Dispatcher::new(DispatcherSetup {
        config: setup.limits,
        writer: Box::new(writer),
        helper: Box::new(SystemHelper::new(event_loop.clock())),
        ids: Box::new(RandomConnectionIds::new(ID_LENGTH)),
        factories: vec![Box::new(factory)],
        observers: None,
    });
    let keys = HashMap::new();
    let mut thread = ListenerThread { dispatcher, port, keys, births, deaths, is_stopping: false };
    while !(thread.is_stopping && thread.dispatcher.is_idle()) {
        if let Err(error) = event_loop.run_once(&mut thread, None) {
            log::error!("a listener's socket failed: {error}");
            let now = event_loop.now();
            thread.dispatcher.close_all(now, ApplicationError(0), "");
            thread.on_turn_end(now, event_loop.alarms());
            break;
        }
    }
    table::remove(handle);
    thread.port.close();
}

struct Factory {
    handle: pq_handle,
    alpn: Vec<Vec<u8>>,
    server: ServerConfig,
    callback: pq_cb_listener_callback,
    context: Context,
    port: Arc<Port>,
    births: Births,
    deaths: Deaths,
}

impl SessionFactory for Factory {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.server.clone()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        let Some(id) = connection.local_connection_ids().next() else {
            return Err(Reject("the connection has no ID".to_owned()));
        };
        let handle = table::add(Entry::Conn(Arc::clone(&self.port)));
        let path = pq_path::new(*connection.path());
        let mut event = pq_cb_listener_event {
            kind: pq_cb_listener_event_kind::PQ_CB_NEW_CONNECTION,
            conn: handle,
            peer: path.peer,
            peer_len: path.peer_len,
            callback: None,
            context: std::ptr::null_mut(),
        };
        if let Some(callback) = self.callback {
            // SAFETY: the application gave this function for these arguments; the event outlives
            // the call.
            unsafe { callback(self.handle, self.context.0, &raw mut event) };
        }
        if event.callback.is_none() {
            table::remove(handle);
            return Err(Reject("the application does not want it".to_owned()));
        }
        self.births.borrow_mut().push((handle, id));
        let (port, deaths) = (Arc::clone(&self.port), Rc::clone(&self.deaths));
        let context = Context(event.context);
        let session = CallbackSession::new(handle, port, event.callback, context, deaths);
        Ok(Box::new(SessionHost::new(connection, session)))
    }
}

impl PacketSink for ListenerThread {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        self.dispatcher.on_packet(packet);
    }
}

impl ListenerThread {
    fn host(&mut self, conn: pq_handle) -> Option<&mut SessionHost<CallbackSession>> {
        let host: &mut dyn Any = self.dispatcher.session_mut(*self.keys.get(&conn)?)?;
        host.downcast_mut()
    }
}

impl EventLoopVisitor for ListenerThread {
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time) {
        self.dispatcher.on_alarm(owner, now);
    }

    fn on_can_write(&mut self, now: Time) {
        self.dispatcher.on_can_write(now);
    }

    fn on_wake(&mut self, now: Time) {
        for command in self.port.take() {
            match command {
                Command::Stop => {
                    self.is_stopping = true;
                    self.dispatcher.close_all(now, ApplicationError(0), "goodbye");
                }
                Command::Order(conn, order) => match self.host(conn) {
                    Some(host) => host.enter(now, |session, cx| session.obey(order, cx)),
                    None => order.refuse(),
                },
            }
        }
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.dispatcher.on_turn_end(now, alarms);
        for (handle, id) in self.births.borrow_mut().drain(..) {
            if let Some(key) = self.dispatcher.session_key(&id) {
                self.keys.insert(handle, key);
            }
        }
        for handle in self.deaths.borrow_mut().drain(..) {
            self.keys.remove(&handle);
        }
    }

    fn wants_write_event(&self) -> bool {
        self.dispatcher.wants_write_event()
    }

    fn has_work(&self) -> bool {
        self.dispatcher.has_work()
    }
}

struct ClientThread {
    host: SingleHost<CallbackSession>,
    port: Arc<Port>,
}

/// Runs a client's connection until it has ended.
pub(crate) fn connect(
    equipment: Equipment,
    make: impl FnOnce(Time, SocketAddr) -> Result<Connection, String>,
    session: impl FnOnce(Arc<Port>) -> CallbackSession,
) {
    let Equipment { mut event_loop, writer, local, port } = equipment;
    let mut session = session(Arc::clone(&port));
    let connection = match make(event_loop.now(), local) {
        Ok(connection) => connection,
        Err(error) => {
            session.on_connection_closed(&CloseReason::WriteFailed(error));
            return port.close();
        }
    };
    let host = SessionHost::new(connection, session);
    let mut thread = ClientThread { host: SingleHost::new(host, Box::new(writer)), port };
    while thread.host.close_reason().is_none() {
        if let Err(error) = event_loop.run_once(&mut thread, None) {
            log::error!("a client's socket failed: {error}");
            let now = event_loop.now();
            thread.host.close(now, ApplicationError(0), "");
            thread.on_turn_end(now, event_loop.alarms());
        }
    }
    thread.port.close();
}

impl PacketSink for ClientThread {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        self.host.on_packet(packet);
    }
}

impl EventLoopVisitor for ClientThread {
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time) {
        self.host.on_alarm(owner, now);
    }

    fn on_can_write(&mut self, now: Time) {
        self.host.on_can_write(now);
    }

    fn on_wake(&mut self, now: Time) {
        for command in self.port.take() {
            match command {
                Command::Stop => self.host.close(now, ApplicationError(0), "goodbye"),
                Command::Order(_, order) => {
                    self.host.enter(now, |session, cx| session.obey(order, cx));
                }
            }
        }
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.host.on_turn_end(now, alarms);
    }

    fn wants_write_event(&self) -> bool {
        self.host.wants_write_event()
    }

    fn has_work(&self) -> bool {
        self.host.has_work()
    }
}

/// The length of a server's connection IDs, in bytes.
const ID_LENGTH: usize = 8;
