//! The objects behind C's pointers, and [`live`]: which of them there are. A pointer that is not in
//! the list, because it was freed or never was one of ours, is an error and is not followed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::{Rc, Weak};
use std::sync::{LazyLock, Mutex, PoisonError};

use protoquic::CloseReason;
use protoquic::polled::{Client, Config, Connection, ConnectionKey, Http3, Listener, Streams};

use crate::headers::HeaderList;
use crate::status::{Failure, Outcome, PQ_ERR_BAD_HANDLE, PQ_ERR_CLOSED, PQ_ERR_NULL};

/// Settings, certificates and protocols. See pq_config_new.
pub struct pq_config {
    pub(crate) config: Config,
}

/// One connection: of a client, or one that a listener has accepted.
pub struct pq_conn {
    pub(crate) link: Link,
    pub(crate) data: *mut c_void,
    /// What the last event pointed to.
    pub(crate) headers: HeaderList,
    /// How an accepted connection has ended.
    pub(crate) ended: Option<CloseReason>,
}

/// A server's port. See pq_listen.
pub struct pq_listener {
    pub(crate) port: Port,
    /// The connections that the caller has, by their keys.
    pub(crate) conns: Rc<RefCell<HashMap<u64, *mut pq_conn>>>,
}

/// Where a connection is.
pub(crate) enum Link {
    Streams(Box<Client<Streams>>),
    Http3(Box<Client<Http3>>),
    Accepted {
        port: WeakPort,
        key: ConnectionKey,
        conns: Weak<RefCell<HashMap<u64, *mut pq_conn>>>,
    },
}

#[derive(Clone)]
pub(crate) enum Port {
    Streams(Rc<RefCell<Listener<Streams>>>),
    Http3(Rc<RefCell<Listener<Http3>>>),
}

pub(crate) enum WeakPort {
    Streams(Weak<RefCell<Listener<Streams>>>),
    Http3(Weak<RefCell<Listener<Http3>>>),
}

impl Port {
    pub(crate) fn downgrade(&self) -> WeakPort {
        match self {
            Self::Streams(port) => WeakPort::Streams(Rc::downgrade(port)),
            Self::Http3(port) => WeakPort::Http3(Rc::downgrade(port)),
        }
    }
}

/// Runs the same expression on either kind of listener.
macro_rules! with_port {
    ($port:expr, $listener:ident => $body:expr) => {
        match $port {
            $crate::handles::Port::Streams(port) => {
                let $listener = &mut *port.borrow_mut();
                $body
            }
            $crate::handles::Port::Http3(port) => {
                let $listener = &mut *port.borrow_mut();
                $body
            }
        }
    };
}
pub(crate) use with_port;

/// Runs the same expression on any kind of connection.
macro_rules! with_conn {
    ($conn:expr, $connection:ident => $body:expr) => {
        match &mut $conn.link {
            $crate::handles::Link::Streams(client) => {
                let $connection = &mut ***client;
                $body
            }
            $crate::handles::Link::Http3(client) => {
                let $connection = &mut ***client;
                $body
            }
            $crate::handles::Link::Accepted { port, key, .. } => match port {
                $crate::handles::WeakPort::Streams(port) => {
                    let port = port.upgrade().ok_or_else($crate::handles::over)?;
                    let mut listener = port.borrow_mut();
                    let $connection =
                        listener.connection(*key).ok_or_else($crate::handles::over)?;
                    $body
                }
                $crate::handles::WeakPort::Http3(port) => {
                    let port = port.upgrade().ok_or_else($crate::handles::over)?;
                    let mut listener = port.borrow_mut();
                    let $connection =
                        listener.connection(*key).ok_or_else($crate::handles::over)?;
                    $body
                }
            },
        }
    };
}
pub(crate) use with_conn;

