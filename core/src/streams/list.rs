//! [`List`]: a queue threaded through the streams themselves, so that queueing costs no memory,
//! taking a stream out of the middle is O(1), and no queue can outgrow the live streams or name a
//! dead one. It knows nothing of what the queues are for.

use slab::Slab;

/// Which of a stream's links a list uses. A stream is in at most one list of each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Streams with control frames to send.
    Control,
    /// Streams with lost data.
    Retransmit,
    /// Streams with new data, or with new data held back by connection flow control.
    Data,
    /// Streams with events for the application.
    Event,
    /// Streams that may still point into a receive batch.
    Touched,
    /// Streams whose own flow control holds data back.
    Blocked,
}

/// A stream's place in the list of one lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    prev: u32,
    next: u32,
}

/// A stream's places in the lists of all lanes.
pub(super) type Links = [Link; 6];

impl Link {
    /// In no list.
    pub(super) const LOOSE: Self = Self { prev: LOOSE, next: LOOSE };

    /// Whether it is in no list.
    pub(super) const fn is_loose(self) -> bool {
        self.next == LOOSE
    }
}

/// Something that can be put in a [`List`].
pub(super) trait Linked {
    /// Its links.
    fn links(&mut self) -> &mut Links;
}

/// A first-in first-out queue of entries of a slab.
#[derive(Debug)]
pub(super) struct List {
    lane: Lane,
    head: u32,
    tail: u32,
}

impl List {
    /// An empty list of this lane.
    pub(super) const fn new(lane: Lane) -> Self {
        Self { lane, head: END, tail: END }
    }

    /// Whether exactly one is queued.
    pub(super) const fn is_single(&self) -> bool {
        self.head == self.tail && self.head != END
    }

    /// Whether nothing is queued.
    pub(super) const fn is_empty(&self) -> bool {
        self.head == END
    }

    /// The first in the queue.
    pub(super) fn front(&self) -> Option<usize> {
        (self.head != END).then_some(self.head as usize)
    }

    /// The one that is queued behind `key`, which must be in this list.
    pub(super) fn after<T: Linked>(&self, slab: &mut Slab<T>, key: usize) -> Option<usize> {
        let next = self.link(slab, key as u32).next;
        (next != END).then_some(next as usize)
    }

    /// Queues `key` at the end. Does nothing if it is in a list of this lane already.
    pub(super) fn push_back<T: Linked>(&mut self, slab: &mut Slab<T>, key: usize) {
        let link = self.link(slab, key as u32);
        if link.next != LOOSE {
            return;
        }
        *link = Link { prev: self.tail, next: END };
        match self.tail {
            END => self.head = key as u32,
            tail => self.link(slab, tail).next = key as u32,
        }
        self.tail = key as u32;
    }

    /// Queues `key` before all of higher rank. O(1) at either end, where it belongs as a rule; else
    /// the shorter way from one of them. Does nothing if it is in a list of this lane already.
    pub(super) fn insert_sorted<T: Linked>(
        &mut self,
        slab: &mut Slab<T>,
        key: usize,
        rank: impl Fn(&T) -> u64,
    ) {
        if self.link(slab, key as u32).next != LOOSE {
            return;
        }
        let mine = rank(&slab[key]);
        let (mut front, mut back) = (self.head, self.tail);
        // From both ends at once: the neighbour before `key` is `back`, or the one before `front`.
        let before = loop {
            if back == END || rank(&slab[back as usize]) < mine {
                break back;
            }
            if rank(&slab[front as usize]) > mine {
                break self.link(slab, front).prev;
            }
            back = self.link(slab, back).prev;
            front = self.link(slab, front).next;
        };
        let next = match before {
            END => std::mem::replace(&mut self.head, key as u32),
            before => std::mem::replace(&mut self.link(slab, before).next, key as u32),
        };
        match next {
            END => self.tail = key as u32,
            next => self.link(slab, next).prev = key as u32,
        }
        *self.link(slab, key as u32) = Link { prev: before, next };
    }

    /// Takes `key` out. Does nothing if it is in no list of this lane; if it is in one, it must be
    /// this one.
    pub(super) fn remove<T: Linked>(&mut self, slab: &mut Slab<T>, key: usize) {
        let Link { prev, next } = std::mem::replace(self.link(slab, key as u32), Link::LOOSE);
        if next == LOOSE {
            return;
        }
        match prev {
            END => self.head = next,
            prev => self.link(slab, prev).next = next,
        }
        match next {
            END => self.tail = prev,
            next => self.link(slab, next).prev = prev,
        }
    }

    /// Takes the first out.
    pub(super) fn pop_front<T: Linked>(&mut self, slab: &mut Slab<T>) -> Option<usize> {
        let key = self.front()?;
        self.remove(slab, key);
        Some(key)
    }

    fn link<'a, T: Linked>(&self, slab: &'a mut Slab<T>, key: u32) -> &'a mut Link {
        &mut slab[key as usize].links()[self.lane as usize]
    }
}

/// The end of a list, at either side.
const END: u32 = u32::MAX;
/// Not in a list.
const LOOSE: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(Links);

    impl Linked for Item {
        fn links(&mut self) -> &mut Links {
            &mut self.0
        }
    }

    fn three() -> (Slab<Item>, List) {
        let mut slab = Slab::new();
        let mut list = List::new(Lane::Event);
        for _ in 0..3 {
            let key = slab.insert(Item([Link::LOOSE; 6]));
            list.push_back(&mut slab, key);
        }
        (slab, list)
    }

    fn drain(slab: &mut Slab<Item>, list: &mut List) -> Vec<usize> {
        std::iter::from_fn(|| list.pop_front(slab)).collect()
    }

    #[test]
    fn entries_leave_in_the_order_they_came() {
        let (mut slab, mut list) = three();
        list.push_back(&mut slab, 1);
        assert_eq!(drain(&mut slab, &mut list), [0, 1, 2]);
        assert!(list.is_empty());
    }

    #[test]
    fn entries_are_sorted_in_from_either_end() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [0, 3, 1, 2]] {
            let mut slab = Slab::new();
            let mut list = List::new(Lane::Data);
            let keys: Vec<_> = (0..4).map(|_| slab.insert(Item([Link::LOOSE; 6]))).collect();
            assert_eq!(keys, [0, 1, 2, 3]);
            for key in order {
                let at = std::ptr::from_ref(&slab[0]) as usize;
                let rank = |item: &Item| (std::ptr::from_ref(item) as usize - at) as u64;
                list.insert_sorted(&mut slab, key, rank);
            }
            let mut back = Vec::new();
            let mut at = list.tail;
            while at != END {
                back.push(at);
                at = list.link(&mut slab, at).prev;
            }
            assert_eq!(back, [3, 2, 1, 0]);
            assert_eq!(drain(&mut slab, &mut list), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn any_entry_can_be_taken_out() {
        for (gone, left) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
            let (mut slab, mut list) = three();
            list.remove(&mut slab, gone);
            list.remove(&mut slab, gone);
            assert_eq!(drain(&mut slab, &mut list), left);
        }
    }
}
