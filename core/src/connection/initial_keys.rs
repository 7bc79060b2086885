//! [`InitialKeys`]: the keys of Initial packets, one pair for each version that the handshake may
//! still see (RFC 9001 §5.2, RFC 9369 §4.1). This file must not know which version wins.

use rustls::crypto::CryptoProvider;
use rustls::quic::Keys;
use smallvec::SmallVec;

use crate::crypto::{TlsSetupError, initial_keys};
use crate::types::{ConnectionId, Role};
use crate::wire::Version;

/// Initial keys for one destination of the client's.
pub(super) struct InitialKeys {
    role: Role,
    destination: ConnectionId,
    /// The version to send.
    current: Version,
    /// At most one for each of [`Version::SUPPORTED`].
    keys: SmallVec<[(Version, Keys); 1]>,
}

impl InitialKeys {
    pub(super) fn new(
        role: Role,
        version: Version,
        destination: &ConnectionId,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsSetupError> {
        let mut new =
            Self { role, destination: *destination, current: version, keys: SmallVec::new() };
        new.add(version, provider)?;
        Ok(new)
    }

    /// Makes the keys of another version as well, once.
    pub(super) fn add(
        &mut self,
        version: Version,
        provider: &CryptoProvider,
    ) -> Result<(), TlsSetupError> {
        if self.of(version).is_none() {
            let keys = initial_keys(version, &self.destination, self.role, provider)?;
            self.keys.push((version, keys));
        }
        Ok(())
    }

    /// From now on this version is sent; the others can still be received.
    pub(super) fn send_version(&mut self, version: Version) {
        self.current = version;
    }

    /// The keys to send with.
    pub(super) fn current(&self) -> Option<&Keys> {
        self.of(self.current)
    }

    /// The keys to receive this version with.
    pub(super) fn of(&self, version: Version) -> Option<&Keys> {
        self.keys.iter().find(|(known, _)| *known == version).map(|(_, keys)| keys)
    }
}
