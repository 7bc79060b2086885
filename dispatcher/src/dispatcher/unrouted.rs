//! What the [`Dispatcher`] does with datagrams that no session claims: kept for a session to come,
//! answered without state, or dropped. It makes no session.

use std::time::SystemTime;

use protoquic_core::connection::{FirstFlight, MIN_PACKET_SIZE};
use protoquic_core::wire::{LongHeader, parse_invariant};
use protoquic_core::{
    ConnectionId, PathAddress, ReceivedPacket, Time, TransportError, TransportErrorCode,
};

use super::Dispatcher;
use crate::config::DispatcherConfig;
use crate::first_packet::{Admission, FirstLook, TokenOutcome, is_plausible, judge_token, look};
use crate::stateless::{RetryRequest, send};
use crate::time_wait::Answer;

impl Dispatcher {
    /// A datagram that no session claims.
    pub(super) fn on_unrouted(&mut self, packet: &ReceivedPacket) {
        let (now, data) = (packet.received, &packet.data);
        let DispatcherConfig { versions, grease_quic_bit, .. } = &self.config;
        match look(data, self.ids.connection_id_length(), versions, *grease_quic_bit) {
            FirstLook::Drop => self.stats.dropped += 1,
            FirstLook::Initial(header) => self.on_initial(now, &header, packet),
            FirstLook::ZeroRtt(id) => self.on_zero_rtt(now, id, packet),
            FirstLook::Other(id) => {
                if self.buffered.contains(&id) {
                    self.buffered.push(&id, packet);
                } else if !self.answer_from_time_wait(now, &packet.path, &id, data.len()) {
                    self.stats.dropped += 1;
                }
            }
            FirstLook::Short(id) => {
                if !self.answer_from_time_wait(now, &packet.path, &id, data.len()) {
                    let (random, writer) = (&mut *self.random, &mut *self.writer);
                    self.stateless.reset(now, &packet.path, &id, data.len(), random, writer);
                }
            }
            FirstLook::UnknownVersion => self.on_unknown_version(now, packet),
        }
    }

    fn on_zero_rtt(&mut self, now: Time, id: ConnectionId, packet: &ReceivedPacket) {
        if self.buffered.contains(&id) {
            self.buffered.push(&id, packet);
        } else if !self.answer_from_time_wait(now, &packet.path, &id, packet.data.len()) {
            let kept = self.accepting && self.early.push(&id, packet);
            self.stats.dropped += u64::from(!kept);
        }
    }

    fn answer_from_time_wait(
        &mut self,
        now: Time,
        path: &PathAddress,
        id: &ConnectionId,
        received: usize,
    ) -> bool {
        match self.time_wait.on_packet(now, id) {
            Answer::Unknown => return false,
            // RFC 9000 §10.2.1: at most three times what came, whose sender may be forged.
            Answer::Farewell(farewell) if farewell.len() <= 3 * received => {
                send(&mut *self.writer, path, &farewell);
            }
            Answer::Farewell(_) | Answer::Silence => {}
        }
        true
    }

    fn on_unknown_version(&mut self, now: Time, packet: &ReceivedPacket) {
        // RFC 9000 §6.1: only for datagrams that could begin a connection.
        match parse_invariant(&packet.data) {
            Some(invariant) if packet.data.len() >= MIN_PACKET_SIZE => {
                let (random, writer) = (&mut *self.random, &mut *self.writer);
                let versions = &self.config.versions;
                let (path, stateless) = (&packet.path, &mut self.stateless);
                stateless.negotiate_version(now, path, &invariant, versions, random, writer);
            }
            _ => self.stats.dropped += 1,
        }
    }

