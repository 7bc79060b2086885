//! The I/O thread of a listener: a dispatcher, and a factory of sessions that counts who waits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic_core::{
    AlarmFactory, AlarmOwner, ClientHelloInfo, Connection, ConnectionId, EventLoopVisitor, Host,
    PacketBatch, PacketSink, ReceivedPacket, Reject, ServerConfig, SessionFactory, SessionHost,
    Time,
};
use protoquic_dispatcher::{
    Dispatcher, DispatcherConfig, DispatcherSetup, RandomConnectionIds, SessionKey,
};
use protoquic_readers::SystemHelper;

use crate::Error;
use crate::connection::SharedConnection;
use crate::listener::SharedListener;
use crate::port::{Equipment, Port, thread_ended};
use crate::session::{CarrierSession, Obituaries};
use crate::wait::Patience;

/// Sessions that were made in this turn: their numbers, and an ID that leads to each.
type Births = Rc<RefCell<Vec<(u64, ConnectionId)>>>;

struct ServerPort {
    dispatcher: Dispatcher,
    listener: Arc<SharedListener>,
    port: Arc<Port>,
    /// Sessions by their connections' numbers.
    keys: HashMap<u64, SessionKey>,
    births: Births,
    obituaries: Obituaries,
    /// No more connections are accepted; when the last has ended, so does the thread.
    closing: bool,
}

/// Runs until it is closed and every connection has ended.
pub(crate) fn run(
    equipment: Equipment,
    listener: Arc<SharedListener>,
    config: ServerConfig,
    linger: Duration,
) {
    let Equipment { mut event_loop, writer, local: _, port } = equipment;
    let (births, obituaries) = (Births::default(), Obituaries::default());
    let factory = Factory {
        alpn: config.tls.alpn_protocols.clone(),
        config,
        linger,
        listener: Arc::clone(&listener),
        port: Arc::clone(&port),
        births: Rc::clone(&births),
        obituaries: Rc::clone(&obituaries),
        made: 0,
    };
    let dispatcher = Dispatcher::new(DispatcherSetup {
        config: DispatcherConfig::default(),
        writer,
        helper: Box::new(SystemHelper::new(event_loop.clock())),
        ids: Box::new(RandomConnectionIds::new(SERVER_ID_LENGTH)),
        factories: vec![Box::new(factory)],
        observers: None,
    });
    let keys = HashMap::new();
    let closing = false;
    let _end = End(Arc::clone(&listener));
    let mut server = ServerPort { dispatcher, listener, port, keys, births, obituaries, closing };
    while !(server.closing && server.dispatcher.is_idle()) {
        if let Err(error) = event_loop.run_once(&mut server, None) {
            log::error!("a listener's socket failed: {error}");
            server.listener.close(Error::system(&error));
            break;
        }
    }
}

/// Nobody shall wait for a listener whose thread has ended, even by a panic.
struct End(Arc<SharedListener>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close(thread_ended());
    }
}

struct Factory {
    alpn: Vec<Vec<u8>>,
    config: ServerConfig,
    linger: Duration,
    listener: Arc<SharedListener>,
    port: Arc<Port>,
    births: Births,
    obituaries: Obituaries,
    made: u64,
}

impl SessionFactory for Factory {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    fn server_config(&mut self, _hello: &ClientHelloInfo<'_>) -> ServerConfig {
        self.config.clone()
    }

    fn create_session(
        &mut self,
        connection: Connection,
        _hello: &ClientHelloInfo<'_>,
    ) -> Result<Box<dyn Host>, Reject> {
        if !self.listener.has_room() {
            return Err(Reject("too many wait to be accepted".to_owned()));
        }
        let Some(id) = connection.local_connection_ids().next() else {
            return Err(Reject("the connection has no ID".to_owned()));
        };
        self.made += 1;
        self.port.count_birth();
        self.births.borrow_mut().push((self.made, id));
        let patience = self.listener.state.with(|state| {
            state.handshaking += 1;
            Patience { nonblocking: false, ..state.patience }
        });
        let (port, peer) = (Arc::clone(&self.port), connection.peer_address());
        let shared = SharedConnection::new(self.made, port, peer, self.linger, patience);
        let listener = Some(Arc::clone(&self.listener));
        let session = CarrierSession::new(shared, listener, Rc::clone(&self.obituaries));
        Ok(Box::new(SessionHost::new(connection, session)))
    }
}

impl PacketSink for ServerPort {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        self.dispatcher.on_packet(packet);
    }

    fn on_batch(&mut self, batch: PacketBatch) {
        self.dispatcher.on_batch(batch);
    }
}

impl EventLoopVisitor for ServerPort {
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time) {
        self.dispatcher.on_alarm(owner, now);
    }

    fn on_can_write(&mut self, now: Time) {
        self.dispatcher.on_can_write(now);
    }

    fn on_wake(&mut self, now: Time) {
        let inbox = self.port.take_inbox();
        for number in inbox.wakes {
            if let Some(key) = self.keys.get(&number) {
                self.dispatcher.wake_session(*key);
            }
        }
        self.closing |= inbox.close || inbox.stop;
        if let Some((code, reason)) = inbox.close_all {
            self.dispatcher.close_all(now, code, &reason);
        }
        if inbox.stop {
            self.dispatcher.stop_accepting_new_connections(now);
        }
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.dispatcher.on_turn_end(now, alarms);
        for (number, id) in self.births.borrow_mut().drain(..) {
            if let Some(key) = self.dispatcher.session_key(&id) {
                self.keys.insert(number, key);
                self.dispatcher.wake_session(key); // there may be orders already
            }
        }
        let mut obituaries = self.obituaries.borrow_mut();
        self.port.count_deaths(obituaries.len());
        for number in obituaries.drain(..) {
            self.keys.remove(&number);
        }
    }

    fn wants_write_event(&self) -> bool {
        self.dispatcher.wants_write_event()
    }

    fn has_work(&self) -> bool {
        self.dispatcher.has_work()
    }
}

/// The length of a server's connection IDs, in bytes.
const SERVER_ID_LENGTH: usize = 8;
