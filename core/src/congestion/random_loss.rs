//! [`RandomLossDetector`]: tells packets that a path loses by itself from those that a full queue
//! drops. It must not know which algorithm is in charge, or what it does about either.

use std::time::Duration;

use crate::congestion::CongestionEvent;

/// So many reductions in a row must have been of no use before losses are taken for random.
const USELESS_REDUCTIONS: u8 = 3;
/// Of the window before the first of them, in percent. One that has grown back to so much may well
/// have filled the queue again.
const REGAINED_PERCENT: u64 = 90;
/// Losses further apart than so many datagrams are no evidence of randomness. For comparison: CUBIC
/// regains a window of 40 datagrams after 770, at the growth that is fair to Reno.
const LARGEST_DISTANCE: u64 = 500;
/// A path that proved to lose at random, and then loses nothing of so many datagrams, is taken for
/// an ordinary one again.
const LAPSE: u64 = 1000;
/// The largest share of random losses, in percent: the LossThresh of draft-ietf-ccwg-bbr §2.7.
const TOLERATED_PERCENT: u64 = 2;
/// The same for the losses between the first of the useless reductions and the end of the last,
/// which are too few to be counted on: half as much again.
const PROVEN_PERCENT: u64 = 3;
/// However small the window is, so many datagrams may be lost soon after each other.
const LEAST_CREDIT: u64 = 10;
/// However small the window is, so many datagrams lost in a round trip are few.
const FEW: u64 = 3;
/// An RTT that exceeds the shortest by a smaller share, within bounds, says nothing of a queue.
const QUEUE_DIVISOR: u32 = 16;
const MIN_QUEUE: Duration = Duration::from_millis(1);
const MAX_QUEUE: Duration = Duration::from_millis(16);

/// What losses are to be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossVerdict {
    /// Congestion.
    Congestion,
    /// Chance: nothing is to be done about them.
    Random,
    /// Chance, and so were those that led to the latest reductions. The window is to be again what
    /// it was before these.
    RandomSince(WindowBefore),
}

/// The window before a reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBefore {
    /// The congestion window, in bytes.
    pub window: u64,
    /// As in [`SendAlgorithm::slow_start_threshold`](super::SendAlgorithm::slow_start_threshold).
    pub slow_start_threshold: Option<u64>,
}

/// What a detector needs to know of the algorithm, before this learns of an event.
#[derive(Clone, Copy, Debug)]
pub struct LossContext {
    /// The window, which is reduced if the losses are congestion.
    pub before: WindowBefore,
    /// In bytes.
    pub max_datagram_size: u16,
    /// Whether the losses belong to a recovery period, so that they reduce nothing.
    pub in_recovery: bool,
}

/// Finds out whether the losses of a path are random.
///
/// RFC 9002 §7 and RFC 9438 take every loss for congestion. At 1 % of random loss that leaves a
/// window of a dozen datagrams, whatever the path could carry. The detector agrees with them until
/// reductions have proved useless: three in a row, each at a window that had not grown back since
/// the first, and packets are lost all the same; few of them, and the RTT never told of a queue. A
/// queue that overflows is not like that. A smaller window empties it for a time that is long
/// compared with the distances here, and before it overflows the RTT rises.
///
/// From then on losses are [`LossVerdict::Random`] as long as they are at most 2 % of what is sent,
/// the RTT tells of no queue, and there are any.
#[derive(Clone, Debug, Default)]
pub struct RandomLossDetector {
    /// Bytes acknowledged since the latest loss.
    since_loss: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Losses are congestion, as far as is known.
    Watching(Option<Streak>),
    /// Losses are random, the next `credit` bytes of them.
    Tolerating { credit: u64 },
}

impl Default for State {
    fn default() -> Self {
        Self::Watching(None)
    }
}

/// Reductions in a row, each after few losses and at a window below that of the first.
#[derive(Clone, Debug)]
struct Streak {
    reductions: u8,
    /// What the first reduced.
    before: WindowBefore,
    /// Bytes acknowledged since the first.
    acked: u64,
    /// Bytes lost since the first, without those that led to it.
    lost: u64,
    /// Bytes lost in what led to the latest, and in its recovery period.
    lost_at_once: u64,
}

impl LossContext {
    fn datagrams(&self, count: u64) -> u64 {
        count * u64::from(self.max_datagram_size)
    }

    /// How much may be lost in a round trip by chance, in bytes.
    fn few(&self) -> u64 {
        percent(TOLERATED_PERCENT, self.before.window).max(self.datagrams(FEW))
    }

    /// More credit than this is not given: a long time without loss does not buy a flood of it.
    fn most_credit(&self) -> u64 {
        percent(TOLERATED_PERCENT, self.before.window).max(self.datagrams(LEAST_CREDIT))
    }
}

impl RandomLossDetector {
    /// What the losses of an event are to be taken for, if it has any. To be asked from the first
    /// loss on, of each event.
    pub fn on_congestion_event(
        &mut self,
        event: &CongestionEvent<'_>,
        context: &LossContext,
    ) -> LossVerdict {
        self.on_acked(event.acked_bytes, context);
        if event.ce_count > 0 {
            // RFC 3168: a path that marks packets says itself when it is congested.
            *self = Self::default();
        } else if event.lost_bytes > 0 {
            return self.on_lost(event, context);
        }
        LossVerdict::Congestion
    }

