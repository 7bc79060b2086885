//! [`BusyPoll`]: whether an event loop reads its sockets again and again before it sleeps, and for how
//! long. Adaptively as hypervisors poll before they halt a processor: only as long as the last waits
//! have shown that datagrams come so soon. This file must not know sockets, nor who polls.

use std::num::NonZero;
use std::sync::OnceLock;
use std::time::Duration;

use protoquic_core::Time;

/// Whether an [`EventLoop`](crate::EventLoop) polls its sockets before it sleeps. To sleep and to be
/// woken takes tens of microseconds, most of the time of a request on a fast network; the price of
/// polling is a processor that works meanwhile.
///
/// ```
/// use std::time::Duration;
/// use protoquic_readers::BusyPoll;
///
/// assert_eq!(BusyPoll::default(), BusyPoll::Adaptive { max: Duration::from_micros(50) });
/// assert_eq!(BusyPoll::from(Duration::from_millis(1)), BusyPoll::Fixed(Duration::from_millis(1)));
/// assert_eq!(BusyPoll::from(Duration::ZERO), BusyPoll::Off);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyPoll {
    /// Never: the loop sleeps at once.
    Off,
    /// For so long after each datagram. Meant for threads that have a processor for themselves.
    Fixed(Duration),
    /// As long as pays, at most `max` for a wait: only while datagrams come that soon, however long
    /// the turns between take, and not at all where this process has one processor, in bulk
    /// transfers, when nothing comes or when others want the processor.
    Adaptive {
        /// The longest time to poll before a sleep.
        max: Duration,
    },
}

impl Default for BusyPoll {
    /// Adaptive, 50 microseconds at most.
    fn default() -> Self {
        Self::Adaptive { max: DEFAULT_MAX }
    }
}

impl From<Duration> for BusyPoll {
    /// For a fixed time; zero turns it off.
    fn from(time: Duration) -> Self {
        if time.is_zero() { Self::Off } else { Self::Fixed(time) }
    }
}

/// Says of each wait how long to poll, and learns from how it ended.
#[derive(Debug)]
pub(crate) struct Poller {
    rule: BusyPoll,
    /// When the wait began, and until when it polls.
    begin: Time,
    end: Time,
    /// When the sockets were looked at last.
    looked: Time,
    /// The last turn that read something, and whether that was little.
    last_read: Time,
    small: bool,
    /// Something is to be learnt from how the wait ends.
    learns: bool,
    /// How long to poll; zero until short waits have been seen.
    window: Duration,
    /// So many short waits are let go before polling is tried again; and after the next failure.
    skip: u32,
    next_skip: u32,
}

impl Poller {
    /// For a process that has so many processors.
    pub(crate) fn new(rule: BusyPoll, processors: usize) -> Self {
        let alone = matches!(rule, BusyPoll::Adaptive { .. }) && processors < 2;
        Self {
            // Whoever is to answer could not run while we poll.
            rule: if alone { BusyPoll::Off } else { rule },
            begin: Time::ZERO,
            end: Time::ZERO,
            looked: Time::ZERO,
            last_read: Time::ZERO,
            small: false,
            learns: false,
            window: Duration::ZERO,
            skip: 0,
            next_skip: MIN_SKIP,
        }
    }

    /// A wait begins, for at most so long.
    pub(crate) fn begin_wait(&mut self, now: Time, at_most: Option<Duration>) {
        if std::mem::take(&mut self.learns) {
            self.on_failure(); // no datagram ended the last one
        }
        (self.begin, self.looked) = (now, now);
        self.end = match self.rule {
            _ if at_most == Some(Duration::ZERO) => now,
            BusyPoll::Off => now,
            BusyPoll::Fixed(time) => self.last_read + time,
            BusyPoll::Adaptive { .. } => {
                self.learns = self.small;
                if self.learns { now + self.window } else { now }
            }
        };
        if let Some(at_most) = at_most {
            self.end = self.end.min(now + at_most);
        }
    }

    /// Whether to look at the sockets once more before sleeping.
    pub(crate) fn polls_at(&mut self, now: Time) -> bool {
        let stood_still = now.saturating_since(self.looked) > PREEMPTED;
        if stood_still && matches!(self.rule, BusyPoll::Adaptive { .. }) {
            self.end = now; // somebody else wants the processor
        }
        self.looked = now;
        now < self.end
    }

