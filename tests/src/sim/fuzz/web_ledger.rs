//! [`WebLedger`]: what became of the requests of one HTTP/3 connection, written by both ends, and
//! what must hold of it. This file must not know how they came about.

use std::collections::{BTreeMap, BTreeSet};

use protoquic::http::RequestFailure;

use super::web::{WebEnding, WebPlan};

/// What became of requests, by their number.
#[derive(Debug, Default)]
pub struct WebLedger {
    /// Those that the session took.
    pub asked: BTreeSet<usize>,
    /// How many were asked, whether or not the session took them.
    pub tried: usize,
    /// Those that the client gave up.
    pub cancelled: BTreeSet<usize>,
    /// Those that the server's application saw, and how often.
    pub seen: BTreeMap<usize, u32>,
    /// How they ended.
    pub ended: BTreeMap<usize, Result<(), RequestFailure>>,
    /// Whether the client went away.
    pub left: bool,
}

impl WebLedger {
    /// Notes how a request ended.
    pub(super) fn end(&mut self, number: usize, how: Result<(), RequestFailure>) {
        assert!(!self.cancelled.contains(&number), "request {number} was given up, then told of");
        assert!(self.ended.insert(number, how).is_none(), "request {number} ended twice");
    }

    /// Whether nothing more will follow.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.iter().all(|n| self.ended.contains_key(n) || self.cancelled.contains(n))
    }

    /// How many were answered whole, and how many were left to be asked elsewhere.
    pub(super) fn counts(&self) -> (u64, u64) {
        let answered = self.ended.values().filter(|end| end.is_ok()).count() as u64;
        (answered, self.ended.len() as u64 - answered)
    }

    /// RFC 9114 §5.2: whoever goes away gracefully serves what it took, and what it did not take is
    /// known not to have been processed.
    pub(super) fn check(&self, plan: &WebPlan, who: usize) {
        for number in &self.asked {
            let seen = self.seen.get(number).copied().unwrap_or(0);
            assert!(seen <= 1, "web {who}: request {number} was served {seen} times");
            let end = self.ended.get(number);
            let server_left = matches!(plan.ending, WebEnding::ServerGoesAway(_));
            let left = plan.ending != WebEnding::WhenDone;
            match end {
                None => assert!(
                    self.cancelled.contains(number),
                    "web {who}: nobody was told what became of request {number}"
                ),
                Some(Ok(())) => {}
                Some(Err(RequestFailure::NotProcessed)) => assert!(
                    left && seen == 0,
                    "web {who}: request {number} was said not to be processed"
                ),
                // The close can overtake the GOAWAY.
                Some(Err(RequestFailure::ConnectionClosed)) => assert!(
                    server_left && seen == 0,
                    "web {who}: request {number} (seen {seen} times) was cut off"
                ),
                Some(Err(failure)) => panic!("web {who}: request {number} failed: {failure}"),
            }
        }
    }
}