    fn on_acked(&mut self, bytes: u64, context: &LossContext) {
        self.since_loss = self.since_loss.saturating_add(bytes);
        match &mut self.state {
            State::Watching(None) => {}
            State::Watching(Some(streak)) => streak.acked = streak.acked.saturating_add(bytes),
            State::Tolerating { .. } if self.since_loss > context.datagrams(LAPSE) => {
                self.state = State::default();
            }
            State::Tolerating { credit } => {
                let earned = percent(TOLERATED_PERCENT, bytes);
                *credit = credit.saturating_add(earned).min(context.most_credit());
            }
        }
    }

    fn on_lost(&mut self, event: &CongestionEvent<'_>, context: &LossContext) -> LossVerdict {
        let distance = std::mem::take(&mut self.since_loss);
        let lost = event.lost_bytes;
        if is_queueing(event) || lost > context.few() {
            self.state = State::default();
            return LossVerdict::Congestion;
        }
        match &mut self.state {
            State::Tolerating { credit } if lost <= *credit => {
                *credit -= lost;
                return LossVerdict::Random;
            }
            State::Tolerating { .. } => self.state = State::default(),
            State::Watching(streak) if context.in_recovery => {
                *streak = streak.take().and_then(|streak| streak.with_more(lost, context));
            }
            State::Watching(streak) => {
                let streak = match streak.take() {
                    Some(streak) if streak.goes_on(distance, context) => streak.reduced(lost),
                    _ => Streak::new(lost, context),
                };
                if streak.is_proof() {
                    self.state = State::Tolerating { credit: context.most_credit() };
                    return LossVerdict::RandomSince(streak.before);
                }
                self.state = State::Watching(Some(streak));
            }
        }
        LossVerdict::Congestion
    }
}

impl Streak {
    fn new(lost: u64, context: &LossContext) -> Self {
        let before = context.before;
        Self { reductions: 1, before, acked: 0, lost: 0, lost_at_once: lost }
    }

    /// Whether a loss after `distance` bytes without any is one more of these.
    fn goes_on(&self, distance: u64, context: &LossContext) -> bool {
        distance <= context.datagrams(LARGEST_DISTANCE)
            && context.before.window < percent(REGAINED_PERCENT, self.before.window)
    }

    fn reduced(mut self, lost: u64) -> Self {
        self.reductions = self.reductions.saturating_add(1);
        self.lost += lost;
        self.lost_at_once = lost;
        self
    }

    /// `None` if these are too many for a round trip.
    fn with_more(mut self, lost: u64, context: &LossContext) -> Option<Self> {
        self.lost += lost;
        self.lost_at_once += lost;
        (self.lost_at_once <= context.few()).then_some(self)
    }

    /// Whether the reductions before the latest loss have done nothing about the losses.
    fn is_proof(&self) -> bool {
        self.reductions > USELESS_REDUCTIONS && self.lost <= percent(PROVEN_PERCENT, self.acked)
    }
}

const fn percent(share: u64, of: u64) -> u64 {
    of.saturating_mul(share) / 100
}

