//! What the quinn programs share: errors, certificates and transport settings.
//!
//! Nothing here knows protoquic: these programs are the other side of its tests.

mod flow;
mod tls;

pub use flow::transport;
pub use tls::{Identity, Trust, client_config, server_config};

/// The error of every program here: they end with a message and a nonzero status.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
