//! [`ResetKey`]: makes the stateless reset token of a connection ID (RFC 9000 §10.3.2), so that a
//! server that lost all state but this key can still say so.

use ring::hmac;

use super::ServerSecret;
use crate::helper::RandomGenerator;
use crate::types::{ConnectionId, ResetToken};

/// A static key for reset tokens.
#[derive(Debug)]
pub struct ResetKey(hmac::Key);

impl ResetKey {
    /// A key of these secret bytes; servers that share a set of connection IDs share it.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A random key.
    pub fn generate(random: &mut dyn RandomGenerator) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        Self::new(&secret)
    }

    /// The key that follows from a server's secret.
    pub fn from_secret(secret: &ServerSecret) -> Self {
        Self::new(&secret.key("stateless reset", 0))
    }

    /// The token of this connection ID.
    pub fn token_for(&self, id: &ConnectionId) -> ResetToken {
        let tag = hmac::sign(&self.0, id.as_bytes());
        let mut token = [0; ResetToken::LEN];
        token.copy_from_slice(&tag.as_ref()[..ResetToken::LEN]);
        ResetToken(token)
    }
}