fn is_queueing(event: &CongestionEvent<'_>) -> bool {
    event.queueing_delay() > (event.rtt.min() / QUEUE_DIVISOR).clamp(MIN_QUEUE, MAX_QUEUE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::send_algorithm::test_support::Path;
    use crate::congestion::{LossDifferentiation, NewReno, SendAlgorithm};
    use crate::time::Time;

    const DATAGRAM: u64 = 1200;
    const WINDOW: u64 = 100 * DATAGRAM;

    type Reno = LossDifferentiation<NewReno>;

    /// In slow start, at a window of 100 datagrams that does not grow, since nothing is sent.
    fn path() -> Path<Reno> {
        let mut path = Path::new(LossDifferentiation::new(NewReno::new(1200), 1200));
        path.algorithm.adopt_window(WINDOW, None);
        path
    }

    fn lose_after(path: &mut Path<Reno>, acked: u64, lost: u64) {
        path.ack(acked * DATAGRAM, path.now);
        path.lose(lost * DATAGRAM, path.now);
    }

    /// Three reductions, each by half.
    fn reduced() -> Path<Reno> {
        let mut path = path();
        for count in 1..=3 {
            lose_after(&mut path, 50, 1);
            assert_eq!(path.window(), WINDOW >> count);
        }
        path
    }

    fn proven() -> Path<Reno> {
        let mut path = reduced();
        lose_after(&mut path, 50, 1);
        assert_eq!(path.window(), WINDOW);
        path
    }

    fn queue(path: &mut Path<Reno>) {
        for _ in 0..20 {
            path.rtt.on_sample(path.now, Path::<Reno>::RTT * 9 / 8, Duration::ZERO);
        }
    }

    #[test]
    fn useless_reductions_are_taken_back() {
        assert!(proven().algorithm.in_slow_start());
    }

    #[test]
    fn from_then_on_two_percent_are_tolerated() {
        let mut path = proven();
        for _ in 0..1000 {
            lose_after(&mut path, 50, 1);
            assert_eq!(path.window(), WINDOW);
        }
        let mut tolerated = 0;
        while path.window() == WINDOW && tolerated < 100 {
            lose_after(&mut path, 10, 1);
            tolerated += 1;
        }
        // Of the ten of credit each costs one, and the ten acknowledged bring a fifth.
        assert!((11..=13).contains(&tolerated), "{tolerated}");
        assert_eq!(path.window(), WINDOW / 2);
    }

    #[test]
    fn a_long_time_of_few_losses_buys_no_flood() {
        let mut path = proven();
        for _ in 0..100 {
            lose_after(&mut path, 900, 1);
        }
        for _ in 0..3 {
            lose_after(&mut path, 0, 3);
            assert_eq!(path.window(), WINDOW);
        }
        lose_after(&mut path, 0, 3);
        assert_eq!(path.window(), WINDOW / 2);
    }

    #[test]
    fn after_too_many_losses_proof_is_wanted_again() {
        let mut path = proven();
        lose_after(&mut path, 50, 4);
        assert_eq!(path.window(), WINDOW / 2);
        for count in 2..=4 {
            lose_after(&mut path, 50, 1);
            assert_eq!(path.window(), WINDOW >> count);
        }
        // What those cost that were too many is not given back.
        lose_after(&mut path, 50, 1);
        assert_eq!(path.window(), WINDOW / 2);
    }

    #[test]
    fn losses_with_a_queue_are_congestion() {
        let mut path = reduced();
        queue(&mut path);
        lose_after(&mut path, 50, 1);
        assert_eq!(path.window(), WINDOW >> 4);
        let mut path = proven();
        queue(&mut path);
        lose_after(&mut path, 50, 1);
        assert_eq!(path.window(), WINDOW / 2);
    }

    #[test]
    fn losses_far_apart_are_congestion() {
        let mut path = reduced();
        lose_after(&mut path, LARGEST_DISTANCE + 1, 1);
        assert_eq!(path.window(), WINDOW >> 4);
        let mut path = reduced();
        lose_after(&mut path, LARGEST_DISTANCE, 1);
        assert_eq!(path.window(), WINDOW);
    }

    #[test]
    fn losses_at_a_window_that_has_grown_back_are_congestion() {
        for (window, after) in [(90, 45), (89, 100)] {
            let mut path = reduced();
            path.algorithm.adopt_window(window * DATAGRAM, Some(1));
            lose_after(&mut path, 50, 1);
            assert_eq!(path.window(), after * DATAGRAM, "{window}");
        }
    }

    #[test]
    fn many_losses_at_once_are_congestion() {
        let mut path = reduced();
        lose_after(&mut path, 150, FEW + 1);
        assert_eq!(path.window(), WINDOW >> 4);
        let mut path = reduced();
        for _ in 0..FEW {
            path.lose(DATAGRAM, Time::ZERO); // of the same round trip as the latest
        }
        lose_after(&mut path, 400, 1);
        assert_eq!(path.window(), WINDOW >> 4);
        let mut path = reduced();
        for _ in 1..FEW {
            path.lose(DATAGRAM, Time::ZERO);
        }
        lose_after(&mut path, 400, 1);
        assert_eq!(path.window(), WINDOW);
    }

    #[test]
    fn too_large_a_share_of_losses_proves_nothing() {
        let mut path = path();
        for count in 1..=5 {
            lose_after(&mut path, 32, 1);
            assert_eq!(path.window(), WINDOW >> count);
        }
        // Six in 200 are few enough.
        lose_after(&mut path, 72, 1);
        assert_eq!(path.window(), WINDOW);
    }

    #[test]
    fn a_path_that_loses_nothing_for_long_is_an_ordinary_one() {
        let mut path = proven();
        lose_after(&mut path, LAPSE, 1);
        assert_eq!(path.window(), WINDOW);
        lose_after(&mut path, LAPSE + 1, 1);
        assert_eq!(path.window(), WINDOW / 2);
    }

    #[test]
    fn a_path_that_marks_packets_says_itself_when_it_is_congested() {
        let mut path = proven();
        path.ce_mark(DATAGRAM);
        assert_eq!(path.window(), WINDOW / 2);
        lose_after(&mut path, 50, 1);
        assert_eq!(path.window(), WINDOW / 4);
    }

    #[test]
    fn whatever_begins_anew_wants_proof_again() {
        let events: [fn(&mut Path<Reno>); 3] = [
            |path| path.algorithm.on_persistent_congestion(path.now),
            |path| path.algorithm.on_spurious_loss(path.now),
            |path| path.algorithm.on_connection_migration(path.now),
        ];
        for event in events {
            let mut path = proven();
            event(&mut path);
            path.algorithm.adopt_window(WINDOW, None);
            lose_after(&mut path, 50, 1);
            assert_eq!(path.window(), WINDOW / 2);
        }
    }
}
