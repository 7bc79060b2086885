//! Which handles there are, and where orders for them go. This file must not know what orders say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::events::pq_handle;
use super::port::Port;
use super::queue::Queue;
use crate::status::{Failure, Outcome, PQ_ERR_BAD_HANDLE};

#[derive(Clone)]
pub(crate) enum Entry {
    Registration(Arc<Mutex<Vec<Running>>>),
    Listener(Arc<Port>),
    Conn(Arc<Port>),
    Stream { port: Arc<Port>, conn: pq_handle, queue: Queue },
}

/// An I/O thread of a registration.
pub(crate) struct Running {
    pub(crate) port: Arc<Port>,
    pub(crate) thread: JoinHandle<()>,
}

type Table = HashMap<pq_handle, Entry>;

fn table() -> MutexGuard<'static, Table> {
    static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that names nothing yet.
pub(crate) fn reserve() -> pq_handle {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// It names this from now on.
pub(crate) fn insert(handle: pq_handle, entry: Entry) {
    table().insert(handle, entry);
}

/// A new handle.
pub(crate) fn add(entry: Entry) -> pq_handle {
    let handle = reserve();
    insert(handle, entry);
    handle
}

/// It names nothing from now on.
pub(crate) fn remove(handle: pq_handle) {
    table().remove(&handle);
}

/// What a handle names.
pub(crate) fn find(handle: pq_handle) -> Outcome<Entry> {
    table().get(&handle).cloned().ok_or_else(|| wrong(handle, "nothing"))
}

pub(crate) fn registration(handle: pq_handle) -> Outcome<Arc<Mutex<Vec<Running>>>> {
    match find(handle)? {
        Entry::Registration(threads) => Ok(threads),
        _ => Err(wrong(handle, "no registration")),
    }
}

pub(crate) fn conn(handle: pq_handle) -> Outcome<Arc<Port>> {
    match find(handle)? {
        Entry::Conn(port) => Ok(port),
        _ => Err(wrong(handle, "no connection")),
    }
}

pub(crate) fn stream(handle: pq_handle) -> Outcome<(Arc<Port>, pq_handle, Queue)> {
    match find(handle)? {
        Entry::Stream { port, conn, queue } => Ok((port, conn, queue)),
        _ => Err(wrong(handle, "no stream")),
    }
}

pub(crate) fn wrong(handle: pq_handle, what: &str) -> Failure {
    Failure::new(PQ_ERR_BAD_HANDLE, format!("the handle {handle} names {what}"))
}
