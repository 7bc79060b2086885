//! The cryptography of QUIC (RFC 9001): the TLS handshake driver, packet protection, tokens and
//! reset tokens. Knows rustls and ring; must not know connections, streams or routing.

mod client_hello;
mod config;
mod derived_keys;
mod early_data;
mod hkdf;
mod key_phases;
mod no_records;
mod packet_protection;
mod pem;
mod reset_token;
mod retry;
mod secret;
mod secret_tap;
mod session_store;
mod tickets;
mod tls;
mod token;

#[cfg(test)]
mod tests;

pub use client_hello::{ClientHello, parse_client_hello};
pub use config::{ClientTls, Identity, ServerTls, ServerTrust, ring_provider};
pub use early_data::{AntiReplay, StrikeRegister, offer_early_data, offer_early_data_from};
pub use key_phases::{KeyPhases, KeyTime, OpenError};
pub use packet_protection::{TAG_LEN, open_payload, seal_packet, unprotect_header};
pub use pem::{PemError, certificates_from_pem};
pub use reset_token::ResetKey;
pub use retry::{retry_integrity_tag, retry_tag_is_valid};
pub use secret::{ServerSecret, tickets_from_secret};
pub use session_store::{MemorySessionStore, NAME_LEN, SessionStore};
pub use tickets::CachedTickets;
pub use tls::{NewKeys, Tls, TlsSetupError, UpdateSecrets, initial_keys};
pub use token::{TokenLifetimes, TokenSealer, TokenVerdict};
