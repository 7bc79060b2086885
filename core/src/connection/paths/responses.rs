//! [`Responses`]: the path challenges of the peer that wait for an answer (RFC 9000 §8.2.2). This
//! file must not know paths.

use std::collections::VecDeque;

use crate::types::PathAddress;

/// A PATH_RESPONSE to send, to where the challenge came from.
#[derive(Clone, Copy, Debug)]
struct Response {
    address: PathAddress,
    data: [u8; 8],
}

#[derive(Debug, Default)]
pub(super) struct Responses {
    waiting: VecDeque<Response>,
}

impl Responses {
    pub(super) fn push(&mut self, address: PathAddress, data: [u8; 8]) {
        if self.waiting.len() == MAX_RESPONSES {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Response { address, data });
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &PathAddress> {
        self.waiting.iter().map(|response| &response.address)
    }

    /// The next answer to this address; never repeated, the peer challenges again
    /// (RFC 9000 §13.3). Several challenges must not earn a datagram each, so they share one.
    pub(super) fn next_to(&mut self, address: &PathAddress) -> Option<[u8; 8]> {
        let at = self.waiting.iter().position(|response| response.address == *address)?;
        self.waiting.remove(at).map(|response| response.data)
    }

    /// Keeps only the answers to these addresses.
    pub(super) fn retain(&mut self, known: impl Fn(&PathAddress) -> bool) {
        self.waiting.retain(|response| known(&response.address));
    }
}

/// How many path challenges wait for an answer at most; older ones are dropped.
pub(super) const MAX_RESPONSES: usize = 8;
