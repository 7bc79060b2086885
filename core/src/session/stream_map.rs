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
    streams: Streams<T>,
}

#[derive(Debug)]
enum Streams<T> {
    /// In no order; up to [`FEW`].
    Few(Vec<(StreamId, T)>),
    Many(HashMap<StreamId, T, BuildHasherDefault<IdHasher>>),
}

/// So many are found by looking at each of them.
const FEW: usize = 8;

impl<T> Default for StreamMap<T> {
    fn default() -> Self {
        Self { streams: Streams::Few(Vec::new()) }
    }
}

impl<T> StreamMap<T> {
    /// The stream object of this ID.
    pub fn get(&self, id: StreamId) -> Option<&T> {
        match &self.streams {
            Streams::Few(few) => few.iter().find(|(known, _)| *known == id).map(|(_, t)| t),
            Streams::Many(many) => many.get(&id),
        }
    }

    /// The stream object of this ID, to change it.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        match &mut self.streams {
            Streams::Few(few) => few.iter_mut().find(|(known, _)| *known == id).map(|(_, t)| t),
            Streams::Many(many) => many.get_mut(&id),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.streams {
            Streams::Few(few) => few.len(),
            Streams::Many(many) => many.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their IDs in ascending order.
    pub fn ids(&self) -> Vec<StreamId> {
        let mut ids: Vec<_> = match &self.streams {
            Streams::Few(few) => few.iter().map(|(id, _)| *id).collect(),
            Streams::Many(many) => many.keys().copied().collect(),
        };
        ids.sort_unstable();
        ids
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        match &mut self.streams {
            Streams::Few(few) => few.shrink_to_fit(),
            Streams::Many(many) if many.len() <= FEW => {
                self.streams = Streams::Few(many.drain().collect());
            }
            Streams::Many(many) => many.shrink_to_fit(),
        }
    }

    pub(super) fn insert(&mut self, id: StreamId, stream: T) {
        match &mut self.streams {
            Streams::Few(few) if few.len() < FEW => few.push((id, stream)),
            Streams::Few(few) => {
                let all = few.drain(..).chain([(id, stream)]).collect();
                self.streams = Streams::Many(all);
            }
            Streams::Many(many) => drop(many.insert(id, stream)),
        }
    }

    pub(super) fn take(&mut self, id: StreamId) -> Option<T> {
        match &mut self.streams {
            Streams::Few(few) => {
                let at = few.iter().position(|(known, _)| *known == id)?;
                Some(few.swap_remove(at).1)
            }
            Streams::Many(many) => many.remove(&id),
        }
    }
}