impl pq_conn {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, data: std::ptr::null_mut(), headers: HeaderList::default(), ended: None }
    }

    /// Lends the connection, if bare streams run on it.
    pub(crate) fn streams<R>(
        &mut self,
        f: impl FnOnce(&mut Connection<Streams>) -> protoquic::polled::Result<R>,
    ) -> Outcome<R> {
        match &mut self.link {
            Link::Streams(client) => Ok(f(client)?),
            Link::Accepted { port: WeakPort::Streams(port), key, .. } => {
                let port = port.upgrade().ok_or_else(over)?;
                let mut listener = port.borrow_mut();
                Ok(f(listener.connection(*key).ok_or_else(over)?)?)
            }
            _ => Err(Failure::new(crate::PQ_ERR_WRONG_STATE, "the connection runs HTTP/3")),
        }
    }

    /// Lends the connection, if HTTP/3 runs on it.
    pub(crate) fn http3<R>(
        &mut self,
        f: impl FnOnce(&mut Connection<Http3>) -> protoquic::polled::Result<R>,
    ) -> Outcome<R> {
        match &mut self.link {
            Link::Http3(client) => Ok(f(client)?),
            Link::Accepted { port: WeakPort::Http3(port), key, .. } => {
                let port = port.upgrade().ok_or_else(over)?;
                let mut listener = port.borrow_mut();
                Ok(f(listener.connection(*key).ok_or_else(over)?)?)
            }
            _ => Err(Failure::new(crate::PQ_ERR_WRONG_STATE, "the connection runs bare streams")),
        }
    }
}

/// An accepted connection that its listener no longer has.
pub(crate) fn over() -> Failure {
    Failure::new(PQ_ERR_CLOSED, "the connection is over")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Config,
    Conn,
    Listener,
}

/// An object that C has a pointer to.
pub(crate) trait Handle: Sized {
    const KIND: Kind;

    /// Moves it to where C can point to it.
    fn release(self) -> *mut Self {
        let pointer = Box::into_raw(Box::new(self));
        shard(pointer as usize)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pointer as usize, Self::KIND);
        pointer
    }

    /// Takes it back from C.
    fn reclaim(pointer: *mut Self) -> Outcome<Box<Self>> {
        check::<Self>(pointer)?;
        shard(pointer as usize)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(pointer as usize));
        // SAFETY: it was in the list, so `release` has made it of a box and nobody took it back.
        Ok(unsafe { Box::from_raw(pointer) })
    }

    /// Follows a pointer.
    ///
    /// # Safety
    ///
    /// Nobody else may use the object meanwhile: the header asks for one thread at a time.
    unsafe fn follow<'a>(pointer: *mut Self) -> Outcome<&'a mut Self> {
        check::<Self>(pointer)?;
        // SAFETY: it is in the list, so it was not freed; that nobody else uses it is promised.
        Ok(unsafe { &mut *pointer })
    }
}

impl Handle for pq_config {
    const KIND: Kind = Kind::Config;
}

impl Handle for pq_conn {
    const KIND: Kind = Kind::Conn;
}

impl Handle for pq_listener {
    const KIND: Kind = Kind::Listener;
}

fn check<T: Handle>(pointer: *mut T) -> Outcome<()> {
    if pointer.is_null() {
        return Err(Failure::new(PQ_ERR_NULL, format!("{:?} is NULL", T::KIND)));
    }
    let list = shard(pointer as usize).lock().unwrap_or_else(PoisonError::into_inner);
    match list.get(&(pointer as usize)) {
        Some(kind) if *kind == T::KIND => Ok(()),
        other => {
            let what = format!("no {:?} but {other:?} is at {pointer:p}", T::KIND);
            Err(Failure::new(PQ_ERR_BAD_HANDLE, what))
        }
    }
}

type Shard = Mutex<HashMap<usize, Kind>>;

/// In shards, so that threads with objects of their own seldom wait for each other.
fn shard(address: usize) -> &'static Shard {
    static LIVE: LazyLock<[Shard; SHARDS]> =
        LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));
    &LIVE[(address >> 6) % SHARDS]
}

const SHARDS: usize = 16;
