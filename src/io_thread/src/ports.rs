//! [`Ports`]: the I/O threads of an application: one for each listener, and one for all client
//! connections of an address family, started when it is needed first.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use protoquic_core::ServerConfig;
use protoquic_readers::connectable_from;
use rustls_pki_types::ServerName;

use crate::client_port::{self, ConnectOrder};
use crate::connection::SharedConnection;
use crate::listener::{ListenerState, SharedListener};
use crate::port::{self, Port};
use crate::settings::{ClientSettings, Settings};
use crate::wait::{Patience, Watched};
use crate::{Error, Result, server_port};

/// The I/O threads of an application. Dropped, they go on until they are told to end.
#[derive(Debug, Default)]
pub struct Ports {
    inner: Mutex<Inner>,
    /// Numbers the connections of clients.
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    ipv4_clients: Option<Arc<Port>>,
    ipv6_clients: Option<Arc<Port>>,
    /// Every thread that may still run.
    threads: Vec<(Arc<Port>, JoinHandle<()>)>,
}

impl Inner {
    fn add(&mut self, port: Arc<Port>, thread: JoinHandle<()>) {
        self.threads.retain(|(_, thread)| !thread.is_finished());
        self.threads.push((port, thread));
    }
}

impl Ports {
    /// A connection to this server that can be begun with [`Port::connect`].
    pub fn prepare(
        &self,
        settings: &ClientSettings,
        server: SocketAddr,
        name: &str,
        patience: Patience,
    ) -> Result<ConnectOrder> {
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|error| Error::Invalid(format!("{name} is no name of a server: {error}")))?;
        let port = self.client_port(server)?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let ClientSettings { config, tls, linger } = settings.clone();
        let connection = SharedConnection::new(number, port, server, linger, patience);
        Ok(ConnectOrder { connection, config, tls, server_name, server })
    }

    /// The port from which this server can be reached, started if there is none whose thread runs.
    fn client_port(&self, server: SocketAddr) -> Result<Arc<Port>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            if server.is_ipv4() { &mut inner.ipv4_clients } else { &mut inner.ipv6_clients };
        // Its socket may have failed. The connections that it had are lost, later ones are not.
        if let Some(port) = known.as_ref().filter(|port| !port.is_over()) {
            return Ok(Arc::clone(port));
        }
        let socket = port::open_socket(connectable_from(server))?;
        let (port, thread) = port::start("clients", socket, client_port::run)?;
        *known = Some(Arc::clone(&port));
        inner.add(Arc::clone(&port), thread);
        Ok(port)
    }

    /// Starts to listen on this socket; clients beyond `backlog` that nobody has accepted are refused.
    pub fn listen(
        &self,
        settings: &Settings,
        patience: Patience,
        socket: Arc<UdpSocket>,
        backlog: usize,
    ) -> Result<Arc<SharedListener>> {
        let (config, linger) = (settings.server()?, settings.linger);
        let address = socket.local_addr().map_err(|error| Error::system(&error))?;
        let (tell, told) = std::sync::mpsc::sync_channel::<(Arc<SharedListener>, ServerConfig)>(1);
        let main = move |equipment| {
            if let Ok((listener, config)) = told.recv() {
                server_port::run(equipment, listener, config, linger);
            }
        };
        let (port, thread) = port::start("listener", socket, main)?;
        let state = Watched::new(ListenerState { patience, ..ListenerState::default() });
        let owner = Arc::clone(&port);
        let listener = Arc::new(SharedListener { port: owner, address, backlog, state });
        let _ = tell.send((Arc::clone(&listener), config)); // its thread waits for it
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).add(port, thread);
        Ok(listener)
    }

    /// Those that may still run.
    pub fn running(&self) -> Vec<Arc<Port>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.threads.iter().map(|(port, _)| Arc::clone(port)).collect()
    }

    /// Ends everything, connections in order, and waits until that is done.
    pub fn stop_and_join(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { threads, .. } = std::mem::take(&mut *inner);
        drop(inner);
        for (port, _) in &threads {
            port.stop();
        }
        for (_, thread) in threads {
            let _ = thread.join(); // one that panicked has said so
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_is_replaced() {
        let (ports, server) = (Ports::default(), SocketAddr::from(([127, 0, 0, 1], 9)));
        let first = ports.client_port(server).unwrap();
        assert!(Arc::ptr_eq(&first, &ports.client_port(server).unwrap()));
        first.stop();
        let (_, thread) = ports.inner.lock().unwrap().threads.pop().unwrap();
        thread.join().unwrap();
        let second = ports.client_port(server).unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && !second.is_over());
        ports.stop_and_join();
        assert!(second.is_over());
    }
}
