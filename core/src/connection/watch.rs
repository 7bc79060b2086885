//! [`Watch`]: the observer of a connection, and what it was told last. Compares that with how things
//! are, so that no mechanism has to say what it changes. A connection without an observer has none
//! of this. This file must not change anything.

use std::ops::Range;

use super::Connection;
use super::close::State;
use super::observer::{
    Change, ConnectionStart, Metrics, Observer, Origin, PacketInfo, PlainPacket, Stage,
};
use super::receive::OpenedPacket;
use super::send_status::SendStatus;
use super::stats::metrics;
use crate::recovery::EcnState;
use crate::time::Time;
use crate::types::{PathAddress, Space};
use crate::wire::{
    LONG_FORM_BIT, PacketHeader, PacketType, TransportParameters, Version, parse_greased_header,
};

pub(super) struct Watch {
    pub(super) observer: Box<dyn Observer>,
    seen: Option<Seen>,
    peer_parameters_seen: bool,
    close_seen: bool,
}

/// What can change.
struct Seen {
    stage: Stage,
    version: Version,
    key_updates: u64,
    path: PathAddress,
    packet_size: usize,
    congestion_phase: &'static str,
    ecn: EcnState,
    send_status: SendStatus,
    metrics: Metrics,
}

impl Watch {
    /// Tells the observer of the beginning.
    pub(super) fn begin(
        now: Time,
        mut observer: Box<dyn Observer>,
        start: &ConnectionStart,
        ours: &TransportParameters,
    ) -> Box<Self> {
        observer.on_connection_started(now, start);
        observer.on_change(now, &Change::Parameters(Origin::Local, ours));
        Box::new(Self { observer, seen: None, peer_parameters_seen: false, close_seen: false })
    }

    fn compare(&mut self, now: Time, connection: &Connection) {
        let is = connection.look(now);
        let was = self.seen.as_ref();
        let observer = &mut *self.observer;
        let mut tell = |differs: bool, change: Change<'_>| {
            if differs {
                observer.on_change(now, &change);
            }
        };
        let version = was.is_some_and(|was| was.version != is.version);
        tell(version, Change::Version(is.version));
        if !self.peer_parameters_seen && connection.handshake.is_complete() {
            self.peer_parameters_seen = true;
            let theirs = connection.handshake.peer_parameters();
            tell(true, Change::Parameters(Origin::Remote, theirs));
        }
        let stage = was.is_none_or(|was| was.stage != is.stage);
        tell(stage, Change::Stage(is.stage));
        let updates = was.is_some_and(|was| was.key_updates != is.key_updates);
        tell(updates, Change::KeyUpdates(is.key_updates));
        let path = was.is_some_and(|was| has_moved(&was.path, &is.path));
        tell(path, Change::Path(is.path));
        let size = was.is_none_or(|was| was.packet_size != is.packet_size);
        tell(size, Change::PacketSize(is.packet_size));
        let phase = was.is_none_or(|was| was.congestion_phase != is.congestion_phase);
        tell(phase, Change::CongestionPhase(is.congestion_phase));
        tell(was.is_none_or(|was| was.ecn != is.ecn), Change::Ecn(is.ecn));
        let status = was.is_none_or(|was| was.send_status != is.send_status);
        tell(status, Change::SendStatus(is.send_status));
        if was.is_none_or(|was| was.metrics != is.metrics) {
            observer.on_metrics_updated(now, &is.metrics);
        }
        if !self.close_seen
            && let Some(reason) = connection.life.reason()
        {
            self.close_seen = true;
            observer.on_connection_closed(now, reason);
        }
        self.seen = Some(is);
    }
}

/// Whether the addresses changed. To learn which one of ours is used is no change.
fn has_moved(was: &PathAddress, is: &PathAddress) -> bool {
    was.peer != is.peer || (was.local != is.local && !was.local.ip().is_unspecified())
}

impl Connection {
    /// Tells the observer, if there is one, what has changed since it was last told.
    pub(super) fn watch(&mut self, now: Time) {
        if let Some(mut watch) = self.observer.take() {
            watch.compare(now, self);
            self.observer = Some(watch);
        }
    }

    fn look(&self, now: Time) -> Seen {
        Seen {
            stage: self.stage(),
            version: self.version,
            key_updates: self.keys.updates(),
            path: self.paths.active().address,
            packet_size: self.mtu.current(),
            congestion_phase: self.recovery.algorithm().phase(),
            ecn: self.recovery.ecn_state(),
            send_status: self.send_status(now),
            metrics: metrics(&self.recovery),
        }
    }

    fn stage(&self) -> Stage {
        match self.life.state() {
            State::Closing => Stage::Closing,
            State::Draining => Stage::Draining,
            State::Over => Stage::Over,
            State::Open if self.handshake_confirmed => Stage::Confirmed,
            State::Open if self.handshake.is_complete() => Stage::Established,
            State::Open => Stage::Handshake,
        }
    }

    /// Shows a packet at the front of `buffer` that is about to be sealed, and whose frames lie at
    /// `payload`.
    pub(super) fn observe_sent(
        &mut self,
        now: Time,
        info: PacketInfo,
        buffer: &[u8],
        payload: Range<usize>,
    ) {
        let Some(watch) = &mut self.observer else { return };
        let first_byte = buffer[0];
        let ty = match info.space {
            Space::Initial => PacketType::Initial,
            Space::Handshake => PacketType::Handshake,
            Space::Application if first_byte & LONG_FORM_BIT != 0 => PacketType::ZeroRtt,
            Space::Application => PacketType::OneRtt,
        };
        let (version, destination) =
            match parse_greased_header(buffer, self.peer_cids.current().len()) {
                Ok(PacketHeader::Long(header)) => (header.version, header.destination),
                Ok(PacketHeader::Short(header)) => (self.version, header.destination),
                _ => (self.version, *self.peer_cids.current()),
            };
        let payload = &buffer[payload];
        let packet = PlainPacket { info, ty, version, destination, first_byte, payload };
        watch.observer.on_packet_sent(now, &packet);
    }

    /// Shows a packet that was opened, is new and wanted.
    pub(super) fn observe_received(&mut self, now: Time, packet: &OpenedPacket) {
        let Some(watch) = &mut self.observer else { return };
        let (space, number, size) = (packet.ty.space(), packet.number, packet.size);
        let info = PacketInfo { space, number, size };
        let packet = PlainPacket {
            info,
            ty: packet.ty,
            version: packet.version,
            destination: packet.destination,
            first_byte: packet.first_byte,
            payload: &packet.payload,
        };
        watch.observer.on_packet_received(now, &packet);
    }
}
