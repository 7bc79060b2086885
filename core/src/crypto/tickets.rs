//! [`CachedTickets`]: a [`SessionCache`] in the shape that rustls asks for. This file must not know
//! what a cache keeps besides.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::session_cache::SessionCache;

/// Lends a cache to rustls.
#[derive(Debug)]
pub struct CachedTickets(pub Arc<dyn SessionCache>);

impl ClientSessionStore for CachedTickets {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_group_hint(&server_name.to_str(), group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.group_hint(&server_name.to_str())
    }

    // QUIC has no TLS 1.2.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.put_ticket(&name.to_str(), ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_ticket(&name.to_str())
    }
}
