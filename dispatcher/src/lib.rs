//! The server's side of a port: routes each datagram to the session that it belongs to, and decides
//! what becomes of those that belong to none.
//!
//! The [`Dispatcher`] makes sessions on demand by [`SessionFactory`], one or several on a port by
//! ALPN. It keeps no state for a client before it has reason to: see `first_packet.rs` for the order
//! of its decisions. A [`ClientPool`] does the routing, the easier part, for many clients on one
//! socket. Neither opens a socket or reads a clock: an event loop feeds them.

#![forbid(unsafe_code)]

mod address_validation;
mod arrivals;
mod buffered_packets;
mod client_pool;
mod config;
mod dispatcher;
mod early_packets;
mod first_packet;
mod quic_lb;
mod rate_limit;
mod session_table;
mod stateless;
mod time_wait;
mod turns;
mod workers;

pub use address_validation::AddressValidation;
pub use client_pool::{ClientPool, Ended};
pub use config::{DispatcherConfig, DispatcherSetup};
pub use dispatcher::{Dispatcher, DispatcherStats};
pub use protoquic_core::connection::{ConnectionIdGenerator, RandomConnectionIds};
pub use protoquic_core::session::SessionFactory;
pub use quic_lb::{QuicLbConfig, QuicLbConnectionIds, QuicLbError, ServerId};
pub use session_table::SessionKey;
pub use workers::{
    FirstPackets, MAX_WORKERS, STEERING_BYTE, WorkerConnectionIds, WorkerPlace, WorkersError,
};
