//! What the Rust peers share: the runner's environment, TLS settings, and who is believed.

mod environment;
mod tls;

pub use environment::{Download, downloads, save, served, testcase, unsupported};
pub use tls::{client_tls, initial_suite, server_tls};

/// The error of every program here: they end with a message and a nonzero status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
