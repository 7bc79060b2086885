//! Readiness: what a handle can do without waiting, and what [`App::poll`](crate::App::poll) is
//! asked about many of them.

use std::task::{Poll, Waker};

use protoquic_io_thread::{
    Error, MAX_UNSENT, News, Phase, ReadEnd, Seat, SharedConnection, SharedListener, SharedStream,
    thread_waker,
};

use crate::handle::{Handle, Object};

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
        Object::Listener(listener) => of_listener(listener),
        Object::Connection(connection) => of_connection(connection),
        Object::Stream(stream) => of_stream(stream),
    }
}

fn of_listener(listener: &SharedListener) -> Readiness {
    listener.state.with(|state| {
        let closed = state.end.is_some();
        let readable = closed || !state.pending.is_empty();
        Readiness { readable, writable: false, datagram: false, closed }
    })
}

fn of_connection(connection: &SharedConnection) -> Readiness {
    connection.state.with(|state| {
        let closed = matches!(state.phase, Phase::Over(_));
        Readiness {
            readable: closed || state.has_incoming(),
            writable: !matches!(state.phase, Phase::Connecting | Phase::Early),
            datagram: closed || !state.datagrams.is_empty(),
            closed,
        }
    })
}

fn of_stream(stream: &SharedStream) -> Readiness {
    stream.state.with(|state| {
        let is_open = state.id.is_some();
        let failed = state.write_end.as_ref().is_some_and(|error| *error != Error::Finished);
        Readiness {
            readable: stream.receives()
                && (state.has_taken || !state.received.is_empty() || state.read_end.is_some()),
            writable: stream.sends()
                && (state.write_end.is_some() || is_open && state.unsent.len() < MAX_UNSENT),
            datagram: false,
            closed: failed || matches!(state.read_end, Some(ReadEnd::Failed(_))),
        }
    })
}

/// Seats at all of these objects, as long as this lives.
pub(crate) struct Watch<'a> {
    seats: Vec<(&'a Object, Seat)>,
    waker: Waker,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(objects: &'a [Object]) -> Self {
        let seats = objects.iter().map(|object| (object, Seat::default())).collect();
        Self { seats, waker: thread_waker() }
    }

    /// Has the next change of any of them end this thread's next sleep.
    pub(crate) fn arm(&mut self) {
        let waker = &self.waker;
        for (object, seat) in &mut self.seats {
            let _: Poll<()> = match object {
                Object::Fresh(_) => Poll::Pending,
                Object::Listener(shared) => shared.state.poll(waker, seat, News::ALL, |_| None),
                Object::Connection(shared) => shared.state.poll(waker, seat, News::ALL, |_| None),
                Object::Stream(shared) => shared.state.poll(waker, seat, News::ALL, |_| None),
            };
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for (object, seat) in &mut self.seats {
            match object {
                Object::Fresh(_) => {}
                Object::Listener(listener) => listener.state.leave(seat),
                Object::Connection(connection) => connection.state.leave(seat),
                Object::Stream(stream) => stream.state.leave(seat),
            }
        }
    }
}
