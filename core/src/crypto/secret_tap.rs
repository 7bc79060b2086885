//! [`SecretTap`]: learns TLS' traffic secrets by way of rustls' key log, and passes them on to the
//! log that was set before. For keys of a QUIC version that rustls was not told when the handshake
//! began (RFC 9368), and for keys that are made again. This file must not know keys.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::KeyLog;

/// The secrets of one level: the client's and the server's.
pub(super) type SecretPair = (Vec<u8>, Vec<u8>);

/// A key log between TLS and the user's.
pub(super) struct SecretTap {
    inner: Arc<dyn KeyLog>,
    labels: &'static [&'static str],
    secrets: Mutex<[Option<Vec<u8>>; 4]>,
}

impl std::fmt::Debug for SecretTap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretTap").finish_non_exhaustive()
    }
}

impl SecretTap {
    /// Before this log. The handshake's secrets cost time to make: they are taken if wanted.
    pub(super) fn new(inner: Arc<dyn KeyLog>, wants_handshake: bool) -> Self {
        let labels = if wants_handshake { &LABELS } else { &LABELS[..2] };
        Self { inner, labels, secrets: Mutex::new([const { None }; 4]) }
    }

    /// The secrets of Handshake packets, once; `None` before they are there.
    pub(super) fn take_handshake(&self) -> Option<SecretPair> {
        self.take(2)
    }

    /// The first secrets of 1-RTT packets, once; `None` before they are there.
    pub(super) fn take_one_rtt(&self) -> Option<SecretPair> {
        self.take(0)
    }

    fn take(&self, at: usize) -> Option<SecretPair> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        Some((secrets[at].take()?, secrets[at + 1].take()?))
    }
}

impl KeyLog for SecretTap {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let Some(at) = self.labels.iter().position(|known| *known == label) {
            let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            secrets[at] = Some(secret.to_vec());
        }
        if self.inner.will_log(label) {
            self.inner.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.labels.contains(&label) || self.inner.will_log(label)
    }
}

/// The names of the NSS key log format.
const LABELS: [&str; 4] = [
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
];
