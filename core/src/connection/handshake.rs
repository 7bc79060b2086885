//! The handshake: TLS messages over CRYPTO frames, transport parameters and what they must agree
//! with, keys as they come and go (RFC 9000 §7, RFC 9001 §4). This file must not know packets'
//! layout.

use bytes::Bytes;

use super::Connection;
use super::event::Event;
use super::keys::KeyRing;
use super::receive::{Arrival, OpenedPacket};
use crate::crypto::{NewKeys, Tls, retry_tag_is_valid};
use crate::error::TransportError;
use crate::streams::PeerLimits;
use crate::time::Time;
use crate::types::{ConnectionId, Role, Space};
use crate::wire::{PacketHeader, PacketType, TransportParameters};

/// What is kept of the handshake.
pub(super) struct Handshake {
    pub(super) tls: Tls,
    /// The connection ID that we put into our long headers.
    local_id: ConnectionId,
    /// The destination of the client's very first Initial.
    original_destination: ConnectionId,
    /// On a server: the destination that the client uses until it knows our ID.
    first_destination: Option<ConnectionId>,
    /// The peer's own connection ID, from its first packet.
    peer_id: Option<ConnectionId>,
    retry_source: Option<ConnectionId>,
    /// The peer's transport parameters; before they are known, what holds instead.
    peer_parameters: Box<TransportParameters>,
    knows_peer: bool,
    /// Where TLS writes now.
    level: Space,
    complete: bool,
    deadline: Time,
    /// Anything authentic was received: too late for Retry and Version Negotiation.
    heard_peer: bool,
    /// It is confirmed, and what it needed is still there.
    lingers: bool,
}

/// What a handshake starts from.
pub(super) struct HandshakeStart {
    pub(super) tls: Tls,
    pub(super) local_id: ConnectionId,
    pub(super) original_destination: ConnectionId,
    pub(super) first_destination: Option<ConnectionId>,
    pub(super) peer_id: Option<ConnectionId>,
    pub(super) retry_source: Option<ConnectionId>,
    pub(super) deadline: Time,
}

impl Handshake {
    pub(super) fn new(start: HandshakeStart) -> Self {
        Self {
            tls: start.tls,
            local_id: start.local_id,
            original_destination: start.original_destination,
            first_destination: start.first_destination,
            peer_id: start.peer_id,
            retry_source: start.retry_source,
            peer_parameters: Box::default(),
            knows_peer: false,
            level: Space::Initial,
            complete: false,
            deadline: start.deadline,
            heard_peer: false,
            lingers: false,
        }
    }

    pub(super) fn local_id(&self) -> ConnectionId {
        self.local_id
    }

    /// On a server: what the client's Initial packets are sent to besides our own IDs.
    pub(super) fn first_destination(&self) -> Option<ConnectionId> {
        self.first_destination
    }

    /// Whether anything authentic was received.
    pub(super) fn has_heard_peer(&self) -> bool {
        self.heard_peer
    }

    /// A client begins again, with another version.
    pub(super) fn restart(&mut self, tls: Tls, original_destination: ConnectionId) {
        self.tls = tls;
        self.original_destination = original_destination;
        self.retry_source = None;
        self.level = Space::Initial;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.complete).then_some(self.deadline)
    }

    /// Whether it is confirmed and memory of it can be given back. Says so once.
    pub(super) fn take_lingering(&mut self) -> bool {
        std::mem::take(&mut self.lingers)
    }

    /// Gives back what only the handshake needed.
    pub(super) fn release_memory(&mut self) {
        self.tls.release_memory();
    }

    /// Until the peer's transport parameters are known, these hold (RFC 9000 §7.4.1).
    pub(super) fn remember_parameters(&mut self, remembered: TransportParameters) {
        *self.peer_parameters = remembered;
    }

    /// The peer's transport parameters, or the defaults while they are unknown.
    pub(super) fn peer_parameters(&self) -> &TransportParameters {
        &self.peer_parameters
    }

    /// At which level the peer's next TLS message has to come.
    fn awaited(&self, keys: &KeyRing) -> Space {
        match (self.complete, keys.handshake_was_available()) {
            (true, _) => Space::Application,
            (false, true) => Space::Handshake,
            (false, false) => Space::Initial,
        }
    }

    /// RFC 9000 §7.3: the connection IDs of the handshake must be those the peer saw.
    fn check_ids(&self, role: Role, theirs: &TransportParameters) -> Result<(), TransportError> {
        let check = |name: &str, got: Option<ConnectionId>, want: Option<ConnectionId>| {
            if got == want {
                return Ok(());
            }
            let show = |id: Option<ConnectionId>| id.map_or("absent".into(), |id| id.to_string());
            Err(TransportError::transport_parameter(format!(
                "{name} is {}, not {}",
                show(got),
                show(want)
            )))
        };
        let source = theirs.initial_source_connection_id;
        check("initial_source_connection_id", source, self.peer_id)?;
        if role == Role::Client {
            let original = theirs.original_destination_connection_id;
            check("original_destination_connection_id", original, Some(self.original_destination))?;
            let retry = theirs.retry_source_connection_id;
            check("retry_source_connection_id", retry, self.retry_source)?;
        }
        Ok(())
    }
}

