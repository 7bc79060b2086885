//! What makes early data safe to accept: [`AntiReplay`], which a server asks whether it has seen a
//! ClientHello before (RFC 8446 §8, RFC 9001 §9.2), with a bounded implementation in memory, and
//! TLS settings for it. This file must not know packets.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;

use super::session_store::{MemorySessionStore, SessionStore, StoredSessions};
use crate::time::Time;

/// Decides whether early data may be processed. Shared by all connections that could see a replay;
/// a server of many processes shares one between them, or takes no early data.
///
/// It is asked after TLS has checked that the ClientHello was made by who holds the ticket, so
/// nobody else can fill it up.
pub trait AntiReplay: fmt::Debug + Send + Sync {
    /// Whether a ClientHello with this random value is here for the first time. If not, or if that
    /// cannot be told, its early data is dropped; a client that is no replay sends it again after
    /// the handshake.
    fn admit(&self, now: Time, client_random: &[u8; 32]) -> bool;
}

/// Remembers every ClientHello whose early data was taken (RFC 8446 §8.2), for twice as long as
/// TLS takes a ticket's age for fresh. When it is full, early data is refused.
pub struct StrikeRegister {
    window: Duration,
    max: usize,
    seen: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    current: HashSet<[u8; 32]>,
    previous: HashSet<[u8; 32]>,
    since: Option<Time>,
}

impl fmt::Debug for StrikeRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrikeRegister").field("max", &self.max).finish_non_exhaustive()
    }
}

impl StrikeRegister {
    /// One that remembers for `window` at least, and takes `max` entries in it at most.
    pub fn new(window: Duration, max: usize) -> Self {
        Self { window, max, seen: Mutex::default() }
    }
}

impl Default for StrikeRegister {
    fn default() -> Self {
        Self::new(FRESHNESS * 2, MAX_STRIKES)
    }
}

impl AntiReplay for StrikeRegister {
    fn admit(&self, now: Time, client_random: &[u8; 32]) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *seen.since.get_or_insert(now);
        if now - since >= self.window {
            seen.previous = std::mem::take(&mut seen.current);
            if now - since >= 2 * self.window {
                seen.previous.clear();
            }
            seen.since = Some(now);
        }
        let known = seen.current.contains(client_random) || seen.previous.contains(client_random);
        let full = seen.current.len() >= self.max;
        !known && !full && seen.current.insert(*client_random)
    }
}

/// Has a server give out tickets that allow early data. It also needs
/// [`Config::early_data`](crate::Config::early_data), which by default refuses it.
///
/// rustls takes early data only with sessions that are kept here and taken out at their first use,
/// so this replaces a ticketer. Sessions are kept in memory, `tickets` of them at most, and do not
/// outlive the process; [`offer_early_data_from`] keeps them where you say.
pub fn offer_early_data(config: &mut ServerConfig, tickets: usize) {
    offer_early_data_from(config, Arc::new(MemorySessionStore::new(tickets)), &[]);
}

/// As [`offer_early_data`], with sessions in this store, which may outlive the process or be shared
/// by several servers.
///
/// `terms` are whatever early data relies on, in any form: a session is only found by a server of
/// the same terms as the one that kept it. A server that has lowered a limit must not take early
/// data that was sent by the old one (RFC 9000 §7.4.1, RFC 9114 §7.2.4.2), and does not know it
/// after a restart. [`Config::early_terms`](crate::Config::early_terms) are those of the transport;
/// add those of the application.
///
/// ```
/// use std::sync::Arc;
///
/// use protoquic_core::Config;
/// use protoquic_core::crypto::{MemorySessionStore, SessionStore, offer_early_data_from};
/// use protoquic_core::http::Http3Config;
///
/// /// Lets clients resume at any server that is given this store.
/// fn share(
///     tls: &mut rustls::ServerConfig,
///     transport: &Config,
///     http: &Http3Config,
///     store: Arc<dyn SessionStore>,
/// ) {
///     let terms = format!("{} {http:?}", transport.early_terms());
///     offer_early_data_from(tls, store, terms.as_bytes());
/// }
/// ```
pub fn offer_early_data_from(
    config: &mut ServerConfig,
    store: Arc<dyn SessionStore>,
    terms: &[u8],
) {
    // RFC 9001 §4.6.1: no other value than this or none.
    config.max_early_data_size = u32::MAX;
    config.session_storage = Arc::new(StoredSessions::new(store, terms));
    config.ticketer = Arc::new(NoTicketer);
}

/// Leaves tickets to the session storage.
#[derive(Debug)]
struct NoTicketer;

impl rustls::server::ProducesTickets for NoTicketer {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// By how much a ticket's age, as the client tells it, may differ from what the server knows
/// before rustls refuses early data.
const FRESHNESS: Duration = Duration::from_mins(1);
/// How many ClientHellos a register remembers in its window: 64 MiB of memory at most.
const MAX_STRIKES: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: u32) -> [u8; 32] {
        let mut random = [7; 32];
        random[..4].copy_from_slice(&n.to_be_bytes());
        random
    }

    #[test]
    fn a_client_hello_is_admitted_once() {
        // RFC 8446 §8.2
        let register = StrikeRegister::default();
        assert!(register.admit(Time::ZERO, &random(1)));
        for minute in 0..2 {
            assert!(!register.admit(Time::from_millis(minute * 60_000), &random(1)));
        }
        assert!(register.admit(Time::ZERO, &random(2)));
    }

    #[test]
    fn it_remembers_through_a_whole_window_and_then_forgets() {
        let register = StrikeRegister::new(Duration::from_secs(10), 100);
        register.admit(Time::ZERO, &random(0));
        assert!(register.admit(Time::from_millis(9_000), &random(1)));
        assert!(!register.admit(Time::from_millis(18_999), &random(1)));
        assert!(register.admit(Time::from_millis(60_000), &random(1)));
    }

    #[test]
    fn when_it_is_full_early_data_is_refused() {
        let register = StrikeRegister::new(Duration::from_secs(10), 100);
        let admitted = (0..1000).filter(|n| register.admit(Time::ZERO, &random(*n))).count();
        assert_eq!(admitted, 100);
        assert!(register.admit(Time::from_millis(10_000), &random(2000)));
    }
}
