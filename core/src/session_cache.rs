//! [`SessionCache`]: what a client remembers of servers between connections: TLS tickets with the
//! transport parameters that belong to them (rustls keeps both in one value), address validation
//! tokens, and what the application needs for early data. [`MemorySessionCache`] keeps it in
//! memory, within bounds. This file must not know connections.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustls::NamedGroup;
use rustls::client::Tls13ClientSessionValue;

/// What a client remembers of servers, by their names; shared by all its connections
/// ([`Config::session_cache`](crate::Config::session_cache)).
///
/// rustls lets nobody take a ticket's secret out of its value or put it back, so tickets live as
/// long as the process; tokens and application states may be kept for longer.
pub trait SessionCache: fmt::Debug + Send + Sync {
    /// Keeps a TLS ticket. Only a bounded number of them is worth keeping.
    fn put_ticket(&self, server: &str, ticket: Tls13ClientSessionValue);

    /// Takes the newest ticket out. No ticket is ever given out twice (RFC 8446 §C.4).
    fn take_ticket(&self, server: &str) -> Option<Tls13ClientSessionValue>;

    /// Keeps a token of a NEW_TOKEN frame (RFC 9000 §8.1.3).
    fn put_token(&self, server: &str, token: Bytes);

    /// Takes a token out. No token is ever given out twice: it would link connections
    /// (RFC 9000 §8.1.3).
    fn take_token(&self, server: &str) -> Option<Bytes>;

    /// What the server has told the application on a connection with this protocol, such as HTTP/3
    /// settings. Tickets from when it said otherwise are to be forgotten, for early data may
    /// not be sent by rules that the ticket did not come with (RFC 9114 §7.2.4.2).
    fn set_application_state(&self, server: &str, alpn: &[u8], state: Bytes);

    /// What was last set for this protocol.
    fn application_state(&self, server: &str, alpn: &[u8]) -> Option<Bytes>;

    /// Which group of key exchange the server has chosen, to guess right the next time.
    fn set_group_hint(&self, server: &str, group: NamedGroup) {
        let _ = (server, group);
    }

    /// What was last set.
    fn group_hint(&self, server: &str) -> Option<NamedGroup> {
        let _ = server;
        None
    }
}

/// A cache in memory, for [`MAX_SERVERS`] servers with [`MAX_TICKETS`] tickets and [`MAX_TOKENS`]
/// tokens each; the least recently connected are forgotten first.
#[derive(Default)]
pub struct MemorySessionCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    servers: HashMap<String, Server>,
    /// Names, the least recently written to first.
    order: VecDeque<String>,
}

#[derive(Default)]
struct Server {
    tickets: VecDeque<Tls13ClientSessionValue>,
    tokens: VecDeque<Bytes>,
    application: Option<(Vec<u8>, Bytes)>,
    group: Option<NamedGroup>,
}

impl fmt::Debug for MemorySessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessionCache").finish_non_exhaustive()
    }
}

impl MemorySessionCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many servers are remembered.
    pub fn len(&self) -> usize {
        self.lock().servers.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens and application state of every server, for who keeps them over a restart.
    pub fn export(&self) -> Vec<RememberedServer> {
        let inner = self.lock();
        let remembered = |name: &String| {
            let server = inner.servers.get(name)?;
            let tokens = server.tokens.iter().cloned().collect();
            let application = server.application.clone();
            Some(RememberedServer { name: name.clone(), tokens, application })
        };
        inner.order.iter().filter_map(remembered).collect()
    }

    /// Adds what [`export`](Self::export) gave.
    pub fn import(&self, servers: impl IntoIterator<Item = RememberedServer>) {
        for RememberedServer { name, tokens, application } in servers {
            for token in tokens {
                self.put_token(&name, token);
            }
            if let Some((alpn, state)) = application {
                self.set_application_state(&name, &alpn, state);
            }
        }
    }

    /// A holder of the lock that panicked has left nothing half done: no step here can.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What outlives a process of a server's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedServer {
    /// The server's name.
    pub name: String,
    /// Unused tokens, oldest first.
    pub tokens: Vec<Bytes>,
    /// A protocol and its application state.
    pub application: Option<(Vec<u8>, Bytes)>,
}

