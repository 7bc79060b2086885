//! [`DualPi2`]: two queues coupled, one for L4S traffic and one for all other (RFC 9332, Appendix A).
//! A controller of the classic queue's wait gives a probability p'; classic traffic is marked or
//! dropped with its square, L4S traffic is marked with its double, or for its own queue's length.
//! This file must not know lines.

use std::time::Duration;

use protoquic::{Ecn, Time};

use super::datagram::Datagram;
use super::fifo::Fifo;
use super::queue::Dequeued;

#[derive(Debug)]
pub(super) struct DualPi2 {
    target: Duration,
    step: Duration,
    l4s: Fifo,
    classic: Fifo,
    /// p': what follows from the classic queue's wait.
    base: f64,
    previous_wait: Duration,
    next_update: Time,
    /// Bytes of L4S traffic that were sent while classic traffic waited, less what that has got.
    classic_credit: usize,
    l4s_signals: Recurring,
    classic_signals: Recurring,
}

/// Says yes with a given frequency, as evenly as can be (`recur` in RFC 9332 §A.1).
#[derive(Debug, Default)]
struct Recurring(f64);

impl Recurring {
    fn happens(&mut self, likelihood: f64) -> bool {
        self.0 += likelihood;
        let happens = self.0 >= 1.0;
        if happens {
            self.0 -= 1.0;
        }
        happens
    }
}

impl DualPi2 {
    pub(super) fn new(target: Duration, step: Duration) -> Self {
        Self {
            target,
            step,
            l4s: Fifo::default(),
            classic: Fifo::default(),
            base: 0.0,
            previous_wait: Duration::ZERO,
            next_update: Time::ZERO,
            classic_credit: 0,
            l4s_signals: Recurring::default(),
            classic_signals: Recurring::default(),
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.l4s.len() + self.classic.len(), self.l4s.bytes() + self.classic.bytes())
    }

    /// RFC 9332 §2.5.1.1: ECT(1) and CE are L4S.
    pub(super) fn push(&mut self, now: Time, datagram: Box<Datagram>) {
        self.update(now);
        let queue = match datagram.ecn {
            Ecn::Ect1 | Ecn::Ce => &mut self.l4s,
            Ecn::NotEct | Ecn::Ect0 => &mut self.classic,
        };
        queue.push(now, datagram);
    }

    pub(super) fn pop(&mut self, now: Time, out: &mut Dequeued) {
        self.update(now);
        while self.size().0 > 0 && out.next.is_none() {
            if self.is_l4s_turn() {
                self.pop_l4s(now, out);
            } else {
                self.pop_classic(out);
            }
        }
    }

    pub(super) fn drain(&mut self) -> Vec<(Time, Box<Datagram>)> {
        self.l4s.drain().chain(self.classic.drain()).collect()
    }

    /// L4S traffic goes first, but for a share that nobody can take from the classic queue.
    fn is_l4s_turn(&mut self) -> bool {
        if self.classic.is_empty() || self.l4s.is_empty() {
            return self.classic.is_empty();
        }
        self.classic_credit < CLASSIC_SHARE * self.classic.first_size()
    }

    fn pop_l4s(&mut self, now: Time, out: &mut Dequeued) {
        let Some((since, datagram)) = self.l4s.pop() else { return };
        if !self.classic.is_empty() {
            self.classic_credit += datagram.ip_size();
        }
        let coupled = COUPLING * self.base;
        // RFC 9332 §4.2: with so much traffic that marks do not help, both are dropped alike.
        if coupled >= 1.0 && self.classic_signals.happens(self.base * self.base) {
            return out.dropped.push(datagram);
        }
        // One packet alone is no queue, however slow the line.
        let own = now.saturating_since(since) > self.step && !self.l4s.is_empty();
        let likelihood = if own { 1.0 } else { coupled.min(1.0) };
        let signal = self.l4s_signals.happens(likelihood);
        out.leave(datagram, signal);
    }

    fn pop_classic(&mut self, out: &mut Dequeued) {
        let Some((_, datagram)) = self.classic.pop() else { return };
        self.classic_credit =
            self.classic_credit.saturating_sub(CLASSIC_SHARE * datagram.ip_size());
        let signal = self.classic_signals.happens(self.base * self.base);
        if signal && COUPLING * self.base >= 1.0 {
            return out.dropped.push(datagram);
        }
        out.leave(datagram, signal);
    }

    /// The proportional integral controller (RFC 9332 §A.1), for as many periods as have passed.
    fn update(&mut self, now: Time) {
        if self.next_update + 1000 * PERIOD < now {
            self.base = 0.0; // it has been idle for long
            self.next_update = now;
        }
        while self.next_update <= now {
            let wait = self.classic.wait(self.next_update);
            let seconds = |wait: Duration| wait.as_secs_f64();
            let error = seconds(wait) - seconds(self.target);
            let change = seconds(wait) - seconds(self.previous_wait);
            self.base =
                (self.base + INTEGRAL_GAIN * error + PROPORTIONAL_GAIN * change).clamp(0.0, 1.0);
            self.previous_wait = wait;
            self.next_update += PERIOD;
        }
    }
}

