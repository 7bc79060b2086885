//! [`Alarms`]: exact alarms in virtual time. This file must not know who sets them.

use std::collections::{BTreeMap, BTreeSet};

use protoquic::{Alarm, AlarmFactory, AlarmOwner, Time};

/// Alarms that go off at the very time for which they were set.
#[derive(Debug, Default)]
pub struct Alarms {
    all: BTreeMap<u64, (AlarmOwner, Option<Time>)>,
    set: BTreeSet<(Time, u64)>,
    next: u64,
}

impl AlarmFactory for Alarms {
    fn create_alarm(&mut self, owner: AlarmOwner) -> Alarm {
        self.next += 1;
        self.all.insert(self.next, (owner, None));
        Alarm(self.next)
    }

    fn set_alarm(&mut self, alarm: Alarm, deadline: Option<Time>) {
        let Some((_, at)) = self.all.get_mut(&alarm.0) else { return };
        if *at == deadline {
            return;
        }
        if let Some(old) = std::mem::replace(at, deadline) {
            self.set.remove(&(old, alarm.0));
        }
        if let Some(deadline) = deadline {
            self.set.insert((deadline, alarm.0));
        }
    }

    fn remove_alarm(&mut self, alarm: Alarm) {
        self.set_alarm(alarm, None);
        self.all.remove(&alarm.0);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.set.first().map(|(time, _)| *time)
    }

    fn pop_expired(&mut self, now: Time) -> Option<AlarmOwner> {
        let (_, alarm) = self.set.first().filter(|(time, _)| *time <= now).copied()?;
        self.set_alarm(Alarm(alarm), None);
        self.all.get(&alarm).map(|(owner, _)| *owner)
    }
}
