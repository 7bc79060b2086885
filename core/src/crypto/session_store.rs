//! [`SessionStore`]: where a server keeps TLS sessions that clients may resume with early data, and
//! from which each is taken out once. [`MemorySessionStore`] keeps them in memory, within bounds.
//! This file must not know what is in a session.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::digest;
use rustls::server::StoresServerSessions;

/// TLS sessions of a server, under names that only the clients know which they belong to. Shared by
/// all connections; a store that outlives the process, or that several servers share, lets clients
/// resume after a restart, or at another server, with early data.
///
/// Sessions are secrets: who reads one can read what is sent early under it.
///
/// ```
/// use std::sync::Mutex;
///
/// use protoquic_core::crypto::SessionStore;
///
/// /// The last session only.
/// #[derive(Debug, Default)]
/// struct One(Mutex<Option<(Vec<u8>, Vec<u8>)>>);
///
/// impl SessionStore for One {
///     fn put(&self, name: &[u8], session: &[u8]) -> bool {
///         *self.0.lock().unwrap() = Some((name.to_vec(), session.to_vec()));
///         true
///     }
///
///     fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
///         let mut kept = self.0.lock().unwrap();
///         kept.take_if(|(kept, _)| kept == name).map(|(_, session)| session)
///     }
/// }
/// ```
pub trait SessionStore: fmt::Debug + Send + Sync {
    /// Keeps a session under this name, of [`NAME_LEN`] bytes. Only a bounded number is worth
    /// keeping. Returns whether it is kept; if not, the client gets no ticket.
    fn put(&self, name: &[u8], session: &[u8]) -> bool;

    /// Takes a session out. No session is ever given out twice, whoever asks and at whatever time:
    /// that is what keeps early data from being taken again from who has recorded it
    /// (RFC 8446 §8.1). If that cannot be said, give out none.
    fn take(&self, name: &[u8]) -> Option<Vec<u8>>;
}

/// A store in memory. The oldest sessions make room for new ones.
pub struct MemorySessionStore {
    max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<Vec<u8>, Vec<u8>>,
    /// Names, the oldest first; some of them are taken already.
    order: VecDeque<Vec<u8>>,
}

impl fmt::Debug for MemorySessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessionStore").field("max", &self.max).finish_non_exhaustive()
    }
}

impl MemorySessionStore {
    /// One for `max` sessions.
    pub fn new(max: usize) -> Self {
        Self { max, inner: Mutex::default() }
    }

    /// How many sessions are kept.
    pub fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for MemorySessionStore {
    fn put(&self, name: &[u8], session: &[u8]) -> bool {
        if self.max == 0 {
            return false;
        }
        let mut inner = self.lock();
        inner.order.push_back(name.to_vec());
        inner.sessions.insert(name.to_vec(), session.to_vec());
        // What was taken counts too, so that the order stays bounded.
        while inner.order.len() > self.max {
            if let Some(oldest) = inner.order.pop_front() {
                inner.sessions.remove(&oldest);
            }
        }
        true
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().sessions.remove(name)
    }
}

/// A store in the shape that rustls asks for.
pub(super) struct StoredSessions {
    store: Arc<dyn SessionStore>,
    /// What early data relies on: sessions of other terms are not found.
    terms: [u8; TERMS_LEN],
}

impl fmt::Debug for StoredSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSessions").field("store", &self.store).finish_non_exhaustive()
    }
}

impl StoredSessions {
    pub(super) fn new(store: Arc<dyn SessionStore>, terms: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, terms);
        let mut terms = [0; TERMS_LEN];
        terms.copy_from_slice(&hash.as_ref()[..TERMS_LEN]);
        Self { store, terms }
    }

    /// A client chooses the bytes that it shows: whatever they are, a name has one length.
    fn name(&self, ticket: &[u8]) -> [u8; NAME_LEN] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.terms);
        context.update(ticket);
        let mut name = [0; NAME_LEN];
        name.copy_from_slice(context.finish().as_ref());
        name
    }
}

impl StoresServerSessions for StoredSessions {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        self.store.put(&self.name(&ticket), &session)
    }

    /// TLS 1.2 asks so, which QUIC does not have.
    fn get(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.store.take(&self.name(ticket))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// How many bytes the name of a session has. It does not tell the ticket.
pub const NAME_LEN: usize = 32;
const TERMS_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_given_out_once() {
        // RFC 8446 §8.1
        let store = MemorySessionStore::new(10);
        assert!(store.put(b"name", b"session") && store.len() == 1);
        assert_eq!(store.take(b"other"), None);
        assert_eq!(store.take(b"name").as_deref(), Some(&b"session"[..]));
        assert_eq!(store.take(b"name"), None);
        assert!(store.is_empty());
    }

    #[test]
    fn old_sessions_make_room_and_nothing_piles_up() {
        let store = MemorySessionStore::new(100);
        for n in 0..10_000_u32 {
            assert!(store.put(&n.to_be_bytes(), b"session"));
            if n % 2 == 0 {
                store.take(&n.to_be_bytes());
            }
        }
        assert!(store.take(&9_999_u32.to_be_bytes()).is_some());
        assert!(store.take(&9_899_u32.to_be_bytes()).is_none());
        assert!(store.len() <= 100 && store.lock().order.len() <= 100);
        assert!(!MemorySessionStore::new(0).put(b"name", b"session"));
    }

    #[test]
    fn sessions_of_other_terms_are_not_found() {
        // RFC 9000 §7.4.1
        let store: Arc<dyn SessionStore> = Arc::new(MemorySessionStore::new(10));
        let [before, after] =
            [b"1000 bytes", b"0999 bytes"].map(|terms| StoredSessions::new(store.clone(), terms));
        assert!(before.put(b"ticket".to_vec(), b"session".to_vec()));
        assert_eq!(after.take(b"ticket"), None);
        assert!(before.get(b"ticket").is_none());
        assert!(before.take(b"ticket").is_some());
    }
}