    /// For how long this wait has polled.
    pub(crate) fn polled(&self) -> Duration {
        self.looked.saturating_since(self.begin)
    }

    /// The wait was ended from outside, which says nothing about datagrams.
    pub(crate) fn on_wake(&mut self) {
        self.learns = false;
    }

    /// So many bytes came, and ended the wait if there was one.
    pub(crate) fn on_read(&mut self, now: Time, bytes: usize) {
        (self.last_read, self.small) = (now, bytes <= SMALL);
        let BusyPoll::Adaptive { max } = self.rule else { return };
        if !std::mem::take(&mut self.learns) {
            return;
        }
        let waited = now.saturating_since(self.begin);
        if now < self.end {
            self.next_skip = (self.next_skip / 2).max(MIN_SKIP);
            if waited > self.window / 2 {
                self.grow(max);
            }
        } else if waited > max + WAKING {
            self.on_failure();
        } else if self.skip > 0 {
            self.skip -= 1;
        } else if self.window < max {
            self.grow(max);
        } else {
            self.on_failure();
        }
    }

    fn grow(&mut self, max: Duration) {
        self.window = (self.window * 2).max(FIRST_WINDOW).min(max);
    }

    /// It was polled in vain, if at all. The more often in a row, the longer until it is tried again.
    fn on_failure(&mut self) {
        if !self.window.is_zero() {
            self.window = Duration::ZERO;
            self.skip = self.next_skip;
            self.next_skip = (self.next_skip * 2).min(MAX_SKIP);
        }
    }
}

/// How many processors this process may use, as far as the system says; asked once.
pub(crate) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

const DEFAULT_MAX: Duration = Duration::from_micros(50);
const FIRST_WINDOW: Duration = Duration::from_micros(10);
/// So much longer a wait is that was slept: we are woken, and perhaps the other end too.
const WAKING: Duration = Duration::from_micros(50);
/// A look at the sockets takes a microsecond or two.
const PREEMPTED: Duration = Duration::from_micros(25);
/// Turns that read more are those of bulk transfers, which can wait for more to gather.
const SMALL: usize = 32 * 1024;
const MIN_SKIP: u32 = 4;
const MAX_SKIP: u32 = 256;

#[cfg(test)]
mod tests {
    use protoquic_core::Clock as _;

    use super::*;
    use crate::virtual_time::{VirtualClock, VirtualTime};

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// An event loop without sockets, whose looks take a microsecond each.
    struct Loop {
        time: VirtualTime,
        clock: VirtualClock,
        poller: Poller,
    }

    impl Loop {
        fn new(rule: BusyPoll) -> Self {
            Self::with_processors(rule, 2)
        }

        fn with_processors(rule: BusyPoll, processors: usize) -> Self {
            let time = VirtualTime::default();
            let clock = VirtualClock::new(time.clone());
            let mut poller = Poller::new(rule, processors);
            poller.on_read(clock.now(), 100);
            Self { time, clock, poller }
        }

        /// A wait that would last so long. How many microseconds of it were polled.
        fn wait(&mut self, time: Duration) -> u128 {
            let begin = self.clock.now();
            self.poller.begin_wait(begin, None);
            while self.poller.polls_at(self.clock.now()) && self.clock.now() < begin + time {
                self.time.advance(MICROSECOND);
            }
            self.time.set((begin + time).max(self.clock.now()));
            self.poller.polled().as_micros()
        }

        /// A wait that so many bytes end after so many microseconds.
        fn bytes_after(&mut self, bytes: usize, time: u32) -> u128 {
            let polled = self.wait(time * MICROSECOND);
            self.poller.on_read(self.clock.now(), bytes);
            polled
        }

        fn answer_after(&mut self, time: u32) -> u128 {
            self.bytes_after(100, time)
        }
    }

    #[test]
    fn it_grows_while_answers_come_soon() {
        let mut quick = Loop::new(BusyPoll::default());
        let polled = std::array::from_fn(|_| quick.answer_after(35));
        assert_eq!(polled, [0, 10, 20, 35, 35, 35]);
    }

    #[test]
    fn it_is_tried_ever_more_seldom_where_the_cap_is_too_short() {
        let mut slow = Loop::new(BusyPoll::default());
        let first: [_; 6] = std::array::from_fn(|_| slow.answer_after(80));
        assert_eq!(first, [0, 10, 20, 40, 50, 0], "it stops at the cap");
        let polled: u128 = (0..10_000).map(|_| slow.answer_after(80)).sum();
        assert!(polled < 10_000 * 80 / 100, "{polled} us");
        let again = (0..300).any(|_| slow.answer_after(5) > 0);
        assert!(again, "but it is tried again");
    }

