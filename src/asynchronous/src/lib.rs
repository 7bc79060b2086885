//! Futures over QUIC: [`Endpoint`], [`Connection`], [`SendStream`], [`RecvStream`].
//!
//! The protocol runs on I/O threads of its own, as under the blocking API, so these futures need no
//! runtime to drive it: any executor can poll them. The features `tokio` and `smol` add the I/O traits
//! of either world to the streams, `h3` the `quic` traits of the `h3` crate to connections.
//!
//! **Every future can be dropped at any await**, by `select!` or a timeout, say: nothing that has come
//! is lost, nothing is done half, nothing stays behind. The few methods that take many steps say what
//! a drop leaves. So there are no timeouts here: use the runtime's.
//!
//! Dropping a [`SendStream`] finishes it and dropping a [`RecvStream`] stops it, as in quinn. Dropping
//! the last of a connection's objects ends it once what was written is delivered.
//!
//! ```no_run
//! use protoquic_asynchronous::{Endpoint, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::client(&Settings::new().trust_any_certificate())?;
//! let connection = endpoint.connect("127.0.0.1:1234".parse()?, "localhost")?.await?;
//! let (mut send, mut recv) = connection.open_bi().await?;
//! send.write_all(b"hello").await?;
//! send.finish()?;
//! assert_eq!(recv.read_to_end(100).await?, "hello");
//! drop((connection, send, recv));
//! endpoint.wait_idle().await; // until the server has been told
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod connection;
mod endpoint;
#[cfg(feature = "h3")]
pub mod h3;
#[cfg(any(feature = "tokio", feature = "smol"))]
mod io_traits;
mod opening;
mod recv_stream;
mod send_stream;
mod wait;

pub use connection::Connection;
pub use endpoint::{Connecting, Endpoint};
pub use protoquic_core::streams::Priority;
pub use protoquic_core::{ApplicationError, CloseReason, ConnectionStats, StreamId};
pub use protoquic_io_thread::{DEFAULT_ALPN, EarlyOutcome, Error, Result, Settings};
pub use recv_stream::RecvStream;
pub use send_stream::SendStream;
