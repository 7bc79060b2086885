//! [`DynamicTable`]: entries by the order in which they were inserted (RFC 9204 §3.2). The oldest go
//! when room is needed. This file must not know who may be referring to them.

use std::collections::VecDeque;

use bytes::Bytes;

/// What an entry costs besides its name and value, in bytes (RFC 9204 §3.2.1).
pub(super) const ENTRY_OVERHEAD: u64 = 32;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Bytes,
    pub(super) value: Bytes,
}

impl Entry {
    pub(super) fn size(&self) -> u64 {
        entry_size(&self.name, &self.value)
    }
}

/// The size of an entry with this name and value (RFC 9204 §3.2.1).
pub(super) fn entry_size(name: &[u8], value: &[u8]) -> u64 {
    name.len() as u64 + value.len() as u64 + ENTRY_OVERHEAD
}

#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    entries: VecDeque<Entry>,
    size: u64,
    capacity: u64,
    /// How many were ever inserted; the next entry's absolute index.
    inserted: u64,
}

impl DynamicTable {
    pub(super) const fn inserted(&self) -> u64 {
        self.inserted
    }

    pub(super) const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The absolute index of the oldest entry.
    pub(super) fn oldest(&self) -> u64 {
        self.inserted - self.entries.len() as u64
    }

    /// The entry of an absolute index.
    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        let place = index.checked_sub(self.oldest())?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// All entries with their absolute indices, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let newest = self.inserted;
        self.entries.iter().rev().zip(1..).map(move |(entry, age)| (newest - age, entry))
    }

    /// Changes the capacity; entries that no longer fit go.
    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.make_room(0);
    }

    /// How many of the oldest entries have to go for one of this size; `None` if it never fits.
    pub(super) fn evictions_for(&self, size: u64) -> Option<usize> {
        if size > self.capacity {
            return None;
        }
        let mut rest = self.size;
        let fits = |rest: u64| rest + size <= self.capacity;
        let mut count = 0;
        for entry in &self.entries {
            if fits(rest) {
                break;
            }
            rest -= entry.size();
            count += 1;
        }
        Some(count)
    }

    /// Inserts an entry and returns its absolute index; `None` if it is larger than the table.
    pub(super) fn insert(&mut self, name: Bytes, value: Bytes) -> Option<u64> {
        let entry = Entry { name, value };
        if entry.size() > self.capacity {
            return None;
        }
        self.make_room(entry.size());
        self.size += entry.size();
        self.entries.push_back(entry);
        self.inserted += 1;
        Some(self.inserted - 1)
    }

    fn make_room(&mut self, size: u64) {
        while self.size + size > self.capacity
            && let Some(gone) = self.entries.pop_front()
        {
            self.size -= gone.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_indices_stay() {
        let mut table = DynamicTable::default();
        table.set_capacity(100);
        let insert = |table: &mut DynamicTable, name: &'static [u8]| {
            table.insert(Bytes::from_static(name), Bytes::from_static(b"v"))
        };
        assert_eq!(insert(&mut table, b"aaaa"), Some(0));
        assert_eq!(insert(&mut table, b"bbbb"), Some(1));
        assert_eq!(table.evictions_for(37), Some(1));
        assert_eq!(insert(&mut table, b"cccc"), Some(2));
        assert!(table.get(0).is_none() && table.get(1).is_some() && table.get(3).is_none());
        assert!(table.insert(Bytes::from(vec![0; 100]), Bytes::new()).is_none());
    }
}
