//! [`Broadcast`]: one video for all viewers. Frames are taken from the source when the clock says
//! that they are due, and kept for a moment so that every viewer's session can take them. This file
//! must not know how frames are sent, nor who watches.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protoquic::Time;

use super::annex_b::AccessUnit;
use super::fragments::Shards;
use super::nal::Codec;
use super::source::{NextUnit, Source};

/// A frame on the air.
#[derive(Debug)]
pub struct Frame {
    /// Counts from 0.
    pub number: u64,
    /// When it was due.
    pub due: Time,
    /// The frame.
    pub unit: AccessUnit,
    /// The parameter sets that a viewer needs who begins here; empty if they are in the frame.
    pub missing_sets: Bytes,
    /// Its pieces, as they were cut for the last viewer who gets datagrams.
    pub(super) shards: RefCell<Option<Rc<Shards>>>,
}

/// How a broadcast goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastConfig {
    /// From one frame to the next.
    pub interval: Duration,
    /// It begins when so many watch; 0: at once.
    pub viewers: usize,
}

/// One video, read once and paced by the clock.
pub struct Broadcast {
    source: Box<dyn Source>,
    config: BroadcastConfig,
    /// When frame 0 was due, moved whenever a frame was late at the source.
    start: Option<Time>,
    watching: usize,
    /// The number of the frame that comes next.
    next: u64,
    recent: VecDeque<Rc<Frame>>,
    sets: BytesMut,
    codec: Option<Codec>,
    /// The source had no frame when one was due.
    starved: bool,
    over: bool,
    failure: Option<String>,
}

/// A broadcast that the sessions of one thread share.
pub type SharedBroadcast = Rc<RefCell<Broadcast>>;

impl std::fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcast").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Broadcast {
    /// A broadcast that has not begun.
    pub fn new(source: Box<dyn Source>, config: BroadcastConfig) -> Self {
        Self {
            source,
            config,
            start: None,
            watching: 0,
            next: 0,
            recent: VecDeque::new(),
            sets: BytesMut::new(),
            codec: None,
            starved: false,
            over: false,
            failure: None,
        }
    }

    /// How it goes.
    pub fn config(&self) -> &BroadcastConfig {
        &self.config
    }

    /// Somebody watches, from the next frame on; returns its number.
    pub fn join(&mut self) -> u64 {
        self.watching += 1;
        self.next
    }

    /// Somebody watches no longer.
    pub fn leave(&mut self) {
        self.watching = self.watching.saturating_sub(1);
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        self.watching
    }

    /// How the video is coded, once a frame has been seen.
    pub fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// The number of the frame that comes next.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// All frames have been shown.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Why it ended early, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes from the source what is due by now, and begins when all are there that are waited for.
    pub fn advance(&mut self, now: Time) {
        if self.start.is_none() && self.watching >= self.config.viewers {
            self.start = Some(now + LEAD);
        }
        for _ in 0..MAX_AT_ONCE {
            let Some(due) = self.next_due().filter(|due| *due <= now && !self.over) else { break };
            match self.source.next_unit() {
                NextUnit::Unit(unit) => self.show(unit, due, now),
                NextUnit::NotYet => {
                    self.starved = true;
                    break;
                }
                NextUnit::End => self.over = true,
                NextUnit::Failed(why) => {
                    self.failure = Some(why);
                    self.over = true;
                }
            }
        }
    }

    /// When [`advance`](Self::advance) should be called next; `None` when it is over.
    pub fn next_wake(&self, now: Time) -> Option<Time> {
        if self.over {
            return None;
        }
        match self.next_due() {
            Some(due) if !self.starved => Some(due),
            Some(_) => Some(now + POLL),
            None => Some(now + WAIT_FOR_VIEWERS),
        }
    }

    /// The frame of this number, or the first after it that is still kept.
    pub fn frame_from(&self, number: u64) -> Option<Rc<Frame>> {
        let first = self.recent.front()?.number;
        let at = usize::try_from(number.saturating_sub(first)).ok()?;
        self.recent.get(at).cloned()
    }

    fn next_due(&self) -> Option<Time> {
        let nanos = u64::try_from(self.config.interval.as_nanos()).unwrap_or(u64::MAX);
        Some(self.start? + Duration::from_nanos(nanos.saturating_mul(self.next)))
    }

    fn show(&mut self, unit: AccessUnit, due: Time, now: Time) {
        let mut due = due;
        if std::mem::take(&mut self.starved) {
            // The source is the clock's master: what comes late was made late.
            self.start = self.start.map(|start| start + (now - due));
            due = now;
        }
        self.codec = Some(unit.codec);
        let missing_sets =
            if unit.is_full_set { Bytes::new() } else { Bytes::copy_from_slice(&self.sets) };
        self.remember_sets(&unit);
        let number = self.next;
        self.next += 1;
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        let shards = RefCell::default();
        self.recent.push_back(Rc::new(Frame { number, due, unit, missing_sets, shards }));
    }

    fn remember_sets(&mut self, unit: &AccessUnit) {
        if unit.is_full_set {
            self.sets.clear();
        }
        if self.sets.len() + unit.parameter_sets.len() <= MAX_SETS {
            self.sets.extend_from_slice(&unit.parameter_sets);
        }
    }
}

