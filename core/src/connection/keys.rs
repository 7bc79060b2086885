//! [`KeyRing`]: the keys of every encryption level, from when the handshake earns them to when they
//! must be forgotten (RFC 9001 §4.9). This file must not know what packets hold.

use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use rustls::crypto::CryptoProvider;
use rustls::quic::{DirectionalKeys, Keys};

use super::initial_keys::InitialKeys;
use super::packet_builder::BuiltPacket;
use crate::crypto::{
    KeyPhases, KeyTime, OpenError, TlsSetupError, UpdateSecrets, open_payload, seal_packet,
    unprotect_header,
};
use crate::error::TransportError;
use crate::time::Time;
use crate::types::{ConnectionId, Role, Space};
use crate::wire::{KEY_PHASE_BIT, PacketType, Version, packet_number};

/// A packet without its protection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) first_byte: u8,
    pub(super) number: u64,
    /// Where its plaintext lies.
    pub(super) payload: Range<usize>,
}

/// With which keys packets of the application's space are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// With none yet.
    Closed,
    /// With those of early data. Clients only.
    ZeroRtt,
    /// With those of the handshake.
    OneRtt,
}

pub(super) struct KeyRing {
    role: Role,
    initial: Option<Box<InitialKeys>>,
    handshake: Option<Box<Keys>>,
    /// A client seals with them, a server opens with them.
    zero_rtt: Option<Box<DirectionalKeys>>,
    zero_rtt_expires: Option<Time>,
    one_rtt: Option<KeyPhases>,
    had_handshake: bool,
    /// RFC 9001 §5.7: nothing at 1-RTT is opened before the handshake is complete.
    complete: bool,
    confirmed: bool,
    /// Packets of all levels that were not authentic.
    failed_opens: u64,
    time: KeyTime,
    /// When the last datagram came.
    last: Option<Time>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("initial", &self.initial.is_some())
            .field("handshake", &self.handshake.is_some())
            .field("one_rtt", &self.one_rtt)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Starts with the Initial keys for this destination of the client's.
    pub(super) fn new(
        role: Role,
        version: Version,
        destination: &ConnectionId,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsSetupError> {
        Ok(Self {
            role,
            initial: Some(Box::new(InitialKeys::new(role, version, destination, provider)?)),
            handshake: None,
            zero_rtt: None,
            zero_rtt_expires: None,
            one_rtt: None,
            had_handshake: false,
            complete: false,
            confirmed: false,
            failed_opens: 0,
            time: KeyTime { now: Time::ZERO, retention: Duration::ZERO },
            last: None,
        })
    }

    /// A Retry changed the destination from which Initial keys are made (RFC 9001 §5.2).
    pub(super) fn replace_initial(
        &mut self,
        version: Version,
        destination: &ConnectionId,
        provider: &CryptoProvider,
    ) {
        self.initial =
            InitialKeys::new(self.role, version, destination, provider).ok().map(Box::new);
    }

    /// Initial packets of this version may come as well (RFC 9369 §4.1).
    pub(super) fn add_initial(&mut self, version: Version, provider: &CryptoProvider) {
        if let Some(initial) = &mut self.initial
            && let Err(error) = initial.add(version, provider)
        {
            log::debug!("no Initial keys for {version}: {error}");
        }
    }

    /// From now on Initial packets are sent in this version, whose keys were added.
    pub(super) fn send_initial_version(&mut self, version: Version) {
        if let Some(initial) = &mut self.initial {
            initial.send_version(version);
        }
    }

    pub(super) fn install_handshake(&mut self, keys: Keys) {
        self.handshake = Some(Box::new(keys));
        self.had_handshake = true;
    }

    pub(super) fn install_one_rtt(&mut self, keys: Keys, next: UpdateSecrets) {
        self.one_rtt = Some(KeyPhases::new(keys, next));
        // RFC 9001 §4.9.3: a client has no use for 0-RTT keys any more.
        if self.role == Role::Client {
            self.zero_rtt = None;
        }
    }

    pub(super) fn install_zero_rtt(&mut self, keys: DirectionalKeys) {
        self.zero_rtt = Some(Box::new(keys));
    }

    /// Gives back what a silent connection can make again.
    pub(super) fn release_memory(&mut self) {
        if let Some(one_rtt) = &mut self.one_rtt {
            one_rtt.release_memory();
        }
    }

    /// With which keys packets of the application's space are sealed now.
    pub(super) fn level(&self) -> Level {
        match (&self.one_rtt, &self.zero_rtt) {
            (Some(_), _) => Level::OneRtt,
            (None, Some(_)) if self.role == Role::Client => Level::ZeroRtt,
            (None, _) => Level::Closed,
        }
    }

    pub(super) fn on_handshake_complete(&mut self) {
        self.complete = true;
    }

    pub(super) fn on_handshake_confirmed(&mut self) {
        self.confirmed = true;
    }

    /// Whether a datagram that came at the same time was the last one, as in a batch.
    pub(super) fn is_at(&self, now: Time) -> bool {
        self.last == Some(now)
    }

    /// A datagram came: keys whose time is over are forgotten before it is looked at.
    pub(super) fn on_datagram(&mut self, now: Time, pto: Duration) {
        self.last = Some(now);
        self.time = KeyTime { now, retention: 3 * pto };
        if let Some(keys) = &mut self.one_rtt {
            keys.expire(now);
        }
        if self.zero_rtt_expires.is_some_and(|end| end <= now) {
            self.zero_rtt = None;
            self.zero_rtt_expires = None;
        }
    }

    /// Forgets a level. Returns whether there was anything to forget.
    pub(super) fn discard(&mut self, space: Space) -> bool {
        match space {
            Space::Initial => self.initial.take().is_some(),
            Space::Handshake => self.handshake.take().is_some(),
            Space::Application => false,
        }
    }

    /// Whether Handshake keys are, or were, here.
    pub(super) fn handshake_was_available(&self) -> bool {
        self.had_handshake
    }

    pub(super) fn can_seal(&self, space: Space) -> bool {
        match space {
            Space::Initial => self.initial.is_some(),
            Space::Handshake => self.handshake.is_some(),
            Space::Application => self.level() != Level::Closed,
        }
    }

    pub(super) fn can_open(&self, ty: PacketType) -> bool {
        match ty {
            PacketType::Initial => self.initial.is_some(),
            PacketType::Handshake => self.handshake.is_some(),
            PacketType::OneRtt => self.one_rtt.is_some() && self.complete,
            // A server never sends them (RFC 9001 §5.6).
            PacketType::ZeroRtt => self.zero_rtt.is_some() && self.role == Role::Server,
        }
    }

    /// The key phase bit to send.
    pub(super) fn key_phase(&self) -> bool {
        self.one_rtt.as_ref().is_some_and(KeyPhases::phase)
    }

    /// Encrypts and protects a packet at the front of its buffer.
    pub(super) fn seal(&mut self, space: Space, buffer: &mut [u8], packet: &BuiltPacket) {
        let bytes = packet.complete(buffer);
        let (offset, len, number) = packet.number_field();
        match space {
            Space::Initial | Space::Handshake => {
                let keys = match space {
                    Space::Initial => self.initial.as_ref().and_then(|initial| initial.current()),
                    _ => self.handshake.as_deref(),
                };
                if let Some(keys) = keys {
                    seal_packet(&keys.local, bytes, offset, len, number);
                }
            }
            Space::Application => {
                if let Some(keys) = &mut self.one_rtt {
                    keys.seal(bytes, offset, len, number);
                } else if let Some(keys) = &self.zero_rtt {
                    seal_packet(keys, bytes, offset, len, number);
                }
            }
        }
    }

    /// As [`Self::seal`], for a 1-RTT packet that is the whole buffer. There are keys for it.
    pub(super) fn seal_one_rtt(
        &mut self,
        packet: &mut [u8],
        number_offset: usize,
        number_len: usize,
        number: u64,
    ) {
        if let Some(keys) = &mut self.one_rtt {
            keys.seal(packet, number_offset, number_len, number);
        }
    }

    /// How many 1-RTT packets may be sealed before a key update is due.
    pub(super) fn seals_until_update(&self) -> u64 {
        self.one_rtt.as_ref().map_or(0, KeyPhases::seals_until_update)
    }

    /// Removes a packet's protection, in place. Only Initial packets may differ in their version.
    pub(super) fn open(
        &mut self,
        ty: PacketType,
        version: Version,
        data: &mut BytesMut,
        number_offset: usize,
        largest: Option<u64>,
    ) -> Result<Opened, OpenError> {
        let initial = self.initial.as_ref().and_then(|initial| initial.of(version));
        let header_key = match ty {
            PacketType::Initial => initial.map(|keys| &*keys.remote.header),
            PacketType::Handshake => self.handshake.as_ref().map(|keys| &*keys.remote.header),
            PacketType::OneRtt => return self.open_one_rtt(data, number_offset, largest),
            PacketType::ZeroRtt => self.zero_rtt.as_ref().map(|keys| &*keys.header),
        };
        let header_key = header_key.ok_or(OpenError::Drop)?;
        let (first_byte, truncated, number_len) =
            unprotect_header(header_key, data, number_offset).ok_or(OpenError::Drop)?;
        let number = packet_number::decode(largest, truncated, number_len);
        let start = number_offset + number_len;
        match self.open_long(ty, version, data, start, number) {
            Some(len) => Ok(Opened { first_byte, number, payload: start..start + len }),
            None => Err(self.on_failed_open()),
        }
    }

    /// As `open`, for packets with a short header.
    pub(super) fn open_one_rtt(
        &mut self,
        data: &mut [u8],
        number_offset: usize,
        largest: Option<u64>,
    ) -> Result<Opened, OpenError> {
        let keys = self.one_rtt.as_mut().ok_or(OpenError::Drop)?;
        let (first_byte, truncated, number_len) =
            unprotect_header(keys.remote_header(), data, number_offset).ok_or(OpenError::Drop)?;
        let number = packet_number::decode(largest, truncated, number_len);
        let start = number_offset + number_len;
        match keys.open(self.time, data, start, number, first_byte & KEY_PHASE_BIT != 0) {
            Ok(len) => {
                self.on_one_rtt_opened();
                Ok(Opened { first_byte, number, payload: start..start + len })
            }
            Err(OpenError::Drop) => Err(self.on_failed_open()),
            Err(fatal) => Err(fatal),
        }
    }

    fn open_long(
        &self,
        ty: PacketType,
        version: Version,
        data: &mut [u8],
        start: usize,
        number: u64,
    ) -> Option<usize> {
        let keys = match ty {
            PacketType::Initial => &self.initial.as_ref()?.of(version)?.remote,
            PacketType::Handshake => &self.handshake.as_ref()?.remote,
            PacketType::ZeroRtt => self.zero_rtt.as_deref()?,
            PacketType::OneRtt => return None,
        };
        open_payload(&*keys.packet, data, start, number)
    }

    /// RFC 9001 §4.9.3: early data that was overtaken may still come for a while.
    fn on_one_rtt_opened(&mut self) {
        if self.zero_rtt.is_some() && self.zero_rtt_expires.is_none() {
            self.zero_rtt_expires = Some(self.time.now + self.time.retention);
        }
    }

    /// RFC 9001 §6.6: what fails is counted over all keys, the handshake's too.
    fn on_failed_open(&mut self) -> OpenError {
        self.failed_opens += 1;
        let limit =
            self.one_rtt.as_ref().map_or(MAX_FAILED_HANDSHAKE_OPENS, KeyPhases::integrity_limit);
        if self.failed_opens > limit {
            OpenError::Fatal(TransportError::aead_limit_reached(format!(
                "{} packets could not be authenticated",
                self.failed_opens
            )))
        } else {
            OpenError::Drop
        }
    }

    /// Our 1-RTT packet of this number was acknowledged.
    pub(super) fn on_acked(&mut self, number: u64) {
        if let Some(keys) = &mut self.one_rtt {
            keys.on_acked(number);
        }
    }

    /// Updates the keys when the AEAD's limit comes near (RFC 9001 §6.6). An error when it is
    /// reached and the peer does not let us.
    pub(super) fn update_if_due(&mut self) -> Result<(), TransportError> {
        let Some(keys) = self.one_rtt.as_mut().filter(|keys| keys.wants_update()) else {
            return Ok(());
        };
        // §6.1: not before the handshake is confirmed.
        if self.confirmed && keys.initiate_update() {
            return Ok(());
        }
        if keys.is_exhausted() {
            return Err(TransportError::aead_limit_reached(
                "a key has sealed all the packets it may, and the peer has confirmed no update",
            ));
        }
        Ok(())
    }

    /// Begins a key update, if one may be begun now (RFC 9001 §6.1).
    pub(super) fn initiate_update(&mut self) -> bool {
        self.confirmed && self.one_rtt.as_mut().is_some_and(KeyPhases::initiate_update)
    }

    /// How many key updates there were, by either side.
    pub(super) fn updates(&self) -> u64 {
        self.one_rtt.as_ref().map_or(0, KeyPhases::updates)
    }
}

/// Before a suite is agreed on, nothing tells its limit; the weakest suite's is 2^36
/// (ChaCha20-Poly1305, RFC 9001 §6.6), and a handshake that fails so often is under attack.
const MAX_FAILED_HANDSHAKE_OPENS: u64 = 1 << 20;