    #[test]
    fn a_long_wait_ends_it() {
        let mut paused = Loop::new(BusyPoll::default());
        for _ in 0..10 {
            paused.answer_after(20);
        }
        assert_eq!(paused.answer_after(20), 20);
        assert_eq!(paused.answer_after(10_000), 40);
        assert_eq!(paused.answer_after(20), 0);
    }

    #[test]
    fn hits_make_up_for_failures() {
        let mut bursts = Loop::new(BusyPoll::default());
        let hits = (0..100).filter(|_| {
            bursts.answer_after(10_000);
            (0..20).filter(|_| bursts.answer_after(5) == 5).count() > 10
        });
        assert_eq!(hits.count(), 100, "a burst is worth it even if pauses follow");
    }

    #[test]
    fn nothing_is_polled_while_nothing_comes() {
        let mut idle = Loop::new(BusyPoll::default());
        for _ in 0..10 {
            idle.answer_after(20);
        }
        assert_eq!(idle.wait(Duration::from_secs(1)), 40);
        for _ in 0..10 {
            assert_eq!(idle.wait(Duration::from_millis(1)), 0);
        }
        assert_eq!(idle.answer_after(10), 0, "and it has to be earned again");
    }

    #[test]
    fn bulk_is_not_polled_after_and_long_turns_are() {
        let mut busy = Loop::new(BusyPoll::default());
        for _ in 0..10 {
            busy.answer_after(20);
        }
        busy.bytes_after(64 * 1024, 20);
        assert_eq!(busy.answer_after(20), 0);
        assert_eq!(busy.answer_after(20), 20, "which says nothing about turns that read little");
        // Handshakes, or a hundred requests: the peer is soon done with its part all the same.
        busy.time.advance(Duration::from_micros(500));
        assert_eq!(busy.answer_after(20), 20);
    }

    #[test]
    fn who_wants_the_processor_gets_it() {
        let mut crowded = Loop::new(BusyPoll::Adaptive { max: Duration::from_millis(1) });
        for _ in 0..10 {
            crowded.answer_after(100);
        }
        crowded.poller.begin_wait(crowded.clock.now(), None);
        assert!(crowded.poller.polls_at(crowded.clock.now()));
        crowded.time.advance(Duration::from_micros(30)); // a look is far quicker
        assert!(!crowded.poller.polls_at(crowded.clock.now()));
    }

    #[test]
    fn an_alarm_and_a_caller_do_not_wait_for_it() {
        let mut timed = Loop::new(BusyPoll::default());
        for _ in 0..10 {
            timed.answer_after(20);
        }
        timed.poller.begin_wait(timed.clock.now(), Some(3 * MICROSECOND));
        timed.time.advance(2 * MICROSECOND);
        assert!(timed.poller.polls_at(timed.clock.now()));
        timed.time.advance(MICROSECOND);
        assert!(!timed.poller.polls_at(timed.clock.now()));
    }

    #[test]
    fn a_wake_is_not_held_against_it() {
        let mut woken = Loop::new(BusyPoll::default());
        for _ in 0..10 {
            woken.answer_after(20);
        }
        woken.wait(10 * MICROSECOND);
        woken.poller.on_wake();
        assert_eq!(woken.answer_after(20), 20);
    }

    #[test]
    fn one_processor_is_never_kept_from_the_other_end() {
        let mut alone = Loop::with_processors(BusyPoll::default(), 1);
        assert_eq!((0..100).map(|_| alone.answer_after(5)).sum::<u128>(), 0);
        let mut fixed = Loop::with_processors(BusyPoll::Fixed(20 * MICROSECOND), 1);
        assert_eq!(fixed.answer_after(5), 5, "who asks for it gets it");
    }

    #[test]
    fn off_and_fixed_are_what_they_say() {
        let mut off = Loop::new(BusyPoll::Off);
        assert_eq!((0..100).map(|_| off.answer_after(5)).sum::<u128>(), 0);
        let mut fixed = Loop::new(BusyPoll::Fixed(20 * MICROSECOND));
        let polled = [5, 100, 10_000, 15].map(|time| fixed.answer_after(time));
        assert_eq!(polled, [5, 20, 20, 15]);
    }
}