impl Connection {
    /// An authentic packet arrived: what it proves, whatever is in it. Returns whether it may be
    /// processed.
    pub(super) fn on_authentic_packet(&mut self, arrival: &Arrival, packet: &OpenedPacket) -> bool {
        self.idle.on_packet_received(arrival.now);
        self.handshake.heard_peer = true;
        self.on_version_seen(packet.ty, packet.version);
        if let Some(source) = packet.source {
            match self.handshake.peer_id {
                // RFC 9000 §7.2: the client sends to what the server's first packet names.
                None => {
                    self.handshake.peer_id = Some(source);
                    self.peer_cids.replace_first(source);
                }
                // RFC 9000 §7.2: packets with another source are discarded.
                Some(known) if known != source => return false,
                Some(_) => {}
            }
        }
        if self.role == Role::Server && packet.ty == PacketType::Handshake {
            // RFC 9000 §8.1, RFC 9001 §4.9.1
            self.paths.validate_active();
            self.discard_space(arrival.now, Space::Initial);
        }
        true
    }

    pub(super) fn on_crypto(
        &mut self,
        now: Time,
        ty: PacketType,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TransportError> {
        let space = ty.space();
        let stream = &mut self.spaces[space as usize].crypto;
        let awaited = self.handshake.awaited(&self.keys);
        // RFC 9001 §4.1.3: what was sent at an earlier level may come again, but not go on there.
        if (space as usize) < awaited as usize && !stream.has_consumed(offset + data.len() as u64) {
            return Err(TransportError::protocol_violation(format!(
                "new CRYPTO data in a packet of type {ty:?}, after those of a later type"
            )));
        }
        match stream.take_next(offset, data) {
            Some(bytes) => self.read_crypto(bytes)?,
            None => stream.on_frame(offset, data)?,
        }
        self.drive_handshake(now)
    }

    fn read_crypto(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.resumption.on_hello_bytes(bytes);
        self.handshake.tls.read(bytes)
    }

    /// Moves bytes between TLS and the CRYPTO streams until neither has more to say.
    pub(super) fn drive_handshake(&mut self, now: Time) -> Result<(), TransportError> {
        for space in Space::ALL {
            while let Some(bytes) = self.spaces[space as usize].crypto.read() {
                self.read_crypto(&bytes)?;
            }
        }
        self.learn_parameters(now)?;
        self.take_early_data(now);
        let mut out = std::mem::take(&mut self.scratch);
        if !self.handshake.complete {
            out.reserve(EXPECTED_FLIGHT);
        }
        loop {
            out.clear();
            let keys = self.handshake.tls.write(&mut out);
            self.spaces[self.handshake.level as usize].crypto.write(&out);
            match keys {
                Some(keys) => self.install(now, keys),
                None if out.is_empty() => break,
                None => {}
            }
        }
        self.scratch = out;
        if !self.handshake.complete && !self.handshake.tls.is_handshaking() {
            self.on_handshake_complete(now)?;
        }
        Ok(())
    }

    fn install(&mut self, now: Time, keys: NewKeys) {
        match keys {
            NewKeys::Handshake(keys) => {
                self.handshake.level = Space::Handshake;
                self.keys.install_handshake(keys);
                let mut state = self.recovery.handshake_state();
                state.has_handshake_keys = true;
                self.recovery.set_handshake_state(now, state);
            }
            NewKeys::OneRtt { keys, next } => {
                self.handshake.level = Space::Application;
                self.keys.install_one_rtt(keys, next);
            }
        }
    }

    fn learn_parameters(&mut self, now: Time) -> Result<(), TransportError> {
        if self.handshake.knows_peer {
            return Ok(());
        }
        let Some(encoded) = self.handshake.tls.peer_transport_parameters() else { return Ok(()) };
        let theirs = TransportParameters::decode(encoded, self.role.peer())?;
        self.handshake.check_ids(self.role, &theirs)?;
        self.check_version_information(theirs.version_information.as_ref())?;
        self.settle_early_data(now, &theirs)?;
        self.streams.set_peer_parameters(peer_limits(&theirs));
        self.idle.set_peer_timeout(theirs.max_idle_timeout);
        self.recovery.set_max_ack_delay(theirs.max_ack_delay);
        if let Some(min) = theirs.min_ack_delay.filter(|_| self.config.ack_frequency) {
            self.ack_frequency.enable(min, theirs.max_ack_delay);
        }
        self.mtu.limit(usize::try_from(theirs.max_udp_payload_size).unwrap_or(usize::MAX));
        if let Some(token) = theirs.stateless_reset_token {
            self.peer_cids.set_first_token(token);
        }
        if let Some(preferred) = &theirs.preferred_address {
            self.peer_cids.add_preferred(preferred.connection_id, preferred.stateless_reset_token);
        }
        *self.handshake.peer_parameters = theirs;
        self.handshake.knows_peer = true;
        Ok(())
    }

    fn on_handshake_complete(&mut self, now: Time) -> Result<(), TransportError> {
        if !self.handshake.knows_peer {
            // RFC 9001 §8.2; TLS has already refused, this keeps the promise to what follows.
            return Err(TransportError::new(
                crate::TransportErrorCode::crypto(MISSING_EXTENSION),
                "the peer sent no transport parameters",
            ));
        }
        self.handshake.complete = true;
        self.keys.on_handshake_complete();
        // Not before: nobody may move yet (RFC 9000 §9), and some connections are over now. Nor later: a
        // client may move as soon as it hears that the server has completed the handshake too, and
        // without another ID of its own the server could not answer on the new path (§9.5).
        let theirs = self.handshake.peer_parameters();
        let will_move = theirs.preferred_address.is_some() || self.local_cids.has_preferred();
        self.local_cids.set_peer_limit(theirs.active_connection_id_limit, will_move);
        self.events.push_back(Event::HandshakeComplete);
        if self.role == Role::Server {
            // RFC 9001 §4.1.2: for a server, complete is confirmed.
            self.pending.handshake_done = true;
            self.pending.new_token = self.new_token.is_some();
            self.on_handshake_confirmed(now);
        }
        Ok(())
    }

    pub(super) fn on_handshake_done(&mut self, now: Time) -> Result<(), TransportError> {
        // RFC 9000 §19.20
        if self.role == Role::Server {
            return Err(TransportError::protocol_violation("a client sent HANDSHAKE_DONE"));
        }
        if !self.handshake_confirmed {
            self.on_handshake_confirmed(now);
        }
        Ok(())
    }

    fn on_handshake_confirmed(&mut self, now: Time) {
        self.handshake_confirmed = true;
        self.handshake.lingers = true;
        self.keys.on_handshake_confirmed();
        let mut state = self.recovery.handshake_state();
        state.confirmed = true;
        self.recovery.set_handshake_state(now, state);
        // RFC 9001 §4.9.2
        self.discard_space(now, Space::Initial);
        self.discard_space(now, Space::Handshake);
        self.mtu.enable();
        self.events.push_back(Event::HandshakeConfirmed);
        self.follow_preferred_address(now);
    }

    /// A client's last handshake messages were lost. They do not wait for a window that is full of
    /// 1-RTT packets: until the server has them it acknowledges none of those, and their probe
    /// timeout rests (RFC 9002 §6.2.1), so the wait would have no end.
    pub(super) fn finished_waits(&self) -> bool {
        self.role == Role::Client
            && self.handshake.complete
            && self.spaces[Space::Handshake as usize].crypto.wants_to_send()
    }

    /// Forgets a space with its keys (RFC 9001 §4.9).
    pub(super) fn discard_space(&mut self, now: Time, space: Space) {
        if self.keys.discard(space) {
            self.recovery.discard_space(now, space);
            self.spaces.discard(space);
            self.probes[space as usize] = 0;
            if space == Space::Initial {
                self.initial_token = Bytes::new();
            }
        }
    }

    /// A server wants to see our address proven first (RFC 9000 §17.2.5).
    pub(super) fn on_retry(&mut self, now: Time, packet: &Bytes) {
        // RFC 9000 §17.2.5.2: once, before anything else, and not by a server.
        let too_late = self.handshake.heard_peer || self.handshake.retry_source.is_some();
        if self.role == Role::Server || too_late {
            return;
        }
        let Ok(PacketHeader::Long(header)) = self.read_header(packet) else { return };
        let Some(retry) = header.retry else { return };
        let original = self.handshake.original_destination;
        if header.destination != self.handshake.local_id
            // RFC 9369 §4.1: a Retry of another version is ignored.
            || header.version != self.version
            || header.source == original
            || !retry_tag_is_valid(self.version, &original, retry.without_tag, &retry.tag)
        {
            return;
        }
        self.handshake.retry_source = Some(header.source);
        self.initial_token = Bytes::copy_from_slice(retry.token);
        self.peer_cids.replace_first(header.source);
        self.keys.replace_initial(self.version, &header.source, &self.provider);
        // RFC 9000 §17.2.5.3: packet numbers go on, the CRYPTO data is sent again.
        let (recovery, mut fates) = self.fates(now);
        recovery.restart_for_retry(now, &mut fates);
    }
}

pub(super) fn peer_limits(theirs: &TransportParameters) -> PeerLimits {
    PeerLimits {
        initial_max_data: theirs.initial_max_data,
        initial_max_stream_data_bidi_local: theirs.initial_max_stream_data_bidi_local,
        initial_max_stream_data_bidi_remote: theirs.initial_max_stream_data_bidi_remote,
        initial_max_stream_data_uni: theirs.initial_max_stream_data_uni,
        initial_max_streams_bidi: theirs.initial_max_streams_bidi,
        initial_max_streams_uni: theirs.initial_max_streams_uni,
        reset_stream_at: theirs.reset_stream_at,
    }
}

/// As much as an end says in one flight, mostly, in bytes: a certificate, or two tickets.
const EXPECTED_FLIGHT: usize = 1024;
/// TLS's alert for a required extension that is not there.
const MISSING_EXTENSION: u8 = 109;
