//! [`Challenge`]: the proof that somebody is at the other end of a path (RFC 9000 §8.2). Says when
//! PATH_CHALLENGE is due and which answers count. This file must not know addresses or packets.

use std::time::Duration;

use smallvec::SmallVec;

use crate::helper::RandomGenerator;
use crate::time::Time;

/// One PATH_CHALLENGE that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    data: [u8; 8],
    at: Time,
    full: bool,
}

/// An answer that proves the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// How long it took.
    pub(super) delay: Duration,
    /// Whether it also proves that the path carries datagrams of 1200 bytes.
    pub(super) full: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Challenge {
    sent: SmallVec<[Sent; 2]>,
    due: bool,
    repeat: Time,
    interval: Duration,
    gives_up: Time,
}

impl Challenge {
    /// One is due at once. `pto` is the present path's.
    pub(super) fn new(now: Time, pto: Duration) -> Self {
        // RFC 9000 §8.2.4: three times the larger of the PTO and that of a path without samples.
        let gives_up = now + 3 * pto.max(INITIAL_PTO);
        Self { sent: SmallVec::new(), due: true, repeat: now, interval: pto, gives_up }
    }

    /// Whether a PATH_CHALLENGE is to be sent now.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// The data of the next PATH_CHALLENGE, never the same twice (RFC 9000 §8.2.1); it counts as
    /// sent, in a datagram of 1200 bytes or not.
    pub(super) fn next(
        &mut self,
        now: Time,
        full: bool,
        random: &mut dyn RandomGenerator,
    ) -> [u8; 8] {
        let mut data = [0; 8];
        random.fill(&mut data);
        if self.sent.len() == MAX_OUTSTANDING {
            self.sent.remove(0);
        }
        self.sent.push(Sent { data, at: now, full });
        self.due = false;
        // RFC 9000 §8.2.1: not more often than Initial packets would be repeated.
        self.repeat = now + self.interval;
        self.interval *= 2;
        data
    }

    /// There is room for a datagram of 1200 bytes now: if the last was smaller, the next need not
    /// wait (RFC 9000 §8.2.1).
    pub(super) fn on_room(&mut self) {
        self.due |= self.sent.last().is_some_and(|sent| !sent.full);
    }

    /// A PATH_RESPONSE with this data came (RFC 9000 §8.2.3).
    pub(super) fn on_response(&self, now: Time, data: [u8; 8]) -> Option<Proof> {
        let sent = self.sent.iter().find(|sent| sent.data == data)?;
        Some(Proof { delay: now.saturating_since(sent.at), full: sent.full })
    }

    pub(super) fn deadline(&self) -> Time {
        if self.due { self.gives_up } else { self.repeat.min(self.gives_up) }
    }

    /// Returns whether the proof has failed: no answer came in time.
    pub(super) fn on_deadline(&mut self, now: Time) -> bool {
        self.due |= self.repeat <= now;
        self.gives_up <= now
    }
}

/// The PTO of a path without RTT samples: 333 ms and four times half of it (RFC 9002 §6.2.2).
const INITIAL_PTO: Duration = Duration::from_millis(999);
/// To how many challenges of one path an answer counts, at most: the newest.
const MAX_OUTSTANDING: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::SeededRandom;

    const PTO: Duration = Duration::from_millis(50);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn is_repeated_ever_more_rarely_with_new_data_until_it_gives_up() {
        // RFC 9000 §8.2.1, §8.2.4
        let mut random = SeededRandom::new(1);
        let mut challenge = Challenge::new(at(0), PTO);
        let (mut times, mut seen) = (Vec::new(), Vec::new());
        loop {
            let now = challenge.deadline();
            if challenge.is_due() {
                times.push(challenge.repeat);
                let data = challenge.next(challenge.repeat, true, &mut random);
                assert!(!seen.contains(&data));
                seen.push(data);
            } else if challenge.on_deadline(now) {
                assert_eq!(now, at(2997));
                break;
            }
        }
        assert_eq!(times, [0, 50, 150, 350, 750, 1550].map(at));
        for data in seen {
            assert!(
                challenge.on_response(at(3000), data).is_some(),
                "a late answer to each counts"
            );
        }
    }

    #[test]
    fn only_its_own_data_is_an_answer() {
        // RFC 9000 §8.2.3
        let mut random = SeededRandom::new(1);
        let mut challenge = Challenge::new(at(0), PTO);
        let data = challenge.next(at(0), true, &mut random);
        assert_eq!(challenge.on_response(at(7), [0; 8]), None);
        let proof = Proof { delay: Duration::from_millis(7), full: true };
        assert_eq!(challenge.on_response(at(7), data), Some(proof));
    }

    #[test]
    fn a_small_one_is_followed_by_a_full_one_when_there_is_room() {
        // RFC 9000 §8.2.1
        let mut random = SeededRandom::new(1);
        let mut challenge = Challenge::new(at(0), PTO);
        challenge.next(at(0), false, &mut random);
        challenge.on_room();
        assert!(challenge.is_due());
        challenge.next(at(0), true, &mut random);
        challenge.on_room();
        assert!(!challenge.is_due());
    }
}
