//! The perf protocol (draft-banks-quic-performance, ALPN `perf`): a client's bidirectional stream
//! asks with its first eight bytes, big endian, for so many bytes; the rest of it is upload, which
//! the server swallows. Written on bare `Session` and `Stream`.

mod client;
mod crowd;
mod http3;
mod loops;
mod many;
mod run;
mod server;
mod usage;

pub use client::{PerfClient, PerfClientStream, PerfReport, PerfWork};
pub use http3::{Http3Work, http3_bulk, http3_requests};
pub use loops::{Latency, LoopEnd, LoopWork, PerfLoop, PerfLoops, new_latency};
pub use many::{ManyBulk, bulk_on_many, requests_on_many};
pub use run::{Bulk, Handshakes, Requests, bulk, handshakes, idle, requests};
pub use server::{PerfServer, PerfServerStream, perf_factory};
pub use usage::Usage;

use bytes::Bytes;

/// The protocol's name in TLS.
pub const ALPN: &[u8] = b"perf";

/// What is sent: always the same bytes, lent and never copied before they are in a packet.
static PATTERN: [u8; 1 << 18] = [0x5a; 1 << 18];

/// Writes up to `left` bytes of the pattern, as far as there is room. Returns what is then left.
fn write_pattern<S: protoquic::Session>(
    cx: &mut protoquic::StreamContext<'_, S>,
    mut left: u64,
) -> u64 {
    while left > 0 {
        let len = PATTERN.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut piece = Bytes::from_static(&PATTERN[..len]);
        match cx.write(&mut piece) {
            Ok(written) => left -= written as u64,
            Err(_) => return 0,
        }
        if !piece.is_empty() {
            break;
        }
    }
    left
}