/// From the last awaited viewer's coming to the first frame: time to compare clocks.
const LEAD: Duration = Duration::from_millis(500);
/// How often viewers look whether it begins.
const WAIT_FOR_VIEWERS: Duration = Duration::from_millis(50);
/// How often a source that has nothing is asked.
const POLL: Duration = Duration::from_millis(4);
/// How many frames are kept for sessions that have not taken them yet. All do so in the turn in which
/// a frame is due.
const KEPT: usize = 64;
/// How many frames are caught up with at a time, after the program was held up.
const MAX_AT_ONCE: usize = 32;
/// How many bytes of parameter sets are kept.
const MAX_SETS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::source::ListSource;
    use super::super::synthetic::{SyntheticVideo, VideoSpec};
    use super::*;

    struct Slow(ListSource, usize);

    impl Source for Slow {
        fn next_unit(&mut self) -> NextUnit {
            self.1 += 1;
            if self.1.is_multiple_of(3) { NextUnit::NotYet } else { self.0.next_unit() }
        }
    }

    fn broadcast(source: Box<dyn Source>, viewers: usize) -> Broadcast {
        Broadcast::new(source, BroadcastConfig { interval: Duration::from_millis(40), viewers })
    }

    fn video() -> SyntheticVideo {
        SyntheticVideo::new(7, VideoSpec { sets_once: true, ..VideoSpec::default() })
    }

    #[test]
    fn frames_come_when_they_are_due_and_not_before_the_viewers() {
        let mut air = broadcast(Box::new(ListSource::new(video().frames())), 2);
        let mut now = Time::from_millis(1000);
        air.join();
        air.advance(now);
        assert_eq!(air.next_due(), None);
        now += Duration::from_secs(9);
        air.join();
        air.advance(now);
        let start = now + LEAD;
        assert_eq!(air.next_wake(now), Some(start));
        for number in 0..40 {
            let due = start + 40 * number * Duration::from_millis(1);
            air.advance(due - Duration::from_nanos(1));
            assert_eq!(air.next_number(), u64::from(number));
            air.advance(due);
            let frame = air.frame_from(u64::from(number)).unwrap();
            assert_eq!((frame.number, frame.due), (u64::from(number), due));
        }
        air.advance(start + 40 * Duration::from_millis(40));
        assert!(air.is_over() && air.next_wake(now).is_none());
    }

    #[test]
    fn a_key_frame_without_parameter_sets_gets_those_that_hold() {
        let video = video();
        let mut air = broadcast(Box::new(ListSource::new(video.frames())), 0);
        air.advance(Time::ZERO);
        air.advance(Time::from_millis(500 + 12 * 40));
        let sets = &video.frames()[0].parameter_sets;
        assert!(!sets.is_empty());
        assert!(air.frame_from(0).unwrap().missing_sets.is_empty());
        assert_eq!(&air.frame_from(10).unwrap().missing_sets, sets);
    }

    #[test]
    fn a_slow_source_moves_the_clock() {
        let mut air = broadcast(Box::new(Slow(ListSource::new(video().frames()), 0)), 0);
        let mut now = Time::ZERO;
        let mut last = None;
        while !air.is_over() {
            air.advance(now);
            if let Some(frame) = air.frame_from(air.next_number().saturating_sub(1))
                && last.replace(frame.number) != Some(frame.number)
            {
                assert_eq!(frame.due, now, "frame {}", frame.number);
            }
            now = air.next_wake(now).unwrap_or(now);
        }
        assert_eq!(last, Some(39));
        assert!(now > Time::from_millis(500 + 39 * 40 + 10 * 4), "it took longer: {now:?}");
    }
}
