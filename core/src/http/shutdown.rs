//! [`Shutdown`]: how a session stops without losing requests (RFC 9114 §5.2). A server first says
//! "no more, in principle", lets what is on its way arrive, then names the last request it serves;
//! when all are served the connection closes with H3_NO_ERROR.

use super::connection::Http3Connection;
use super::error::{Http3Code, Http3Error};
use super::transport::Transport;
use crate::time::Time;
use crate::types::{Direction, StreamId};

/// How far the shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Not begun.
    #[default]
    No,
    /// The first GOAWAY was sent: requests are still accepted until then.
    Announced {
        /// When the last one is named.
        grace_ends: Time,
        /// When we lose patience.
        deadline: Time,
    },
    /// No new requests; the running ones have until then.
    Draining {
        /// When we lose patience.
        deadline: Time,
    },
    /// Closed.
    Over,
}

impl Shutdown {
    /// Whether new requests are refused.
    pub(super) const fn refuses(self) -> bool {
        matches!(self, Self::Draining { .. } | Self::Over)
    }

    /// Whether it has begun.
    pub(super) const fn has_begun(self) -> bool {
        !matches!(self, Self::No)
    }

    pub(super) const fn deadline(self) -> Option<Time> {
        match self {
            Self::No | Self::Over => None,
            Self::Announced { grace_ends, .. } => Some(grace_ends),
            Self::Draining { deadline } => Some(deadline),
        }
    }
}

/// The peer stops.
impl Http3Connection {
    /// The first request that the peer will not process, if it said so.
    pub(super) fn peer_goaway(&self) -> Option<u64> {
        self.peer_goaway
    }

    /// It said so.
    pub(super) fn on_goaway(&mut self, id: u64, io: &mut dyn Transport) -> Result<(), Http3Error> {
        let stream = StreamId::from_raw(id);
        // RFC 9114 §7.2.6: to a client it names a request; to a server a push, which is any number.
        let is_request =
            stream.initiator().is_client() && stream.direction() == Direction::Bidirectional;
        if self.role().is_client() && !is_request {
            return Err(id_error(format!("GOAWAY names {stream}")));
        }
        // RFC 9114 §5.2: it must not grow.
        if self.peer_goaway.is_some_and(|last| id > last) {
            return Err(id_error(format!("GOAWAY grows to {id}")));
        }
        self.peer_goaway = Some(id);
        self.on_webtransport_goaway();
        if self.role().is_server() {
            self.on_pushes_refused(id, io);
        }
        Ok(())
    }
}

fn id_error(reason: String) -> Http3Error {
    Http3Error::new(Http3Code::ID_ERROR, reason)
}
