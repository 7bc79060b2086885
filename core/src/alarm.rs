//! [`AlarmFactory`]: where deadlines wait. A connection keeps its many deadlines in one array and
//! shows the earliest; whoever runs it keeps that one in an alarm (Chromium: QuicAlarmFactory and
//! QuicAlarm). Alarms are named by keys, not pointers: an alarm that outlives its owner wakes
//! nobody.

use crate::time::Time;

/// Names an alarm of the factory that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alarm(pub u64);

/// What the maker of an alarm is told when it goes off; the maker chooses its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmOwner(pub u64);

/// Makes alarms and tells which have gone off.
///
/// Called on every turn of an event loop, so [`set_alarm`](Self::set_alarm) and
/// [`pop_expired`](Self::pop_expired) must not cost more when there are more alarms.
pub trait AlarmFactory {
    /// A new alarm, not set.
    fn create_alarm(&mut self, owner: AlarmOwner) -> Alarm;

    /// Sets the alarm to go off at `deadline`, or cancels it. It goes off once, never early; it may
    /// go off late by the factory's granularity. An unknown alarm is ignored.
    fn set_alarm(&mut self, alarm: Alarm, deadline: Option<Time>);

    /// Cancels and forgets the alarm; its key may be given out again.
    fn remove_alarm(&mut self, alarm: Alarm);

    /// When the factory next wants [`pop_expired`](Self::pop_expired) to be called. May be earlier
    /// than any alarm.
    fn next_deadline(&self) -> Option<Time>;

    /// The owner of an alarm that is due at `now`; the alarm is no longer set. Call until `None`.
    fn pop_expired(&mut self, now: Time) -> Option<AlarmOwner>;
}
