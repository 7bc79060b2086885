//! What an [`Evil`] has seen of the other side: packets, frames, and how it closed.

use std::time::Duration;

use protoquic::wire::{Frame, FrameIter};
use protoquic::{Ecn, Session, Space};

use crate::net::Net;

use super::Evil;

/// A packet that came and could be opened.
#[derive(Clone, Debug)]
pub struct SeenPacket {
    /// Its packet number space.
    pub space: Space,
    /// Its number.
    pub number: u64,
    /// Its frames.
    pub payload: Vec<u8>,
    /// How its datagram was marked.
    pub ecn: Ecn,
}

/// A CONNECTION_CLOSE that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenClose {
    /// In which packets.
    pub space: Space,
    /// Whether it is the application's.
    pub application: bool,
    /// Its code.
    pub code: u64,
}

impl Evil {
    /// Waits for the other side to close, and tells how.
    pub fn wait_for_close<S: Session>(&mut self, net: &mut Net<S>) -> Option<SeenClose> {
        self.run_until(net, Duration::from_secs(2), |evil| evil.close().is_some());
        self.close()
    }

    /// The first CONNECTION_CLOSE that came.
    pub fn close(&self) -> Option<SeenClose> {
        self.seen.iter().find_map(|packet| {
            FrameIter::new(&packet.payload).flatten().find_map(|frame| match frame {
                Frame::ConnectionClose(close) => Some(SeenClose {
                    space: packet.space,
                    application: close.application,
                    code: close.code,
                }),
                _ => None,
            })
        })
    }

    /// Whether a frame like this came.
    pub fn has_seen(&self, like: impl Fn(&Frame<'_>) -> bool) -> bool {
        self.count(like) > 0
    }

    /// How many frames like this came.
    pub fn count(&self, like: impl Fn(&Frame<'_>) -> bool) -> usize {
        let frames = self.seen.iter().flat_map(|packet| FrameIter::new(&packet.payload).flatten());
        frames.filter(|frame| like(frame)).count()
    }
}
