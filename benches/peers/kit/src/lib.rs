//! What the perf programs of the other stacks share, so that each is only its stack: the arguments,
//! which are those of `quic_perf`, the report, and TLS by rustls on ring for those that take it.
//!
//! Nothing here knows a QUIC stack.

mod arguments;
mod files;
mod measure;
mod report;
mod socket;
mod tls;

pub use arguments::{Client, Mode, Program, Server};
pub use files::{FILE_CHUNK, open_file, read_chunk};
pub use measure::{Stack, is_whole, measure, pieces};
pub use report::{Loops, report_bulk, report_handshakes, report_requests};
pub use socket::bind;
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

/// The application protocol of HTTP/3.
pub const HTTP3_ALPN: &[u8] = b"h3";

/// What the kernel may hold for a socket, each way, in bytes. Stacks that open their own sockets keep
/// the system's default: more makes them slower.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// Bytes of one write.
pub const CHUNK: usize = 256 * 1024;

/// The error of every program here: they end with a message and a nonzero status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
