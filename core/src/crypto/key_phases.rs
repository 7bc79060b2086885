//! [`KeyPhases`]: the keys of 1-RTT packets through key updates (RFC 9001 §6). Three generations at
//! most: the previous one for packets under way, the current, and the next. The next are made for
//! the first packet that the current ones do not open, whichever phase it says it is: a packet that
//! somebody altered on its way takes as long with one phase bit as with the other (§6.3, §9.5). Most
//! connections never need them. Counts what each key has sealed against the
//! AEAD's limit (§6.6). This file must not know the handshake or when it is time for what.

use std::time::Duration;

use rustls::quic::{HeaderProtectionKey, Keys, PacketKey, PacketKeySet};

use super::packet_protection::{open_payload, seal_packet};
use super::tls::UpdateSecrets;
use crate::error::TransportError;
use crate::time::Time;

/// What opening a packet came to.
#[derive(Debug)]
pub enum OpenError {
    /// It is not authentic: drop it.
    Drop,
    /// The connection cannot go on.
    Fatal(TransportError),
}

/// When a packet came, and how long old keys are worth keeping after it.
#[derive(Clone, Copy, Debug)]
pub struct KeyTime {
    /// Now.
    pub now: Time,
    /// Three probe timeouts (RFC 9001 §6.5).
    pub retention: Duration,
}

/// The keys of the 1-RTT level.
pub struct KeyPhases {
    /// `None` while the connection is silent, if `secrets` can make them again.
    current: Option<Keys>,
    previous: Option<Box<dyn PacketKey>>,
    /// When the previous keys are forgotten; unknown until the peer has used the present ones.
    previous_expires: Option<Time>,
    /// `None` until a packet may be of that phase.
    next: Option<PacketKeySet>,
    secrets: UpdateSecrets,
    phase: bool,
    /// The first packet number that we sent, and the lowest that we received, in this phase.
    first_sent: Option<u64>,
    first_received: Option<u64>,
    /// A packet of ours in this phase was acknowledged: the next update may be begun (§6.1).
    acknowledged: bool,
    sealed: u64,
    /// How many packets one key may seal, and how many may fail to open in all (§6.6).
    confidentiality_limit: u64,
    integrity_limit: u64,
    /// How often keys were updated.
    updates: u64,
}

