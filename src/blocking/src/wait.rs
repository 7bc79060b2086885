//! [`Watched`]: a value that threads wait on: until it changes, until a time, or together with
//! others by a [`Signal`]. A thread holds the lock of one at a time, so there is no order to
//! keep.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protoquic_core::{Clock, Time};
use protoquic_readers::SystemClock;

use crate::{Error, Result};

/// How long calls on a handle wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// For something to read or accept; for ever if `None`.
    pub(crate) read: Option<Duration>,
    /// For room to write, or to connect.
    pub(crate) write: Option<Duration>,
    /// Not at all, whatever the above say.
    pub(crate) nonblocking: bool,
}

impl Patience {
    pub(crate) fn for_reading(self) -> Wait {
        if self.nonblocking { Wait::Never } else { Wait::from(self.read) }
    }

    pub(crate) fn for_writing(self) -> Wait {
        if self.nonblocking { Wait::Never } else { Wait::from(self.write) }
    }
}

/// How long one call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Never,
    For(Duration),
    Forever,
}

impl From<Option<Duration>> for Wait {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Forever, Self::For)
    }
}

/// When a wait ends.
pub(crate) struct Deadline {
    clock: SystemClock,
    at: Option<Time>,
}

impl Deadline {
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let clock = SystemClock::new();
        Self { clock, at: timeout.map(|timeout| clock.now() + timeout) }
    }

    /// How long is left; `Ok(None)` is for ever, an error is nothing.
    pub(crate) fn left(&self) -> Result<Option<Duration>> {
        let Some(at) = self.at else { return Ok(None) };
        let left = at.saturating_since(self.clock.now());
        if left.is_zero() { Err(Error::TimedOut) } else { Ok(Some(left)) }
    }
}

/// A value behind a lock, with those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// How many threads wait at `changed`: without any, no system call is made.
    waiting: usize,
    /// Threads that wait for several values.
    signals: Vec<Arc<Signal>>,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        let inner = Inner { value, waiting: 0, signals: Vec::new() };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Looks at the value, or changes it in a way that nobody waits for.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock().value)
    }

    /// Changes the value and wakes who waits for it.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.lock();
        let result = f(&mut inner.value);
        for signal in &inner.signals {
            signal.set();
        }
        if inner.waiting > 0 {
            self.changed.notify_all();
        }
        result
    }

    /// Waits until `f` has a result.
    pub(crate) fn wait<R>(
        &self,
        wait: Wait,
        mut f: impl FnMut(&mut T) -> Option<Result<R>>,
    ) -> Result<R> {
        let mut inner = self.lock();
        if let Some(result) = f(&mut inner.value) {
            return result;
        }
        let deadline = match wait {
            Wait::Never => return Err(Error::WouldBlock),
            Wait::For(timeout) => Deadline::new(Some(timeout)),
            Wait::Forever => Deadline::new(None),
        };
        inner.waiting += 1;
        loop {
            let left = deadline.left();
            inner = match left {
                Err(error) => {
                    inner.waiting -= 1;
                    return Err(error);
                }
                Ok(Some(left)) => {
                    let waited = self.changed.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Ok(None) => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
            if let Some(result) = f(&mut inner.value) {
                inner.waiting -= 1;
                return result;
            }
        }
    }

    /// Has every change set this signal.
    pub(crate) fn watch(&self, signal: &Arc<Signal>) {
        self.lock().signals.push(Arc::clone(signal));
    }

    /// Undoes one [`watch`](Self::watch).
    pub(crate) fn unwatch(&self, signal: &Arc<Signal>) {
        let signals = &mut self.lock().signals;
        if let Some(at) = signals.iter().position(|known| Arc::ptr_eq(known, signal)) {
            signals.swap_remove(at);
        }
    }

    /// No closure that runs under the lock leaves the value half changed, even if it panics: at
    /// worst a call is lost.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is set by whatever changes first.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits until it is set, or so long, and clears it.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let mut is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timeout) = timeout {
            let waited = self.changed.wait_timeout_while(is_set, timeout, |is_set| !*is_set);
            is_set = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else {
            let waited = self.changed.wait_while(is_set, |is_set| !*is_set);
            is_set = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *is_set = false;
    }
}