    fn on_initial(&mut self, now: Time, header: &LongHeader<'_>, packet: &ReceivedPacket) {
        let id = header.destination;
        if self.buffered.contains(&id) {
            return self.on_more_of_a_hello(&id, packet);
        }
        if self.answer_from_time_wait(now, &packet.path, &id, packet.data.len()) {
            return;
        }
        if !is_plausible(header, packet.data.len()) {
            self.stats.dropped += 1;
            return;
        }
        if let Some(why) = self.reason_to_refuse() {
            let error = TransportError::new(TransportErrorCode::CONNECTION_REFUSED, why);
            return self.refuse(now, header, &packet.path, &error);
        }
        let wall_now = self.helper.clock().wall_now();
        let (version, peer) = (header.version, packet.path.peer);
        let verdict = self.stateless.tokens.open(wall_now, version, peer, header.token);
        match judge_token(header, packet.path, verdict) {
            TokenOutcome::Invalid(why) => {
                self.refuse(now, header, &packet.path, &TransportError::invalid_token(why));
            }
            TokenOutcome::Admit(admission) => self.on_admitted(now, wall_now, admission, packet),
        }
    }

    fn refuse(
        &mut self,
        now: Time,
        header: &LongHeader<'_>,
        path: &PathAddress,
        error: &TransportError,
    ) {
        let ids = (header.version, &header.destination, &header.source);
        self.stateless.refuse(now, path, ids, error, &mut *self.writer);
    }

    fn on_admitted(
        &mut self,
        now: Time,
        wall_now: SystemTime,
        admission: Admission,
        packet: &ReceivedPacket,
    ) {
        let load = self.handshaking;
        if !admission.address_validated && self.config.address_validation.is_required(load) {
            let request = RetryRequest {
                version: admission.version,
                path: &packet.path,
                destination: admission.destination,
                source: admission.source,
                retry_source: self.ids.generate(&mut *self.random),
                wall_now,
            };
            return self.stateless.retry(now, &request, &mut *self.random, &mut *self.writer);
        }
        let Ok(mut flight) =
            FirstFlight::new(admission.version, &admission.destination, &self.provider)
        else {
            return;
        };
        let hello = match flight.read(packet) {
            Ok(_) if !flight.is_authentic() => {
                self.stats.dropped += 1;
                return;
            }
            Ok(hello) => hello,
            Err(error) => {
                let ids = (admission.version, &admission.destination, &admission.source);
                let writer = &mut *self.writer;
                return self.stateless.refuse(now, &packet.path, ids, &error, writer);
            }
        };
        if self.buffered.has_room(now, hello.is_some()) {
            self.buffered.insert(now, admission, flight, hello, packet);
            for packet in self.early.take(now, &admission.destination) {
                self.buffered.push(&admission.destination, &packet);
            }
        } else {
            self.stats.dropped += 1;
        }
    }

    fn on_more_of_a_hello(&mut self, id: &ConnectionId, packet: &ReceivedPacket) {
        // RFC 9000 §14.1; and what is read is acknowledged, so it has to be kept too.
        if packet.data.len() < MIN_PACKET_SIZE || !self.buffered.keeps_more_of(id) {
            self.stats.dropped += 1;
            return;
        }
        let Some(waiting) = self.buffered.get_mut(id) else { return };
        if waiting.hello.is_none() {
            match waiting.flight.read(packet) {
                Ok(Some(hello)) => self.buffered.complete(id, hello),
                Ok(None) => {}
                Err(error) => {
                    let admission = waiting.admission;
                    self.buffered.remove(id);
                    let ids = (admission.version, &admission.destination, &admission.source);
                    let (now, writer) = (packet.received, &mut *self.writer);
                    return self.stateless.refuse(now, &packet.path, ids, &error, writer);
                }
            }
        }
        self.buffered.push(id, packet);
    }

    /// What has come of a ClientHello that is not whole is acknowledged, or its client would not
    /// know what to send again, nor how soon (RFC 9000 §13.2.1).
    pub(super) fn acknowledge_hellos(&mut self) {
        for id in self.buffered.take_unacknowledged() {
            let Some(waiting) = self.buffered.unlist(&id) else { continue };
            let known = waiting.local_id;
            let local_id = known.unwrap_or_else(|| self.ids.generate(&mut *self.random));
            let (path, peer_id) = (waiting.admission.path, waiting.admission.source);
            if let Some(packet) = waiting.flight.acknowledge(&local_id, &peer_id) {
                send(&mut *self.writer, &path, &packet);
                if known.is_none() {
                    self.buffered.name(&id, local_id);
                }
            }
        }
    }
}
