//! The I/O thread of clients: all connections of an address family on one socket.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protoquic_core::{
    AlarmFactory, AlarmOwner, ClientSetup, Config, Connection, EventLoopVisitor, Host as _,
    PacketBatch, PacketSink, PathAddress, ReceivedPacket, Session as _, SessionHost, Time,
};
use protoquic_dispatcher::ClientPool;
use protoquic_readers::BufferedRandom;
use rustls_pki_types::ServerName;

use crate::Error;
use crate::connection::SharedConnection;
use crate::port::{Equipment, Port};
use crate::session::{CarrierSession, Obituaries};
use crate::settings::CLIENT_ID_LENGTH;

/// A connection to be begun.
#[derive(Debug)]
pub struct ConnectOrder {
    /// What is known of it.
    pub connection: Arc<SharedConnection>,
    /// The transport's settings.
    pub config: Arc<Config>,
    /// TLS's settings.
    pub tls: Arc<rustls::ClientConfig>,
    /// The name that the server must prove.
    pub server_name: ServerName<'static>,
    /// Where the server is.
    pub server: SocketAddr,
}

impl ConnectOrder {
    /// Begins the connection.
    pub fn begin(self) {
        let port = Arc::clone(&self.connection.port);
        port.connect(self);
    }
}

struct ClientPort {
    pool: ClientPool<CarrierSession>,
    port: Arc<Port>,
    local: SocketAddr,
    /// Connections by their numbers.
    keys: HashMap<u64, usize>,
    obituaries: Obituaries,
    /// No more connections are made; when the last has ended, so does the thread.
    closing: bool,
}

/// Runs until it is stopped and every connection has ended.
pub(crate) fn run(equipment: Equipment) {
    let Equipment { mut event_loop, writer, local, port } = equipment;
    let mut clients = ClientPort {
        pool: ClientPool::new(writer, CLIENT_ID_LENGTH),
        port,
        local,
        keys: HashMap::new(),
        obituaries: Obituaries::default(),
        closing: false,
    };
    while !(clients.closing && clients.pool.is_empty()) {
        if let Err(error) = event_loop.run_once(&mut clients, None) {
            log::error!("the clients' socket failed: {error}");
            break;
        }
    }
}

impl ClientPort {
    fn connect(&mut self, order: ConnectOrder, now: Time) {
        let ConnectOrder { connection, config, tls, server_name, server } = order;
        let setup = ClientSetup {
            config,
            tls,
            server_name,
            path: PathAddress::new(self.local, server),
            token: Bytes::new(),
            random: Box::new(BufferedRandom),
            observer: None,
        };
        match Connection::client(now, setup) {
            Ok(made) => {
                let number = connection.number;
                let obituaries = Rc::clone(&self.obituaries);
                let session = CarrierSession::new(connection, None, obituaries);
                let mut host = SessionHost::new(made, session);
                host.wake(); // there may be orders already
                self.keys.insert(number, self.pool.add(host));
            }
            Err(error) => {
                connection.end(&Error::Invalid(error.to_string()));
                self.port.count_deaths(1);
            }
        }
    }
}

impl PacketSink for ClientPort {
    fn on_packet(&mut self, packet: ReceivedPacket) {
        self.pool.on_packet(packet);
    }

    fn on_batch(&mut self, batch: PacketBatch) {
        self.pool.on_batch(batch);
    }
}

impl EventLoopVisitor for ClientPort {
    fn on_alarm(&mut self, owner: AlarmOwner, now: Time) {
        self.pool.on_alarm(owner, now);
    }

    fn on_can_write(&mut self, now: Time) {
        self.pool.on_can_write(now);
    }

    fn on_wake(&mut self, now: Time) {
        let inbox = self.port.take_inbox();
        for order in inbox.connects {
            self.connect(order, now);
        }
        for number in inbox.wakes {
            if let Some(key) = self.keys.get(&number) {
                self.pool.wake(*key);
            }
        }
        self.closing |= inbox.close || inbox.stop;
        if let Some((code, reason)) = inbox.close_all {
            self.pool.enter_all(now, |_, cx| cx.close(code, &reason));
        }
        if inbox.stop {
            self.pool.enter_all(now, CarrierSession::on_shutdown);
        }
    }

    fn on_turn_end(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        self.pool.on_turn_end(now, alarms);
        self.pool.take_ended();
        let mut obituaries = self.obituaries.borrow_mut();
        self.port.count_deaths(obituaries.len());
        for number in obituaries.drain(..) {
            self.keys.remove(&number);
        }
    }

    fn wants_write_event(&self) -> bool {
        self.pool.wants_write_event()
    }

    fn has_work(&self) -> bool {
        self.pool.has_work()
    }
}
