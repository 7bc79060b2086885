//! [`PacketSpace`]: what a connection keeps for each packet number space besides what it has sent
//! (RFC 9000 §12.3). This file must not know keys.

use super::crypto_stream::CryptoStream;
use crate::recovery::AckTracker;

#[derive(Debug)]
pub(super) struct PacketSpace {
    pub(super) acks: AckTracker,
    pub(super) crypto: CryptoStream,
}