/// How much stronger L4S traffic feels p' than its own response would need: k of RFC 9332 §A.1.
const COUPLING: f64 = 2.0;
/// Tupdate.
const PERIOD: Duration = Duration::from_millis(15);
/// alpha = 0.1 * Tupdate / RTT_max^2 for 100 ms, in Hz.
const INTEGRAL_GAIN: f64 = 0.15;
/// beta = 0.3 / RTT_max, in Hz.
const PROPORTIONAL_GAIN: f64 = 3.0;
/// A classic packet goes for so many times its bytes of L4S traffic at the latest.
const CLASSIC_SHARE: usize = 9;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn datagram(ecn: Ecn) -> Box<Datagram> {
        let address = ([10, 0, 0, 1], 1).into();
        let data = BytesMut::zeroed(1472);
        let origin = (address, address);
        Box::new(Datagram { from: address, to: address, ecn, origin, sent: Time::ZERO, data })
    }

    fn queue() -> DualPi2 {
        DualPi2::new(Duration::from_millis(15), Duration::from_millis(1))
    }

    /// Behind a standing queue, one in and one out each millisecond of a second: how many were marked
    /// or dropped.
    fn signals(standing: usize, ecn: Ecn) -> usize {
        let mut queue = queue();
        let at = |millis: u64| Time::from_millis(1000 + millis);
        (0..standing).for_each(|_| queue.push(at(0), datagram(ecn)));
        let signal = |step| {
            queue.push(at(step), datagram(ecn));
            let mut out = Dequeued::default();
            queue.pop(at(step), &mut out);
            usize::from(out.marked) + out.dropped.len()
        };
        (0..1000).map(signal).sum()
    }

    #[test]
    fn l4s_traffic_is_marked_for_a_queue_of_its_own_at_once() {
        assert_eq!(signals(1, Ecn::Ect1), 0);
        let marked = signals(5, Ecn::Ect1);
        assert!(marked > 900, "{marked}");
    }

    #[test]
    fn classic_traffic_is_signalled_by_the_square_and_l4s_traffic_by_the_double() {
        let mut queue = queue();
        queue.base = 0.2;
        queue.next_update = Time::from_millis(1_000_000);
        let (mut l4s, mut classic) = (0, 0);
        for _ in 0..1000 {
            for (ecn, count) in [(Ecn::Ect1, &mut l4s), (Ecn::Ect0, &mut classic)] {
                queue.push(Time::ZERO, datagram(ecn));
                let mut out = Dequeued::default();
                queue.pop(Time::ZERO, &mut out);
                *count += i32::from(out.marked);
            }
        }
        assert!((395..=405).contains(&l4s) && (38..=42).contains(&classic), "{l4s}, {classic}");
    }

    #[test]
    fn a_classic_queue_is_signalled_ever_more_until_it_falls() {
        assert_eq!(signals(10, Ecn::NotEct), 0, "10 ms are fine");
        let [dropped, marked] = [Ecn::NotEct, Ecn::Ect0].map(|ecn| signals(40, ecn));
        assert!(dropped > 3 && marked > dropped, "{dropped}, {marked}");
    }

    #[test]
    fn l4s_traffic_goes_first_but_takes_no_more_than_nine_tenths() {
        let mut queue = queue();
        queue.next_update = Time::from_millis(1_000_000);
        for _ in 0..100 {
            queue.push(Time::ZERO, datagram(Ecn::Ect1));
            queue.push(Time::ZERO, datagram(Ecn::Ect0));
        }
        let next = |_| {
            let mut out = Dequeued::default();
            queue.pop(Time::ZERO, &mut out);
            out.next.map(|datagram| datagram.ecn)
        };
        let sent: Vec<_> = (0..100).filter_map(next).collect();
        let classic = sent.iter().filter(|ecn| **ecn == Ecn::Ect0).count();
        assert!(sent[..9].iter().all(|ecn| *ecn == Ecn::Ect1) && classic == 10, "{classic}");
    }

    #[test]
    fn an_overload_drops_l4s_traffic_too() {
        let mut queue = queue();
        queue.base = 1.0;
        queue.next_update = Time::from_millis(1_000_000);
        queue.push(Time::ZERO, datagram(Ecn::Ect1));
        let mut out = Dequeued::default();
        queue.pop(Time::ZERO, &mut out);
        assert!(out.next.is_none() && out.dropped.len() == 1);
    }
}
