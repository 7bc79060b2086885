//! [`TimerWheel`]: an [`AlarmFactory`] whose work does not grow with the number of alarms. Seven
//! wheels of 64 slots, each turning 64 times slower than the one before; an alarm lies in the wheel
//! in which its tick first differs from now's, and moves down as its time comes near. Setting and
//! cancelling touch one list, and finding the next alarm looks at one word per wheel.

use std::collections::VecDeque;

use protoquic_core::{Alarm, AlarmFactory, AlarmOwner, Time};
use slab::Slab;

/// Alarms in a hierarchy of wheels.
#[derive(Debug)]
pub struct TimerWheel {
    alarms: Slab<Entry>,
    next_generation: u32,
    /// The first alarm of every slot.
    slots: Box<[[u32; SLOTS]; WHEELS]>,
    /// Which slots have alarms, a bit each.
    occupied: [u64; WHEELS],
    /// Everything before this tick has been handled.
    elapsed: u64,
    expired: VecDeque<u32>,
}

#[derive(Debug)]
struct Entry {
    owner: AlarmOwner,
    generation: u32,
    place: Place,
    tick: u64,
    /// Neighbours in the slot's list.
    next: u32,
    previous: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Slot { wheel: u8, slot: u8 },
    Expired,
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self {
            alarms: Slab::new(),
            next_generation: 0,
            slots: Box::new([[NONE; SLOTS]; WHEELS]),
            occupied: [0; WHEELS],
            elapsed: 0,
            expired: VecDeque::new(),
        }
    }
}

impl TimerWheel {
    /// How many alarms there are, set or not.
    pub fn len(&self) -> usize {
        self.alarms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    fn key(&self, alarm: Alarm) -> Option<u32> {
        let (key, generation) = (alarm.0 as u32, (alarm.0 >> 32) as u32);
        let entry = self.alarms.get(key as usize)?;
        (entry.generation == generation).then_some(key)
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        &mut self.alarms[key as usize]
    }

    /// Puts an alarm into the slot that its tick belongs to, or among the expired.
    fn place(&mut self, key: u32) {
        let tick = self.alarms[key as usize].tick;
        if tick <= self.elapsed {
            self.entry(key).place = Place::Expired;
            self.expired.push_back(key);
            return;
        }
        let wheel = wheel_of(self.elapsed, tick);
        let slot = slot_of(tick, wheel);
        let head = self.slots[wheel][slot];
        let entry = self.entry(key);
        entry.place = Place::Slot { wheel: wheel as u8, slot: slot as u8 };
        entry.previous = NONE;
        entry.next = head;
        if head != NONE {
            self.entry(head).previous = key;
        }
        self.slots[wheel][slot] = key;
        self.occupied[wheel] |= 1 << slot;
    }

    fn take_out(&mut self, key: u32) {
        let entry = self.entry(key);
        let (place, next, previous) = (entry.place, entry.next, entry.previous);
        entry.place = Place::Nowhere;
        // An expired alarm that is cancelled is passed over when its turn comes.
        let Place::Slot { wheel, slot } = place else { return };
        let (wheel, slot) = (usize::from(wheel), usize::from(slot));
        if next != NONE {
            self.entry(next).previous = previous;
        }
        if previous == NONE {
            self.slots[wheel][slot] = next;
            if next == NONE {
                self.occupied[wheel] &= !(1 << slot);
            }
        } else {
            self.entry(previous).next = next;
        }
    }

    /// The next slot with alarms, and the first tick that it stands for.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        // Whatever lies in a lower wheel comes before what lies in a higher one.
        (0..WHEELS).find_map(|wheel| {
            let here = slot_of(self.elapsed, wheel);
            let ahead = self.occupied[wheel].rotate_right(here as u32);
            if ahead == 0 {
                return None;
            }
            let distance = ahead.trailing_zeros() as usize;
            let slot = (here + distance) % SLOTS;
            let shift = BITS * wheel as u32;
            let turn = self.elapsed >> shift >> BITS << BITS << shift;
            let start = turn + ((slot as u64) << shift);
            let full_turn = (SLOTS as u64) << shift;
            let start = if slot < here { start + full_turn } else { start };
            Some((wheel, slot, start))
        })
    }

    /// Moves on to a tick, taking the alarms on the way out of their slots.
    fn advance(&mut self, tick: u64) {
        while let Some((wheel, slot, start)) = self.next_slot()
            && start <= tick
        {
            self.elapsed = self.elapsed.max(start);
            let mut key = self.slots[wheel][slot];
            self.slots[wheel][slot] = NONE;
            self.occupied[wheel] &= !(1 << slot);
            while key != NONE {
                let next = self.alarms[key as usize].next;
                self.place(key);
                key = next;
            }
        }
        self.elapsed = self.elapsed.max(tick);
    }
}

