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
    Many(Many<T>),
}

/// More than a few. An object that is checked out leaves its place behind, so that putting it back
/// moves nothing.
#[derive(Debug)]
struct Many<T> {
    places: HashMap<StreamId, Option<T>, BuildHasherDefault<IdHasher>>,
    /// How many places are empty.
    vacant: usize,
}

impl<T> Many<T> {
    fn insert(&mut self, id: StreamId, stream: T) {
        match self.places.get_mut(&id) {
            Some(place) => self.vacant -= usize::from(place.replace(stream).is_none()),
            None => drop(self.places.insert(id, Some(stream))),
        }
    }

    fn take(&mut self, id: StreamId) -> Option<T> {
        let stream = self.places.get_mut(&id)?.take()?;
        self.vacant += 1;
        Some(stream)
    }

    fn forget(&mut self, id: StreamId) {
        if let Some(None) = self.places.remove(&id) {
            self.vacant -= 1;
        }
    }

    fn len(&self) -> usize {
        self.places.len() - self.vacant
    }
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
            Streams::Many(many) => many.places.get(&id)?.as_ref(),
        }
    }

    /// The stream object of this ID, to change it.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        match &mut self.streams {
            Streams::Few(few) => few.iter_mut().find(|(known, _)| *known == id).map(|(_, t)| t),
            Streams::Many(many) => many.places.get_mut(&id)?.as_mut(),
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
            Streams::Many(many) => {
                let there = many.places.iter().filter(|(_, stream)| stream.is_some());
                there.map(|(id, _)| *id).collect()
            }
        };
        ids.sort_unstable();
        ids
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        match &mut self.streams {
            Streams::Few(few) => few.shrink_to_fit(),
            // What is checked out comes back to either kind.
            Streams::Many(many) if many.len() <= FEW => {
                let streams = many.places.drain();
                let few = streams.filter_map(|(id, stream)| Some((id, stream?))).collect();
                self.streams = Streams::Few(few);
            }
            Streams::Many(many) => many.places.shrink_to_fit(),
        }
    }

    pub(super) fn insert(&mut self, id: StreamId, stream: T) {
        match &mut self.streams {
            Streams::Few(few) if few.len() < FEW => few.push((id, stream)),
            Streams::Few(few) => {
                let all = few.drain(..).chain([(id, stream)]);
                let places = all.map(|(id, stream)| (id, Some(stream))).collect();
                self.streams = Streams::Many(Many { places, vacant: 0 });
            }
            Streams::Many(many) => many.insert(id, stream),
        }
    }

    /// Checks a stream's object out: it is put back by `insert`, or its place is given up by
    /// `forget`.
    pub(super) fn take(&mut self, id: StreamId) -> Option<T> {
        match &mut self.streams {
            Streams::Few(few) => {
                let at = few.iter().position(|(known, _)| *known == id)?;
                Some(few.swap_remove(at).1)
            }
            Streams::Many(many) => many.take(id),
        }
    }

    /// An object that was checked out does not come back.
    pub(super) fn forget(&mut self, id: StreamId) {
        if let Streams::Many(many) = &mut self.streams {
            many.forget(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_out_is_not_there_and_comes_back() {
        for count in [FEW as u64, 3 * FEW as u64] {
            let mut map = StreamMap::default();
            let id = StreamId::from_raw;
            (0..count).for_each(|n| map.insert(id(n), n));
            for n in 0..count {
                assert_eq!(map.take(id(n)), Some(n));
                assert!(map.get(id(n)).is_none() && map.get_mut(id(n)).is_none());
                assert!(map.take(id(n)).is_none());
                assert!(map.len() as u64 == count - 1 && map.ids().len() == map.len());
                map.insert(id(n), n);
                assert!(map.len() as u64 == count && map.get(id(n)) == Some(&n));
            }
            for n in 0..count {
                assert_eq!(map.take(id(n)), Some(n));
                map.forget(id(n));
            }
            assert!(map.is_empty());
            if let Streams::Many(many) = &map.streams {
                assert!(many.places.is_empty() && many.vacant == 0, "nothing is left behind");
            }
        }
    }

    #[test]
    fn an_object_that_was_replaced_while_it_was_out_is_counted_once() {
        let mut map = StreamMap::default();
        let id = StreamId::from_raw;
        (0..20).for_each(|n| map.insert(id(n), n));
        assert!(map.take(id(3)).is_some());
        map.insert(id(3), 30);
        map.insert(id(3), 31);
        assert_eq!((map.len(), map.get(id(3))), (20, Some(&31)));
        assert!(map.take(id(4)).is_some());
        map.shrink();
        map.insert(id(4), 4);
        assert_eq!(map.len(), 20);
    }
}
