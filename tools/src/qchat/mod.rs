//! qchat: an echo over an application protocol of its own, written on bare `Session` and `Stream`.
//! Read [`server`] first, then [`client`], then [`dialogue`]; `docs/qchat.md` walks through them.
//!
//! The protocol: a client opens bidirectional streams; whatever it sends on one comes back on the
//! same stream, and the end of the one direction brings the end of the other.

pub mod client;
pub mod dialogue;
mod message;
pub mod server;

use std::rc::Rc;

use protoquic::ApplicationError;
use protoquic::streams::StreamsConfig;

pub use message::Message;

/// The name by which both ends agree on this protocol (RFC 7301).
pub const ALPN: &[u8] = b"qchat";

/// Where the lines go that tell what happens.
pub type Say = Rc<dyn Fn(&str)>;

/// The windows of both ends: `most` bytes of a stream may be on their way at a time. More are needed
/// on long, fast paths (rate times round trip); a stream's memory is bounded by it.
pub fn windows(most: u64) -> StreamsConfig {
    let default = StreamsConfig::default();
    let initial = most.min(default.max_stream_data_bidi_local);
    StreamsConfig {
        max_stream_data_bidi_local: initial,
        max_stream_data_bidi_remote: initial,
        max_stream_window: most,
        max_connection_window: 2 * most,
        max_streams_uni: 0, // the protocol has none
        ..default
    }
}

/// The windows that both programs have unless told otherwise: 1 MiB.
pub const DEFAULT_WINDOW: u64 = 1 << 20;

/// The protocol's error codes. Every application protocol has its own (RFC 9000 §20.2).
pub mod codes {
    use super::ApplicationError;

    /// Nothing is wrong: the connection has done its work.
    pub const DONE: ApplicationError = ApplicationError(0);
    /// A stream that this protocol does not have, such as a unidirectional one.
    pub const NO_SUCH_STREAM: ApplicationError = ApplicationError(1);
    /// The server takes no more streams, because it is shutting down.
    pub const SHUTTING_DOWN: ApplicationError = ApplicationError(2);
    /// Whoever sent this no longer wants the stream.
    pub const ABORTED: ApplicationError = ApplicationError(3);
}
