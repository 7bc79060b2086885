//! [`StatelessAnswers`]: what is answered without a session: Version Negotiation, Retry, refusals
//! and stateless resets, each kind with a rate limit of its own. This file must not know when to
//! answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use protoquic_core::connection::refusal;
use protoquic_core::crypto::{
    ResetKey, ServerSecret, TokenLifetimes, TokenSealer, retry_integrity_tag, ring_provider,
};
use protoquic_core::wire::{Invariant, Version, write_retry, write_version_negotiation};
use protoquic_core::{
    ConnectionId, OutgoingPacket, PacketWriter, PathAddress, Payload, RandomGenerator, Time,
    TransportError,
};

use rustls::crypto::CryptoProvider;

use crate::rate_limit::RateLimit;

pub(crate) struct StatelessAnswers {
    pub(crate) reset_key: Arc<ResetKey>,
    pub(crate) tokens: TokenSealer,
    negotiations: RateLimit,
    retries: RateLimit,
    refusals: RateLimit,
    resets: RateLimit,
    buffer: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

/// What a Retry answers.
pub(crate) struct RetryRequest<'a> {
    pub(crate) version: Version,
    pub(crate) path: &'a PathAddress,
    /// The destination of the client's Initial.
    pub(crate) destination: ConnectionId,
    /// Its source.
    pub(crate) source: ConnectionId,
    /// The ID that the client is to use from now on.
    pub(crate) retry_source: ConnectionId,
    pub(crate) wall_now: SystemTime,
}

impl StatelessAnswers {
    pub(crate) fn new(
        random: &mut dyn RandomGenerator,
        per_second: u32,
        secret: Option<&ServerSecret>,
    ) -> Self {
        let lifetimes = TokenLifetimes::default();
        let (reset_key, tokens) = match secret {
            Some(secret) => {
                let tokens = TokenSealer::from_secret(secret.clone(), lifetimes);
                (ResetKey::from_secret(secret), tokens)
            }
            None => (ResetKey::generate(random), TokenSealer::new(random, lifetimes)),
        };
        Self {
            reset_key: Arc::new(reset_key),
            tokens,
            negotiations: RateLimit::new(per_second),
            retries: RateLimit::new(per_second),
            refusals: RateLimit::new(per_second),
            resets: RateLimit::new(per_second),
            buffer: Vec::with_capacity(1500),
            provider: ring_provider(),
        }
    }

    /// Tells a client which versions we speak (RFC 9000 §6.1).
    pub(crate) fn negotiate_version(
        &mut self,
        now: Time,
        path: &PathAddress,
        packet: &Invariant<'_>,
        versions: &[Version],
        random: &mut dyn RandomGenerator,
        writer: &mut dyn PacketWriter,
    ) {
        if !self.negotiations.allow(now) {
            return;
        }
        self.buffer.clear();
        let (to, from) = (packet.source, packet.destination);
        write_version_negotiation(&mut self.buffer, to, from, versions, random);
        send(writer, path, &self.buffer);
    }

    /// Asks a client to prove its address (RFC 9000 §8.1.2). Returns whether it was asked.
    pub(crate) fn retry(
        &mut self,
        now: Time,
        request: &RetryRequest<'_>,
        random: &mut dyn RandomGenerator,
        writer: &mut dyn PacketWriter,
    ) {
        if !self.retries.allow(now) {
            return;
        }
        let peer = request.path.peer;
        let (original, source) = (&request.destination, &request.retry_source);
        let token = {
            let (now, version) = (request.wall_now, request.version);
            self.tokens.seal_retry(random, now, version, peer, original, source)
        };
        self.buffer.clear();
        write_retry(&mut self.buffer, request.version, &request.source, source, &token, random);
        let tag = retry_integrity_tag(request.version, original, &self.buffer);
        self.buffer.extend_from_slice(&tag);
        send(writer, request.path, &self.buffer);
    }

    /// Refuses a connection (RFC 9000 §5.2.2).
    pub(crate) fn refuse(
        &mut self,
        now: Time,
        path: &PathAddress,
        (version, destination, source): (Version, &ConnectionId, &ConnectionId),
        error: &TransportError,
        writer: &mut dyn PacketWriter,
    ) {
        if self.refusals.allow(now)
            && let Ok(packet) = refusal(version, destination, source, &self.provider, error)
        {
            send(writer, path, &packet);
        }
    }

    /// Tells a peer that its connection is not known here (RFC 9000 §10.3): random bytes that end
    /// in the token, shorter than what they answer, so that two ends cannot answer each other
    /// forever (§10.3.3).
    pub(crate) fn reset(
        &mut self,
        now: Time,
        path: &PathAddress,
        destination: &ConnectionId,
        received: usize,
        random: &mut dyn RandomGenerator,
        writer: &mut dyn PacketWriter,
    ) {
        let len = received.saturating_sub(1).min(MAX_RESET_LEN);
        if len < MIN_RESET_LEN || !self.resets.allow(now) {
            return;
        }
        self.buffer.resize(len, 0);
        let (noise, token) = self.buffer.split_at_mut(len - 16);
        random.fill(noise);
        // It must look like a short header: fixed bit set, long form not.
        noise[0] = noise[0] & 0x3f | 0x40;
        token.copy_from_slice(&self.reset_key.token_for(destination).0);
        send(writer, path, &self.buffer);
    }
}

/// Statelessly sent packets are not worth a retry when the socket is full.
pub(crate) fn send(writer: &mut dyn PacketWriter, path: &PathAddress, data: &[u8]) {
    if writer.is_write_blocked() || data.is_empty() {
        return;
    }
    let ecn = protoquic_core::Ecn::NotEct;
    let payload = Payload::Borrowed(data);
    let result = writer.write_packet(&OutgoingPacket { path, payload, ecn, release_time: None });
    log::trace!("stateless answer to {}: {result:?}", path.peer);
}

/// Whether a client is more likely a reflector: nothing is ever sent to these ports.
pub(crate) fn is_blocked_port(peer: SocketAddr) -> bool {
    BLOCKED_PORTS.contains(&peer.port())
}

/// Port 0, and those of services that answer whatever they are sent: echo, discard, qotd, chargen,
/// dns, portmap, ntp, netbios, snmp, cldap, ike, ssdp, mdns, memcached and others.
const BLOCKED_PORTS: [u16; 18] =
    [0, 7, 9, 17, 19, 53, 111, 123, 137, 138, 161, 389, 500, 1900, 3702, 5353, 5355, 11211];
/// RFC 9000 §10.3: long enough to look like a packet, short enough to be cheap.
const MAX_RESET_LEN: usize = 43;
const MIN_RESET_LEN: usize = 21;
