//! [`Handle`] and the table behind it. A handle is a slot and a generation: one that outlives its
//! object leads nowhere, and never to another object.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use protoquic_io_thread::{Patience, SharedConnection, SharedListener, SharedStream};
use slab::Slab;

use crate::{Error, Result, Settings};

/// Names a listener, a connection or a stream of an [`App`](crate::App).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u64);

impl Handle {
    /// The handle as a number, to be kept where numbers are.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The handle of this number. Any number may be tried: one that names nothing is an error of the
    /// call it is given to.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:#x})", self.0)
    }
}

/// What a handle names.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// Created, and neither connected nor listening.
    Fresh(Fresh),
    Listener(Arc<SharedListener>),
    Connection(Arc<SharedConnection>),
    Stream(Arc<SharedStream>),
}

/// What is known of a handle before it is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fresh {
    pub(crate) settings: Box<Settings>,
    pub(crate) patience: Patience,
    pub(crate) bound: Option<Arc<std::net::UdpSocket>>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Slab<(u32, Object)>,
    generation: u32,
}

impl Table {
    pub(crate) fn insert(&self, object: Object) -> Handle {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.generation = entries.generation.wrapping_add(1).max(1);
        let generation = entries.generation;
        let slot = entries.slots.insert((generation, object));
        Handle(u64::from(generation) << 32 | slot as u64)
    }

    pub(crate) fn get(&self, handle: Handle) -> Result<Object> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        match entries.slots.get(handle.slot()) {
            Some((generation, object)) if u64::from(*generation) == handle.0 >> 32 => {
                Ok(object.clone())
            }
            _ => Err(Error::BadHandle),
        }
    }

    /// Runs `f` on the object while nobody else has it.
    pub(crate) fn update<R>(
        &self,
        handle: Handle,
        f: impl FnOnce(&mut Object) -> Result<R>,
    ) -> Result<R> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match entries.slots.get_mut(handle.slot()) {
            Some((generation, object)) if u64::from(*generation) == handle.0 >> 32 => f(object),
            _ => Err(Error::BadHandle),
        }
    }

    pub(crate) fn remove(&self, handle: Handle) -> Result<Object> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match entries.slots.get(handle.slot()) {
            Some((generation, _)) if u64::from(*generation) == handle.0 >> 32 => {
                Ok(entries.slots.remove(handle.slot()).1)
            }
            _ => Err(Error::BadHandle),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_was_closed_names_nothing_ever_again() {
        let table = Table::default();
        let old = table.insert(Object::Fresh(Fresh::default()));
        assert!(table.get(old).is_ok());
        assert!(table.remove(old).is_ok());
        let new = table.insert(Object::Fresh(Fresh::default()));
        assert_eq!(new.slot(), old.slot());
        assert_eq!(table.get(old).unwrap_err(), Error::BadHandle);
        assert_eq!(table.remove(old).unwrap_err(), Error::BadHandle);
        assert_eq!(table.get(Handle::from_u64(0)).unwrap_err(), Error::BadHandle);
        assert_eq!(table.len(), 1);
    }
}
