//! Readiness: what a handle can do without waiting, and what [`App::poll`](crate::App::poll) is
//! asked about many of them.

use std::sync::Arc;

use crate::handle::{Handle, Object};
use crate::wait::Signal;

/// What a handle can do now without waiting. A call that would fail at once does not wait either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Something can be accepted or read, or the end is there.
    pub readable: bool,
    /// Something can be written; a connection: it is established.
    pub writable: bool,
    /// A connection: a datagram can be received.
    pub datagram: bool,
    /// The handle is of no more use: what it names was ended by the other side.
    pub closed: bool,
}

impl Readiness {
    /// What of this is of interest; being closed always is.
    fn of_interest(self, interest: Interest) -> Self {
        Self {
            readable: self.readable && interest.readable,
            writable: self.writable && interest.writable,
            datagram: self.datagram && interest.datagram,
            closed: self.closed,
        }
    }

    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What [`App::poll`](crate::App::poll) waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// For something to accept or read.
    pub readable: bool,
    /// For room to write, or for a connection to be established.
    pub writable: bool,
    /// For a datagram.
    pub datagram: bool,
}

impl Interest {
    /// To read, or to accept.
    pub const READABLE: Self = Self { readable: true, writable: false, datagram: false };
    /// To write.
    pub const WRITABLE: Self = Self { readable: false, writable: true, datagram: false };
    /// To read and to write.
    pub const BOTH: Self = Self { readable: true, writable: true, datagram: false };
}

/// One handle of many that are waited for.
#[derive(Clone, Copy, Debug)]
pub struct PollEntry {
    /// The handle.
    pub handle: Handle,
    /// What is of interest.
    pub interest: Interest,
    /// What of it is there: the answer.
    pub ready: Readiness,
}

impl PollEntry {
    /// A question.
    pub fn new(handle: Handle, interest: Interest) -> Self {
        Self { handle, interest, ready: Readiness::default() }
    }
}

/// Fills in the answers. Returns how many are not empty.
pub(crate) fn look(entries: &mut [PollEntry], objects: &[Object]) -> usize {
    for (entry, object) in entries.iter_mut().zip(objects) {
        entry.ready = readiness(object).of_interest(entry.interest);
    }
    entries.iter().filter(|entry| entry.ready.any()).count()
}

fn readiness(object: &Object) -> Readiness {
    match object {
        Object::Fresh(_) => Readiness::default(),
        Object::Listener(listener) => listener.readiness(),
        Object::Connection(connection) => connection.readiness(),
        Object::Stream(stream) => stream.readiness(),
    }
}

/// Has every change of these objects set the signal, as long as this lives.
pub(crate) struct Watch<'a> {
    objects: &'a [Object],
    signal: Arc<Signal>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(objects: &'a [Object]) -> Self {
        let signal = Arc::new(Signal::default());
        for object in objects {
            match object {
                Object::Fresh(_) => {}
                Object::Listener(listener) => listener.state.watch(&signal),
                Object::Connection(connection) => connection.state.watch(&signal),
                Object::Stream(stream) => stream.state.watch(&signal),
            }
        }
        Self { objects, signal }
    }

    /// Waits for a change, at most so long.
    pub(crate) fn wait(&self, timeout: Option<std::time::Duration>) {
        self.signal.wait(timeout);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for object in self.objects {
            match object {
                Object::Fresh(_) => {}
                Object::Listener(listener) => listener.state.unwatch(&self.signal),
                Object::Connection(connection) => connection.state.unwatch(&self.signal),
                Object::Stream(stream) => stream.state.unwatch(&self.signal),
            }
        }
    }
}