impl Inner {
    /// The record to write to, made if there is none.
    fn record(&mut self, name: &str) -> &mut Server {
        if let Some(at) = self.order.iter().position(|known| known == name) {
            self.order.remove(at);
        } else if self.order.len() >= MAX_SERVERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.servers.remove(&oldest);
        }
        self.order.push_back(name.to_owned());
        self.servers.entry(name.to_owned()).or_default()
    }
}

impl SessionCache for MemorySessionCache {
    fn put_ticket(&self, server: &str, ticket: Tls13ClientSessionValue) {
        push(&mut self.lock().record(server).tickets, ticket, MAX_TICKETS);
    }

    fn take_ticket(&self, server: &str) -> Option<Tls13ClientSessionValue> {
        self.lock().servers.get_mut(server)?.tickets.pop_back()
    }

    fn put_token(&self, server: &str, token: Bytes) {
        push(&mut self.lock().record(server).tokens, token, MAX_TOKENS);
    }

    fn take_token(&self, server: &str) -> Option<Bytes> {
        self.lock().servers.get_mut(server)?.tokens.pop_back()
    }

    fn set_application_state(&self, server: &str, alpn: &[u8], state: Bytes) {
        let mut inner = self.lock();
        let record = inner.record(server);
        let state = Some((alpn.to_vec(), state));
        if record.application.is_some() && record.application != state {
            record.tickets.clear();
        }
        record.application = state;
    }

    fn application_state(&self, server: &str, alpn: &[u8]) -> Option<Bytes> {
        let inner = self.lock();
        let (known, state) = inner.servers.get(server)?.application.as_ref()?;
        (known == alpn).then(|| state.clone())
    }

    fn set_group_hint(&self, server: &str, group: NamedGroup) {
        self.lock().record(server).group = Some(group);
    }

    fn group_hint(&self, server: &str) -> Option<NamedGroup> {
        self.lock().servers.get(server)?.group
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// How many servers a [`MemorySessionCache`] remembers.
pub const MAX_SERVERS: usize = 256;
/// How many tickets of each.
pub const MAX_TICKETS: usize = 4;
/// How many tokens of each.
pub const MAX_TOKENS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_out_once_and_the_newest_first() {
        // RFC 9000 §8.1.3
        let cache = MemorySessionCache::new();
        cache.put_token("a", Bytes::from_static(b"1"));
        cache.put_token("a", Bytes::from_static(b"2"));
        assert_eq!(cache.take_token("b"), None);
        assert_eq!(cache.take_token("a").as_deref(), Some(&b"2"[..]));
        assert_eq!(cache.take_token("a").as_deref(), Some(&b"1"[..]));
        assert_eq!(cache.take_token("a"), None);
    }

    #[test]
    fn it_is_bounded_in_servers_and_tokens() {
        let cache = MemorySessionCache::new();
        for n in 0..2 * MAX_SERVERS {
            for _ in 0..2 * MAX_TOKENS {
                cache.put_token(&format!("server{n}"), Bytes::from_static(b"token"));
            }
        }
        assert_eq!(cache.len(), MAX_SERVERS);
        assert_eq!(cache.take_token("server0"), None, "the oldest are forgotten");
        let newest = format!("server{}", 2 * MAX_SERVERS - 1);
        assert_eq!(std::iter::from_fn(|| cache.take_token(&newest)).count(), MAX_TOKENS);
    }

    #[test]
    fn what_is_exported_can_be_imported() {
        let cache = MemorySessionCache::new();
        cache.put_token("a", Bytes::from_static(b"1"));
        cache.set_application_state("a", b"h3", Bytes::from_static(b"settings"));
        let again = MemorySessionCache::new();
        again.import(cache.export());
        assert_eq!(again.application_state("a", b"h3").as_deref(), Some(&b"settings"[..]));
        assert_eq!(again.application_state("a", b"hq"), None, "of another protocol");
        assert_eq!(again.export(), cache.export());
    }
}
