//! [`Shutdown`]: how a session stops without losing requests (RFC 9114 §5.2). A server first says
//! "no more, in principle", lets what is on its way arrive, then names the last request it serves;
//! when all are served the connection closes with H3_NO_ERROR.

use crate::time::Time;

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
