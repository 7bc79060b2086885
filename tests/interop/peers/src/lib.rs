//! What the Rust peers share: the runner's environment, TLS settings, and who is believed.

mod environment;
mod tls;

use std::time::Duration;

pub use environment::{Download, downloads, save, served, testcase, unsupported};
pub use tls::{client_tls, initial_suite, server_tls};

/// s2n-quic gives a handshake up after 10 s unless told otherwise: no time for the runner's cases with
/// loss, in which it tries again and again with doubled pauses.
pub const S2N_HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// The error of every program here: they end with a message and a nonzero status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
