//! [`StreamMap`]: the stream objects of one session, by ID. While a stream's callback runs its
//! object is checked out, so that the callback may hold the session and the other streams. This
//! file must not know the connection.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::streams::IdHasher;
use crate::types::StreamId;

/// The live stream objects of a session.
///
/// The stream whose callback is running is not in the map: it is `self` there.
#[derive(Debug)]
pub struct StreamMap<T> {
    streams: HashMap<StreamId, T, BuildHasherDefault<IdHasher>>,
}

impl<T> Default for StreamMap<T> {
    fn default() -> Self {
        Self { streams: HashMap::default() }
    }
}

impl<T> StreamMap<T> {
    /// The stream object of this ID.
    pub fn get(&self, id: StreamId) -> Option<&T> {
        self.streams.get(&id)
    }

    /// The stream object of this ID, to change it.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        self.streams.get_mut(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Their IDs in ascending order.
    pub fn ids(&self) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.streams.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.streams.shrink_to_fit();
    }

    pub(super) fn insert(&mut self, id: StreamId, stream: T) {
        self.streams.insert(id, stream);
    }

    pub(super) fn take(&mut self, id: StreamId) -> Option<T> {
        self.streams.remove(&id)
    }
}
