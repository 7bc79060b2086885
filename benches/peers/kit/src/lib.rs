//! What the perf programs of the other stacks share, so that each is only its stack: the arguments,
//! which are those of `quic_perf`, the report, and TLS by rustls on ring for those that take it.
//!
//! Nothing here knows a QUIC stack.

mod arguments;
mod repeat;
mod report;
mod tls;

pub use arguments::{Client, Mode, Program, Server};
pub use repeat::{is_whole, pieces, repeat};
pub use report::{Loops, report_bulk, report_handshakes, report_requests};
pub use tls::{Identity, Trust, client_tls, client_tls_of, server_tls, server_tls_of};

/// The protocol's name (draft-banks-quic-performance).
pub const ALPN: &[u8] = b"perf";

/// The UDP payload that every stack is given: what fits Ethernet over IPv6.
pub const MAX_UDP_PAYLOAD: u16 = 1452;

/// Bytes one stream may have in flight, as `quic_perf` grants them.
pub const STREAM_WINDOW: u32 = 16 << 20;

/// Bytes one connection may have in flight.
pub const CONNECTION_WINDOW: u32 = 24 << 20;

/// Streams the peer may have open at once.
pub const STREAMS: u32 = 10_000;

/// Bytes of one write.
pub const CHUNK: usize = 256 * 1024;

/// The error of every program here: they end with a message and a nonzero status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
