//! protoquic: a QUIC and HTTP/3 endpoint put together from replaceable objects.
//!
//! This crate only re-exports what an application needs; the rooms are `core`, `dispatcher`,
//! `readers` and `writers`; `blocking` is for programs made of threads, `polled` for programs with a
//! loop and sockets of their own. `asynchronous`, with any of the features `tokio`, `smol` and `h3`, is
//! for programs made of tasks.

#[cfg(any(feature = "tokio", feature = "smol", feature = "h3"))]
pub use protoquic_asynchronous as asynchronous;
pub use protoquic_blocking as blocking;
pub use protoquic_core::*;
pub use protoquic_dispatcher as dispatcher;
pub use protoquic_polled as polled;
pub use protoquic_readers as readers;
pub use protoquic_writers as writers;