impl std::fmt::Debug for KeyPhases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPhases").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl KeyPhases {
    /// Starts with the keys of the handshake.
    pub fn new(keys: Keys, secrets: UpdateSecrets) -> Self {
        let confidentiality_limit = keys.local.packet.confidentiality_limit();
        let integrity_limit = keys.remote.packet.integrity_limit();
        Self {
            current: Some(keys),
            previous: None,
            previous_expires: None,
            next: None,
            secrets,
            phase: false,
            first_sent: None,
            first_received: None,
            acknowledged: false,
            sealed: 0,
            confidentiality_limit,
            integrity_limit,
            updates: 0,
        }
    }

    /// How many packets of a connection, over all its keys, may fail to open (§6.6).
    pub fn integrity_limit(&self) -> u64 {
        self.integrity_limit
    }

    /// How many key updates there were.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The key phase bit to send.
    pub fn phase(&self) -> bool {
        self.phase
    }

    /// The key that header protection is removed with.
    pub fn remote_header(&mut self) -> &dyn HeaderProtectionKey {
        &*self.current().remote.header
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
        seal_packet(&self.current().local, packet, number_offset, number_len, number);
    }

    /// Forgets the previous keys when their time is over (§6.5).
    pub fn expire(&mut self, now: Time) {
        if self.previous_expires.is_some_and(|end| end <= now) {
            self.previous = None;
            self.previous_expires = None;
        }
    }

    /// Decrypts a packet in place, following the peer's key updates. The plaintext's length.
    pub fn open(
        &mut self,
        time: KeyTime,
        packet: &mut [u8],
        payload_offset: usize,
        number: u64,
        phase: bool,
    ) -> Result<usize, OpenError> {
        if phase == self.phase {
            let key = &*self.current().remote.packet;
            let Some(len) = open_payload(key, packet, payload_offset, number) else {
                self.make_next(); // as long as if it had said to be of the next phase (§9.5)
                return Err(OpenError::Drop);
            };
            self.on_current_opened(time, number);
            return Ok(len);
        }
        // §6.5: of the other phase, numbers before the current phase's first belong to the
        // previous keys, the rest to the next.
        if let Some(previous) = &self.previous {
            if self.first_received.is_none_or(|first| number < first) {
                let opened = open_payload(&**previous, packet, payload_offset, number);
                return opened.ok_or(OpenError::Drop);
            }
            // §6.4: whether it was sealed with old keys can only be told from the sealed bytes.
            let sealed = packet.to_vec();
            return self.follow_update(time, packet, payload_offset, number, Some(sealed));
        }
        self.follow_update(time, packet, payload_offset, number, None)
    }

    /// Gives back the keys that can be made again: a connection that is silent has no use for them,
    /// and they are a large part of what it takes.
    pub fn release_memory(&mut self) {
        self.next = None;
        if self.secrets.can_make_present_keys() {
            self.current = None;
        }
    }

    /// The present keys, made again after a silence.
    fn current(&mut self) -> &mut Keys {
        self.current.get_or_insert_with(|| {
            // `release_memory` asked before it let go of them.
            self.secrets.present_keys().expect("these secrets make the present keys")
        })
    }

    /// Whether the next keys are made.
    #[cfg(test)]
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Makes the next keys unless they are there.
    fn make_next(&mut self) -> &PacketKeySet {
        self.next.get_or_insert_with(|| self.secrets.next_packet_keys())
    }

    fn on_current_opened(&mut self, time: KeyTime, number: u64) {
        if self.first_received.is_none() && self.previous.is_some() {
            self.previous_expires = Some(time.now + time.retention);
        }
        self.first_received = Some(self.first_received.map_or(number, |f| f.min(number)));
    }

    /// If the packet opens with the next keys, the peer has updated its own, and so do we (§6.2).
    fn follow_update(
        &mut self,
        time: KeyTime,
        packet: &mut [u8],
        payload_offset: usize,
        number: u64,
        sealed: Option<Vec<u8>>,
    ) -> Result<usize, OpenError> {
        let key = &*self.make_next().remote;
        let Some(len) = open_payload(key, packet, payload_offset, number) else {
            return Err(self.judge_unopened(payload_offset, number, sealed));
        };
        // §6.2: a second update before anything acknowledged the first.
        if self.updates > 0 && self.first_sent.is_none() {
            return Err(OpenError::Fatal(TransportError::key_update(format!(
                "packet {number} updates keys that nothing was sent with yet"
            ))));
        }
        self.rotate();
        self.on_current_opened(time, number);
        Ok(len)
    }

    /// §6.4: old keys on a packet whose number is above one with newer keys.
    fn judge_unopened(&self, offset: usize, number: u64, sealed: Option<Vec<u8>>) -> OpenError {
        let (Some(mut sealed), Some(previous)) = (sealed, &self.previous) else {
            return OpenError::Drop;
        };
        match open_payload(&**previous, &mut sealed, offset, number) {
            Some(_) => OpenError::Fatal(TransportError::key_update(format!(
                "packet {number} has older keys than packet {}",
                self.first_received.unwrap_or_default()
            ))),
            None => OpenError::Drop,
        }
    }

    fn rotate(&mut self) {
        // §9.5: the keys after the next are made now, not when a packet asks for them.
        let next = self.next.take().unwrap_or_else(|| self.secrets.next_packet_keys());
        let Keys { local, remote } = self.current();
        local.packet = next.local;
        self.previous = Some(std::mem::replace(&mut remote.packet, next.remote));
        self.secrets.advance();
        self.next = Some(self.secrets.next_packet_keys());
        self.previous_expires = None;
        self.phase = !self.phase;
        self.first_sent = None;
        self.first_received = None;
        self.acknowledged = false;
        self.sealed = 0;
        self.updates += 1;
    }

    /// Our packet of this number was acknowledged.
    pub fn on_acked(&mut self, number: u64) {
        self.acknowledged |= self.first_sent.is_some_and(|first| number >= first);
    }

    /// Begins a key update, if the peer has acknowledged a packet of this phase (§6.1). The caller
    /// sees to it that the handshake is confirmed. Returns whether one was begun.
    pub fn initiate_update(&mut self) -> bool {
        let allowed = self.acknowledged;
        if allowed {
            self.rotate();
        }
        allowed
    }

    /// Whether the current key has been used so often that an update is due (§6.6).
    pub fn wants_update(&self) -> bool {
        self.seals_until_update() == 0
    }

    /// How many packets the current key may seal before an update is due.
    pub fn seals_until_update(&self) -> u64 {
        (self.confidentiality_limit / 2).saturating_sub(self.sealed)
    }

    /// Whether the current key may seal no more than a last close (§6.6).
    pub fn is_exhausted(&self) -> bool {
        self.sealed >= self.confidentiality_limit.saturating_sub(CLOSING_RESERVE)
    }
}

/// How many packets are left to a key when the connection is closed for its limit.
const CLOSING_RESERVE: u64 = 8;
