//! The endpoints of the QUIC interop runner: what `quic_interop_client` and `quic_interop_server`
//! do for each of its test cases. The contract is the runner's: environment variables in, files and
//! an exit code out. No rule of QUIC lives here.

mod client;
mod downloads;
mod environment;
mod hq_client;
mod hq_server;
mod server;
mod simulator;
mod test_case;

pub use client::{ClientPlan, run_client};
pub use downloads::{Download, Downloads};
pub use environment::{Environment, Protocol};
pub use hq_client::{HqClient, HqClientStream};
pub use hq_server::{HqServer, HqServerStream, hq_factory};
pub use server::{ServerPlan, bind_server};
pub use simulator::wait_for_simulator;
pub use test_case::{ClientCase, ServerCase};

/// HTTP/0.9 over QUIC in TLS: a request is `GET /path` and a line's end, a response is the bytes of
/// the file, each ended by its stream.
pub const HQ_ALPN: &[u8] = b"hq-interop";

/// The exit code of an endpoint that does not support its test case.
pub const UNSUPPORTED: u8 = 127;
