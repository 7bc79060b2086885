//! [`ServerSecret`]: one secret from which a server's keys follow, so that reset tokens, address
//! validation tokens and TLS tickets still hold after a restart, and on other servers that know it.
//! This file must not know what the keys are for.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use rustls::ServerConfig;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use crate::helper::{RandomGenerator, SystemRandom};

/// Thirty-two secret bytes. Who knows them can forge tokens and read resumed sessions that were
/// recorded: keep them like a private key, and change them now and then.
///
/// To change the secret of several servers, first have all of them
/// [accept](ServerSecret::accepting) the new one, then have all of them use it and accept the old
/// one, for as long as tokens hold; then forget the old one.
#[derive(Clone)]
pub struct ServerSecret {
    used: [u8; 32],
    accepted: Option<[u8; 32]>,
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret(..)")
    }
}

impl ServerSecret {
    /// A secret of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { used: bytes, accepted: None }
    }

    /// Has tokens and tickets that follow from `other` hold too. Stateless resets always follow
    /// from the secret in use: connections of before a change time out instead of being reset.
    #[must_use]
    pub fn accepting(self, other: [u8; 32]) -> Self {
        Self { accepted: Some(other), ..self }
    }

    /// The secrets to open with, each alone, the one in use first.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        [Some(self.used), self.accepted].into_iter().flatten().map(Self::new)
    }

    /// A key for one use, named by `label`, in one period of time.
    pub(super) fn key(&self, label: &str, period: u64) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.used);
        let mut context = hmac::Context::with_key(&key);
        context.update(label.as_bytes());
        context.update(&[0]);
        context.update(&period.to_be_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// Has a server seal TLS tickets with keys that follow from the secret and the day, so that clients
/// resume their sessions after a restart. Such tickets carry no early data: that they are
/// used once only, nobody could tell ([`offer_early_data`](super::offer_early_data)).
pub fn tickets_from_secret(config: &mut ServerConfig, secret: &ServerSecret) {
    let time = config.time_provider.clone();
    config.ticketer = Arc::new(SecretTicketer { secret: secret.clone(), time });
}

struct SecretTicketer {
    secret: ServerSecret,
    time: Arc<dyn TimeProvider>,
}

impl fmt::Debug for SecretTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretTicketer(..)")
    }
}

impl SecretTicketer {
    fn today(&self) -> Option<u64> {
        Some(self.time.current_time()?.as_secs() / u64::from(TICKET_LIFETIME))
    }
}

impl ProducesTickets for SecretTicketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom.fill(&mut nonce);
        let mut ticket = [&nonce[..], plain].concat();
        let key = ticket_key(&self.secret, self.today()?);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = &mut ticket[NONCE_LEN..];
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), body).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let today = self.today()?;
        let open = |secret: &ServerSecret, day| {
            let mut plain = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let key = ticket_key(secret, day);
            let len = key.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
            plain.truncate(len);
            Some(plain)
        };
        // Today's key or yesterday's: a ticket lives for a day.
        let days = [today, today.saturating_sub(1)];
        self.secret.each().find_map(|secret| days.into_iter().find_map(|day| open(&secret, day)))
    }
}

fn ticket_key(secret: &ServerSecret, day: u64) -> LessSafeKey {
    aead_key(&secret.key("TLS ticket", day))
}

pub(super) fn aead_key(bytes: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key has AES-256's length");
    LessSafeKey::new(key)
}

/// How long a ticket holds, in seconds, and how often the key changes.
const TICKET_LIFETIME: u32 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustls::pki_types::UnixTime;

    use super::*;

    #[derive(Debug)]
    struct Day(AtomicU64);

    impl TimeProvider for Day {
        fn current_time(&self) -> Option<UnixTime> {
            let seconds = self.0.load(Ordering::Relaxed) * u64::from(TICKET_LIFETIME) + 5;
            Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
        }
    }

    fn ticketer(time: &Arc<Day>, secret: u8) -> SecretTicketer {
        SecretTicketer { secret: ServerSecret::new([secret; 32]), time: time.clone() }
    }

    #[test]
    fn tickets_outlive_the_server_but_not_two_days() {
        let time = Arc::new(Day(AtomicU64::new(20_000)));
        let ticket = ticketer(&time, 1).encrypt(b"session").unwrap();
        assert_eq!(ticketer(&time, 1).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(ticketer(&time, 2).decrypt(&ticket), None, "another secret");
        time.0.store(20_001, Ordering::Relaxed);
        assert!(ticketer(&time, 1).decrypt(&ticket).is_some());
        time.0.store(20_002, Ordering::Relaxed);
        assert_eq!(ticketer(&time, 1).decrypt(&ticket), None);
    }

    #[test]
    fn tickets_outlive_a_change_of_the_secret() {
        let time = Arc::new(Day(AtomicU64::new(20_000)));
        let ticket = ticketer(&time, 1).encrypt(b"session").unwrap();
        let secret = ServerSecret::new([2; 32]).accepting([1; 32]);
        let changed = SecretTicketer { secret, time: time.clone() };
        assert!(changed.decrypt(&ticket).is_some());
        let newer = changed.encrypt(b"session").unwrap();
        assert_eq!(ticketer(&time, 1).decrypt(&newer), None);
        assert!(ticketer(&time, 2).decrypt(&newer).is_some());
    }

    #[test]
    fn garbled_tickets_do_not_open() {
        let time = Arc::new(Day(AtomicU64::new(20_000)));
        let ticketer = ticketer(&time, 1);
        let ticket = ticketer.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut garbled = ticket.clone();
            garbled[at] ^= 1;
            assert_eq!(ticketer.decrypt(&garbled), None);
            assert_eq!(ticketer.decrypt(&ticket[..at]), None);
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_its_keys_differ() {
        let secret = ServerSecret::new([42; 32]);
        assert!(!format!("{secret:?}").contains("42"));
        assert_ne!(secret.key("a", 1), secret.key("a", 2));
        assert_ne!(secret.key("a", 1), secret.key("b", 1));
    }
}
