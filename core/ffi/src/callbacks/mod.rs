//! The callback layer: listeners, connections and streams on I/O threads of their own, which call the
//! application back. Handles are numbers, so one that is over is known to be. Calls only leave orders:
//! a callback may make any of them, and none is ever called within another. This room must not know
//! the polled level.

mod api;
mod events;
mod port;
mod queue;
mod server;
mod session;
mod stream;
mod table;

pub use api::*;
pub use events::*;
