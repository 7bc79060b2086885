//! [`Wait`]: sleeps until one of a few sockets is ready, a time has passed or another thread calls,
//! through the `polling` crate, where there is no `poll`. This file must not know who reads the
//! sockets.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};

/// Waits for sockets.
pub(crate) struct Wait {
    poller: Arc<Poller>,
    events: Events,
    sockets: Vec<Arc<UdpSocket>>,
    watches_writes: bool,
}

/// Ends the wait of another thread, or its next one.
#[derive(Debug)]
pub(crate) struct Notifier(Arc<Poller>);

impl Notifier {
    pub(crate) fn notify(&self) -> io::Result<()> {
        self.0.notify()
    }
}

impl Wait {
    pub(crate) fn new() -> io::Result<Self> {
        let (poller, events) = (Arc::new(Poller::new()?), Events::new());
        Ok(Self { poller, events, sockets: Vec::new(), watches_writes: false })
    }

    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        Arc::new(Notifier(self.poller.clone()))
    }

    /// Waits for this socket too.
    #[expect(unsafe_code, reason = "polling asks for a promise that `Drop` keeps")]
    pub(crate) fn add(&mut self, socket: Arc<UdpSocket>) -> io::Result<()> {
        let interest = Event::readable(self.sockets.len());
        // SAFETY: the socket is owned here and removed from the poller in `drop`, before it closes.
        unsafe { self.poller.add_with_mode(&*socket, interest, mode(&self.poller))? };
        self.sockets.push(socket);
        Ok(())
    }

    /// Waits, at most so long. `ready` is told the place of each socket that is, in the order in
    /// which they were added, and whether it can be read and written.
    pub(crate) fn wait(
        &mut self,
        writes: bool,
        timeout: Option<Duration>,
        mut ready: impl FnMut(usize, bool, bool),
    ) -> io::Result<()> {
        self.rearm(writes)?;
        self.events.clear();
        match self.poller.wait(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in self.events.iter() {
            ready(event.key, event.readable, event.writable);
        }
        Ok(())
    }

    fn rearm(&mut self, writes: bool) -> io::Result<()> {
        if mode(&self.poller) == PollMode::Oneshot || writes != self.watches_writes {
            for (key, socket) in self.sockets.iter().enumerate() {
                let interest = Event::new(key, true, writes);
                self.poller.modify_with_mode(&**socket, interest, mode(&self.poller))?;
            }
            self.watches_writes = writes;
        }
        Ok(())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        for socket in &self.sockets {
            if let Err(error) = self.poller.delete(&**socket) {
                log::warn!("a socket could not be removed from its poller: {error}");
            }
        }
    }
}

fn mode(poller: &Poller) -> PollMode {
    if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot }
}
