//! [`StreamTable`]: the live streams, found by ID. The stream that was found last is remembered,
//! since most packets carry frames of one stream; others cost one fast hash. The hash is not keyed:
//! the IDs in the table are bounded by the stream limits, so a peer that makes them collide gains
//! nothing. This file must not know what a stream does.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use slab::Slab;

use super::stream::Stream;
use crate::types::StreamId;

/// The live streams.
#[derive(Debug)]
pub(super) struct StreamTable {
    /// The streams, by key. Keys are reused; they are kept only in the lists threaded through the
    /// streams.
    pub(super) slab: Slab<Stream>,
    /// Made for more than a [`FEW`].
    keys: Option<Box<Keys>>,
    last: (u64, u32),
}

type Keys = HashMap<u64, u32, BuildHasherDefault<IdHasher>>;

impl StreamTable {
    /// An empty table, which has allocated nothing.
    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), keys: None, last: NONE }
    }

    /// How many streams live.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The key of a live stream.
    pub(super) fn find(&mut self, id: StreamId) -> Option<usize> {
        if self.last.0 != id.as_u64() {
            self.last = (id.as_u64(), self.key(id)?);
        }
        Some(self.last.1 as usize)
    }

    /// As `find`, without remembering.
    pub(super) fn peek(&self, id: StreamId) -> Option<&Stream> {
        let key = if self.last.0 == id.as_u64() { self.last.1 } else { self.key(id)? };
        self.slab.get(key as usize)
    }

    fn key(&self, id: StreamId) -> Option<u32> {
        match &self.keys {
            Some(keys) => keys.get(&id.as_u64()).copied(),
            None => self.slab.iter().find(|(_, stream)| stream.id == id).map(|(key, _)| key as u32),
        }
    }

    fn all_keys(&self) -> Keys {
        self.slab.iter().map(|(key, stream)| (stream.id.as_u64(), key as u32)).collect()
    }

    /// Adds a stream that is not in the table.
    pub(super) fn insert(&mut self, id: StreamId) -> usize {
        let key = self.slab.insert(Stream::new(id));
        match &mut self.keys {
            Some(keys) => drop(keys.insert(id.as_u64(), key as u32)),
            None if self.slab.len() > FEW => self.keys = Some(Box::new(self.all_keys())),
            None => {}
        }
        self.last = (id.as_u64(), key as u32);
        key
    }

    /// Forgets a stream, which must be in no list.
    pub(super) fn remove(&mut self, key: usize) -> Stream {
        let stream = self.slab.remove(key);
        if let Some(keys) = &mut self.keys {
            keys.remove(&stream.id.as_u64());
        }
        self.last = NONE;
        stream
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        // Lists know a stream by its key.
        self.slab.compact(|stream, _, _| !stream.is_queued());
        // Not by their number: a queued stream that stays behind many vacant places is far to seek.
        self.keys = (self.slab.capacity() > FEW).then(|| Box::new(self.all_keys()));
        self.last = NONE;
    }
}

/// So many are found by looking at each of them.
const FEW: usize = 8;

/// No stream: its ID is beyond 2^62.
const NONE: (u64, u32) = (u64::MAX, 0);

/// 2^64 divided by the golden ratio, made odd.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of one integer by a multiplication.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let product = u128::from(self.0 ^ id) * u128::from(ODD);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