impl AlarmFactory for TimerWheel {
    fn create_alarm(&mut self, owner: AlarmOwner) -> Alarm {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let place = Place::Nowhere;
        let entry = Entry { owner, generation, place, tick: 0, next: NONE, previous: NONE };
        let key = self.alarms.insert(entry);
        Alarm(u64::from(generation) << 32 | key as u64)
    }

    fn set_alarm(&mut self, alarm: Alarm, deadline: Option<Time>) {
        let Some(key) = self.key(alarm) else { return };
        // Rounded up: an alarm is never early.
        let tick = deadline.map(|deadline| deadline.as_nanos().div_ceil(TICK).min(MAX_TICK));
        let entry = self.entry(key);
        if entry.place != Place::Nowhere && tick == Some(entry.tick) {
            return; // most settings change nothing
        }
        self.take_out(key);
        if let Some(tick) = tick {
            self.entry(key).tick = tick;
            self.place(key);
        }
    }

    fn remove_alarm(&mut self, alarm: Alarm) {
        if let Some(key) = self.key(alarm) {
            self.take_out(key);
            self.expired.retain(|expired| *expired != key);
            self.alarms.remove(key as usize);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        if !self.expired.is_empty() {
            return Some(Time::ZERO);
        }
        self.next_slot().map(|(_, _, tick)| Time::from_nanos(tick.saturating_mul(TICK)))
    }

    fn pop_expired(&mut self, now: Time) -> Option<AlarmOwner> {
        self.advance(now.as_nanos() / TICK);
        while let Some(key) = self.expired.pop_front() {
            let entry = self.entry(key);
            if entry.place == Place::Expired {
                entry.place = Place::Nowhere;
                return Some(entry.owner);
            }
        }
        None
    }
}

/// The wheel in which `tick` first differs from `now`, which is smaller.
fn wheel_of(now: u64, tick: u64) -> usize {
    ((now ^ tick).ilog2() / BITS) as usize
}

fn slot_of(tick: u64, wheel: usize) -> usize {
    (tick >> (BITS * wheel as u32)) as usize % SLOTS
}

/// A tick: 2^19 ns, about half a millisecond.
const TICK: u64 = 1 << 19;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const WHEELS: usize = 7;
/// What seven wheels can tell apart: some 73 years. Later alarms go off then.
const MAX_TICK: u64 = (1 << (BITS * WHEELS as u32)) - 1;
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use protoquic_core::{RandomGenerator, SeededRandom};

    use super::*;

    #[test]
    fn agrees_with_a_sorted_map_over_random_times() {
        for seed in 0..30 {
            let mut random = SeededRandom::new(seed);
            let mut wheel = TimerWheel::default();
            let mut model: BTreeMap<u64, Time> = BTreeMap::new();
            let alarms: Vec<_> = (0..50).map(|n| wheel.create_alarm(AlarmOwner(n))).collect();
            let mut now = Time::from_millis(1000);
            for _ in 0..2000 {
                let owner = random.next_u64() % 50;
                match random.next_u64() % 4 {
                    0 => {
                        wheel.set_alarm(alarms[owner as usize], None);
                        model.remove(&owner);
                    }
                    1 | 2 => {
                        let exponent = random.next_u64() % 42;
                        let ahead = Duration::from_nanos(random.next_u64() % (1 << exponent) + 1);
                        wheel.set_alarm(alarms[owner as usize], Some(now + ahead));
                        model.insert(owner, now + ahead);
                    }
                    _ => {
                        let exponent = random.next_u64() % 40;
                        now += Duration::from_nanos(random.next_u64() % (1 << exponent));
                        check_expiry(&mut wheel, &mut model, now, seed);
                    }
                }
            }
        }
    }

    fn check_expiry(wheel: &mut TimerWheel, model: &mut BTreeMap<u64, Time>, now: Time, seed: u64) {
        if let Some(first) = model.values().min() {
            let next = wheel.next_deadline().expect("an alarm is set");
            assert!(next <= *first + Duration::from_millis(1), "seed {seed}: woken too late");
        }
        while let Some(owner) = wheel.pop_expired(now) {
            let deadline = model.remove(&owner.0).expect("only what is set goes off");
            assert!(deadline <= now, "seed {seed}: early");
        }
        let late = now - Duration::from_millis(1);
        assert!(model.values().all(|deadline| *deadline > late), "seed {seed}: late");
    }

    #[test]
    fn a_removed_alarm_wakes_nobody_and_its_key_is_dead() {
        let mut wheel = TimerWheel::default();
        let first = wheel.create_alarm(AlarmOwner(1));
        wheel.set_alarm(first, Some(Time::from_millis(5)));
        wheel.remove_alarm(first);
        let second = wheel.create_alarm(AlarmOwner(2));
        wheel.set_alarm(first, Some(Time::from_millis(5)));
        assert_eq!(wheel.pop_expired(Time::from_millis(10)), None);
        wheel.set_alarm(second, Some(Time::from_millis(11)));
        assert_eq!(wheel.pop_expired(Time::from_millis(20)), Some(AlarmOwner(2)));
        assert_eq!(wheel.len(), 1);
    }
}
