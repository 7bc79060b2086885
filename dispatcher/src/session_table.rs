//! [`SessionTable`]: the live sessions and the connection IDs that lead to them. A session is named
//! by a slot and a generation, so that an alarm or an ID that outlives it leads nowhere.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;

use protoquic_core::session::Host;
use protoquic_core::{Alarm, AlarmOwner, ConnectionId};
use slab::Slab;

use crate::arrivals::Queue;
use crate::turns::Listed;

/// Names a session of a dispatcher; once that has ended, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    slot: u32,
    generation: u32,
}

impl SessionKey {
    pub(crate) fn to_owner(self) -> AlarmOwner {
        AlarmOwner(u64::from(self.generation) << 32 | u64::from(self.slot))
    }

    pub(crate) fn from_owner(owner: AlarmOwner) -> Self {
        Self { slot: owner.0 as u32, generation: (owner.0 >> 32) as u32 }
    }
}

pub(crate) struct Entry {
    pub(crate) host: Box<dyn Host>,
    pub(crate) alarm: Alarm,
    pub(crate) ids: Vec<ConnectionId>,
    /// In which lists of sessions it is.
    pub(crate) listed: Listed,
    /// What came for it in this turn.
    pub(crate) waiting: Queue,
    pub(crate) handshaking: bool,
    generation: u32,
}

/// The hash is keyed at random: connection IDs are chosen by peers before we choose them, and must
/// not be able to collide on purpose.
#[derive(Default)]
pub(crate) struct SessionTable {
    sessions: Slab<Entry>,
    routes: HashMap<ConnectionId, SessionKey, RandomState>,
    next_generation: u32,
    /// The route of the last datagram: datagrams come in runs.
    last: Option<(ConnectionId, SessionKey)>,
}

impl SessionTable {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn insert(
        &mut self,
        host: Box<dyn Host>,
        make_alarm: impl FnOnce(SessionKey) -> Alarm,
    ) -> SessionKey {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let vacant = self.sessions.vacant_entry();
        let key = SessionKey { slot: vacant.key() as u32, generation };
        vacant.insert(Entry {
            host,
            alarm: make_alarm(key),
            ids: Vec::new(),
            listed: Listed::default(),
            waiting: Queue::default(),
            handshaking: true,
            generation,
        });
        key
    }

    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Entry> {
        let entry = self.sessions.get_mut(key.slot as usize)?;
        (entry.generation == key.generation).then_some(entry)
    }

    /// Leads a connection ID to a session. The first session to claim an ID keeps it.
    pub(crate) fn add_route(&mut self, id: ConnectionId, key: SessionKey) {
        if self.routes.contains_key(&id) {
            return;
        }
        if let Some(entry) = self.get_mut(key) {
            if entry.ids.len() == entry.ids.capacity() {
                // Two at first, and many sessions get no more; then the three that are issued.
                entry.ids.reserve_exact(if entry.ids.is_empty() { 2 } else { 3 });
            }
            entry.ids.push(id);
            self.routes.insert(id, key);
        }
    }

    pub(crate) fn remove_route(&mut self, id: &ConnectionId, key: SessionKey) {
        if self.routes.get(id) == Some(&key) {
            self.routes.remove(id);
            self.last = None;
            if let Some(entry) = self.get_mut(key) {
                entry.ids.retain(|known| known != id);
                entry.ids.shrink_to_fit();
            }
        }
    }

    pub(crate) fn route(&mut self, id: &ConnectionId) -> Option<SessionKey> {
        if let Some((last, key)) = &self.last
            && last == id
        {
            return Some(*key);
        }
        let key = *self.routes.get(id)?;
        self.last = Some((*id, key));
        Some(key)
    }

    /// Removes a session and everything that leads to it.
    pub(crate) fn remove(&mut self, key: SessionKey) -> Option<Entry> {
        self.get_mut(key)?;
        let entry = self.sessions.remove(key.slot as usize);
        for id in &entry.ids {
            self.routes.remove(id);
        }
        self.last = None;
        Some(entry)
    }

    pub(crate) fn keys(&self) -> Vec<SessionKey> {
        let key = |(slot, entry): (usize, &Entry)| SessionKey {
            slot: slot as u32,
            generation: entry.generation,
        };
        self.sessions.iter().map(key).collect()
    }
}
