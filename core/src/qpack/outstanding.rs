//! [`Outstanding`]: the encoder's sections that the peer has not acknowledged, and what they refer
//! to: those entries must stay (RFC 9204 §2.1.1), and only so many streams may wait for inserts
//! (§2.1.2). Bounded: a peer that acknowledges nothing gets sections without references.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::rare::Blank;

/// A section with references to the dynamic table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// Its Required Insert Count.
    pub(super) required: u64,
    /// The smallest absolute index that it refers to.
    pub(super) lowest: u64,
}

/// Of one stream, oldest first: seldom more than one.
type Sections = SmallVec<[Section; 1]>;

#[derive(Debug, Default)]
pub(super) struct Outstanding {
    streams: BTreeMap<u64, Sections>,
    /// How many sections have each index as their lowest.
    lowest: BTreeMap<u64, u32>,
    count: usize,
}

impl Blank for Outstanding {
    const BLANK: &'static Self =
        &Self { streams: BTreeMap::new(), lowest: BTreeMap::new(), count: 0 };
}

impl Outstanding {
    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one more section may refer to the table.
    pub(super) const fn has_room(&self) -> bool {
        self.count < MAX_SECTIONS
    }

    /// The smallest index that is referred to.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.lowest.first_key_value().map(|(index, _)| *index)
    }

    /// How many streams may be blocked, by what the peer is known to have received.
    pub(super) fn blocked_streams(&self, known: u64) -> u64 {
        let is_blocked =
            |sections: &&Sections| sections.iter().any(|section| section.required > known);
        self.streams.values().filter(is_blocked).count() as u64
    }

    pub(super) fn is_blocked(&self, stream: u64, known: u64) -> bool {
        let sections = self.streams.get(&stream);
        sections.is_some_and(|sections| sections.iter().any(|s| s.required > known))
    }

    pub(super) fn add(&mut self, stream: u64, section: Section) {
        self.streams.entry(stream).or_default().push(section);
        *self.lowest.entry(section.lowest).or_default() += 1;
        self.count += 1;
    }

    /// The oldest section of a stream was acknowledged.
    pub(super) fn acknowledge(&mut self, stream: u64) -> Option<Section> {
        let sections = self.streams.get_mut(&stream)?;
        // Never empty.
        let section = sections.remove(0);
        if sections.is_empty() {
            self.streams.remove(&stream);
        }
        self.release(section);
        Some(section)
    }

    /// A stream's sections will not be decoded.
    pub(super) fn cancel(&mut self, stream: u64) {
        for section in self.streams.remove(&stream).unwrap_or_default() {
            self.release(section);
        }
    }

    fn release(&mut self, section: Section) {
        self.count -= 1;
        if let Some(count) = self.lowest.get_mut(&section.lowest) {
            *count -= 1;
            if *count == 0 {
                self.lowest.remove(&section.lowest);
            }
        }
    }
}

/// How many sections with references may be unacknowledged.
const MAX_SECTIONS: usize = 1024;
