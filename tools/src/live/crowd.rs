//! [`Crowd`]: viewers on one socket, in one thread. This file must not know what they do with what
//! they see.

use std::net::SocketAddr;
use std::time::Duration;

use protoquic::dispatcher::ClientPool;
use protoquic::readers::{EventLoop, Waker, connectable_from};
use protoquic::{SessionContext, SessionHost, Time};

use super::measure::Measure;
use super::reassembly::ReassemblyTally;
use super::viewer::Viewer;
use crate::endpoint::{self, ClientOptions};

/// Viewers and the event loop that runs them.
#[derive(Debug)]
pub struct Crowd {
    options: ClientOptions,
    event_loop: EventLoop,
    pool: ClientPool<Viewer>,
    local: SocketAddr,
    /// The sessions that are over.
    gone: Vec<Box<SessionHost<Viewer>>>,
    started: Time,
}

impl Crowd {
    /// Opens a socket. The error is a line for a person.
    pub fn open(options: ClientOptions) -> Result<Self, String> {
        let (mut event_loop, writer, local) = endpoint::open(connectable_from(options.address))?;
        event_loop.set_busy_poll(options.busy_poll);
        let pool = ClientPool::new(writer, options.config.client_connection_id_length);
        let started = event_loop.now();
        Ok(Self { options, event_loop, pool, local, gone: Vec::new(), started })
    }

    /// Another viewer begins to connect.
    pub fn add(&mut self, viewer: Viewer) -> Result<(), String> {
        let now = self.event_loop.now();
        let connection = self.options.connection(now, self.local)?;
        self.pool.add(SessionHost::new(connection, viewer));
        Ok(())
    }

    /// One turn of the event loop, waiting at most so long.
    pub fn turn(&mut self, wait: Duration) -> Result<(), String> {
        let turned = self.event_loop.run_once(&mut self.pool, Some(wait));
        turned.map_err(|error| format!("the socket failed: {error}"))?;
        self.gone.extend(self.pool.take_ended().into_iter().map(|ended| ended.host));
        Ok(())
    }

    /// Runs `f` with every viewer that still watches.
    pub fn for_each(&mut self, f: impl FnMut(&mut Viewer, &mut SessionContext<'_, Viewer>)) {
        let now = self.event_loop.now();
        self.pool.enter_all(now, f);
    }

    /// Since the crowd was opened.
    pub fn elapsed(&self) -> Duration {
        self.event_loop.now() - self.started
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        self.pool.len()
    }

    /// What became of all viewers' frames.
    pub fn measure(&self, deadline: Duration) -> Measure {
        let mut sum = Measure::new(deadline);
        self.all().for_each(|viewer| sum.add(viewer.measure()));
        sum
    }

    /// The smallest share of frames on time that any viewer had, in percent: 0 if one saw none, and
    /// `None` if all did.
    pub fn worst_on_time(&self) -> Option<f64> {
        let shares = || self.all().map(|viewer| viewer.measure().counts().on_time_percent());
        let any = shares().any(|share| share.is_some());
        any.then(|| shares().map(Option::unwrap_or_default).fold(100.0, f64::min))
    }

    /// What came in datagrams, of all viewers.
    pub fn reassembly(&self) -> ReassemblyTally {
        self.all().map(Viewer::reassembly).fold(ReassemblyTally::default(), |sum, one| {
            ReassemblyTally {
                repaired: sum.repaired + one.repaired,
                evicted: sum.evicted + one.evicted,
            }
        })
    }

    /// The first viewer's failure, if any failed.
    pub fn failure(&self) -> Option<&str> {
        let failed = |viewer: &'_ Viewer| viewer.outcome().is_some_and(Result::is_err);
        let viewer = self.gone.iter().map(|host| host.session()).find(|viewer| failed(viewer))?;
        viewer.outcome()?.as_ref().err().map(String::as_str)
    }

    /// What wakes it from another thread.
    pub fn waker(&self) -> Waker {
        self.event_loop.waker()
    }

    fn all(&self) -> impl Iterator<Item = &Viewer> {
        self.pool.sessions().chain(self.gone.iter().map(|host| host.session()))
    }
}
