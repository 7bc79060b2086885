//! [`Watched`]: a value that threads and tasks wait on. Both wait in the same way, by a
//! [`Waker`]: a task's leads to its runtime, a thread's unparks it. A thread holds the lock of one
//! value at a time, so there is no order to keep. This file must not know runtimes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use protoquic_core::{Clock, Time};
use protoquic_readers::SystemClock;
use slab::Slab;
use smallvec::SmallVec;

use crate::{Error, Result};

/// How long calls on a handle wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// For something to read or accept; for ever if `None`.
    pub read: Option<Duration>,
    /// For room to write, or to connect.
    pub write: Option<Duration>,
    /// Not at all, whatever the above say.
    pub nonblocking: bool,
}

impl Patience {
    /// How long a call waits that reads or accepts.
    pub fn for_reading(self) -> Wait {
        if self.nonblocking { Wait::Never } else { Wait::from(self.read) }
    }

    /// How long a call waits that writes or connects.
    pub fn for_writing(self) -> Wait {
        if self.nonblocking { Wait::Never } else { Wait::from(self.write) }
    }
}

/// How long one call of a thread waits.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// Not at all.
    Never,
    /// At most so long.
    For(Duration),
    /// Until it has what it waits for.
    Forever,
}

impl From<Option<Duration>> for Wait {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Forever, Self::For)
    }
}

impl Wait {
    /// When this wait ends, counted from now; none if it is none at all.
    pub fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Never => None,
            Self::For(timeout) => Some(Deadline::new(Some(timeout))),
            Self::Forever => Some(Deadline::new(None)),
        }
    }
}

/// When a wait ends.
#[derive(Debug)]
pub struct Deadline {
    clock: SystemClock,
    at: Option<Time>,
}

impl Deadline {
    /// So long from now; never if `None`.
    pub fn new(timeout: Option<Duration>) -> Self {
        let clock = SystemClock::new();
        Self { clock, at: timeout.map(|timeout| clock.now() + timeout) }
    }

    /// How long is left; `Ok(None)` is for ever, an error is nothing.
    pub fn left(&self) -> Result<Option<Duration>> {
        let Some(at) = self.at else { return Ok(None) };
        let left = at.saturating_since(self.clock.now());
        if left.is_zero() { Err(Error::TimedOut) } else { Ok(Some(left)) }
    }
}

/// Which way the news of a value goes: who waits for something else sleeps on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News(u8);

impl News {
    /// There is none.
    pub const NONE: Self = Self(0);
    /// Something has come: to read, to accept.
    pub const IN: Self = Self(1);
    /// Something has gone: there is room to write.
    pub const OUT: Self = Self(2);
    /// Whatever there is.
    pub const ALL: Self = Self(3);

    const fn concern(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A value behind a lock, with those who wait for it to change.
#[derive(Debug)]
pub struct Watched<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    seats: Slab<Sitter>,
}

/// One who waits, or may wait again.
#[derive(Debug)]
struct Sitter {
    news: News,
    /// None if it was woken since it last looked.
    waker: Option<Waker>,
}

/// A place among those who wait for one value. Its owner keeps it for the next wait, and gives it
/// back with [`Watched::leave`].
#[derive(Debug, Default)]
pub struct Seat(Option<usize>);

impl<T> Watched<T> {
    /// A value that nobody waits for.
    pub fn new(value: T) -> Self {
        Self { inner: Mutex::new(Inner { value, seats: Slab::new() }) }
    }

    /// Looks at the value, or changes it in a way that nobody waits for.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock().value)
    }

    /// Changes the value and wakes everybody who waits for it.
    pub fn change<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.report(|value| (News::ALL, f(value)))
    }

    /// Changes the value and wakes those whom the news that `f` returns concerns.
    pub fn report<R>(&self, f: impl FnOnce(&mut T) -> (News, R)) -> R {
        let mut wakers = SmallVec::<[Waker; 4]>::new();
        let mut inner = self.lock();
        let (news, result) = f(&mut inner.value);
        if news != News::NONE {
            let concerned = inner.seats.iter_mut().filter(|(_, sitter)| news.concern(sitter.news));
            wakers.extend(concerned.filter_map(|(_, sitter)| sitter.waker.take()));
        }
        drop(inner); // who is woken wants the lock
        for waker in wakers {
            waker.wake();
        }
        result
    }

    /// Asks `f` for a result; has the waker called at the next such news if there is none.
    pub fn poll<R>(
        &self,
        waker: &Waker,
        seat: &mut Seat,
        news: News,
        f: impl FnOnce(&mut T) -> Option<R>,
    ) -> Poll<R> {
        let _old; // dropped after the lock: with a waker may go a task, and with that a seat here
        let inner = &mut *self.lock();
        let sitter = seat.0.and_then(|at| inner.seats.get_mut(at));
        if let Some(result) = f(&mut inner.value) {
            _old = sitter.and_then(|sitter| sitter.waker.take()); // what it waited for is here
            return Poll::Ready(result);
        }
        match sitter {
            Some(Sitter { waker: Some(known), .. }) if known.will_wake(waker) => {}
            Some(sitter) => _old = sitter.waker.replace(waker.clone()),
            None => seat.0 = Some(inner.seats.insert(Sitter { news, waker: Some(waker.clone()) })),
        }
        Poll::Pending
    }

    /// Gives a seat back.
    pub fn leave(&self, seat: &mut Seat) {
        if let Some(at) = seat.0.take() {
            let left = self.lock().seats.try_remove(at);
            drop(left); // not under the lock, as in `poll`
        }
    }

    /// Has the thread wait until `f` has a result.
    pub fn wait<R>(
        &self,
        wait: Wait,
        news: News,
        mut f: impl FnMut(&mut T) -> Option<Result<R>>,
    ) -> Result<R> {
        if let Some(result) = self.with(&mut f) {
            return result;
        }
        let Some(deadline) = wait.deadline() else { return Err(Error::WouldBlock) };
        let (waker, mut seat) = (thread_waker(), Seat::default());
        let result = loop {
            if let Poll::Ready(result) = self.poll(&waker, &mut seat, news, &mut f) {
                break result;
            }
            match deadline.left() {
                Ok(left) => park(left),
                Err(error) => break Err(error),
            }
        };
        self.leave(&mut seat);
        result
    }

    /// How many wait, or may wait again.
    pub fn seats(&self) -> usize {
        self.lock().seats.len()
    }

    /// No closure that runs under the lock leaves the value half changed, even if it panics: at
    /// worst a call is lost.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who makes a call, and so how it waits: a thread by its [`Wait`], a task by its [`Turn`]. A task's
