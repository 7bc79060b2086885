//! [`Application`]: what runs on a connection that is polled. This file must not know which there
//! are.

use protoquic_core::{Connection, Host, Time};

use crate::Config;

/// What runs on a polled connection: [`Streams`](crate::Streams) or [`Http3`](crate::Http3), each a
/// [`Host`] of the same machine that sessions run on.
pub trait Application: Host + Sized + 'static {
    /// A client's. The connection has not sent anything yet.
    fn client(connection: Connection, config: &Config) -> Self;

    /// A server's, before its client's first packet is processed.
    fn server(connection: Connection, config: &Config) -> Self;

    /// Lends the connection. What was written to it goes out at the end of the next turn.
    fn with_connection<R>(&mut self, now: Time, f: impl FnOnce(&mut Connection) -> R) -> R;
}
