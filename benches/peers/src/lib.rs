//! What the quinn programs share: TLS and transport settings.
//!
//! Nothing here knows protoquic: these programs are the other side of its tests.

mod flow;
mod tls;

pub use flow::transport;
pub use protoquic_perf_kit::{Error, Identity, Result, Trust};
pub use tls::{client_config, server_config};
