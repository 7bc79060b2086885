//! Server push (RFC 9114 §4.6), of both sides. On a server a backend gives pushes with its answer
//! ([`ServerExchange::push`](super::ServerExchange::push)): `server` counts and cancels them,
//! `push_stream` sends them. On a client, which has to ask for it
//! ([`Http3Config::max_pushes`](super::Http3Config::max_pushes)), `inbox` takes what streams read,
//! `promise_index` knows what was promised and who wants it, `pushed_stream` receives it, `client`
//! ties them to the session. `rules` says what may be promised and whom it serves.

mod client;
mod handler;
mod inbox;
mod promise_index;
mod push_stream;
mod pushed_stream;
mod rules;
mod server;

pub use handler::{PromiseAnswer, PushDropped, PushHandler};
pub use server::{PushError, PushInfo};

pub(super) use client::settle;
pub(super) use inbox::{Promise, PromiseInbox};
pub(super) use promise_index::PromiseIndex;
pub(super) use push_stream::PushStream;
pub(super) use pushed_stream::PushedStream;
pub(super) use rules::serves;
pub(super) use server::ServerPushes;

/// Names a push of one connection (RFC 9114 §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub(super) u64);

impl PushId {
    /// The number on the wire, less than 2^62.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for PushId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "push {}", self.0)
    }
}
