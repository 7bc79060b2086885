//! [`KeyPhases`]: the keys of 1-RTT packets through key updates (RFC 9001 §6). Three generations at
//! most: the previous one for packets under way, the current, and the next, made beforehand so that
//! an update takes no longer than any packet (§9.5). Counts what each key has done against the
//! AEAD's limits (§6.6).

use rustls::quic::{HeaderProtectionKey, Keys, PacketKey, PacketKeySet};

use super::packet_protection::{open_payload, seal_packet_with};
use super::tls::UpdateSecrets;
use crate::error::TransportError;

/// What opening a packet came to.
#[derive(Debug)]
pub enum OpenError {
    /// It is not authentic: drop it.
    Drop,
    /// The connection cannot go on.
    Fatal(TransportError),
}

/// The keys of the 1-RTT level.
pub struct KeyPhases {
    local_header: Box<dyn HeaderProtectionKey>,
    remote_header: Box<dyn HeaderProtectionKey>,
    previous: Option<Box<dyn PacketKey>>,
    current: PacketKeySet,
    next: PacketKeySet,
    secrets: UpdateSecrets,
    phase: bool,
    /// The first packet number that we sent, and the lowest that we received, in this phase.
    first_sent: Option<u64>,
    first_received: Option<u64>,
    /// A packet of ours in this phase was acknowledged: the next update may be begun (§6.1).
    acknowledged: bool,
    sealed: u64,
    failed_opens: u64,
}

impl std::fmt::Debug for KeyPhases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPhases").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl KeyPhases {
    /// Starts with the keys of the handshake.
    pub fn new(keys: Keys, mut secrets: UpdateSecrets) -> Self {
        let next = secrets.next_packet_keys();
        Self {
            local_header: keys.local.header,
            remote_header: keys.remote.header,
            previous: None,
            current: PacketKeySet { local: keys.local.packet, remote: keys.remote.packet },
            next,
            secrets,
            phase: false,
            first_sent: None,
            first_received: None,
            acknowledged: false,
            sealed: 0,
            failed_opens: 0,
        }
    }

    /// The key phase bit to send.
    pub fn phase(&self) -> bool {
        self.phase
    }

    /// The key that header protection is removed with.
    pub fn remote_header(&self) -> &dyn HeaderProtectionKey {
        &*self.remote_header
    }

    /// Encrypts and protects a packet in place.
    pub fn seal(
        &mut self,
        packet: &mut [u8],
        number_offset: usize,
        number_len: usize,
        number: u64,
    ) {
        self.first_sent.get_or_insert(number);
        self.sealed += 1;
        let (key, header) = (&*self.current.local, &*self.local_header);
        seal_packet_with(key, header, packet, number_offset, number_len, number);
    }

    /// Decrypts a packet in place, following the peer's key updates. The plaintext's length.
    pub fn open(
        &mut self,
        packet: &mut [u8],
        payload_offset: usize,
        number: u64,
        phase: bool,
    ) -> Result<usize, OpenError> {
        let current = phase == self.phase;
        // §6.5: of the other phase, numbers before the current phase's first belong to the
        // previous keys, the rest to the next.
        let old = !current
            && self.previous.is_some()
            && self.first_received.is_none_or(|first| number < first);
        let key = match (&self.previous, current, old) {
            (_, true, _) => &self.current.remote,
            (Some(previous), false, true) => previous,
            _ => &self.next.remote,
        };
        let limit = key.integrity_limit();
        let Some(len) = open_payload(&**key, packet, payload_offset, number) else {
            self.failed_opens += 1;
            // §6.6
            return Err(if self.failed_opens > limit {
                OpenError::Fatal(TransportError::aead_limit_reached(format!(
                    "{} packets could not be authenticated",
                    self.failed_opens
                )))
            } else {
                OpenError::Drop
            });
        };
        if current {
            self.first_received = Some(self.first_received.map_or(number, |f| f.min(number)));
        } else if !old {
            self.follow_update(number)?;
        }
        Ok(len)
    }

    /// The peer has updated its keys, and so do we (§6.2).
    fn follow_update(&mut self, number: u64) -> Result<(), OpenError> {
        // §6.2: a second update before the first was acknowledged.
        if self.first_sent.is_none() && self.sealed == 0 && self.previous.is_some() {
            return Err(OpenError::Fatal(TransportError::key_update(format!(
                "packet {number} updates keys that nothing was sent with yet"
            ))));
        }
        self.rotate();
        self.first_received = Some(number);
        Ok(())
    }

    fn rotate(&mut self) {
        let next = std::mem::replace(&mut self.next, self.secrets.next_packet_keys());
        let old = std::mem::replace(&mut self.current, next);
        self.previous = Some(old.remote);
        self.phase = !self.phase;
        self.first_sent = None;
        self.first_received = None;
        self.acknowledged = false;
        self.sealed = 0;
    }

    /// Our packet of this number was acknowledged.
    pub fn on_acked(&mut self, number: u64) {
        self.acknowledged |= self.first_sent.is_some_and(|first| number >= first);
    }

    /// Begins a key update, if one may be begun (§6.1): the handshake is confirmed, and the peer
    /// has acknowledged a packet of this phase. Returns whether it was.
    pub fn initiate_update(&mut self) -> bool {
        let allowed = self.acknowledged;
        if allowed {
            self.rotate();
        }
        allowed
    }

    /// Whether the current key has been used so often that an update is due (§6.6).
    pub fn wants_update(&self) -> bool {
        self.sealed >= self.current.local.confidentiality_limit() / 2
    }

    /// Whether the current key must not be used any more (§6.6).
    pub fn is_exhausted(&self) -> bool {
        self.sealed >= self.current.local.confidentiality_limit()
    }
}