/// call that has to wait is pending; a thread's never is.
pub trait Waiter {
    /// Asks `f` for a result, now and after such news.
    fn until<T, R>(
        self,
        on: &Watched<T>,
        news: News,
        f: impl FnMut(&mut T) -> Option<Result<R>>,
    ) -> Poll<Result<R>>;
}

impl Waiter for Wait {
    fn until<T, R>(
        self,
        on: &Watched<T>,
        news: News,
        f: impl FnMut(&mut T) -> Option<Result<R>>,
    ) -> Poll<Result<R>> {
        Poll::Ready(on.wait(self, news, f))
    }
}

/// One poll of a task.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What has it polled again.
    pub waker: &'a Waker,
    /// Its seat at the value that the call is about: always the same one.
    pub seat: &'a mut Seat,
}

impl Waiter for Turn<'_> {
    fn until<T, R>(
        self,
        on: &Watched<T>,
        news: News,
        f: impl FnMut(&mut T) -> Option<Result<R>>,
    ) -> Poll<Result<R>> {
        on.poll(self.waker, self.seat, news, f)
    }
}

/// The result of a thread's call.
pub fn finished<R>(call: Poll<Result<R>>) -> Result<R> {
    match call {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::WouldBlock), // only a task's call is pending
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Parked(std::thread::current())));
}

/// What ends this thread's [`park`].
pub fn thread_waker() -> Waker {
    WAKER.with(Clone::clone)
}

/// Has this thread sleep until it is woken, at most so long. It may also wake for no reason.
pub fn park(at_most: Option<Duration>) {
    match at_most {
        Some(time) => std::thread::park_timeout(time),
        None => std::thread::park(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A waker that counts how often it was woken.
    #[derive(Default)]
    pub(crate) struct Counter(AtomicUsize);

    impl Counter {
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_news_that_concerns_them_wakes_them_and_only_once() {
        let counter = Arc::new(Counter::default());
        let (waker, mut seat) = (Waker::from(Arc::clone(&counter)), Seat::default());
        let watched = Watched::new(0);
        let more = |value: &mut i32| (*value > 1).then_some(*value);
        assert!(watched.poll(&waker, &mut seat, News::IN, more).is_pending());
        let count = || counter.count();
        watched.report(|_| (News::OUT, ()));
        watched.with(|value| *value = 1);
        assert_eq!(count(), 0);
        watched.report(|_| (News::IN, ()));
        watched.change(|_| ());
        assert_eq!(count(), 1, "woken once until it looks again");
        assert!(watched.poll(&waker, &mut seat, News::IN, more).is_pending());
        watched.change(|value| *value = 2);
        assert_eq!(count(), 2);
        assert_eq!(watched.poll(&waker, &mut seat, News::IN, more), Poll::Ready(2));
        watched.change(|_| ());
        assert_eq!((count(), watched.seats()), (2, 1));
        watched.leave(&mut seat);
        assert_eq!(watched.seats(), 0);
    }

    /// A waker that holds a seat at the value that it waits for, as that of a task may.
    struct Seated(Arc<Watched<u8>>, Mutex<Seat>);

    impl Wake for Seated {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Seated {
        fn drop(&mut self) {
            self.0.leave(self.1.get_mut().unwrap());
        }
    }

    #[test]
    fn wakers_are_dropped_outside_the_lock() {
        let watched = Arc::new(Watched::new(0));
        let none = |_: &mut u8| None::<()>;
        let seated = || Waker::from(Arc::new(Seated(Arc::clone(&watched), Mutex::default())));
        let mut seat = Seat::default();
        assert!(watched.poll(&seated(), &mut seat, News::IN, none).is_pending());
        assert!(watched.poll(&seated(), &mut seat, News::IN, none).is_pending());
        assert!(watched.poll(&seated(), &mut seat, News::IN, |_| Some(())).is_ready());
        assert!(watched.poll(&seated(), &mut seat, News::IN, none).is_pending());
        watched.leave(&mut seat);
        assert_eq!(watched.seats(), 0);
    }

    #[test]
    fn a_thread_is_woken_or_late() {
        let watched = Arc::new(Watched::new(false));
        let result =
            watched.wait(Wait::For(Duration::from_millis(1)), News::IN, |_| None::<Result<()>>);
        assert_eq!(result, Err(Error::TimedOut));
        let other = Arc::clone(&watched);
        let thread = std::thread::spawn(move || {
            other.wait(Wait::Forever, News::IN, |value| value.then_some(Ok(7)))
        });
        watched.change(|value| *value = true);
        assert_eq!(thread.join().unwrap(), Ok(7));
        assert_eq!(watched.seats(), 0);
    }
}
