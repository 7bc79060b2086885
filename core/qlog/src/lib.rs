//! qlog for protoquic: an [`Observer`](protoquic_core::Observer) that writes what a connection does
//! as a file that qvis and other tools open (draft-ietf-quic-qlog-main-schema, JSON-SEQ).
//!
//! What is written is the newest draft's, in the types of the `qlog` crate; qvis opens version 0.3
//! only, which `for_qvis` asks for.
//!
//! [`QlogDirectory`] gives every connection a file in a folder, [`QlogObserver`] writes one
//! connection to any writer. This room knows qlog's model and the values that observers are given;
//! it must not know how connections work, nor sockets.

mod directory;
mod frames;
mod observer;
mod older;
mod packets;
mod parameters;
mod sequence;
mod state;

pub use directory::QlogDirectory;
pub use observer::QlogObserver;
