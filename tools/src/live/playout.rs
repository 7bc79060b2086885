//! [`Playout`]: puts frames back into the order in which they were sent, and waits for those that
//! are missing as long as they may come. This file must not know how frames travel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use protoquic::Time;

use super::wire::FrameHeader;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) header: FrameHeader,
    pub(super) bytes: Bytes,
    pub(super) at: Time,
}

/// What is next in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Played {
    /// A frame.
    Frame(Arrived),
    /// So many frames are given up.
    Lost(u64),
}

/// The frames that have come too early.
#[derive(Debug, Default)]
pub(super) struct Playout {
    waiting: BTreeMap<u64, Arrived>,
    bytes: usize,
    /// The sequence number that is next.
    next: u64,
    /// Frames that are known not to come.
    gone: BTreeSet<u64>,
}

impl Playout {
    /// The sequence number that is next: what came before is played or given up.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Takes a frame. One that was given up, or has come already, is dropped.
    pub(super) fn insert(&mut self, frame: Arrived) {
        let sequence = frame.header.sequence;
        let len = frame.bytes.len();
        if sequence >= self.next && !self.waiting.contains_key(&sequence) {
            self.bytes += len;
            self.waiting.insert(sequence, frame);
        }
    }

    /// The server has given this frame up.
    pub(super) fn on_gone(&mut self, sequence: u64) {
        if (self.next..self.next + MAX_WAITING as u64).contains(&sequence) {
            self.gone.insert(sequence);
        }
    }

    /// Whether so much has come that nothing is waited for any longer, whatever the clocks say.
    pub(super) fn is_crowded(&self) -> bool {
        self.waiting.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES
    }

    /// What is next. `given_up` says whether a frame that was due then will not come any more.
    pub(super) fn play(&mut self, given_up: impl Fn(u64) -> bool) -> Option<Played> {
        if self.gone.remove(&self.next) {
            self.next += 1;
            return Some(Played::Lost(1));
        }
        let first = self.waiting.first_entry()?;
        let (sequence, due) = (*first.key(), first.get().header.due);
        if sequence > self.next {
            // What is missing was due before the frame that is there.
            if !self.is_crowded() && !given_up(due) {
                return None;
            }
            let missing = sequence - self.next;
            self.next = sequence;
            self.gone = self.gone.split_off(&sequence);
            return Some(Played::Lost(missing));
        }
        let frame = first.remove();
        self.bytes -= frame.bytes.len();
        self.next = sequence + 1;
        Some(Played::Frame(frame))
    }

    /// When the frame was due that comes after missing ones.
    pub(super) fn awaits(&self) -> Option<u64> {
        let (sequence, first) = self.waiting.first_key_value()?;
        (*sequence > self.next).then_some(first.header.due)
    }

    /// No more will come, and so many were sent: what is still missing, after what is there.
    pub(super) fn give_up_before(&mut self, sent: u64) -> u64 {
        let missing = sent.saturating_sub(self.next);
        self.next = self.next.max(sent);
        missing
    }
}

/// The two clocks of viewer and server, compared by the fastest answer to a ping.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClockComparison {
    /// How long the fastest answer took, and when it came, in microseconds.
    best: Option<(u64, u64)>,
    /// The server's clock less ours, in microseconds.
    offset: i64,
    answers: u64,
}

impl ClockComparison {
    /// The answer to a ping: our time then, the server's in between, ours now; in microseconds.
    pub(super) fn on_pong(&mut self, sent: u64, theirs: u64, now: u64) {
        let Some(elapsed) = now.checked_sub(sent) else { return };
        self.answers += 1;
        // Clocks drift: an old answer is worth less than a new one.
        let stands = self.best.is_some_and(|(best, at)| best + (now - at) / DRIFT < elapsed);
        if !stands {
            self.best = Some((elapsed, now));
            self.offset = theirs.cast_signed().wrapping_sub((sent + elapsed / 2).cast_signed());
        }
    }

    /// Whether times can be compared.
    pub(super) fn is_known(&self) -> bool {
        self.best.is_some()
    }

    /// How many answers have come.
    pub(super) fn answers(&self) -> u64 {
        self.answers
    }

    /// A time of ours on the server's clock, in microseconds.
    pub(super) fn to_server(self, ours: u64) -> u64 {
        ours.cast_signed().saturating_add(self.offset).max(0).cast_unsigned()
    }

    /// A time of the server's on our clock.
    pub(super) fn to_ours(self, theirs: u64) -> Time {
        let ours = theirs.cast_signed().saturating_sub(self.offset).max(0).cast_unsigned();
        Time::ZERO + Duration::from_micros(ours)
    }
}

/// Clocks drift by one part in so many, at most.
const DRIFT: u64 = 10_000;
/// How many frames wait for missing ones; when there are more, the missing ones are given up.
const MAX_WAITING: usize = 2000;
/// How many bytes they may have.
const MAX_WAITING_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::nal::FrameKind;
    use super::*;

    fn frame(sequence: u64) -> Arrived {
        let due = sequence * 1000;
        let kind = FrameKind::Reference;
        let header = FrameHeader { sequence, number: sequence, due, kind, len: 1 };
        Arrived { header, bytes: Bytes::from_static(b"x"), at: Time::ZERO }
    }

    fn play(playout: &mut Playout, now: u64) -> Vec<Option<u64>> {
        let mut played = Vec::new();
        while let Some(next) = playout.play(|due| due <= now) {
            played.push(match next {
                Played::Frame(frame) => Some(frame.header.sequence),
                Played::Lost(_) => None,
            });
        }
        played
    }

    #[test]
    fn frames_are_played_in_order_and_missing_ones_waited_for() {
        let mut playout = Playout::default();
        for sequence in [1, 0, 4, 5, 1] {
            playout.insert(frame(sequence));
        }
        assert_eq!(play(&mut playout, 3999), [Some(0), Some(1)]);
        assert_eq!(playout.awaits(), Some(4000));
        playout.insert(frame(2));
        assert_eq!(play(&mut playout, 3999), [Some(2)]);
        assert_eq!(play(&mut playout, 4000), [None, Some(4), Some(5)]);
        playout.insert(frame(3)); // too late
        assert_eq!(play(&mut playout, 9000), []);
        playout.on_gone(6);
        assert_eq!(play(&mut playout, 0), [None], "nothing is waited for that cannot come");
        assert_eq!(playout.give_up_before(9), 2);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut playout = Playout::default();
        for sequence in 1..10_000 {
            playout.insert(frame(sequence));
            play(&mut playout, 0);
            assert!(playout.waiting.len() <= MAX_WAITING + 1);
        }
        assert_eq!(playout.next_sequence(), 10_000);
    }

    #[test]
    fn the_fastest_answer_tells_the_time_and_ages() {
        let mut clocks = ClockComparison::default();
        clocks.on_pong(1000, 501_000, 3000); // 1 ms each way: theirs is 499 ms ahead
        assert_eq!(clocks.to_server(3000), 502_000);
        clocks.on_pong(10_000, 518_000, 20_000); // slower, and slower back than forth
        assert_eq!(clocks.to_server(20_000), 519_000);
        assert_eq!(clocks.to_ours(519_000), Time::from_millis(20));
        clocks.on_pong(100_000_000, 600_010_000, 100_010_000);
        assert_eq!(clocks.to_server(100_010_000), 600_015_000, "100 s later");
    }
}
