//! protoquic for C. A thin layer: every function checks its arguments, calls one of
//! `protoquic::polled`, and turns what that answers into codes. `include/protoquic.h` is made from
//! these files; `docs/c-api.md` is the guide. This crate must not know the protocol.
//!
//! The only crate of protoquic with `unsafe` of its own: C's pointers cannot be followed without.

#![allow(unsafe_code, reason = "C's pointers cannot be followed without")]
#![allow(clippy::cast_possible_wrap, reason = "lengths of slices and 62-bit numbers fit")]
#![allow(non_camel_case_types, reason = "the names are C's")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's preface says it once for all functions"
)]

mod address;
mod arguments;
mod callbacks;
mod config;
mod conn;
mod events;
mod handles;
mod headers;
mod http3;
mod listener;
mod paths;
mod state;
mod status;
mod streams;

pub use address::pq_path;
pub use callbacks::*;
pub use config::*;
pub use conn::*;
pub use events::*;
pub use handles::{pq_config, pq_conn, pq_listener};
pub use headers::pq_header;
pub use http3::*;
pub use listener::*;
pub use paths::*;
pub use state::*;
pub use status::*;
pub use streams::*;
