//! One worker: an endpoint on its own thread, from its beginning to its end.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use protoquic::ApplicationError;
use protoquic::dispatcher::{DispatcherConfig, WorkerPlace};
use protoquic::readers::{BusyPoll, Waker};
use protoquic_qlog::QlogDirectory;

use super::counters::Counters;
use super::{Control, MakeFactories, Order};
use crate::endpoint::ServerEndpoint;

/// What its thread begins with.
pub(super) struct Worker {
    pub(super) socket: UdpSocket,
    pub(super) place: WorkerPlace,
    pub(super) limits: DispatcherConfig,
    pub(super) qlog: Option<QlogDirectory>,
    pub(super) busy_poll: BusyPoll,
    pub(super) factories: Arc<MakeFactories>,
    pub(super) orders: Arc<AtomicU8>,
    pub(super) counters: Arc<[Counters]>,
}

impl Worker {
    /// Says when it is ready, waits until all are, and serves until it is told to end.
    pub(super) fn run(
        self,
        ready: &Sender<Waker>,
        may_start: &Receiver<Control>,
    ) -> Result<(), String> {
        let number = self.place.number();
        let factories = (self.factories)();
        let mut endpoint =
            ServerEndpoint::on_socket(self.socket, self.place, self.limits, factories)?;
        endpoint.write_qlog(self.qlog);
        endpoint.set_busy_poll(self.busy_poll);
        let _ = ready.send(endpoint.waker());
        let Ok(control) = may_start.recv() else { return Ok(()) };
        let counters = &self.counters[number];
        let served = serve(&mut endpoint, &self.orders, counters);
        counters.write(&endpoint.dispatcher().stats());
        if served.is_err() {
            control.stop(); // a port that is served in part would lose what belongs to this one
        }
        served
    }
}

fn serve(
    endpoint: &mut ServerEndpoint,
    orders: &AtomicU8,
    counters: &Counters,
) -> Result<(), String> {
    let mut draining = false;
    loop {
        endpoint.run_once(Some(OFTEN))?;
        counters.write(&endpoint.dispatcher().stats());
        let order = orders.load(Ordering::Relaxed);
        if order == Order::Stop as u8 {
            endpoint.close_all(ApplicationError(0), "the server was stopped");
            return endpoint.run_once(Some(Duration::ZERO));
        }
        if order == Order::Drain as u8 && !std::mem::replace(&mut draining, true) {
            endpoint.drain();
            // What the sessions have to say in parting goes out now.
            endpoint.run_once(Some(Duration::ZERO))?;
        }
        if draining && endpoint.dispatcher().is_idle() {
            return Ok(());
        }
    }
}

/// How often it is looked whether somebody has given an order, at least.
const OFTEN: Duration = Duration::from_secs(1);
