//! [`PacketSpace`]: what a connection keeps for each packet number space besides what it has sent
//! (RFC 9000 §12.3), and [`Spaces`], the three of them. This file must not know keys.

use std::ops::{Index, IndexMut};

use super::config::Config;
use super::crypto_stream::CryptoStream;
use crate::recovery::{AckPolicy, AckTracker};
use crate::types::Space;

#[derive(Debug)]
pub(super) struct PacketSpace {
    pub(super) acks: AckTracker,
    pub(super) crypto: CryptoStream,
}

impl PacketSpace {
    const fn new(space: Space, policy: &AckPolicy) -> Self {
        Self { acks: AckTracker::new(space, policy), crypto: CryptoStream::EMPTY }
    }
}

/// The packet number spaces, each at the index of its [`Space`]. Those of the handshake are forgotten
/// after it; a forgotten one is like one in which nothing has happened.
#[derive(Debug)]
pub(super) struct Spaces {
    policy: AckPolicy,
    /// Initial and Handshake.
    handshake: [Option<Box<PacketSpace>>; 2],
    application: PacketSpace,
}

impl Spaces {
    pub(super) fn new(config: &Config) -> Self {
        let policy = AckPolicy {
            max_ack_delay: config.max_ack_delay,
            threshold: config.ack_threshold.into(),
            ..AckPolicy::default()
        };
        let application = PacketSpace::new(Space::Application, &policy);
        Self { policy, handshake: [None, None], application }
    }

    /// Forgets one of the handshake's.
    pub(super) fn discard(&mut self, space: Space) {
        if let Some(space) = self.handshake.get_mut(space as usize) {
            *space = None;
        }
    }

    /// Gives back what a silent connection has no use for.
    pub(super) fn release_memory(&mut self) {
        self.application.crypto.release_memory();
    }

    /// Those in which something may have happened.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PacketSpace> + Clone {
        self.handshake.iter().flatten().map(|space| &**space).chain([&self.application])
    }
}

impl Index<usize> for Spaces {
    type Output = PacketSpace;

    fn index(&self, space: usize) -> &PacketSpace {
        match self.handshake.get(space) {
            Some(Some(space)) => space,
            Some(None) => &FORGOTTEN,
            None => &self.application,
        }
    }
}

impl IndexMut<usize> for Spaces {
    fn index_mut(&mut self, space: usize) -> &mut PacketSpace {
        let (policy, which) = (&self.policy, Space::ALL[space.min(2)]);
        match self.handshake.get_mut(space) {
            Some(known) => known.get_or_insert_with(|| Box::new(PacketSpace::new(which, policy))),
            None => &mut self.application,
        }
    }
}

/// A space of the handshake in which nothing has happened.
static FORGOTTEN: PacketSpace = PacketSpace::new(Space::Initial, &AckPolicy::DEFAULT);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::types::Ecn;

    #[test]
    fn what_is_forgotten_is_as_new_and_takes_no_room() {
        let mut spaces = Spaces::new(&Config::default());
        for space in Space::ALL {
            spaces[space as usize].acks.on_packet_received(Time::ZERO, 7, true, Ecn::NotEct);
            assert_eq!(spaces[space as usize].acks.largest(), Some(7));
        }
        assert_eq!(spaces.iter().count(), 3);
        spaces.discard(Space::Initial);
        spaces.discard(Space::Application);
        let largest = Space::ALL.map(|space| spaces[space as usize].acks.largest());
        assert_eq!(largest, [None, Some(7), Some(7)]);
        assert_eq!(spaces.iter().count(), 2);
    }
}
